//! What a program needs to be executed: the first bytes of it, as execve(2) reads them.

use crate::sys::process;
use elf::ElfStream;
use elf::abi::PT_INTERP;
use elf::endian::NativeEndian;
use engine::snapshot::Interpreter;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// So much of a script the kernel looks at (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;
/// Longest path, with the NUL behind it.
const LONGEST_PATH: u64 = 4096;

/// `None` where it needs nothing, or is no program.
///
/// # Errors
/// It cannot be read.
pub fn of(path: &Path) -> io::Result<Option<Interpreter>> {
    let file = process::open_to_read(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut start = [0u8; LINE];
    let read = file.read_at(&mut start, 0)?;
    Ok(match start.get(..read).unwrap_or_default() {
        [b'#', b'!', line @ ..] => script(line, read == LINE).map(|path| Interpreter { path, script: true }),
        [0x7f, b'E', b'L', b'F', ..] => loader(file).map(|path| Interpreter { path, script: false }),
        _ => None,
    })
}

fn path(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| PathBuf::from(OsString::from_vec(bytes.to_vec())))
}

/// The first word behind `#!`: blanks before it do not count, and it ends in what was read.
fn script(line: &[u8], cut: bool) -> Option<PathBuf> {
    let end = line.iter().position(|b| matches!(b, b'\n' | 0));
    let whole = &line[..end.unwrap_or(line.len())];
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let from = whole.iter().position(|b| !blank(b))?;
    let word = &whole[from..];
    match word.iter().position(blank) {
        Some(end) => path(&word[..end]),
        // It may go on behind what the kernel looks at: no program (execve(2), ENOEXEC).
        None if cut && end.is_none() => None,
        None => path(word),
    }
}

fn loader(file: File) -> Option<PathBuf> {
    let own = file.try_clone().ok()?;
    let stream = ElfStream::<NativeEndian, _>::open_stream(file).ok()?;
    let segment = stream.segments().iter().find(|s| s.p_type == PT_INTERP)?;
    let (offset, size) = (segment.p_offset, segment.p_filesz);
    if !(2..=LONGEST_PATH).contains(&size) {
        return None;
    }
    let mut text = vec![0; size as usize];
    own.read_exact_at(&mut text, offset).ok()?;
    let end = text.iter().position(|b| *b == 0)?;
    path(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_interpreter() {
        let word = |line: &[u8], cut| script(line, cut).map(|p| p.to_string_lossy().into_owned());
        for line in ["/bin/sh\n", " /bin/sh -e x\nmore", "\t /bin/sh\t-e", "/bin/sh"] {
            assert_eq!(word(line.as_bytes(), false).as_deref(), Some("/bin/sh"), "{line:?}");
        }
        for line in ["", "\n", "  \n/bin/sh"] {
            assert_eq!(word(line.as_bytes(), false), None, "{line:?}");
        }
        assert_eq!(word(b"/bin/sh", true), None);
        assert_eq!(word(b"/bin/sh x", true).as_deref(), Some("/bin/sh"));
    }

    #[test]
    fn what_this_test_needs_is_there() {
        let own = std::env::current_exe().unwrap();
        if let Some(needs) = of(&own).unwrap() {
            assert!(!needs.script && needs.path.is_absolute() && needs.path.exists(), "{needs:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#! /bin/sh -e\n").unwrap();
        let needs = Interpreter { path: "/bin/sh".into(), script: true };
        assert_eq!(of(&script).unwrap(), Some(needs));
        std::fs::write(&script, "echo\n").unwrap();
        assert_eq!(of(&script).unwrap(), None);
        assert_eq!(of(dir.path()).unwrap(), None);
        assert!(of(&dir.path().join("nothing")).is_err());
    }
}
