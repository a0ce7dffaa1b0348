//! The same phases in another order that needs, privilege, order and serve allow.

use super::{Because, Plan, Reason};
use crate::effect::Effect;
use crate::timeline::Process;

impl Plan {
    /// The plan in which the steps stand in this order, each by its present place. Every direct edge
    /// must lead forward in it.
    pub(crate) fn reordered(&self, order: &[usize]) -> Plan {
        let mut place = vec![0; self.steps.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        let mut steps: Vec<_> = order.iter().map(|old| self.steps[*old].clone()).collect();
        let daemonize = steps.iter().position(|s| s.effects.contains(&Effect::Daemonize));
        for (p, step) in steps.iter_mut().enumerate() {
            step.because.retain(|b| b.reason != Reason::File);
            for because in &mut step.because {
                because.after = place[because.step()] as u32;
            }
            step.because.sort_unstable_by_key(|b| (b.after, b.reason));
            if p > 0 && step.because.last().is_none_or(|b| b.step() != p - 1) {
                step.because.push(Because { after: p as u32 - 1, reason: Reason::File, at: None });
            }
            step.process = match daemonize {
                _ if step.process == Process::Guard => Process::Guard,
                Some(d) if p <= d => Process::Launcher,
                _ => Process::Daemon,
            };
        }
        Plan { spec: self.spec.clone(), steps }
    }
}
