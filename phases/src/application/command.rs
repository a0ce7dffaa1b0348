//! Any program as the application: found at load, forked and executed at start, kept while it serves.

use super::program::{self, Found};
use super::ready::{self, Probe};
use super::spawn::{Child, Given, InPlace, LISTEN_START, arguments, failed};
use super::{Application, Around, Loaded, Served, Started, explain};
use crate::keeper::{self, Kept, Taken, Voice, left};
use crate::notify::{Notify, Tree};
use crate::sys::process;
use engine::effect::{ErrorKind, Program, Ready, Starting, SystemError};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{AccessFlags, faccessat, pipe2, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

/// A program that is run as a child of this process, which stays as its keeper.
#[derive(Debug)]
pub struct Command {
    program: Program,
    found: Option<Found>,
    /// opened at load: there may be no /dev after chroot
    null: Option<OwnedFd>,
    /// opened at load: there may be no /proc after chroot
    tree: Rc<Tree>,
    kept: Option<Kept>,
    /// children of this process that are not of the program
    beside: Vec<i32>,
}

impl Command {
    /// The application that runs `program.command`.
    pub fn new(program: Program) -> Self {
        Command {
            program,
            found: None,
            null: None,
            tree: Rc::new(Tree::none()),
            kept: None,
            beside: Vec::new(),
        }
    }
}

impl Application for Command {
    fn load(&mut self, _around: &mut Around) -> Result<Loaded, SystemError> {
        let found = program::find(&self.program)?;
        let notes = found.notes.clone();
        self.found = Some(found);
        self.tree = Rc::new(Tree::open());
        self.null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok();
        Ok(Loaded { notes, brought: None })
    }

    fn start(
        &mut self,
        starting: &Starting,
        around: &mut Around,
    ) -> Result<(Option<Started>, Vec<String>), SystemError> {
        if self.kept.is_some() {
            return Err(SystemError::new("the program was started already"));
        }
        let Some(found) = &self.found else {
            return Err(SystemError::new("the program was not loaded before it was to be started"));
        };
        let name = found.path.file_name().unwrap_or(found.path.as_os_str()).to_string_lossy().into_owned();
        let what = format!("run {}", found.path.display());
        let arguments = arguments(&self.program)?;
        if starting.replace {
            // What can be seen of a failure before it is tried is seen while everything can be undone.
            return match faccessat(AT_FDCWD, found.path.as_path(), AccessFlags::X_OK, AtFlags::AT_EACCESS) {
                Ok(()) => Ok((None, vec![format!("{name} will take the place of this process")])),
                Err(e) => Err(explain::exec(e, &found.path)),
            };
        }
        let mut probe = Probe::new(&starting.ready, around)?;
        // A main process that the program names must become our child when the first one ends, and so must
        // whoever it leaves running.
        process::become_subreaper().map_err(|e| {
            SystemError::errno(e as i32, format!("{what}: become the reaper of what it leaves"))
        })?;
        let voice = match starting.ready == Ready::Notify || starting.watchdog.is_some() {
            true => Some(
                Notify::new()
                    .map_err(|e| SystemError::errno(e as i32, format!("{what}: make NOTIFY_SOCKET")))?,
            ),
            false => None,
        };
        // The kernel's list lacks one at times, where another ends at this moment (proc_pid_task(5), children).
        let mut beside = self.tree.children();
        beside.extend(&self.beside);
        let pipe = match starting.ready {
            Ready::Fd(number) => {
                let first = LISTEN_START as u32 + around.listening.len() as u32;
                if number < first {
                    let taken = format!("{what}: descriptor {number} is to be a socket of LISTEN_FDS");
                    return Err(SystemError::new(taken).help(format!("choose one from {first} up")));
                }
                let made = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).and_then(|(reader, writer)| {
                    // The flag is the reader's alone: a program that knows nothing expects to wait.
                    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).map(|_| (number, reader, writer))
                });
                Some(made.map_err(|e| SystemError::errno(e as i32, format!("{what}: make its pipe")))?)
            }
            _ => None,
        };
        let given = Given {
            fd: pipe.as_ref().map(|(number, _, writer)| (*number, writer)),
            notify: voice.as_ref().map(|v| v.name.as_str()),
            watchdog_usec: starting.watchdog.map(|w| w.every / 1_000).or_else(|| {
                // What the manager wants of this process the program gives, where it speaks at all.
                around.manager.watchdog().filter(|_| voice.is_some())
            }),
            orphaned: starting.orphaned.and_then(|signal| Signal::try_from(signal).ok()),
            in_place: None,
        };
        let made = Child::prepare(found, arguments, around, self.null.as_ref(), &given)
            .map_err(|e| SystemError::errno(e as i32, format!("{what}: prepare its descriptors")))?;
        let (pid, status, output) = made.start().map_err(|e| {
            let error = SystemError::errno(e as i32, format!("{what}: fork"));
            if e == Errno::EAGAIN { explain::limit(error) } else { error }
        })?;
        // from here on the child exists: every way out with an error ends and reaps it
        if let Some((_, reader, writer)) = pipe {
            // The program alone has it from now on.
            drop(writer);
            probe = Probe::Pipe(reader);
        }
        let begun =
            process::pidfd(pid).and_then(|pidfd| Ok((pidfd.try_clone().map_err(|_| Errno::EMFILE)?, pidfd)));
        let (ours, theirs) = match begun {
            Ok(both) => both,
            Err(e) => {
                // our own child, not reaped yet: the number cannot mean another process
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                while waitpid(pid, None) == Err(Errno::EINTR) {}
                return Err(SystemError::errno(e as i32, format!("{what}: open its pidfd")));
            }
        };
        let mut kept = Kept::new((pid, ours), name.clone(), output, (Rc::clone(&self.tree), beside));
        kept.voice = voice.map(|socket| Voice::new(socket, starting.watchdog));
        let begun = process::monotonic();
        let result = wait_for_exec(&status, found, around, &mut kept.early).and_then(|()| {
            drop(status);
            probe.begin();
            if starting.ready == Ready::Exec && (around.foreground || !kept.is_ending()) {
                return Ok(());
            }
            ready::wait(&mut kept, &mut probe, around)
        });
        if let Err(error) = result {
            keeper::end(&mut kept, &error, around);
            return Err(error);
        }
        let mut notes = vec![format!("{name} runs as process {pid}")];
        if kept.pid != pid {
            notes.push(format!("its main process is {}", kept.pid));
        }
        if starting.ready != Ready::Exec {
            let took = engine::text::duration(process::monotonic().saturating_sub(begun));
            notes.push(format!("ready by {} after {took}{}", starting.ready, probe.but()));
        }
        let main = match kept.pid == pid {
            true => theirs,
            false => kept.pidfd.try_clone().unwrap_or(theirs),
        };
        let started = Started { pid: kept.pid.as_raw(), pidfd: main, name };
        self.kept = Some(kept);
        Ok((Some(started), notes))
    }

    fn replace(&mut self, around: &mut Around, keep: &[RawFd]) -> SystemError {
        let Some(found) = &self.found else {
            return SystemError::new("the program was not loaded before this process was to become it");
        };
        let what = format!("become {}", found.path.display());
        let log = match around.log.and_then(|log| log.with(|log| log.fixed_fd())) {
            None => None,
            Some(Ok(fd)) => Some(fd),
            Some(Err(e)) => return SystemError::errno(e as i32, format!("{what}: hand over the log")),
        };
        let arguments = match arguments(&self.program) {
            Ok(arguments) => arguments,
            Err(error) => return error,
        };
        let given = Given { in_place: Some(InPlace { log, keep }), ..Given::default() };
        match Child::prepare(found, arguments, around, self.null.as_ref(), &given) {
            Ok(made) => made.become_it(),
            Err(e) => SystemError::errno(e as i32, format!("{what}: prepare its descriptors")),
        }
    }

    fn has_beside(&mut self, child: nix::unistd::Pid) {
        let beside = self.kept.as_mut().map_or(&mut self.beside, |kept| &mut kept.beside);
        beside.push(child.as_raw());
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
        match poll(&mut watched, left(around.deadline)) {
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
