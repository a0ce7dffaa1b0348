//! What fails when the plan is played: the step, the error, and what it means for the daemon.

use super::Judge;
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::effect::{Application, Capability, Effect, ErrorKind, Resource, Setting, Socket};
use crate::kind::Value;
use crate::plan::Step;
use crate::spec::OnFailure;
use crate::timeline::Failure;
use std::path::Path;

const ECHILD: i32 = 10;
const EMFILE: i32 = 24;
const EMLINK: i32 = 31;
const EAFNOSUPPORT: i32 = 97;
const EADDRNOTAVAIL: i32 = 99;

impl Judge<'_> {
    pub(super) fn failures(&self) -> Vec<Diagnostic> {
        let steps = self.plan.steps();
        let meant = |(i, _): &&(usize, &Failure)| {
            super::fail::asked_for(&steps[*i]).is_none() && !self.never_runs(&steps[*i])
        };
        let failed: Vec<(usize, &Failure)> = self.failed.iter().filter(meant).copied().collect();
        // What starts or serves the application fails again, for want of what an earlier step did not bring.
        let brings = |i: &usize| {
            let brings = |e: &Effect| {
                matches!(
                    e,
                    Effect::Bind { .. } | Effect::Application(Application::Load(_) | Application::Start(_))
                )
            };
            steps[*i].effects.iter().any(brings)
        };
        let first = failed.iter().map(|(i, _)| *i).find(brings);
        failed
            .iter()
            .filter(|(i, failure)| {
                let again = first.is_some_and(|first| first < *i) && failure.errno.is_none();
                // That its program is another's child is part of what RSD0520 says.
                let told = failure.errno == Some(ECHILD) && !self.started_as_another().is_empty();
                !((again || told) && starts(&steps[*i]))
            })
            .map(|(i, failure)| self.failure(*i, &steps[*i], failure))
            .collect()
    }

    fn failure(&self, i: usize, step: &Step, failure: &Failure) -> Diagnostic {
        if failure.kind == ErrorKind::Confined {
            return self.taken_away(i, step, failure);
        }
        if failure.lacks == Some(Capability::SysAdmin)
            && let Some(finding) = self.may_not_confine(i, step, failure)
        {
            return finding;
        }
        let who = self.before(i).map(|id| self.who(id)).unwrap_or_default();
        let name = failure.errno.and_then(crate::text::errno_name);
        let with = name.map_or_else(String::new, |name| format!(" with {name}"));
        let reason = failure.why.as_ref().unwrap_or(&failure.message);
        let will = format!("`{}` will fail{with}: {reason}", step.phase);
        let removes = step.effects.iter().any(|e| matches!(e, Effect::RemovePidFile { .. }));
        let finding = match failure.lacks {
            _ if step.down && removes => Diagnostic::warning("RSD0402", will)
                .help(match self.drop_before(i) {
                    Some(drop) => format!(
                        "give the PID file's directory to the user `{}` sets, or keep a guard and declare `privilege: privileged` on `{}`",
                        drop.phase, step.phase
                    ),
                    None => "choose a directory that this user may write".to_owned(),
                }),
            _ if step.down => {
                let socket = step.effects.iter().any(|e| matches!(e, Effect::RemoveSocket { .. }));
                let finding = Diagnostic::warning("RSD0403", will);
                match self.drop_before(i).filter(|_| socket) {
                    Some(drop) => finding.help(format!(
                        "give the socket's directory to the user `{}` sets, or keep a guard and declare `privilege: privileged` on `{}`",
                        drop.phase, step.phase
                    )),
                    None => finding,
                }
            }
            Some(capability) if capability != Capability::DacOverride && capability != Capability::Fowner => {
                let code_text = format!("`{}` needs {capability}", step.phase);
                let mut finding = self.privilege_gone(i, step, code_text, capability);
                if capability == Capability::NetBindService {
                    finding.code = "RSD0601";
                }
                let why = failure.why.iter().cloned();
                finding.notes.extend([failure.message.clone()].into_iter().chain(why));
                return finding;
            }
            _ if step.effects.iter().any(inherits) && failure.message.starts_with("take over") => {
                Diagnostic::error("RSD0606", will)
            }
            _ if matches!(failure.errno, Some(EAFNOSUPPORT | EADDRNOTAVAIL)) => {
                let finding = Diagnostic::error("RSD0607", will);
                self.left_its_network(&finding, i, step, failure).unwrap_or(finding)
            }
            _ if failure.errno == Some(98) => self
                .address_of_another(i, step, failure)
                .unwrap_or_else(|| self.address_in_use(i, step, will)),
            lacks => {
                let goes_on = step.on_failure == OnFailure::Continue && !step.effects.iter().any(declares);
                let mut finding =
                    self.left_outside(i, step, failure).unwrap_or_else(|| Diagnostic::error("RSD0403", will));
                if goes_on {
                    finding.severity = Severity::Warning;
                    finding = finding.note("`on-failure: continue`: the start goes on without it");
                }
                finding.unprivileged =
                    lacks.is_some_and(|c| !self.snapshot.identity.caps.has(c)) && self.drop_before(i).is_none();
                self.blame_the_mount(finding, i, step, failure)
            }
        };
        let runs = format!("runs as {who}");
        let limit = limit_of_files(&self.plan.steps()[..i]).filter(|_| failure.errno == Some(EMFILE));
        let mut finding = match (file(step, failure), limit) {
            (Some(at), _) => finding.at(at, "this file").with(step.at, runs),
            (_, Some((at, sets))) => {
                finding.at(at, "the limit of open files").with(step.at, runs).phase(&sets.phase)
            }
            _ => finding.at(step.at, runs),
        };
        finding = finding.phase(&step.phase);
        if let Some(drop) = self.drop_before(i).filter(|_| failure.lacks.is_some()) {
            finding = finding.with(drop.at, "privileges are dropped here, before it").phase(&drop.phase);
        }
        if failure.why.is_some() {
            finding.notes.push(failure.message.clone());
        }
        if finding.help.is_empty() {
            finding.help.extend(failure.help.clone());
        }
        if !finding.help.is_empty() {
            return finding;
        }
        match (failure.errno, self.drop_before(i)) {
            (Some(2), _) => match step.effects.iter().find_map(directory) {
                Some(dir) => {
                    finding.help(format!("make it first: install -d {}; or name another path", dir.display()))
                }
                None => finding.help("make what is missing, or name another path"),
            },
            (Some(20), _) => finding.help("name a path that leads through directories only"),
            (Some(EMLINK), _) => finding.help("remove this name, or let root own the directory"),
            (Some(36), _) => finding.help("choose a shorter name"),
            // As root it would be another program that serves.
            (Some(1 | 13), Some(_)) if starts(step) => finding
                .help(format!("let {who} reach and execute it, or put it where everybody may"))
                .help("or name another user"),
            (Some(1 | 13), Some(drop)) if !step.down => self
                .put_after(finding, drop, i)
                .sooner(&step.phase, &drop.phase)
                .help("or name a place where the new user may do it"),
            (Some(1 | 13), _) => finding.help("start it as a user who may, or name another path"),
            _ => finding,
        }
    }
}

