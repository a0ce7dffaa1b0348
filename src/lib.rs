//! The command `rsd`: arguments in, engine called, text and exit code out. One file a subcommand.

mod again;
mod args;
mod check;
mod complete;
mod explain;
mod instance;
mod json;
mod kinds;
mod logs;
mod output;
mod plan;
mod prepare;
mod profile;
mod reload;
mod restart;
mod run;
mod snapshot_file;
mod source;
mod specs;
mod status;
mod stop;
mod trace;
mod twistd;

use std::ffi::OsString;

/// Exit codes, DESIGN section 4.
pub mod exit {
    /// fine
    pub const FINE: i32 = 0;
    /// a phase failed and everything was undone
    pub const FAILED: i32 = 1;
    /// the command line is wrong
    pub const USAGE: i32 = 2;
    /// not running
    pub const NOT_RUNNING: i32 = 3;
    /// not enough privilege
    pub const PRIVILEGE: i32 = 4;
    /// the code of LSB for what cannot be told
    pub const UNKNOWN: i32 = 4;
    /// the spec was refused
    pub const REFUSED: i32 = 6;
}

/// Runs the command line and returns its exit code.
pub fn main(argv: Vec<OsString>) -> i32 {
    let argv = match args::texts(argv) {
        Ok(argv) => argv,
        Err(code) => return code,
    };
    if twistd::called(&argv) {
        return twistd::command(&argv, argv.get(1..).unwrap_or_default());
    }
    // What a start and a stop do counts, not what they could say of it.
    match argv.get(1).map(String::as_str) {
        Some("run") => run::command(&argv),
        Some("stop") => stop::command(&argv),
        Some("restart") => restart::command(&argv),
        Some("reload") => reload::command(&argv),
        Some("logs") => logs::command(&argv),
        Some("twistd") => twistd::command(&argv, argv.get(2..).unwrap_or_default()),
        _ => output::exit_code(shows(&argv)),
    }
}

/// The subcommands that show something.
fn shows(argv: &[String]) -> i32 {
    match argv.get(1).map(String::as_str) {
        Some("check") => profile::profiled(argv, || check::command(argv)),
        Some("plan") => profile::profiled(argv, || plan::command(argv)),
        Some("status") => status::command(argv),
        _ => match args::plain(argv) {
            Err(code) => code,
            Ok(matches) => match matches.subcommand() {
                Some(("trace", m)) => profile::profiled(argv, || trace::command(m)),
                Some(("specs", m)) => specs::command(m),
                Some(("kinds", m)) => kinds::command(m),
                Some(("explain", m)) => explain::command(m),
                Some(("completions", m)) => complete::command(m),
                _ => exit::USAGE,
            },
        },
    }
}
