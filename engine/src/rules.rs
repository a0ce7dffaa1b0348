//! What the model's findings mean: codes, places, what will happen, what to do.

mod application;
pub mod pages;
mod root;

use crate::diagnostic::Diagnostic;
use crate::effect::{Capability, Effect, Identity};
use crate::model::{Access, describe};
use crate::plan::{Plan, Reason, Step, Why, why};
use crate::simulate::{Simulation, simulate};
use crate::snapshot::Snapshot;
use crate::spec::{OnFailure, Privilege};
use crate::timeline::{Failure, Process};

/// Judges a plan on the machine that the snapshot shows.
pub fn judge(plan: &Plan, snapshot: &Snapshot) -> (Simulation, Vec<Diagnostic>) {
    let stage = tracing::info_span!(target: "rsd", "simulate").entered();
    let simulation = simulate(plan, snapshot);
    drop(stage);
    let _stage = tracing::info_span!(target: "rsd", "rules").entered();
    let judge = Judge { plan, snapshot, simulation: &simulation };
    let mut findings = judge.declared_privileges();
    findings.extend(judge.failures());
    findings.extend(judge.unguarded_down_phases());
    findings.extend(judge.pid_file_of_a_process_that_exits());
    findings.extend(judge.chroot_without_chdir());
    findings.extend(judge.log_rotation());
    findings.extend(judge.made_before_the_umask());
    findings.extend(judge.drop_that_can_be_taken_back());
    findings.extend(judge.log_outside_the_root());
    findings.extend(judge.pid_file_checked_elsewhere());
    findings.extend(judge.code_read_as_root());
    findings.extend(judge.library_out_of_reach());
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    (simulation, findings)
}

struct Judge<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    simulation: &'a Simulation,
}

