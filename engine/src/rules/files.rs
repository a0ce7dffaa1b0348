//! Who owns what a phase makes, and what can be done with it later.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Identity};
use crate::model::Access;
use crate::plan::Step;
use std::collections::BTreeMap;
use std::path::Path;

impl Judge<'_> {
    pub(super) fn log_rotation(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            // By the handle of its directory: what is mounted later does not matter.
            let files = self.files_at(i);
            for effect in &step.effects {
                let Effect::OpenLog { path, rotate_at, rotation, .. } = effect else { continue };
                let when = match (rotate_at, rotation.every) {
                    (Some(size), _) => format!("at {}", crate::text::count(*size, "byte")),
                    (None, Some(s)) => {
                        format!("every {}", crate::text::duration(s.saturating_mul(1_000_000_000)))
                    }
                    (None, None) => continue,
                };
                let Some(opener) = self.before(i) else { continue };
                let Ok(at) = files.parent(opener, path) else { continue };
                // What is no log will not be opened at all (RSD0403).
                if files.get(&at).is_some_and(|node| !node.is_file()) {
                    continue;
                }
                let dir = at.parent().unwrap_or(&at);
                let refused =
                    files.may_unlink(server, &at).and_then(|()| files.may(server, dir, Access::Write));
                let Err(refusal) = refused else { continue };
                let error = refusal.of("rename the log");
                let mut finding = Diagnostic::warning(
                    "RSD0401",
                    format!("the log {} cannot be rotated once {} serves", path.display(), self.who(server)),
                )
                .at(step.at, format!("opened here as {}", self.who(opener)))
                .phase(&step.phase)
                .note(format!("{when}: {}", error.message))
                .help(own_directory(path, server));
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
        // Of many phases that set the same mask only the next one is worth naming.
        let mut umasks: BTreeMap<u32, Vec<(usize, &Step)>> = BTreeMap::new();
        for (i, step, effect) in self.effects() {
            if let Effect::Umask { mask } = effect {
                umasks.entry(*mask).or_default().push((i, step));
            }
        }
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            for effect in &step.effects {
                let (Effect::OpenLog { path, mode, .. } | Effect::CreatePidFile { path, mode, .. }) = effect
                else {
                    continue;
                };
                let Some(maker) = self.before(i) else { continue };
                let then = maker.umask;
                let is_log = matches!(effect, Effect::OpenLog { .. });
                let files = self.files_at(i);
                let at = files.parent(maker, path);
                if is_log && at.is_ok_and(|at| self.snapshot.file(&files.kept(&at)).is_some()) {
                    // A log that is there already keeps its mode.
                    continue;
                }
                for (mask, steps) in &umasks {
                    let next = steps.partition_point(|(u, _)| *u <= i);
                    let Some((_, umask)) = steps.get(next) else { continue };
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
                            .sooner(&umask.phase, &step.phase),
                        );
                    }
                }
            }
        }
        found
    }
}

/// A directory that the log could have for itself, as a command.
fn own_directory(path: &Path, server: &Identity) -> String {
    let dir = path.with_extension("");
    // Without an ending the name of the directory would be that of the log, which may be there.
    let dir = if dir == path { path.with_extension("d") } else { dir };
    let log = dir.join(path.file_name().unwrap_or_default());
    format!(
        "give the log a directory of its own: install -d -o {} -g {} {}, and name it {}",
        server.uid[1],
        server.gid[1],
        dir.display(),
        log.display()
    )
}
