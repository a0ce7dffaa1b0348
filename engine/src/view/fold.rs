//! Which rows are shown where there are too many: all that is remarkable, then the slowest. The same
//! in every view.

use crate::state::Phase;
use crate::text::duration;
use crate::timeline::{Span, Timeline, own};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// At most so many groups get a row of their own for what is folded.
const GROUPS: usize = 12;
/// Counts in a histogram.
pub const BUCKETS: usize = 8;

/// Spans that are not shown one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folds {
    /// true where folded; empty if none is
    hidden: Vec<bool>,
    /// by the first folded span of each
    rows: BTreeMap<usize, Fold>,
    /// how many spans there are at all
    all: usize,
}

/// What stands for the folded spans of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    /// the innermost group, or nothing
    pub group: String,
    /// their numbers, ascending
    pub spans: Vec<usize>,
    /// how many
    pub count: usize,
    /// how long they took, together, in nanoseconds
    pub took: u64,
    /// how long the median took
    pub median: u64,
    /// how long the slowest took
    pub max: u64,
    /// how many of them never ran, or have not ended
    pub idle: usize,
    /// when the first began and the last ended
    pub extent: Option<(u64, u64)>,
    /// how many took how long: from the shortest to the longest that is folded anywhere, in steps of
    /// equal ratio, so that the rows can be compared
    pub histogram: [u32; BUCKETS],
}

impl Fold {
    /// "8214 phases of boot".
    pub fn label(&self) -> String {
        let of = if self.group.is_empty() { "" } else { " of " };
        format!("{}{of}{}", crate::text::count(self.count, "phase"), self.group)
    }

    /// "median 1.1 ms · max 40 ms · 3 did not run".
    pub fn about(&self) -> String {
        let mut about = Vec::new();
        if self.idle < self.count {
            about.push(format!("median {} · max {}", duration(self.median), duration(self.max)));
        }
        if self.idle > 0 {
            about.push(format!("{} did not run", self.idle));
        }
        about.join(" · ")
    }

    /// The histogram in signs of growing height, a space where there is nothing.
    pub fn sparkline(&self) -> String {
        const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let most = self.histogram.iter().copied().max().unwrap_or(0).max(1);
        let sign = |n: &u32| match n {
            0 => ' ',
            n => SIGNS[(u64::from(n - 1) * 8 / u64::from(most)).min(7) as usize],
        };
        self.histogram.iter().map(sign).collect()
    }
}

/// A span that failed; its state may have gone on to undone or stuck.
pub fn failed(span: &Span) -> bool {
    span.error.is_some() || span.state == Phase::Failed
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
    /// What to fold so that about `rows` are left. Shown in any case: `keep` (the critical path, a
    /// selection), what failed, what is under way, what changed the identity or forked; then what
    /// was undone, then the slowest by their own time.
    pub fn new(timeline: &Timeline, keep: impl IntoIterator<Item = usize>, rows: usize) -> Folds {
        let spans = &timeline.spans;
        if spans.len() <= rows {
            return Folds { all: spans.len(), ..Default::default() };
        }
        let mut hidden = vec![true; spans.len()];
        for i in keep {
            if let Some(hidden) = hidden.get_mut(i) {
                *hidden = false;
            }
        }
        // even what is always shown is not shown a thousand times
        let always = (0..spans.len()).filter(|i| remarkable(&spans[*i]) == 2);
        for i in always.take(rows.saturating_mul(4)) {
            hidden[i] = false;
        }
        let room = rows.saturating_sub(hidden.iter().filter(|h| !**h).count());
        let own = own(timeline, timeline.end_ns).own_ns;
        let mut slow: Vec<_> = (0..spans.len())
            .filter(|i| hidden[*i] && spans[*i].took().is_some())
            .map(|i| (Reverse((remarkable(&spans[i]), own[i])), i))
            .collect();
        if room < slow.len() && room > 0 {
            slow.select_nth_unstable(room);
        }
        for (_, i) in slow.into_iter().take(room) {
            hidden[i] = false;
        }
        let rows = group(spans, &hidden);
        Folds { hidden, rows, all: spans.len() }
    }

    /// True if that span has no row of its own.
    pub fn hides(&self, span: usize) -> bool {
        self.hidden.get(span).is_some_and(|h| *h)
    }

    /// The row that stands before that span, if one does.
    pub fn before(&self, span: usize) -> Option<&Fold> {
        self.rows.get(&span)
    }

    /// All rows for what is folded, each with the span that it stands before.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Fold)> {
        self.rows.iter().map(|(i, fold)| (*i, fold))
    }

    /// How many spans have no row of their own.
    pub fn count(&self) -> usize {
        self.rows.values().map(|f| f.count).sum()
    }

    /// "99940 of 100000 phases are folded into … rows", nothing if none is.
    pub fn said(&self) -> Option<String> {
        let n = self.count();
        let are = if n == 1 { "is" } else { "are" };
        (n > 0).then(|| format!("{n} of {} {are} folded into … rows", crate::text::count(self.all, "phase")))
    }
}