impl Judge<'_> {
    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.plan.steps().iter().enumerate().filter(|(_, s)| s.skipped.is_none())
    }

    fn before(&self, step: usize) -> Option<&Identity> {
        self.simulation.timeline.spans.get(step)?.identity_before.as_deref()
    }

    /// Who serves; who is left at the end where nothing serves.
    fn serving(&self) -> Option<&Identity> {
        let serve = self.steps().find(|(_, s)| s.serves()).map(|(i, _)| i);
        match serve {
            Some(i) => self.before(i),
            None => self.simulation.timeline.spans.iter().rev().find_map(|s| s.identity_after.as_deref()),
        }
    }

    fn drop_before(&self, step: usize) -> Option<&Step> {
        self.steps().take_while(|(i, _)| *i < step).filter(|(_, s)| s.drop).map(|(_, s)| s).last()
    }

    fn declared_privileges(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let start = &self.snapshot.identity;
        for (i, step) in self.steps() {
            match &step.privilege {
                Privilege::Root if start.uid[1] != 0 => {
                    let mut finding = Diagnostic::error(
                        "RSD0303",
                        format!("`{}` demands root, and this start is uid {}", step.phase, start.uid[1]),
                    )
                    .at(step.privilege_at, "uid 0 is demanded here")
                    .phase(&step.phase)
                    .help("start it as root; or declare `privileged`, which asks for no more than the start has");
                    finding.unprivileged = true;
                    found.push(finding);
                }
                Privilege::Capabilities(wanted) => {
                    let Some(has) = self.before(i) else { continue };
                    let lacks: Vec<_> = wanted.iter().filter(|c| !has.caps.has(**c)).collect();
                    let Some(first) = lacks.first() else { continue };
                    let names: Vec<_> = lacks.iter().map(|c| c.name()).collect();
                    let what = format!("`{}` asks for {}", step.phase, crate::text::list(&names));
                    let mut finding = self.privilege_gone(i, step, what, **first);
                    finding = finding.with(step.privilege_at, "asked for here");
                    found.push(finding);
                }
                _ => {}
            }
        }
        found
    }

    /// A privilege is asked for that is gone by then, or was never there.
    fn privilege_gone(&self, i: usize, step: &Step, what: String, capability: Capability) -> Diagnostic {
        let had = self.snapshot.identity.caps.has(capability);
        let who = self.before(i).map(describe).unwrap_or_default();
        match self.drop_before(i) {
            Some(drop) if had => {
                let finding = Diagnostic::error("RSD0301", format!("{what}, and that is gone by then"))
                    .at(step.at, format!("runs as {who}"))
                    .with(drop.at, "privileges are dropped here, before it")
                    .phase(&step.phase)
                    .phase(&drop.phase);
                let finding = self.put_after(finding, drop, i);
                finding.help(format!("put `{}` before `{}`", step.phase, drop.phase))
            }
            _ => {
                let mut finding =
                    Diagnostic::error("RSD0302", format!("{what}, and this start does not have it"))
                        .at(step.at, format!("runs as {who}"))
                        .phase(&step.phase)
                        .help(format!("start it as root, or with {capability} (in a container: --cap-add)"));
                finding.unprivileged = !had;
                finding
            }
        }
    }

    /// Where it is written that a step comes after the drop, if it is.
    fn put_after(&self, mut finding: Diagnostic, drop: &Step, i: usize) -> Diagnostic {
        let steps = self.plan.steps();
        let chain = self.plan.find(&drop.phase).map(|d| why(self.plan, d, i));
        let Some(Why::Because(chain)) = chain else {
            return finding.note(format!(
                "nothing but the place in the file puts `{}` behind `{}`",
                steps[i].phase, drop.phase
            ));
        };
        for (from, reason, to) in chain {
            let at = steps[to].because.iter().find(|b| b.after == from).and_then(|b| b.at);
            let (from, to) = (&steps[from].phase, &steps[to].phase);
            let text = match reason {
                Reason::Needs => format!("`{to}` needs `{from}`"),
                Reason::Order => format!("order puts `{to}` behind `{from}`"),
                Reason::Privilege => format!("privilege puts `{to}` behind `{from}`"),
                Reason::Serve | Reason::File => continue,
            };
            if let Some(at) = at {
                finding = finding.with(at, text);
            }
        }
        finding
    }

    fn failures(&self) -> Vec<Diagnostic> {
        self.simulation
            .report
            .failures
            .iter()
            .filter_map(|(phase, failure)| {
                let i = self.plan.find(phase)?;
                Some(self.failure(i, &self.plan.steps()[i], failure))
            })
            .collect()
    }

    fn failure(&self, i: usize, step: &Step, failure: &Failure) -> Diagnostic {
        let who = self.before(i).map(describe).unwrap_or_default();
        let name = failure.errno.and_then(crate::text::errno_name);
        let with = name.map_or_else(String::new, |name| format!(" with {name}"));
        let will = format!("`{}` will fail{with}", step.phase);
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
            _ if step.down => Diagnostic::warning("RSD0403", will),
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
            _ if failure.errno == Some(98) => {
                let mut finding = Diagnostic::error("RSD0602", will)
                    .help("bind an address once; several phases can share what one has bound");
                let binds = |s: &Step, e: &Effect| matches!(e, Effect::Bind { .. }) && s.effects.contains(e);
                let first = self.steps().find(|(n, s)| *n < i && step.effects.iter().any(|e| binds(s, e)));
                if let Some((_, first)) = first {
                    finding = finding.with(first.at, "bound here already").phase(&first.phase);
                }
                finding
            }
            lacks => {
                let goes_on = step.on_failure == OnFailure::Continue && !step.effects.iter().any(declares);
                let mut finding = match goes_on {
                    true => Diagnostic::warning("RSD0403", will)
                        .note("`on-failure: continue`: the start goes on without it"),
                    false => Diagnostic::error("RSD0403", will),
                };
                finding.unprivileged =
                    lacks.is_some_and(|c| !self.snapshot.identity.caps.has(c)) && self.drop_before(i).is_none();
                finding
            }
        };
        let mut finding = finding.at(step.at, format!("runs as {who}")).phase(&step.phase);
        if let Some(drop) = self.drop_before(i).filter(|_| failure.lacks.is_some()) {
            finding = finding.with(drop.at, "privileges are dropped here, before it").phase(&drop.phase);
        }
        finding.notes.push(failure.message.clone());
        finding.notes.extend(failure.why.clone());
        finding.help.extend(failure.help.clone());
        if finding.help.is_empty() {
            finding.help.extend(match (failure.errno, self.drop_before(i)) {
                (Some(2), _) => Some("make what is missing, or name another path".to_owned()),
                (Some(1 | 13), Some(drop)) => Some(format!(
                    "put `{}` before `{}`, or name a place that is the new user's",
                    step.phase, drop.phase
                )),
                (Some(1 | 13), None) => Some("start it as a user who may, or name another path".to_owned()),
                _ => None,
            });
        }
        finding
    }

    /// A drop that leaves root, or another way up, within reach.
    fn drop_that_can_be_taken_back(&self) -> Vec<Diagnostic> {
        let start = self.snapshot.identity.uid[1];
        let mut found = Vec::new();
        for (i, step) in self.steps().filter(|(_, s)| s.drop) {
            let span = self.simulation.timeline.spans.get(i);
            let Some(after) = span.and_then(|s| s.identity_after.as_ref()) else { continue };
            if after.uid[1] == start || ![after.uid[0], after.uid[2]].contains(&start) {
                continue;
            }
            found.push(
                Diagnostic::warning("RSD0308", format!("the drop of `{}` can be taken back", step.phase))
                    .at(step.at, "only the effective ids are set here")
                    .phase(&step.phase)
                    .note(format!(
                        "the process has uid {} (real), {} (effective), {} (saved) afterwards: whatever runs in it becomes uid {start} again with one call of seteuid({start})",
                        after.uid[0],
                        after.uid[1],
                        after.uid[2]
                    ))
                    .help("set all three ids: leave `effective` (`--euid`) away"),
            );
        }
        found
    }

    fn unguarded_down_phases(&self) -> Vec<Diagnostic> {
        let failing = |phase: &str| self.simulation.report.failures.iter().any(|(p, _)| p == phase);
        self.steps()
            .filter(|(_, s)| s.down && matches!(s.privilege, Privilege::Privileged | Privilege::Root))
            .filter(|(_, s)| s.process != Process::Guard && !failing(&s.phase))
            .filter_map(|(i, step)| {
                let drop = self.drop_before(i)?;
                Some(
                    Diagnostic::warning(
                        "RSD0306",
                        format!(
                            "`{}` is privileged and runs after the drop, with no guard to run it",
                            step.phase
                        ),
                    )
                    .at(step.privilege_at, "asks for what the process was started with")
                    .with(drop.at, "privileges are dropped here")
                    .phase(&step.phase)
                    .phase(&drop.phase)
                    .help("add a phase that keeps a guard: it runs such phases after the daemon's end"),
                )
            })
            .collect()
    }

    fn pid_file_of_a_process_that_exits(&self) -> Vec<Diagnostic> {
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

    fn chroot_without_chdir(&self) -> Vec<Diagnostic> {
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

    fn log_rotation(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let files = self.simulation.model.files();
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            for effect in &step.effects {
                let Effect::OpenLog { path, rotate_at, rotation, .. } = effect else { continue };
                let when = match (rotate_at, rotation.every) {
                    (Some(size), _) => format!("at {size} bytes"),
                    (None, Some(s)) => {
                        format!("every {}", crate::text::duration(s.saturating_mul(1_000_000_000)))
                    }
                    (None, None) => continue,
                };
                let Some(opener) = self.before(i) else { continue };
                let Ok(at) = files.parent(opener, path) else { continue };
                let dir = at.parent().unwrap_or(&at);
                let refused =
                    files.may_unlink(server, &at).and_then(|()| files.may(server, dir, Access::Write));
                let Err(refusal) = refused else { continue };
                let error = refusal.of("rename the log");
                let mut finding = Diagnostic::warning(
                    "RSD0401",
                    format!("the log {} cannot be rotated once {} serves", path.display(), describe(server)),
                )
                .at(step.at, format!("opened here as {}", describe(opener)))
                .phase(&step.phase)
                .note(format!("{when}: {}", error.message))
                .help(format!(
                    "put the log into a directory of its own that belongs to {}:{}",
                    server.uid[1], server.gid[1]
                ));
                finding.notes.extend(error.why);
                if let Some(drop) = self.drop_before(self.plan.steps().len()) {
                    finding = finding.with(drop.at, "privileges are dropped here").phase(&drop.phase);
                }
                found.push(finding);
            }
        }
        found
    }

    fn made_before_the_umask(&self) -> Vec<Diagnostic> {
        let umasks: Vec<(usize, &Step, u32)> = self
            .steps()
            .flat_map(|(i, s)| {
                s.effects.iter().filter_map(move |e| match e {
                    Effect::Umask { mask } => Some((i, s, *mask)),
                    _ => None,
                })
            })
            .collect();
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            for effect in &step.effects {
                let (Effect::OpenLog { path, mode, .. } | Effect::CreatePidFile { path, mode, .. }) = effect
                else {
                    continue;
                };
                let Some(then) = self.before(i).map(|id| id.umask) else { continue };
                for (_, umask, mask) in umasks.iter().filter(|(u, _, _)| *u > i) {
                    let (made, meant) = (mode & !then, mode & !mask);
                    if made & !meant != 0 {
                        found.push(
                            Diagnostic::note_finding(
                                "RSD0404",
                                format!("{} is made with mode {made:04o}, before the umask that would make it {meant:04o}", path.display()),
                            )
                            .at(step.at, format!("made here under umask {then:03o}"))
                            .with(umask.at, format!("the umask becomes {mask:03o} here"))
                            .phase(&step.phase)
                            .phase(&umask.phase)
                            .help(format!("put `{}` before `{}`", umask.phase, step.phase)),
                        );
                    }
                }
            }
        }
        found
    }
}

/// True for effects that make up what a spec declares of the daemon: identity, root, cwd, umask,
/// ports, its PID file. Without one of them it is not up as declared.
fn declares(effect: &Effect) -> bool {
    effect.changes_identity() || matches!(effect, Effect::Bind { .. } | Effect::CreatePidFile { .. })
}
