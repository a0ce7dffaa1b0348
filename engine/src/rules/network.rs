//! Addresses: who binds them, and whether somebody has them already.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::Effect;
use crate::plan::Step;

impl Judge<'_> {
    /// Binding failed because the address is taken: by an earlier step, where one binds it.
    pub(super) fn address_in_use(&self, i: usize, step: &Step, will: String) -> Diagnostic {
        let finding = Diagnostic::error("RSD0602", will)
            .help("bind an address once; several phases can share what one has bound");
        let binds = |s: &Step, e: &Effect| matches!(e, Effect::Bind { .. }) && s.effects.contains(e);
        match self.steps().find(|(n, s)| *n < i && step.effects.iter().any(|e| binds(s, e))) {
            Some((_, first)) => finding.with(first.at, "bound here already").phase(&first.phase),
            None => finding,
        }
    }
}
