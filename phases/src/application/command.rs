//! Any program as the application: found at load, forked and executed at start, kept while it serves.

use super::program::{self, Found};
use super::spawn::{Child, arguments, failed};
use super::{Application, Around, Loaded, Served, Started, explain};
use crate::keeper::{self, Kept, Taken};
use engine::effect::{ErrorKind, Program, SystemError};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::read;
use rustix::process::{PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A program that is run as a child of this process, which stays as its keeper.
#[derive(Debug)]
pub struct Command {
    program: Program,
    found: Option<Found>,
    /// opened at load: there may be no /dev after chroot
    null: Option<OwnedFd>,
    kept: Option<Kept>,
}

impl Command {
    /// The application that runs `program.command`.
    pub fn new(program: Program) -> Self {
        Command { program, found: None, null: None, kept: None }
    }
}

impl Application for Command {
    fn load(&mut self, _around: &mut Around) -> Result<Loaded, SystemError> {
        let found = program::find(&self.program)?;
        let notes = found.notes.clone();
        self.found = Some(found);
        self.null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok();
        Ok(Loaded { notes, brought: None })
    }

    fn start(&mut self, around: &mut Around) -> Result<(Option<Started>, Vec<String>), SystemError> {
        if self.kept.is_some() {
            return Err(SystemError::new("the program was started already"));
        }
        let Some(found) = &self.found else {
            return Err(SystemError::new("the program was not loaded before it was to be started"));
        };
        let name = found.path.file_name().unwrap_or(found.path.as_os_str()).to_string_lossy().into_owned();
        let what = format!("run {}", found.path.display());
        let arguments = arguments(&self.program)?;
        let made = Child::prepare(found, arguments, around, self.null.as_ref())
            .map_err(|e| SystemError::errno(e as i32, format!("{what}: prepare its descriptors")))?;
        let (pid, status, output) = made.start().map_err(|e| {
            let error = SystemError::errno(e as i32, format!("{what}: fork"));
            if e == Errno::EAGAIN { explain::limit(error) } else { error }
        })?;
        // from here on the child exists: every way out with an error ends and reaps it
        let begun = rustix::process::Pid::from_raw(pid.as_raw())
            .ok_or(Errno::ESRCH)
            .and_then(|p| pidfd_open(p, PidfdFlags::empty()).map_err(|e| Errno::from_raw(e.raw_os_error())))
            .and_then(|pidfd| Ok((pidfd.try_clone().map_err(|_| Errno::EMFILE)?, pidfd)));
        let mut early = Vec::new();
        let result = match &begun {
            Err(e) => Err(SystemError::errno(*e as i32, format!("{what}: open its pidfd"))),
            Ok(_) => wait_for_exec(&status, found, around, &mut early),
        };
        match (result, begun) {
            (Ok(()), Ok((ours, theirs))) => {
                self.kept = Some(Kept { pid, pidfd: ours, name: name.clone(), output, early });
                let notes = vec![format!("{name} runs as process {pid}")];
                Ok((Some(Started { pid: pid.as_raw(), pidfd: theirs, name }), notes))
            }
            (result, _) => {
                // our own child, not reaped yet: the number cannot mean another process
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                while waitpid(pid, None) == Err(Errno::EINTR) {}
                Err(result.err().unwrap_or_else(|| SystemError::new(what)))
            }
        }
    }

    fn serve(&mut self, around: &mut Around) -> Result<Served, SystemError> {
        match self.kept.take() {
            Some(kept) => keeper::keep(kept, around),
            None => Err(SystemError::new("the program was not started before it was to serve")),
        }
    }
}

/// Wait until the child became the program, failed to, or the time is up.
fn wait_for_exec(
    status: &OwnedFd,
    found: &Found,
    around: &mut Around,
    early: &mut Vec<Taken>,
) -> Result<(), SystemError> {
    let what = format!("run {}", found.path.display());
    let kernel = |e: Errno| SystemError::errno(e as i32, format!("{what}: wait for it"));
    loop {
        let mut watched = [readable(status.as_fd()), readable(around.signals.as_fd())];
        match poll(&mut watched, remaining(around.deadline)) {
            Ok(0) => {
                return Err(SystemError::new(format!("{what}: it was not executed in time"))
                    .kind(ErrorKind::Timeout)
                    .why(
                        "execve(2) did not come back: is the program on a filesystem that does not answer?",
                    ));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(kernel(e)),
        }
        let told = watched[0].any().unwrap_or(false);
        if told {
            let mut report = [0u8; 8];
            return match read(status, &mut report) {
                Ok(0) => Ok(()),
                Ok(8) => {
                    let [a, b, c, d, e, f, g, h] = report;
                    Err(failed(u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]), found))
                }
                Ok(_) => Err(SystemError::new(format!("{what}: its report was cut"))),
                Err(Errno::EINTR) => continue,
                Err(e) => Err(kernel(e)),
            };
        }
        while let Some(taken) = keeper::take(around.signals)? {
            match taken.signal {
                Signal::SIGTERM | Signal::SIGINT => {
                    (around.on_signal)(taken.signal.as_str(), "the start was called off");
                    return Err(SystemError::new(format!("{what}: {} called it off", taken.signal))
                        .kind(ErrorKind::Interrupted));
                }
                Signal::SIGCHLD => {}
                // for the keeper, once there is a program to forward it to
                _ => early.push(taken),
            }
        }
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}

/// What is left until a moment on CLOCK_MONOTONIC, rounded up so that it is not polled too early.
fn remaining(deadline: Option<u64>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(u64::MAX, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
    let ms = deadline.saturating_sub(now).div_ceil(1_000_000);
    PollTimeout::try_from(ms.min(i32::MAX as u64)).unwrap_or(PollTimeout::MAX)
}
