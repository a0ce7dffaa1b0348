//! A daemon that may be running: its PID file, its journals.

use crate::prepare::Prepared;
use engine::effect::Effect;
use engine::timeline::{Outcome, Timeline};
use phases::host::pid_file::{self, Doubt};
use phases::sys::lock::Holder;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

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

/// A handle of the process with that number, if it is still the one that holds the lock.
pub fn handle(pid: i32, path: &Path) -> Option<OwnedFd> {
    let pidfd = phases::sys::process::pidfd(nix::unistd::Pid::from_raw(pid)).ok()?;
    let found = pid_file::look(path).ok().flatten()?;
    (found.process(path) == Ok(pid)).then_some(pidfd)
}

/// The timeline of the run that this process is the daemon of, if its journal is kept.
pub fn timeline_of(name: &str, pid: i32) -> Option<Timeline> {
    let all = phases::journal::list(&journals(name)?);
    all.iter()
        .rev()
        .filter_map(|path| crate::trace::runs::read(path).ok())
        .find(|t| t.stayed() as i32 == pid && matches!(t.outcome, Outcome::Running | Outcome::Completed))
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
    /// running, and it cannot be proved as which process
    Unnamed(PathBuf, Doubt),
    /// it cannot be told
    Unknown(String),
}

/// Looks.
pub fn look(prepared: &Prepared) -> State {
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
                Ok(pid) => State::Running(path, pid),
                Err(doubt) => State::Unnamed(path, doubt),
            },
        },
    }
}
