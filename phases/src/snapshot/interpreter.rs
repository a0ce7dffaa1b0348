//! What the kernel executes besides a program, execve(2): what the first line of a script names, or the loader
//! of a dynamically linked one.

use crate::sys::process;
use elf::ElfStream;
use elf::abi::PT_INTERP;
use elf::endian::NativeEndian;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// So much of a first line is looked at by the kernel (BINPRM_BUF_SIZE).
const LINE: usize = 256;
/// No path is longer.
const LONGEST: u64 = 4096;

/// The file, as it is written there; `None` where there is none, or nobody can tell.
pub fn of(program: &Path) -> Option<PathBuf> {
    let file = process::open_to_read(program).ok()?;
    let mut start = [0u8; LINE];
    let count = file.read_at(&mut start, 0).ok()?;
    let start = start.get(..count)?;
    if let Some(rest) = start.strip_prefix(b"#!") {
        let line = rest.split(|b| *b == b'\n').next()?;
        let word = line.split(|b| matches!(b, b' ' | b'\t' | 0)).find(|word| !word.is_empty())?;
        return Some(PathBuf::from(OsStr::from_bytes(word)));
    }
    if !start.starts_with(b"\x7fELF") {
        return None;
    }
    let elf = ElfStream::<NativeEndian, _>::open_stream(&file).ok()?;
    let found = elf.segments().iter().find(|s| s.p_type == PT_INTERP)?;
    let mut path = vec![0u8; usize::try_from(found.p_filesz.min(LONGEST)).ok()?];
    file.read_exact_at(&mut path, found.p_offset).ok()?;
    let path = path.split(|b| *b == 0).next()?;
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_theirs_and_programs_their_loader() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        assert_eq!(of(&at("a", b"#! /bin/sh -e\nexit\n")).as_deref(), Some(Path::new("/bin/sh")));
        assert_eq!(of(&at("b", b"#!\n")), None);
        assert_eq!(of(&at("c", b"hello")), None);
        assert_eq!(of(&at("d", b"\x7fELF but no more")), None);
        let own = of(Path::new("/bin/sh"));
        assert!(own.as_deref().is_none_or(Path::exists), "{own:?}");
    }
}
