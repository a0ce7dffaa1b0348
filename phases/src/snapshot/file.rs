//! The file of a snapshot: read without waiting, made without replacing anything.

use engine::snapshot::Snapshot;
use engine::snapshot::file::{Document, Host, read, write};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// No file of facts is larger.
const LARGEST: u64 = 64 * 1024 * 1024;

fn sentence(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => engine::text::errno_message(errno).into_owned(),
        None => error.to_string(),
    }
}

/// The facts in a file; `None` if nothing has that name. Otherwise why they cannot be used.
pub fn load(path: &Path, version: &str) -> Result<Option<Document>, String> {
    let file = match crate::sys::process::open_to_read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // A socket, which cannot be opened.
        Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) => {
            return Err("it is no regular file".to_owned());
        }
        Err(e) => return Err(sentence(&e)),
    };
    let meta = file.metadata().map_err(|e| sentence(&e))?;
    if meta.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if meta.len() > LARGEST {
        return Err(format!("it has {} bytes, and a snapshot may have {LARGEST}", meta.len()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| sentence(&e))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    read(&bytes, version).map(Some)
}

/// Where and when facts are taken.
pub fn host() -> Host {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| String::new(),
        |u| [u.sysname(), u.release(), u.machine()].map(|t| t.to_string_lossy()).join(" "),
    );
    Host { taken: engine::view::utc(crate::sys::process::wall_clock()), kernel }
}

/// Makes the file. Nothing is replaced, and only its owner may read it: it names users, paths and their
/// owners, as whoever took it could see them. Root follows no link on the way: one that another user
/// made would choose where root writes.
pub fn save(path: &Path, facts: &Snapshot, version: &str) -> Result<(), String> {
    let text = write(facts, host(), version)?;
    let mut file = make(path)?;
    file.write_all(text.as_bytes()).map_err(|e| {
        // What is cut would be refused when it is read: better there is none.
        let _ = std::fs::remove_file(path);
        sentence(&e)
    })
}

fn make(path: &Path) -> Result<File, String> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    let root = nix::unistd::geteuid().is_root();
    let made: Result<OwnedFd, _> = match root {
        true => {
            let how = OpenHow::new().flags(flags).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
            openat2(nix::fcntl::AT_FDCWD, path, how)
        }
        false => nix::fcntl::open(path, flags, mode),
    };
    match made {
        Ok(fd) => Ok(File::from(fd)),
        Err(nix::errno::Errno::EEXIST | nix::errno::Errno::ELOOP) if path.is_symlink() => {
            Err("it is a symbolic link, and a snapshot is never written through one".to_owned())
        }
        Err(nix::errno::Errno::ELOOP) if root => Err(
            "a symbolic link is on the way to it, and root writes through none: name the place it leads to"
                .to_owned(),
        ),
        Err(errno) => Err(engine::text::errno_message(errno as i32).into_owned()),
    }
}
