//! `rsd reload`: the running daemon gets HUP, or the signal that its program takes for that. The keeper opens the log
//! anew at HUP, and passes the signal on.

use crate::instance;
use crate::prepare::planned;
use crate::{exit, output};
use engine::text::clean;
use engine::timeline::Timeline;
use nix::sys::signal::Signal;
use phases::sys::process;
use std::time::{Duration, Instant};

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
    let before = instance::running_as(&prepared.name, pid);
    if let Some(why) = before.as_ref().and_then(|run| would_end(run, signal)) {
        output::complain(&format!(
            "{name}: {why}; nothing was sent\n  do: `{}`, with all that it was started with; or `--signal` with the one that it reloads by\n",
            prepared.again.line("restart")
        ));
        return exit::FAILED;
    }
    let told = instance::handle(pid, &path).map(|pidfd| process::signal(&pidfd, signal));
    match told {
        Some(Ok(true)) => {
            let done = before.and_then(|run| what_was_done(&prepared.name, pid, &run));
            let line = format!("{name}: process {pid} was told to reload ({signal})");
            match done {
                Some(then) if then.split(", ").any(|part| part.starts_with(phases::log::CANNOT)) => {
                    let log = then.starts_with(phases::log::CANNOT) && signal == Signal::SIGHUP;
                    let advice = match log {
                        true => "  do: give the log a directory of the daemon's user (rsd explain RSD0401)\n",
                        false => "  do: signal the program itself: it may have changed its user\n",
                    };
                    output::complain(&format!("{line}: {}\n{advice}", clean(&then)));
                    return exit::FAILED;
                }
                Some(then) => output::print(&format!("{line}: {}\n", clean(&then))),
                None => output::print(&format!("{line}\n")),
            }
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

/// How long the keeper may take to say what it has done.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the keeper has done with the signal, as its journal has it; `None` where there is none, or it takes long.
fn what_was_done(name: &str, pid: i32, before: &Timeline) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let now = instance::running_as(name, pid)?;
        if let Some((.., then)) = now.signals.get(before.signals.len()..).and_then(<[_]>::last) {
            return Some(then.clone());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Why the program is not to get that signal: it neither catches nor ignores it, and its default ends it.
fn would_end(run: &Timeline, signal: Signal) -> Option<String> {
    if matches!(signal, Signal::SIGWINCH | Signal::SIGCONT | Signal::SIGURG) {
        return None;
    }
    let program = run.forks.iter().rev().find(|(.., role)| role == "program")?.2 as i32;
    let heeds = phases::snapshot::heeds(program, signal)?;
    (!heeds)
        .then(|| format!("its program, process {program}, does not catch {signal}, and would be ended by it"))
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
