//! System calls. With the binding to libpython this is the only place for `unsafe`.

pub mod bind;
pub mod channel;
pub mod child;
pub mod confine;
pub mod datagram;
pub mod environment;
pub mod gate;
pub mod identity;
pub mod landlock;
pub mod lock;
pub mod mounts;
pub mod namespace;
pub mod process;
pub mod settings;
pub mod shed;
pub mod socket;
pub mod title;
pub mod walk;
pub mod watch;
pub mod writers;

use engine::effect::SystemError;
use nix::errno::Errno;

/// The error of a call: `what` is the call and its object, "chroot /jail".
pub fn failed(errno: Errno, what: impl std::fmt::Display) -> SystemError {
    SystemError::errno(errno as i32, what)
}

/// The same for an error of the standard library.
pub fn io_failed(error: &std::io::Error, what: impl std::fmt::Display) -> SystemError {
    match error.raw_os_error() {
        Some(errno) => SystemError::errno(errno, what),
        None => SystemError::new(format!("{what}: {error}")),
    }
}
