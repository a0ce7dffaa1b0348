//! The command `rsd`.
//!
//! `main` is the C library's, not the standard library's: the runtime that std would start first
//! reads /proc/self/maps and installs handlers for SIGSEGV and SIGBUS, a tenth of a millisecond that
//! serves nothing here, and the handlers would be those of every daemon.
#![no_main]

use std::ffi::{c_char, c_int};

/// Where the C library begins.
// SAFETY: the one symbol `main` of this program, with the signature that the C library calls.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    phases::sys::process::begin();
    rsd::main(std::env::args_os().collect())
}
