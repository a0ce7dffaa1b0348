//! Waiting until a program is ready, or is seen not to become so.

use super::Around;
use super::idle::Idle;
use crate::keeper::{Kept, Wanted, turn};
use crate::sys::process::monotonic;
use engine::effect::{Ended, ErrorKind, READY_WITHIN, Ready, SystemError};
use engine::text::{clean, duration};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect, getsockopt, socket,
    sockopt,
};
use nix::unistd::read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The first pause between two tries to connect; it doubles up to the longest.
const FIRST_PAUSE: u64 = 2_000_000;
const LONGEST_PAUSE: u64 = 100_000_000;
/// One try to connect takes no longer.
const ONE_TRY: u64 = 1_000_000_000;
/// How long a program lives on that answers and is no parent that is about to leave its child alone, and how long
/// where it has no socket itself, so that a child of its must have answered.
const PROOF: u64 = 50_000_000;
const PROOF_OF_A_PARENT: u64 = 1_000_000_000;

/// How it is found out.
pub(super) enum Probe {
    /// nothing but the exec was asked for
    None,
    /// the program says it
    Said,
    /// it writes into a pipe
    Pipe(OwnedFd),
    /// it accepts connections
    Address(Ask),
    /// it lives until then
    Alive(u64),
    /// it comes to rest
    Idle(Idle),
}

/// Someone to connect to.
pub(super) struct Ask {
    target: Ready,
    /// a connection that is being made, and until when it may be
    trying: Option<(OwnedFd, u64)>,
    next: u64,
    pause: u64,
    /// why the last try failed
    refused: Option<Errno>,
    /// it was answered; the program is to live until then all the same
    answered: Option<u64>,
}

impl Probe {
    /// Before the program is started. Where somebody else answers already, its readiness could not be
    /// told from theirs.
    pub(super) fn new(ready: &Ready, around: &Around) -> Result<Probe, SystemError> {
        match ready {
            Ready::Exec | Ready::Fd(_) => Ok(Probe::None),
            Ready::Notify => Ok(Probe::Said),
            Ready::Alive(ns) => Ok(Probe::Alive(*ns)),
            Ready::Idle(ns) => Ok(Probe::Idle(Idle::new(*ns))),
            Ready::Tcp(_) | Ready::Unix(_) => {
                let mut ask = Ask {
                    target: ready.clone(),
                    trying: None,
                    next: 0,
                    pause: FIRST_PAUSE,
                    refused: None,
                    answered: None,
                };
                if !ask.go_on(Some(ONE_TRY)) {
                    return Ok(Probe::Address(ask));
                }
                let ours = around.listening.iter().any(|l| l.address() == ready.to_string());
                let error = SystemError::new(format!("{ready} answers before the program is started"));
                Err(match ours {
                    true => error
                        .why("this start has bound it and hands it over: the kernel accepts for it")
                        .help("choose another way to be ready, such as `notify`"),
                    false => error
                        .why("another program listens there, and would be taken for this one")
                        .help("stop the other one, or choose another address (`ss -ltnp` shows who it is)"),
                })
            }
        }
    }

    /// The program was started: from now on it counts.
    pub(super) fn begin(&mut self) {
        match self {
            Probe::Alive(at) => *at = monotonic().saturating_add(*at),
            Probe::Idle(idle) => idle.begin(),
            Probe::Address(ask) => (ask.next, ask.pause) = (0, FIRST_PAUSE),
            _ => {}
        }
    }

    /// What is to be said beside that it is ready.
    pub(super) fn but(&self) -> &'static str {
        match self {
            Probe::Idle(idle) if idle.never() => ", in which it was busy",
            _ => "",
        }
    }

    fn watches(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match self {
            Probe::Pipe(fd) => Some((fd.as_fd(), PollFlags::POLLIN)),
            Probe::Address(Ask { trying: Some((fd, _)), .. }) => Some((fd.as_fd(), PollFlags::POLLOUT)),
            _ => None,
        }
    }

    fn until(&self) -> Option<u64> {
        match self {
            Probe::Alive(at) => Some(*at),
            Probe::Idle(idle) => Some(idle.looks_at()),
            Probe::Address(Ask { answered: Some(at), .. }) => Some(*at),
            Probe::Address(Ask { trying: Some((_, until)), .. }) => Some(*until),
            Probe::Address(ask) => Some(ask.next),
            _ => None,
        }
    }
}

