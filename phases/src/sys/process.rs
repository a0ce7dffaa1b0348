//! Forks, signals, clocks, descriptors.

use engine::effect::Ended;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The signals that are taken through a descriptor instead of a handler.
pub const TAKEN: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGCHLD,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// Blocks [`TAKEN`] (and nothing else) and returns the descriptor they arrive at.
///
/// Dispositions go back to the default: a caller's ignored signals are not handed down
/// (PEERS: they reach the daemon with nearly every other starter).
pub fn take_signals() -> Result<SignalFd, Errno> {
    let default = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::SigDfl,
        nix::sys::signal::SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in Signal::iterator() {
        if matches!(
            signal,
            Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE | Signal::SIGSEGV | Signal::SIGBUS
        ) {
            continue;
        }
        // SAFETY: the default disposition runs no code of ours.
        let before = unsafe { nix::sys::signal::sigaction(signal, &default) }?;
        if signal == Signal::SIGINT {
            let ignored = matches!(before.handler(), nix::sys::signal::SigHandler::SigIgn);
            INTERRUPT_IGNORED.store(ignored, Ordering::Relaxed);
        }
    }
    let mut set = SigSet::empty();
    TAKEN.iter().for_each(|s| set.add(*s));
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Blocks these besides, by number: real-time signals have no names here.
pub fn take_signals_beside(numbers: impl Iterator<Item = i32>) -> Result<SignalFd, Errno> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) makes a set of the storage that we own, sigaddset(3) refuses what is no signal; the
    // set is whole when it is handed on.
    let set = unsafe {
        nix::libc::sigemptyset(set.as_mut_ptr());
        for number in numbers {
            nix::libc::sigaddset(set.as_mut_ptr(), number);
        }
        SigSet::from_sigset_t_unchecked(set.assume_init())
    };
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Takes the status of a child that has ended, of this one or of any: its number and how it ended; no how where a
/// tracer only looks. `None`: nobody has ended. A real-time signal has no name, and to waitpid of nix the child would
/// be gone with an error.
pub fn reap(pid: Option<Pid>) -> Result<Option<(i32, Option<Ended>)>, Errno> {
    let mut status = 0;
    // SAFETY: waitpid(2) fills the number that we own.
    match unsafe { nix::libc::waitpid(pid.map_or(-1, Pid::as_raw), &mut status, nix::libc::WNOHANG) } {
        -1 => Err(Errno::last()),
        0 => Ok(None),
        pid if nix::libc::WIFEXITED(status) => {
            Ok(Some((pid, Some(Ended::Exit(nix::libc::WEXITSTATUS(status))))))
        }
        pid if nix::libc::WIFSIGNALED(status) => {
            Ok(Some((pid, Some(Ended::Signal(nix::libc::WTERMSIG(status))))))
        }
        pid => Ok(Some((pid, None))),
    }
}

/// Signals that ask to stop come to the descriptor also where a thread that is not ours was given them:
/// it does not block them, and the kernel takes any thread that does not.
///
/// For a process whose first thread reads the descriptor and blocks them, and in which nobody else
/// handles them any more. What is ignored stays ignored.
pub fn stops_to_first_thread() -> Result<(), Errno> {
    extern "C" fn pass_on(signal: nix::libc::c_int) {
        // SAFETY: three system calls, which signal-safety(7) allows; pending for the first thread, it is
        // read from the descriptor.
        unsafe {
            let (process, thread) = (nix::libc::getpid(), nix::libc::gettid());
            if process != thread {
                nix::libc::syscall(nix::libc::SYS_tgkill, process, process, signal);
            }
        }
    }
    let handler = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::Handler(pass_on),
        nix::sys::signal::SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the handler does what a handler may do, see above.
        let before = unsafe { nix::sys::signal::sigaction(signal, &handler) }?;
        if matches!(before.handler(), nix::sys::signal::SigHandler::SigIgn) {
            // SAFETY: as it was.
            unsafe { nix::sys::signal::sigaction(signal, &before) }?;
        }
    }
    Ok(())
}

static INTERRUPT_IGNORED: AtomicBool = AtomicBool::new(false);

/// Whether the caller had SIGINT ignored, as a shell does for a job in the background.
pub fn interrupt_was_ignored() -> bool {
    INTERRUPT_IGNORED.load(Ordering::Relaxed)
}

/// fork(2) with an application in this process that may have threads of its own. They must be kept
/// from holding any lock of ours meanwhile.
pub fn fork_beside_threads() -> Result<ForkResult, Errno> {
    // SAFETY: the other threads are Python's. They run code of ours only with the interpreter lock,
    // which the caller holds, or the child makes nothing but system calls and ends.
    let forked = unsafe { nix::unistd::fork() }?;
    if forked.is_child() {
        PID.store(0, Ordering::Relaxed);
    }
    Ok(forked)
}

