//! A datagram of whoever likes to send one: looked at where it lies, so that what is sent along stays there.
//!
//! A descriptor that is sent along is the receiver's to close, and close(2) of the last one may wait as long as
//! the sender wants (SO_LINGER in socket(7), a file system in user space). Nothing but the sender's id is
//! received here; what else there is the kernel reports as cut (MSG_CTRUNC in recvmsg(2)).

use nix::errno::Errno;
use nix::libc;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// so many bytes of it are in the buffer
    pub length: usize,
    /// it is longer than the buffer
    pub cut: bool,
    /// something is sent along: descriptors
    pub laden: bool,
    /// who sent it, by the kernel's word (SO_PASSCRED); 0 for a process that this one has no number for
    pub pid: i32,
}

/// The next one, which stays in the queue; EAGAIN where there is none.
pub fn peek(socket: impl AsFd, data: &mut [u8]) -> Result<Datagram, Errno> {
    receive(socket, data, libc::MSG_PEEK)
}

/// The next one, and without what was sent along: the kernel closes that, which may take its time.
pub fn take(socket: impl AsFd, data: &mut [u8]) -> Result<Datagram, Errno> {
    receive(socket, data, 0)
}

/// As large as a header and `ucred` with padding, and aligned as a header.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    sender: libc::ucred,
    padding: [u8; 4],
}

fn receive(socket: impl AsFd, data: &mut [u8], how: i32) -> Result<Datagram, Errno> {
    let flags = how | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    loop {
        let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        // SAFETY: structures of numbers and pointers, for which zero is a value.
        let (mut control, mut header) = unsafe { (zeroed::<Control>(), zeroed::<libc::msghdr>()) };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        // No room behind the sender's id: a descriptor that was installed would be ours to close.
        header.msg_controllen = size_of::<Control>();
        // SAFETY: all pointers lead to values above that live on, each with its length.
        let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
        let length = match Errno::result(got) {
            Ok(length) => length as usize,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        let is_sender = header.msg_controllen >= size_of::<libc::cmsghdr>() + size_of::<libc::ucred>()
            && (control.header.cmsg_level, control.header.cmsg_type)
                == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS);
        return Ok(Datagram {
            length,
            cut: header.msg_flags & libc::MSG_TRUNC != 0,
            laden: header.msg_flags & libc::MSG_CTRUNC != 0,
            pid: if is_sender { control.sender.pid } else { 0 },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt, socketpair, sockopt,
    };
    use std::io::IoSlice;
    use std::os::fd::OwnedFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (here, there) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags).expect("a pair");
        setsockopt(&here, sockopt::PassCred, &true).expect("credentials");
        (here, there)
    }

    fn send(there: &OwnedFd, fds: &[i32]) {
        let rights = [ControlMessage::ScmRights(fds)];
        let control: &[_] = if fds.is_empty() { &[] } else { &rights };
        sendmsg::<()>(there.as_raw_fd(), &[IoSlice::new(b"hello")], control, MsgFlags::empty(), None)
            .expect("it is sent");
    }

    #[test]
    fn control_has_room_for_the_sender_and_nothing_else() {
        // SAFETY: a computation.
        let space = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) };
        assert_eq!(size_of::<Control>(), space as usize);
    }

    #[test]
    fn descriptors_stay_where_they_are() {
        let (here, there) = pair();
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        send(&there, &[writer.as_raw_fd()]);
        drop(writer);
        let mut data = [0; 64];
        let seen = peek(&here, &mut data).expect("it is there");
        let me = std::process::id() as i32;
        assert_eq!(seen, Datagram { length: 5, cut: false, laden: true, pid: me });
        assert_eq!(&data[..5], b"hello");
        let ended = || crate::sys::process::wait_readable([reader.as_fd()], 0).expect("poll")[0];
        assert!(!ended(), "the message still has it");
        assert_eq!(take(&here, &mut data), Ok(seen));
        assert!(ended(), "it is closed, and was never ours");
        assert_eq!(peek(&here, &mut data), Err(Errno::EAGAIN));
    }

    #[test]
    fn many_descriptors_and_none() {
        let (here, there) = pair();
        let file = std::fs::File::open("/dev/null").expect("a file");
        send(&there, &[file.as_raw_fd(); 253]);
        send(&there, &[]);
        let mut data = [0; 3];
        let seen = take(&here, &mut data).expect("it is there");
        assert_eq!((seen.laden, seen.cut, seen.length), (true, true, 3));
        let seen = take(&here, &mut data).expect("it is there");
        assert_eq!((seen.laden, seen.cut), (false, true));
    }
}
