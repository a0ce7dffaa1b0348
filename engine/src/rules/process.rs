//! Which process does what: forks, working directories, who is left.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Effect};
use crate::plan::Step;
use crate::timeline::Process;

impl Judge<'_> {
    fn daemonize(&self) -> Option<(usize, &Step)> {
        self.steps().find(|(_, s)| s.effects.contains(&Effect::Daemonize))
    }

    pub(super) fn pid_file_of_a_process_that_exits(&self) -> Vec<Diagnostic> {
        let Some((d, daemonize)) = self.daemonize() else { return Vec::new() };
        self.steps()
            .filter(|(i, s)| *i < d && s.effects.iter().any(|e| matches!(e, Effect::CreatePidFile { .. })))
            .map(|(_, step)| {
                Diagnostic::error("RSD0501", format!("`{}` would name a process that exits", step.phase))
                    .at(step.at, "the launcher's number is written here")
                    .with(daemonize.at, "and here the launcher stays behind")
                    .phase(&step.phase)
                    .phase(&daemonize.phase)
                    .sooner(&daemonize.phase, &step.phase)
            })
            .collect()
    }

    /// Where the program takes the place of this process: the phase that says so.
    fn replaces(&self) -> Option<&Step> {
        let replaces = |e: &Effect| matches!(e, Effect::Application(Application::Start(s)) if s.replace);
        self.steps().map(|(_, step)| step).find(|step| step.effects.iter().any(replaces))
    }

    /// What stands behind serve is to be done by a process that is the program by then.
    pub(super) fn never_runs(&self, step: &Step) -> bool {
        step.down && step.process != Process::Guard && self.replaces().is_some()
    }

    pub(super) fn down_phases_of_a_replaced_process(&self) -> Vec<Diagnostic> {
        let Some(start) = self.replaces() else { return Vec::new() };
        self.steps()
            .filter(|(_, step)| self.never_runs(step))
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

    /// Every phase is skipped: a start would succeed, and there would be no daemon.
    pub(super) fn nothing_to_do(&self) -> Vec<Diagnostic> {
        let mut skipped = self.plan.steps().iter().filter_map(|s| Some((s, s.skipped.as_ref()?)));
        let Some((first, why)) = skipped.next().filter(|_| self.steps().next().is_none()) else {
            return Vec::new();
        };
        let message = match skipped.next() {
            None => format!("nothing is done: the only phase, `{}`, is skipped", first.phase),
            Some(_) => format!("nothing is done: all {} phases are skipped", self.plan.steps().len()),
        };
        vec![
            Diagnostic::warning("RSD0508", message)
                .at(first.at, format!("skipped: {why}"))
                .phase(&first.phase)
                .note("`rsd run` would end at once, with exit status 0, and leave no daemon")
                .help("give the options that the conditions ask for; `rsd plan` says of each phase why it is skipped"),
        ]
    }

    /// The guard removes by handle, and has none of a file that was made after it was forked.
    pub(super) fn pid_file_unknown_to_the_guard(&self) -> Vec<Diagnostic> {
        let guard = self.steps().find(|(_, s)| s.effects.contains(&Effect::KeepGuard));
        let mut found = Vec::new();
        for (_, remove, effect) in self.effects().filter(|(_, s, _)| s.process == Process::Guard) {
            let Effect::RemovePidFile { path } = effect else { continue };
            let makes = |e: &Effect| matches!(e, Effect::CreatePidFile { path: made, .. } if made == path);
            let late =
                self.steps().find(|(i, s)| guard.is_some_and(|(g, _)| g < *i) && s.effects.iter().any(makes));
            let (Some((_, make)), Some((_, guard))) = (late, guard) else { continue };
            if !self.simulation.model.pid_files().any(|left| left == path) {
                continue;
            }
            found.push(
                Diagnostic::warning(
                    "RSD0402",
                    format!("`{}` will not remove {}", remove.phase, path.display()),
                )
                .at(make.at, "the file is made here")
                .with(guard.at, "and the guard was forked here, before it")
                .phase(&remove.phase)
                .phase(&make.phase)
                .phase(&guard.phase)
                .note("the guard removes what it has a handle of, and nothing by its path")
                .help(format!(
                    "let `{}` need `{}`: the guard is then forked behind it",
                    remove.phase, make.phase
                )),
            );
        }
        found
    }

    pub(super) fn chroot_without_chdir(&self) -> Vec<Diagnostic> {
        let outside = self.serving().is_some_and(|id| id.cwd.starts_with("(unreachable)"));
        let chroot =
            self.steps().filter(|(_, s)| s.effects.iter().any(|e| matches!(e, Effect::Chroot { .. })));
        // A chdir that fails is a finding of its own, and its failure ends the start.
        let fails = self.effects().any(|(_, s, e)| matches!(e, Effect::Chdir { .. }) && self.fails(s));
        match chroot.last() {
            Some((_, step)) if outside && !fails => vec![
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

    /// Code of the application that ran in this process before it was forked. A program is a process of its
    /// own: see `started_as_another`.
    pub(super) fn fork_behind_the_application(&self) -> Vec<Diagnostic> {
        let Some((d, daemonize)) = self.daemonize() else { return Vec::new() };
        let loaded = self.effects().find_map(|(_, _, e)| match e {
            Effect::Application(Application::Load(program)) => Some(program),
            _ => None,
        });
        let Some(program) = loaded else { return Vec::new() };
        let early = |(i, step, effect): (usize, _, &Effect)| match effect {
            Effect::Application(application) if i < d => Some((step, application.clone())),
            _ => None,
        };
        let runs: Vec<(&Step, Application)> = self.effects().filter_map(early).collect();
        let fork = &daemonize.phase;
        let Some((step, application)) = runs.first().filter(|_| program.is_twisted()) else {
            return Vec::new();
        };
        let when = match application {
            Application::Load(_) => "when it is read",
            _ => "by then",
        };
        vec![
            Diagnostic::note_finding(
                "RSD0505",
                format!("`{fork}` forks behind `{}`: threads of the application do not survive it", step.phase),
            )
            .at(step.at, "the application's own code runs from here on")
            .with(daemonize.at, "and here the process is another one")
            .phase(&step.phase)
            .phase(fork)
            .note(format!(
                "fork(2) takes along the thread that calls it alone: a thread that the application starts {when} is gone in the daemon, and a lock that it held stays locked"
            ))
            .help(format!("fork first: {}", put_behind(step, daemonize))),
        ]
    }
}

/// The edit that puts one step behind another.
fn put_behind(step: &Step, other: &Step) -> String {
    let needs: Vec<&str> = step.needs.iter().map(String::as_str).chain([other.phase.as_str()]).collect();
    let edit = format!("`needs: [{}]` on `{}`", needs.join(", "), step.phase);
    match other.needs.contains(&step.phase) {
        true => format!("{edit}, and `{}` away from the needs of `{}`", step.phase, other.phase),
        false => edit,
    }
}
