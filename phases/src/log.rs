//! The log: one file that is appended to, rotated and reopened, and that never goes silent.
//!
//! It is opened before anything is given up and used by handle afterwards: a directory descriptor
//! and a name still lead to it after chroot(2), where its path does not.

mod old;
mod open;
mod shared;
mod stamp;

pub use open::alone;
pub use shared::Shared;
pub use stamp::stamp;

use crate::sys::walk;
use engine::effect::{Owner, Rotation, SystemError};
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat};
use nix::unistd::{self, Gid, Uid, UnlinkatFlags, dup3, fchown, unlinkat};
use open::{Refused, append, existing_at, give, open_at, reason};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// A file may become larger than it may by so much, if a line is whole then.
const LINE: usize = 64 * 1024;

/// How it begins that something could not be done with a log.
pub const CANNOT: &str = "cannot ";

/// An open log. Writing to it cannot fail for the caller: what could not be written is counted and
/// said in the log itself as soon as it takes something again.
#[derive(Debug)]
pub struct Log {
    dir: OwnedFd,
    name: OsString,
    file: OwnedFd,
    inode: (u64, u64),
    size: u64,
    written: u64,
    rotate_at: Option<u64>,
    rotation: Rotation,
    /// which period the file is of
    period: u64,
    packing: Option<old::Packing>,
    /// the size at which the next rotation is tried
    next: u64,
    /// why the last rotation failed, so that it is said once
    stuck: Option<Errno>,
    lost: u64,
    midline: bool,
    /// a second descriptor whose number stays, whatever is rotated
    fixed: Option<OwnedFd>,
}

/// What was at the path of a log before it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// nothing: it was made
    Absent,
    /// a file of somebody, who has been made another
    Of(Owner),
    /// a file that is as it was
    AsItIs,
}

impl Log {
    /// Open the log at `path`, or make it with `mode` (less the umask). It says what was there.
    ///
    /// A symlink in the last place is not followed, and anything but a regular file is refused.
    /// With `owner` the file is given away through its descriptor; an existing one with a second
    /// name is not, because the other name would be given away with it.
    pub fn open(
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
        rotate_at: Option<u64>,
    ) -> Result<(Log, Was), SystemError> {
        let what = || format!("open log {}", path.display());
        let name = path.file_name().ok_or_else(|| {
            SystemError::new(format!("{}: that is not the name of a file", what()))
                .help("name a file in a directory, such as /var/log/NAME.log")
        })?;
        let parent = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let dir = walk::directory(parent).map_err(|refused| match refused.errno() {
            Errno::ENOENT => refused
                .about(what())
                .why(format!("there is no directory {}", parent.display()))
                .help("make the directory, or name a log in one that exists"),
            _ => refused.about(what()),
        })?;
        let (file, stat, created) = open_at(dir.as_fd(), name, Mode::from_bits_truncate(mode & 0o7777))
            .map_err(|e| e.about(what()))?;
        let log = Log {
            dir,
            name: name.to_owned(),
            inode: (stat.st_dev, stat.st_ino),
            size: stat.st_size.max(0) as u64,
            written: 0,
            next: rotate_at.unwrap_or(u64::MAX),
            rotate_at: rotate_at.filter(|n| *n > 0),
            rotation: Rotation::default(),
            period: 0,
            packing: None,
            stuck: None,
            lost: 0,
            midline: false,
            fixed: None,
            file,
        };
        if let Some(owner) = owner
            && let Err(error) = give(&log.file, log.dir.as_fd(), &stat, owner, created, path)
        {
            if created {
                log.forget();
            }
            return Err(error);
        }
        let old = Owner { uid: stat.st_uid, gid: stat.st_gid };
        let was = match owner {
            _ if created => Was::Absent,
            Some(new) if new != old => Was::Of(old),
            _ => Was::AsItIs,
        };
        Ok((log, was))
    }

    /// Takes back that it was opened.
    pub fn take_back(&self, was: Was) {
        match was {
            Was::Absent => self.forget(),
            Was::Of(owner) => {
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                let _ = fchown(&self.file, Some(uid), Some(gid));
            }
            Was::AsItIs => {}
        }
    }

    /// When else it is rotated, and what becomes of the rotated files.
    pub fn rotates(&mut self, rotation: &Rotation) {
        self.rotation = rotation.clone();
        // What is in the file already is of the time when it was last written to.
        let last = fstat(&self.file).ok().filter(|s| s.st_size > 0).map(|s| s.st_mtime.max(0) as u64);
        self.period = self.period_of(last.unwrap_or_else(seconds));
    }

