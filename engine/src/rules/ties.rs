//! All orders, not one: what is right, or as it is, only because one phase stands before the other in
//! the file.
//!
//! Two phases that touch the same state, one of them changing it, *meet*. Where nothing but the place
//! in the file orders two that meet, they are exchanged, everything else kept, and the same judge is
//! asked about that order. Orders that differ in no such pair come out the same, so trying exchange
//! after exchange tries every order that the plan allows (`tests/ties.rs` checks that by trying
//! all of them, one by one).

mod between;
mod outcome;

use super::Judge;
use super::touched::{Pair, Touched};
use crate::diagnostic::Diagnostic;
use crate::effect::Effect;
use crate::text::count;
use between::Between;
use outcome::Outcome;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// So many orders are tried for one plan.
const ORDERS: usize = 256;
/// And so many steps simulated for that, in all of them together.
const STEPS: usize = 40_000;

/// An order to start from: the pairs that are exchanged in it.
type Exchanged = BTreeSet<(usize, usize)>;

struct Search<'a, 'b> {
    judge: &'a Judge<'b>,
    between: Between,
    touched: Touched,
    here: Outcome,
    orders: usize,
    steps: usize,
    /// pairs that could not be tried
    untried: usize,
}

impl Judge<'_> {
    /// Pairs whose order is right, or comes out as it does, only by a tie.
    pub(super) fn ties(&self, found: &[Diagnostic]) -> Vec<Diagnostic> {
        // What is wrong anyway is said first: the other orders are looked at when this one is right.
        if found.iter().any(Diagnostic::is_error) {
            return Vec::new();
        }
        let between = Between::new(self.plan);
        if between.all_in_order() {
            return Vec::new();
        }
        let steps: Vec<&[Effect]> = self
            .plan
            .steps()
            .iter()
            .map(|s| if s.skipped.is_none() { s.effects.as_slice() } else { &[] })
            .collect();
        let files = self.simulation.model.files().uncovered();
        let touched = Touched::new(&steps, &self.snapshot.identity, &files);
        let order: Vec<usize> = (0..steps.len()).collect();
        let meetings = touched.meetings(&order);
        let loose = between.loose(meetings.into_iter());
        if loose.pairs.is_empty() && loose.unknown == 0 {
            return Vec::new();
        }
        if order.len() > STEPS {
            return vec![self.bound(loose.pairs.len() + loose.unknown, 0, 0)];
        }
        let mut search = Search {
            judge: self,
            between,
            touched,
            here: Outcome::new(self, found),
            orders: 0,
            steps: 0,
            untried: loose.unknown,
        };
        let mut findings = search.all(order);
        if search.untried > 0 {
            findings.push(self.bound(search.untried, search.orders, search.steps));
        }
        findings
    }

    /// The search stopped at its bound: that is never silent.
    fn bound(&self, untried: usize, orders: usize, steps: usize) -> Diagnostic {
        let were = if orders == 1 { "was" } else { "were" };
        let mut finding = Diagnostic::note_finding(
            "RSD0310",
            format!("not every order was tried: {} of phases left out", count(untried, "exchange")),
        )
        .note(format!(
            "{} {were} simulated, {}; the bound is {ORDERS} orders and {STEPS} steps",
            count(orders, "other order"),
            count(steps, "step")
        ))
        .help("name the phases in `order`, or say what they need: then there is one order only");
        if let Some(step) = self.plan.steps().first() {
            finding = finding.at(step.at, "many phases here have no order but that of the file");
        }
        finding
    }
}

