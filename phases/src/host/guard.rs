//! The guard: a tiny process with the starting credential that waits for the daemon's end.

use super::protocol::Held;
use super::{Host, Role, say};
use crate::notify::Manager;
use crate::sys::gate::{Gate, Passed};
use crate::sys::{failed, lock, process, shed};
use engine::effect::{Done, Effect, Performed, System, SystemError, Undo};
use engine::timeline::What;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, getpid};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// When to look again where looking failed.
const LATER: Duration = Duration::from_secs(1);

impl Host {
    pub(super) fn keep_guard(&mut self) -> Result<Performed, SystemError> {
        let me = getpid();
        let daemon = process::pidfd(me).map_err(|e| failed(e, "open a handle of this process"))?;
        // Whoever holds the undo has the other end: as long as it lives the start may still fail,
        // and the guard does nothing. The daemon itself has no way to speak to the guard.
        let (launcher, alive) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .map_err(|e| failed(e, "make the guard's pipe"))?;
        // The daemon goes on only when the guard has let go of what is the daemon's, and has told its number:
        // when a daemon ends a moment later, the next start is to know whom it waits for.
        let gate = Gate::new().map_err(|e| failed(e, "make the guard's pipe"))?;
        // With the first process of a PID namespace the kernel ends all others, so this one must be over
        // before: it is told by a pipe. The worst that a daemon can do with it is to lose its PID file early.
        let last = match me.as_raw() {
            1 => Some(
                nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
                    .map_err(|e| failed(e, "make the guard's pipe"))?,
            ),
            _ => None,
        };
        match self.fork().map_err(|e| failed(e, "fork the guard"))? {
            ForkResult::Child => {
                drop(alive);
                let last = last.map(|(reader, _)| reader);
                self.let_go_of_the_daemons_things();
                self.role = Role::Guard { daemon, launcher, last, over: false };
                self.close_all_but_ours(&gate);
                // Behind that: closing any descriptor of the file would take it back (fcntl(2)).
                for lock in self.pid_files.iter().filter_map(|p| p.lock.as_ref()) {
                    let _ = lock::name_guard(lock);
                }
                if !self.guard_stays {
                    // A file system that the caller stood in may be unmounted while the daemon runs.
                    let _ = nix::unistd::chdir("/");
                }
                if process::standard_descriptors_to(&self.null).is_err() || !gate.open() {
                    // An error from here would be taken for one of the daemon, which goes on.
                    process::exit_now(1);
                }
                Ok(Performed::Guard)
            }
            ForkResult::Parent { child } => {
                self.forked(false);
                self.guards.push(child);
                if let Some(application) = &mut self.application {
                    application.has_beside(child);
                }
                let both = process::pidfd(child)
                    .and_then(|pidfd| Ok((pidfd.try_clone().map_err(|_| Errno::EMFILE)?, pidfd)));
                let (guard, pidfd) = both.map_err(|e| {
                    // Our own child, not reaped yet: the number cannot mean another process.
                    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
                    let _ = nix::sys::wait::waitpid(child, None);
                    failed(e, "open a handle of the guard")
                })?;
                // Here, where it is still as whom the guard was forked: the guard itself speaks later.
                say(What::Fork {
                    parent: me.as_raw() as u32,
                    role: "guard".to_owned(),
                    child: Some(child.as_raw() as u32),
                });
                if let Err(error) = self.wait_at(&gate, &pidfd) {
                    let _ = process::signal(&pidfd, Signal::SIGKILL);
                    let _ = nix::sys::wait::waitpid(child, None);
                    return Err(error);
                }
                self.last_words = last.map(|(_, writer)| writer);
                self.guard = Some((guard, self.pid_files.len()));
                let handle = self.keep(Held::Process { pid: child.as_raw(), pidfd, alive: Some(alive) });
                let undo = Effect::End { handle, name: "the guard".to_owned() };
                Ok(Performed::Done(Done::with(Undo::Effect(Box::new(undo)))))
            }
        }
    }

