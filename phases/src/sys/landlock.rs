//! Landlock, landlock(7), by its three system calls.
//!
//! Not by the crate of its authors: that hides the version of the kernel, by which rsd predicts, and puts a
//! ruleset on in the process that made it, where here it is made before a fork and put on behind it.

use engine::effect::Landlock;
use engine::effect::landlock::Right;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Rights to files by number, and the version of Landlock that they came with.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// The number of rights to files in each version, from the first on.
const RIGHTS: [u32; 5] = [13, 14, 15, 15, 16];
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;

/// What a file that is no directory can be given.
const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The version of the kernel's Landlock, 0 for none.
pub fn version() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes a null pointer and a size of 0 and tells its version.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

/// `struct landlock_ruleset_attr`, as far as ports.
#[repr(C)]
struct Attributes {
    files: u64,
    ports: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    rights: u64,
    parent: libc::c_int,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct Port {
    rights: u64,
    port: u64,
}

/// Rules that were made, and can be put on.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

/// What could not be made: the path, where it was one.
pub type Unmade = (Errno, Option<PathBuf>);

impl Ruleset {
    /// The rules that are asked for, as far as this version goes; it must not be 0.
    pub fn of(wanted: &Landlock, version: u32) -> Result<Ruleset, Unmade> {
        let whole = |e: Errno| (e, None);
        let count = usize::try_from(version).unwrap_or(usize::MAX).clamp(1, RIGHTS.len());
        let known = RIGHTS.get(count - 1).map_or(0, |n| (1u64 << n) - 1);
        let ports = version >= engine::effect::landlock::PORTS;
        let handled = |asked: &Option<Vec<u16>>, right| if asked.is_some() && ports { right } else { 0 };
        let attributes = Attributes {
            files: if wanted.restricts_files() { known } else { 0 },
            ports: handled(&wanted.bind, BIND_TCP) | handled(&wanted.connect, CONNECT_TCP),
        };
        // A kernel without ports knows a shorter structure.
        let size = if ports { size_of::<Attributes>() } else { size_of::<u64>() };
        // SAFETY: the kernel reads `size` bytes of a structure of ours.
        let made =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &attributes, size, 0 as libc::c_uint) };
        let made = Errno::result(made).map_err(whole)?;
        // SAFETY: the kernel just gave us this descriptor, close-on-exec, and nobody else knows its number.
        let ruleset = Ruleset(unsafe { OwnedFd::from_raw_fd(made as libc::c_int) });
        for (path, right) in wanted.paths() {
            ruleset.add(path, right, known).map_err(|e| (e, Some(path.clone())))?;
        }
        for (list, right) in [(&wanted.bind, BIND_TCP), (&wanted.connect, CONNECT_TCP)] {
            for port in list.iter().flatten().filter(|_| ports) {
                const OF_A_PORT: libc::c_int = 2;
                let rule = Port { rights: right, port: u64::from(*port) };
                ruleset.rule(OF_A_PORT, std::ptr::from_ref(&rule).cast()).map_err(whole)?;
            }
        }
        Ok(ruleset)
    }

    fn add(&self, path: &Path, right: Right, known: u64) -> Result<(), Errno> {
        const BENEATH: libc::c_int = 1;
        let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        let read = READ_FILE | READ_DIR;
        let mut rights = match right {
            Right::Read => read,
            Right::Execute => read | EXECUTE,
            Right::Write => !EXECUTE,
        } & known;
        let kind = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFDIR {
            rights &= OF_A_FILE;
        }
        let rule = Beneath { rights, parent: file.as_raw_fd() };
        self.rule(BENEATH, std::ptr::from_ref(&rule).cast())
    }

    /// `rule` points to the structure that belongs to the type.
    fn rule(&self, of: libc::c_int, rule: *const libc::c_void) -> Result<(), Errno> {
        // SAFETY: the kernel reads one structure of the type it is told, which both callers pass by reference.
        Errno::result(unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, self.0.as_raw_fd(), of, rule, 0 as libc::c_uint)
        })
        .map(drop)
    }

    /// Puts them on this thread, for good.
    pub fn put_on(&self) -> Result<(), Errno> {
        // SAFETY: a descriptor and no memory.
        Errno::result(unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0 as libc::c_uint)
        })
        .map(drop)
    }
}
