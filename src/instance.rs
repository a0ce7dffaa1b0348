//! A daemon that may be running: its PID file, its journals.

use crate::prepare::Prepared;
use crate::{exit, output};
use clap::parser::ValueSource;
use engine::effect::Effect;
use engine::state::Phase;
use engine::text::clean;
use engine::timeline::{Outcome, Timeline};
use phases::host::pid_file::{self, Doubt};
use phases::sys::lock::Holder;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The directory of the journals of that name, for this user.
pub fn journals(name: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let root = nix::unistd::geteuid().is_root();
    phases::journal::directory(root, name, state.as_deref(), home.as_deref())
}

/// The directory that holds those of every name.
pub fn all_journals() -> Option<PathBuf> {
    journals("-")?.parent().map(Path::to_owned)
}

/// Where the plan makes its PID file, as seen from here, and whether its directory is there.
fn pid_file(prepared: &Prepared) -> Option<(PathBuf, bool)> {
    let (plan, simulation) = (prepared.plan.as_ref()?, prepared.simulation.as_ref()?);
    let (step, path) = plan.effects().find_map(|(step, effect)| match effect {
        Effect::CreatePidFile { path, .. } => Some((step, path.clone())),
        _ => None,
    })?;
    let root = simulation.timeline.spans.get(step)?.identity_before.as_deref()?.root.clone();
    if root == Path::new("/") {
        return Some((path, true));
    }
    let outside = root.join(path.strip_prefix("/").unwrap_or(&path));
    // Links on the way lead inside the daemon's root, as the daemon saw them, and never out of it to
    // the PID file of another.
    match phases::host::pid_file::parent_in_root(&root, &path) {
        Some(dir) => Some((dir.join(path.file_name()?), true)),
        None => Some((outside, false)),
    }
}

/// Where the plan has its log, as seen from here.
pub fn log(prepared: &Prepared) -> Option<PathBuf> {
    if nowhere(prepared, of_log).is_some() {
        return None;
    }
    let (plan, simulation) = (prepared.plan.as_ref()?, prepared.simulation.as_ref()?);
    let (step, path) = plan.effects().find_map(|(step, effect)| match effect {
        Effect::OpenLog { path, .. } => Some((step, path.clone())),
        _ => None,
    })?;
    let root = simulation.timeline.spans.get(step)?.identity_before.as_deref()?.root.clone();
    if root == Path::new("/") {
        return Some(path);
    }
    Some(phases::host::pid_file::parent_in_root(&root, &path)?.join(path.file_name()?))
}

/// Why it cannot be told where something of the daemon is: its path, or that of the root it is in, begins at a
/// working directory that was removed.
pub fn nowhere(prepared: &Prepared, path: fn(&Effect) -> Option<&Path>) -> Option<String> {
    let path = prepared.leads_nowhere(path)?;
    Some(format!(
        "{} is looked for in the working directory, and that was removed; ask from the directory that the daemon was \
         started in, or name it by its absolute path",
        path.display()
    ))
}

/// The path of a log, or of the root that it may be in.
pub fn of_log(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::OpenLog { path, .. } | Effect::Chroot { path } | Effect::PivotRoot { path } => Some(path),
        _ => None,
    }
}

fn of_pid_file(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::CreatePidFile { path, .. } | Effect::Chroot { path } | Effect::PivotRoot { path } => {
            Some(path)
        }
        _ => None,
    }
}

/// A handle of the process with that number, if it is still the one that holds the lock.
pub fn handle(pid: i32, path: &Path) -> Option<OwnedFd> {
    let pidfd = phases::sys::process::pidfd(nix::unistd::Pid::from_raw(pid)).ok()?;
    let found = pid_file::look(path).ok().flatten()?;
    (found.process(path) == Ok(pid)).then_some(pidfd)
}

/// The timelines of that name that are kept, the newest first.
fn timelines(name: &str) -> impl Iterator<Item = Timeline> {
    let all = journals(name).map(|dir| phases::journal::list(&dir)).unwrap_or_default();
    all.into_iter().rev().filter_map(|path| crate::trace::runs::read(&path).ok())
}

/// The timeline of the run that this process is the daemon of, if its journal is kept.
pub fn timeline_of(name: &str, pid: i32) -> Option<Timeline> {
    timelines(name).find(|t| {
        let replaced = || t.outcome == Outcome::Completed && was_started_by(pid, t);
        t.stayed() as i32 == pid && (t.outcome == Outcome::Running || replaced())
    })
}

