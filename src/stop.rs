//! `rsd stop`: the kernel says who holds the lock of the PID file, and that process is told to end.

use crate::instance::{self, State, look};
use crate::prepare::{Prepared, planned};
use crate::{exit, output};
use engine::text::clean;
use engine::timeline::{Outcome, Process};
use nix::sys::signal::Signal;
use phases::host::pid_file;
use phases::sys::lock::Holder;
use phases::sys::process;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match planned(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    stop(&prepared)
}

/// Stops what these arguments mean.
pub fn stop(prepared: &Prepared) -> i32 {
    let asked = prepared.matches.get_one::<String>("kill-after").map_or("10s", String::as_str);
    let Ok(patience) = engine::options::duration_text(asked) else {
        output::complain(&format!(
            "error: --kill-after {}: a number and a unit, such as 10s or 500ms\n",
            clean(asked)
        ));
        return exit::USAGE;
    };
    let name = clean(&prepared.name).into_owned();
    if let State::Clearing(path, guard) = look(prepared) {
        return match wait_for_guard(&name, &path, guard_of(&path)) {
            true => not_running(
                &name,
                &format!("it has ended, and its guard, process {guard}, removes what it left"),
            ),
            false => exit::FAILED,
        };
    }
    let (path, pid) = match look(prepared) {
        State::Ending(path, keeper) => (path, keeper),
        _ => match instance::running(prepared) {
            Ok(running) => running,
            Err(code) => return code,
        },
    };
    let steps = prepared.plan.iter().flat_map(|p| p.steps());
    let guarded = steps.filter(|s| s.skipped.is_none()).any(|s| s.process == Process::Guard);
    // The launcher of one that is starting removes what it has made, a moment later.
    let run = instance::running_as(&prepared.name, pid);
    let starting = run.as_ref().is_some_and(|run| run.ready_ns.is_none());
    // It runs, and its run is over: it is the program now.
    let replaced = run.is_some_and(|run| run.outcome == Outcome::Completed);
    // The options that led to a guard need not be given again.
    let guarded = guarded || phases::snapshot::has_guard(pid);
    let code = end(&name, &path, pid, patience, &Removers { guarded, starting, replaced });
    if code == exit::FINE {
        say_kept(&prepared.name, pid);
    }
    code
}

/// The kinds that take away what a daemon had; a note of theirs is about what stays.
const REMOVE: [&str; 3] = ["remove-directories", "remove-sockets", "remove-pid-file"];

/// Says what was not removed, as the daemon and its guard have noted it.
fn say_kept(name: &str, pid: i32) {
    let spans = instance::last_of(name, pid).map(|timeline| timeline.spans).unwrap_or_default();
    let removing = spans.iter().filter(|span| REMOVE.contains(&span.phase.kind.as_str()));
    let kept = removing.flat_map(|span| &span.notes).map(|note| format!("  kept: {}\n", clean(note)));
    output::complain(&kept.collect::<String>());
}

/// A keeper that is asked again kills its program, and what that has left: it has so long, in nanoseconds.
const KILLS: u64 = 5_000_000_000;

fn is_locked(path: &Path) -> bool {
    pid_file::look(path).is_ok_and(|found| found.is_some_and(|f| f.holder != Holder::Nobody))
}

fn not_running(name: &str, why: &str) -> i32 {
    output::complain(&format!("{name} is not running: {}\n", clean(why)));
    exit::NOT_RUNNING
}

/// A handle of the guard that holds the lock with the daemon, or after it.
fn guard_of(path: &Path) -> Option<OwnedFd> {
    let named = || pid_file::look(path).ok().flatten()?.guard;
    let guard = named()?;
    let pidfd = process::pidfd(nix::unistd::Pid::from_raw(guard)).ok()?;
    (named() == Some(guard)).then_some(pidfd)
}

/// What the next start makes must not be removed by the guard of the last. True when it is gone.
fn wait_for_guard(name: &str, path: &Path, guard: Option<OwnedFd>) -> bool {
    let gone = |guard: &OwnedFd| {
        process::wait_readable([guard.as_fd()], (pid_file::CLEARED / 1_000_000) as i32)
            .is_ok_and(|[gone]| gone)
    };
    if guard.as_ref().is_none_or(gone) {
        return true;
    }
    let who = pid_file::look(path).ok().flatten().and_then(|found| found.guard);
    let who = who.map_or_else(|| "its guard".to_owned(), |pid| format!("its guard, process {pid},"));
    output::complain(&format!(
        "{name}: it has ended, and {who} is still removing what it left\n  do: look at that process: it may be stopped, or a file system may not answer\n"
    ));
    false
}

