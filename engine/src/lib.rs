//! The pure part of rsd.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod effect;
pub mod kind;
pub mod plan;
pub mod snapshot;
pub mod spec;
pub mod state;
pub mod text;
pub mod timeline;
