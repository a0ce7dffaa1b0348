//! Times that cannot be: a process writes one event after the other, so its clock never goes back.

use super::store::Record;
use std::collections::{HashMap, HashSet};

/// No run lasts longer, in nanoseconds: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// Gives events whose time contradicts the order in which their process wrote them, or the begin of
/// the run, the time of the event before. As few as possible are taken to be wrong. Returns how many.
pub(super) fn mend(records: &mut [Record], begin: Option<u64>) -> usize {
    // the begin itself is believed if most agree with it
    let agree = |begin: u64| records.iter().filter(|r| r.t >= begin).count() * 2 >= records.len();
    let begin = begin.filter(|b| agree(*b));
    let can_be = |t: u64| begin.is_none_or(|b| t.checked_sub(b).is_some_and(|d| d < LONGEST));
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut odd = HashSet::new();
    for r in records.iter() {
        if last.insert(r.pid, r.t).is_some_and(|before| before > r.t) || !can_be(r.t) {
            odd.insert(r.pid);
        }
    }
    let mut mended = 0;
    for pid in odd {
        let own: Vec<usize> = (0..records.len()).filter(|i| records[*i].pid == pid).collect();
        let times = own.iter().map(|i| records[*i].t).enumerate();
        let times: Vec<(usize, u64)> = times.filter(|(_, t)| can_be(*t)).collect();
        let values: Vec<u64> = times.iter().map(|(_, t)| *t).collect();
        let mut believed = rising(&values).into_iter().filter_map(|k| times.get(k).copied()).peekable();
        // what stands before the first that is believed happened at that moment
        let mut now = believed.peek().map(|(_, t)| *t).or(begin).unwrap_or(0);
        for (k, i) in own.into_iter().enumerate() {
            match believed.next_if(|(at, _)| *at == k) {
                Some((_, t)) => now = t,
                None => {
                    records[i].t = now;
                    mended += 1;
                }
            }
        }
    }
    mended
}

/// Places of the longest part that never falls, O(n log n).
pub(crate) fn rising<T: Ord + Copy>(values: &[T]) -> Vec<usize> {
    // the place of the least value that ends a rising part of each length
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let length = ends.partition_point(|e| values[*e] <= *value);
        before.push(length.checked_sub(1).map(|l| ends[l]));
        match ends.get_mut(length) {
            Some(end) => *end = i,
            None => ends.push(i),
        }
    }
    let mut places: Vec<usize> = std::iter::successors(ends.last().copied(), |i| before[*i]).collect();
    places.reverse();
    places
}
