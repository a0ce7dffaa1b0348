//! In which order rows stand: as planned; where processes ran phases at once, process by process,
//! each in the order of time.

use crate::timeline::{Span, Timeline};
use std::collections::HashMap;

/// The spans in their rows.
pub(super) struct Order {
    /// numbers of spans, from above
    pub(super) rows: Vec<usize>,
    /// spans that ran while another process ran one too
    at_once: Vec<bool>,
}

impl Order {
    /// The order of those spans, which are given as planned.
    pub(super) fn new(timeline: &Timeline, planned: Vec<usize>) -> Order {
        let spans = &timeline.spans;
        let mut at_once = vec![false; spans.len()];
        let mut ran: Vec<usize> = planned.iter().copied().filter(|i| spans[*i].start_ns.is_some()).collect();
        ran.sort_by_key(|i| (spans[*i].start_ns, *i));
        // stretches of time in which something always ran, each with its processes as they came
        let mut place: HashMap<usize, (usize, usize, u64)> = HashMap::new();
        let mut grouped = false;
        for (n, stretch) in stretches(spans, &ran).into_iter().enumerate() {
            let mut processes: HashMap<Option<u32>, usize> = HashMap::new();
            for i in stretch {
                let rank = processes.len();
                let process = *processes.entry(spans[*i].pid_start).or_insert(rank);
                place.insert(*i, (n, process, spans[*i].start_ns.unwrap_or_default()));
            }
            if processes.len() > 1 {
                grouped = true;
                stretch.iter().for_each(|i| at_once[*i] = true);
            }
        }
        let mut rows = planned;
        if grouped {
            let mut last = (0, 0, 0);
            let mut keyed: Vec<_> = rows
                .iter()
                .map(|i| {
                    last = place.get(i).copied().unwrap_or(last);
                    (last, *i)
                })
                .collect();
            keyed.sort_by_key(|(key, _)| *key);
            rows = keyed.into_iter().map(|(_, i)| i).collect();
        }
        Order { rows, at_once }
    }

    /// True if that span ran while another process ran one too.
    pub(super) fn at_once(&self, span: usize) -> bool {
        self.at_once.get(span).is_some_and(|b| *b)
    }

    /// True if any did.
    pub(super) fn parallel(&self) -> bool {
        self.at_once.contains(&true)
    }
}

fn stretches<'a>(spans: &[Span], ran: &'a [usize]) -> Vec<&'a [usize]> {
    let (mut all, mut from, mut until) = (Vec::new(), 0, 0);
    for (k, i) in ran.iter().enumerate() {
        let start = spans[*i].start_ns.unwrap_or_default();
        if k > from && start >= until {
            all.push(&ran[from..k]);
            from = k;
        }
        until = until.max(spans[*i].end_ns.unwrap_or(u64::MAX));
    }
    all.push(&ran[from..]);
    all
}
