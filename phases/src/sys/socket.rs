//! What nix has no call for: the file of a bound Unix socket, a queue of any length, descriptors that were
//! handed to this process.

use super::{child, process};
use engine::effect::Sort;
use engine::snapshot::Handed;
use nix::errno::Errno;
use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first descriptor of the LISTEN_FDS protocol.
pub const LISTEN_START: RawFd = 3;

/// `SIOCUNIXFILE` of linux/un.h.
const SIOCUNIXFILE: nix::libc::Ioctl = 0x89e0;

/// The very file that bind(2) has made for a Unix socket, wherever its name leads by now, as an `O_PATH`
/// descriptor. Linux 4.13; asks for CAP_NET_ADMIN.
pub fn bound_file(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the request takes no argument and gives back a new descriptor or -1.
    let fd = Errno::result(unsafe { nix::libc::ioctl(socket.as_fd().as_raw_fd(), SIOCUNIXFILE) })?;
    // SAFETY: the kernel just gave us this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// listen(2). The kernel takes as many as `net.core.somaxconn` at most, so -1 is that many.
pub fn listen(socket: impl AsFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { nix::libc::listen(socket.as_fd().as_raw_fd(), backlog) }).map(drop)
}

/// How a socket transports; `None` where it is none, or of another sort.
pub fn sort_of(fd: impl AsFd) -> Option<Sort> {
    match getsockopt(&fd, sockopt::SockType).ok()? {
        SockType::Stream => Some(Sort::Stream),
        SockType::Datagram => Some(Sort::Datagram),
        SockType::SeqPacket => Some(Sort::SeqPacket),
        _ => None,
    }
}

/// The names of that many descriptors that were handed over: sd_listen_fds_with_names(3) calls those without
/// one `unknown`.
fn names(count: usize) -> Vec<String> {
    let text = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names: Vec<String> = text.split(':').map(str::to_owned).collect();
    // Other than as many names as descriptors is not to be believed.
    if text.is_empty() || names.len() != count {
        names = vec!["unknown".to_owned(); count];
    }
    names
}

/// What was handed to this process, as far as they are sockets.
pub fn handed() -> Vec<Handed> {
    let count = process::handed_sockets();
    let sort = |nth: usize| {
        // SAFETY: `handed_sockets` has found it open, and it stays open for this one call.
        sort_of(unsafe { BorrowedFd::borrow_raw(LISTEN_START + nth as RawFd) })
    };
    let all = names(count as usize).into_iter().enumerate();
    all.filter_map(|(nth, name)| Some(Handed { name, sort: sort(nth)? })).collect()
}

/// The same sockets as copies of our own, with their names. They must still be where they were handed over.
pub fn take_handed() -> Result<Vec<(String, OwnedFd)>, Errno> {
    let count = process::handed_sockets() as RawFd;
    let mut taken = Vec::new();
    for (fd, name) in (LISTEN_START..).zip(names(count as usize)) {
        let copy = child::copy_number_above(fd, LISTEN_START + count)?;
        if sort_of(&copy).is_some() {
            taken.push((name, copy));
        }
    }
    Ok(taken)
}
