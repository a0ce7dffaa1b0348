//! Which rows are shown where there are too many: all that is remarkable, then the slowest.

use super::failed;
use crate::state::Phase;
use crate::timeline::{Span, Timeline};
use std::collections::HashMap;

/// At most so many groups get a row of their own for what is folded.
const GROUPS: usize = 12;

/// Spans that are not shown one by one.
#[derive(Default)]
pub(super) struct Folds {
    /// folded spans, true where folded; empty if none is
    hidden: Vec<bool>,
    /// first folded span of a group: where its row stands
    pub(super) rows: HashMap<usize, Fold>,
}

/// What stands for the folded spans of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fold {
    /// the innermost group, or nothing
    pub(super) group: String,
    /// how many
    pub(super) count: usize,
    /// how long they took, together
    pub(super) took: u64,
    /// how long the median and the slowest took
    pub(super) median: u64,
    pub(super) max: u64,
    /// how many of them never ran
    pub(super) idle: usize,
}

impl Fold {
    pub(super) fn label(&self) -> String {
        let phases = if self.count == 1 { "phase" } else { "phases" };
        let of = if self.group.is_empty() { "" } else { " of " };
        format!("{} {phases}{of}{}", self.count, self.group)
    }
}

/// How much a span must be seen: 2 always, 1 if there is room before the slow ones.
fn remarkable(span: &Span) -> u8 {
    let now = matches!(span.state, Phase::Running | Phase::Undoing | Phase::Stuck);
    match failed(span) || now || span.changed_identity() {
        true => 2,
        false => u8::from(span.undo_ns.is_some()),
    }
}

impl Folds {
    pub(super) fn new(timeline: &Timeline, path: &[(usize, f64)], rows: usize) -> Folds {
        let spans = &timeline.spans;
        if spans.len() <= rows {
            return Folds::default();
        }
        let mut hidden = vec![true; spans.len()];
        for (i, _) in path {
            hidden[*i] = false;
        }
        // even what is always shown is not shown a thousand times
        let always = (0..spans.len()).filter(|i| remarkable(&spans[*i]) == 2);
        for i in always.take(rows.saturating_mul(4)) {
            hidden[i] = false;
        }
        let room = rows.saturating_sub(hidden.iter().filter(|h| !**h).count());
        let mut slow: Vec<_> = (0..spans.len())
            .filter(|i| hidden[*i])
            .filter_map(|i| Some((remarkable(&spans[i]), spans[i].took()?, i)))
            .collect();
        slow.sort_unstable_by_key(|(rank, took, i)| (std::cmp::Reverse((*rank, *took)), *i));
        for (_, _, i) in slow.into_iter().take(room) {
            hidden[i] = false;
        }

        let mut groups: HashMap<&str, usize> = HashMap::new();
        let mut found: Vec<(usize, Fold, Vec<u64>)> = Vec::new();
        for (i, span) in spans.iter().enumerate().filter(|(i, _)| hidden[*i]) {
            let group = span.phase.groups.last().map_or("", String::as_str);
            let many = groups.len() >= GROUPS;
            let k = *groups.entry(group).or_insert_with(|| {
                if many {
                    // one row for all groups that come too late
                    found[GROUPS - 1].1.group = "other groups".into();
                    return GROUPS - 1;
                }
                found.push((i, Fold { group: group.to_owned(), ..Default::default() }, Vec::new()));
                found.len() - 1
            });
            let (_, fold, times) = &mut found[k];
            fold.count += 1;
            match span.took() {
                Some(took) => {
                    fold.took = fold.took.saturating_add(took);
                    times.push(took);
                }
                None => fold.idle += 1,
            }
        }
        let rows = found.into_iter().map(|(i, mut fold, mut times)| {
            times.sort_unstable();
            fold.median = times.get(times.len() / 2).copied().unwrap_or(0);
            fold.max = times.last().copied().unwrap_or(0);
            (i, fold)
        });
        let rows = rows.collect();
        Folds { hidden, rows }
    }

    /// True if that span has no row of its own.
    pub(super) fn hides(&self, span: usize) -> bool {
        self.hidden.get(span).is_some_and(|h| *h)
    }

    /// How many spans have no row of their own.
    pub(super) fn count(&self) -> usize {
        self.rows.values().map(|f| f.count).sum()
    }
}
