//! What this machine, and no order of phases, stands in the way with: mounts, addresses that others
//! have, a daemon that is up already.

use super::Judge;
use crate::diagnostic::{Diagnostic, Severity};
use crate::effect::{Application, Effect, Socket};
use crate::plan::Step;
use crate::snapshot::{FileFact, Lock, occupant};
use crate::timeline::Failure;
use std::path::{Path, PathBuf};

const EROFS: i32 = 30;
const EACCES: i32 = 13;

impl Judge<'_> {
    /// A failure that a mount explains has a code and advice of its own.
    pub(super) fn blame_the_mount(
        &self,
        mut finding: Diagnostic,
        i: usize,
        step: &Step,
        failure: &Failure,
    ) -> Diagnostic {
        if let Some(finding) = self.blame_own_mounts(&finding, i, step, failure) {
            return finding;
        }
        if failure.errno == Some(EROFS) {
            finding.code = "RSD0412";
            return finding.help(
                "name a place that can be written (/run, /var/lib/NAME), or mount this one read-write",
            );
        }
        let program = self.program(i, step).filter(|_| failure.errno == Some(EACCES));
        if let Some((at, _)) = program
            && self.files_at(i).executable(&at).is_err()
        {
            finding.code = "RSD0413";
            return finding
                .help("install the program elsewhere (/usr/local), or mount this place with `exec`");
        }
        finding
    }

    /// The program that a step starts, where it is, and what is known of it.
    fn program(&self, i: usize, step: &Step) -> Option<(PathBuf, &FileFact)> {
        if !step.effects.iter().any(|e| matches!(e, Effect::Application(Application::Start(_)))) {
            return None;
        }
        let word = self.effects().find_map(|(_, _, e)| match e {
            Effect::Application(Application::Load(wanted)) => wanted.command.first(),
            _ => None,
        })?;
        let path = self.snapshot.programs.get(word)?.as_ref()?;
        let files = self.files_at(i);
        let at = files.resolve(self.before(i)?, path).ok()?;
        let fact = self.snapshot.file(&files.kept(&at))?;
        Some((at, fact))
    }

    /// A program with set-id bits that will do nothing.
    pub(super) fn set_id_on_nosuid(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            let Some((at, fact)) = self.program(i, step) else { continue };
            let Some(who) = self.before(i) else { continue };
            let gains_user = fact.mode & 0o4000 != 0 && fact.uid != who.uid[1];
            // Set-group-id without group execution means mandatory locking, not a group.
            let gains_group = fact.mode & 0o2010 == 0o2010 && fact.gid != who.gid[1];
            if !gains_user && !gains_group {
                continue;
            }
            let mount = self.snapshot.mount(&at).filter(|(_, m)| m.nosuid);
            let Some((place, _)) = mount else { continue };
            let why = format!("{} is mounted nosuid", place.display());
            let id = match gains_user {
                true => format!("uid {}", fact.uid),
                false => format!("gid {}", fact.gid),
            };
            found.push(
                Diagnostic::note_finding(
                    "RSD0413",
                    format!("{} will not become {id}: its set-id bits do nothing here", at.display()),
                )
                .at(step.at, format!("started here, as {}", crate::model::describe(who)))
                .phase(&step.phase)
                .note(format!("{} is {}:{} {:04o}; {why}", at.display(), fact.uid, fact.gid, fact.mode))
                .help("a daemon is given what it needs by its order of phases; if the program does rely on the bits, install it where they count"),
            );
        }
        found
    }

    /// Binding fails because of what was there before this start.
    pub(super) fn address_of_another(&self, i: usize, step: &Step, failure: &Failure) -> Option<Diagnostic> {
        let socket = step.effects.iter().find_map(|e| match e {
            Effect::Bind { socket, options } if failure.message.starts_with(&format!("bind {socket}: ")) => {
                Some((socket, options))
            }
            _ => None,
        })?;
        let (socket, options) = socket;
        let uid = self.before(i)?.uid[1];
        let there = match socket {
            Socket::Abstract(name) => {
                self.snapshot.abstracts.get(name).is_some_and(|sorts| sorts.contains(&options.sort))
            }
            Socket::Unix(path) => {
                let files = self.files_at(i);
                let at = files.parent(self.before(i)?, path).ok()?;
                self.snapshot.file(&files.kept(&at)).is_some()
            }
            _ => occupant(&self.snapshot.ports, self.snapshot.v6_only, socket, options, uid).is_some(),
        };
        if !there {
            return None;
        }
        let reason = failure.why.clone().unwrap_or_else(|| format!("{socket} is in use on this machine"));
        let finding =
            Diagnostic::error("RSD0604", format!("`{}` will fail with EADDRINUSE: {reason}", step.phase));
        match self.running() {
            None => Some(finding),
            // It is most likely its own: what a start would meet is told by that finding.
            Some((path, _)) => {
                let mut finding = finding.note(format!(
                    "a daemon holds the lock of {}, and may be the one that has it: after `rsd stop` it is free",
                    path.display()
                ));
                finding.severity = Severity::Note;
                Some(finding)
            }
        }
    }

    /// The first PID file of this plan whose lock is held.
    fn running(&self) -> Option<(&Path, Lock)> {
        let held = self.snapshot.locks.iter().find(|(_, lock)| **lock != Lock::Free);
        held.map(|(path, lock)| (path.as_path(), *lock))
    }

    /// The daemon is up already: what a start would say.
    pub(super) fn already_running(&self) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        for (i, step, effect) in self.effects() {
            let (Effect::CheckPidFile { path } | Effect::CreatePidFile { path, .. }) = effect else {
                continue;
            };
            let Some(who) = self.before(i) else { continue };
            let files = self.files_at(i);
            let Ok(at) = files.parent(who, path) else { continue };
            let holder = match self.snapshot.locks.get(&*files.kept(&at)) {
                Some(Lock::Process(pid)) => format!("process {pid}"),
                Some(Lock::Somebody) => "another process".to_owned(),
                _ => continue,
            };
            let message = format!("it is running already: {holder} holds the lock of {}", at.display());
            if found.iter().any(|f| f.message == message) {
                continue;
            }
            found.push(
                Diagnostic::note_finding("RSD0522", message)
                    .at(step.at, "a start would end here, with exit status 5")
                    .phase(&step.phase)
                    .note("the order is judged as if that daemon were gone")
                    .help("stop it first (`rsd stop`), or give this one another PID file"),
            );
        }
        found
    }
}