/// Whether a process is as old as that run: numbers come again. The run of one that became its program is over.
fn was_started_by(pid: i32, timeline: &Timeline) -> bool {
    /// ticks of the kernel, and a clock that is set right meanwhile
    const ABOUT: u64 = 2_000_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let Some(process) = phases::snapshot::process(pid) else { return false };
    let started = now.saturating_sub(process.up_ns);
    let end = timeline.wall_ns.saturating_add(timeline.end_ns);
    (timeline.wall_ns.saturating_sub(ABOUT)..=end.saturating_add(ABOUT)).contains(&started)
}

/// The same of a daemon that has just ended, however it did.
pub fn last_of(name: &str, pid: i32) -> Option<Timeline> {
    timelines(name).find(|t| t.stayed() as i32 == pid)
}

/// The same, whatever name the run had: by the directory of this name first, then by any journal that is held.
pub fn running_as(name: &str, pid: i32) -> Option<Timeline> {
    timeline_of(name, pid).or_else(|| {
        let all = crate::trace::runs::journals(None).into_iter().rev();
        all.filter(|path| phases::journal::is_held(path))
            .filter_map(|path| crate::trace::runs::read(&path).ok())
            .find(|t| t.stayed() as i32 == pid && t.outcome == Outcome::Running)
    })
}

/// The addresses that were bound, as the host noted them: the port is there where 0 was asked for.
pub fn listening(timeline: &Timeline) -> impl Iterator<Item = String> {
    let notes = timeline.spans.iter().flat_map(|span| &span.notes);
    let bound = notes.filter_map(|note| note.strip_prefix("listening on "));
    bound.map(|rest| {
        let ends = [", in place of", ", which was handed to us"].iter().filter_map(|end| rest.find(end));
        rest.get(..ends.min().unwrap_or(rest.len())).unwrap_or(rest).to_owned()
    })
}

/// Where the daemon waits for clients: what was bound for it, and what its program has bound itself, as far as that can
/// be seen. `None` where nothing is known.
pub fn waits_at(pid: i32, timeline: Option<&Timeline>) -> Option<Vec<String>> {
    let held = phases::snapshot::held(pid);
    let seen: Vec<String> = held.waiting.iter().map(ToString::to_string).collect();
    // In a root of its own a program has other paths than the machine.
    let elsewhere = phases::snapshot::credential(pid).is_none_or(|who| who.root.as_deref() != Some("/"));
    let file =
        |socket: &str| socket.strip_prefix("unix:/").and_then(|p| p.rsplit('/').next()).map(str::to_owned);
    let same = |a: &str, b: &str| a == b || (elsewhere && file(a).is_some() && file(a) == file(b));
    // One that was bound for it may be closed by now.
    let is_open = |noted: &String| !held.whole || seen.iter().any(|socket| same(socket, noted));
    let mut all: Vec<String> = timeline.into_iter().flat_map(listening).filter(is_open).collect();
    for socket in seen {
        if !all.iter().any(|noted| same(&socket, noted)) {
            all.push(socket);
        }
    }
    (timeline.is_some() || held.whole).then_some(all)
}

/// The process that is to be told something, and the PID file that leads to it. `Err` is an exit code: there is
/// none, or it cannot be told which, and that was said.
pub fn running(prepared: &Prepared) -> Result<(PathBuf, i32), i32> {
    let name = clean(&prepared.name).into_owned();
    let (code, text) = match look(prepared) {
        State::Running(path, pid) => return Ok((path, pid)),
        State::NoPidFile => (
            exit::USAGE,
            format!("{name}: this plan makes no PID file, so it cannot be told which process is meant"),
        ),
        State::Gone(path) => (
            exit::NOT_RUNNING,
            format!("{name} is not running: there is no PID file {}", clean(&path.display().to_string())),
        ),
        State::Stale(path) => (
            exit::NOT_RUNNING,
            format!(
                "{name} is not running: nobody holds the lock of {}, which is stale",
                clean(&path.display().to_string())
            ),
        ),
        State::Clearing(_, guard) => (
            exit::NOT_RUNNING,
            format!(
                "{name} is not running: it has ended, and its guard, process {guard}, removes what it left"
            ),
        ),
        State::Ending(_, pid) => (exit::NOT_RUNNING, format!("{name} is not running: {}", ending(pid))),
        State::Unnamed(path, doubt) => (
            exit::PRIVILEGE,
            format!(
                "{name}: somebody holds the lock of {}, and it cannot be proved who; nothing was signalled\n  why: {doubt}",
                clean(&path.display().to_string())
            ),
        ),
        State::Unknown(why) => (exit::PRIVILEGE, format!("{name}: {}", clean(&why))),
    };
    output::complain(&format!("{text}\n{}", hint(prepared)));
    Err(code)
}