    /// The number of the period that this moment is in.
    fn period_of(&self, seconds: u64) -> u64 {
        const WEEK: u64 = 7 * 86_400;
        // The first of January 1970 was a Thursday.
        let monday = if self.rotation.every == Some(WEEK) { 3 * 86_400 } else { 0 };
        self.rotation.every.map_or(0, |every| seconds.saturating_add(monday) / every.max(1))
    }

    /// A new period has begun: what follows the line that is being written goes into a new file.
    fn turn_of_time(&mut self, data: &mut &[u8]) {
        let now = self.period_of(seconds());
        if now == self.period {
            return;
        }
        if self.midline {
            let end = data.iter().position(|b| *b == b'\n').map_or(data.len(), |at| at + 1);
            let (rest, later) = data.split_at(end);
            self.put(rest);
            *data = later;
            if self.midline {
                return;
            }
        }
        self.period = now;
        if self.size > 0
            && let Err(errno) = self.try_rotate()
        {
            self.cannot_rotate(errno);
        }
    }

    /// Append. Rotates before a line that would make the file larger than it may be.
    pub fn write(&mut self, mut data: &[u8]) {
        self.tell_lost();
        self.settle();
        if self.rotation.every.is_some() {
            self.turn_of_time(&mut data);
        }
        while !data.is_empty() {
            let mut cut = data.len();
            if let Some(limit) = self.rotate_at {
                let room = usize::try_from(self.next.saturating_sub(self.size)).unwrap_or(usize::MAX);
                if data.len() > room {
                    // A line that was begun is ended, where that is not much more.
                    let rest = data.iter().take(room.saturating_add(LINE)).position(|b| *b == b'\n');
                    cut = match data[..room].iter().rposition(|b| *b == b'\n') {
                        Some(end) => end + 1,
                        None if self.midline && rest.is_some() => rest.map_or(0, |end| end + 1),
                        None if self.size > 0 && (!self.midline || room == 0) => {
                            self.rotate_for_size(limit);
                            continue;
                        }
                        // one line longer than the whole file may be: it is cut
                        None => room.max(1),
                    };
                }
            }
            let (now, later) = data.split_at(cut);
            if !self.put(now) {
                self.lost += later.len() as u64;
                return;
            }
            data = later;
        }
    }

    /// One line of rsd's own, with the time: what happened to the log or the program it belongs to.
    pub fn say(&mut self, text: &str) {
        let start = if self.midline { "\n" } else { "" };
        let line = format!("{start}{} rsd: {}\n", stamp(), engine::text::clean(text));
        self.put(line.as_bytes());
    }

