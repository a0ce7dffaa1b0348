//! Which user namespace we are in, user_namespaces(7) and ioctl_ns(2).

use engine::snapshot::{IdRange, UserNamespace};
use nix::errno::Errno;
use nix::libc;
use std::fs::{File, read_link, read_to_string};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The first user namespace of a machine has this inode (`PROC_USER_INIT_INO` of the kernel).
const FIRST: &str = "user:[4026531837]";

/// `NS_GET_USERNS`: `_IO(0xb7, 0x1)`.
const GET_OWNER: libc::Ioctl = 0xb701;

/// What our user namespace leaves; `None` in the first one, or where /proc does not tell.
pub fn own() -> Option<UserNamespace> {
    let link = read_link("/proc/self/ns/user").ok()?;
    if link.as_os_str() == FIRST {
        return None;
    }
    Some(UserNamespace {
        uids: ranges(&read_to_string("/proc/self/uid_map").ok()?),
        gids: ranges(&read_to_string("/proc/self/gid_map").ok()?),
        setgroups: read_to_string("/proc/self/setgroups").map_or(true, |t| t.trim() != "deny"),
        network: network_is_ours(),
    })
}

fn ranges(map: &str) -> Vec<IdRange> {
    let number = |text: Option<&str>| text?.parse().ok();
    map.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let first = number(fields.next())?;
            Some(IdRange { first, count: number(fields.nth(1))? })
        })
        .collect()
}

/// The kernel names the owner of a namespace only to those in it or above it.
fn network_is_ours() -> bool {
    let Ok(network) = File::open("/proc/self/ns/net") else { return true };
    // SAFETY: the request takes no argument and answers with a new descriptor or -1.
    let owner = unsafe { libc::ioctl(network.as_raw_fd(), GET_OWNER) };
    if owner < 0 {
        return Errno::last() != Errno::EPERM;
    }
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(owner) });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let of = |first, count| IdRange { first, count };
        assert_eq!(ranges("         0       1000          1\n"), [of(0, 1)]);
        assert_eq!(ranges("0 1000 1\n1 100000 65536\n"), [of(0, 1), of(1, 65536)]);
        assert_eq!(ranges(""), []);
    }
}
