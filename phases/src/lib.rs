//! Everything of rsd that touches the machine: the catalogue of phase kinds, the host, the
//! applications it can run, the snapshot, the journal.

pub mod application;
pub mod host;
pub mod journal;
pub mod keeper;
pub mod kinds;
pub mod log;
pub mod notify;
pub mod python;
pub mod snapshot;
pub mod sys;
