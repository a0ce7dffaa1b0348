//! The balanced axis: to scale, but every step wide enough to be seen.
//!
//! Time is cut at every begin and end. Each piece in which something ran gets at least a minimum,
//! the rest is shared in proportion to time, until no piece is below its minimum: order, overlap
//! and big ratios stay true. With too many pieces it is linear.

/// Where moments lie on a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// moments at which time is cut, ascending, first 0 and last the end
    cuts: Vec<u64>,
    /// where each cut lies
    edges: Vec<u32>,
    /// pieces that got more than their share
    widened: Vec<bool>,
    /// at least this wide is a bar
    min: u32,
}

/// Where one bar lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// its left edge
    pub from: u32,
    /// its right edge
    pub to: u32,
    /// it is wider than its time
    pub widened: bool,
}

impl Axis {
    /// An axis from 0 to `end` over `width` units, for these intervals. A busy piece of time gets at
    /// least `min` units, a gap `min_gap`.
    pub fn new(intervals: &[(u64, u64)], end: u64, width: u32, min: u32, min_gap: u32) -> Axis {
        let end = end.max(1);
        let mut marks: Vec<(u64, i64)> = Vec::with_capacity(intervals.len() * 2 + 2);
        marks.extend([(0, 0), (end, 0)]);
        for (from, to) in intervals {
            let from = (*from).min(end - 1);
            marks.extend([(from, 1), ((*to).clamp(from + 1, end), -1)]);
        }
        marks.sort_unstable();
        let (mut cuts, mut busy, mut open) = (Vec::new(), Vec::new(), 0);
        for (t, change) in marks {
            if cuts.last() != Some(&t) {
                if !cuts.is_empty() {
                    busy.push(open > 0);
                }
                cuts.push(t);
            }
            open += change;
        }
        let least: Vec<u32> = busy.iter().map(|b| if *b { min } else { min_gap }).collect();
        let needed: u64 = least.iter().map(|n| u64::from(*n)).sum();
        if needed > u64::from(width / 2) {
            return Axis { cuts: vec![0, end], edges: vec![0, width], widened: vec![false], min };
        }
        let lengths: Vec<u64> = cuts.windows(2).map(|w| w[1] - w[0]).collect();
        let (widths, widened) = share(&lengths, &least, width);
        let mut edges = vec![0];
        edges.extend(widths.iter().scan(0, |at, w| {
            *at += w;
            Some(*at)
        }));
        Axis { cuts, edges, widened, min }
    }

    /// True if the whole is simply to scale.
    pub fn linear(&self) -> bool {
        self.widened.len() <= 1
    }

    /// True if some piece is wider than its time.
    pub fn widens(&self) -> bool {
        self.widened.contains(&true)
    }

    /// Where a moment lies.
    pub fn at(&self, t: u64) -> u32 {
        let i = self.cuts.partition_point(|c| *c <= t);
        if i == 0 || i == self.cuts.len() {
            return if i == 0 { 0 } else { self.width() };
        }
        let (from, to) = (self.cuts[i - 1], self.cuts[i]);
        let (left, right) = (self.edges[i - 1], self.edges[i]);
        let part = u128::from(right - left) * u128::from(t - from) / u128::from(to - from).max(1);
        left + part as u32
    }

    /// Where the bar of an interval lies; never narrower than the minimum.
    pub fn place(&self, from: u64, to: u64) -> Bar {
        let width = self.width();
        let (mut left, right) = (self.at(from), self.at(to.max(from)));
        let i = self.cuts.partition_point(|c| *c <= from).saturating_sub(1);
        let j = self.cuts.partition_point(|c| *c < to).clamp(i, self.widened.len());
        let raised = self.widened.get(i..j).is_some_and(|w| w.iter().all(|w| *w));
        let narrow = right - left < self.min;
        let right = right.max(left.saturating_add(self.min)).min(width);
        if narrow {
            left = left.min(width.saturating_sub(self.min));
        }
        Bar { from: left, to: right, widened: raised || narrow }
    }

    fn width(&self) -> u32 {
        self.edges.last().copied().unwrap_or(0)
    }
}

