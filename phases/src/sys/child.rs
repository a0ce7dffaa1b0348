//! What lies between fork(2) and execve(2).

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sched::{CloneFlags, clone};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The child's own stack: it formats one short string and makes system calls.
const STACK: usize = 256 * 1024;

/// A child that runs `run` in this process's memory and never returns, while this process is
/// suspended until it has called execve(2) or ended: vfork(2) with a stack of its own. Nothing is
/// copied, which is most of what a fork costs.
///
/// Descriptors, signal dispositions and the mask are the child's own. What it writes to memory is
/// not, so `run` may use only what the parent has no more use for. The parent must be the only
/// thread, as rsd is until the application serves.
pub fn vfork(mut run: impl FnMut() -> Infallible) -> Result<Pid, Errno> {
    let mut stack = vec![0u8; STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: one thread (invariant 5), suspended until the child lets go of the memory, so nothing
    // else runs in it; the stack lives until then; `run` does not return.
    unsafe { clone(Box::new(move || match run() {}), &mut stack, flags, Some(libc::SIGCHLD)) }
}

/// Runs `attempt` in a child that ends behind it, and tells how that went: nothing of what it does to itself
/// is left. Whatever it sets must leave it a way to end.
pub fn attempt(mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let mut went = Err(Errno::ECHILD);
    let child = vfork(|| {
        went = attempt();
        leave(0)
    })?;
    while waitpid(child, None) == Err(Errno::EINTR) {}
    went
}

/// Leave at once: no destructor, no exit handler, no buffer of the parent's is flushed.
pub fn leave(status: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(status) }
}

/// A copy of `fd` that is close-on-exec and numbered `least` or higher.
pub fn copy_above(fd: impl AsFd, least: RawFd) -> Result<OwnedFd, Errno> {
    let new = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least)).map_err(too_high)?;
    // SAFETY: the kernel just gave us this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// The same of a descriptor that is known by its number only.
pub fn copy_number_above(fd: RawFd, least: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC touches no memory; a number that is not open gives EBADF, and nobody else
    // knows the new one.
    unsafe {
        let new = Errno::result(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least)).map_err(too_high);
        new.map(|new| OwnedFd::from_raw_fd(new))
    }
}

/// Where even the lowest number is above the limit of open files, the kernel has another word for that it is
/// reached (F_DUPFD in fcntl(2)).
fn too_high(errno: Errno) -> Errno {
    if errno == Errno::EINVAL { Errno::EMFILE } else { errno }
}

/// Make `at` a copy of `fd` that survives execve(2), whatever `at` was before.
///
/// For a forked child on its way to execve or `leave`: nobody there uses the old `at` any more.
pub fn place(fd: BorrowedFd, at: RawFd) -> Result<(), Errno> {
    loop {
        // SAFETY: dup2 touches no memory; the descriptor it replaces is used by nobody in a child
        // that only goes on to execve or _exit (see above).
        match Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), at) }) {
            Err(Errno::EINTR | Errno::EBUSY) => {}
            other => return other.map(drop),
        }
    }
}

/// Mark every descriptor from `first` on close-on-exec.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: close_range with CLOEXEC touches no memory and closes nothing now.
    let done =
        unsafe { libc::close_range(first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    match Errno::result(done) {
        // before Linux 5.11, or a system call filter that does not know it: one by one
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {
            let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
            for fd in first..limit.min(1 << 20) as u32 {
                // SAFETY: as in `survive_exec`; what is not open gives EBADF, which is fine.
                unsafe { libc::fcntl(fd as RawFd, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Give every signal its default action (Rust ignores SIGPIPE, a caller may ignore others, and
/// both survive execve), then let all of them through.
///
/// By the bare system call, because the C library refuses to touch the two signals that it keeps
/// for itself, and its posix_spawn(3) leaves those two ignored in whoever was started by it.
pub fn default_signals() -> Result<(), Errno> {
    // handler SIG_DFL, no flags, no restorer, empty mask; wide enough for every layout of it
    let default = [0u64; 8];
    for signal in (1..=SIGNALS).filter(|s| !matches!(*s, libc::SIGKILL | libc::SIGSTOP)) {
        // SAFETY: the kernel reads one struct sigaction from `default`, which is larger, and is
        // told the size of its signal set; SIG_DFL installs no code.
        let done = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                libc::c_long::from(signal),
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                (SIGNALS / 8) as usize,
            )
        };
        Errno::result(done)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// How many signals the kernel has, on every architecture but MIPS.
const SIGNALS: libc::c_int = 64;

/// Clear close-on-exec of a descriptor that is known by its number only, such as 0, 1 and 2.
pub fn survive_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: F_SETFD touches no memory and changes one flag of this process's own descriptor; a
    // number that is not open gives EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}
