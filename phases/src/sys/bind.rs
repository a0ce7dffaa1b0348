//! bind(2) to a path on which others have a say.
//!
//! bind(2) follows a path anew, whatever was looked at before, and makes a file where it ends: root would
//! make it wherever a link leads that is put there at the right moment. Who is handed the socket may ask for
//! its path (sd_is_socket_unix(3)), so it cannot be bound by the number of the directory. So a child does it
//! that can make sockets in this directory alone (landlock(7)), and the socket is ours as well.

use super::{identity, process, writers};
use engine::effect::Capability;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{UnixAddr, bind};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, geteuid};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// What the child answers if the kernel has no Landlock: no error has this number.
const NONE: i32 = 255;
/// Landlock is not in this kernel, or was switched off when it was started (landlock_create_ruleset(2)).
const NOT_THERE: [Errno; 2] = [Errno::ENOSYS, Errno::EOPNOTSUPP];
/// `LANDLOCK_ACCESS_FS_MAKE_SOCK`, linux/landlock.h.
const MAKE_SOCK: u64 = 1 << 9;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: libc::c_int = 1;

/// Binds a socket to a path that was found to lead into this directory. Where the kernel has no Landlock
/// (before Linux 5.13), the caller has to look where it led.
///
/// # Errors
/// What bind(2) answers; EACCES also where the path leads elsewhere by now.
pub fn bind_in(fd: &OwnedFd, dir: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let address = UnixAddr::new(path)?;
    let powerful = geteuid().is_root() || identity::capabilities()?.has(Capability::DacOverride);
    if !powerful || !writers::on_the_way(path) {
        return bind(fd.as_raw_fd(), &address);
    }
    bind_below(fd, dir, &address)
}

/// Only where there is no Landlock at all it is done without: an error is one, and the next start may do it.
fn bind_below(fd: &OwnedFd, dir: &OwnedFd, address: &UnixAddr) -> Result<(), Errno> {
    match process::fork_beside_threads()? {
        ForkResult::Child => {
            let done = match only_sockets_in(dir) {
                Ok(true) => bind(fd.as_raw_fd(), address).map_or_else(|e| e as i32, |()| 0),
                Ok(false) => NONE,
                Err(errno) => errno as i32,
            };
            process::exit_now(done)
        }
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
                Ok(WaitStatus::Exited(_, NONE)) => return bind(fd.as_raw_fd(), address),
                Ok(WaitStatus::Exited(_, errno)) => return Err(Errno::from_raw(errno)),
                _ => return Err(Errno::EINTR),
            }
        },
    }
}

#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
}

#[repr(C, packed)]
struct Beneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// From now on this process makes sockets nowhere but in this directory, and below it. False where the kernel has
/// no Landlock.
fn only_sockets_in(dir: &OwnedFd) -> Result<bool, Errno> {
    let ruleset = Ruleset { handled_access_fs: MAKE_SOCK };
    // SAFETY: the kernel reads as many bytes as the structure has, and makes a descriptor.
    let made = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<Ruleset>(), 0)
    };
    let made = match Errno::result(made) {
        Err(errno) if NOT_THERE.contains(&errno) => return Ok(false),
        made => made?,
    };
    // SAFETY: it was just made for us alone.
    let rules = unsafe { OwnedFd::from_raw_fd(made as i32) };
    let rule = Beneath { allowed_access: MAKE_SOCK, parent_fd: dir.as_raw_fd() };
    // SAFETY: the structure is read, and the descriptors are open.
    let added = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), PATH_BENEATH, &raw const rule, 0)
    };
    Errno::result(added)?;
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) })
        .map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    fn landlock() -> bool {
        // `LANDLOCK_CREATE_RULESET_VERSION`
        let none = std::ptr::null::<Ruleset>();
        // SAFETY: with this flag nothing is read and nothing is made.
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, 1) > 0 }
    }

    /// Protected or not at all: where the protection fails for another reason than that there is none.
    #[test]
    fn what_cannot_be_protected_is_not_bound() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("it.sock");
        let fd =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        let address = UnixAddr::new(&path).expect("an address");
        // No directory, so that no rule can name it.
        let (no_directory, _writer) = nix::unistd::pipe().expect("a pipe");
        if landlock() {
            assert_eq!(bind_below(&fd, &no_directory, &address), Err(Errno::EBADFD));
            assert!(!path.exists());
        }
        let dir = OwnedFd::from(std::fs::File::open(place.path()).expect("the directory"));
        assert_eq!(bind_below(&fd, &dir, &address), Ok(()));
        assert!(path.exists());
    }
}
