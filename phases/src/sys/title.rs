//! What this process is called in the lists of ps(1) and top(1).

use std::sync::atomic::{AtomicBool, Ordering};

static SET: AtomicBool = AtomicBool::new(false);

/// Names the process: its command line becomes `name`, cut to the room the old one had, and so does
/// what the kernel calls it (15 bytes). The environment behind it is not touched. False if the kernel
/// does not tell where the command line is, or it was named before.
pub fn set(name: &str) -> bool {
    let name: Vec<u8> = name.bytes().filter(|b| *b != 0).collect();
    let mut short = name.clone();
    short.truncate(15);
    let Ok(short) = std::ffi::CString::new(short) else { return false };
    let named = nix::sys::prctl::set_name(&short).is_ok();
    let Some((start, end)) = place().filter(|_| !SET.swap(true, Ordering::Relaxed)) else { return false };
    // SAFETY: the kernel says that the command line is there (proc(5), arg_start and arg_end): memory
    // of this process that it may write. Rust and Python have copied what they need of it, the words
    // stay NUL-terminated, and this process has no thread that reads it.
    let room = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    let length = name.len().min(room.len() - 1);
    room[..length].copy_from_slice(&name[..length]);
    room[length..].fill(0);
    named
}

/// Where the command line is in memory.
fn place() -> Option<(usize, usize)> {
    range(45)
}

/// Where the strings of the first environment are in memory.
pub(super) fn environment() -> Option<(usize, usize)> {
    range(47)
}

/// Two fields of /proc/self/stat, counted behind the name.
fn range(first: usize) -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in parentheses and may hold anything: fields are counted behind the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(first);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && end > start).then_some((start, end))
}