/// fork(2), allowed only while this process has one thread.
pub fn fork() -> Result<ForkResult, Errno> {
    debug_assert_eq!(threads(), 1, "a fork leaves every other thread behind");
    // SAFETY: one thread (DESIGN, invariant 5), so the child finds every lock free.
    let forked = unsafe { nix::unistd::fork() }?;
    if forked.is_child() {
        PID.store(0, Ordering::Relaxed);
    }
    Ok(forked)
}

static PID: AtomicU32 = AtomicU32::new(0);

/// The number of this process, asked of the kernel once after every [`fork`]: every record has it.
pub fn id() -> u32 {
    match PID.load(Ordering::Relaxed) {
        0 => {
            let pid = std::process::id();
            PID.store(pid, Ordering::Relaxed);
            pid
        }
        pid => pid,
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |dir| dir.map_while(Result::ok).count().max(1))
}

/// Ends this process at once: no destructors, no buffers flushed twice.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { nix::libc::_exit(code) }
}

/// Ends this process as `kill -9` does.
pub fn die() -> ! {
    let _ = nix::sys::signal::raise(Signal::SIGKILL);
    // The first process of a PID namespace is spared by its own signals (pid_namespaces(7)).
    exit_now(128 + Signal::SIGKILL as i32)
}

/// More sockets than anybody hands over.
const MOST_HANDED: u32 = 1024;

/// How many sockets, from descriptor 3 up, were handed to this very process: `LISTEN_FDS` of
/// sd_listen_fds(3), where `LISTEN_PID` is this process.
pub fn handed_sockets() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|v: String| v.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => {
            // SAFETY: fcntl(2) with F_GETFD takes plain numbers.
            let open = |fd: i32| unsafe { nix::libc::fcntl(fd, nix::libc::F_GETFD) } != -1;
            (0..count.min(MOST_HANDED)).take_while(|nth| open(3 + *nth as i32)).count() as u32
        }
        _ => 0,
    }
}

/// Whether the caller left that descriptor open.
pub fn is_open(fd: u32) -> bool {
    // SAFETY: fcntl(2) with F_GETFD takes plain numbers.
    i32::try_from(fd).is_ok_and(|fd| unsafe { nix::libc::fcntl(fd, nix::libc::F_GETFD) } != -1)
}

/// Closes every descriptor above 2 that the caller left open, but for that many from 3 up, and `keep`, which
/// gets another number and is closed on exec.
pub fn close_inherited(but: u32, keep: Option<u32>) -> Result<Option<OwnedFd>, Errno> {
    let first = 3 + but;
    let close = |from: u32, to: u32| {
        // SAFETY: nothing of ours is open above 2 yet but the copy below, which is left out; close_range(2)
        // takes plain numbers.
        Errno::result(unsafe { nix::libc::syscall(nix::libc::SYS_close_range, from, to, 0u32) }).map(drop)
    };
    let Some(keep) = keep else { return close(first, u32::MAX).map(|()| None) };
    // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC takes plain numbers.
    let copy = unsafe { nix::libc::fcntl(keep as i32, nix::libc::F_DUPFD_CLOEXEC, first) };
    let copy = Errno::result(copy)?;
    // SAFETY: the kernel has just made it for us alone.
    let kept = unsafe { OwnedFd::from_raw_fd(copy) };
    if copy as u32 > first {
        close(first, copy as u32 - 1)?;
    }
    close(copy as u32 + 1, u32::MAX)?;
    Ok(Some(kept))
}

/// Closes every descriptor above 2 but these, whoever has opened it.
///
/// For a process that was forked from one with foreign code in it: nobody here uses the others.
pub fn close_all_but(keep: &[BorrowedFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    keep.retain(|fd| *fd > 2);
    keep.sort_unstable();
    keep.dedup();
    let mut first = 3u32;
    for last in keep.into_iter().map(|fd| Some(fd - 1)).chain([None]) {
        let until = last.unwrap_or(u32::MAX);
        if first <= until {
            // SAFETY: plain numbers; every descriptor that a value of ours owns is kept by the caller.
            Errno::result(unsafe { nix::libc::syscall(nix::libc::SYS_close_range, first, until, 0u32) })?;
        }
        first = until.saturating_add(2);
    }
    Ok(())
}

/// Closes that many descriptors from 3 up: sockets that nobody will take over.
pub fn close_handed(count: u32) {
    for fd in 3..3 + count as i32 {
        // SAFETY: they were handed to this process by its starter, and nothing of ours is there.
        unsafe { nix::libc::close(fd) };
    }
}

/// What std's runtime would have done before `main`: descriptors 0 to 2 are open (a file opened later
/// must not take their place), and a reader that went away is an error and no signal.
pub fn begin() {
    for fd in 0..=2 {
        // SAFETY: fcntl(2) with F_GETFD and open(2) with a constant path touch no memory of ours.
        unsafe {
            if nix::libc::fcntl(fd, nix::libc::F_GETFD) == -1
                && nix::libc::open(c"/dev/null".as_ptr(), nix::libc::O_RDWR) == -1
            {
                exit_now(1);
            }
        }
    }
    // SAFETY: ignoring a signal runs no code of ours.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigIgn) };
}

/// CLOCK_MONOTONIC in nanoseconds: the same in all processes.
pub fn monotonic() -> u64 {
    match nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) {
        Ok(t) => Duration::from(t).as_nanos() as u64,
        Err(_) => 0,
    }
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn wall_clock() -> u64 {
    match nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME) {
        Ok(t) => Duration::from(t).as_nanos() as u64,
        Err(_) => 0,
    }
}