/// What a keeper does whose program has ended.
pub fn ending(keeper: i32) -> String {
    format!("it has ended, and its keeper, process {keeper}, ends what it left running")
}

/// Where a name was given without its spec, and its last run was of another than is looked at: a line that says so.
pub fn hint(prepared: &Prepared) -> String {
    let typed = |id| prepared.matches.value_source(id) == Some(ValueSource::CommandLine);
    let last = || {
        let last = phases::journal::list(&journals(&prepared.name)?).pop()?;
        Some(crate::trace::runs::glance(&last).ok()?.spec).filter(|spec| spec != prepared.spec_name())
    };
    match (typed("name") && !typed("spec")).then(last).flatten() {
        Some(spec) => format!(
            "  do: say --spec, too: the last run of {} was of the spec `{}`\n",
            clean(&prepared.name),
            clean(&spec)
        ),
        None => other_options(prepared).unwrap_or_default(),
    }
}

/// Where a daemon of that name runs that was started with another PID file or log: a line that says so.
fn other_options(prepared: &Prepared) -> Option<String> {
    let all = journals(&prepared.name).map(|dir| phases::journal::list(&dir)).unwrap_or_default();
    let held = all.into_iter().rev().filter(|path| phases::journal::is_held(path));
    let runs = held.filter_map(|path| crate::trace::runs::read(&path).ok());
    let run = runs.into_iter().find(|run| run.outcome == Outcome::Running)?;
    let made = |kind: &str| {
        let span = run.spans.iter().find(|span| span.phase.kind == kind && span.state == Phase::Done)?;
        let root = &span.identity_before.as_deref()?.root;
        Some(engine::effect::outside(root, Path::new(&span.phase.detail)))
    };
    let is = |its: &Path, ours: Option<&Path>| {
        let resolved = |path: &Path| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
        ours.is_some_and(|ours| ours == its || resolved(ours).is_some_and(|ours| Some(ours) == resolved(its)))
    };
    let (pid_file, log) = (pid_file(prepared).map(|(path, _)| path), log(prepared));
    let other = |what: &str, its: PathBuf| {
        format!("say the options that it was started with: its {what} is {}", its.display())
    };
    let advice = match (made("create-pid-file"), made("start-logger")) {
        (Some(its), _) if !is(&its, pid_file.as_deref()) => other("PID file", its),
        (Some(its), _) if !its.exists() => {
            format!(
                "end it by its number: its PID file {} was removed, or is in a mount namespace of its own",
                its.display()
            )
        }
        (_, Some(its)) if !is(&its, log.as_deref()) => other("log", its),
        _ => return None,
    };
    Some(format!(
        "  process {} is a {} that runs (`rsd trace {}`)\n  do: {}\n",
        run.stayed(),
        clean(&prepared.name),
        clean(&run.run),
        clean(&advice)
    ))
}

/// What can be told of it.
pub enum State {
    /// nothing: no PID file is planned
    NoPidFile,
    /// no PID file there
    Gone(PathBuf),
    /// a PID file whose lock nobody holds
    Stale(PathBuf),
    /// running, by the kernel's word or by a content that was proved
    Running(PathBuf, i32),
    /// not running any more, and this process, its guard, removes what it left
    Clearing(PathBuf, i32),
    /// not running any more, and this process, its keeper, ends what the program has left
    Ending(PathBuf, i32),
    /// running, and it cannot be proved as which process
    Unnamed(PathBuf, Doubt),
    /// it cannot be told
    Unknown(String),
}

/// Looks.
pub fn look(prepared: &Prepared) -> State {
    if let Some(why) = nowhere(prepared, of_pid_file) {
        return State::Unknown(why);
    }
    let Some((path, there)) = pid_file(prepared) else { return State::NoPidFile };
    if !there {
        return State::Gone(path);
    }
    match pid_file::look(&path) {
        Err(error) if error.errno == Some(nix::libc::EACCES) => {
            State::Unknown(format!("{error}; ask as root, or as the user that started it"))
        }
        Err(error) => State::Unknown(match &error.why {
            Some(why) => format!("{error}: {why}"),
            None => error.to_string(),
        }),
        Ok(None) => State::Gone(path),
        Ok(Some(found)) => match (found.holder, found.clearing(&path)) {
            (Holder::Nobody, _) => State::Stale(path),
            (_, Some(guard)) => State::Clearing(path, guard),
            _ => match found.process(&path) {
                Ok(pid) if found.ending == Some(pid) => State::Ending(path, pid),
                Ok(pid) => State::Running(path, pid),
                Err(doubt) => State::Unnamed(path, doubt),
            },
        },
    }
}
