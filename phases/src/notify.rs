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
pub use tree::Tree;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind,
    getsockname, recvmsg, setsockopt, socket, sockopt,
};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The longest message that is read; systemd has the same limit.
const LONGEST: usize = 4096;
/// Descriptors that are taken beside a message, to be closed: the sender waits for that (`BARRIER=1`).
const DESCRIPTORS: usize = 16;

/// The socket.
#[derive(Debug)]
pub struct Notify {
    fd: OwnedFd,
    /// as `NOTIFY_SOCKET` has it
    pub name: String,
}

/// What came.
#[derive(Debug)]
pub struct Heard {
    /// the process that sent it, by the kernel's word
    pub pid: i32,
    /// what it says; `None` where it is longer than a message may be
    pub message: Option<Message>,
    /// closed when this is dropped: the sender may be waiting for it
    pub barrier: Vec<OwnedFd>,
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
        Ok(Notify { name: format!("@{name}"), fd })
    }

    /// The next message that waits, if any.
    pub fn receive(&self) -> Result<Option<Heard>, Errno> {
        let mut data = [0u8; LONGEST];
        let mut space = cmsg_space!(UnixCredentials, [RawFd; DESCRIPTORS]);
        loop {
            let mut parts = [IoSliceMut::new(&mut data)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
            let got = match recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(got) => got,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(e) => return Err(e),
            };
            let (mut pid, mut barrier) = (0, Vec::new());
            let (length, cut) = (got.bytes, got.flags.contains(MsgFlags::MSG_TRUNC));
            for control in got.cmsgs()? {
                match control {
                    ControlMessageOwned::ScmCredentials(who) => pid = who.pid(),
                    ControlMessageOwned::ScmRights(raw) => {
                        // SAFETY: the kernel has just made these descriptors for us alone.
                        barrier.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                    _ => {}
                }
            }
            let message = (!cut).then(|| parse(data.get(..length).unwrap_or_default()));
            return Ok(Some(Heard { pid, message, barrier }));
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
