//! The loop of [`crate::run`] over the [`Model`]: what would happen, before anything does.

use crate::model::Model;
use crate::plan::Plan;
use crate::run::{How, Report, go};
use crate::snapshot::Snapshot;
use crate::timeline::{Recorder, Timeline};

/// What the model says of a plan.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// every step with the identity before and after; of the phases only what tells them apart, the plan has
    /// the rest
    pub timeline: Timeline,
    /// what fails
    pub report: Report,
    /// the world at the end
    pub model: Model,
}

/// Plays the whole plan: every process, and on after failures, so that all of them are found.
pub fn simulate(plan: &Plan, snapshot: &Snapshot) -> Simulation {
    let mut model = Model::new(snapshot);
    let mut recorder = Recorder::default();
    let how = How { whole: true, ..How::default() };
    let report = go(plan, &mut model, &mut |event| recorder.record(event), &how);
    Simulation { timeline: recorder.timeline(), report, model }
}
