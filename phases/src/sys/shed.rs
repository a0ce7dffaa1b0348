//! Memory that a daemon does not need while it serves, given back.

use nix::libc::{self, c_int, c_void, dl_phdr_info, size_t};

const PAGE: usize = 4096;

/// Gives back what the start has left: the free parts of the heap, and the pages of this program's own
/// code, which the kernel brings back from the file when one of them is run again.
pub fn shed() {
    // SAFETY: the first gives back what malloc holds and nobody has; the second calls `drop_code` once for
    // every object in this process, the program first, and takes nothing from it.
    unsafe {
        libc::malloc_trim(0);
        libc::dl_iterate_phdr(Some(drop_code), std::ptr::null_mut());
    }
}

/// Of the first object, the program: its code, which nothing ever writes to.
unsafe extern "C" fn drop_code(info: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: the C library gives a description that lives as long as this call, with that many headers
    // behind the pointer; code is mapped from a file and not written to (no PF_W), so that whatever is
    // dropped is read from there again (madvise(2), MADV_DONTNEED).
    unsafe {
        let (info, count) = (&*info, (*info).dlpi_phnum as usize);
        if info.dlpi_phdr.is_null() {
            return 1;
        }
        for header in std::slice::from_raw_parts(info.dlpi_phdr, count) {
            let code = header.p_flags & libc::PF_X != 0 && header.p_flags & libc::PF_W == 0;
            if header.p_type == libc::PT_LOAD && code {
                let begin = (info.dlpi_addr as usize + header.p_vaddr as usize).next_multiple_of(PAGE);
                let end =
                    (info.dlpi_addr as usize + (header.p_vaddr + header.p_memsz) as usize) / PAGE * PAGE;
                if end > begin {
                    libc::madvise(begin as *mut c_void, end - begin, libc::MADV_DONTNEED);
                }
            }
        }
    }
    1
}
