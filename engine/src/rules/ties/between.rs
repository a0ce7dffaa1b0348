//! What stands between two steps: whether anything puts one before the other, and the order in which
//! only these two are exchanged.

use crate::plan::{Plan, Reason};
use crate::timeline::Process;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The graph of a plan, as far as it is more than the place in the file.
pub struct Between {
    /// of each step, those that directly follow from it
    after: Vec<Vec<usize>>,
    /// of each step, those that it directly follows from
    before: Vec<Vec<usize>>,
    /// stands in the spec's `order`, which is one sequence
    in_order: Vec<bool>,
    down: Vec<bool>,
    guard: Vec<bool>,
    skipped: Vec<bool>,
}

/// Pairs that nothing orders, and how many could not be looked at.
#[derive(Default)]
pub struct Loose {
    /// the pairs, the one the plan has first first
    pub pairs: Vec<(usize, usize)>,
    /// pairs for which no answer was found within the bound
    pub unknown: usize,
}

impl Between {
    /// At most so many edges are followed for one plan: a few hundredths of a second.
    const EDGES: usize = 8_000_000;

    /// Reads the direct edges.
    pub fn new(plan: &Plan) -> Between {
        let steps = plan.steps();
        let mut after = vec![Vec::new(); steps.len()];
        let mut before = vec![Vec::new(); steps.len()];
        let mut in_order = vec![false; steps.len()];
        for (i, step) in steps.iter().enumerate() {
            for because in step.because.iter().filter(|b| b.reason != Reason::File) {
                after[because.after].push(i);
                before[i].push(because.after);
                if because.reason == Reason::Order {
                    in_order[i] = true;
                    in_order[because.after] = true;
                }
            }
        }
        Between {
            after,
            before,
            in_order,
            down: steps.iter().map(|s| s.down).collect(),
            guard: steps.iter().map(|s| s.process == Process::Guard).collect(),
            skipped: steps.iter().map(|s| s.skipped.is_some()).collect(),
        }
    }

    /// True where it takes no search: both in `order`, before and behind serve, in different processes,
    /// a direct edge.
    fn plainly(&self, a: usize, b: usize) -> bool {
        self.in_order[a] && self.in_order[b]
            || self.down[a] != self.down[b]
            || self.guard[a] != self.guard[b]
            || self.skipped[a]
            || self.skipped[b]
            || self.before[b].contains(&a)
    }

    /// Those of the pairs that nothing orders.
    pub fn loose(&self, pairs: impl Iterator<Item = (usize, usize)>) -> Loose {
        let pairs: Vec<_> = pairs.filter(|(a, b)| !self.plainly(*a, *b)).collect();
        // One search from a step answers for all its pairs: from the end that has more of them.
        let mut count: HashMap<(usize, bool), usize> = HashMap::new();
        for (a, b) in &pairs {
            *count.entry((*a, true)).or_default() += 1;
            *count.entry((*b, false)).or_default() += 1;
        }
        let mut searches: BTreeMap<(usize, bool), Vec<usize>> = BTreeMap::new();
        for (a, b) in pairs {
            let forward = count.get(&(a, true)) >= count.get(&(b, false));
            let (from, to) = if forward { (a, b) } else { (b, a) };
            searches.entry((from, forward)).or_default().push(to);
        }
        let mut found = Loose::default();
        let mut seen = vec![usize::MAX; self.after.len()];
        let mut left = Self::EDGES;
        for (n, ((from, forward), targets)) in searches.into_iter().enumerate() {
            let furthest = if forward { targets.iter().max() } else { targets.iter().min() };
            let Some(furthest) = furthest.copied() else { continue };
            if self.search(from, forward, furthest, n, &mut seen, &mut left).is_none() {
                found.unknown += targets.len();
                continue;
            }
            let loose = targets.into_iter().filter(|t| seen[*t] != n);
            found.pairs.extend(loose.map(|t| if forward { (from, t) } else { (t, from) }));
        }
        found.pairs.sort_unstable();
        found
    }

    /// Marks with `n` all that lies before or behind a step, up to the furthest that is asked for.
    fn search(
        &self,
        from: usize,
        forward: bool,
        furthest: usize,
        n: usize,
        seen: &mut [usize],
        left: &mut usize,
    ) -> Option<()> {
        let edges = if forward { &self.after } else { &self.before };
        let within = |step: usize| if forward { step <= furthest } else { step >= furthest };
        let mut stack = vec![from];
        while let Some(here) = stack.pop() {
            *left = left.checked_sub(edges[here].len() + 1)?;
            for next in edges[here].iter().copied().filter(|next| within(*next)) {
                if std::mem::replace(&mut seen[next], n) != n {
                    stack.push(next);
                }
            }
        }
        Some(())
    }

    /// `order` with these two exchanged and every other pair of `meetings` as it was; `None` where that
    /// cannot be, because something between them must follow the one and precede the other.
    pub fn exchange(
        &self,
        order: &[usize],
        meetings: &HashMap<usize, Vec<usize>>,
        (a, b): (usize, usize),
    ) -> Option<Vec<usize>> {
        let from = order.iter().position(|s| *s == a)?;
        let to = from + order[from..].iter().position(|s| *s == b)?;
        // What stands between and follows from the first, by the plan or by a state that both touch.
        let mut follows: HashSet<usize> = HashSet::from([a]);
        for step in &order[from + 1..=to] {
            let by_plan = self.before[*step].iter().any(|p| follows.contains(p));
            let meets = meetings.get(step).into_iter().flatten();
            let by_state = meets.filter(|p| (**p, *step) != (a, b)).any(|p| follows.contains(p));
            if by_plan || by_state {
                follows.insert(*step);
            }
        }
        if follows.contains(&b) {
            return None;
        }
        let between = &order[from + 1..to];
        let mut exchanged = order[..from].to_vec();
        exchanged.extend(between.iter().filter(|s| !follows.contains(s)));
        exchanged.extend([b, a]);
        exchanged.extend(between.iter().filter(|s| follows.contains(s)));
        exchanged.extend(&order[to + 1..]);
        Some(exchanged)
    }
}
