//! What becomes of rotated logs: numbered, limited in count and age, compressed.
//!
//! Compressing is a child's work: it reads and writes by descriptors that it is given, and this process
//! gives its result the name that the file has by then. What a process that was killed has left behind is
//! done again at the next rotation.

use super::{Log, open::append};
use crate::sys::{gate::Gate, lock, process};
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::signal::Signal;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Behind the last file in the row, so many more numbers are looked at for what is too old.
const BEYOND: u64 = 16;

/// How long, in nanoseconds, a child that compresses has to close what is not its own.
const LET_GO: u64 = 1_000_000_000;

/// A child that compresses.
#[derive(Debug)]
pub(super) struct Packing {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    /// device and inode of what it reads
    source: (u64, u64),
    /// when that was last written to, which the result has when it is complete
    time: (i64, i64),
}

impl Log {
    /// NAME.N, or with `packed` NAME.N.gz.
    fn old(&self, n: u64, packed: bool) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{n}{}", if packed { ".gz" } else { "" }));
        name
    }

    fn exists(&self, n: u64) -> bool {
        [false, true].iter().any(|packed| self.stat_name(&self.old(n, *packed)).is_ok())
    }

    /// Where the packed file grows.
    fn draft(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".gz.rsd");
        name
    }

    fn unlink(&self, name: &OsStr) {
        let _ = unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir);
    }

    /// Makes room for a new NAME.1; what would be one too many goes.
    pub(super) fn shift(&self) -> Result<(), Errno> {
        let mut last = 0u64;
        while self.exists(last + 1) {
            last += 1;
        }
        for n in (1..=last).rev() {
            for packed in [false, true] {
                let name = self.old(n, packed);
                if self.rotation.keep.is_some_and(|keep| n >= u64::from(keep)) {
                    self.unlink(&name);
                    continue;
                }
                match renameat(&self.dir, name.as_os_str(), &self.dir, self.old(n + 1, packed).as_os_str()) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// After a rotation: what is too old or one too many goes, what is new is compressed.
    pub(super) fn tidy(&mut self) {
        let oldest = self.rotation.max_age.map(|age| super::seconds().saturating_sub(age));
        let (mut n, mut gap) = (0, 0);
        while gap < BEYOND && (oldest.is_some() || self.rotation.keep.is_some()) {
            n += 1;
            gap += 1;
            for packed in [false, true] {
                let name = self.old(n, packed);
                let Ok(stat) = self.stat_name(&name) else { continue };
                gap = 0;
                let aged = oldest.is_some_and(|oldest| (stat.st_mtime.max(0) as u64) < oldest);
                if aged || self.rotation.keep.is_some_and(|keep| n > u64::from(keep)) {
                    self.unlink(&name);
                }
            }
        }
        self.settle();
        self.pack();
    }

    /// The first rotated file that is not compressed yet.
    fn unpacked(&self) -> Option<(OwnedFd, FileStat)> {
        let mut n = 1;
        while self.exists(n) {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let name = self.old(n, false);
            n += 1;
            // Another name of it would show what is in it to whoever may read that.
            let plain =
                |s: &FileStat| s.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits() && s.st_nlink == 1;
            if !self.stat_name(&name).is_ok_and(|s| plain(&s)) {
                continue;
            }
            let Ok(file) = openat(&self.dir, name.as_os_str(), flags, Mode::empty()) else { continue };
            if let Ok(stat) = fstat(&file)
                && plain(&stat)
            {
                return Some((file, stat));
            }
        }
        None
    }

    /// Has a child compress a rotated file, if one is to be and none is at it.
    fn pack(&mut self) {
        if !self.rotation.compress || self.packing.is_some() {
            return;
        }
        let Some((from, stat)) = self.unpacked() else { return };
        let draft = self.draft();
        self.unlink(&draft);
        let flags = append() | OFlag::O_CREAT | OFlag::O_EXCL;
        let Ok(to) = openat(&self.dir, draft.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) else {
            return;
        };
        let gate = Gate::new();
        match process::fork_beside_threads() {
            Ok(ForkResult::Child) => {
                lock::let_go_in_fork();
                if let Ok(gate) = gate {
                    // Where it stays closed it is waited for no longer than that.
                    let _ = gate.open();
                }
                let _ = process::close_all_but(&[from.as_fd(), to.as_fd()]);
                process::exit_now(i32::from(compress(from, to, &stat).is_err()))
            }
            Ok(ForkResult::Parent { child }) => {
                let pidfd = process::pidfd(child).ok();
                if let (Ok(gate), Some(pidfd)) = (gate, &pidfd) {
                    // The PID file's lock must be nobody's but the daemon's, whenever it ends.
                    let _ = gate.wait(pidfd.as_fd(), None, Some(LET_GO));
                }
                let time = (stat.st_mtime, stat.st_mtime_nsec);
                self.packing = Some(Packing { pid: child, pidfd, source: (stat.st_dev, stat.st_ino), time });
            }
            Err(_) => self.unlink(&draft),
        }
    }

    /// Takes what the compressing child has made, if it is done. Costs nothing where there is none.
    pub fn settle(&mut self) {
        let Some(packing) = &self.packing else { return };
        if matches!(waitpid(packing.pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            return;
        }
        if let Some(packing) = self.packing.take()
            && self.take_over(&packing)
        {
            self.pack();
        }
    }

    /// Whoever reaped the child has its status: that the result has the time of its source says as much.
    /// False where it failed: it is tried again at the next rotation.
    fn take_over(&self, packing: &Packing) -> bool {
        let draft = self.draft();
        let complete = fstatat(&self.dir, draft.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|made| (made.st_mtime, made.st_mtime_nsec) == packing.time && made.st_size > 0);
        // By now its source may have another number, or be gone.
        let mut n = 1;
        let at = loop {
            match self.stat_name(&self.old(n, false)) {
                Ok(stat) if (stat.st_dev, stat.st_ino) == packing.source => break Some(n),
                _ if !self.exists(n) => break None,
                _ => n += 1,
            }
        };
        if let (true, Some(n)) = (complete, at)
            && renameat(&self.dir, draft.as_os_str(), &self.dir, self.old(n, true).as_os_str()).is_ok()
        {
            self.unlink(&self.old(n, false));
            return true;
        }
        self.unlink(&draft);
        // Gone because it was one too many: there may be others.
        complete && at.is_none()
    }

    /// The child that compresses, if one does.
    pub fn compressing(&self) -> Option<Pid> {
        self.packing.as_ref().map(|packing| packing.pid)
    }

    /// This process goes: the child is not to go on without it.
    pub(super) fn stop_packing(&mut self) {
        self.settle();
        let Some(packing) = self.packing.take() else { return };
        if let Some(pidfd) = &packing.pidfd {
            let _ = process::signal(pidfd, Signal::SIGKILL);
            let _ = waitpid(packing.pid, None);
        }
        self.unlink(&self.draft());
    }
}

/// In the child.
fn compress(from: OwnedFd, to: OwnedFd, stat: &FileStat) -> std::io::Result<()> {
    // SAFETY: a plain number; whoever is alone in its process may be as slow as it likes.
    unsafe { nix::libc::nice(19) };
    let (mut from, to) = (File::from(from), File::from(to));
    let mut packer = GzEncoder::new(&to, Compression::default());
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        packer.write_all(buffer.get(..n).unwrap_or_default())?;
    }
    packer.finish()?;
    // An ordinary user cannot give it away, and need not: it had the log.
    let _ = fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    fchmod(&to, Mode::from_bits_truncate(stat.st_mode & 0o777))?;
    let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    futimens(&to, &time, &time)?;
    Ok(())
}
