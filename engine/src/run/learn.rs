//! Going on with another plan: what a loaded application brings could not be known before.

use super::{Loop, header};
use crate::diagnostic::{Diagnostic, Severity};
use crate::effect::{Application, Brought, Effect, System, SystemError};
use crate::plan::Plan;
use crate::timeline::{PhaseHeader, Timeline, What};
use std::ops::Deref;
use std::rc::Rc;

/// A plan made again, and judged.
#[derive(Clone, Debug, Default)]
pub struct Replanned {
    /// the plan, if there is one
    pub plan: Option<Plan>,
    /// what is wrong with it that was not known before; an error fails the phase that loaded
    pub findings: Vec<Diagnostic>,
    /// what the model says of it
    pub predicted: Option<Timeline>,
}

/// Makes the plan again from the same spec, options and machine.
pub type Replan<'a> = &'a dyn Fn(&Brought) -> Replanned;

/// What was given at the start, or learned since.
pub(super) enum Known<'a, T> {
    Given(&'a T),
    Learned(Rc<T>),
}

impl<T> Clone for Known<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Known::Given(given) => Known::Given(given),
            Known::Learned(learned) => Known::Learned(learned.clone()),
        }
    }
}

impl<T> Deref for Known<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Known::Given(given) => given,
            Known::Learned(learned) => learned,
        }
    }
}

/// What this effect brought. A Twisted application that brings nothing has told that, too.
pub(super) fn brought(effect: &Effect, told: Option<Box<Brought>>) -> Option<Brought> {
    let twisted = matches!(effect, Effect::Application(Application::Load(p)) if p.is_twisted());
    told.map(|b| *b).or_else(|| twisted.then(Brought::default))
}

impl<S: System> Loop<'_, S> {
    /// Takes the plan that follows from what the application brings, from the step behind `i` on.
    pub(super) fn learn(&mut self, i: usize, brought: &Brought) -> Result<(), SystemError> {
        let Some(replan) = self.how.replan else {
            return match brought.user.is_some() || brought.gid.is_some() {
                true => Err(SystemError::new("the application names who it is to run as")
                    .why("this run has no way to plan again with it")),
                false => Ok(()),
            };
        };
        let Replanned { plan, findings, predicted } = replan(brought);
        // The drop itself says it best: what else fails for want of privilege follows from it.
        let drops = |phase: &String| plan.iter().flat_map(|p| &p.steps).any(|s| s.drop && s.phase == *phase);
        let errors = || findings.iter().filter(|f| f.is_error());
        if let Some(error) = errors().find(|f| f.phases.iter().any(drops)).or_else(|| errors().next()) {
            return Err(refusal(error, brought));
        }
        let Some(mut plan) = plan else {
            return Err(SystemError::new("there is no plan for what the application brings"));
        };
        if !same_order(&self.plan, &plan) {
            return Err(SystemError::new("what the application brings would change the order of the phases")
                .help("write it into the spec or give it as an option, so that it is known before"));
        }
        let phase = self.plan.steps[i].phase.clone();
        for finding in findings.iter().filter(|f| f.severity == Severity::Warning) {
            let note = format!("{}: {}", finding.code, finding.message);
            self.say(What::Note { phase: phase.clone(), note });
        }
        // What is behind us was done as it was planned then.
        plan.steps[..=i].clone_from_slice(&self.plan.steps[..=i]);
        self.system.learned(&plan)?;
        let changed: Vec<PhaseHeader> = (plan.steps.iter().zip(&self.plan.steps))
            .filter(|(new, old)| new.effects != old.effects || new.skipped != old.skipped)
            .map(|(new, _)| header(&plan, new))
            .collect();
        if !changed.is_empty() {
            self.say(What::Replan { phases: changed });
        }
        self.plan = Known::Learned(Rc::new(plan));
        self.predicted = predicted.map(|t| Known::Learned(Rc::new(t)));
        Ok(())
    }
}

fn same_order(old: &Plan, new: &Plan) -> bool {
    old.steps.len() == new.steps.len()
        && old
            .steps
            .iter()
            .zip(&new.steps)
            .all(|(old, new)| (&old.phase, old.process, old.down) == (&new.phase, new.process, new.down))
}

/// An error of the new plan, as the failure of the phase that loaded the application.
fn refusal(finding: &Diagnostic, brought: &Brought) -> SystemError {
    let mut why = vec![format!("the application {}", says(brought))];
    why.extend(finding.notes.iter().cloned());
    let mut error = SystemError::new(format!("{}: {}", finding.code, finding.message)).why(why.join("; "));
    if !finding.help.is_empty() {
        error = error.help(finding.help.join("; "));
    }
    error
}

/// What it brings, for people.
fn says(brought: &Brought) -> String {
    let user = brought.user.as_ref().map(|u| match u.name.parse::<u32>() {
        Ok(_) => format!("uid {}", u.uid),
        Err(_) => format!("user {} ({})", u.name, u.uid),
    });
    let gid = brought.gid.map(|g| format!("gid {g}"));
    let logger = brought.logger.as_ref().map(|l| format!("its own logger, {l}"));
    let all: Vec<_> = [user, gid, logger].into_iter().flatten().collect();
    format!("names {}", if all.is_empty() { "nothing".to_owned() } else { all.join(", ") })
}
