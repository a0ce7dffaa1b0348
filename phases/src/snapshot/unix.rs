//! The Unix sockets of a network namespace, by sock_diag(7). The table of proc_pid_net(5) has their names as they are: a
//! line break in one of them makes a line that says what its owner likes.

use super::network::{ask, short};
use engine::effect::Socket;
use nix::libc;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A Unix socket that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) inode: u64,
    pub(super) name: Socket,
    /// it listens, or it takes datagrams and is connected to nobody
    pub(super) waits: bool,
}

/// Those of our own network namespace; `None` where the kernel does not say.
pub(super) fn named() -> Option<Vec<Named>> {
    let mut all = Vec::new();
    ask(&request(), &mut |message| {
        all.extend(read(message)?);
        Some(false)
    })?;
    Some(all)
}

/// `struct nlmsghdr` and `struct unix_diag_req`: all of them, with their names and whom they are connected to.
fn request() -> Vec<u8> {
    const LENGTH: u32 = 40;
    const BY_FAMILY: u16 = 20;
    const REQUEST_AND_DUMP: u16 = 0x301;
    const EVERY_STATE: u32 = u32::MAX;
    const SHOW_NAME_AND_PEER: u32 = 1 | 4;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend(EVERY_STATE.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(SHOW_NAME_AND_PEER.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

/// `struct unix_diag_msg` and its attributes: family, type and state, the inode at 4. `None` where it is cut.
fn read(message: &[u8]) -> Option<Option<Named>> {
    const LISTENS: u8 = 10;
    const NAME: u16 = 0;
    const PEER: u16 = 2;
    let (sort, state) = (*message.get(1)?, *message.get(2)?);
    let inode = u32::from_ne_bytes(message.get(4..8)?.try_into().ok()?).into();
    let (mut name, mut peer) = (None, false);
    let mut rest = message.get(16..)?;
    while let (Some(size), Some(kind)) = (short(rest, 0), short(rest, 2)) {
        match kind {
            NAME => name = Some(address(rest.get(4..size.into())?)),
            PEER => peer = true,
            _ => {}
        }
        rest = rest.get((usize::from(size).max(4) + 3) & !3..).unwrap_or_default();
    }
    // The state of one of datagrams says only that somebody has connected to it.
    Some(name.map(|(name, chosen)| {
        let datagrams = i32::from(sort) == libc::SOCK_DGRAM && !peer && !chosen;
        Named { inode, name, waits: state == LISTENS || datagrams }
    }))
}

/// The address, and whether the kernel has chosen it (unix(7), autobind: five digits), as for a client that is to be
/// answered.
fn address(bytes: &[u8]) -> (Socket, bool) {
    match bytes.split_first() {
        Some((0, name)) => {
            let chosen = name.len() == 5 && name.iter().all(u8::is_ascii_hexdigit);
            (Socket::Abstract(String::from_utf8_lossy(name).into_owned()), chosen)
        }
        _ => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let path = bytes.get(..end).unwrap_or_default();
            (Socket::Unix(PathBuf::from(OsStr::from_bytes(path))), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

    #[test]
    fn a_name_makes_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("rsd {}\n0: 00000002 00000000 00010000 0001 01 1 /forged", std::process::id());
        let listens = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path = dir.path().join("a b");
        let takes = UnixDatagram::bind(&path).unwrap();
        let client = UnixDatagram::bind(dir.path().join("client")).unwrap();
        client.connect(&path).unwrap();
        let Some(all) = named() else { return println!("sock_diag says nothing of Unix sockets here") };
        let of = |name: &Socket| all.iter().find(|one| one.name == *name).map(|one| one.waits);
        assert_eq!(of(&Socket::Abstract(name)), Some(true));
        assert_eq!(of(&Socket::Unix(path)), Some(true));
        assert_eq!(of(&Socket::Unix(dir.path().join("client"))), Some(false));
        assert_eq!(of(&Socket::Unix("/forged".into())), None);
        drop((listens, takes));
    }

    #[test]
    fn what_is_cut_is_not_read() {
        let mut whole = vec![1, 1, 10, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&whole), Some(None));
        whole.extend(8u16.to_ne_bytes());
        whole.extend(0u16.to_ne_bytes());
        whole.extend(b"/a\0");
        assert_eq!(read(&whole), None);
        whole.push(0);
        let name = Socket::Unix("/a".into());
        assert_eq!(read(&whole), Some(Some(Named { inode: 7, name, waits: true })));
    }
}
