//! What a phase needs, and an earlier one has taken away; and who may take it away.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Setting, SystemCalls, Whose, calls};
use crate::plan::Step;
use crate::timeline::Failure;
use std::collections::BTreeSet;

impl Judge<'_> {
    /// A confinement that this process may not put on: it could still gain privileges.
    pub(super) fn may_not_confine(&self, i: usize, step: &Step, failure: &Failure) -> Option<Diagnostic> {
        if !step.effects.iter().any(|e| matches!(e, Effect::Process(s) if s.confines().is_some()))
            && self.confined_before(i).next().is_none()
        {
            return None;
        }
        let who = self.before(i).map(|id| self.who(id)).unwrap_or_default();
        let finding = Diagnostic::error(
            "RSD0317",
            format!("`{}` needs no_new_privs, or cap_sys_admin, and there is neither", step.phase),
        )
        .at(step.at, format!("runs as {who}"))
        .phase(&step.phase)
        .note(failure.message.clone());
        let set = |s: &Step| s.effects.contains(&Effect::Process(Setting::NoNewPrivileges));
        match self.steps().find(|(n, s)| *n > i && set(s)).map(|(_, s)| s) {
            Some(later) => {
                let finding = finding.with(later.at, "no_new_privs is set here, behind it");
                Some(finding.phase(&later.phase).sooner(&later.phase, &step.phase))
            }
            None => Some(finding.help(format!(
                "put a phase of kind `no-new-privileges` before `{}`: set-id programs would run under it \
                 otherwise",
                step.phase
            ))),
        }
    }

    /// The confinements that earlier steps have set.
    fn confined_before(&self, i: usize) -> impl Iterator<Item = (&Step, &Setting)> {
        self.effects().filter(move |(n, ..)| *n < i).filter_map(|(_, step, effect)| match effect {
            Effect::Process(setting) if setting.confines().is_some() => Some((step, setting)),
            _ => None,
        })
    }

    /// The filters among them.
    fn filters_before(&self, i: usize) -> impl Iterator<Item = (&Step, &SystemCalls)> {
        self.confined_before(i).filter_map(|(step, setting)| match setting {
            Setting::SystemCalls(filter) => Some((step, filter)),
            _ => None,
        })
    }

    /// Something that an earlier step has taken away.
    pub(super) fn taken_away(&self, i: usize, step: &Step, failure: &Failure) -> Diagnostic {
        let finding = Diagnostic::error("RSD0318", format!("`{}` needs what was taken away", step.phase))
            .at(step.at, failure.message.clone())
            .phase(&step.phase);
        let wanted: Vec<&str> = step.effects.iter().flat_map(Effect::system_calls).collect();
        let taken = self.filters_before(i).find_map(|(by, filter)| {
            // Only what begins the program has to get through the program's own filter.
            let own = filter.whose == Whose::Program && self.executes(step);
            let lacking =
                if own { filter.refused(["execve"]) } else { filter.refused(wanted.iter().copied()) };
            (!lacking.is_empty()).then_some((by, filter, lacking))
        });
        let Some((by, filter, lacking)) = taken else { return self.out_of_reach(i, finding, failure) };
        let denied: BTreeSet<&str> =
            filter.deny.iter().filter_map(|word| calls::meant(word)).flatten().collect();
        let (named, others): (Vec<&str>, Vec<&str>) =
            lacking.iter().partition(|call| denied.contains(**call));
        let mut groups: Vec<&str> = others.iter().map(|call| calls::group_of(call).unwrap_or(call)).collect();
        groups.sort_unstable();
        groups.dedup();
        let mut finding =
            finding.with(by.at, format!("from here on {} not let through", are(&lacking))).phase(&by.phase);
        if !named.is_empty() {
            finding =
                finding.help(format!("take {} out of `deny` of `{}`", crate::text::list(&named), by.phase));
        }
        if !groups.is_empty() {
            finding = finding.help(format!("allow {} in `{}`", crate::text::list(&groups), by.phase));
        }
        match filter.whose {
            Whose::Daemon => self
                .or_before(finding, step, by)
                .help("or let the filter be the program's alone: `who: program`"),
            Whose::Program => finding,
        }
    }

    /// A phase that can stand before the one that confines, does so.
    fn or_before(&self, finding: Diagnostic, step: &Step, by: &Step) -> Diagnostic {
        match step.down || step.serves() {
            true => finding,
            false => finding.sooner(&step.phase, &by.phase),
        }
    }

    fn executes(&self, step: &Step) -> bool {
        use crate::effect::Application::Start;
        self.command().is_some() && step.effects.iter().any(|e| matches!(e, Effect::Application(Start(_))))
    }

    /// A file or a port that Landlock does not leave.
    fn out_of_reach(&self, i: usize, finding: Diagnostic, failure: &Failure) -> Diagnostic {
        let finding = finding.note(failure.why.clone().unwrap_or_default());
        let found = self.confined_before(i).filter_map(|(by, setting)| match setting {
            Setting::Landlock(wanted) => Some((by, wanted)),
            _ => None,
        });
        let Some((by, wanted)) = found.last() else { return finding };
        let finding = finding
            .with(by.at, "from here on there is what is listed, and nothing else")
            .phase(&by.phase)
            .help(format!("list it in `{}`", by.phase));
        match (wanted.whose, self.plan.steps().get(i)) {
            (Whose::Daemon, Some(step)) => {
                self.or_before(finding, step, by).help("or let it be the program's alone: `who: program`")
            }
            _ => finding,
        }
    }
}

fn are(calls: &[&str]) -> String {
    match calls {
        [one] => format!("{one} is"),
        many => format!("{} are", crate::text::list(many)),
    }
}
