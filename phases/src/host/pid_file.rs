//! The PID file: exclusive, locked for life, complete when it appears, removed only if it is ours.

use super::protocol::Held;
use super::{Host, draft};
use crate::sys::lock::{self, Holder};
use crate::sys::process::monotonic;
use crate::sys::{failed, io_failed, walk, writers};
use engine::effect::{Done, Effect, ErrorKind, Handle, Owner, System, SystemError, Undo};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Pid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A PID file this run has made.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    handle: Handle,
    /// the locked descriptor; the guard has it too, and lets it go last
    pub lock: Option<File>,
}

/// What a PID file says, and what the kernel says of it.
#[derive(Debug)]
pub struct Found {
    /// who holds the lock
    pub holder: Holder,
    /// the number in it, if it is one
    pub content: Option<i32>,
    /// the guard of whoever holds the lock
    pub guard: Option<i32>,
    /// the keeper that holds the lock, where its program has ended: it ends what that has left
    pub ending: Option<i32>,
    /// until when the keeper that holds the lock wants its program, told to stop, to be let stop by itself, nanoseconds
    /// on CLOCK_MONOTONIC
    pub lets_stop_by: Option<u64>,
    /// who owns it
    pub uid: u32,
    mode: u32,
}

impl Found {
    /// The process that it leads to, as far as that can be proved: the one that the kernel says has locked
    /// it, else the number in it, if that process has it open. Whoever may write the file chooses that
    /// number, and can hand the file to another process. So to root it proves no more than its owner could
    /// do alone: a process of that very user (systemd believes a PIDFile= no further).
    pub fn process(&self, path: &Path) -> Result<i32, Doubt> {
        let root = nix::unistd::geteuid().is_root();
        let (pid, written) = match (self.holder, self.content) {
            (Holder::Nobody, _) | (Holder::Unknown, None) => return Err(Doubt::NotNamed),
            // Who is not root cannot look, and can do no harm either.
            (Holder::Process(pid), _) if !root => return Ok(pid),
            (Holder::Process(pid), _) => (pid, false),
            (Holder::Unknown, Some(pid)) => (pid, true),
        };
        // A lock can outlive the process that took it and name a number that is another's by now.
        if !has_open(pid, path) {
            return Err(Doubt::NotOpen(pid));
        }
        if root && written && self.uid == 0 && self.mode & 0o022 != 0 {
            return Err(Doubt::AnybodysWord(pid));
        }
        match crate::snapshot::process(pid) {
            _ if !root || self.uid == 0 => Ok(pid),
            Some(process) if process.uid == self.uid => Ok(pid),
            Some(process) => Err(Doubt::Strangers { pid, uid: process.uid, owner: self.uid }),
            None => Err(Doubt::NotOpen(pid)),
        }
    }
}

impl Found {
    /// The guard that holds the lock for a daemon that has ended: it is clearing up.
    pub fn clearing(&self, path: &Path) -> Option<i32> {
        let (Holder::Unknown, Some(guard)) = (self.holder, self.guard) else { return None };
        // A daemon that lives may have lost its name lock: its own application opened and closed the file.
        let lives = |pid: i32| {
            let gone = nix::sys::signal::kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
            let looked = || Path::new("/proc/self/fd").exists();
            !gone && (pid == crate::sys::process::id() as i32 || !looked() || has_open(pid, path))
        };
        (!self.content.is_some_and(lives)).then_some(guard)
    }
}

