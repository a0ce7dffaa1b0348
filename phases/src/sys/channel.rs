//! The status channel: a close-on-exec seqpacket socket between the process that runs the phases
//! and the one that holds the undo. One message a packet, descriptors beside it (unix(7)).

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The largest message: a failure with its facts fits many times over.
const LARGEST: usize = 64 * 1024;
/// Descriptors a message carries at the most.
const DESCRIPTORS: usize = 4;

/// How often a message is tried again that the kernel had no room for, and how long to wait before.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// A message and the descriptors beside it.
pub type Packet = (Vec<u8>, Vec<OwnedFd>);

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// Both ends.
pub fn pair() -> Result<(Channel, Channel), Errno> {
    let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Channel(a), Channel(b)))
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Sends one message. No signal if the other end is gone: that is the caller's to know. Where there is no
    /// memory for it, or too many descriptors are on their way, it is tried again for a while.
    pub fn send(&self, data: &[u8], fds: &[BorrowedFd]) -> Result<(), Errno> {
        for _ in 0..TRIES {
            match self.send_once(data, fds) {
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN | Errno::ETOOMANYREFS) => {
                    std::thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
        self.send_once(data, fds)
    }

    fn send_once(&self, data: &[u8], fds: &[BorrowedFd]) -> Result<(), Errno> {
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
        let data = &data[..data.len().min(LARGEST)];
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(data)], control, MsgFlags::MSG_NOSIGNAL, None)
            .map(drop)
    }

    /// The next message; `None` once every process has closed the other end.
    pub fn receive(&self) -> Result<Option<Packet>, Errno> {
        let mut data = vec![0; LARGEST];
        let mut space = cmsg_space!([std::os::fd::RawFd; DESCRIPTORS]);
        let mut tries = 0;
        let (len, fds) = loop {
            let mut parts = [IoSliceMut::new(&mut data)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(message) => {
                    let mut fds = Vec::new();
                    for control in message.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(raw) = control {
                            // SAFETY: the kernel has just made these descriptors for us alone.
                            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                        }
                    }
                    break (message.bytes, fds);
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::ENOBUFS | Errno::ENOMEM) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        if len == 0 && fds.is_empty() {
            return Ok(None);
        }
        data.truncate(len);
        Ok(Some((data, fds)))
    }
}
