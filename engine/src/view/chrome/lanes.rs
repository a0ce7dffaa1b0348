//! Lanes: things that overlap in time are put side by side.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// The lane of each interval (start, end), and how many lanes there are. In one lane no two overlap;
/// an interval takes at least `grain`. The lowest lane that is free is taken, the earlier and then
/// the longer interval first.
pub fn place(intervals: &[(u64, u64)], grain: u64) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|i| {
        let (start, end) = intervals[*i];
        (start, Reverse(end), *i)
    });
    let mut lanes = vec![0; intervals.len()];
    let mut busy: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut free: BTreeSet<usize> = BTreeSet::new();
    let mut count = 0;
    for i in order {
        let (start, end) = intervals[i];
        while let Some(Reverse((until, lane))) = busy.peek().copied() {
            if until > start {
                break;
            }
            busy.pop();
            free.insert(lane);
        }
        let lane = free.pop_first().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        lanes[i] = lane;
        busy.push(Reverse((end.max(start.saturating_add(grain)), lane)));
    }
    (lanes, count)
}

#[cfg(test)]
mod tests {
    use super::place;
    use proptest::prelude::*;

    #[test]
    fn the_lowest_free_lane_is_taken() {
        assert_eq!(place(&[(0, 5), (5, 9), (3, 6), (6, 7), (9, 9), (9, 12)], 1), (vec![0, 0, 1, 1, 1, 0], 2));
        assert_eq!(place(&[], 1), (vec![], 0));
    }

    proptest! {
        #[test]
        fn as_many_lanes_as_run_at_once(list in prop::collection::vec((0u64..60, 1u64..30), 0..40)) {
            let list: Vec<(u64, u64)> = list.into_iter().map(|(s, d)| (s, s + d)).collect();
            let (lanes, count) = place(&list, 1);
            let most = (0..100).map(|t| list.iter().filter(|(s, e)| *s <= t && t < *e).count()).max();
            prop_assert_eq!(count, most.unwrap_or(0));
            for (i, a) in list.iter().enumerate() {
                for (j, b) in list.iter().enumerate().skip(i + 1) {
                    prop_assert!(lanes[i] != lanes[j] || a.1 <= b.0 || b.1 <= a.0);
                }
            }
        }
    }
}
