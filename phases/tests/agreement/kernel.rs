//! The system calls of the sandbox that no crate at hand wraps.

use engine::effect::CapabilitySet;
use nix::errno::Errno;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn c(text: impl AsRef<OsStr>) -> CString {
    CString::new(text.as_ref().as_bytes()).expect("no NUL")
}

/// mount(2); `source` is also the name of the file system where `kind` is given.
pub fn mount(source: &str, target: &Path, kind: Option<&str>, flags: u64, data: &str) -> Result<(), Errno> {
    let (source, target, data) = (c(source), c(target), c(data));
    let kind = kind.map(c);
    let kind = kind.as_ref().map_or(std::ptr::null(), |k| k.as_ptr());
    // SAFETY: every pointer is a NUL-terminated string that lives until the call is over, or null.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, data.as_ptr().cast()) };
    Errno::result(done).map(drop)
}

/// Makes `new` the root of this mount namespace; nothing of the old one is left.
pub fn enter_root(new: &Path) -> Result<(), Errno> {
    nix::unistd::chdir(new)?;
    // SAFETY: constant strings. "." on "." stacks the old root on the new one (pivot_root(2)).
    Errno::result(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: a constant string.
    Errno::result(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    nix::unistd::chdir("/")
}

/// Brings the loopback device of this network namespace up.
pub fn loopback_up() -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use std::os::fd::AsRawFd;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: a struct of plain numbers, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives until the call is over.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) }).map(drop)
}

fn prctl(option: libc::c_int, a: u64, b: u64) -> Result<i32, Errno> {
    // SAFETY: only options that take plain numbers are asked for.
    Errno::result(unsafe { libc::prctl(option, a, b, 0, 0) })
}

pub fn drop_from_bounding(bit: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, bit.into(), 0).map(drop)
}

pub fn set_securebits(bits: u32) -> Result<(), Errno> {
    prctl(libc::PR_SET_SECUREBITS, bits.into(), 0).map(drop)
}

pub fn keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

pub fn raise_ambient(bit: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, bit.into()).map(drop)
}

/// Readable in /proc by its own user, as any process is that was not made by a change of its ids.
pub fn dumpable() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 1, 0).map(drop)
}

/// ioprio_get(2): the class in the highest bits, the level below.
pub fn io_priority(pid: u32) -> i64 {
    const PROCESS: libc::c_int = 1;
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_ioprio_get, PROCESS, pid as libc::c_int) }
}

pub fn set_capabilities(
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
) -> Result<(), Errno> {
    let bits = |set: CapabilitySet| rustix::thread::CapabilitySet::from_bits_retain(set.0);
    let sets = rustix::thread::CapabilitySets {
        effective: bits(effective),
        permitted: bits(permitted),
        inheritable: bits(inheritable),
    };
    rustix::thread::set_capabilities(None, sets).map_err(|e| Errno::from_raw(e.raw_os_error()))
}

/// fork(2): this harness has one thread.
pub fn fork() -> Result<nix::unistd::ForkResult, Errno> {
    // SAFETY: one thread, so the child finds every lock free.
    unsafe { nix::unistd::fork() }
}

/// A child in new namespaces that runs `body` and ends with what it returns.
pub fn fork_into(namespaces: libc::c_int, body: impl FnOnce() -> i32) -> Result<nix::unistd::Pid, Errno> {
    // The stack of the child is a copy of this one: no memory is shared, as with fork(2).
    // SAFETY: no CLONE_VM and a null stack make it a fork; one thread, as in `fork`.
    let pid = Errno::result(unsafe {
        libc::syscall(libc::SYS_clone, libc::c_long::from(namespaces | libc::SIGCHLD), 0, 0, 0, 0)
    })?;
    if pid == 0 {
        leave(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101));
    }
    Ok(nix::unistd::Pid::from_raw(pid as i32))
}

/// New namespaces for this process.
pub fn unshare(namespaces: libc::c_int) -> Result<(), Errno> {
    // SAFETY: plain flags.
    Errno::result(unsafe { libc::unshare(namespaces) }).map(drop)
}

/// Ends this process at once.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(code) }
}