impl Ask {
    /// One step; true when a connection was accepted. With `wait` it waits that long for the answer.
    fn go_on(&mut self, wait: Option<u64>) -> bool {
        let now = monotonic();
        let (fd, until) = match self.trying.take() {
            Some(trying) => trying,
            None if now < self.next => return false,
            None => {
                self.next = now.saturating_add(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                match open(&self.target) {
                    Ok(None) => return true,
                    Ok(Some(fd)) => (fd, now.saturating_add(wait.unwrap_or(ONE_TRY))),
                    Err(e) => {
                        self.refused = Some(e);
                        return false;
                    }
                }
            }
        };
        let ms = wait.map_or(0, |ns| (ns / 1_000_000) as i32);
        let mut polled = [nix::poll::PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
        let ms = nix::poll::PollTimeout::try_from(ms).unwrap_or(nix::poll::PollTimeout::ZERO);
        match nix::poll::poll(&mut polled, ms) {
            Ok(0) | Err(Errno::EINTR) if monotonic() < until => {
                self.trying = Some((fd, until));
                false
            }
            Ok(n) if n > 0 => match getsockopt(&fd, sockopt::SocketError) {
                Ok(0) => true,
                Ok(e) => {
                    self.refused = Some(Errno::from_raw(e));
                    false
                }
                Err(e) => {
                    self.refused = Some(e);
                    false
                }
            },
            _ => {
                self.refused = Some(Errno::ETIMEDOUT);
                false
            }
        }
    }
}

/// A connection that is being made; `None` where it is there already.
fn open(target: &Ready) -> Result<Option<OwnedFd>, Errno> {
    let make = |family, kind| socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None);
    let go = |fd: OwnedFd, address: &dyn SockaddrLike| -> Result<Option<OwnedFd>, Errno> {
        match connect(fd.as_raw_fd(), address) {
            Ok(()) => Ok(None),
            Err(Errno::EINPROGRESS) => Ok(Some(fd)),
            Err(e) => Err(e),
        }
    };
    match target {
        Ready::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            go(make(family, SockType::Stream)?, &SockaddrStorage::from(*address))
        }
        Ready::Unix(path) => {
            let address = UnixAddr::new(path)?;
            for kind in [SockType::Stream, SockType::SeqPacket, SockType::Datagram] {
                match go(make(AddressFamily::Unix, kind)?, &address) {
                    Err(Errno::EPROTOTYPE) => {}
                    // The queue of those that wait to be accepted is full: it listens, and is slow.
                    Err(Errno::EAGAIN) => return Ok(None),
                    other => return other,
                }
            }
            Err(Errno::EPROTOTYPE)
        }
        _ => Ok(None),
    }
}

/// Waits. The program's output goes to the log meanwhile, and its end is noticed at once.
pub(super) fn wait(kept: &mut Kept, probe: &mut Probe, around: &mut Around) -> Result<(), SystemError> {
    let name = kept.name.clone();
    let begun = monotonic();
    let mut limit = around.deadline.unwrap_or_else(|| begun.saturating_add(READY_WITHIN));
    loop {
        let until = probe.until().map_or(limit, |at| at.min(limit));
        let turned = turn(kept, around, &Wanted { extra: probe.watches(), until: Some(until), all: false })?;
        for taken in &turned.taken {
            match taken.signal {
                Signal::SIGTERM | Signal::SIGINT => {
                    (around.on_signal)(taken.signal.as_str(), "the start was called off");
                    return Err(SystemError::new(format!("start {name}: {} called it off", taken.signal))
                        .kind(ErrorKind::Interrupted));
                }
                Signal::SIGCHLD => {}
                // for the keeper, once it serves
                _ => kept.early.push(*taken),
            }
        }
        let mut ready = false;
        for message in turned.said {
            if let Some(errno) = message.errno {
                let error = SystemError::errno(errno, format!("start {name}: it says that it failed"));
                return Err(error.why(match &message.status {
                    Some(status) => format!("it says: {}", clean(status)),
                    None => last_words(kept),
                }));
            }
            if let Some(usec) = message.extend {
                let longer = monotonic().saturating_add(usec.saturating_mul(1_000));
                if longer > limit {
                    limit = longer;
                    (around.on_extend)(longer);
                }
            }
            ready |= message.ready;
        }
        if let Some(ended) = turned.ended {
            return match (probe, ended) {
                // It was executed, and is done already: the keeper passes that on.
                (Probe::None, Ended::Exit(0)) => {
                    kept.over = Some(ended);
                    Ok(())
                }
                (probe, ended) => Err(died(kept, ended, probe, around)),
            };
        }
        let now = monotonic();
        let over = match probe {
            // Executed, and on its way out: how it ends is known in a moment.
            Probe::None => !kept.is_ending(),
            Probe::Said => ready,
            Probe::Alive(at) => now >= *at,
            Probe::Idle(idle) => idle.is_over(kept, now),
            Probe::Address(ask) => {
                if ask.answered.is_none() && ask.go_on(None) {
                    ask.answered = Some(now.saturating_add(proof(kept)).min(limit));
                }
                ask.answered.is_some_and(|at| now >= at)
            }
            Probe::Pipe(fd) if turned.extra => match written(fd, kept) {
                Written::Ready => true,
                Written::More => false,
                // On its way out: its end comes in a moment.
                Written::Ending => {
                    *probe = Probe::Said;
                    false
                }
            },
            Probe::Pipe(_) => false,
        };
        if over {
            return Ok(());
        }
        if now >= limit {
            let waited = duration(now.saturating_sub(begun));
            return Err(late(format!("start {name}: it was not ready after {waited}"), probe)
                .kind(ErrorKind::Timeout)
                .help("find out what it waits for, or give the phase a longer `timeout`, in a spec that `extends` this one"));
        }
    }
}

