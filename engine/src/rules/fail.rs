//! Phases that fail on purpose: known, said, and run all the same.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Fault, Manner};
use crate::plan::Step;
use crate::spec::OnFailure;
use crate::timeline::Process;

/// The failure that a step asks for.
pub(super) fn asked_for(step: &Step) -> Option<&Fault> {
    step.effects.iter().find_map(|e| if let Effect::Fail(fault) = e { Some(fault) } else { None })
}

impl Judge<'_> {
    /// A warning and no error: whoever wrote the phase wants to see it fail in the very plan that is checked,
    /// and `--unchecked` would make another one (it lets declared privileges yield).
    pub(super) fn fails_on_purpose(&self) -> Vec<Diagnostic> {
        self.steps()
            .filter_map(|(_, step)| Some((step, asked_for(step)?)))
            .map(|(step, fault)| {
                Diagnostic::warning("RSD0512", format!("`{}` {}", step.phase, what_will_be(step, fault)))
                    .at(step.at, "of kind `fail`")
                    .phase(&step.phase)
                    .help(format!("take it away, or `--skip {}`, when you have seen enough", step.phase))
            })
            .collect()
    }
}

fn what_will_be(step: &Step, fault: &Fault) -> String {
    let errno = fault.errno_word();
    let then = match (step.down, step.on_failure) {
        (true, _) => "the run will count as failed",
        (false, OnFailure::Continue) => "the start will go on without it",
        (false, _) => "the start will be taken back",
    };
    match fault.manner {
        Manner::Error => format!("fails on purpose with {errno}: {then}"),
        Manner::Undo => format!(
            "cannot be taken back, on purpose: a start that fails behind it is stuck with {errno} (exit code 7)"
        ),
        Manner::Kill => {
            let who = match step.process {
                Process::Launcher => "the launcher",
                Process::Guard => "the guard",
                _ => "the daemon",
            };
            format!("kills {who} on purpose")
        }
        Manner::Hang if step.timeout.is_some() => "hangs on purpose, until its time is up".to_owned(),
        Manner::Hang => "hangs on purpose, for good: it has no `timeout`".to_owned(),
    }
}