    /// Until the guard has let go. A start that is called off meanwhile, or out of time, is so behind the
    /// effect: the guard is undone then.
    fn wait_at(&mut self, gate: &Gate, guard: &OwnedFd) -> Result<(), SystemError> {
        loop {
            let left = self.deadline.map(|d| d.saturating_sub(process::monotonic()));
            match gate.wait(guard.as_fd(), Some(self.signals.as_fd()), left) {
                Ok(Passed::Open) => return Ok(()),
                Ok(Passed::Disturbed) if self.interrupted().is_some() => return Ok(()),
                Ok(Passed::Disturbed) => {}
                Ok(Passed::Gone) => {
                    return Err(SystemError::new("the guard ended as soon as it was forked")
                        .why("its standard descriptors could not be set, or it was killed")
                        .help("look whether memory or processes are limited here"));
                }
                Err(error) => return Err(failed(error, "wait for the guard")),
            }
        }
    }

    /// All but its PID file: as long as the guard is there the lock is held, so that nobody makes anew what
    /// the guard is about to remove.
    fn let_go_of_the_daemons_things(&mut self) {
        self.listening.clear();
        self.handed.clear();
        self.close_log();
        self.application = None;
        self.manager = Manager::default();
        self.held.retain(|_, held| matches!(held, Held::File { .. }));
    }

    /// What a hosted application has opened would stay open here: a port that it closes would be in
    /// use still, the other end of a pipe would never see its end.
    fn close_all_but_ours(&self, gate: &Gate) {
        let mut ours = vec![self.signals.as_fd(), self.null.as_fd()];
        ours.extend(gate.descriptors());
        ours.extend(self.orphans.descriptor());
        if let Role::Guard { daemon, launcher, last, .. } = &self.role {
            ours.extend([daemon.as_fd(), launcher.as_fd()]);
            ours.extend(last.as_ref().map(|last| last.as_fd()));
        }
        ours.extend(self.journal.as_ref().map(|journal| journal.as_fd()));
        ours.extend(self.pid_files.iter().filter_map(|p| p.lock.as_ref()).map(|lock| lock.as_fd()));
        for held in self.held.values() {
            match held {
                Held::File { dir, .. } => ours.push(dir.as_fd()),
                Held::Process { pidfd, alive, .. } => {
                    ours.push(pidfd.as_fd());
                    ours.extend(alive.as_ref().map(|alive| alive.as_fd()));
                }
            }
        }
        // Where it cannot be done the guard does its work all the same.
        let _ = process::close_all_but(&ours);
    }

    pub(super) fn wait_for_the_end(&mut self) -> bool {
        let Role::Guard { daemon, launcher, last, over } = &mut self.role else { return false };
        // As long as the start may fail, TERM from the one that holds the undo dismisses the guard.
        // Afterwards nothing but the daemon's end counts, not even TERM to everybody at shutdown.
        loop {
            match process::wait_readable([launcher.as_fd(), self.signals.as_fd()], -1) {
                Ok([true, _]) => break,
                Ok(_) => {}
                Err(_) => std::thread::sleep(LATER),
            }
            while let Ok(Some(info)) = self.signals.read_signal() {
                if info.ssi_signo as i32 == Signal::SIGTERM as i32 {
                    // Of a keeper that was killed while it started.
                    if process::wait_readable([daemon.as_fd()], 0).is_ok_and(|[gone]| gone) {
                        self.orphans.end();
                    }
                    return false;
                }
            }
        }
        shed::shed();
        let last = last.as_ref().map_or(daemon.as_fd(), |last| last.as_fd());
        loop {
            match process::wait_readable([daemon.as_fd(), last], -1) {
                Ok([false, false]) => {}
                Ok(_) => {
                    self.orphans.end();
                    *over = true;
                    return true;
                }
                // That it cannot be seen does not mean that it is over: its PID file is not ours to remove yet.
                Err(_) => std::thread::sleep(LATER),
            }
        }
    }
}
