//! A checked order: every phase once, with its process, its identity, and the reasons.

use crate::diagnostic::Place;
use crate::effect::Effect;
use crate::spec::{OnFailure, Privilege};
use crate::timeline::Process;
use serde::Serialize;

/// Why one step comes after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// it needs it
    Needs,
    /// privileged phases precede the drop, user phases follow it
    Privilege,
    /// the spec's `order`
    Order,
    /// down phases follow serve, all others precede it
    Serve,
    /// nothing but the place in the file
    File,
}

/// A direct edge to an earlier step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Because {
    /// number of the earlier step
    pub after: usize,
    /// why
    pub reason: Reason,
}

/// One phase in its place.
#[derive(Clone, Debug)]
pub struct Step {
    /// name of the phase
    pub phase: String,
    /// where the name stands in the spec
    pub at: Place,
    /// the groups it stands in, outermost first
    pub groups: Vec<String>,
    /// its kind
    pub kind: String,
    /// a sentence from the spec
    pub about: Option<String>,
    /// what it asks of the credential
    pub privilege: Privilege,
    /// the process it begins in
    pub process: Process,
    /// why it is skipped
    pub skipped: Option<String>,
    /// needs as written
    pub needs: Vec<String>,
    /// needs as steps of this plan
    pub needed: Vec<usize>,
    /// direct edges
    pub because: Vec<Because>,
    /// what it does
    pub effects: Vec<Effect>,
    /// runs after a failed start too
    pub always: bool,
    /// nanoseconds it may take
    pub timeout: Option<u64>,
    /// what happens when it fails
    pub on_failure: OnFailure,
    /// it needs the phase that serves, directly or not
    pub down: bool,
    /// it changes the uid away from the starting one
    pub drop: bool,
}

/// The order of a start-up.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) spec: String,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Name of the spec.
    pub fn spec(&self) -> &str {
        &self.spec
    }
    /// The steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}