/// Why a PID file that is locked leads to no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// the kernel names none, and the file holds no number
    NotNamed,
    /// this process has not got the file open, or it cannot be seen
    NotOpen(i32),
    /// others may write the file, and nothing but the number in it names this process
    AnybodysWord(i32),
    /// this process is another user's than the file
    Strangers {
        /// the process
        pid: i32,
        /// whose it is
        uid: u32,
        /// whose the file is
        owner: u32,
    },
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doubt::NotNamed => {
                f.write_str("the kernel does not say who holds its lock, and it holds no number")
            }
            Doubt::NotOpen(pid) => write!(f, "process {pid}, to which it leads, has not got it open"),
            Doubt::AnybodysWord(pid) => {
                write!(
                    f,
                    "it says {pid}, others may write it, and the kernel does not say who holds its lock"
                )
            }
            Doubt::Strangers { pid, uid, owner } => write!(
                f,
                "it belongs to uid {owner}, and process {pid}, to which it leads, to uid {uid}: whoever owns the file would choose which process root signals"
            ),
        }
    }
}
/// Looks at a PID file. `None`: there is none.
pub fn look(path: &Path) -> Result<Option<Found>, SystemError> {
    let what = || format!("look at PID file {}", path.display());
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let (dir, name) = match open_parent(path) {
        Ok(place) => place,
        Err(error) if error.errno == Some(Errno::ENOENT as i32) => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = match openat(&dir, name.as_os_str(), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT) => return Ok(None),
        Err(Errno::ELOOP) => return Err(symlink(what())),
        Err(error) => return Err(failed(error, what())),
    };
    let stat = fstat(&file).map_err(|e| failed(e, what()))?;
    if !is_regular(&stat) {
        return Err(SystemError::new(format!("{}: it is no regular file", what())));
    }
    // Another daemon's PID file would lead to that one.
    if stat.st_nlink > 1
        && nix::unistd::geteuid().is_root()
        && fstat(&dir).is_ok_and(|dir| writers::changeable(&dir))
    {
        return Err(SystemError::new(format!("{}: it has {} names", what(), stat.st_nlink))
            .why("others may write the directory, so one of them may have given this name to another's file")
            .help("remove this name, or let root own the directory"));
    }
    // Asked first: a guard that ends in between leaves a lock that nobody holds, and not one without a guard.
    let guard = lock::guard(&file).map_err(|e| failed(e, what()))?;
    let ending = lock::ending(&file).map_err(|e| failed(e, what()))?;
    let holder = lock::holder(&file).map_err(|e| failed(e, what()))?;
    let ending = ending.filter(|pid| holder == Holder::Process(*pid));
    let lets_stop_by = match holder {
        Holder::Process(keeper) => lock::lets_stop_by(&file, keeper).map_err(|e| failed(e, what()))?,
        _ => None,
    };
    let mut text = [0; 32];
    let read = file.read_at(&mut text, 0).map_err(|e| io_failed(&e, what()))?;
    let content = std::str::from_utf8(&text[..read]).ok().and_then(|t| t.trim().parse().ok());
    let (uid, mode) = (stat.st_uid, stat.st_mode);
    Ok(Some(Found { holder, content, guard, ending, lets_stop_by, uid, mode }))
}

fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

fn symlink(what: String) -> SystemError {
    SystemError::errno(Errno::ELOOP as i32, what)
        .why("it is a symbolic link, and a PID file is never written or removed through one")
        .help("remove the link, or name the place it leads to")
}

/// The open directory of a path, reached by a way that is safe for root, and its last name.
pub fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), SystemError> {
    let name = path
        .file_name()
        .ok_or_else(|| SystemError::new(format!("{}: this is no name of a file", path.display())))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fd = walk::directory(dir).map_err(|e| e.about(format!("open the directory {}", dir.display())))?;
    Ok((fd, name.to_owned()))
}

/// The directory of `path` as seen inside `root`, as a path from here: links never lead out of the
/// root. `None` if there is no such directory, or no /proc to name it.
pub fn parent_in_root(root: &Path, path: &Path) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(root, flags, Mode::empty()).ok()?;
    let dir = walk::open_in_root(&root, path.parent()?, flags).ok()?;
    std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).ok()
}

