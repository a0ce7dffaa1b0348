//! The way to a directory in which a privileged process is to make, open or remove a name.
//!
//! Whoever owns a symbolic link on that way decides where root writes: CVE-2016-1247 (nginx in Debian),
//! CVE-2020-28007 (Exim). So a process that the modes of files do not bind follows a stranger's link
//! only to a directory that is the stranger's own: there it may do what it likes anyway. systemd's
//! `CHASE_SAFE` draws the same line.

use super::{identity, writers};
use engine::effect::{Capability, SystemError};
use engine::snapshot::parts;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A link of somebody else on the way to a place that is not theirs.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    /// the name of the link, as far as the way was followed
    pub link: PathBuf,
    /// who owns it
    pub owner: u32,
    /// what it says
    pub target: PathBuf,
    /// who owns the directory it leads to
    pub theirs: u32,
}

/// Why there is no way.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// the kernel said so
    Errno(Errno),
    /// we do
    Foreign(Foreign),
    /// it changed while it was looked at
    Moving,
    /// the file has so many names, and others may give it one here
    Linked(u64),
    /// not everybody may read the file, and others may have moved it here
    Secret(Box<FileStat>),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Refused::Errno(errno)
    }
}

impl Refused {
    /// The number that says it best.
    pub fn errno(&self) -> Errno {
        match self {
            Refused::Errno(errno) => *errno,
            Refused::Foreign(_) => Errno::ELOOP,
            Refused::Moving => Errno::EAGAIN,
            Refused::Linked(_) => Errno::EMLINK,
            Refused::Secret(_) => Errno::EACCES,
        }
    }

    /// The error of what was to be done there.
    pub fn about(self, what: impl fmt::Display) -> SystemError {
        let error = SystemError::errno(self.errno() as i32, what);
        match self {
            Refused::Errno(_) => error,
            Refused::Foreign(f) => error
                .why(format!(
                    "{} is a symbolic link of uid {} to {}, which belongs to uid {}: whoever owns the link would \
                     decide where a privileged process works",
                    f.link.display(),
                    f.owner,
                    f.target.display(),
                    f.theirs
                ))
                .help("name the place that the link leads to, or let root own the link"),
            Refused::Moving => error
                .why("a directory or a link on the way was replaced at this very moment")
                .help("see who changes it, and start again"),
            Refused::Linked(names) => error
                .why(format!(
                    "it has {names} names, and others may write the directory: one of them may have given this \
                     name to a file that is not theirs"
                ))
                .help("remove this name, or let root own the directory"),
            Refused::Secret(stat) => error
                .why(format!(
                    "it is {}:{} {:04o}, and others may write the directory: one of them may have moved it there, \
                     and may not read it",
                    stat.st_uid,
                    stat.st_gid,
                    stat.st_mode & 0o7777
                ))
                .help("name a file in a directory that only root may write, or let its owner own the directory"),
        }
    }
}

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// So often a path is followed anew where something is mounted or renamed on the machine at this moment.
const TRIES: usize = 1000;

/// Opens what a path leads to inside a root, which no link leads out of. With `..` in it the kernel answers
/// EAGAIN wherever anything was renamed or mounted meanwhile (openat2(2)): nothing is wrong then.
pub fn open_in_root(root: &OwnedFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut found = openat2(root, path, how);
    for _ in 1..TRIES {
        if !matches!(found, Err(Errno::EAGAIN)) {
            break;
        }
        found = openat2(root, path, how);
    }
    found
}

/// Opens a directory as a place to make, open or remove names in. An ordinary user is bound by the
/// kernel's rules alone.
pub fn directory(path: &Path) -> Result<OwnedFd, Refused> {
    let plain = OpenHow::new().flags(DIRECTORY).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    if let Ok(found) = openat2(AT_FDCWD, path, plain) {
        return Ok(found);
    }
    // By the kernel first: its own rules for links (protected_symlinks in proc_sys_fs(5)) hold too.
    let found = open(path, DIRECTORY, Mode::empty())?;
    compare(path, &found)?;
    Ok(found)
}

/// Opens a file for reading that is to be handed to somebody else, or shown; never waits, and never opens
/// a device. A privileged process follows no link that leads from a stranger to what is not theirs, and
/// takes no file that somebody may have given this name to.
pub fn file(path: &Path) -> Result<OwnedFd, Refused> {
    let look = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let plain = OpenHow::new().flags(look).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let found = match openat2(AT_FDCWD, path, plain) {
        Ok(found) => found,
        Err(_) => {
            let found = open(path, look, Mode::empty())?;
            compare(path, &found)?;
            found
        }
    };
    let stat = fstat(&found)?;
    let opened = reopen(&found, &stat, path)?;
    let secret = stat.st_mode & 0o004 == 0;
    if is(&stat, SFlag::S_IFREG) && (stat.st_nlink > 1 || secret) && privileged()? {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = fstat(directory(dir)?)?;
        let theirs = dir.st_uid != 0 && dir.st_uid == stat.st_uid;
        match writers::changeable(&dir) {
            true if stat.st_nlink > 1 => return Err(Refused::Linked(stat.st_nlink)),
            true if secret && !theirs => return Err(Refused::Secret(Box::new(stat))),
            _ => {}
        }
    }
    Ok(opened)
}

