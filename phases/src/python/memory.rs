//! Memory for the objects of Python: in large pages, where the kernel has them for who asks.
//!
//! A start makes some 15 MiB of objects. In pages of 4 KiB each is a fault of its own; the large ones
//! save most of these, a tenth of the start.

use super::binding::{Arenas, Functions};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// A large page.
const LARGE: usize = 2 << 20;
/// Address space that is taken at once. Only what is used becomes memory, a large page at a time.
const RESERVED: usize = 8 * LARGE;
/// As after any free() of such a block: glibc takes smaller ones from its heap from then on, and does
/// not give the end of the heap back and ask for it again with each file that Python reads.
const BLOCK: usize = 4 << 20;

/// What is reserved and not given out, and what was given back: (address, size).
struct Left {
    at: usize,
    end: usize,
    returned: Vec<(usize, usize)>,
}

static LEFT: Mutex<Left> = Mutex::new(Left { at: 0, end: 0, returned: Vec::new() });

/// Before Python is initialised: its objects will live here.
pub(super) fn prepare(python: &Functions) {
    // SAFETY: a block that nothing uses. The arenas are functions without state of their own, and
    // Python copies the structure.
    unsafe {
        libc::free(std::hint::black_box(libc::malloc(BLOCK)));
        (python.PyObject_SetArenaAllocator)(&Arenas { context: null_mut(), alloc, free });
    }
}

/// Memory for one arena: zeroed, or null.
unsafe extern "C" fn alloc(_: *mut c_void, size: usize) -> *mut c_void {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = left.returned.iter().rposition(|(_, s)| *s == size) {
        return left.returned.swap_remove(place).0 as *mut c_void;
    }
    if left.end - left.at < size {
        let Some(at) = reserve(size.max(RESERVED)) else { return null_mut() };
        (left.at, left.end) = (at, at + size.max(RESERVED));
    }
    left.at += size;
    (left.at - size) as *mut c_void
}

/// Gives the memory back to the kernel and keeps the addresses.
unsafe extern "C" fn free(_: *mut c_void, arena: *mut c_void, size: usize) {
    // SAFETY: Python gives back an arena that it got above and does not use any more.
    unsafe { libc::madvise(arena, size, libc::MADV_DONTNEED) };
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).returned.push((arena as usize, size));
}

/// Address space that begins with a large page.
fn reserve(size: usize) -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, wherever the kernel likes; of it only what is not used is let go.
    unsafe {
        let got = libc::mmap(null_mut(), size + LARGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if got == libc::MAP_FAILED {
            return None;
        }
        let at = (got as usize).next_multiple_of(LARGE);
        let before = at - got as usize;
        if before > 0 {
            libc::munmap(got, before);
        }
        libc::munmap((at + size) as *mut c_void, LARGE - before);
        libc::madvise(at as *mut c_void, size, libc::MADV_HUGEPAGE);
        Some(at)
    }
}