/// How long one that was answered must still live: one that goes to the background leaves a child that listens.
fn proof(kept: &Kept) -> u64 {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{}/fd", kept.pid)) else { return PROOF };
    let is_socket = |link: std::path::PathBuf| link.as_os_str().as_encoded_bytes().starts_with(b"socket:");
    let mut links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    if links.any(is_socket) { PROOF } else { PROOF_OF_A_PARENT }
}

enum Written {
    Ready,
    More,
    Ending,
}

/// A newline, or the end of it from a program that lives: what the kernel closes for a dead one is no word.
fn written(fd: &OwnedFd, kept: &Kept) -> Written {
    let mut buffer = [0u8; 256];
    match read(fd, &mut buffer) {
        Ok(0) if kept.is_ending() => Written::Ending,
        Ok(0) => Written::Ready,
        Ok(n) if buffer.get(..n).is_some_and(|b| b.contains(&b'\n')) => Written::Ready,
        Ok(_) | Err(Errno::EINTR | Errno::EAGAIN) => Written::More,
        Err(_) => Written::Ending,
    }
}

/// How it ended, in words.
pub(crate) fn in_words(ended: Ended) -> String {
    match ended {
        Ended::Exit(status) => format!("exited with status {status}"),
        Ended::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {number}"),
        },
        Ended::Unknown => "ended, its parent took its status,".to_owned(),
    }
}

fn died(kept: &Kept, ended: Ended, probe: &Probe, around: &Around) -> SystemError {
    let before = if matches!(probe, Probe::None) { "at once" } else { "before it was ready" };
    let mut error = SystemError::new(format!("start {}: it {} {before}", kept.name, in_words(ended)));
    let silent = kept.last_lines().is_empty();
    if !silent {
        error = error.why(last_words(kept));
    }
    match ended {
        Ended::Exit(0) => error
            .help("a program that goes to the background by itself must be told to stay in the foreground"),
        _ if silent && !around.confining.is_empty() => error.help(
            "run it without its filter of system calls and without Landlock: what they refuse it may say nothing of",
        ),
        _ if silent => error.help("run it by hand as that user to see why, or look into its own log"),
        _ if around.log.is_some() => error.help("`rsd logs` shows all that it said"),
        _ => error,
    }
}

/// A sentence with the last line, or the last lines below one.
fn last_words(kept: &Kept) -> String {
    let lines: Vec<String> = kept.last_lines().iter().map(|line| clean(line).into_owned()).collect();
    match &lines[..] {
        [] => "it said nothing".to_owned(),
        [line] => format!("the last it said is: {}", line.trim()),
        lines => format!("the last it said is:\n{}", lines.join("\n")),
    }
}

fn late(message: String, probe: &Probe) -> SystemError {
    let error = SystemError::new(message);
    match probe {
        Probe::Said => error.why("READY=1 has not come from it or a process below it (sd_notify(3))"),
        Probe::Pipe(_) => error.why("it has not written a newline to the descriptor"),
        Probe::Address(Ask { target, refused: Some(errno), .. }) => {
            error.why(format!("{target}: {}", engine::text::errno_message(*errno as i32)))
        }
        Probe::Address(Ask { target, refused: None, .. }) => error.why(format!("{target} has not answered")),
        Probe::Idle(_) => error.why("it has been busy all the time"),
        Probe::None | Probe::Alive(_) => error,
    }
}
