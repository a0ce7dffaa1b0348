//! What a keeper leaves that is killed: its program's workers, which no signal of the kernel's reaches
//! (prctl(2), PR_SET_PDEATHSIG is for children alone).

use crate::notify::Tree;
use crate::sys::process;
use engine::effect::{Application, Effect};
use engine::plan::Plan;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long those may take that were told to end by `orphaned: TERM`, nanoseconds.
const TOLD_NS: u64 = 5_000_000_000;
/// How long those that are killed may take to be gone, nanoseconds.
const KILLED_NS: u64 = 2_000_000_000;
const PAUSE: Duration = Duration::from_millis(5);

/// The session of a daemon, and what is to become of those in it when its keeper is gone.
#[derive(Debug, Default)]
pub(super) struct Orphans(Option<Ending>);

#[derive(Debug)]
struct Ending {
    /// opened while it can be: there may be none in a new root
    tree: Tree,
    /// of its own: a daemon in the foreground is in its caller's
    session: Option<i32>,
    /// how long they are waited for first, nanoseconds
    patience: u64,
}

impl Orphans {
    /// By the plan: only where a program is kept, and is not to outlive its keeper, and a guard is there.
    pub(super) fn of(plan: &Plan) -> Orphans {
        let guarded = plan.effects().any(|(_, effect)| *effect == Effect::KeepGuard);
        let signal = plan.effects().find_map(|(_, effect)| match effect {
            Effect::Application(Application::Start(starting)) if !starting.replace => starting.orphaned,
            _ => None,
        });
        let program = plan.effects().any(|(_, effect)| {
            matches!(effect, Effect::Application(Application::Load(program)) if !program.command.is_empty())
        });
        let patience = if signal == Some(Signal::SIGKILL as i32) { 0 } else { TOLD_NS };
        let ending = || Ending { tree: Tree::open(), session: None, patience };
        Orphans((guarded && program).then_some(signal).flatten().map(|_| ending()))
    }

    /// This process is in that session from now on.
    pub(super) fn enter_session(&mut self, session: i32) {
        if let Some(ending) = &mut self.0 {
            ending.session = Some(session);
        }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref()?.tree.descriptor()
    }

    /// Ends whoever is left in the session of this process, which is in it too: as long as it lives the number is no
    /// other session's. One that has made a session of its own is not found.
    pub(super) fn end(&self) {
        let Some(Ending { tree, session: Some(session), patience }) = &self.0 else { return };
        let waits_until = process::monotonic().saturating_add(*patience);
        let until = waits_until.saturating_add(KILLED_NS);
        loop {
            let left = tree.of_session(*session);
            if left.is_empty() || process::monotonic() >= until {
                return;
            }
            if process::monotonic() >= waits_until {
                for pid in left {
                    // The number may have become another's between the look and the handle.
                    if let Ok(pidfd) = process::pidfd(Pid::from_raw(pid))
                        && tree.is_of_session(pid, *session)
                    {
                        let _ = process::signal(&pidfd, Signal::SIGKILL);
                    }
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Ends the children of this process that are none of the `known`: they were a killed keeper's, and came to this
/// one as the reaper of all below it. A child's number is nobody else's before it is reaped here.
pub(super) fn end_those_that_came(known: &[i32]) {
    let tree = Tree::open();
    let until = process::monotonic().saturating_add(KILLED_NS);
    loop {
        let mut left = tree.children();
        left.retain(|pid| !known.contains(pid));
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            while waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)) == Err(Errno::EINTR) {}
        }
        if left.is_empty() || process::monotonic() >= until {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}
