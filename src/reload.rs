//! `rsd reload`: the running daemon gets HUP, or the signal that its program takes for that. The keeper opens the log
//! anew at HUP, and passes the signal on.

use crate::instance;
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
    let asked = prepared.matches.get_one::<String>("signal").map_or("HUP", String::as_str);
    let Some(signal) = passed_on(asked) else {
        output::complain(&format!(
            "error: --signal {}: write HUP, USR2, WINCH, ALRM, URG or CONT\n  \
             USR1 rotates the log, and TERM and INT stop the daemon: `rsd stop`\n",
            clean(asked)
        ));
        return exit::USAGE;
    };
    let (path, pid) = match instance::running(&prepared) {
        Ok(running) => running,
        Err(code) => return code,
    };
    let told = instance::handle(pid, &path).map(|pidfd| process::signal(&pidfd, signal));
    match told {
        Some(Ok(true)) => {
            output::print(&format!("{name}: process {pid} was told to reload ({signal})\n"));
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

/// A signal by its name, if it means to the program what it means to nobody before it.
fn passed_on(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    let bare = name.strip_prefix("SIG").unwrap_or(&name);
    let signal: Signal = format!("SIG{bare}").parse().ok()?;
    let known =
        [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGALRM, Signal::SIGURG];
    known.contains(&signal).then_some(signal)
}