/// Points descriptors 0, 1 and 2 at the null device.
pub fn standard_descriptors_to(null: &File) -> Result<(), Errno> {
    nix::unistd::dup2_stdin(null)?;
    nix::unistd::dup2_stdout(null)?;
    nix::unistd::dup2_stderr(null)
}

/// Orphans below this process become its children: it can tell how each of them ended.
pub fn become_subreaper() -> Result<(), Errno> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Waits up to that many milliseconds (-1: for ever) for one of the descriptors; true for each that
/// can be read or hung up.
pub fn wait_readable<const N: usize>(fds: [std::os::fd::BorrowedFd; N], ms: i32) -> Result<[bool; N], Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// How long to wait for memory to be there again.
    const BREATH: Duration = Duration::from_millis(20);
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let mut left = ms;
    loop {
        match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::NONE)) {
            Ok(_) => return Ok(polled.map(|p| p.any().unwrap_or(true))),
            Err(Errno::EINTR) => continue,
            // Who waits for the end of a process must not take this for it (poll(2): no memory for the tables).
            Err(Errno::ENOMEM | Errno::EAGAIN) => {
                std::thread::sleep(BREATH);
                if left > 0 {
                    left = (left - BREATH.as_millis() as i32).max(0);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// A handle of a process that cannot come to mean another one.
pub fn pidfd(pid: Pid) -> Result<std::os::fd::OwnedFd, Errno> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(Errno::ESRCH)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .map_err(|e| Errno::from_raw(e.raw_os_error()))
}

/// Signals the process behind the handle. One that is gone already is fine: `false`.
pub fn signal(pidfd: impl AsFd, signal: Signal) -> Result<bool, Errno> {
    signal_by_number(pidfd, signal as i32)
}

/// The same by a number, of a real-time signal too.
pub fn signal_by_number(pidfd: impl AsFd, number: i32) -> Result<bool, Errno> {
    // SAFETY: a plain number, which the kernel refuses if it is no signal.
    let signal = unsafe { rustix::process::Signal::from_raw_unchecked(number) };
    match rustix::process::pidfd_send_signal(pidfd.as_fd(), signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(Errno::from_raw(error.raw_os_error())),
    }
}

/// How a process has ended that is another's child, by the kernel's word: `PIDFD_GET_INFO`, ioctl_pidfd(2).
///
/// `None` before Linux 6.15, and where its parent has not taken its status within that many nanoseconds.
pub fn ended(pidfd: &OwnedFd, wait: u64) -> Option<Ended> {
    /// `struct pidfd_info`, linux/pidfd.h, as it was first.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        /// pid, tgid, ppid, and eight ids
        ids: [u32; 11],
        exit_code: i32,
    }
    const EXIT: u64 = 1 << 3;
    const GET_INFO: u64 = 3 << 30 | (size_of::<Info>() as u64) << 16 | 0xff << 8 | 11;
    let until = monotonic().saturating_add(wait);
    loop {
        let mut info = Info { mask: EXIT, ..Info::default() };
        // SAFETY: the kernel writes as many bytes as the number of the request says, which is the size of it.
        let asked = unsafe { nix::libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &raw mut info) };
        if Errno::result(asked).is_err() {
            return None;
        }
        if info.mask & EXIT != 0 {
            let status = info.exit_code;
            return Some(match status & 0x7f {
                0 => Ended::Exit(status >> 8 & 0xff),
                signal => Ended::Signal(signal),
            });
        }
        if monotonic() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether somebody listens behind a unix socket; `None` where the path is none. Whoever does is not
/// disturbed: a datagram socket is refused by a stream listener without a word to it (unix(7), EPROTOTYPE).
///
/// EACCES: this process may not look.
pub fn has_listener(path: &std::path::Path) -> Result<Option<bool>, Errno> {
    use std::os::unix::fs::FileTypeExt;
    let denied = |e: &std::io::Error| e.raw_os_error() == Some(nix::libc::EACCES);
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {}
        Err(error) if denied(&error) => return Err(Errno::EACCES),
        _ => return Ok(None),
    }
    match std::os::unix::net::UnixDatagram::unbound().and_then(|probe| probe.connect(path)) {
        Err(error) if denied(&error) => Err(Errno::EACCES),
        Err(error) if error.raw_os_error() == Some(nix::libc::ECONNREFUSED) => Ok(Some(false)),
        _ => Ok(Some(true)),
    }
}

/// Whether nobody listens behind a unix socket that is held open (`O_PATH`), for all that this process can tell.
/// Without /proc the path has to lead to it: then it is looked at before and behind the question.
pub fn is_dead_socket(file: &std::os::fd::OwnedFd, path: &std::path::Path) -> bool {
    let ask = |path: &std::path::Path| {
        std::os::unix::net::UnixDatagram::unbound().and_then(|probe| probe.connect(path))
    };
    let refused = |answer: std::io::Result<()>| {
        answer.is_err_and(|e| e.raw_os_error() == Some(nix::libc::ECONNREFUSED))
    };
    let held = format!("/proc/self/fd/{}", file.as_raw_fd());
    if std::fs::symlink_metadata(&held).is_ok() {
        return refused(ask(held.as_ref()));
    }
    let is_it = || match (nix::sys::stat::fstat(file), nix::sys::stat::lstat(path)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    };
    is_it() && refused(ask(path)) && is_it()
}

/// Opens a file for reading without waiting: a FIFO without a writer does not hang. A device is opened only
/// if that does nothing: memory (such as /dev/null) and terminals. Others act on it, such as a tape or a
/// watchdog, and a link can lead to one.
pub fn open_to_read(path: &std::path::Path) -> std::io::Result<File> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
    let open = |path: &std::path::Path, flags| {
        std::fs::OpenOptions::new().read(true).custom_flags(flags | nix::libc::O_NOCTTY).open(path)
    };
    // What is looked at is what is opened, whatever the name leads to by then.
    let found = open(path, nix::libc::O_PATH)?;
    let meta = found.metadata()?;
    let harmless = || matches!(nix::sys::stat::major(meta.rdev()), 1 | 4 | 5 | 136..=143);
    if meta.file_type().is_block_device() || (meta.file_type().is_char_device() && !harmless()) {
        return Err(std::io::Error::other("it is a device"));
    }
    let by_number = format!("/proc/self/fd/{}", found.as_raw_fd());
    match open(by_number.as_ref(), nix::libc::O_NONBLOCK) {
        // There is no /proc here.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => open(path, nix::libc::O_NONBLOCK),
        opened => opened,
    }
}

