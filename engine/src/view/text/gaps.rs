//! The time in which no phase ran.

use crate::timeline::Timeline;
use std::cell::Cell;
use std::collections::HashMap;

/// Gaps with a smaller share are not drawn.
const SMALL: f64 = 0.01;

/// The gaps of START-UP that are worth drawing, each with its bounds.
#[derive(Default)]
pub(super) struct Gaps {
    /// by the span that ended them
    pub(super) before: HashMap<usize, (u64, u64)>,
    /// from the last end to ready
    pub(super) last: Option<(u64, u64)>,
    /// all of them together, the small ones too, in nanoseconds
    pub(super) sum: u64,
    /// the sign of one was drawn
    pub(super) drawn: Cell<bool>,
}

impl Gaps {
    /// The gaps from 0 to `until`.
    pub(super) fn new(timeline: &Timeline, until: u64) -> Gaps {
        let span = |(i, s): (usize, &crate::timeline::Span)| {
            let start = s.start_ns.filter(|t| *t < until)?;
            Some((start, s.end_ns.unwrap_or(until).min(until), i))
        };
        let mut ran: Vec<_> = timeline.spans.iter().enumerate().filter_map(span).collect();
        ran.sort_unstable();
        let worth = |from: u64, to: u64| (to - from) as f64 >= SMALL * until as f64;
        let (mut gaps, mut end) = (Gaps::default(), 0);
        for (from, to, i) in ran {
            if from > end {
                gaps.sum += from - end;
                if worth(end, from) {
                    gaps.before.insert(i, (end, from));
                }
            }
            end = end.max(to);
        }
        gaps.sum += until.saturating_sub(end);
        gaps.last = Some((end, until)).filter(|(from, to)| to > from && worth(*from, *to));
        gaps
    }

    /// The longest that a span ended: the span and nanoseconds.
    pub(super) fn longest(&self) -> Option<(usize, u64)> {
        let found = self.before.iter().map(|(i, (from, to))| (to - from, std::cmp::Reverse(*i)));
        found.max().map(|(ns, std::cmp::Reverse(i))| (i, ns))
    }
}
