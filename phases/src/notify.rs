//! What a program says of itself: the socket of sd_notify(3), and who may speak to it; and what the
//! manager of this process is told ([`Manager`]).
//!
//! The socket has an abstract name that the kernel chose: it is reached after chroot(2) and by the
//! dropped user, leaves no file, and goes with this process. Anybody in the same network namespace can
//! send to it, so that only what comes from the program's own process tree is heard.

pub mod manager;
pub mod message;
mod tree;

pub use manager::Manager;
pub use message::{Message, parse};
pub use tree::{Effort, MOST, Tree};

use crate::sys::datagram::{self, Datagram};
use crate::sys::gate::{Gate, Passed};
use crate::sys::process;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, getsockname, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The longest message that is read; systemd has the same limit.
const LONGEST: usize = 4096;
/// More descriptors than these cannot be sent at once (`SCM_MAX_FD`, unix(7)).
const DESCRIPTORS: usize = 253;
/// So many processes may be closing what was sent along; then the oldest is killed.
const CLOSING: usize = 8;
/// How long one may take to take a message out of the queue, in nanoseconds.
const TAKEN: u64 = 1_000_000_000;

/// The socket.
#[derive(Debug)]
pub struct Notify {
    fd: OwnedFd,
    /// as `NOTIFY_SOCKET` has it
    pub name: String,
    closing: Vec<(Pid, OwnedFd)>,
}

/// What came.
#[derive(Debug)]
pub struct Heard {
    /// the process that sent it, by the kernel's word
    pub pid: i32,
    /// what it says; `None` where it is longer than a message may be
    pub message: Option<Message>,
}

impl Notify {
    /// A new socket. Bound to nothing, it is given a name by the kernel (unix(7), autobind).
    pub fn new() -> Result<Notify, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::PassCred, &true)?;
        bind(fd.as_raw_fd(), &UnixAddr::new_unnamed())?;
        let address: UnixAddr = getsockname(fd.as_raw_fd())?;
        let name =
            address.as_abstract().and_then(|n| std::str::from_utf8(n).ok()).ok_or(Errno::EADDRNOTAVAIL)?;
        Ok(Notify { name: format!("@{name}"), fd, closing: Vec::new() })
    }

    /// The next message that waits, if any. Descriptors that come with it are closed, and the sender may be
    /// waiting for that (`BARRIER=1`).
    pub fn receive(&mut self) -> Result<Option<Heard>, Errno> {
        let mut data = [0u8; LONGEST];
        let there = match datagram::peek(&self.fd, &mut data) {
            Ok(there) => there,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Datagram { length, cut, pid, .. } = match there.laden {
            false => datagram::take(&self.fd, &mut data)?,
            true => {
                // Where no child can be had it must leave the queue all the same, or nothing else is heard.
                if self.unload().is_err() {
                    datagram::take(&self.fd, &mut [0; 1])?;
                }
                there
            }
        };
        let message = (!cut).then(|| parse(data.get(..length).unwrap_or_default()));
        Ok(Some(Heard { pid, message }))
    }

    /// Reaps the children that have closed what they had to.
    pub fn settle(&mut self) {
        self.closing.retain(|(child, _)| {
            matches!(waitpid(*child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
        });
    }

    /// Whether that process is a child that closes what was sent.
    pub fn is_closing(&self, pid: Pid) -> bool {
        self.closing.iter().any(|(child, _)| *child == pid)
    }

    /// Nobody listens any more: what is not closed by now goes with the children that were to do it.
    pub fn end(&mut self) {
        for (child, pidfd) in self.closing.drain(..) {
            let _ = process::signal(&pidfd, Signal::SIGKILL);
            let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
        }
    }

    /// Has a child take the next message out of the queue, and close what came with it. Anybody may send
    /// something whose close(2) waits: it is never this process that does it.
    fn unload(&mut self) -> Result<(), Errno> {
        self.settle();
        if self.closing.len() >= CLOSING {
            let (child, pidfd) = self.closing.remove(0);
            process::signal(&pidfd, Signal::SIGKILL)?;
            let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
        }
        let gate = Gate::new()?;
        match process::fork_beside_threads()? {
            ForkResult::Child => {
                let mut ours = vec![self.fd.as_fd()];
                ours.extend(gate.descriptors());
                let closed = process::close_all_but(&ours);
                let mut space = cmsg_space!(UnixCredentials, [RawFd; DESCRIPTORS]);
                let mut data = [0u8; 1];
                let mut parts = [IoSliceMut::new(&mut data)];
                let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
                let taken = recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut space), flags).is_ok();
                // Its end closes them all.
                process::exit_now(i32::from(closed.is_err() || !taken || !gate.open()))
            }
            ForkResult::Parent { child } => {
                let pidfd = process::pidfd(child)?;
                if gate.wait(pidfd.as_fd(), None, Some(TAKEN))? == Passed::Disturbed {
                    process::signal(&pidfd, Signal::SIGKILL)?;
                }
                self.closing.push((child, pidfd));
                Ok(())
            }
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
