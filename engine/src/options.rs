//! The options of a run: values from the command line and from defaults, conditions on them, and
//! `${option}` in what a spec says.
// A finding is large, and a spec has few of them.
#![allow(clippy::result_large_err)]

mod names;
mod resolve;
mod socket;
mod substitute;
#[cfg(test)]
mod tests;
mod value;

pub use names::wanted_names;
pub use resolve::Settings;
pub(crate) use substitute::references;
pub use substitute::{check_references, substitute};
pub(crate) use value::duration;
pub use value::{parse, parse_given};

use std::path::PathBuf;

/// How the command was started, as far as values depend on it.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// the directory it was started in; relative paths begin there
    pub cwd: PathBuf,
    /// started as uid 0: what `when: root` asks
    pub root: bool,
    /// the instance's name: `${name}`
    pub name: String,
    /// user id it was started with
    pub uid: u32,
    /// group id it was started with
    pub gid: u32,
}

/// Reads a duration that is no option of a spec: `10s` as nanoseconds.
pub fn duration_text(text: &str) -> Result<u64, String> {
    duration(text).map_err(|(what, help)| format!("{what}; {help}"))
}

/// Reads a size that is part of a longer text: `10MiB` as bytes.
pub fn size_text(text: &str) -> Result<u64, String> {
    value::size(text).map_err(|(what, help)| format!("{what}; {help}"))
}