impl Search<'_, '_> {
    /// Exchange after exchange, the nearest orders first; those behind an exchange that matters are left.
    fn all(&mut self, order: Vec<usize>) -> Vec<Diagnostic> {
        let mut findings: BTreeMap<(usize, usize), Diagnostic> = BTreeMap::new();
        let mut known: BTreeSet<Exchanged> = BTreeSet::from([Exchanged::new()]);
        let mut waiting = VecDeque::from([(Exchanged::new(), order)]);
        while let Some((exchanged, order)) = waiting.pop_front() {
            // Whoever pins the pairs that are found looks again.
            if !exchanged.is_empty() && !findings.is_empty() {
                break;
            }
            let meetings = self.touched.meetings(&order);
            let mut earlier: HashMap<usize, Vec<usize>> = HashMap::new();
            for (a, b) in &meetings {
                earlier.entry(*b as usize).or_default().push(*a as usize);
            }
            let loose = self.loose(&meetings);
            for (n, pair) in loose.iter().copied().enumerate() {
                if self.orders == ORDERS || self.steps + order.len() > STEPS {
                    self.untried += loose.len() - n;
                    return findings.into_values().collect();
                }
                let mut next = exchanged.clone();
                let in_file = (pair.0.min(pair.1), pair.0.max(pair.1));
                if !next.remove(&in_file) {
                    next.insert(in_file);
                }
                if known.contains(&next) {
                    continue;
                }
                let Some(other) = self.between.exchange(&order, &earlier, pair) else { continue };
                known.insert(next.clone());
                match self.finding(&other, in_file, &exchanged) {
                    Some(finding) => {
                        findings.entry(in_file).or_insert(finding);
                    }
                    None => waiting.push_back((next, other)),
                }
            }
        }
        findings.into_values().collect()
    }

    /// Pairs that meet in an order and that nothing orders, as they stand in it.
    fn loose(&self, meetings: &[Pair]) -> Vec<(usize, usize)> {
        let in_file = |(a, b): &Pair| (*a.min(b), *a.max(b));
        let loose: BTreeSet<Pair> =
            self.between.loose(meetings.iter().map(in_file)).pairs.into_iter().collect();
        let pairs = meetings.iter().filter(|pair| loose.contains(&in_file(pair)));
        pairs.map(|(a, b)| (*a as usize, *b as usize)).collect()
    }

    fn finding(&mut self, order: &[usize], (a, b): (usize, usize), before: &Exchanged) -> Option<Diagnostic> {
        self.orders += 1;
        self.steps += order.len();
        let plan = self.judge.plan.reordered(order);
        let simulation = crate::simulate::simulate(&plan, self.judge.snapshot);
        let judge = Judge::new(&plan, self.judge.snapshot, &simulation);
        let there = Outcome::new(&judge, &judge.found());
        let steps = self.judge.plan.steps();
        let (first, second) = (&steps[a], &steps[b]);
        let worse = self.here.lacks(&there);
        let (make, would): (fn(&'static str, String) -> Diagnostic, String) = match worse {
            Some(said) => (Diagnostic::warning, said.to_owned()),
            // What is found here already names what the other order would mend: no advice to keep it so.
            None if self.here.is_mended_by(&there) => return None,
            None => (Diagnostic::note_finding, self.here.differs(&there)?),
        };
        let message = match worse {
            Some(_) => format!(
                "`{}` comes before `{}` only by its place in the file, and the other way round is wrong",
                first.phase, second.phase
            ),
            None => format!(
                "`{}` comes before `{}` only by its place in the file, and it matters",
                first.phase, second.phase
            ),
        };
        let shared = self.touched.shared(a, b);
        let mut finding = make("RSD0310", message)
            .at(second.at, "nothing puts it second: no need, no privilege, no order")
            .with(first.at, "stands first in the file")
            .phase(&first.phase)
            .phase(&second.phase)
            .note(format!("both touch {}", crate::text::list(&shared)));
        let others: Vec<String> = before
            .iter()
            .map(|(x, y)| format!("`{}` before `{}`", steps[*y].phase, steps[*x].phase))
            .collect();
        let also = match others.is_empty() {
            true => String::new(),
            false => format!(", and {}", others.join(", ")),
        };
        finding = finding.note(format!("with `{}` before `{}`{also}: {would}", second.phase, first.phase));
        let mut needs = second.needs.clone();
        needs.push(first.phase.clone());
        finding = finding.help(format!(
            "pin it: `needs: [{}]` on `{}`, or `{}` before `{}` in `order`",
            needs.join(", "),
            second.phase,
            first.phase,
            second.phase
        ));
        Some(finding)
    }
}