/// `width` in pieces: each at least its minimum, else in proportion to its length. Their sum is
/// exactly `width`; the minima together must not be more.
fn share(lengths: &[u64], least: &[u32], width: u32) -> (Vec<u32>, Vec<bool>) {
    let mut raised = vec![false; lengths.len()];
    let (mut free, mut time);
    loop {
        let fixed: u32 = least.iter().zip(&raised).filter(|(_, r)| **r).map(|(n, _)| n).sum();
        free = width.saturating_sub(fixed);
        time = lengths.iter().zip(&raised).filter(|(_, r)| !**r).map(|(n, _)| u128::from(*n)).sum::<u128>();
        let mut stable = true;
        for ((length, least), raised) in lengths.iter().zip(least).zip(&mut raised) {
            if !*raised && u128::from(*length) * u128::from(free) < u128::from(*least) * time {
                (*raised, stable) = (true, false);
            }
        }
        if stable {
            break;
        }
    }
    let mut widths = Vec::with_capacity(lengths.len());
    let mut remainders = Vec::new();
    for (i, length) in lengths.iter().enumerate() {
        let part = u128::from(*length) * u128::from(free);
        match raised[i] || time == 0 {
            true => widths.push(least[i]),
            false => {
                widths.push((part / time) as u32);
                remainders.push((part % time, i));
            }
        }
    }
    remainders.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = width.saturating_sub(widths.iter().sum());
    for (_, i) in &remainders {
        if left == 0 {
            break;
        }
        widths[*i] += 1;
        left -= 1;
    }
    if let Some(last) = widths.last_mut() {
        *last += left;
    }
    (widths, raised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn intervals() -> impl Strategy<Value = (Vec<(u64, u64)>, u64)> {
        let end = prop_oneof![1u64..1000, 1u64..1_000_000_000_000, Just(u64::MAX)];
        end.prop_flat_map(|end| {
            let one = (0..=end, prop_oneof![0u64..50, 0u64..=u64::MAX]);
            let all = prop::collection::vec(one, 0..30);
            (all.prop_map(|v| v.into_iter().map(|(a, d)| (a, a.saturating_add(d))).collect()), Just(end))
        })
    }

    proptest! {
        #[test]
        fn sums_order_and_minima((spans, end) in intervals(), cells in 1u32..120, gap in 0u32..4) {
            let (width, min) = (cells * 8, 8);
            let axis = Axis::new(&spans, end, width, min, gap);
            prop_assert_eq!(axis.edges[0], 0);
            prop_assert_eq!(axis.width(), width);
            prop_assert_eq!(axis.cuts.len(), axis.edges.len());
            prop_assert_eq!(axis.widened.len() + 1, axis.edges.len());
            prop_assert!(axis.cuts.is_sorted() && axis.edges.is_sorted());
            for (a, b) in &spans {
                let bar = axis.place(*a, *b);
                prop_assert!(bar.to - bar.from >= min, "{:?}", bar);
                prop_assert!(bar.to <= width);
                prop_assert!(*a >= end || bar.from <= axis.at(*a));
            }
            for (a, b) in spans.iter().zip(spans.iter().skip(1)) {
                prop_assert_eq!(axis.at(a.0) <= axis.at(b.0) || a.0 > b.0, true);
            }
            if !axis.linear() {
                for (a, b) in &spans {
                    if *a + 1 < end && *b > *a {
                        prop_assert!(axis.at((*b).min(end)) - axis.at(*a) >= min);
                    }
                }
            }
        }

        #[test]
        fn what_is_not_widened_keeps_its_ratio(a in 100u64..1000, b in 100u64..1000) {
            let axis = Axis::new(&[(0, a), (a, a + b)], a + b, 8000, 8, 0);
            let (first, second) = (axis.place(0, a), axis.place(a, a + b));
            prop_assert!(!first.widened && !second.widened);
            let (got, real) = (f64::from(first.to) / 8000.0, a as f64 / (a + b) as f64);
            prop_assert!((got - real).abs() < 0.001);
        }
    }
}
