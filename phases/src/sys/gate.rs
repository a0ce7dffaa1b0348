//! A fork that lives on beside this process says that it has closed what is not its own.
//!
//! A lock of an open file description lasts as long as anybody has a copy of the descriptor (fcntl(2)):
//! until the child has closed its copy, the end of this process does not free it.

use super::process;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Made before the fork; the child opens it, the parent waits for that.
#[derive(Debug)]
pub struct Gate {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// the child has opened it
    Open,
    /// the child ended and had not
    Gone,
    /// the time is up, or the other descriptor can be read
    Disturbed,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Result<Gate, Errno> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Gate { reader, writer })
    }

    /// The descriptors it needs until it is opened.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.reader.as_fd(), self.writer.as_fd()]
    }

    /// In the child. False where it could not be opened: the child must end then, or it is waited for without
    /// end.
    #[must_use]
    pub fn open(self) -> bool {
        // Written and not only closed: whatever else was forked meanwhile may have a copy.
        write(&self.writer, &[0]).is_ok()
    }

    /// In the parent: waits for the child, for as many nanoseconds at most, and no longer than until
    /// `other` can be read.
    pub fn wait(
        &self,
        child: BorrowedFd,
        other: Option<BorrowedFd>,
        at_most: Option<u64>,
    ) -> Result<Passed, Errno> {
        let ms = at_most.map_or(-1, |ns| ns.div_ceil(1_000_000).min(i32::MAX as u64) as i32);
        let other = other.unwrap_or(child);
        let [open, gone, disturbed] = process::wait_readable([self.reader.as_fd(), child, other], ms)?;
        Ok(match (open, gone, disturbed) {
            (true, ..) => Passed::Open,
            (_, true, _) => Passed::Gone,
            _ => Passed::Disturbed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;
    use std::process::{Child, Command, Stdio};

    fn sleeper() -> (Child, OwnedFd) {
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a process");
        let pidfd = process::pidfd(Pid::from_raw(child.id() as i32)).expect("its handle");
        (child, pidfd)
    }

    #[test]
    fn it_is_open_closed_or_nobody_is_there() {
        let (mut child, pidfd) = sleeper();
        let closed = Gate::new().expect("a pipe").wait(pidfd.as_fd(), None, Some(1_000_000));
        assert_eq!(closed, Ok(Passed::Disturbed));
        let gate = Gate::new().expect("a pipe");
        let copy = Gate {
            reader: gate.reader.try_clone().expect("a copy"),
            writer: gate.writer.try_clone().expect("a copy"),
        };
        assert!(copy.open());
        assert_eq!(gate.wait(pidfd.as_fd(), None, None), Ok(Passed::Open));
        child.kill().expect("it ends");
        assert_eq!(Gate::new().expect("a pipe").wait(pidfd.as_fd(), None, None), Ok(Passed::Gone));
        waitpid(Pid::from_raw(child.id() as i32), None).expect("it is reaped");
    }
}
