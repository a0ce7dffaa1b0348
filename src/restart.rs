//! `rsd restart`: judged first, then stopped, then started. What the check refuses leaves the running one alone.

use crate::instance::{State, look};
use crate::prepare::prepare;
use crate::{exit, output, run, stop};
use engine::diagnostic::Diagnostic;

/// That an address is in use: by the very daemon that is to be stopped.
const IN_USE: &str = "RSD0604";

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match prepare(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let refused = |f: &&Diagnostic| f.is_error() && f.code != IN_USE;
    let unchecked = prepared.matches.get_flag("unchecked");
    if prepared.plan.is_none() || (!unchecked && prepared.findings.iter().any(|f| refused(&f))) {
        output::findings(&prepared.findings, &prepared.sources);
        output::complain("nothing was touched, and what runs goes on: the start would be refused\n");
        return if prepared.unprivileged() { exit::PRIVILEGE } else { exit::REFUSED };
    }
    if !matches!(look(&prepared), State::Gone(_) | State::Stale(_)) {
        let code = stop::stop(&prepared);
        if code != exit::FINE && code != exit::NOT_RUNNING {
            return code;
        }
    }
    drop(prepared);
    run::command(argv)
}
