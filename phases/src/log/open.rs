//! Which names can be the log, and opening them.

use crate::sys::writers;
use engine::effect::{Capability, Owner, SystemError};
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, FcntlArg, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{self, Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Why a name cannot be the log.
#[derive(Debug)]
pub(super) enum Refused {
    Errno(Errno),
    Kind(&'static str),
    /// it has so many names, and others may give it one
    Linked(u64),
}

impl From<Errno> for Refused {
    fn from(e: Errno) -> Self {
        Refused::Errno(e)
    }
}

impl Refused {
    pub(super) fn errno(&self) -> Errno {
        match self {
            Refused::Errno(e) => *e,
            Refused::Kind(_) | Refused::Linked(_) => Errno::EEXIST,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Refused::Errno(e) => reason(*e),
            Refused::Kind(kind) => format!("it is {kind}"),
            Refused::Linked(names) => format!("it has {names} names"),
        }
    }

    pub(super) fn about(self, what: String) -> SystemError {
        match self {
            Refused::Errno(e) => {
                let error = SystemError::errno(e as i32, what);
                match e {
                    Errno::EACCES => error
                        .why(format!("this process is {}:{}", unistd::geteuid(), unistd::getegid()))
                        .help("name a log in a directory that this user may write to"),
                    _ => error,
                }
            }
            Refused::Kind(kind) => SystemError::new(format!("{what}: it is {kind}"))
                .why("only a regular file is opened as a log, and no symbolic link is followed in the last place")
                .help("name another file, or have no log (`--logfile=` in the shipped specs)"),
            Refused::Linked(names) => SystemError::new(format!("{what}: it has {names} names"))
                .why(
                    "others may write the directory, so one of them may have given this name to a file that is \
                     not theirs (link(2)), and root would write to that",
                )
                .help("remove this name, or let root own the directory"),
        }
    }
}

pub(super) fn append() -> OFlag {
    OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY
}

/// The log of that name for ourselves, so that it can be taken back; `None` if another start has
/// opened it meanwhile. The lock must be kept until the name is gone.
///
/// # Errors
/// It cannot be opened (any more), so nobody can tell.
pub fn alone(dir: impl AsFd, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    let file = openat(dir, name, append() | OFlag::O_NONBLOCK, Mode::empty())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    Ok((fstat(&file)?.st_size == 0).then_some(file))
}

/// Says to whoever made the log that it is in use: a start that fails takes its empty log back,
/// unless somebody else has opened it. False if the name is just being taken back.
fn in_use(dir: BorrowedFd, name: &OsStr, file: &OwnedFd, stat: &FileStat) -> bool {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            std::thread::sleep(std::time::Duration::from_millis(1));
            false
        }
        // Locked, or on a file system that knows no locks.
        _ => fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)),
    }
}

/// The existing or a new file, and whether it is new.
pub(super) fn open_at(
    dir: BorrowedFd,
    name: &OsStr,
    mode: Mode,
) -> Result<(OwnedFd, FileStat, bool), Refused> {
    for tries in (0..8).rev() {
        match openat(dir, name, append() | OFlag::O_CREAT | OFlag::O_EXCL, mode) {
            Ok(file) => {
                let stat = match fstat(&file) {
                    Ok(stat) => stat,
                    Err(error) => {
                        // Nobody has heard of it, so nobody else takes it back: what has its name, if that is empty
                        // and nobody else's.
                        drop(file);
                        if let Ok(Some(_alone)) = alone(dir, name) {
                            let _ = unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
                        }
                        return Err(error.into());
                    }
                };
                let _ = flock(&file, FlockOperation::NonBlockingLockShared);
                return Ok((file, stat, true));
            }
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(e.into()),
        }
        match existing_at(dir, name) {
            // A stranger who may read the log can hold this lock for ever: it is no reason not to start.
            Ok((file, stat)) if in_use(dir, name, &file, &stat) || tries == 0 => {
                return Ok((file, stat, false));
            }
            Ok(_) => {}
            // gone between the two: once more
            Err(Refused::Errno(Errno::ENOENT)) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Errno::EAGAIN.into())
}

/// The existing file, if it is a regular one. Looked at before it is opened, because opening a
/// FIFO or a device can wait or do something, and again afterwards, because it may be another.
pub(super) fn existing_at(dir: BorrowedFd, name: &OsStr) -> Result<(OwnedFd, FileStat), Refused> {
    regular(&fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)?;
    let file = openat(dir, name, append() | OFlag::O_NONBLOCK, Mode::empty()).map_err(|e| match e {
        Errno::ELOOP => Refused::Kind("a symbolic link"),
        e => Refused::Errno(e),
    })?;
    let stat = fstat(&file)?;
    regular(&stat)?;
    // Root would write what the program says into whatever file somebody has given this name to.
    if stat.st_nlink > 1 && unistd::geteuid().is_root() && writers::changeable(&fstat(dir)?) {
        return Err(Refused::Linked(stat.st_nlink));
    }
    fcntl::fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok((file, stat))
}

fn regular(stat: &FileStat) -> Result<(), Refused> {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFLNK => Err(Refused::Kind("a symbolic link")),
        SFlag::S_IFDIR => Err(Refused::Kind("a directory")),
        SFlag::S_IFIFO => Err(Refused::Kind("a FIFO")),
        SFlag::S_IFSOCK => Err(Refused::Kind("a socket")),
        _ => Err(Refused::Kind("a device")),
    }
}

/// An old log of somebody else is given away only where nobody but root can have put it there: whoever may
/// write the directory can move any file to that name (rename(2)), and would be given it.
fn may_take(
    dir: BorrowedFd,
    stat: &FileStat,
    owner: Owner,
    created: bool,
    path: &Path,
) -> Result<(), SystemError> {
    if created || stat.st_size == 0 || stat.st_uid == owner.uid {
        return Ok(());
    }
    let what = format!("open log {}", path.display());
    let dir = fstat(dir).map_err(|e| SystemError::errno(e as i32, &what))?;
    if [0, unistd::geteuid().as_raw()].contains(&stat.st_uid) && !writers::changeable(&dir) {
        return Ok(());
    }
    Err(SystemError::errno(Errno::EEXIST as i32, what)
        .why(format!(
            "{} is there, has something in it, and belongs to {}:{}",
            path.display(),
            stat.st_uid,
            stat.st_gid
        ))
        .help(format!(
            "give it away (chown {}:{} {}), or name another",
            owner.uid,
            owner.gid,
            path.display()
        )))
}

pub(super) fn give(
    file: &OwnedFd,
    dir: BorrowedFd,
    stat: &FileStat,
    owner: Owner,
    created: bool,
    path: &Path,
) -> Result<(), SystemError> {
    if (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) {
        return Ok(());
    }
    may_take(dir, stat, owner, created, path)?;
    let what = format!("give log {} to {}:{}", path.display(), owner.uid, owner.gid);
    if !created && stat.st_nlink > 1 && unistd::geteuid().is_root() {
        return Err(SystemError::new(format!("{what}: it has {} names", stat.st_nlink))
            .why("giving it away would give away the file under its other names too")
            .help("remove it, or name another log"));
    }
    fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))).map_err(|e| {
        let error = SystemError::errno(e as i32, what).why(format!(
            "it belongs to {}:{} and this process is {}:{}",
            stat.st_uid,
            stat.st_gid,
            unistd::geteuid(),
            unistd::getegid()
        ));
        if e == Errno::EPERM { error.lacks(Capability::Chown) } else { error }
    })
}

pub(super) fn reason(errno: Errno) -> String {
    engine::text::errno_message(errno as i32).into_owned()
}
