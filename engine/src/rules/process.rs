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
                    .help(format!("put `{}` behind `{}`", step.phase, daemonize.phase))
            })
            .collect()
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

    /// What the application made is left in the launcher: a program is its child, threads are its own.
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
        if let Some(command) = program.command.first() {
            let starts = runs.iter().find(|(_, a)| *a == Application::Start);
            let Some((step, _)) = starts else { return Vec::new() };
            return vec![
                Diagnostic::error("RSD0505", format!("{command} would be the child of a process that exits"))
                    .at(step.at, "the launcher starts it here")
                    .with(daemonize.at, "and here the launcher stays behind")
                    .phase(&step.phase)
                    .phase(fork)
                    .note(format!(
                        "whoever serves must wait for it, and only its parent may (wait(2): ECHILD); `{fork}` makes another process the daemon"
                    ))
                    .help(format!("start it in the daemon: {}", put_behind(step, daemonize))),
            ];
        }
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

    /// A guard that was forked before the daemon waits for the end of the launcher.
    pub(super) fn guard_of_a_process_that_exits(&self) -> Vec<Diagnostic> {
        let Some((d, daemonize)) = self.daemonize() else { return Vec::new() };
        let guard = self.effects().find(|(_, _, e)| **e == Effect::KeepGuard);
        let Some((_, guard, _)) = guard.filter(|(g, _, _)| *g < d) else { return Vec::new() };
        let names = self.steps().filter(|(_, s)| s.process == Process::Guard);
        let names: Vec<String> = names.map(|(_, s)| format!("`{}`", s.phase)).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let runs = if names.len() == 1 { "runs" } else { "run" };
        vec![
            Diagnostic::warning("RSD0520", format!("the guard of `{}` waits for a process that exits", guard.phase))
                .at(guard.at, "forked by the launcher, and waits for its end")
                .with(daemonize.at, "and here the daemon becomes another process")
                .phase(&guard.phase)
                .phase(&daemonize.phase)
                .note(format!(
                    "{} {runs} as soon as the daemon is ready, and not when it has ended: what is to be cleared away then is left behind",
                    crate::text::list(&names)
                ))
                .help(format!("fork the guard from the daemon: {}", put_behind(guard, daemonize))),
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
