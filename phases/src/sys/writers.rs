//! Who may change what a path leads to: the file, or any directory or link on its way.

use engine::snapshot::parts;
use nix::libc::S_ISVTX;
use nix::sys::stat::FileStat;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A place that others may change.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    /// the file, or the directory or the link on the way
    pub place: PathBuf,
    /// its owner
    pub uid: u32,
    /// its group
    pub gid: u32,
    /// its permission bits
    pub mode: u32,
    /// its owner is somebody else; otherwise its mode lets others write
    pub theirs: bool,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}:{} {:04o}", self.place.display(), self.uid, self.gid, self.mode)
    }
}

/// Whether another than root and this process may write there, by owner and mode. The group of root counts
/// as root; of what an access list gives, the mode shows the most (acl(5)).
fn open(uid: u32, gid: u32, mode: u32, owner: u32) -> Option<bool> {
    if ![0, owner, nix::unistd::geteuid().as_raw()].contains(&uid) {
        return Some(true);
    }
    (mode & 0o002 != 0 || (mode & 0o020 != 0 && gid != 0)).then_some(false)
}

/// Whether others may put another in place of what is in this directory. Where they may not take away what
/// they do not own (the sticky bit), they may still be the first to make it.
pub fn changeable(dir: &FileStat) -> bool {
    open(dir.st_uid, dir.st_gid, dir.st_mode, 0).is_some()
}

/// The first place on the way of a file at which another than root and this process decides what is read
/// there; the file itself last. Whoever owns `/` decides everything and is trusted.
///
/// If nothing is found nobody else could have changed the way meanwhile.
///
/// # Errors
/// What lstat(2) and readlink(2) say.
pub fn of(path: &Path) -> io::Result<Option<Open>> {
    let top = std::fs::symlink_metadata("/")?;
    let found = |place: &Path, meta: &Metadata, keeps_names: bool| {
        let theirs = open(meta.uid(), meta.gid(), meta.mode(), top.uid())?;
        if !theirs && keeps_names && meta.is_dir() && meta.mode() & S_ISVTX != 0 {
            return None;
        }
        let mode = meta.mode() & 0o7777;
        Some(Open { place: place.to_owned(), uid: meta.uid(), gid: meta.gid(), mode, theirs })
    };
    let whole = if path.is_absolute() { path.to_owned() } else { std::env::current_dir()?.join(path) };
    let (mut here, mut todo, mut links) = (PathBuf::from("/"), parts(&whole), 0);
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        let meta = std::fs::symlink_metadata(&next)?;
        if meta.is_symlink() {
            links += 1;
            if links > 40 {
                return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
            }
            if statfs(&here).is_ok_and(|s| s.filesystem_type() == PROC_SUPER_MAGIC) {
                return Ok(handed(&next, &todo)?.and_then(|meta| found(&next, &meta, false)));
            }
            // The link has no mode that counts: whoever owns it made it.
            if let Some(found) = found(&next, &meta, false).filter(|open| open.theirs) {
                return Ok(Some(found));
            }
            let target = std::fs::read_link(&next)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            todo.extend(parts(&target));
            continue;
        }
        // In a sticky directory the entry's own owner keeps it, and that is looked at next.
        if let Some(found) = found(&next, &meta, !todo.is_empty()) {
            return Ok(Some(found));
        }
        here = next;
    }
    Ok(None)
}

/// What the caller handed over by descriptor (`/dev/stdin`, `<(…)`): a pipe is the caller's own.
fn handed(link: &Path, rest: &[PathBuf]) -> io::Result<Option<Metadata>> {
    let meta = std::fs::metadata(link)?;
    let own = meta.file_type().is_fifo() || meta.file_type().is_socket() || meta.file_type().is_char_device();
    Ok((!rest.is_empty() || !own).then_some(meta))
}

/// Whether another than root and this process may lead the way to the directory of `path` elsewhere. What
/// cannot be looked at counts as if.
pub fn on_the_way(path: &Path) -> bool {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = of(dir);
    // In a sticky directory what stands on the way keeps its place; the name is looked at by who makes it.
    let keeps = |open: &Open| !open.theirs && open.mode & S_ISVTX != 0;
    found.map_or(true, |found| found.is_some_and(|open| !keeps(&open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn every_place_on_the_way_counts() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        for dir in ["a", "a/b"] {
            mode(&top.join(dir), 0o755);
        }
        let file = top.join("a/b/spec.yaml");
        fs::write(&file, "rsd: 1").unwrap();
        mode(&file, 0o644);
        symlink("a/b", top.join("link")).unwrap();
        let (through, missing) = (top.join("link/spec.yaml"), top.join("a/none"));
        let place = |path: &Path| of(path).unwrap().map(|open| open.place);
        assert_eq!(of(&file).unwrap(), None, "the sticky bit of /tmp keeps what is ours");
        assert_eq!(place(&through), None);
        assert_eq!(place(&top.join("a/../a/./b/spec.yaml")), None);
        assert!(of(&missing).is_err());

        mode(&file, 0o666);
        assert_eq!(place(&file).as_deref(), Some(file.as_path()));
        assert_eq!(place(&through).as_deref(), Some(file.as_path()));
        mode(&file, 0o644);
        mode(&top.join("a"), 0o777);
        assert_eq!(place(&through), Some(top.join("a")));
        mode(&top.join("a"), 0o1777);
        assert_eq!(place(&file), None, "what is in it is ours, and stays where it is");
        mode(&top.join("a"), 0o755);
        if nix::unistd::geteuid().is_root() {
            let theirs = |path: &Path| std::os::unix::fs::lchown(path, Some(4000), Some(4000)).unwrap();
            theirs(&top.join("link"));
            assert_eq!(place(&through), Some(top.join("link")));
            theirs(&top.join("a/b"));
            let open = of(&file).unwrap().unwrap();
            assert_eq!((open.uid, open.theirs, open.place), (4000, true, top.join("a/b")));
        }
    }

    #[test]
    fn what_is_handed_over_is_the_callers() {
        let (read, _write) = nix::unistd::pipe().unwrap();
        use std::os::fd::AsRawFd;
        assert_eq!(of(Path::new(&format!("/proc/self/fd/{}", read.as_raw_fd()))).unwrap(), None);
        assert_eq!(of(Path::new("/dev/null")).unwrap().map(|o| o.theirs), Some(false), "a mode of 0666");
    }
}