    /// Rotate now, whatever the size: NAME becomes NAME.1, NAME.1 becomes NAME.2 and so on. What
    /// keeps it from rotating is said in the log (and returned for the timeline); writing goes on.
    pub fn rotate(&mut self) -> Result<(), String> {
        self.stuck = None;
        match self.try_rotate() {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.cannot_rotate(errno)),
        }
    }

    /// Open the name anew: someone moved the file away. If that fails the old file stays in use,
    /// and the log says so.
    pub fn reopen(&mut self) -> Result<(), String> {
        match self.try_reopen() {
            Ok(()) => Ok(()),
            Err(refused) => {
                let text = format!("{CANNOT}reopen {}: {}", self.name.display(), refused.text());
                self.say(&text);
                Err(text)
            }
        }
    }

    /// A descriptor of the file whose number stays the same when the log is rotated or reopened: for
    /// who writes in the middle of a crash and can look at nothing.
    pub fn fixed_fd(&mut self) -> Result<RawFd, Errno> {
        let fixed = match self.fixed.take() {
            Some(fixed) => fixed,
            None => self.file.try_clone().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?,
        };
        Ok(self.fixed.insert(fixed).as_raw_fd())
    }

    /// True if there is nothing in the file.
    pub fn is_empty(&self) -> bool {
        fstat(&self.file).map_or(self.size == 0, |s| s.st_size == 0)
    }

    /// How many bytes this process put into the log.
    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    /// How many bytes found no place and have not been confessed yet.
    pub fn bytes_lost(&self) -> u64 {
        self.lost
    }

    /// The directory the log is in.
    pub fn dirfd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its name in that directory.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Device and inode of the file that is written to.
    pub fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// Write all of it or count the rest as lost. Never waits, never spins.
    fn put(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            match unistd::write(&self.file, data) {
                Ok(0) => break,
                Ok(n) => {
                    self.midline = data[n - 1] != b'\n';
                    self.size += n as u64;
                    self.written += n as u64;
                    data = &data[n..];
                }
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        self.lost += data.len() as u64;
        data.is_empty()
    }

    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let before = self.written;
        let were = if lost == 1 { "was" } else { "were" };
        let bytes = engine::text::count(lost, "byte");
        self.say(&format!("{bytes} of log {were} lost: the file could not be written"));
        if self.lost > 0 && self.written == before {
            self.lost = lost; // the confession itself does not count
        }
    }

    fn rotate_for_size(&mut self, limit: u64) {
        // the file may have been truncated in place: then there is room
        if let Ok(stat) = fstat(&self.file) {
            let size = stat.st_size.max(0) as u64;
            if size < self.size {
                self.size = size;
                self.next = limit;
                return;
            }
        }
        if let Err(errno) = self.try_rotate() {
            self.cannot_rotate(errno);
        }
    }

    fn cannot_rotate(&mut self, errno: Errno) -> String {
        let ids = format!("{}:{}", unistd::geteuid(), unistd::getegid());
        let mut text = format!("{CANNOT}rotate: {}: {}", self.name.display(), reason(errno));
        if matches!(errno, Errno::EACCES | Errno::EPERM) {
            text += &format!(
                " (uid:gid {ids} may not rename in the log's directory; give that directory to the user, or let logrotate move the file and send HUP)"
            );
        }
        if self.stuck != Some(errno) {
            self.stuck = Some(errno);
            self.say(&format!("{text}; writing goes on in the same file"));
        }
        if let Some(limit) = self.rotate_at {
            self.next = self.size.saturating_add(limit);
        }
        text
    }

    fn try_rotate(&mut self) -> Result<(), Errno> {
        match self.stat_name(&self.name) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == self.inode => {}
            // someone else moved it: then only a new file is missing
            Ok(_) | Err(Errno::ENOENT) => return self.try_reopen().map_err(|r| r.errno()),
            Err(e) => return Err(e),
        }
        let old = fstat(&self.file)?;
        self.shift()?;
        let first = self.numbered(1);
        self.rename(&self.name, &first)?;
        match self.create_like(&old) {
            Ok((file, stat)) => self.adopt(file, &stat),
            Err(e) => {
                // back to where it was; if even that fails the descriptor still leads to the file
                let _ = self.rename(&first, &self.name);
                return Err(e);
            }
        }
        self.tidy();
        Ok(())
    }

    fn try_reopen(&mut self) -> Result<(), Refused> {
        match existing_at(self.dir.as_fd(), &self.name) {
            Ok((_, stat)) if (stat.st_dev, stat.st_ino) == self.inode => {
                self.size = stat.st_size.max(0) as u64;
                self.next = self.next.max(self.rotate_at.unwrap_or(u64::MAX));
            }
            Ok((file, stat)) => self.adopt(file, &stat),
            Err(Refused::Errno(Errno::ENOENT)) => {
                let old = fstat(&self.file)?;
                let (file, stat) = self.create_like(&old)?;
                self.adopt(file, &stat);
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn adopt(&mut self, file: OwnedFd, stat: &FileStat) {
        self.file = file;
        if let Some(mut fixed) = self.fixed.take() {
            self.fixed = dup3(&self.file, &mut fixed, OFlag::O_CLOEXEC).is_ok().then_some(fixed);
        }
        self.inode = (stat.st_dev, stat.st_ino);
        self.size = stat.st_size.max(0) as u64;
        self.next = self.rotate_at.unwrap_or(u64::MAX);
        self.stuck = None;
        self.midline = false;
        self.period = self.period_of(seconds());
    }

    /// A new file under the log's name, with the mode and, where that is allowed, the owner of `old`.
    fn create_like(&self, old: &FileStat) -> Result<(OwnedFd, FileStat), Errno> {
        let file = openat(
            &self.dir,
            self.name.as_os_str(),
            append() | OFlag::O_CREAT | OFlag::O_EXCL,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?;
        let made = fstat(&file)?;
        let finish = || {
            if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid) {
                let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
                match fchown(&file, Some(uid), Some(gid)) {
                    // an ordinary user keeps the file; the group may still be one of its own
                    Err(Errno::EPERM) => drop(fchown(&file, None, Some(gid))),
                    other => other?,
                }
            }
            fchmod(&file, Mode::from_bits_truncate(old.st_mode & 0o777))?;
            fstat(&file)
        };
        match finish() {
            Ok(stat) => Ok((file, stat)),
            Err(e) => {
                let _ = unlinkat(&self.dir, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
                Err(e)
            }
        }
    }

    fn stat_name(&self, name: &OsStr) -> Result<FileStat, Errno> {
        fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn numbered(&self, n: u64) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{n}"));
        name
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        fcntl::renameat(&self.dir, from, &self.dir, to)
    }

    /// Remove the name again, if it is still ours.
    pub fn forget(&self) {
        if self.stat_name(&self.name).is_ok_and(|s| (s.st_dev, s.st_ino) == self.inode) {
            let _ = unlinkat(&self.dir, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop_packing();
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    crate::sys::process::wall_clock() / 1_000_000_000
}