/// Opens for reading what was found: opening a device may do something, and a FIFO waits for a writer.
fn reopen(found: &OwnedFd, stat: &FileStat, path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if is(stat, SFlag::S_IFCHR) || is(stat, SFlag::S_IFBLK) {
        return Err(Errno::EINVAL.into());
    }
    // What a socket answers is ENXIO.
    let opened = |name: &Path| {
        open(name, flags, Mode::empty()).map_err(|e| if e == Errno::ENXIO { Errno::EINVAL } else { e })
    };
    match opened(Path::new(&format!("/proc/self/fd/{}", found.as_raw_fd()))) {
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
        opened => return Ok(opened?),
    }
    // There is no /proc here, or the root is a directory that this process may not look into.
    let file = opened(path)?;
    let now = fstat(&file)?;
    match (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) {
        true => Ok(file),
        false => Err(Refused::Moving),
    }
}

/// That a privileged process came here by no stranger's link.
fn compare(path: &Path, found: &OwnedFd) -> Result<(), Refused> {
    if privileged()? {
        let (seen, there) = (fstat(follow(path)?)?, fstat(found)?);
        if (seen.st_dev, seen.st_ino) != (there.st_dev, there.st_ino) {
            return Err(Refused::Moving);
        }
    }
    Ok(())
}

/// Changes the root directory and nothing else. A privileged process enters it by a way that no stranger
/// can turn, as one on which it would make names: whoever is put into a root chooses it otherwise.
pub fn chroot(path: &Path) -> Result<(), Refused> {
    if !privileged()? {
        return Ok(nix::unistd::chroot(path)?);
    }
    let root = directory(path)?;
    // There is no fchroot(2), and a path would be followed anew.
    let Ok(here) = open(".", DIRECTORY, Mode::empty()) else {
        // Who leaves a working directory that it may not enter does not come back to it.
        return match nix::unistd::chroot(format!("/proc/self/fd/{}", root.as_raw_fd()).as_str()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
                nix::unistd::chroot(path)?;
                let (new, wanted) = (fstat(directory(Path::new("/"))?)?, fstat(&root)?);
                match (new.st_dev, new.st_ino) == (wanted.st_dev, wanted.st_ino) {
                    true => Ok(()),
                    false => Err(Refused::Moving),
                }
            }
            changed => Ok(changed?),
        };
    };
    nix::unistd::fchdir(&root)?;
    let changed = nix::unistd::chroot(".");
    nix::unistd::fchdir(&here)?;
    Ok(changed?)
}

/// True for a process that the modes of files do not bind.
fn privileged() -> Result<bool, Errno> {
    if nix::unistd::geteuid().is_root() {
        return Ok(true);
    }
    Ok(identity::capabilities()?.has(Capability::DacOverride))
}

/// A stranger's link that is being followed: where it ends, the names left to walk are this many.
struct Link {
    left: usize,
    at: Foreign,
}

/// Name by name. What this leads to is only compared: a race gives [`Refused::Moving`].
fn follow(path: &Path) -> Result<OwnedFd, Refused> {
    let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let start = if path.is_absolute() { "/" } else { "." };
    let mut here = open(start, look, Mode::empty())?;
    let mut name = PathBuf::from(start);
    let mut todo = parts(path);
    let mut strangers: Vec<Link> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        let next = openat(&here, &part, look, Mode::empty())?;
        let stat = fstat(&next)?;
        if is(&stat, SFlag::S_IFLNK) && fstatfs(&next)?.filesystem_type() == PROC_SUPER_MAGIC {
            // What such a link says is no path: only the kernel can follow it (proc_pid_fd(5)).
            here = openat(&here, &part, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            name.push(&part);
        } else if is(&stat, SFlag::S_IFLNK) {
            links += 1;
            if links > 40 {
                return Err(Errno::ELOOP.into());
            }
            let target = PathBuf::from(readlinkat(&next, "")?);
            if ![0, nix::unistd::geteuid().as_raw()].contains(&stat.st_uid) {
                let link = name.join(&part);
                let at = Foreign { link, owner: stat.st_uid, target: target.clone(), theirs: 0 };
                strangers.push(Link { left: todo.len(), at });
            }
            if target.is_absolute() {
                here = open("/", look, Mode::empty())?;
                name = PathBuf::from("/");
            }
            todo.extend(parts(&target));
        } else {
            here = next;
            name.push(&part);
        }
        while let Some(link) = strangers.pop_if(|link| link.left >= todo.len()) {
            let theirs = fstat(&here)?.st_uid;
            if theirs != link.at.owner {
                return Err(Refused::Foreign(Foreign { theirs, ..link.at }));
            }
        }
    }
    Ok(here)
}

/// Where a relative path leads, as it is called outside: `cwd` is the name of the working directory there,
/// and `root` that of the root, which the working directory may be out of. `None` where it leads nowhere.
pub fn named_outside(path: &Path, cwd: &Path, root: (&Path, identity::Inode)) -> Option<PathBuf> {
    let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut here = open(".", look, Mode::empty()).ok()?;
    let mut name = cwd.to_owned();
    let mut todo = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        let above = part == Path::new("..");
        let stat = fstat(&here).ok()?;
        if above && (stat.st_dev, stat.st_ino) == root.1 {
            continue;
        }
        let next = openat(&here, &part, look, Mode::empty()).ok()?;
        if !is(&fstat(&next).ok()?, SFlag::S_IFLNK) {
            here = next;
            match above {
                true => drop(name.pop()),
                false => name.push(&part),
            }
            continue;
        }
        links += 1;
        let target = PathBuf::from(readlinkat(&next, "").ok().filter(|_| links <= 40)?);
        if target.is_absolute() {
            here = open("/", look, Mode::empty()).ok()?;
            name = root.0.to_owned();
        }
        todo.extend(parts(&target));
    }
    Some(name)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}
