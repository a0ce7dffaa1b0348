//! Whose the time was: every nanosecond is somebody's, or nobody's.

use super::Timeline;
use std::collections::HashMap;

/// The own times of all spans up to a moment. `gap_ns` and all of `own_ns` together are that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// nanoseconds of each span, without what ran inside it; shared where processes ran at once
    pub own_ns: Vec<u64>,
    /// nanoseconds in which no phase ran
    pub gap_ns: u64,
}

/// Time is counted in parts of a nanosecond, so that sharing it loses nothing worth saying.
const PARTS: u32 = 20;

/// Whose the time from 0 to `until` was. In one process it is the phase's that began last; between
/// processes that ran phases at once it is shared equally, so that the sum is the time on the clock.
pub fn own(timeline: &Timeline, until: u64) -> Own {
    let spans = &timeline.spans;
    let mut own_ns = vec![0; spans.len()];
    // (moment, end before begin, span)
    let mut marks: Vec<(u64, bool, usize)> = Vec::with_capacity(spans.len() * 2);
    for (i, s) in spans.iter().enumerate() {
        let Some(start) = s.start_ns.filter(|t| *t < until) else { continue };
        let end = s.end_ns.unwrap_or(until).min(until);
        if end > start {
            marks.extend([(start, true, i), (end, false, i)]);
        }
    }
    marks.sort_unstable();

    let mut processes: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut open = vec![false; spans.len()];
    // what each span got, in parts; and what every process that runs something got so far
    let mut got = vec![0u128; spans.len()];
    let mut since = vec![0u128; spans.len()];
    let (mut each, mut busy, mut gap_ns, mut now) = (0u128, 0u64, 0u64, 0u64);
    for (t, begins, i) in marks {
        let passed = t - now;
        now = t;
        match busy {
            0 => gap_ns += passed,
            n => each += (u128::from(passed) << PARTS) / u128::from(n),
        }
        let stack = processes.entry(spans[i].pid_start.unwrap_or_default()).or_default();
        let top = stack.last().copied();
        if let Some(top) = top {
            got[top] += each - since[top];
        }
        open[i] = begins;
        if begins {
            stack.push(i);
        } else {
            while stack.last().is_some_and(|s| !open[*s]) {
                stack.pop();
            }
        }
        if let Some(top) = stack.last() {
            since[*top] = each;
        }
        match (top.is_some(), stack.is_empty()) {
            (false, false) => busy += 1,
            (true, true) => busy = busy.saturating_sub(1),
            _ => {}
        }
    }
    gap_ns += until.saturating_sub(now);
    for (own, got) in own_ns.iter_mut().zip(got) {
        *own = u64::try_from(got >> PARTS).unwrap_or(u64::MAX);
    }
    // what the division left over is the longest one's
    let left = until.saturating_sub(gap_ns).saturating_sub(own_ns.iter().sum());
    if let Some(longest) = own_ns.iter_mut().max() {
        *longest += left;
    }
    Own { own_ns, gap_ns }
}
