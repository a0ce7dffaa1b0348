//! Making a child and turning it into the program.

use super::program::Found;
use super::{Around, explain};
use crate::host::confine::{self, Confining};
use crate::sys::{child, lock, settings};
use engine::effect::{Program, SystemError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use nix::unistd::{Pid, execve, geteuid, getpid, getppid, isatty, pipe2, setsid, write};
use std::convert::Infallible;
use std::env;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub(super) use crate::sys::socket::LISTEN_START;

/// Variables that speak to the process they were set for and must not reach another.
pub(crate) const PRIVATE: [&str; 7] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Those of them by which a manager follows one process.
const MANAGER: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

pub(super) fn arguments(program: &Program) -> Result<Vec<CString>, SystemError> {
    let each = |a: &String| {
        CString::new(a.as_bytes()).map_err(|_| {
            SystemError::new("an argument of the command holds a NUL, which no program can be given")
        })
    };
    program.command.iter().map(each).collect()
}

/// The caller's environment without what was meant for us alone. A program that takes the place of this
/// process is the one that the manager speaks of, and speaks to it itself.
fn environment(in_place: bool) -> Vec<CString> {
    let strange = |name: &OsString| {
        PRIVATE.iter().any(|p| name == *p) && !(in_place && MANAGER.iter().any(|p| name == *p))
    };
    env::vars_os()
        .filter(|(name, _)| !strange(name))
        .filter_map(|(name, value)| {
            let mut pair = name.into_vec();
            pair.push(b'=');
            pair.extend(value.as_bytes());
            CString::new(pair).ok()
        })
        .collect()
}

/// What the child was doing when it failed, sent with the errno over the status pipe.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Stage {
    Parent = 1,
    Output = 2,
    Listen = 3,
    Signals = 4,
    Descriptors = 5,
    Exec = 6,
    Confine = 7,
}

/// What a program is given besides what every one gets.
#[derive(Default)]
pub(super) struct Given<'a> {
    /// a descriptor, and the number that it is to have
    pub fd: Option<(u32, &'a OwnedFd)>,
    /// `NOTIFY_SOCKET`
    pub notify: Option<&'a str>,
    /// `WATCHDOG_USEC`
    pub watchdog_usec: Option<u64>,
    /// what it gets when its keeper dies
    pub orphaned: Option<Signal>,
    /// it is to be this process, not a child of it
    pub in_place: Option<InPlace<'a>>,
}

/// What a program finds that this process becomes.
pub(super) struct InPlace<'a> {
    /// where its output goes
    pub log: Option<RawFd>,
    /// descriptors that stay open under any number
    pub keep: &'a [RawFd],
}

/// Everything the child needs, made before the fork.
pub(super) struct Child<'a> {
    found: &'a Found,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    listening: Vec<OwnedFd>,
    null: Option<OwnedFd>,
    given: Option<(i32, OwnedFd)>,
    watchdog: bool,
    orphaned: Option<Signal>,
    /// this very process: the descriptors that stay, and those of them that had to be moved
    in_place: Option<(Vec<RawFd>, Vec<OwnedFd>)>,
    output: Option<(OwnedFd, OwnedFd)>,
    status: (OwnedFd, OwnedFd),
    /// a standard descriptor is a terminal that belongs to another user
    foreign_terminal: bool,
    confining: &'a Confining,
}

