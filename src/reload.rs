//! `rsd reload`: the running daemon gets HUP. Its keeper opens the log anew and passes the signal on.

use crate::instance::{self, State, look};
use crate::prepare::planned;
use crate::{exit, output};
use engine::text::clean;
use nix::sys::signal::Signal;
use phases::sys::process;

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match planned(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let name = clean(&prepared.name).into_owned();
    let State::Running(path, pid) = look(&prepared) else {
        output::complain(&format!("{name}: nothing was told: `rsd status` says what can be known\n"));
        return exit::NOT_RUNNING;
    };
    let told = instance::handle(pid, &path).map(|pidfd| process::signal(&pidfd, Signal::SIGHUP));
    match told {
        Some(Ok(true)) => {
            output::print(&format!("{name}: process {pid} was told to reload (SIGHUP)\n"));
            exit::FINE
        }
        None | Some(Ok(false)) => {
            output::complain(&format!("{name} is not running: process {pid} has just ended\n"));
            exit::NOT_RUNNING
        }
        Some(Err(error)) => {
            output::complain(&format!(
                "{name}: process {pid} cannot be signalled: {error}\n  do: run it as root, or as the user that started it\n"
            ));
            exit::PRIVILEGE
        }
    }
}
