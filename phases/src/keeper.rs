//! Staying with a program while it serves: its signals, its children, its output.
//!
//! One poll(2) over the signalfd, the program's pidfd and its output. Nothing wakes it while
//! nothing happens.

use crate::application::{Around, Served};
use crate::log::{Log, Shared};
use engine::effect::{Ended, SystemError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp, read};
use rustix::process::pidfd_send_signal;
use std::os::fd::{AsFd, OwnedFd};

/// After the program's end no more than this is read of what others still write into its output.
const DRAIN: usize = 1 << 20;

/// The program that is kept.
#[derive(Debug)]
pub struct Kept {
    /// its number
    pub pid: Pid,
    /// its handle, to signal and to watch
    pub pidfd: OwnedFd,
    /// what to call it
    pub name: String,
    /// where its output comes from, nonblocking
    pub output: Option<OwnedFd>,
    /// signals that came while it was started
    pub early: Vec<Taken>,
}

/// A signal that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// which
    pub signal: Signal,
    /// the kernel made it, as it does for a key pressed on a terminal
    pub from_kernel: bool,
}

/// The next signal that waits, if any. Signals without a name are passed over.
pub fn take(signals: &SignalFd) -> Result<Option<Taken>, SystemError> {
    loop {
        match signals.read_signal() {
            Ok(None) => return Ok(None),
            Ok(Some(info)) => {
                if let Ok(signal) = Signal::try_from(info.ssi_signo as i32) {
                    return Ok(Some(Taken { signal, from_kernel: info.ssi_code == libc::SI_KERNEL }));
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(SystemError::errno(e as i32, "read a signal")),
        }
    }
}

/// HUP: the log anew. Gives the words for it.
pub fn reopen(log: Option<&Shared>) -> String {
    match log.and_then(|l| l.with(Log::reopen)) {
        None => "no log to reopen".into(),
        Some(Ok(())) => "log reopened".into(),
        Some(Err(why)) => why,
    }
}

/// USR1: the log rotated. `None` where there is no log.
pub fn rotate(log: Option<&Shared>) -> Option<String> {
    match log?.with(Log::rotate)? {
        Ok(()) => Some("log rotated".into()),
        Err(why) => Some(why),
    }
}

/// Stay until the program ends.
pub fn keep(mut kept: Kept, around: &mut Around) -> Result<Served, SystemError> {
    let mut asked = false;
    let mut buffer = vec![0u8; 64 * 1024];
    for taken in std::mem::take(&mut kept.early) {
        handle(taken, &kept, around, &mut asked);
    }
    loop {
        let input = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut watched = Vec::with_capacity(3);
        watched.push(input(around.signals.as_fd()));
        watched.push(input(kept.pidfd.as_fd()));
        watched.extend(kept.output.as_ref().map(|fd| input(fd.as_fd())));
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(SystemError::errno(e as i32, format!("keep {}", kept.name))),
        }
        let happened: Vec<bool> = watched.iter().map(|w| w.any().unwrap_or(true)).collect();
        drop(watched);
        if happened.get(2) == Some(&true) {
            // one bufferful, so that signals are not kept waiting by a program that talks a lot
            if let Some(fd) = &kept.output
                && let Copied::Closed = copy(fd, &mut buffer, around.log)
            {
                kept.output = None;
            }
        }
        if happened[0] {
            while let Some(taken) = take(around.signals)? {
                handle(taken, &kept, around, &mut asked);
            }
        }
        if (happened[0] || happened[1])
            && let Some(ended) = reap(&kept)?
        {
            drain(&kept, &mut buffer, around.log);
            return Ok(Served { ended: Some(ended), asked });
        }
    }
}

fn handle(taken: Taken, kept: &Kept, around: &mut Around, asked: &mut bool) {
    let log = around.log;
    let then = match taken.signal {
        Signal::SIGCHLD => return,
        Signal::SIGTERM | Signal::SIGINT if *asked => send(kept, Signal::SIGKILL, "killed"),
        Signal::SIGTERM | Signal::SIGINT => {
            *asked = true;
            forward(kept, taken)
        }
        Signal::SIGHUP => format!("{}, {}", reopen(log), forward(kept, taken)),
        Signal::SIGUSR1 => match rotate(log) {
            Some(text) => text,
            None => forward(kept, taken),
        },
        _ => forward(kept, taken),
    };
    (around.on_signal)(taken.signal.as_str(), &then);
}

/// Pass a signal on, unless the terminal gave it to the program as well.
fn forward(kept: &Kept, taken: Taken) -> String {
    if taken.from_kernel && getpgid(Some(kept.pid)).is_ok_and(|group| group == getpgrp()) {
        return format!("{} has it from the terminal", kept.name);
    }
    send(kept, taken.signal, "forwarded")
}

fn send(kept: &Kept, signal: Signal, done: &str) -> String {
    let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) else {
        return format!("cannot be sent to {}", kept.name);
    };
    match pidfd_send_signal(&kept.pidfd, number) {
        Ok(()) if done == "killed" => format!("{} killed", kept.name),
        Ok(()) => format!("{done} to {}", kept.name),
        Err(rustix::io::Errno::SRCH) => format!("{} has ended already", kept.name),
        Err(e) => {
            let text = engine::text::errno_message(e.raw_os_error()).into_owned();
            format!("could not be sent to {}: {text}", kept.name)
        }
    }
}

/// Reap every child that ended; tells how ours did.
fn reap(kept: &Kept) -> Result<Option<Ended>, SystemError> {
    let mut ours = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == kept.pid => ours = Some(Ended::Exit(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == kept.pid => {
                ours = Some(Ended::Signal(signal as i32))
            }
            Ok(WaitStatus::StillAlive) => return Ok(ours),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) if ours.is_some() => return Ok(ours),
            Err(e) => {
                return Err(SystemError::errno(e as i32, format!("learn how {} ended", kept.name))
                    .why("its status was taken by someone else, or SIGCHLD is ignored"));
            }
        }
    }
}

enum Copied {
    Some(usize),
    Nothing,
    Closed,
}

fn copy(fd: &OwnedFd, buffer: &mut [u8], log: Option<&Shared>) -> Copied {
    match read(fd, buffer) {
        Ok(0) => Copied::Closed,
        Ok(n) => {
            if let Some(log) = log {
                log.write(&buffer[..n]);
            }
            Copied::Some(n)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Copied::Nothing,
        Err(_) => Copied::Closed,
    }
}

/// What is still in the pipe. A grandchild may hold it open for ever: that is not waited for.
fn drain(kept: &Kept, buffer: &mut [u8], log: Option<&Shared>) {
    let Some(fd) = &kept.output else { return };
    let mut total = 0;
    while let Copied::Some(n) = copy(fd, buffer, log) {
        total += n;
        if total >= DRAIN {
            break;
        }
    }
}
