//! Who owns what a phase makes, and what can be done with it later.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::Effect;
use crate::model::{Access, describe};
use crate::plan::Step;

impl Judge<'_> {
    pub(super) fn log_rotation(&self) -> Vec<Diagnostic> {
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

    pub(super) fn made_before_the_umask(&self) -> Vec<Diagnostic> {
        let umasks: Vec<(usize, &Step, u32)> = self
            .effects()
            .filter_map(|(i, s, e)| match e {
                Effect::Umask { mask } => Some((i, s, *mask)),
                _ => None,
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
