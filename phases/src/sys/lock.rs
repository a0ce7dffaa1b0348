//! The locks of a PID file.
//!
//! An open-file-description lock on byte 0 excludes: it lives as long as the descriptor, over forks,
//! and no other open of the same file can lose it. A record lock on byte 1 tells the holder's number,
//! by the kernel's word and not the file's (fcntl(2): F_GETLK). A guard holds the first one together with the
//! daemon, and tells its own number by a record lock on byte 2: what the daemon has left is not cleared up as
//! long as the guard is there. A keeper whose program has ended says so by a record lock on byte 3. One whose program
//! needs longer to stop says until when by the place of a record lock far behind.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};
use nix::sys::stat::fstat;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Mutex;

const EXCLUDES: i64 = 0;
const NAMES: i64 = 1;
const GUARDS: i64 = 2;
const ENDS: i64 = 3;
/// The byte of a moment is so many bytes behind this one as it is milliseconds on CLOCK_MONOTONIC.
const MOMENTS: i64 = 1 << 61;
/// Somebody who takes more of them than this is not listened to further.
const MOST_MOMENTS: usize = 16;

fn one_byte(at: i64) -> flock {
    flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the excluding lock; `false` if somebody has it.
pub fn exclude(file: impl AsFd) -> Result<bool, Errno> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&one_byte(EXCLUDES))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the excluding lock up, also for every copy of the descriptor.
pub fn let_go(file: impl AsFd) -> Result<(), Errno> {
    let lock = flock { l_type: libc::F_UNLCK as libc::c_short, ..one_byte(EXCLUDES) };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

/// Puts this process's number on the naming lock. A fork does not hand it down.
pub fn name_self(file: impl AsFd) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&one_byte(NAMES))).map(drop)
}

/// Puts the number of this process, the guard, beside that of the daemon.
pub fn name_guard(file: impl AsFd) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&one_byte(GUARDS))).map(drop)
}

/// The guard of whoever holds the lock, by the kernel's word.
pub fn guard(file: impl AsFd) -> Result<Option<i32>, Errno> {
    named(file, GUARDS)
}

/// Says that the program of this process, its keeper, has ended: what it has left is ended next.
pub fn name_end(file: impl AsFd) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&one_byte(ENDS))).map(drop)
}

/// The keeper that has said so, by the kernel's word.
pub fn ending(file: impl AsFd) -> Result<Option<i32>, Errno> {
    named(file, ENDS)
}

/// Says until when the program of this process, its keeper, is to be let stop by itself, nanoseconds on
/// CLOCK_MONOTONIC. What was said before holds no more.
pub fn let_stop_by(file: impl AsFd, until: u64) -> Result<(), Errno> {
    let at = MOMENTS + i64::try_from(until / 1_000_000).unwrap_or(i64::MAX).min(MOMENTS - 1);
    fcntl(&file, FcntlArg::F_SETLK(&one_byte(at)))?;
    let unlocked = |from: i64, long: i64| flock {
        l_type: libc::F_UNLCK as libc::c_short,
        l_len: long,
        ..one_byte(from)
    };
    if at > MOMENTS {
        fcntl(&file, FcntlArg::F_SETLK(&unlocked(MOMENTS, at - MOMENTS)))?;
    }
    // Up to the last byte that can be.
    fcntl(&file, FcntlArg::F_SETLK(&unlocked(at + 1, 0))).map(drop)
}

/// The moment that this keeper has said, by the kernel's word.
pub fn lets_stop_by(file: impl AsFd, keeper: i32) -> Result<Option<u64>, Errno> {
    let (mut from, mut latest) = (MOMENTS, None);
    for _ in 0..MOST_MOMENTS {
        let mut next = flock { l_len: 0, ..one_byte(from) };
        fcntl(&file, FcntlArg::F_GETLK(&mut next))?;
        if next.l_type != libc::F_WRLCK as libc::c_short || next.l_start < from {
            break;
        }
        if next.l_pid == keeper {
            latest = u64::try_from(next.l_start - MOMENTS).ok().map(|ms| ms.saturating_mul(1_000_000));
        }
        from = next.l_start.saturating_add(next.l_len.max(1));
    }
    Ok(latest)
}

fn named(file: impl AsFd, byte: i64) -> Result<Option<i32>, Errno> {
    let mut names = one_byte(byte);
    fcntl(&file, FcntlArg::F_GETLK(&mut names))?;
    Ok((names.l_type == libc::F_WRLCK as libc::c_short && names.l_pid > 0).then_some(names.l_pid))
}

/// Locked descriptors that a fork is not to keep, and which file each of them is.
static OWN: Mutex<Vec<(RawFd, (u64, u64))>> = Mutex::new(Vec::new());

/// The lock is to go with this process: see [`let_go_in_fork`].
pub fn go_with_this_process(file: impl AsFd) {
    let fd = file.as_fd();
    if let (Ok(stat), Ok(mut own)) = (fstat(fd), OWN.lock()) {
        own.push((fd.as_raw_fd(), (stat.st_dev, stat.st_ino)));
    }
}

/// In a process that the application has forked by itself: it lives on as what it likes, and is not
/// the daemon that the PID file is of. What the number does not lead to any more is left alone.
///
/// Never waits. For a process that does not come back to the owner of the descriptor.
pub fn let_go_in_fork() {
    let Ok(own) = OWN.try_lock() else { return };
    for (fd, file) in own.iter() {
        // SAFETY: only borrowed for fstat(2); a number that is not open gives EBADF.
        let stat = fstat(unsafe { BorrowedFd::borrow_raw(*fd) });
        if stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == *file) {
            // SAFETY: the descriptor is that of the file. Its owner is a value that this process never
            // drops: it runs the application's code until it ends.
            unsafe { libc::close(*fd) };
        }
    }
}

/// Who holds the locks of a PID file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// nobody
    Nobody,
    /// this process, by the kernel's word
    Process(i32),
    /// somebody, and the kernel does not say who (the name lock was lost, or another PID namespace)
    Unknown,
}

/// Asks the kernel; a descriptor for reading is enough.
pub fn holder(file: impl AsFd) -> Result<Holder, Errno> {
    let mut excludes = one_byte(EXCLUDES);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut excludes))?;
    // Ours is always a write lock, which needs a descriptor that may write. A read lock is a
    // stranger's, who could only read the file; beside a write lock it cannot stand.
    if excludes.l_type != libc::F_WRLCK as libc::c_short {
        return Ok(Holder::Nobody);
    }
    Ok(named(file, NAMES)?.map_or(Holder::Unknown, Holder::Process))
}
