//! Where time lies on a picture.
//!
//! Time is cut at every begin and end. On the balanced axis each piece in which something ran gets at
//! least a minimum, the rest is shared in proportion to time, until no piece is below its minimum:
//! order, overlap and big ratios stay true. With too many pieces it is linear.

/// How width is given to time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// to scale
    Time,
    /// to scale, but every step wide enough to be seen
    #[default]
    Balanced,
    /// every step as wide as any other: for order and identity, not for time
    Steps,
}

impl Scale {
    /// Every scale with its name, in the order of how true it is to time.
    pub const ALL: [(Scale, &'static str); 3] =
        [(Scale::Time, "time"), (Scale::Balanced, "balanced"), (Scale::Steps, "steps")];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Time => "time",
            Scale::Balanced => "balanced",
            Scale::Steps => "steps",
        }
    }

    /// The scale of that name.
    pub fn by_name(name: &str) -> Option<Scale> {
        Scale::ALL.iter().find(|(_, n)| *n == name).map(|(scale, _)| *scale)
    }
}

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
    /// how width was given in the end
    scale: Scale,
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
    /// A balanced axis from 0 to `end` over `width` units, for these intervals. A busy piece of time
    /// gets at least `min` units, a gap `min_gap`.
    pub fn new(intervals: &[(u64, u64)], end: u64, width: u32, min: u32, min_gap: u32) -> Axis {
        Axis::with_scale(Scale::Balanced, intervals, end, width, min, min_gap)
    }

    /// An axis from 0 to `end` over `width` units, for these intervals.
    ///
    /// Balanced: a busy piece of time gets at least `min` units, a gap `min_gap`; if that were more
    /// than half the width, the axis is to scale. Steps: busy pieces share the width equally, gaps get
    /// `min_gap` where there is room. In every scale a bar is at least `min` wide.
    pub fn with_scale(
        scale: Scale,
        intervals: &[(u64, u64)],
        end: u64,
        width: u32,
        min: u32,
        min_gap: u32,
    ) -> Axis {
        let end = end.max(1);
        let to_scale = || Axis {
            cuts: vec![0, end],
            edges: vec![0, width],
            widened: vec![false],
            min: min.min(width),
            scale: Scale::Time,
        };
        if scale == Scale::Time {
            return to_scale();
        }
        let (cuts, busy) = pieces(intervals, end);
        let (widths, widened) = if scale == Scale::Steps {
            steps(&busy, width, min_gap)
        } else {
            let least: Vec<u32> = busy.iter().map(|b| if *b { min } else { min_gap }).collect();
            let needed: u64 = least.iter().map(|n| u64::from(*n)).sum();
            if needed > u64::from(width / 2) {
                return to_scale();
            }
            let lengths: Vec<u64> = cuts.windows(2).map(|w| w[1] - w[0]).collect();
            share(&lengths, &least, width)
        };
        let mut edges = vec![0];
        edges.extend(widths.iter().scan(0, |at, w| {
            *at += w;
            Some(*at)
        }));
        Axis { cuts, edges, widened, min: min.min(width), scale }
    }

    /// The scale that was taken: to scale where a balanced axis has too many pieces.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The width of the whole.
    pub fn width(&self) -> u32 {
        self.edges.last().copied().unwrap_or(0)
    }

    /// True if the whole is simply to scale.
    pub fn linear(&self) -> bool {
        self.scale == Scale::Time || (self.scale == Scale::Balanced && self.widened.len() <= 1)
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
}

/// Time cut at every begin and end, and in which pieces something ran.
fn pieces(intervals: &[(u64, u64)], end: u64) -> (Vec<u64>, Vec<bool>) {
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
    (cuts, busy)
}

/// `width` in pieces: gaps get `gap` if together they leave half of it, busy pieces share the rest
/// equally, to one unit. None is said to be widened: nothing is to scale.
fn steps(busy: &[bool], width: u32, gap: u32) -> (Vec<u32>, Vec<bool>) {
    let all = busy.len() as u64;
    let many = busy.iter().filter(|b| **b).count() as u64;
    let gap = if (all - many) * u64::from(gap) > u64::from(width / 2) { 0 } else { gap };
    // without a single busy piece the gaps are the steps
    let (many, gaps) = if many == 0 { (all, 0) } else { (many, (all - many) * u64::from(gap)) };
    let (room, mut k) = (u64::from(width) - gaps, 0u64);
    let widths = busy.iter().map(|b| {
        if !*b && many != all {
            return gap;
        }
        k += 1;
        (room * k / many - room * (k - 1) / many) as u32
    });
    (widths.collect(), vec![false; busy.len()])
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

    fn any_scale() -> impl Strategy<Value = Scale> {
        prop_oneof![Just(Scale::Time), Just(Scale::Balanced), Just(Scale::Steps)]
    }

    proptest! {
        #[test]
        fn sums_order_and_minima(
            scale in any_scale(), (spans, end) in intervals(), cells in 1u32..120, gap in 0u32..4,
        ) {
            let (width, min) = (cells * 8, 8);
            let axis = Axis::with_scale(scale, &spans, end, width, min, gap);
            prop_assert_eq!((axis.edges[0], axis.width()), (0, width), "the sum is exact");
            prop_assert_eq!(axis.cuts.len(), axis.edges.len());
            prop_assert_eq!(axis.widened.len() + 1, axis.edges.len());
            prop_assert!(axis.cuts.is_sorted() && axis.edges.is_sorted(), "monotone");
            for (a, b) in &spans {
                let bar = axis.place(*a, *b);
                prop_assert!(bar.to - bar.from >= min, "{:?}", bar);
                prop_assert!(bar.to <= width);
                prop_assert!(*a >= end || bar.from <= axis.at(*a));
            }
            for (a, b) in spans.iter().zip(spans.iter().skip(1)) {
                prop_assert!(axis.at(a.0) <= axis.at(b.0) || a.0 > b.0, "order is kept");
                let (left, right) = (axis.place(a.0, a.1), axis.place(b.0, b.1));
                prop_assert!(left.from <= right.from || a.0 > b.0, "order of bars is kept");
            }
            match axis.scale() {
                Scale::Time => {
                    prop_assert_ne!(scale, Scale::Steps);
                    let exact = u128::from(width) * u128::from(end.max(1) / 3) / u128::from(end.max(1));
                    prop_assert_eq!(u128::from(axis.at(end.max(1) / 3)), exact);
                }
                Scale::Balanced => for (a, b) in &spans {
                    if *a + 1 < end && *b > *a {
                        prop_assert!(axis.at((*b).min(end)) - axis.at(*a) >= min);
                    }
                }
                Scale::Steps => {
                    let (cuts, busy) = pieces(&spans, end.max(1));
                    prop_assert_eq!(&cuts, &axis.cuts);
                    let pieces = axis.edges.windows(2).map(|w| w[1] - w[0]).zip(&busy);
                    let wide: Vec<_> = pieces.filter(|(_, b)| **b).map(|(w, _)| w).collect();
                    let (least, most) = (wide.iter().min(), wide.iter().max());
                    prop_assert!(least.zip(most).is_none_or(|(l, m)| m - l <= 1), "{:?}", wide);
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