/// The directory that an effect wants to be there.
fn directory(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::OpenLog { path, .. }
        | Effect::CreatePidFile { path, .. }
        | Effect::Bind { socket: Socket::Unix(path), .. } => path.parent(),
        Effect::Chdir { path } | Effect::Chroot { path } | Effect::PivotRoot { path } => Some(path),
        _ => None,
    }
}

/// Where the path is written of a file that cannot be read.
fn file(step: &Step, failure: &Failure) -> Option<Place> {
    let about = failure.message.strip_prefix("read the environment file ")?;
    let means =
        |path: &Path| about.strip_prefix(&*path.to_string_lossy()).is_some_and(|rest| rest.starts_with(": "));
    let written = step.given.iter().find(|w| matches!(&w.value, Value::Path(path) if means(path)));
    written.map(|w| w.at)
}

/// Where the limit of open files is written that is in force in a step, and the step that sets it.
fn limit_of_files(steps: &[Step]) -> Option<(Place, &Step)> {
    let sets = |e: &Effect| matches!(e, Effect::Process(Setting::Limit(Resource::Nofile, _)));
    let step = steps.iter().rev().find(|s| s.skipped.is_none() && s.effects.iter().any(sets))?;
    let written = step.given.iter().find(|w| w.param == Resource::Nofile.name());
    Some((written.map_or(step.at, |w| w.at), step))
}

/// True where sockets of the caller's are to be taken over.
fn inherits(effect: &Effect) -> bool {
    matches!(effect, Effect::Bind { socket: Socket::Inherited(_), .. })
}

/// True where the application is to run.
fn starts(step: &Step) -> bool {
    step.effects.iter().any(|e| matches!(e, Effect::Serve | Effect::Application(Application::Start(_))))
}

/// True for effects that make up what a spec declares of the daemon: identity, root, cwd, umask,
/// ports, its PID file. Without one of them it is not up as declared.
fn declares(effect: &Effect) -> bool {
    effect.changes_identity()
        || matches!(effect, Effect::Bind { .. } | Effect::CreatePidFile { .. } | Effect::Process(_))
}
