//! bind(2) to a path on which others have a say.
//!
//! bind(2) follows a path anew, whatever was looked at before, and makes a file where it ends: root would
//! make it wherever a link leads to that is put there at the right moment. So where the directory belongs to
//! somebody else, the file is made with that user's rights, and can only be where the user could have made
//! it. Who is handed the socket may ask for its path (sd_is_socket_unix(3)), so that stays as it was given.

use crate::sys::{failed, identity, writers};
use engine::effect::{Capability, SystemError};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{UnixAddr, bind};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::{Gid, Uid, fchownat, getegid, geteuid, getgroups, setfsgid, setfsuid, setgroups};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Binds to `path`, which is `name` in `dir`. The file belongs to this process, as that of bind(2) does.
///
/// # Errors
/// What bind(2) answers, or that the file which was made cannot be told from others.
pub fn bind_at(fd: &OwnedFd, dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), Errno> {
    let place = fstat(dir)?;
    let whole = UnixAddr::new(path)?;
    let all_powerful = geteuid().is_root() || identity::capabilities()?.has(Capability::DacOverride);
    if !all_powerful || !writers::on_the_way(path) {
        return bind(fd.as_raw_fd(), &whole);
    }
    if geteuid().is_root() && place.st_uid != 0 {
        match with_rights_of(&place, || bind(fd.as_raw_fd(), &whole)) {
            Ok(Ok(())) => return take(dir, name, place.st_uid),
            // Its own directory, and it may not write there. Or this process may not be less than it is.
            Ok(Err(Errno::EACCES)) | Err(_) => {}
            Ok(Err(other)) => return Err(other),
        }
    }
    // By the directory that is open; the socket will say that it has this name.
    let mut by_number = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    by_number.push(name);
    bind(fd.as_raw_fd(), &UnixAddr::new(&by_number)?)
}

/// Does something to files with the rights of who owns a directory, and no others (setfsuid(2)). The outer
/// error: it was not done.
fn with_rights_of<T>(place: &FileStat, act: impl FnOnce() -> T) -> Result<T, Errno> {
    let groups = getgroups()?;
    setgroups(&[])?;
    setfsgid(Gid::from_raw(place.st_gid));
    setfsuid(Uid::from_raw(place.st_uid));
    // These two calls answer nothing but what was before.
    let nobody = (Uid::from_raw(u32::MAX), Gid::from_raw(u32::MAX));
    let less = setfsuid(nobody.0).as_raw() == place.st_uid && setfsgid(nobody.1).as_raw() == place.st_gid;
    let done = less.then(act);
    setfsuid(geteuid());
    setfsgid(getegid());
    let back = setfsuid(nobody.0) == geteuid() && setfsgid(nobody.1) == getegid();
    setgroups(&groups)?;
    match done {
        Some(done) if back => Ok(done),
        _ => Err(Errno::EPERM),
    }
}

/// Takes the file that was made with another's rights: what bind(2) makes is the binder's.
fn take(dir: &OwnedFd, name: &OsStr, made_as: u32) -> Result<(), Errno> {
    let file = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = fstat(&file)?;
    let socket = stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFSOCK;
    if !socket || stat.st_uid != made_as || stat.st_nlink != 1 {
        return Err(Errno::EAGAIN);
    }
    fchownat(&file, "", Some(geteuid()), Some(getegid()), AtFlags::AT_EMPTY_PATH)
}

/// The error of a socket at a path on which others have a say.
pub fn moved(what: &str) -> SystemError {
    failed(Errno::EAGAIN, what)
        .why("a directory, a link or the name itself was replaced at this very moment")
        .help("see who may change the directories on the way, and look where a socket was left")
}
