//! After every step the process is read back, and compared with what the model said of it.

use super::Loop;
use crate::effect::{Effect, ErrorKind, System, SystemError};
use crate::state::Phase;
use crate::timeline::{Divergence, What};

impl<S: System> Loop<'_, S> {
    /// From here on this process is compared with itself, too.
    pub(super) fn begin_comparing(&mut self) {
        if self.predicted.is_some() {
            self.standing = self.system.standing().ok();
            self.differing.clear();
        }
    }

    /// Says in what the process is not who the model said after a step, each difference once for as long as
    /// it lasts. In a strict run the answer is why the phase fails.
    pub(super) fn compare(&mut self, i: usize) -> Option<SystemError> {
        if self.predicted.is_none() || self.unwinding {
            return None;
        }
        let differing = self.differing(i);
        let new: Vec<Divergence> = differing.iter().filter(|d| !self.known(d)).cloned().collect();
        self.differing = differing;
        for divergence in &new {
            self.say(What::Divergence(divergence.clone()));
            self.system.differs(divergence);
        }
        let error = new.first().filter(|_| self.how.strict).map(|first| {
            SystemError::new(first.sentence())
                .why(format!("the run is strict; it may mean that {}", first.meaning()))
                .help(
                    "look into it, and judge the start again with `rsd check`; without `--strict` it goes on",
                )
                .kind(ErrorKind::Diverged)
        });
        self.report.divergences.extend(new);
        error
    }

    fn known(&self, divergence: &Divergence) -> bool {
        let same = |d: &Divergence| {
            (&d.field, &d.predicted, &d.observed)
                == (&divergence.field, &divergence.predicted, &divergence.observed)
        };
        divergence.field != STATE && self.differing.iter().any(same)
    }

    fn differing(&mut self, i: usize) -> Vec<Divergence> {
        let (plan, timeline) = (self.plan.clone(), self.predicted.clone());
        let step = &plan.steps[i];
        let daemonized = step.effects.contains(&Effect::Daemonize);
        if !self.read {
            self.note_identity();
        }
        let mut found = self.standing_differs(daemonized);
        let span = timeline.as_ref().and_then(|t| t.spans.get(i)).filter(|s| s.phase.name == step.phase);
        if let Some(span) = span {
            if span.state == Phase::Failed {
                let why = span.error.as_ref().map_or("", |e| e.message.as_str());
                found.push((STATE, format!("failed ({why})"), "done".to_owned()));
            }
            if let (Some(predicted), Some((_, observed))) = (span.identity_after.as_deref(), &self.identity) {
                found.extend(predicted.differences(observed));
            }
        }
        let effect = step.effects.last().map(Effect::to_string).unwrap_or_default();
        let divergence = |(field, predicted, observed): (&str, String, String)| Divergence {
            phase: step.phase.clone(),
            effect: effect.clone(),
            field: field.to_owned(),
            predicted,
            observed,
        };
        found.into_iter().map(divergence).collect()
    }

    fn standing_differs(&mut self, daemonized: bool) -> Vec<(&'static str, String, String)> {
        let Ok(found) = self.system.standing() else { return Vec::new() };
        let expected = self.standing.replace(found);
        expected.map(|expected| expected.differences(&found, daemonized)).unwrap_or_default()
    }
}

/// The field of a phase that the model said fails, and that did not.
const STATE: &str = "state";
