//! What stands between two steps: whether anything puts one before the other, and the order in which
//! only these two are exchanged.

use crate::plan::{Because, Plan, Reason};
use crate::rules::touched::Pair;
use crate::timeline::Process;
use std::collections::{HashMap, HashSet};

/// The graph of a plan, as far as it is more than the place in the file.
pub struct Between {
    after: Edges,
    before: Edges,
    /// stands in the spec's `order`, which is one sequence
    in_order: Vec<bool>,
    down: Vec<bool>,
    guard: Vec<bool>,
    skipped: Vec<bool>,
}

/// Of each step those that directly follow from it, or that it directly follows from: one list after the other.
struct Edges {
    /// where the list of each step begins; the next one's begin is its end
    begin: Vec<u32>,
    steps: Vec<u32>,
}

impl Edges {
    /// `each` tells every edge, and the same ones when it is called again.
    fn new(count: usize, each: impl Fn(&mut dyn FnMut(usize, usize))) -> Edges {
        let mut begin = vec![0; count + 1];
        each(&mut |from, _| begin[from + 1] += 1);
        for step in 0..count {
            begin[step + 1] += begin[step];
        }
        let mut steps = vec![0; begin[count] as usize];
        let mut next = begin.clone();
        each(&mut |from, to| {
            steps[next[from] as usize] = to as u32;
            next[from] += 1;
        });
        Edges { begin, steps }
    }

    fn of(&self, step: usize) -> impl ExactSizeIterator<Item = usize> {
        self.steps[self.begin[step] as usize..self.begin[step + 1] as usize].iter().map(|s| *s as usize)
    }
}

/// Pairs that nothing orders, and how many could not be looked at.
#[derive(Default)]
pub struct Loose {
    /// the pairs, the one the plan has first first
    pub pairs: Vec<Pair>,
    /// pairs for which no answer was found within the bound
    pub unknown: usize,
}

impl Between {
    /// At most so many edges are followed for one plan: a few hundredths of a second.
    const EDGES: usize = 8_000_000;

    /// Reads the direct edges.
    pub fn new(plan: &Plan) -> Between {
        let steps = plan.steps();
        let edges = || {
            let firm = |b: &&Because| b.reason != Reason::File;
            steps
                .iter()
                .enumerate()
                .flat_map(move |(i, s)| s.because.iter().filter(firm).map(move |b| (i, b)))
        };
        let mut in_order = vec![false; steps.len()];
        for (i, because) in edges().filter(|(_, b)| b.reason == Reason::Order) {
            in_order[i] = true;
            in_order[because.step()] = true;
        }
        Between {
            after: Edges::new(steps.len(), |tell| edges().for_each(|(i, b)| tell(b.step(), i))),
            before: Edges::new(steps.len(), |tell| edges().for_each(|(i, b)| tell(i, b.step()))),
            in_order,
            down: steps.iter().map(|s| s.down).collect(),
            guard: steps.iter().map(|s| s.process == Process::Guard).collect(),
            skipped: steps.iter().map(|s| s.skipped.is_some()).collect(),
        }
    }

    /// True where the spec's `order` leaves nothing open.
    pub fn all_in_order(&self) -> bool {
        self.in_order.iter().all(|named| *named)
    }

    /// True where it takes no search: both in `order`, before and behind serve, in different processes,
    /// a direct edge.
    fn plainly(&self, a: usize, b: usize) -> bool {
        self.in_order[a] && self.in_order[b]
            || self.down[a] != self.down[b]
            || self.guard[a] != self.guard[b]
            || self.skipped[a]
            || self.skipped[b]
            || self.before.of(b).any(|before| before == a)
    }

    /// Those of the pairs that nothing orders.
    pub fn loose(&self, pairs: impl Iterator<Item = Pair>) -> Loose {
        let plainly = |(a, b): &Pair| self.plainly(*a as usize, *b as usize);
        let mut pairs: Vec<Pair> = pairs.filter(|pair| !plainly(pair)).collect();
        // One search from a step answers for all its pairs: from the end that has more of them.
        let mut count = vec![[0_u32; 2]; self.in_order.len()];
        for (a, b) in &pairs {
            count[*a as usize][0] += 1;
            count[*b as usize][1] += 1;
        }
        let search = |(a, b): &Pair| match count[*a as usize][0] >= count[*b as usize][1] {
            true => (*a, true, *b),
            false => (*b, false, *a),
        };
        pairs.sort_unstable_by_key(search);
        let mut found = Loose::default();
        let mut seen = vec![u32::MAX; self.in_order.len()];
        let mut left = Self::EDGES;
        let same = |x: &Pair, y: &Pair| (search(x).0, search(x).1) == (search(y).0, search(y).1);
        for (n, pairs) in pairs.chunk_by(same).enumerate() {
            let n = n as u32;
            let targets = || pairs.iter().map(|pair| search(pair).2 as usize);
            let Some((from, forward, _)) = pairs.first().map(search) else { continue };
            let furthest = if forward { targets().max() } else { targets().min() };
            let Some(furthest) = furthest else { continue };
            if self.search(from as usize, forward, furthest, n, &mut seen, &mut left).is_none() {
                found.unknown += pairs.len();
                continue;
            }
            found.pairs.extend(pairs.iter().filter(|pair| seen[search(pair).2 as usize] != n));
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
        n: u32,
        seen: &mut [u32],
        left: &mut usize,
    ) -> Option<()> {
        let edges = if forward { &self.after } else { &self.before };
        let within = |step: usize| if forward { step <= furthest } else { step >= furthest };
        let mut stack = vec![from];
        while let Some(here) = stack.pop() {
            *left = left.checked_sub(edges.of(here).len() + 1)?;
            for next in edges.of(here).filter(|next| within(*next)) {
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
            let by_plan = self.before.of(*step).any(|p| follows.contains(&p));
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