impl<'a> Child<'a> {
    pub(super) fn prepare(
        found: &'a Found,
        arguments: Vec<CString>,
        around: &'a Around<'_>,
        null: Option<&OwnedFd>,
        given: &Given,
    ) -> Result<Self, Errno> {
        let count = around.listening.len() as i32;
        // all that the child copies from lies above all that it copies to
        let least = given.fd.map_or(0, |(at, _)| at as i32 + 1).max(LISTEN_START + count);
        let mut listening = Vec::new();
        for one in around.listening {
            // the flag is shared with every copy; a program that knows nothing expects to wait
            let flags = OFlag::from_bits_retain(fcntl(&one.fd, FcntlArg::F_GETFL)?);
            if flags.contains(OFlag::O_NONBLOCK) {
                fcntl(&one.fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
            }
            listening.push(child::copy_above(&one.fd, least)?);
        }
        let mut environment = environment(given.in_place.is_some());
        if count > 0 {
            let names: Vec<&str> = around.listening.iter().map(|l| l.name.as_str()).collect();
            for pair in [format!("LISTEN_FDS={count}"), format!("LISTEN_FDNAMES={}", names.join(":"))] {
                environment.push(CString::new(pair).map_err(|_| Errno::EINVAL)?);
            }
        }
        let more = [
            given.notify.map(|name| format!("NOTIFY_SOCKET={name}")),
            given.watchdog_usec.map(|usec| format!("WATCHDOG_USEC={usec}")),
        ];
        for pair in more.into_iter().flatten() {
            environment.push(CString::new(pair).map_err(|_| Errno::EINVAL)?);
        }
        let high_pipe = || -> Result<(OwnedFd, OwnedFd), Errno> {
            let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
            Ok((child::copy_above(&reader, least)?, child::copy_above(&writer, least)?))
        };
        let in_place = match &given.in_place {
            Some(place) => {
                Some(place.keep.iter().try_fold((Vec::new(), Vec::new()), |(mut stay, mut moved), fd| {
                    if *fd < least {
                        moved.push(child::copy_number_above(*fd, least)?);
                    } else {
                        stay.push(*fd);
                    }
                    Ok::<_, Errno>((stay, moved))
                })?)
            }
            None => None,
        };
        let output = match (&given.in_place, around.log) {
            (Some(InPlace { log: None, .. }), _) => None,
            (Some(InPlace { log: Some(fd), .. }), _) => {
                Some((child::copy_number_above(*fd, least)?, child::copy_number_above(*fd, least)?))
            }
            (None, Some(_)) => {
                let (reader, writer) = high_pipe()?;
                fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                Some((reader, writer))
            }
            (None, None) => None,
        };
        let null = null.map(|null| child::copy_above(null, least)).transpose()?;
        Ok(Child {
            found,
            arguments,
            environment,
            listening,
            null,
            given: given
                .fd
                .map(|(at, fd)| Ok::<_, Errno>((at as i32, child::copy_above(fd, least)?)))
                .transpose()?,
            watchdog: given.watchdog_usec.is_some(),
            orphaned: given.orphaned,
            in_place,
            output,
            status: high_pipe()?,
            foreign_terminal: foreign_terminal(),
            confining: around.confining,
        })
    }

    /// Gives back the child, the pipe it reports on and the one its output comes through.
    pub(super) fn start(mut self) -> Result<(Pid, OwnedFd, Option<OwnedFd>), Errno> {
        let parent = getpid();
        let mut failed = None;
        // The program has the ids of its keeper, which is not confined: it must not be able to write into its
        // memory (/proc/PID/mem in proc(5), ptrace(2)). What is executed is a new image and as it was.
        let open = settings::dumpable();
        let keeps_out = open && !self.confining.is_empty();
        if keeps_out {
            settings::set_dumpable(false)?;
            if settings::dumpable() {
                return Err(Errno::EPERM);
            }
        }
        let pid = child::vfork(|| {
            let Err((stage, errno)) = self.run(parent);
            failed = Some((stage, errno));
            child::leave(127)
        });
        if keeps_out && (pid.is_err() || failed.is_some()) {
            settings::set_dumpable(true)?;
        }
        let pid = pid?;
        // Told by the parent, which has it in its memory: a child that is confined may not be able to.
        if let Some((stage, errno)) = failed {
            let mut report = [0u8; 8];
            report[..4].copy_from_slice(&(stage as u32).to_ne_bytes());
            report[4..].copy_from_slice(&(errno as i32).to_ne_bytes());
            write(&self.status.1, &report)?;
        }
        Ok((pid, self.status.0, self.output.map(|(reader, _)| reader)))
    }

    /// This process becomes the program. Comes back only with what kept it from that.
    pub(super) fn become_it(mut self) -> SystemError {
        let Err((stage, errno)) = self.run(getpid());
        if self.listening.is_empty() {
            return failed(stage as u32, errno as i32, self.found);
        }
        // Sockets may be by now where something of ours was: nothing can be relied on any more.
        child::leave(127)
    }

    /// In the child: become the program.
    fn run(&mut self, parent: Pid) -> Result<Infallible, (Stage, Errno)> {
        let at = |stage: Stage| move |errno| (stage, errno);
        if self.in_place.is_none() {
            // Behind every change of user, which would clear it (prctl(2)).
            set_pdeathsig(self.orphaned).map_err(at(Stage::Parent))?;
        }
        if self.in_place.is_none() {
            // exec(2) would close it too, but lets the keeper see that before the lock is free.
            lock::let_go_in_fork();
        }
        if self.in_place.is_none() && getppid() != parent {
            // it died before the line above: nobody will tell us
            return Err((Stage::Parent, Errno::ESRCH));
        }
        if self.foreign_terminal && self.in_place.is_none() {
            // Another's terminal must not stay this one's: what it pushes into the input (TIOCSTI)
            // would be read by the starter's shell.
            setsid().map_err(at(Stage::Parent))?;
        }
        if let Some((_, writer)) = &self.output {
            child::place(writer.as_fd(), 1).map_err(at(Stage::Output))?;
            child::place(writer.as_fd(), 2).map_err(at(Stage::Output))?;
        }
        for fd in 0..LISTEN_START {
            keep_open(fd, self.null.as_ref()).map_err(at(Stage::Output))?;
        }
        for (to, socket) in (LISTEN_START..).zip(&self.listening) {
            child::place(socket.as_fd(), to).map_err(at(Stage::Listen))?;
        }
        if !self.listening.is_empty() {
            let own = CString::new(format!("LISTEN_PID={}", getpid()))
                .map_err(|_| (Stage::Listen, Errno::EINVAL))?;
            self.environment.push(own);
        }
        if self.watchdog {
            let own = CString::new(format!("WATCHDOG_PID={}", getpid()))
                .map_err(|_| (Stage::Listen, Errno::EINVAL))?;
            self.environment.push(own);
        }
        let first = LISTEN_START as u32 + self.listening.len() as u32;
        child::close_on_exec_from(first).map_err(at(Stage::Descriptors))?;
        if let Some((number, fd)) = &self.given {
            child::place(fd.as_fd(), *number).map_err(at(Stage::Listen))?;
        }
        if let Some((stay, moved)) = &self.in_place {
            for fd in stay.iter().copied().chain(moved.iter().map(AsRawFd::as_raw_fd)) {
                child::survive_exec(fd).map_err(at(Stage::Descriptors))?;
            }
            for file in moved {
                // Closing the old one has let go of the lock that names us.
                lock::name_self(file).map_err(at(Stage::Descriptors))?;
            }
        }
        child::default_signals().map_err(at(Stage::Signals))?;
        // The last: nothing but execve(2) is left to be done.
        self.confining.put_on().map_err(at(Stage::Confine))?;
        execve(&self.found.c_path, &self.arguments, &self.environment).map_err(at(Stage::Exec))
    }
}

/// Whether one of the standard descriptors is a terminal that is not this user's: dropped in the
/// foreground.
fn foreign_terminal() -> bool {
    let me = geteuid().as_raw();
    let foreign = |fd: BorrowedFd| isatty(fd).unwrap_or(false) && fstat(fd).is_ok_and(|s| s.st_uid != me);
    foreign(std::io::stdin().as_fd())
        || foreign(std::io::stdout().as_fd())
        || foreign(std::io::stderr().as_fd())
}

/// Let a standard descriptor survive execve; where it is not open at all it becomes /dev/null.
fn keep_open(fd: i32, null: Option<&OwnedFd>) -> Result<(), Errno> {
    match (child::survive_exec(fd), null) {
        (Err(Errno::EBADF), Some(null)) => child::place(null.as_fd(), fd),
        (Err(Errno::EBADF), None) => Ok(()),
        (other, _) => other,
    }
}

/// What the child's report says.
pub(super) fn failed(stage: u32, errno: i32, found: &Found) -> SystemError {
    let step = match stage {
        s if s == Stage::Exec as u32 => return explain::exec(Errno::from_raw(errno), &found.path),
        s if s == Stage::Confine as u32 => {
            return confine::refused(
                Errno::from_raw(errno),
                format!("run {}: confine it", found.path.display()),
            );
        }
        s if s == Stage::Parent as u32 => "tie it to its keeper",
        s if s == Stage::Output as u32 => "connect its standard descriptors",
        s if s == Stage::Listen as u32 => "hand it the listening sockets",
        s if s == Stage::Signals as u32 => "reset its signals",
        _ => "close what it must not inherit",
    };
    SystemError::errno(errno, format!("run {}: {step}", found.path.display()))
}
