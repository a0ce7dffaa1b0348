//! The pure part of rsd: from the text of a spec to a checked plan, over the one loop that runs it,
//! to the timeline and its views.
//!
//! ```text
//! spec ──► plan ──► run ──► timeline ──► view
//! ```
//!
//! * [`spec`]: a spec as written, with positions, overlays applied; [`options`]: its values.
//! * [`plan`]: names, needs and order resolved; every step with its process, effects and reasons.
//! * [`effect`]: what can be done, as data, and [`effect::System`], the one seam to a world.
//! * [`model`]: a world in memory; [`simulate`]: the loop over it; [`rules`]: what its findings mean.
//! * [`run`]: the loop; [`state`]: its only list of legal transitions.
//! * [`timeline`]: events and the spans they make; [`view`]: how they are shown.
//! * [`diagnostic`]: what is wrong, where, why, and what to do.
//!
//! # Invariants
//!
//! 1. This crate performs no IO, reads no clock, contains no `unsafe`. What can be wrong in several
//!    ways at once returns `(T, Vec<Diagnostic>)` and reports all of it.
//! 2. A [`plan::Plan`] exists only if names, needs and order hold; a [`plan::Approved`] only if
//!    nothing else is an error. [`run::run`] takes nothing else, and [`plan::Approved::unchecked`]
//!    is the only other maker.
//! 3. Nothing reaches a machine except through [`effect::System::perform`].
//! 4. Nothing here names a phase kind: kinds come in a [`kind::Catalogue`]; twistd is a spec file.
//! 5. One thread until the application serves. No async runtime.
//! 6. A view is a pure function of plan and timeline; nothing asks a view.
//! 7. The journal is a copy for people: a failure to write it never fails the run. A failure to
//!    drop privileges always does.
//! 8. What the model predicted and what the host did are the same type, [`timeline::Timeline`], so
//!    that they can be compared, and the loop compares them.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod effect;
pub mod kind;
pub mod model;
pub mod options;
pub mod plan;
pub mod rules;
pub mod run;
pub mod simulate;
pub mod snapshot;
pub mod spec;
pub mod state;
pub mod text;
pub mod timeline;
pub mod view;
