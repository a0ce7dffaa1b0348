//! Two runs compared: what became slower or faster, and what changed about who did what, how it
//! ended, and in which order. Phases are the same where their names are.

mod gate;
mod identity;
mod json;
mod order;
mod states;
#[cfg(test)]
mod tests;
mod text;
mod times;

pub use gate::{Gate, Limit};
pub use json::render as json;
pub use text::render as text;

use crate::timeline::history::History;
use crate::timeline::{Span, Timeline};
use std::collections::HashMap;

/// What a difference in time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// longer, by more than runs differ by themselves
    Slower,
    /// shorter, by more than that
    Faster,
    /// runs differ as much by themselves
    Noise,
    /// too few runs are kept to tell
    Unknown,
}

/// Two times of the same thing, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// in the old run
    pub old_ns: u64,
    /// in the new one
    pub new_ns: u64,
    /// how much runs differ by themselves, where that is known
    pub noise_ns: Option<u64>,
    /// what it means
    pub verdict: Verdict,
}

/// Whether a change is for better or worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// more privilege than before, or a failure
    Worse,
    /// a failure less, a privilege less
    Better,
    /// another way; whether it is meant only people know
    Other,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// the phase where it begins
    pub phase: String,
    /// what changed: `uid`, `caps`, `umask`, `state`, `place`, `needs` …
    pub field: &'static str,
    /// as it was
    pub old: String,
    /// as it is
    pub new: String,
    /// a sentence
    pub text: String,
    /// the other phases it holds for
    pub also: Vec<String>,
    /// for better or worse
    pub sense: Sense,
}

/// All that differs between two runs.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    /// the old run
    pub old: &'a Timeline,
    /// the new run
    pub new: &'a Timeline,
    /// how many earlier runs say what is noise
    pub history: usize,
    /// time to ready, where both were
    pub ready: Option<Times>,
    /// phases that ended in both, the largest difference first
    pub times: Vec<(String, Times)>,
    /// who runs them
    pub identity: Vec<Change>,
    /// how they ended
    pub state: Vec<Change>,
    /// which there are, in which order, and what they need
    pub order: Vec<Change>,
    /// what they are about: paths, ids, masks
    pub detail: Vec<Change>,
    /// how many phases both have
    pub common: usize,
}

impl<'a> Diff<'a> {
    /// Compares; `history` is of runs before the new one.
    pub fn new(old: &'a Timeline, new: &'a Timeline, history: &History) -> Diff<'a> {
        let pairs = pairs(old, new);
        let (order, detail) = order::changes(old, new, &pairs);
        // what is worse comes first
        let sorted = |mut changes: Vec<Change>| {
            changes.sort_by_key(|c| c.sense != Sense::Worse);
            changes
        };
        Diff {
            old,
            new,
            history: history.runs(),
            ready: old.ready_ns.zip(new.ready_ns).map(|(o, n)| Times::new(o, n, history.ready())),
            times: times::times(old, new, &pairs, history),
            identity: sorted(identity::changes(&pairs)),
            state: sorted(states::changes(old, new, &pairs)),
            order,
            detail,
            common: pairs.len(),
        }
    }

    /// True where nothing changed but times, and those within the noise.
    pub fn same(&self) -> bool {
        let noise = |t: &Times| t.verdict == Verdict::Noise || t.old_ns == t.new_ns;
        self.classes().iter().all(|(_, changes)| changes.is_empty())
            && self.ready.iter().chain(self.times.iter().map(|(_, t)| t)).all(noise)
    }

    fn classes(&self) -> [(&'static str, &[Change]); 4] {
        [
            ("identity", &self.identity),
            ("state", &self.state),
            ("order", &self.order),
            ("detail", &self.detail),
        ]
    }
}

/// A phase that both runs have.
struct Pair<'a> {
    /// its place in the new run
    place: usize,
    old: &'a Span,
    new: &'a Span,
    /// its place in the old run
    was: usize,
}

/// The phases that both have, in the order of the new run.
fn pairs<'a>(old: &'a Timeline, new: &'a Timeline) -> Vec<Pair<'a>> {
    let mut known: HashMap<&str, usize> = HashMap::with_capacity(old.spans.len());
    for (i, s) in old.spans.iter().enumerate().rev() {
        known.insert(&s.phase.name, i);
    }
    let pair = |(place, new): (usize, &'a Span)| {
        let was = known.remove(new.phase.name.as_str())?;
        Some(Pair { place, old: old.spans.get(was)?, new, was })
    };
    new.spans.iter().enumerate().filter_map(pair).collect()
}

/// "a, b and 3 more".
fn some(names: &[String]) -> String {
    match names.get(..3) {
        Some(first) if names.len() > 4 => format!("{} and {} more", first.join(", "), names.len() - 3),
        _ => crate::text::list(names),
    }
}