/// The effect `CheckPidFile`.
pub fn check(path: &Path) -> Result<Done, SystemError> {
    let Some(found) = look(path)? else { return Ok(Done::with(Undo::Nothing)) };
    if found.holder != Holder::Nobody {
        return Err(running(path, found.holder));
    }
    let (dir, name) = open_parent(path)?;
    let content = found.content.map_or_else(|| "no number".to_owned(), |n| n.to_string());
    clear_stale(&dir, &name, path)?;
    Ok(Done::with(Undo::Nothing)
        .note(format!("removed a stale PID file (it said {content}; nobody held its lock)")))
}

/// A guard needs no longer to remove what it may, in nanoseconds.
pub const CLEARED: u64 = 10_000_000_000;
/// How often is looked whether it is done.
const PAUSE: Duration = Duration::from_millis(5);

fn not_cleared(path: &Path, guard: i32) -> SystemError {
    SystemError::new(format!(
        "a daemon has ended, and its guard, process {guard}, does not let go of the lock of {}",
        path.display()
    ))
    .kind(ErrorKind::AlreadyRunning)
    .why("the guard is still removing what the daemon has left, and would remove what this start makes")
    .help(format!("look at process {guard}: it may be stopped, or a file system may not answer"))
}

fn running(path: &Path, holder: Holder) -> SystemError {
    let who = match holder {
        Holder::Process(pid) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    SystemError::new(format!("already running: {who} holds the lock of {}", path.display()))
        .kind(ErrorKind::AlreadyRunning)
        .help("stop it first (`rsd stop`), or start this one with another --pidfile")
}

/// Removes a PID file whose lock is free, while holding that lock.
fn clear_stale(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), SystemError> {
    let what = || format!("replace the stale PID file {}", path.display());
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ELOOP) => return Err(symlink(what())),
        Err(error) => return Err(failed(error, what())),
    };
    let ours = fstat(&file).map_err(|e| failed(e, what()))?;
    if !is_regular(&ours) {
        return Err(SystemError::new(format!("{}: it is no regular file", what())));
    }
    if ours.st_size > LARGEST {
        return Err(SystemError::new(format!(
            "{}: it has {} bytes, so it is no PID file",
            what(),
            ours.st_size
        ))
        .help("name another --pidfile, or remove the file by hand"));
    }
    if !lock::exclude(&file).map_err(|e| failed(e, what()))? {
        match lock::holder(&file).unwrap_or(Holder::Unknown) {
            // A stranger who may read the file holds a read lock on it: that keeps nobody out.
            Holder::Nobody => return take_away(dir, name, &ours).map_err(|e| failed(e, what())),
            holder => return Err(running(path, holder)),
        }
    }
    // Holding the lock: whoever else would remove this file must have it first.
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(named) if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino) => return Ok(()),
        Ok(_) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(failed(error, what())),
    }
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(failed(error, what())),
    }
}

/// What is longer than this holds more than a number.
pub const LARGEST: i64 = 64;

/// Removes a file without holding its lock: under a name of its own it is looked at again, and put
/// back if it is another.
pub(super) fn take_away(dir: &OwnedFd, name: &OsStr, expected: &FileStat) -> Result<(), Errno> {
    let aside = draft::aside(name);
    match renameat2(dir, name, dir, aside.as_os_str(), RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::ENOENT) => return Ok(()),
        // A file system without it.
        Err(Errno::EINVAL) => {
            let found = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            return match (found.st_dev, found.st_ino) == (expected.st_dev, expected.st_ino) {
                true => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir),
                false => Ok(()),
            };
        }
        other => other?,
    }
    let found = fstatat(dir, aside.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if (found.st_dev, found.st_ino) == (expected.st_dev, expected.st_ino) {
        unlinkat(dir, aside.as_os_str(), UnlinkatFlags::NoRemoveDir)
    } else {
        renameat2(dir, aside.as_os_str(), dir, name, RenameFlags::RENAME_NOREPLACE)
    }
}

