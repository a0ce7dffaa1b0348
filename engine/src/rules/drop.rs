//! Whether there is a drop, and what it leaves behind.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Capability, CapabilitySet, Effect};
use crate::kind::Learns;
use crate::model::describe;
use crate::plan::Step;

impl Judge<'_> {
    /// A drop after which there are capabilities, or the group of root.
    pub(super) fn drop_that_keeps_something(&self) -> Vec<Diagnostic> {
        let start = &self.snapshot.identity;
        let mut found = Vec::new();
        for (i, step) in self.steps().filter(|(_, s)| s.drop) {
            let Some(after) = self.after(i).filter(|a| !a.uid.contains(&0) && a.uid[1] != start.uid[1])
            else {
                continue;
            };
            let meant = step.effects.iter().fold(CapabilitySet::EMPTY, |meant, e| match e {
                Effect::SetCredential { keep, .. } => CapabilitySet(meant.0 | keep.0),
                _ => meant,
            });
            let kept = CapabilitySet(after.caps.0 | after.permitted.0 | after.ambient.0).without(meant);
            if !kept.is_empty() {
                let names: Vec<&str> = kept.iter().map(Capability::name).take(4).collect();
                let more = (kept.len() as usize).saturating_sub(names.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let message = format!("the drop of `{}` keeps {}{more}", step.phase, names.join(", "));
                let way_back = kept.has(Capability::Setuid);
                let finding = match way_back {
                    true => Diagnostic::error("RSD0313", message).note(format!(
                        "whatever runs as uid {} becomes uid 0 with one call of setuid(0)",
                        after.uid[1]
                    )),
                    false => Diagnostic::warning("RSD0313", message),
                };
                found.push(
                    finding
                        .at(step.at, format!("from uid {} to uid {}", start.uid[1], after.uid[1]))
                        .phase(&step.phase)
                        .note("setresuid(2) clears the capabilities of a process that leaves uid 0 only; this start is another user that was given some")
                        .help("start it as root, where the drop takes all of them; or as the user itself, without capabilities"),
                );
            }
            let root_group = after.gid.contains(&0) || after.groups.contains(&0);
            if root_group && start.gid.contains(&0) {
                found.push(
                    Diagnostic::note_finding("RSD0313", format!("the drop of `{}` keeps group 0", step.phase))
                        .at(step.at, format!("uid {}, gid {} afterwards", after.uid[1], after.gid[1]))
                        .phase(&step.phase)
                        .note("what the group root may read or write, the daemon may: many files are 0:0 with mode 0640 or 0660")
                        .help("name a group of the daemon's own (`gid`), and take the user out of group 0"),
                );
            }
        }
        found
    }

    /// Root serves: nobody dropped it, or only its group.
    pub(super) fn nothing_drops_root(&self) -> Vec<Diagnostic> {
        let runs = |e: &Effect| matches!(e, Effect::Serve | Effect::Application(Application::Start));
        let serves = self.steps().filter(|(_, s)| s.effects.iter().any(runs)).last();
        let Some((i, serves)) = serves else { return Vec::new() };
        // A start that fails leaves nobody to serve.
        if !self.simulation.report.failures.is_empty() {
            return Vec::new();
        }
        let Some(server) = self.before(i).filter(|id| id.uid[1] == 0) else { return Vec::new() };
        let may_learn = |s: &Step| s.learns == Some(Learns::Credential);
        if self.steps().any(|(_, s)| s.drop || may_learn(s)) {
            return Vec::new();
        }
        let groups = |e: &Effect| matches!(e, Effect::SetCredential { gid: Some(gid), .. } if *gid != self.snapshot.identity.gid[1]);
        let group = self.steps().find(|(_, s)| s.effects.iter().any(groups));
        let note = format!("it runs as {}: whoever takes it over has the machine", describe(server));
        vec![match group {
            Some((_, step)) => Diagnostic::note_finding(
                "RSD0314",
                format!("`{}` gives the group up and not the user", step.phase),
            )
            .at(step.at, format!("gid {}, and still uid 0", server.gid[1]))
            .with(serves.at, "root serves here")
            .phase(&step.phase)
            .phase(&serves.phase)
            .note(note)
            .note("with cap_setgid the old group is one call away: setgid(0)")
            .help(format!("name the user on `{}` too (`uid`)", step.phase)),
            None => Diagnostic::note_finding("RSD0315", "nothing drops root")
                .at(serves.at, "root serves here")
                .phase(&serves.phase)
                .note(note)
                .help("name a user: `--uid` in the shipped specs, a phase that switches the user in one of your own"),
        }]
    }
}
