//! The environment of this process.

use crate::application::PRIVATE;
use std::ffi::OsString;

/// What speaks to this process alone stays, and is not handed on; of all else these take the place. The
/// answer is how many there are.
///
/// The memory that held the caller's is cleared: it is what /proc/PID/environ shows, and a secret of the
/// caller's would stay readable there as long as the daemon lives.
pub fn replace(all: Vec<(OsString, OsString)>) -> usize {
    let private: Vec<(OsString, OsString)> =
        std::env::vars_os().filter(|(name, _)| PRIVATE.iter().any(|p| name == *p)).collect();
    let valid = |name: &OsString| {
        let name = name.as_encoded_bytes();
        !name.is_empty() && !name.contains(&b'=') && !name.contains(&0)
    };
    let room = super::title::environment();
    // SAFETY: one thread (invariant 5: until the application serves), so nobody reads it meanwhile. Every
    // value is copied out above before it goes, and the C library copies what is set.
    unsafe {
        libc::clearenv();
        for (name, value) in all.iter().filter(|(name, _)| valid(name)) {
            if !value.as_encoded_bytes().contains(&0) {
                std::env::set_var(name, value);
            }
        }
    }
    let count = std::env::vars_os().count();
    // SAFETY: as above.
    unsafe { private.iter().for_each(|(name, value)| std::env::set_var(name, value)) };
    if let Some((start, end)) = room {
        // SAFETY: the kernel says that the strings of the first environment are there (proc(5), env_start
        // and env_end): memory of this process that it may write, and that nothing points to since the
        // environment was cleared.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, end - start) };
    }
    count
}
