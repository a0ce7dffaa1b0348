//! How phases and runs ended, old and new.

use super::{Change, Pair, Sense};
use crate::state::Phase;
use crate::timeline::{Outcome, Span, Timeline};
use std::collections::HashMap;

/// Where a phase got to, in words; nothing where it is still on its way.
fn word(span: &Span, timeline: &Timeline) -> Option<&'static str> {
    let open = timeline.outcome == Outcome::Running;
    Some(match span.state {
        Phase::Pending | Phase::Running if open => return None,
        Phase::Pending => "not run",
        Phase::Running => "unfinished",
        Phase::Done => "done",
        Phase::Failed => "failed",
        Phase::Skipped => "skipped",
        Phase::Undoing => "undoing",
        Phase::Undone if span.error.is_some() => "failed and undone",
        Phase::Undone => "undone",
        Phase::Stuck => "stuck",
    })
}

fn bad(word: &str) -> bool {
    !matches!(word, "done" | "skipped")
}

pub(super) fn changes(old: &Timeline, new: &Timeline, pairs: &[Pair]) -> Vec<Change> {
    let mut found: Vec<Change> = Vec::new();
    let ended = |t: &Timeline| t.outcome != Outcome::Running;
    if ended(old) && ended(new) && old.outcome != new.outcome {
        let (was, is) = (old.outcome.name(), new.outcome.name());
        let sense = match (old.outcome, new.outcome) {
            (_, Outcome::Completed) => Sense::Better,
            (Outcome::Completed, _) => Sense::Worse,
            _ => Sense::Other,
        };
        let text = format!("the run: {was} → {is}");
        found.push(entry("", was, is, text, sense));
    }
    if let (Some(_), None) = (old.ready_ns, new.ready_ns)
        && ended(new)
    {
        let text = "the new run never became ready".to_owned();
        found.push(entry("", "ready", "not ready", text, Sense::Worse));
    }
    if let (None, Some(_)) = (old.ready_ns, new.ready_ns)
        && ended(old)
    {
        let text = "the new run became ready".to_owned();
        found.push(entry("", "not ready", "ready", text, Sense::Better));
    }
    // phases that only share the fate of others are told together
    let mut together: HashMap<(&str, &str), usize> = HashMap::new();
    for pair in pairs {
        let (Some(was), Some(is)) = (word(pair.old, old), word(pair.new, new)) else { continue };
        let name = &pair.new.phase.name;
        let reason = reason(pair.new);
        if was == is {
            let message = |s: &Span| s.error.as_ref().map(|e| e.message.clone());
            let (before, now) = (message(pair.old), message(pair.new));
            if before != now && bad(is) {
                let text = format!("{name}: {is}, and not as before{reason}");
                let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
                found.push(entry(name, &before, &now, text, Sense::Other));
            }
            continue;
        }
        let sense = match (bad(was), bad(is)) {
            (false, true) => Sense::Worse,
            (true, false) => Sense::Better,
            _ => Sense::Other,
        };
        if reason.is_empty() {
            match together.get(&(was, is)).and_then(|i| found.get_mut(*i)) {
                Some(change) => {
                    change.also.push(name.clone());
                    continue;
                }
                None => {
                    together.insert((was, is), found.len());
                }
            }
        }
        let text = match is {
            "skipped" => format!("{name} is skipped now{reason}"),
            _ => format!("{name}: {was} → {is}{reason}"),
        };
        found.push(entry(name, was, is, text, sense));
    }
    found
}

fn reason(span: &Span) -> String {
    let why = match (&span.error, &span.skipped) {
        (Some(error), _) => error.message.lines().next(),
        (None, Some(why)) => Some(why.as_str()),
        _ => None,
    };
    why.filter(|w| !w.is_empty()).map_or(String::new(), |w| format!(": {w}"))
}

fn entry(phase: &str, old: &str, new: &str, text: String, sense: Sense) -> Change {
    let (phase, old, new) = (phase.to_owned(), old.to_owned(), new.to_owned());
    Change { phase, field: "state", old, new, text, also: Vec::new(), sense }
}
