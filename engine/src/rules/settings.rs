//! Settings that an order makes void: set, and gone or without effect when the daemon serves.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Capability, CapabilitySet, Effect, Setting};
use crate::plan::Step;

fn names(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter().map(Capability::name).collect();
    crate::text::list(&names)
}

impl Judge<'_> {
    fn set_here(&self) -> impl Iterator<Item = (usize, &Step, &Setting)> {
        self.steps().filter(|(_, s)| !s.down).flat_map(|(i, step)| {
            step.effects.iter().filter_map(move |e| match e {
                Effect::Process(setting) => Some((i, step, setting)),
                _ => None,
            })
        })
    }

    /// Capabilities that were asked for, and that the drop clears.
    pub(super) fn capabilities_cleared_by_the_drop(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step, setting) in self.set_here() {
            let Setting::Capabilities { permitted, inheritable, ambient } = setting else { continue };
            let Some(drop) = self.steps().find(|(d, s)| *d > i && s.drop).map(|(_, s)| s) else { continue };
            let lost =
                [(permitted, server.permitted), (inheritable, server.inheritable), (ambient, server.ambient)]
                    .into_iter()
                    .filter_map(|(asked, has)| asked.map(|asked| asked.without(has)))
                    .fold(CapabilitySet::EMPTY, |all, set| CapabilitySet(all.0 | set.0));
            if lost.is_empty() {
                continue;
            }
            found.push(
                Diagnostic::error(
                    "RSD0316",
                    format!("`{}` gives {}, and the drop takes it away", step.phase, names(lost)),
                )
                .at(step.at, "set here")
                .with(drop.at, "leaving uid 0 clears every capability set here")
                .phase(&step.phase)
                .phase(&drop.phase)
                .note("the ambient set is cleared by setresuid even where the permitted one is kept (capabilities(7))")
                .help(format!("name them under `capabilities` of `{}`, which keeps them", drop.phase)),
            );
        }
        found
    }

    /// A setting that a program which runs already does not get.
    pub(super) fn set_behind_the_start(&self) -> Vec<Diagnostic> {
        let starts =
            |s: &Step| s.effects.iter().any(|e| matches!(e, Effect::Application(Application::Start(_))));
        let Some((at, start)) = self.steps().find(|(_, s)| starts(s)) else { return Vec::new() };
        if self.command().is_none() {
            return Vec::new();
        }
        // That the program is another than the daemon shows in the identity: RSD0520 is about that.
        let inherited = |e: &&Effect| match e {
            Effect::Process(setting) => !matches!(setting, Setting::NoNewPrivileges | Setting::SecureBits(_)),
            e => matches!(e, Effect::Environment(_)),
        };
        self.steps()
            .filter(|(i, s)| *i > at && !s.down && !s.serves())
            .filter_map(|(_, step)| Some((step, step.effects.iter().find(inherited)?)))
            .map(|(step, effect)| {
                let message = format!("`{}` comes too late: the program runs already", step.phase);
                // Who it is, is what was declared of it; the rest it can do without, and differs.
                let declared = |e: &Effect| {
                    e.changes_identity() || matches!(e, Effect::Process(s) if s.confines().is_some())
                };
                let finding = match step.effects.iter().any(declared) {
                    true => Diagnostic::error("RSD0510", message),
                    false => Diagnostic::warning("RSD0510", message),
                };
                finding
                    .at(step.at, format!("{effect}: for this process, and what it starts from here on"))
                    .with(start.at, "the program is started here, and inherits what was set before")
                    .phase(&step.phase)
                    .phase(&start.phase)
                    .help(format!("put `{}` before `{}`", step.phase, start.phase))
            })
            .collect()
    }

    /// An environment that an application in this very process has read before.
    pub(super) fn environment_behind_the_application(&self) -> Vec<Diagnostic> {
        let loads = |s: &Step| {
            s.effects.iter().any(|e| matches!(e, Effect::Application(Application::Load(p)) if p.is_twisted()))
        };
        let Some((at, load)) = self.steps().find(|(_, s)| loads(s)) else { return Vec::new() };
        self.steps()
            .filter(|(i, s)| *i > at && s.effects.iter().any(|e| matches!(e, Effect::Environment(_))))
            .map(|(_, step)| {
                Diagnostic::warning(
                    "RSD0509",
                    format!("`{}` comes too late: the application has read the environment", step.phase),
                )
                .at(step.at, "the environment is changed here")
                .with(load.at, "Python begins here, and copies the environment (os.environ)")
                .phase(&step.phase)
                .phase(&load.phase)
                .help(format!("put `{}` before `{}`", step.phase, load.phase))
            })
            .collect()
    }

    /// The program that is loaded, where it is one.
    pub(super) fn command(&self) -> Option<&str> {
        self.plan.effects().find_map(|(_, e)| match e {
            Effect::Application(Application::Load(program)) => program.command.first().map(String::as_str),
            _ => None,
        })
    }

    /// A set-id program that no_new_privs makes an ordinary one.
    pub(super) fn set_id_without_effect(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving().filter(|s| s.no_new_privs) else { return Vec::new() };
        let Some((_, step, _)) = self.set_here().find(|(_, _, s)| **s == Setting::NoNewPrivileges) else {
            return Vec::new();
        };
        let path = self.command().and_then(|word| self.snapshot.programs.get(word)?.as_ref());
        let files = self.files_served();
        let Some((path, node)) = path.and_then(|p| {
            let at = files.resolve(server, p).ok()?;
            Some((p, files.get(&at)?))
        }) else {
            return Vec::new();
        };
        let user = node.mode & 0o4000 != 0 && node.uid != server.uid[1];
        let group = node.mode & 0o2010 == 0o2010 && node.gid != server.gid[1];
        if !user && !group {
            return Vec::new();
        }
        let who = match user {
            true => format!("uid {}", node.uid),
            false => format!("gid {}", node.gid),
        };
        vec![
            Diagnostic::warning(
                "RSD0511",
                format!("{} is set-id, and `{}` makes that void", path.display(), step.phase),
            )
            .at(step.at, "from here on execve(2) gives no privileges")
            .phase(&step.phase)
            .note(format!("it would become {who}; it stays {}:{}", server.uid[1], server.gid[1]))
            .help(format!(
                "give it what it needs itself (a user, `capabilities`), or skip `{}` if it must change its user",
                step.phase
            )),
        ]
    }
}
