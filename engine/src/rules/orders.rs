//! Every order judged: what the check says of each order of some phases of a spec.
//!
//! Two orders in which every two phases that touch the same state stand the same way round come to the same.
//! So one order of each such class ([`Classes`]) is planned, simulated and judged as `rsd check --order` would
//! judge it, and the others of its class are counted. What a phase touches is told by
//! [`Effect::touches`](crate::effect::Effect::touches); `tests/ties.rs` and `tests/orders` hold it against the
//! check of single orders.

use super::judge;
use super::touched::Touched;
use crate::diagnostic::{At, Diagnostic, Place};
use crate::effect::Effect;
use crate::model::Files;
use crate::plan::classes::{Classes, Part};
use crate::plan::{Base, Plan, Request};
use crate::text::count;
use std::collections::HashMap;
use std::ops::Range;

/// All orders of some phases, ready to be judged.
pub struct Orders<'a> {
    request: &'a Request<'a>,
    base: Base<'a>,
    /// every phase by its number in the spec, in the order to start from
    sequence: Vec<usize>,
    /// where in it those stand that are put into every order
    every: Range<usize>,
    /// `None` where all orders are refused for how the other phases stand
    classes: Option<Classes>,
}

/// What the check says of one order, which stands for some.
pub struct Judged {
    /// how many orders it stands for, itself among them
    pub orders: u128,
    /// the plan, unless something is in its way
    pub plan: Option<Plan>,
    /// what is wrong with it, or in its way
    pub findings: Vec<Diagnostic>,
}

impl<'a> Orders<'a> {
    /// `sequence` names every phase of the spec once; those within `every` are put into every order, the
    /// others keep their places. What the request says of an order does not count.
    ///
    /// # Errors
    ///
    /// What is in the way of every order: an unknown kind, a cycle of needs; names that are not the phases of
    /// the spec; more than [`Classes::MOST`] phases to put into every order.
    pub fn new(
        request: &'a Request<'a>,
        sequence: &[&str],
        every: Range<usize>,
    ) -> Result<Orders<'a>, Vec<Diagnostic>> {
        let base = Base::new(request)?;
        let refuse = |message: String, help: &str| vec![Diagnostic::error("RSD0208", message).help(help)];
        let phases = &request.spec.phases;
        let mut number: HashMap<&str, usize> =
            phases.iter().enumerate().map(|(i, p)| (p.name.v.as_str(), i)).collect();
        let numbers: Vec<usize> = sequence.iter().filter_map(|name| number.remove(name)).collect();
        if numbers.len() != phases.len() || sequence.len() != phases.len() || every.end > phases.len() {
            let (names, phases) = (count(sequence.len(), "name"), count(phases.len(), "phase"));
            let message = format!("{names} for the {phases} of the spec");
            return Err(refuse(message, "name every phase once"));
        }
        let mut orders = Orders { request, base, sequence: numbers, every, classes: None };
        let varied = orders.sequence.get(orders.every.clone()).unwrap_or_default().to_vec();
        if varied.len() > Classes::MOST {
            let message = format!("{} phases have more orders than can be counted", varied.len());
            return Err(refuse(message, "put fewer of them into every order"));
        }
        let Some(musts) = orders.musts() else { return Ok(orders) };
        let effects: Vec<&[Effect]> = orders.base.effects().collect();
        let files = Files::new(request.snapshot);
        let touched = Touched::new(&effects, &request.snapshot.identity, &files);
        let meet = |a: usize, b: usize| {
            let (a, b) = (varied[a], varied[b]);
            // What may be learnt from an application depends on whether it is read before.
            touched.meet(a, b) || (orders.base.learns(a) && orders.base.teaches(b))
        };
        orders.classes = Classes::new(varied.len(), meet, &musts);
        Ok(orders)
    }

    /// What must come before what, of the phases that are put into every order, by their numbers among them;
    /// `None` where the others stand so that no order is allowed.
    fn musts(&self) -> Option<Vec<(usize, usize)>> {
        let mut place = vec![0; self.sequence.len()];
        for (p, phase) in self.sequence.iter().enumerate() {
            place[*phase] = p;
        }
        let mut musts = Vec::new();
        for (first, second) in self.base.musts() {
            let (first, second) = (place[first], place[second]);
            if self.every.contains(&first) && self.every.contains(&second) {
                musts.push((first - self.every.start, second - self.every.start));
            } else if first > second {
                return None;
            }
        }
        Some(musts)
    }

    /// How many orders there are.
    pub fn all(&self) -> u128 {
        (1..=self.every.len() as u128).product()
    }

    /// How many of them are refused before anything is simulated: by needs, privilege, or what precedes serve.
    pub fn refused_by_rule(&self) -> u128 {
        self.all() - self.classes.as_ref().map_or(0, Classes::allowed)
    }

    /// Judges all orders of this part that are not refused by a rule, and tells of each class once.
    pub fn judge(&self, part: Part, tell: &mut dyn FnMut(Judged)) {
        let Some(classes) = &self.classes else { return };
        classes.walk(part, &mut |order, orders| {
            let order: Vec<usize> = order.iter().map(|n| self.sequence[self.every.start + n]).collect();
            let (plan, mut findings) = self.planned(&order);
            if let Some(plan) = &plan {
                findings.extend(judge(plan, self.request.snapshot).1);
            }
            tell(Judged { orders, plan, findings });
        });
    }

    /// The names of all phases in the order that stands for this one; `None` where a rule refuses it, or where
    /// it is no order of these phases.
    pub fn stands_for(&self, order: &[&str]) -> Option<Vec<&'a str>> {
        let name = |phase: &usize| self.request.spec.phases[*phase].name.v.as_str();
        let place: HashMap<&str, usize> =
            self.sequence.iter().enumerate().map(|(p, phase)| (name(phase), p)).collect();
        let given = order.get(self.every.clone())?;
        let mut numbers = Vec::with_capacity(given.len());
        for name in given {
            let number = place.get(name)?.checked_sub(self.every.start).filter(|n| *n < self.every.len())?;
            if numbers.contains(&number) {
                return None;
            }
            numbers.push(number);
        }
        let least = self.classes.as_ref()?.least(&numbers)?;
        let least: Vec<usize> = least.iter().map(|n| self.sequence[self.every.start + n]).collect();
        Some(self.whole(&least).map(|phase| self.request.spec.phases[phase].name.v.as_str()).collect())
    }

    /// All phases, where those that are put into every order stand so.
    fn whole(&self, order: &[usize]) -> impl Iterator<Item = usize> {
        let (before, behind) = (self.sequence.get(..self.every.start), self.sequence.get(self.every.end..));
        let all = [before.unwrap_or_default(), order, behind.unwrap_or_default()];
        all.concat().into_iter()
    }

    fn planned(&self, order: &[usize]) -> (Option<Plan>, Vec<Diagnostic>) {
        let name = |phase: usize| At::new(self.request.spec.phases[phase].name.v.clone(), Place::default());
        let names: Vec<At<String>> = self.whole(order).map(name).collect();
        self.base.clone().ordered(&names)
    }
}
