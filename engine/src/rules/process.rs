//! Which process does what: forks, working directories, who is left.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Effect};
use crate::timeline::Process;

impl Judge<'_> {
    pub(super) fn pid_file_of_a_process_that_exits(&self) -> Vec<Diagnostic> {
        let Some((d, daemonize)) = self.steps().find(|(_, s)| s.effects.contains(&Effect::Daemonize)) else {
            return Vec::new();
        };
        self.steps()
            .filter(|(i, s)| *i < d && s.effects.iter().any(|e| matches!(e, Effect::CreatePidFile { .. })))
            .map(|(_, step)| {
                Diagnostic::error("RSD0501", format!("`{}` would name a process that exits", step.phase))
                    .at(step.at, "the launcher's number is written here")
                    .with(daemonize.at, "and here the launcher stays behind")
                    .phase(&step.phase)
                    .phase(&daemonize.phase)
                    .help(format!("put `{}` behind `{}`", step.phase, daemonize.phase))
            })
            .collect()
    }

    /// What stands behind serve is done by a process that is the program by then.
    pub(super) fn down_phases_of_a_replaced_process(&self) -> Vec<Diagnostic> {
        let replaces = |e: &Effect| matches!(e, Effect::Application(Application::Start(s)) if s.replace);
        let Some((_, start)) = self.steps().find(|(_, s)| s.effects.iter().any(replaces)) else {
            return Vec::new();
        };
        self.steps()
            .filter(|(_, s)| s.down && s.process != Process::Guard)
            .map(|(_, step)| {
                Diagnostic::warning("RSD0507", format!("`{}` can never run", step.phase))
                    .at(step.at, "to be run behind serve")
                    .with(start.at, "the program takes the place of the process here")
                    .phase(&step.phase)
                    .phase(&start.phase)
                    .note("exec(2) leaves nothing of the process that would run it")
                    .help(format!(
                        "keep a guard and declare `privilege: privileged` on `{}`; or do without `replace`",
                        step.phase
                    ))
            })
            .collect()
    }

    pub(super) fn chroot_without_chdir(&self) -> Vec<Diagnostic> {
        let outside = self.serving().is_some_and(|id| id.cwd.starts_with("(unreachable)"));
        let chroot =
            self.steps().filter(|(_, s)| s.effects.iter().any(|e| matches!(e, Effect::Chroot { .. })));
        match chroot.last() {
            Some((_, step)) if outside => vec![
                Diagnostic::error(
                    "RSD0502",
                    format!("`{}` leaves the working directory outside the new root", step.phase),
                )
                .at(step.at, "no chdir follows")
                .phase(&step.phase)
                .note("a process whose working directory is outside its root can walk out of it (chroot(2))")
                .help("add a `chdir` phase behind it"),
            ],
            _ => Vec::new(),
        }
    }
}
