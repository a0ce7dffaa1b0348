//! The loop of [`crate::run`] over the [`Model`]: what would happen, before anything does.

use crate::model::Model;
use crate::plan::Plan;
use crate::run::{How, Report, go};
use crate::snapshot::Snapshot;
use crate::timeline::Timeline;

/// What the model says of a plan.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// every step with the identity before and after
    pub timeline: Timeline,
    /// what fails
    pub report: Report,
    /// the world at the end
    pub model: Model,
}

/// Plays the whole plan: every process, and on after failures, so that all of them are found.
pub fn simulate(plan: &Plan, snapshot: &Snapshot) -> Simulation {
    let mut model = Model::new(snapshot);
    let mut events = Vec::with_capacity(plan.steps().len() * 3 + 4);
    let how = How { whole: true, ..How::default() };
    let report = go(plan, &mut model, &mut |event| events.push(event), &how);
    Simulation { timeline: Timeline::from_events(&events), report, model }
}