/// The size of the terminal that standard output is; false if it is none.
pub fn window_size(size: &mut nix::libc::winsize) -> bool {
    // SAFETY: TIOCGWINSZ fills the structure we own, and only that.
    unsafe { nix::libc::ioctl(1, nix::libc::TIOCGWINSZ, size) == 0 }
}

/// A file size limit must not kill the keeper of a log: the write fails instead.
pub fn survive_file_size_limit() -> Result<(), Errno> {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, nix::sys::signal::SigHandler::SigIgn) }.map(drop)
}

/// Ends this process by a signal, as the program it kept was ended: a shell sees the same status.
pub fn end_by_signal(number: i32) {
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the default disposition runs no code of ours; sigemptyset(3) makes a set of the storage that we own,
    // and what is no signal is refused by each of these.
    unsafe {
        nix::libc::signal(number, nix::libc::SIG_DFL);
        nix::libc::raise(number);
        nix::libc::sigemptyset(set.as_mut_ptr());
        nix::libc::sigaddset(set.as_mut_ptr(), number);
        nix::libc::sigprocmask(nix::libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_strangers_child_ended() {
        for (script, expected) in [("exit 3", Ended::Exit(3)), ("kill -ABRT $$", Ended::Signal(6))] {
            let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().expect("a child");
            let handle = pidfd(Pid::from_raw(child.id() as i32)).expect("its handle");
            let over = wait_readable([handle.as_fd()], 60_000).expect("poll");
            assert_eq!(over, [true]);
            // Whose status nobody has taken yet.
            assert_eq!(ended(&handle, 0), None);
            child.wait().expect("its end");
            let release = nix::sys::utsname::uname().expect("uname").release().to_string_lossy().into_owned();
            let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
            let new = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
            assert_eq!(ended(&handle, 0), new.then_some(expected), "{release}");
        }
    }
}
