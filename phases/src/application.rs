//! The program that a start-up is for, as the host sees it.
//!
//! Three of them: [`command`] runs any program and stays as its keeper, [`tac`] hosts a Twisted
//! application in this very process, and [`whoami`] is built in and answers with its own identity.

pub mod command;
pub mod explain;
pub mod facts;
pub mod http;
mod idle;
pub mod program;
mod ready;
mod spawn;
pub mod tac;
pub mod whoami;

pub(crate) use spawn::PRIVATE;

use crate::host::confine::Confining;
use crate::log::Shared;
use crate::notify::Manager;
use crate::sys::socket::sort_of;
use engine::effect::{Brought, Ended, Identity, Program, Ready, Socket, Sort, Starting, SystemError};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A socket that was bound for the application.
#[derive(Debug)]
pub struct Listening {
    /// the address as it was asked for
    pub socket: Socket,
    /// its name in `LISTEN_FDNAMES`
    pub name: String,
    /// the descriptor
    pub fd: OwnedFd,
}

impl Listening {
    /// The address it really has: the kernel chose the port where 0 was asked for.
    pub fn address(&self) -> String {
        if matches!(self.socket, Socket::Unix(_) | Socket::Abstract(_)) {
            return self.socket.to_string();
        }
        let Ok(address) = getsockname::<SockaddrStorage>(self.fd.as_raw_fd()) else {
            return self.socket.to_string();
        };
        if let Some(unix) = address.as_unix_addr() {
            return match (unix.path(), unix.as_abstract()) {
                (Some(path), _) => format!("unix:{}", path.display()),
                (_, Some(name)) => format!("unix:@{}", String::from_utf8_lossy(name)),
                _ => self.socket.to_string(),
            };
        }
        match sort_of(&self.fd) {
            Some(Sort::Datagram) => format!("udp:{address}"),
            _ => format!("tcp:{address}"),
        }
    }

    /// What it is, whoever has made it: how it transports, and whether it is a Unix socket.
    pub(crate) fn kind(&self) -> Option<(Sort, bool)> {
        let address = getsockname::<SockaddrStorage>(self.fd.as_raw_fd()).ok()?;
        Some((sort_of(&self.fd)?, address.family() == Some(AddressFamily::Unix)))
    }
}

/// What is around the application while it starts and serves.
pub struct Around<'a> {
    /// the sockets that were bound for it
    pub listening: &'a [Listening],
    /// the log, if there is one; without it output goes where the starter's goes
    pub log: Option<&'a Shared>,
    /// the blocked signals, nonblocking
    pub signals: &'a SignalFd,
    /// when starting must be over, nanoseconds on CLOCK_MONOTONIC
    pub deadline: Option<u64>,
    /// the journal of this run, readable
    pub journal: Option<&'a File>,
    /// what a program is confined by in the moment before it is executed
    pub confining: &'a Confining,
    /// who this process is now
    pub identity: &'a Identity,
    /// nobody waits for it to be ready: the status of the program is passed on, however early it ends
    pub foreground: bool,
    /// the service manager that started this process, if there is one
    pub manager: &'a Manager,
    /// a drop is still ahead: what is read later is read as another user
    pub drop_ahead: bool,
    /// told of every signal taken, and what was done about it
    pub on_signal: &'a mut dyn FnMut(&str, &str),
    /// told that the program has ended, before what it has left is ended
    pub on_end: &'a dyn Fn(),
    /// told what the program says of how it is doing
    pub on_status: &'a mut dyn FnMut(&str),
    /// the program needs longer to start: until then, on CLOCK_MONOTONIC
    pub on_extend: &'a mut dyn FnMut(u64),
    /// told to stop, the program is to be let stop by itself until then, on CLOCK_MONOTONIC
    pub on_longer_stop: &'a dyn Fn(u64),
}

/// A process that was started. It must be ended if the start fails after all.
#[derive(Debug)]
pub struct Started {
    /// its number
    pub pid: i32,
    /// a handle that cannot come to mean another process
    pub pidfd: OwnedFd,
    /// what it is, for people
    pub name: String,
}

/// What became of loading.
#[derive(Debug, Default)]
pub struct Loaded {
    /// sentences for the timeline
    pub notes: Vec<String>,
    /// what it brings that no plan could know
    pub brought: Option<Brought>,
}

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// how the program ended; `None` for the built-in, which just stops
    pub ended: Option<Ended>,
    /// whether we were told to stop
    pub asked: bool,
}

/// Reads a journal and renders the timeline that it holds.
pub type ReadTimeline = fn(&[u8]) -> serde_json::Value;

/// What the host runs. The strings are sentences for the timeline.
pub trait Application {
    /// Find and read it. Nothing of a program runs yet; a TAC is evaluated.
    fn load(&mut self, around: &mut Around) -> Result<Loaded, SystemError>;

    /// The log was opened (again) after it was loaded: `around.log` is where it is to speak now.
    fn log_opened(&mut self, _around: &mut Around) -> Result<Vec<String>, SystemError> {
        Ok(Vec::new())
    }

    /// This process is about to fork.
    fn before_fork(&mut self) {}

    /// It has forked, and this is the parent or the child.
    fn after_fork(&mut self, _child: bool) {}

    /// This process has a child of its own beside the application, which is none of the application's.
    fn has_beside(&mut self, _child: nix::unistd::Pid) {}

    /// Let it do what needs the starting credential.
    fn privileged_start(&mut self, _around: &mut Around) -> Result<Vec<String>, SystemError> {
        Ok(Vec::new())
    }

    /// Start it. It is ready when this returns.
    fn start(
        &mut self,
        starting: &Starting,
        around: &mut Around,
    ) -> Result<(Option<Started>, Vec<String>), SystemError>;

    /// Become it: this process goes on as the program. Comes back only with what kept it from that. The
    /// descriptors of these numbers are left open.
    fn replace(&mut self, _around: &mut Around, _keep: &[RawFd]) -> SystemError {
        SystemError::new("only a program can take the place of this process")
            .help("leave `replace` away, or name a program behind `--`")
    }

    /// Stay until it ends or is told to.
    fn serve(&mut self, around: &mut Around) -> Result<Served, SystemError>;
}

/// The application that a program asks for.
pub fn make(program: &Program, timeline: ReadTimeline) -> Result<Box<dyn Application>, SystemError> {
    match (program.command.split_first(), &program.tac) {
        (Some(_), Some(tac)) => {
            Err(SystemError::new(format!("both a command and the TAC {} are to be run", tac.display()))
                .help("give one of them"))
        }
        (Some(_), None) => Ok(Box::new(command::Command::new(program.clone()))),
        (None, _) if program.is_twisted() => Ok(Box::new(tac::Tac::new(program.clone()))),
        (None, _) => Ok(Box::new(whoami::Whoami::new(timeline))),
    }
}

/// For what runs in this very process: there is nothing to wait for, and nothing to become.
fn only_kept(starting: &Starting) -> Result<(), SystemError> {
    if !starting.replace && starting.ready == Ready::Exec && starting.watchdog.is_none() {
        return Ok(());
    }
    Err(SystemError::new("`ready`, `watchdog` and `replace` are for a program, and none is run")
        .help("leave them away, or name a program behind `--`"))
}
