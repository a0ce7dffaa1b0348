//! A program is a process of its own from the moment it is started: what changes later is not its.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, CapabilitySet, Effect};
use crate::plan::Step;

fn capabilities(set: CapabilitySet) -> String {
    match set.len() {
        0 => "none".to_owned(),
        n => crate::text::count(n, "capability"),
    }
}

impl Judge<'_> {
    /// The step that starts a program (not an application that lives in the daemon's own process).
    fn starts_a_program(&self) -> Option<(usize, &Step)> {
        let program = |(_, _, e): &(usize, &Step, &Effect)| matches!(e, Effect::Application(Application::Load(p)) if !p.command.is_empty());
        self.effects().find(program)?;
        let start = self.effects().find(|(_, _, e)| matches!(e, Effect::Application(Application::Start(_))));
        start.map(|(i, step, _)| (i, step)).filter(|(_, step)| !self.fails(step))
    }

    /// The program is forked before the daemon is who it is to be, and stays who it was.
    pub(super) fn started_as_another(&self) -> Vec<Diagnostic> {
        let Some((s, start)) = self.starts_a_program() else { return Vec::new() };
        let (Some(program), Some(server)) = (self.before(s), self.serving()) else { return Vec::new() };
        let mut notes: Vec<String> = program
            .differences(server)
            .into_iter()
            .filter(|(field, ..)| !matches!(*field, "permitted" | "inheritable" | "ambient" | "bounding"))
            .map(|(field, has, meant)| match field {
                "caps" => format!(
                    "the program keeps {}, and the daemon serves with {}",
                    capabilities(program.caps),
                    capabilities(server.caps)
                ),
                _ => format!("the program keeps {field} {has}, and the daemon serves with {meant}"),
            })
            .collect();
        let later = |(i, _): &(usize, &Step)| *i > s;
        let forks = self.steps().filter(later).find(|(_, step)| step.effects.contains(&Effect::Daemonize));
        if let Some((_, daemonize)) = forks {
            notes.push(format!(
                "it is a child of the launcher, which leaves behind `{}`: the daemon cannot wait for it (ECHILD) or signal it",
                daemonize.phase
            ));
        }
        if notes.is_empty() {
            return Vec::new();
        }
        let changes: Vec<&Step> = self
            .steps()
            .filter(later)
            .filter(|(i, step)| {
                !step.serves()
                    && !step.down
                    && step.effects.iter().any(Effect::changes_identity)
                    && (self.before(*i) != self.after(*i) || step.effects.contains(&Effect::Daemonize))
            })
            .map(|(_, step)| step)
            .collect();
        let names: Vec<String> = changes.iter().map(|step| format!("`{}`", step.phase)).collect();
        let mut finding = Diagnostic::error(
            "RSD0520",
            format!("`{}` starts the program before {}", start.phase, crate::text::list(&names)),
        )
        .at(start.at, "the program is a process of its own from here on")
        .phase(&start.phase)
        .help(format!("put `{}` behind {}", start.phase, crate::text::list(&names)));
        for step in changes {
            finding = finding.with(step.at, "this does not reach it any more").phase(&step.phase);
        }
        finding.notes = notes;
        vec![finding]
    }

    /// The program is started while there is no log, so its output goes elsewhere.
    pub(super) fn started_before_the_log(&self) -> Vec<Diagnostic> {
        let Some((s, start)) = self.starts_a_program() else { return Vec::new() };
        let logs = |(_, _, e): &(usize, &Step, &Effect)| matches!(e, Effect::OpenLog { .. });
        let Some((l, log, _)) = self.effects().find(logs) else { return Vec::new() };
        if l < s || self.fails(log) {
            return Vec::new();
        }
        vec![
            Diagnostic::warning(
                "RSD0521",
                format!("`{}` opens the log when the program runs already", log.phase),
            )
            .at(start.at, "the program is given its output here")
            .with(log.at, "and the log is opened only here")
            .phase(&start.phase)
            .phase(&log.phase)
            .note("what it says goes to the null device, or to the terminal in the foreground, and never into the log")
            .help(format!("put `{}` before `{}`", log.phase, start.phase)),
        ]
    }
}
