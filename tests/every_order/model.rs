//! The model on every order: what the check says of all of them, class by class, and whether it says the same
//! of single ones.

use crate::draw::{Chance, factorial, order};
use crate::judge::{Bench, Verdict};
use crate::worlds::{World, among};
use engine::plan::Plan;
use engine::plan::classes::Part;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Plans that the model's speed is measured with, and for how long.
const PLANS: usize = 500;
const LONG: Duration = Duration::from_millis(500);

/// What the check says of many orders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Judged {
    pub orders: u64,
    pub classes: u64,
    pub rules: u64,
    pub errors: u64,
    pub warned: u64,
    pub fine: u64,
    /// nanoseconds for plans, simulations and rules
    pub took_ns: u64,
    /// steps of the model, simulated alone, and what that took
    pub steps: u64,
    pub steps_ns: u64,
}

impl Judged {
    pub fn add(&mut self, other: &Judged) {
        self.orders += other.orders;
        self.classes += other.classes;
        self.rules += other.rules;
        self.errors += other.errors;
        self.warned += other.warned;
        self.fine += other.fine;
        self.took_ns += other.took_ns;
        self.steps += other.steps;
        self.steps_ns += other.steps_ns;
    }

    fn count(&mut self, verdict: &Verdict, orders: u64) {
        self.orders += orders;
        match verdict {
            v if v.rule => self.rules += orders,
            v if v.refuses() => self.errors += orders,
            v if v.fine() => self.fine += orders,
            _ => self.warned += orders,
        }
    }
}

/// The phases of a world, where those that are put into every order stand together.
pub fn sequence(world: &World, every: &[String]) -> Vec<&'static str> {
    let wanted = |name: &&&str| every.iter().any(|e| e == **name);
    let all = world.phases();
    if every.len() == all.len() {
        all.to_vec()
    } else {
        among(&all.iter().filter(wanted).copied().collect::<Vec<_>>())
    }
}

/// All orders of these phases of which the number of the class leaves that rest.
pub fn judge(bench: &Bench, world: &World, every: &[String], part: Part) -> Judged {
    let mut judged = Judged::default();
    let mut plans: Vec<Plan> = Vec::new();
    bench.orders(&sequence(world, every), every, |orders| {
        let begin = Instant::now();
        orders.judge(part, &mut |class| {
            let verdict = Verdict::said(class.plan.is_none(), &class.findings);
            judged.count(&verdict, class.orders as u64);
            judged.classes += 1;
            if judged.classes % 7 == 1 && plans.len() < PLANS {
                plans.extend(class.plan);
            }
        });
        if part.number == 0 {
            let refused = orders.refused_by_rule() as u64;
            (judged.rules, judged.orders) = (judged.rules + refused, judged.orders + refused);
        }
        judged.took_ns = begin.elapsed().as_nanos() as u64;
    });
    let begin = Instant::now();
    while begin.elapsed() < LONG && !plans.is_empty() {
        judged.steps += plans.iter().map(|plan| bench.simulate(plan) as u64).sum::<u64>();
    }
    judged.steps_ns = begin.elapsed().as_nanos() as u64;
    judged
}

/// Which orders are checked one by one, and held against their classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Which {
    /// those with these numbers
    Numbers(usize, usize),
    /// drawn: seed and count
    Drawn(u64, usize),
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Agreed {
    pub compared: usize,
    /// by a rule, before anything is simulated
    pub rules: usize,
    /// not refused
    pub works: usize,
    /// order, what the check says of it, what is said of its class
    pub differ: Vec<(String, String, String)>,
}

impl Agreed {
    pub fn add(&mut self, other: Agreed) {
        self.compared += other.compared;
        self.rules += other.rules;
        self.works += other.works;
        self.differ.extend(other.differ);
    }
}

/// Checks single orders, each as `rsd check` does, and compares what is said with what is said of their
/// classes. `whole`: all classes are judged before; without it only those that are met.
pub fn agree(bench: &Bench, world: &World, every: &[String], which: &Which, whole: bool) -> Agreed {
    let start = sequence(world, every);
    let mut agreed = Agreed::default();
    bench.orders(&start, every, |orders| {
        let mut known: HashMap<Vec<String>, Verdict> = HashMap::new();
        if whole {
            orders.judge(Part::WHOLE, &mut |class| {
                let steps = class.plan.iter().flat_map(Plan::steps).map(|s| s.phase.clone());
                known.insert(steps.collect(), Verdict::said(class.plan.is_none(), &class.findings));
            });
        }
        for tried in tried(&start, every, which) {
            let single = bench.judge(&tried);
            agreed.compared += 1;
            agreed.rules += usize::from(single.rule);
            agreed.works += usize::from(!single.refuses());
            let class = orders.stands_for(&tried).map(|least| {
                let names: Vec<String> = least.iter().map(|name| (*name).to_owned()).collect();
                known.get(&names).cloned().unwrap_or_else(|| {
                    assert!(!whole, "a class that was not visited: {names:?}");
                    known.entry(names).or_insert_with(|| bench.judge(&least)).clone()
                })
            });
            // An order that stands for none is refused by a rule: which codes, is the plan's to say.
            if class.as_ref().map_or(!single.rule, |class| *class != single) {
                agreed.differ.push((tried.join(","), format!("{single:?}"), format!("{class:?}")));
            }
        }
    });
    agreed
}

fn tried(start: &[&'static str], every: &[String], which: &Which) -> Vec<Vec<&'static str>> {
    let is_every = |name: &&'static str| every.iter().any(|e| e == name);
    let varied: Vec<&'static str> = start.iter().copied().filter(is_every).collect();
    let among = |varied: Vec<&'static str>| {
        let mut varied = varied.into_iter();
        start.iter().map(|name| if is_every(name) { varied.next().unwrap_or(name) } else { name }).collect()
    };
    match *which {
        Which::Numbers(from, to) => {
            let to = to.min(factorial(varied.len()));
            (from..to).map(|number| among(order(&varied, number))).collect()
        }
        Which::Drawn(seed, count) => {
            let mut chance = Chance(seed);
            let drawn = (0..count).map(|n| {
                let mut varied = varied.clone();
                // What must be last, if it is among them.
                let last = varied.iter().filter(|v| ["startReactor", "removePIDFile"].contains(v)).count();
                let free = varied.len() - last;
                match n % 4 {
                    0 => chance.shuffle(&mut varied),
                    1 => chance.shuffle(&mut varied[..free]),
                    // Near the spec's own order, where not all is refused.
                    _ => {
                        for _ in 0..=chance.below(6) {
                            let phase = varied.remove(chance.below(free));
                            varied.insert(chance.below(free), phase);
                        }
                    }
                }
                among(varied)
            });
            drawn.collect()
        }
    }
}