impl Host {
    /// The effect `CreatePidFile`: made under another name, locked, written, then given its name
    /// without replacing anything.
    pub(super) fn create_pid_file(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
    ) -> Result<Done, SystemError> {
        let what = || format!("create PID file {}", path.display());
        let (dir, name) = open_parent(path)?;
        let cleared = clear_drafts(&dir, &name, owner, None);
        let (mut file, draft) =
            new_draft(&dir, &name, Mode::from_bits_truncate(mode)).map_err(|e| failed(e, what()))?;
        let filled = fill(&mut file).and_then(|()| fstat(&file)).map_err(|e| failed(e, what()));
        let named = filled
            .and_then(|stat| self.when_cleared(path, || name_it(&dir, &draft, &name, path)).map(|()| stat));
        let stat = match named {
            Ok(stat) => stat,
            Err(error) => {
                let _ = unlinkat(&dir, draft.as_os_str(), UnlinkatFlags::NoRemoveDir);
                return Err(error);
            }
        };
        // Last, while it is still ours to rename and to remove: in a sticky directory another's is not.
        if let Err(error) = give(&file, owner) {
            let _ = unlinkat(&dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            return Err(failed(error, what()));
        }
        let handle = self.keep(Held::File { dir, name, dev: stat.st_dev, ino: stat.st_ino });
        lock::go_with_this_process(&file);
        self.pid_files.push(PidFile { path: path.to_owned(), handle, lock: Some(file) });
        let undo = Effect::Remove { handle, path: self.outside(path), only_if_empty: false };
        Ok(cleared.into_iter().fold(Done::with(Undo::Effect(Box::new(undo))), Done::note))
    }

    /// Does what another start or an earlier daemon may keep from being done. The guard of one that has ended
    /// removes what this start is about to make, and the keeper of a program that has ended ends what that has
    /// left: they are waited for.
    pub(super) fn when_cleared<T>(
        &mut self,
        path: &Path,
        mut attempt: impl FnMut() -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        let until = monotonic().saturating_add(CLEARED);
        loop {
            let refused = match attempt() {
                Err(error) if error.kind == ErrorKind::AlreadyRunning => error,
                done => return done,
            };
            let guard = match look(path)? {
                // It has just let go.
                Some(found) if found.ending.is_some() => None,
                Some(found) if found.holder != Holder::Nobody => match found.clearing(path) {
                    Some(guard) => Some(guard),
                    None => return Err(refused),
                },
                _ => None,
            };
            if let Some(stopped) = self.interrupted() {
                return Err(stopped);
            }
            if monotonic() >= until {
                return Err(guard.map_or(refused, |guard| not_cleared(path, guard)));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The effect `RemovePidFile`.
    pub(super) fn remove_pid_file(&mut self, path: &Path) -> Result<Done, SystemError> {
        match self.pid_files.iter().rev().find(|p| p.path == path).map(|p| p.handle) {
            Some(handle) => {
                self.remove(handle, path, false).map(|_| Done::with(Undo::Never)).map_err(|mut error| {
                    error.message = error.message.replacen("remove ", "remove PID file ", 1);
                    if let Some(facts) = self.facts_of(handle, path) {
                        error.why = Some(facts);
                    }
                    error.help = Some(
                        "give its directory to the user that serves, or keep a guard and declare \
                         `privilege: privileged` on this phase (`rsd explain RSD0402`)"
                            .to_owned(),
                    );
                    error
                })
            }
            None => Ok(Done::with(Undo::Never).note(format!("{} was not made by this run", path.display()))),
        }
    }

    /// Who owns the directory, and who we are: why a removal is refused.
    fn facts_of(&self, handle: Handle, path: &Path) -> Option<String> {
        let Some(Held::File { dir, .. }) = self.held.get(&handle.0) else { return None };
        let stat = fstatat(dir, ".", AtFlags::empty()).ok()?;
        let me = self.read_identity().ok()?;
        Some(format!(
            "{} is {}:{} {:04o}, and this phase runs as uid {} gid {}",
            path.parent().unwrap_or(Path::new("/")).display(),
            stat.st_uid,
            stat.st_gid,
            stat.st_mode & 0o7777,
            me.uid[1],
            me.gid[1]
        ))
    }
}

/// A new file under a name that nobody uses.
fn new_draft(dir: &OwnedFd, name: &OsStr, mode: Mode) -> Result<(File, OsString), Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    draft::make(name, |draft| openat(dir, draft, flags, mode).map(File::from))
}

/// Removes what starts that were killed have left of this PID file; a line for each.
pub(super) fn clear_drafts(
    dir: &OwnedFd,
    name: &OsStr,
    owner: Option<Owner>,
    dead: Option<i32>,
) -> Vec<String> {
    let cleared = draft::clear(dir, name, dead, |draft| remove_draft(dir, draft, owner) == Ok(true));
    cleared.iter().map(|draft| draft::note(draft)).collect()
}

/// Removes a draft that nobody holds the lock of, while holding it: one that is a PID file by all that can be
/// seen, and of this user or of whom it was to be given to.
fn remove_draft(dir: &OwnedFd, draft: &OsStr, owner: Option<Owner>) -> Result<bool, Errno> {
    let ours = |uid| uid == nix::unistd::geteuid().as_raw() || owner.is_some_and(|o| o.uid == uid);
    let fits = |stat: &FileStat| is_regular(stat) && stat.st_size <= LARGEST && ours(stat.st_uid);
    let look = || fstatat(dir, draft, AtFlags::AT_SYMLINK_NOFOLLOW);
    if !fits(&look()?) {
        return Ok(false);
    }
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::from(openat(dir, draft, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    if !fits(&stat) || !lock::exclude(&file)? {
        return Ok(false);
    }
    let named = look()?;
    if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
        return Ok(false);
    }
    unlinkat(dir, draft, UnlinkatFlags::NoRemoveDir).map(|()| true)
}

fn fill(file: &mut File) -> Result<(), Errno> {
    if !lock::exclude(&*file)? {
        return Err(Errno::EAGAIN);
    }
    lock::name_self(&*file)?;
    // A number and a newline: FHS 3.0, section 3.15.2.
    file.write_all(format!("{}\n", crate::sys::process::id()).as_bytes())
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(5)))
}

/// What has this owner already is left alone: chown(2) would ask for a privilege.
fn give(file: &File, owner: Option<Owner>) -> Result<(), Errno> {
    let Some(owner) = owner else { return Ok(()) };
    let stat = fstat(file)?;
    if (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) {
        return Ok(());
    }
    fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

fn name_it(dir: &OwnedFd, draft: &OsStr, name: &OsStr, path: &Path) -> Result<(), SystemError> {
    // Twenty starters at once: each round one of them wins, or a stale file goes.
    for _ in 0..100 {
        let renamed = match renameat2(dir, draft, dir, name, RenameFlags::RENAME_NOREPLACE) {
            // A file system without it: link(2) does not replace either.
            Err(Errno::EINVAL) => nix::unistd::linkat(dir, draft, dir, name, AtFlags::empty())
                .and_then(|()| unlinkat(dir, draft, UnlinkatFlags::NoRemoveDir)),
            other => other,
        };
        match renamed {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => clear_stale(dir, name, path)?,
            Err(error) => return Err(failed(error, format!("create PID file {}", path.display()))),
        }
    }
    Err(SystemError::new(format!("create PID file {}: others keep replacing it", path.display())))
}

/// Whether that process has this file open: what makes a number in a locked PID file believable.
pub fn has_open(pid: i32, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(wanted) = std::fs::symlink_metadata(path) else { return false };
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.filter_map(|fd| std::fs::metadata(fd.ok()?.path()).ok())
        .any(|m| (m.dev(), m.ino()) == (wanted.dev(), wanted.ino()))
}
