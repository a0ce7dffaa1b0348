//! What a change of the root does to paths: the same words lead elsewhere afterwards.

use super::{Judge, changes_root};
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Identity};
use crate::plan::Step;
use std::path::Path;

impl Judge<'_> {
    /// The step that changed the root between two identities.
    fn chroot_to(&self, root: &Path) -> Option<&Step> {
        let enters = |(i, s): &(usize, &Step)| {
            s.effects.iter().any(changes_root) && self.after(*i).is_some_and(|a| a.root == root)
        };
        self.steps().find(enters).map(|(_, s)| s)
    }

    /// Where a path leads for that identity, in words.
    fn leads(&self, step: usize, who: &Identity, path: &Path) -> String {
        match self.files_at(step).parent(who, path) {
            Ok(at) => at.display().to_string(),
            Err(refusal) => {
                let error = refusal.of("");
                format!("nothing: {}", error.why.unwrap_or(error.message))
            }
        }
    }

    /// A log that stays outside the root, and was not given to whoever serves inside.
    pub(super) fn log_outside_the_root(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            for effect in &step.effects {
                let Effect::OpenLog { path, owner: None, .. } = effect else { continue };
                let Some(opener) = self.before(i).filter(|opener| opener.root != server.root) else {
                    continue;
                };
                let mut finding = Diagnostic::note_finding(
                    "RSD0405",
                    format!("the log {} stays outside the new root", path.display()),
                )
                .at(step.at, format!("opened here, as {}", self.leads(i, opener, path)))
                .phase(&step.phase)
                .note(format!("inside {} the same path leads to {}", server.root.display(), self.leads(self.serves.unwrap_or(i), server, path)))
                .note("rsd rotates and reopens it by the handle of its directory; what names it by its path finds another file or none, as twistd's own rotation does")
                .help(format!("look for the log outside; if that is meant, write `owner: dropped` on `{}`", step.phase));
                if let Some(chroot) = self.chroot_to(&server.root) {
                    finding =
                        finding.with(chroot.at, "the root is changed here, after it").phase(&chroot.phase);
                }
                found.push(finding);
            }
        }
        found
    }

    /// One PID file is checked and another is made.
    pub(super) fn pid_file_checked_elsewhere(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, check) in self.steps() {
            for effect in &check.effects {
                let Effect::CheckPidFile { path } = effect else { continue };
                let makes = |s: &Step| {
                    s.effects.iter().any(|e| matches!(e, Effect::CreatePidFile { path: p, .. } if p == path))
                };
                let Some((j, make)) = self.steps().find(|(j, s)| *j > i && makes(s)) else { continue };
                let (Some(then), Some(later)) = (self.before(i), self.before(j)) else { continue };
                if then.root == later.root {
                    continue;
                }
                let chroot = self.chroot_to(&later.root);
                let finding = Diagnostic::note_finding(
                    "RSD0406",
                    format!("`{}` looks at another PID file than `{}` makes", check.phase, make.phase),
                )
                .at(check.at, format!("looks at {}", self.leads(i, then, path)))
                .with(make.at, format!("makes {}", self.leads(j, later, path)))
                .phase(&check.phase)
                .phase(&make.phase)
                .note(format!("a daemon that runs already is noticed by `{}` only", make.phase));
                found.push(match chroot {
                    Some(chroot) => finding.sooner(&make.phase, &chroot.phase),
                    None => finding.help(format!("put `{}` before the root is changed", make.phase)),
                });
            }
        }
        found
    }
}
