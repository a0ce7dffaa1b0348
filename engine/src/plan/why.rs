//! Why one phase comes before another: the chain of reasons, or that there is none.

use super::{Plan, Reason};
use std::collections::VecDeque;

/// The answer to "why A before B".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// a chain of direct reasons: (earlier, reason, later)
    Because(Vec<(usize, Reason, usize)>),
    /// it is the other way round, for these reasons
    Reversed(Vec<(usize, Reason, usize)>),
    /// nothing puts one before the other; the plan has them in this order by place in the file
    Nothing {
        /// the one the plan has first
        first: usize,
        /// the other
        second: usize,
    },
}

/// The shortest chain of reasons between two steps.
pub fn why(plan: &Plan, a: usize, b: usize) -> Why {
    if let Some(chain) = chain(plan, a, b) {
        Why::Because(chain)
    } else if let Some(chain) = chain(plan, b, a) {
        Why::Reversed(chain)
    } else {
        Why::Nothing { first: a.min(b), second: a.max(b) }
    }
}

fn chain(plan: &Plan, from: usize, to: usize) -> Option<Vec<(usize, Reason, usize)>> {
    let mut next: Vec<Option<(Reason, usize)>> = vec![None; plan.steps.len()];
    let mut queue = VecDeque::from([to]);
    while let Some(here) = queue.pop_front() {
        for because in plan.steps[here].because.iter().filter(|b| b.reason != Reason::File) {
            if next[because.step()].is_none() {
                next[because.step()] = Some((because.reason, here));
                queue.push_back(because.step());
            }
        }
    }
    let mut chain = Vec::new();
    let mut here = from;
    while here != to {
        let (reason, later) = next[here]?;
        chain.push((here, reason, later));
        here = later;
    }
    Some(chain)
}
