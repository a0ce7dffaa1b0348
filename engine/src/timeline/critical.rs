//! What the time to ready was spent on, and what had time to spare.

use super::{Outcome, Span, Timeline};
use std::collections::HashMap;

/// One phase on the critical path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// number of the span
    pub span: usize,
    /// nanoseconds of the way that only this phase accounts for
    pub own_ns: u64,
    /// nanoseconds between the end of the link before (or the begin of the run) and its start
    pub wait_ns: u64,
    /// `own_ns` as a part of the whole time to ready, 0 to 1
    pub share: f64,
}

/// The critical path to ready (or to the failure, or to the last end), in the order of time: number
/// of the span, and the share of the whole that is its own.
pub fn critical(timeline: &Timeline) -> Vec<(usize, f64)> {
    chain(timeline).into_iter().map(|link| (link.span, link.share)).collect()
}

/// The critical path with its times. What all links own and waited, and what is left from the last
/// end to ready, is the whole time.
///
/// From the end back, each time to what kept the phase from beginning earlier: of the phases that
/// it needs and the one that ran before it in the same process, the one that ended last. Where
/// neither is known it is whatever ended last. Failed ends count as ends; in a start that is still
/// under way, what runs now ends now.
pub fn chain(timeline: &Timeline) -> Vec<Link> {
    let ended = Ended::new(timeline);
    let Some(last) = ended.order.len().checked_sub(1) else { return Vec::new() };
    let whole = timeline.ready_ns.unwrap_or(ended.order[last].end).max(1) as f64;
    let mut path = Vec::new();
    let mut at = Some(last);
    while let Some(k) = at {
        let End { end, start, span } = ended.order[k];
        at = ended.waited_for(timeline, k).into_iter().max();
        let before = at.map_or(0, |p| ended.order[p].end.min(end));
        let own_ns = end - start.max(before);
        let share = own_ns as f64 / whole;
        path.push(Link { span, own_ns, wait_ns: start.saturating_sub(before), share });
    }
    path.reverse();
    path
}

/// How much later each span could have ended without delaying ready (or the failure, or the last
/// end), in nanoseconds: 0 on the critical path, `None` where a span had not ended by then.
///
/// The times between phases are taken as they were; what follows a phase is what needed it, or came
/// after it in the same process.
pub fn slack(timeline: &Timeline) -> Vec<Option<u64>> {
    let mut slack = vec![None; timeline.spans.len()];
    let ended = Ended::new(timeline);
    let Some(last) = ended.order.last() else { return slack };
    let mut latest = vec![last.end; ended.order.len()];
    for k in (0..ended.order.len()).rev() {
        let End { end, span, .. } = ended.order[k];
        let spare = latest[k].saturating_sub(end);
        slack[span] = Some(spare);
        let before = ended.waited_for(timeline, k);
        // what it had to wait for in any case, after the last of them
        let Some(held) = before.iter().map(|p| ended.order[*p].end).max() else { continue };
        for p in before {
            latest[p] = latest[p].min(held.saturating_add(spare));
        }
    }
    slack
}

/// A span that ended by the goal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    end: u64,
    start: u64,
    span: usize,
}

/// The spans that ended by the goal, by their ends, with what finds those before one of them.
struct Ended<'a> {
    order: Vec<End>,
    /// place in `order` of each span
    place: Vec<Option<usize>>,
    by_name: HashMap<&'a str, usize>,
    /// places of the spans that ended in a process, ascending
    by_pid: HashMap<u32, Vec<usize>>,
}

impl<'a> Ended<'a> {
    fn new(timeline: &'a Timeline) -> Ended<'a> {
        let spans = &timeline.spans;
        // of several failures the last that the start still knew: what may fail has gone on
        let undo = spans.iter().filter_map(|s| s.undo_ns).min();
        let known = |s: &&Span| s.error.is_some() && s.start_ns < Some(undo.unwrap_or(u64::MAX));
        let failed = spans.iter().filter(known).filter_map(|s| s.end_ns).max();
        let goal = timeline.ready_ns.or(failed).unwrap_or(u64::MAX);
        let under_way = goal == u64::MAX && matches!(timeline.outcome, Outcome::Running | Outcome::Vanished);
        let end = |s: &Span| s.end_ns.or(under_way.then_some(timeline.end_ns));
        let mut order: Vec<End> = spans
            .iter()
            .enumerate()
            .filter_map(|(span, s)| Some(End { end: end(s)?, start: s.start_ns?, span }))
            .filter(|e| e.end <= goal && e.start <= e.end)
            .collect();
        order.sort_unstable();
        let mut place = vec![None; spans.len()];
        let mut by_pid: HashMap<u32, Vec<usize>> = HashMap::new();
        for (k, e) in order.iter().enumerate() {
            place[e.span] = Some(k);
            if let Some(pid) = spans[e.span].pid_end.or(spans[e.span].pid_start) {
                by_pid.entry(pid).or_default().push(k);
            }
        }
        let by_name = spans.iter().enumerate().rev().map(|(i, s)| (s.phase.name.as_str(), i)).collect();
        Ended { order, place, by_name, by_pid }
    }

    /// Places of what kept a span from beginning earlier; all of them come before it in the order.
    fn waited_for(&self, timeline: &Timeline, k: usize) -> Vec<usize> {
        let End { start, span, .. } = self.order[k];
        let s = &timeline.spans[span];
        let before = |p: &usize| *p < k && self.order[*p].end <= start;
        let needs = s.phase.needs.iter().filter_map(|need| self.place[*self.by_name.get(need.as_str())?]);
        let mut found: Vec<usize> = needs.filter(before).collect();
        let here = s.pid_start.and_then(|pid| self.by_pid.get(&pid));
        let earlier = |all: &[usize]| all.partition_point(|p| before(p)).checked_sub(1);
        found.extend(here.and_then(|all| all.get(earlier(all)?)));
        if found.is_empty() {
            found.extend(self.order.partition_point(|e| e.end <= start).min(k).checked_sub(1));
        }
        found
    }
}
