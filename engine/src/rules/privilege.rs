//! What is asked of the credential, and whether it is there: drops, guards, ways back.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::Capability;
use crate::plan::{Reason, Step, Why, why};
use crate::spec::Privilege;
use crate::timeline::Process;

impl Judge<'_> {
    pub(super) fn declared_privileges(&self) -> Vec<Diagnostic> {
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
    pub(super) fn privilege_gone(
        &self,
        i: usize,
        step: &Step,
        what: String,
        capability: Capability,
    ) -> Diagnostic {
        let had = self.snapshot.identity.caps.has(capability);
        let who = self.before(i).map(|id| self.who(id)).unwrap_or_default();
        match self.drop_before(i) {
            Some(drop) if had => {
                let finding = Diagnostic::error("RSD0301", format!("{what}, and that is gone by then"))
                    .at(step.at, format!("runs as {who}"))
                    .with(drop.at, "privileges are dropped here, before it")
                    .phase(&step.phase)
                    .phase(&drop.phase);
                let finding = self.put_after(finding, drop, i);
                finding.sooner(&step.phase, &drop.phase)
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

    /// Where it is written that a step comes after another, such as the drop, if it is.
    pub(super) fn put_after(&self, mut finding: Diagnostic, drop: &Step, i: usize) -> Diagnostic {
        let steps = self.plan.steps();
        // Where very many phases fail, the first of them say why they stand there.
        let Some(left) = self.chains.get().checked_sub(steps.len()) else { return finding };
        self.chains.set(left);
        let chain = self.plan.find(&drop.phase).map(|d| why(self.plan, d, i));
        let Some(Why::Because(chain)) = chain else {
            return finding.note(format!(
                "nothing but the place in the file puts `{}` behind `{}`",
                steps[i].phase, drop.phase
            ));
        };
        for (from, reason, to) in chain {
            let at = steps[to].because.iter().find(|b| b.step() == from).and_then(|b| b.at);
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

    /// A drop that leaves root, or another way up, within reach.
    pub(super) fn drop_that_can_be_taken_back(&self) -> Vec<Diagnostic> {
        let start = self.snapshot.identity.uid[1];
        let mut found = Vec::new();
        for (i, step) in self.steps().filter(|(_, s)| s.drop) {
            let Some(after) = self.after(i) else { continue };
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

    pub(super) fn unguarded_down_phases(&self) -> Vec<Diagnostic> {
        self.steps()
            .filter(|(_, s)| s.down && matches!(s.privilege, Privilege::Privileged | Privilege::Root))
            .filter(|(_, s)| s.process != Process::Guard && !self.fails(s))
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
}