/// Who else may remove its PID file, a moment after its end.
struct Removers {
    guarded: bool,
    /// its launcher waits, and undoes the start
    starting: bool,
    /// there is no keeper: the process has become the program
    replaced: bool,
}

/// A program that asks for time to stop gets so many times as long as it would have had.
const LONGEST: u64 = 10;

/// Waits until it is `gone`. Its program may ask for more time than `patience`. `Err` is how long it has been given since
/// `begin`, nanoseconds.
fn wait(
    (name, path, pid): (&str, &Path, i32),
    (begin, patience): (u64, u64),
    gone: impl Fn(u64) -> bool,
) -> Result<(), u64> {
    let last = begin.saturating_add(patience.saturating_mul(LONGEST));
    let (mut until, mut told) = (begin.saturating_add(patience), false);
    loop {
        if gone(until.saturating_sub(process::monotonic())) {
            return Ok(());
        }
        let found = pid_file::look(path).ok().flatten().filter(|found| found.holder == Holder::Process(pid));
        let asked = found.and_then(|found| found.lets_stop_by).map(|asked| asked.min(last));
        let Some(asked) = asked.filter(|asked| *asked > until) else {
            return Err(until.saturating_sub(begin));
        };
        if !std::mem::replace(&mut told, true) {
            output::complain(&format!(
                "{name}: it asks for more time (EXTEND_TIMEOUT_USEC), and gets up to {} in all; `rsd stop` once more kills it\n",
                engine::text::duration(last.saturating_sub(begin))
            ));
        }
        until = asked;
    }
}

fn end(name: &str, path: &Path, pid: i32, patience: u64, removers: &Removers) -> i32 {
    // The handle is of the process that has this number now: is it still the one that holds the lock?
    let Some(pidfd) = instance::handle(pid, path) else {
        return not_running(name, &format!("process {pid} has just let go of {}", path.display()));
    };
    let guard = guard_of(path);
    let begin = process::monotonic();
    match process::signal(&pidfd, Signal::SIGTERM) {
        Ok(true) => {}
        Ok(false) => return not_running(name, &format!("process {pid} has just ended")),
        Err(error) => {
            output::complain(&format!(
                "{name}: process {pid} cannot be signalled: {error}\n  do: run it as root, or as the user that started it\n"
            ));
            return exit::PRIVILEGE;
        }
    }
    let gone = |ns: u64| {
        process::wait_readable([pidfd.as_fd()], (ns / 1_000_000).min(i32::MAX as u64) as i32)
            .is_ok_and(|[g]| g)
    };
    let mut how = "stopped in";
    if let Err(given) = wait((name, path, pid), (begin, patience), gone) {
        how = "killed: it did not heed the request to stop for";
        output::complain(&format!(
            "{name}: process {pid} did not end within {}; it is killed\n",
            engine::text::duration(given)
        ));
        // Asked again, the keeper kills its program and comes down in order. Killed itself, it could
        // not: a program that does not heed TERM would stay.
        let _ = process::signal(&pidfd, Signal::SIGTERM);
    }
    if !gone(KILLS) && (process::signal(&pidfd, Signal::SIGKILL).is_err() || !gone(5_000_000_000)) {
        output::complain(&format!("{name}: process {pid} is still there\n"));
        return exit::FAILED;
    }
    let named = guard.is_some();
    if !wait_for_guard(name, path, guard) {
        return exit::FAILED;
    }
    // A guard whose number somebody else's lock hides may be removing the PID file at this moment.
    let mut left = path.exists();
    let removed = removers.starting || (removers.guarded && !named);
    for _ in 0..if removed { 1_000 } else { 0 } {
        if !left {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        left = path.exists();
    }
    // What it had forked a moment before its end may not have let go of the lock yet.
    let mut held = left && is_locked(path);
    for _ in 0..200 {
        if !held {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        held = is_locked(path);
    }
    let took = engine::text::duration(process::monotonic().saturating_sub(begin));
    output::print(&format!("{name}: process {pid} {how} {took}\n"));
    if held {
        output::complain(&format!(
            "  somebody holds the lock of {} all the same: another start, or a process that it left\n",
            clean(&path.display().to_string())
        ));
    } else if left {
        let (why, code) = match removers.replaced {
            true => ("the program had taken the place of who would have removed it", "RSD0507"),
            false => ("the daemon was not allowed to remove it", "RSD0402"),
        };
        output::complain(&format!(
            "  its PID file {} is left behind, and stale: {why}\n  why: rsd trace; rsd explain {code}\n",
            clean(&path.display().to_string())
        ));
    }
    exit::FINE
}
