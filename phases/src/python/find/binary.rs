//! What the ELF headers of an interpreter say.

use super::what;
use crate::sys::{io_failed, process};
use elf::ElfStream;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, PT_LOAD};
use elf::endian::NativeEndian;
use engine::effect::SystemError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// No string table of a program is larger.
const STRINGS: u64 = 16 << 20;

/// An ELF program.
pub(super) struct Binary {
    file: File,
    needed: Vec<String>,
    rpath: Option<String>,
    runpath: Option<String>,
    /// where its constants are: offset and end
    constants: (u64, u64),
}

/// Why it is none.
pub(super) enum Refused {
    Io(std::io::Error),
    NotElf,
    Bad(String),
}

impl Refused {
    pub(super) fn about(&self, path: &Path) -> SystemError {
        match self {
            Refused::Io(e) => io_failed(e, what(path)),
            Refused::NotElf => SystemError::new(format!("{}: it is not a program", what(path)))
                .help("name a Python interpreter with --interpreter"),
            Refused::Bad(why) => SystemError::new(format!("{}: its ELF headers are not right", what(path)))
                .why(why.clone())
                .help("name a Python interpreter of this machine's architecture with --interpreter"),
        }
    }
}

impl From<elf::ParseError> for Refused {
    fn from(e: elf::ParseError) -> Refused {
        Refused::Bad(e.to_string())
    }
}

impl Binary {
    pub(super) fn open(path: &Path) -> Result<Binary, Refused> {
        let file = process::open_to_read(path).map_err(Refused::Io)?;
        let mut magic = [0u8; 4];
        match file.read_exact_at(&mut magic, 0) {
            Ok(()) if magic == *b"\x7fELF" => {}
            Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => return Err(Refused::Io(e)),
            _ => return Err(Refused::NotElf),
        }
        let size = file.metadata().map_err(Refused::Io)?.len();
        let own = file.try_clone().map_err(Refused::Io)?;
        let mut stream = ElfStream::<NativeEndian, _>::open_stream(file)?;
        let loads: Vec<(u64, u64, u64)> = stream
            .segments()
            .iter()
            .filter(|s| s.p_type == PT_LOAD)
            .map(|s| (s.p_vaddr, s.p_filesz, s.p_offset))
            .collect();
        let mut entries = Vec::new();
        if let Some(dynamic) = stream.dynamic()? {
            entries = dynamic.iter().map(|d| (d.d_tag, d.d_val())).collect();
        }
        let constants = match stream.section_header_by_name(".rodata")? {
            Some(section) => (section.sh_offset, section.sh_offset.saturating_add(section.sh_size).min(size)),
            None => (0, size),
        };
        let first = |tag: i64| entries.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v);
        let mut strings = Vec::new();
        if let (Some(address), Some(length)) = (first(DT_STRTAB), first(DT_STRSZ)) {
            let place = loads.iter().find(|(at, len, _)| address >= *at && address - at < *len);
            let (at, _, offset) = place.ok_or_else(|| Refused::Bad("no strings".to_owned()))?;
            strings = vec![0; length.min(STRINGS).min(size) as usize];
            own.read_exact_at(&mut strings, offset.saturating_add(address - at)).map_err(Refused::Io)?;
        }
        let text = |offset: u64| -> Option<String> {
            let rest = strings.get(usize::try_from(offset).ok()?..)?;
            let end = memchr::memchr(0, rest)?;
            Some(String::from_utf8_lossy(&rest[..end]).into_owned())
        };
        let needed =
            entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).filter_map(|(_, v)| text(*v)).collect();
        let (rpath, runpath) = (first(DT_RPATH).and_then(text), first(DT_RUNPATH).and_then(text));
        Ok(Binary { file: own, needed, rpath, runpath, constants })
    }

    /// The libpython that it loads, if it does not have all of it inside.
    pub(super) fn needed(&self) -> Option<String> {
        self.needed.iter().find(|n| n.starts_with("libpython3.") || n.starts_with("libpython2.")).cloned()
    }

    /// Where it looks for libraries before LD_LIBRARY_PATH.
    pub(super) fn rpath(&self) -> Option<&str> {
        self.rpath.as_deref().filter(|_| self.runpath.is_none())
    }

    /// Where it looks for libraries after LD_LIBRARY_PATH.
    pub(super) fn runpath(&self) -> Option<&str> {
        self.runpath.as_deref()
    }

    /// Whether all of these byte strings are among its constants.
    pub(super) fn holds(&mut self, wanted: &[String]) -> bool {
        const PIECE: u64 = 64 << 10;
        let overlap = wanted.iter().map(String::len).max().unwrap_or(0) as u64;
        let finders: Vec<_> = wanted.iter().map(|w| memchr::memmem::Finder::new(w.as_bytes())).collect();
        let mut found = vec![false; wanted.len()];
        let mut buffer = vec![0; (PIECE + overlap) as usize];
        let (mut at, end) = self.constants;
        while at < end && found.iter().any(|f| !f) {
            let length = (end - at).min(PIECE + overlap) as usize;
            if self.file.read_exact_at(&mut buffer[..length], at).is_err() {
                return false;
            }
            for (found, finder) in found.iter_mut().zip(&finders).filter(|(f, _)| !**f) {
                *found = finder.find(&buffer[..length]).is_some();
            }
            at += PIECE;
        }
        found.iter().all(|f| *f)
    }
}
