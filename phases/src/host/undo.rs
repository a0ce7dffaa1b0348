//! What takes back: a name that was made is removed, a file that was given away is given back.

use super::Host;
use super::protocol::Held;
use crate::sys::mounts::is_mount;
use crate::sys::{failed, process};
use engine::effect::{Capability, Done, Handle, Owner, SystemError, Undo};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// How long a child of a daemon that was killed may have the daemon's files open, in nanoseconds.
const FORKED_NS: u64 = 1_000_000_000;

impl Host {
    /// Undo: unlink a name if it still leads to the file that was made.
    pub(super) fn remove(
        &mut self,
        handle: Handle,
        path: &Path,
        only_if_empty: bool,
    ) -> Result<Done, SystemError> {
        let what = || format!("remove {}", path.display());
        if only_if_empty {
            // The log that is taken back is not written to any more, and our lock of it is let go.
            self.close_log();
        }
        let (dir, name, stat) = match self.still(handle, path, &what())? {
            Some(still) => still,
            None => return Ok(Done::with(Undo::Nothing)),
        };
        if only_if_empty && stat.st_size > 0 {
            return Ok(Done::with(Undo::Nothing).note(format!("{}: it is not empty", path.display())));
        }
        // Another start may have opened the empty log meanwhile, and writes to it from now on.
        let _alone = match only_if_empty.then(|| self.alone_with(dir, name)) {
            None | Some(Err(Errno::ENOENT)) => None,
            Some(Ok(Some(alone))) => Some(alone),
            Some(Ok(None)) => {
                let note = format!("{}: another start has opened it", path.display());
                return Ok(Done::with(Undo::Nothing).note(note));
            }
            // Made as root, and undone after the drop: it may be in use for all that can be told.
            Some(Err(error)) => {
                let why = engine::text::errno_message(error as i32);
                return Ok(Done::with(Undo::Nothing).note(format!(
                    "{}: it is empty, and whether another start uses it cannot be told: {why}",
                    path.display()
                )));
            }
        };
        let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let how = match is_directory {
            true => UnlinkatFlags::RemoveDir,
            false => UnlinkatFlags::NoRemoveDir,
        };
        match unlinkat(dir, name, how) {
            Ok(()) | Err(Errno::ENOENT) => Ok(Done::with(Undo::Nothing)),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if is_directory => {
                Ok(Done::with(Undo::Nothing).note(format!("{}: it is not empty", path.display())))
            }
            Err(error) => Err(failed(error, what()).help(format!("remove {} by hand", path.display()))),
        }
    }

    /// Undo of a file that was given away.
    pub(super) fn give_back(&self, handle: Handle, path: &Path, owner: Owner) -> Result<Done, SystemError> {
        let what = format!("give {} back to {}:{}", path.display(), owner.uid, owner.gid);
        let nothing = Ok(Done::with(Undo::Nothing));
        let Some((dir, name, there)) = self.still(handle, path, &what)? else { return nothing };
        let at = |e: Errno| failed(e, &what);
        let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(dir, name, look, Mode::empty()).map_err(at)?;
        let stat = fstat(&file).map_err(at)?;
        if (stat.st_dev, stat.st_ino) != (there.st_dev, there.st_ino) {
            return nothing;
        }
        // It had one name when it was given away: whoever had it since would have a file of root's under another.
        if stat.st_nlink > 1 && geteuid().is_root() {
            return Err(SystemError::new(format!("{what}: it has {} names", stat.st_nlink))
                .why("somebody has linked it meanwhile, and it would be given back under that name too")
                .help(format!("see who has linked it (find -inum {}), and remove that name", stat.st_ino)));
        }
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchownat(&file, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH).map_err(|e| {
            let help = format!("give it back by hand: chown {}:{} {}", owner.uid, owner.gid, path.display());
            let error = at(e).help(help);
            if e == Errno::EPERM { error.lacks(Capability::Chown) } else { error }
        })?;
        nothing
    }

    /// What was made or given away, if its name still leads to it: the directory, the name, and what is known.
    fn still(
        &self,
        handle: Handle,
        path: &Path,
        what: &str,
    ) -> Result<Option<(&OwnedFd, &OsStr, FileStat)>, SystemError> {
        let Some(Held::File { dir, name, dev, ino }) = self.held.get(&handle.0) else {
            return Err(lost(what, path));
        };
        let stat = match fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(failed(error, what)),
        };
        if (stat.st_dev, stat.st_ino) == (*dev, *ino) {
            return Ok(Some((dir, name, stat)));
        }
        // What is below a mount of our own cannot be told to be ours, and would stay without a word.
        match is_mount(dir, name) {
            false => Ok(None),
            true => Err(failed(Errno::EBUSY, what)
                .why(format!("something is mounted on {}", path.display()))
                .help(format!(
                    "see to {} by hand; put the phase that mounts over it before",
                    path.display()
                ))),
        }
    }

    /// The empty log for ourselves. Where the daemon was killed, what it had just forked may have it open for a
    /// moment more.
    fn alone_with(&self, dir: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
        let until = process::monotonic().saturating_add(FORKED_NS);
        loop {
            match crate::log::alone(dir, name) {
                Ok(None) if self.gone.is_some() && process::monotonic() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                known => return known,
            }
        }
    }
}

/// A handle that did not arrive: no descriptor was free for it.
fn lost(what: &str, path: &Path) -> SystemError {
    SystemError::new(format!("{what}: the handle of its directory was lost"))
        .why("too many descriptors are open, or too many are on their way (RLIMIT_NOFILE)")
        .help(format!("remove {} by hand", path.display()))
}