fn group(spans: &[Span], hidden: &[bool]) -> BTreeMap<usize, Fold> {
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
        fold.spans.push(i);
        fold.count += 1;
        let Some(took) = span.took() else {
            fold.idle += 1;
            continue;
        };
        fold.took = fold.took.saturating_add(took);
        times.push(took);
        if let (Some(from), Some(to)) = (span.start_ns, span.end_ns) {
            let (first, last) = fold.extent.unwrap_or((from, to));
            fold.extent = Some((first.min(from), last.max(to)));
        }
    }
    let all = || found.iter().flat_map(|(.., times)| times.iter().copied());
    let low = (all().min().unwrap_or(0).max(1) as f64).ln();
    let high = (all().max().unwrap_or(0).max(1) as f64).ln();
    let bucket = |took: u64| {
        let at = ((took.max(1) as f64).ln() - low) / (high - low).max(f64::EPSILON);
        ((at * BUCKETS as f64) as usize).min(BUCKETS - 1)
    };
    let finish = |(i, mut fold, mut times): (usize, Fold, Vec<u64>)| {
        times.sort_unstable();
        fold.median = times.get(times.len() / 2).copied().unwrap_or(0);
        fold.max = times.last().copied().unwrap_or(0);
        for took in times {
            fold.histogram[bucket(took)] += 1;
        }
        (i, fold)
    };
    found.into_iter().map(finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;
    use proptest::prelude::*;

    #[test]
    fn every_span_is_shown_or_counted_once() {
        let t = Timeline::from_events(&many(500));
        let folds = Folds::new(&t, [17], 40);
        let hidden = (0..500).filter(|i| folds.hides(*i)).count();
        assert_eq!((hidden, folds.count()), (460, 460));
        assert!(!folds.hides(17) && folds.rows().count() == 4);
        for (i, fold) in folds.rows() {
            assert!(folds.hides(i) && folds.before(i) == Some(fold));
            assert!(fold.spans.len() == fold.count && fold.spans.iter().all(|i| folds.hides(*i)));
            assert_eq!(fold.histogram.iter().sum::<u32>() as usize, fold.count - fold.idle);
            assert_eq!(fold.sparkline().chars().count(), BUCKETS);
            assert!(fold.median <= fold.max && fold.max <= fold.took);
            assert!(fold.extent.is_some_and(|(from, to)| to - from >= fold.took));
        }
        let slowest_hidden = (0..500).filter(|i| folds.hides(*i)).filter_map(|i| t.spans[i].took()).max();
        let shown = (0..500).filter(|i| !folds.hides(*i) && *i != 17);
        assert!(shown.filter_map(|i| t.spans[i].took()).min() >= slowest_hidden);
        assert_eq!(folds.said().as_deref(), Some("460 of 500 phases are folded into … rows"));
        assert_eq!(Folds::new(&t, [], 500).said(), None);
    }

    proptest! {
        #[test]
        fn never_out_of_bounds(n in 0u64..200, rows in 0usize..250, keep in 0usize..300) {
            let t = Timeline::from_events(&many(n));
            let folds = Folds::new(&t, [keep], rows);
            prop_assert_eq!(folds.count(), (0..n as usize).filter(|i| folds.hides(*i)).count());
        }
    }
}
