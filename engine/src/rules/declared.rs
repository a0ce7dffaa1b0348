//! A declared privilege beside what the effects really ask: the step is played once more by somebody
//! who has no more than was declared.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Capability, CapabilitySet, Effect, Identity, System};
use crate::model::Model;
use crate::plan::Step;
use crate::spec::Privilege;

/// So many files of the model are copied for this, in all: whatever a huge spec declares.
const COPIED: usize = 1_000_000;

impl Judge<'_> {
    /// A list of capabilities that is too short, and `root` where an ordinary user would do.
    pub(super) fn declared_and_needed(&self) -> Vec<Diagnostic> {
        let asks = |s: &Step| matches!(s.privilege, Privilege::Root | Privilege::Capabilities(_));
        if !self.steps().any(|(_, s)| asks(s)) {
            return Vec::new();
        }
        let mut model = Model::new(self.snapshot);
        let mut copied = 0;
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            let Some(before) = self.before(i) else { continue };
            model.assume(before.clone());
            match &step.privilege {
                Privilege::Root if self.root_is_not_needed(step, before, &model, &mut copied) => {
                    found.push(self.root_for_nothing(step));
                }
                Privilege::Capabilities(declared) => {
                    found.extend(self.too_few(step, before, declared, &mut model));
                    model.assume(before.clone());
                }
                _ => {}
            }
            for effect in &step.effects {
                // What fails is another rule's.
                let _ = model.perform(effect);
            }
        }
        found
    }

    /// What the effects need beyond the list: the step is tried with the list, and with what it lacked.
    fn too_few(
        &self,
        step: &Step,
        before: &Identity,
        declared: &[Capability],
        model: &mut Model,
    ) -> Option<Diagnostic> {
        let mut may = declared.iter().fold(0, |bits, c| bits | 1u64 << *c as u8);
        let mut lacks: Vec<(Capability, String)> = Vec::new();
        'again: loop {
            let caps = CapabilitySet(may & before.caps.0);
            model.assume(Identity { caps, permitted: caps, ..before.clone() });
            for effect in &step.effects {
                let Err(error) = model.perform(effect) else { continue };
                match error.lacks.filter(|c| before.caps.has(*c) && !caps.has(*c)) {
                    Some(capability) => {
                        may |= 1u64 << capability as u8;
                        lacks.push((capability, error.message));
                        continue 'again;
                    }
                    None => break 'again,
                }
            }
            break;
        }
        let names = |list: &mut dyn Iterator<Item = Capability>| -> Vec<&str> {
            list.map(Capability::name).collect()
        };
        let missing = names(&mut lacks.iter().map(|(c, _)| *c));
        if missing.is_empty() {
            return None;
        }
        let all = names(&mut declared.iter().copied().chain(lacks.iter().map(|(c, _)| *c)));
        let mut finding = Diagnostic::note_finding(
            "RSD0311",
            format!("`{}` needs {}, and does not declare it", step.phase, crate::text::list(&missing)),
        )
        .at(step.privilege_at, "declares less than its effects need")
        .phase(&step.phase);
        for (_, message) in &lacks {
            finding = finding.note(format!("with no more than it declares: {message}"));
        }
        Some(
            finding
                .note("this start has it; one that has only what the spec asks for fails here")
                .help(format!("write `privilege: [{}]`", all.join(", "))),
        )
    }

    /// True where the step does the same for whoever serves, or for an ordinary user.
    fn root_is_not_needed(&self, step: &Step, before: &Identity, model: &Model, copied: &mut usize) -> bool {
        let hosted = self
            .effects()
            .any(|(_, _, e)| matches!(e, Effect::Application(Application::Load(p)) if p.is_twisted()));
        let unknown = |e: &Effect| match e {
            Effect::KeepGuard | Effect::SetCredential { .. } => true,
            Effect::Application(Application::Start) => true,
            Effect::Application(_) => hosted,
            _ => false,
        };
        *copied += model.files().iter().count();
        if before.uid[1] != 0 || *copied > COPIED || step.effects.iter().any(unknown) {
            return false;
        }
        let mut ordinary = self.serving().filter(|s| s.uid[1] != 0).cloned().unwrap_or(Identity {
            uid: [NOBODY; 3],
            gid: [NOBODY; 3],
            ..Identity::default()
        });
        ordinary.root.clone_from(&before.root);
        ordinary.cwd.clone_from(&before.cwd);
        ordinary.umask = before.umask;
        ordinary.caps = CapabilitySet::EMPTY;
        let mut model = model.clone();
        model.assume(ordinary);
        step.effects.iter().all(|effect| model.perform(effect).is_ok())
    }

    fn root_for_nothing(&self, step: &Step) -> Diagnostic {
        let who = self.serving().filter(|s| s.uid[1] != 0).map_or(NOBODY, |s| s.uid[1]);
        Diagnostic::note_finding(
            "RSD0312",
            format!("`{}` demands root, and nothing that it does needs it", step.phase),
        )
        .at(step.privilege_at, "uid 0 is demanded here")
        .phase(&step.phase)
        .note(format!("played as uid {who}, without capabilities, every effect of it succeeds"))
        .note("for this line an ordinary user cannot start the daemon (RSD0303)")
        .help("leave `privilege` away; or declare `privileged`, which asks for no more than the start has")
    }
}

/// An ordinary user where the spec names none: the last one, who owns nothing.
const NOBODY: u32 = 65534;
