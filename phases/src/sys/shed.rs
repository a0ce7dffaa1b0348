//! Memory that a daemon does not need while it serves, given back.

use nix::libc::{self, c_int, c_void, dl_phdr_info, size_t};
use std::ffi::CStr;

const PAGE: usize = 4096;

/// Gives back what was used by now: the free parts of the heap, and the pages of code and constants, of this program
/// and its libraries, which the kernel brings back from their files when they are needed again.
pub fn shed() {
    // SAFETY: the first gives back what malloc holds and nobody has; the second calls `drop_pages` once for
    // every object in this process, and takes nothing from it.
    unsafe {
        libc::malloc_trim(0);
        libc::dl_iterate_phdr(Some(drop_pages), std::ptr::null_mut());
    }
}

/// Of one object what nothing ever writes to. The kernel's own (vdso(7)) has no file to be read from again.
unsafe extern "C" fn drop_pages(info: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: the C library gives a description that lives as long as this call, with a name that ends in NUL, or
    // none, and that many headers behind the pointer; a segment that is mapped from a file and not written to (no
    // PF_W) is read from there again when it was dropped (madvise(2), MADV_DONTNEED).
    unsafe {
        let (info, count) = (&*info, (*info).dlpi_phnum as usize);
        let kernels =
            !info.dlpi_name.is_null() && CStr::from_ptr(info.dlpi_name).to_bytes().starts_with(b"linux-");
        if info.dlpi_phdr.is_null() || kernels {
            return 0;
        }
        for header in std::slice::from_raw_parts(info.dlpi_phdr, count) {
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
                let begin = (info.dlpi_addr as usize + header.p_vaddr as usize).next_multiple_of(PAGE);
                let end =
                    (info.dlpi_addr as usize + (header.p_vaddr + header.p_memsz) as usize) / PAGE * PAGE;
                if end > begin {
                    libc::madvise(begin as *mut c_void, end - begin, libc::MADV_DONTNEED);
                }
            }
        }
    }
    0
}
