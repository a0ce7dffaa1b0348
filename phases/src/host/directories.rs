//! Directories that a start makes, and the environment that it leaves to the program.

use super::protocol::Held;
use super::{Host, draft, pid_file};
use crate::sys::{environment, failed, identity, io_failed, walk};
use engine::effect::{
    Capability, Done, Effect, Environment, Flaw, Owner, SystemError, Undo, environment_matches,
    parse_environment,
};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

impl Host {
    pub(super) fn make_directory(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
        any_owner: bool,
    ) -> Result<Done, SystemError> {
        let what = format!("make directory {}", path.display());
        let (dir, name) = pid_file::open_parent(path).map_err(|mut e| {
            e.message = e.message.replacen("open the directory", &format!("{what}: open"), 1);
            e
        })?;
        let cleared = clear_drafts(&dir, &name, owner, None);
        let (found, made) = match self.new_directory(&dir, &name, owner, mode, &what)? {
            Some(stat) => (stat, true),
            None => (found_directory(&dir, &name, owner.filter(|_| !any_owner), path, &what)?, false),
        };
        let handle = self.keep(Held::File { dir, name, dev: found.st_dev, ino: found.st_ino });
        self.directories.push((path.to_owned(), handle));
        let done = match made {
            true => Done::with(Undo::Effect(Box::new(Effect::Remove {
                handle,
                path: self.outside(path),
                only_if_empty: false,
            }))),
            false => Done::with(Undo::Nothing).note(format!("{} is there", path.display())),
        };
        Ok(cleared.into_iter().fold(done, Done::note))
    }

    /// Makes the directory, unless something has that name: `None`. What is to be another's is made under a
    /// name of its own and gets this one when it has been given away: whoever is killed in between leaves
    /// nothing that the next start would take for a stranger's.
    fn new_directory(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        owner: Option<Owner>,
        mode: u32,
        what: &str,
    ) -> Result<Option<FileStat>, SystemError> {
        let mode = Mode::from_bits_truncate(mode);
        if owner.is_some()
            && look(dir, name) == Err(Errno::ENOENT)
            && may_rename_anothers(dir)
            && let Ok(((), draft)) = draft::make(name, |draft| mkdirat(dir, draft, mode))
        {
            let stat = self.give_directory(dir, &draft, owner, what)?;
            match renameat2(dir, draft.as_os_str(), dir, name, RenameFlags::RENAME_NOREPLACE) {
                Ok(()) => {
                    let named = look(dir, name).map_err(|e| {
                        // The effect did not come about, so nobody else takes it back.
                        let _ = unlinkat(dir, name, UnlinkatFlags::RemoveDir);
                        failed(e, what)
                    })?;
                    return match (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino) {
                        true => Ok(Some(stat)),
                        false => Err(exchanged(what)),
                    };
                }
                Err(error) => {
                    let gone = unlinkat(dir, draft.as_os_str(), UnlinkatFlags::RemoveDir);
                    if let Err(left) = gone.or_else(|e| if e == Errno::ENOENT { Ok(()) } else { Err(e) }) {
                        return Err(failed(error, what)
                            .why(format!("{} cannot be removed either: {left}", draft.display()))
                            .help(format!("remove {} beside it by hand", draft.display())));
                    }
                    match error {
                        Errno::EEXIST => return Ok(None),
                        // A file system that only knows how to replace: there it is made in its place.
                        Errno::EINVAL | Errno::ENOSYS => {}
                        error => return Err(failed(error, what)),
                    }
                }
            }
        }
        match mkdirat(dir, name, mode) {
            Ok(()) => self.give_directory(dir, name, owner, what).map(Some),
            Err(Errno::EEXIST) => Ok(None),
            Err(error) => Err(failed(error, what)),
        }
    }

    /// Gives the directory that was just made away, by its descriptor: what has its name may be another's
    /// by now, and is then left alone.
    fn give_directory(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        owner: Option<Owner>,
        what: &str,
    ) -> Result<FileStat, SystemError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let give = || -> Result<FileStat, SystemError> {
            let new = openat(dir, name, flags, Mode::empty()).map_err(|e| failed(e, what))?;
            let stat = fstat(&new).map_err(|e| failed(e, what))?;
            if stat.st_uid != nix::unistd::geteuid().as_raw() {
                return Err(exchanged(what));
            }
            if let Some(owner) = owner.filter(|o| (o.uid, o.gid) != (stat.st_uid, stat.st_gid)) {
                // Another directory of ours with something in it would be given away with all that is below it.
                // By the mode that it was made with it may be closed to whoever is bound by modes.
                if is_empty(&new) == Ok(false) {
                    return Err(exchanged(what));
                }
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                fchownat(&new, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH).map_err(|e| {
                    let error = failed(e, format!("{what}: give it to {}:{}", owner.uid, owner.gid));
                    if e == Errno::EPERM { error.lacks(Capability::Chown) } else { error }
                })?;
            }
            Ok(stat)
        };
        give().inspect_err(|_| {
            let _ = unlinkat(dir, name, UnlinkatFlags::RemoveDir);
        })
    }

    pub(super) fn remove_directory(&mut self, path: &Path) -> Result<Done, SystemError> {
        let Some(handle) = self.directories.iter().rev().find(|(p, _)| p == path).map(|(_, handle)| *handle)
        else {
            return Ok(Done::with(Undo::Never).note(format!("{} was not made by this run", path.display())));
        };
        self.remove(handle, path, false).map(|mut done| {
            done.undo = Undo::Never;
            done
        })
    }

    pub(super) fn set_environment(&mut self, wanted: &Environment) -> Result<Done, SystemError> {
        let mut all: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                wanted.keep.iter().any(|pattern| environment_matches(pattern, &name))
            })
            .collect();
        for path in &wanted.files {
            let read = variables(path)?.map_err(|flaw| flaw.of(path))?;
            all.extend(read.into_iter().map(|(name, value)| (name.into(), value.into())));
        }
        all.extend(wanted.set.iter().map(|(name, value)| (name.into(), value.into())));
        let count = environment::replace(all);
        Ok(Done::with(Undo::EndsWithProcess)
            .note(format!("the program gets {}", engine::text::count(count, "variable"))))
    }
}

fn look(dir: &OwnedFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn exchanged(what: &str) -> SystemError {
    SystemError::new(format!("{what}: somebody put another in its place"))
        .help("choose a parent directory that nobody else may write")
}

/// Whether what was given away can still be renamed in this directory. In a sticky one that is another's
/// only CAP_FOWNER lets that be done (rename(2), EPERM).
fn may_rename_anothers(dir: &OwnedFd) -> bool {
    let sticky = |stat: FileStat| {
        stat.st_mode & nix::libc::S_ISVTX != 0 && stat.st_uid != nix::unistd::geteuid().as_raw()
    };
    fstat(dir).is_ok_and(|stat| !sticky(stat))
        || identity::capabilities().is_ok_and(|caps| caps.has(Capability::Fowner))
}

/// Removes what starts that were killed have left of this directory; a line for each.
pub(super) fn clear_drafts(
    dir: &OwnedFd,
    name: &OsStr,
    owner: Option<Owner>,
    dead: Option<i32>,
) -> Vec<String> {
    let ours = |uid| uid == nix::unistd::geteuid().as_raw() || owner.is_some_and(|o| o.uid == uid);
    let cleared = draft::clear(dir, name, dead, |draft| {
        let theirs =
            |stat: FileStat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR && ours(stat.st_uid);
        // rmdir(2) takes an empty one only.
        look(dir, draft).is_ok_and(theirs) && unlinkat(dir, draft, UnlinkatFlags::RemoveDir).is_ok()
    });
    cleared.iter().map(|draft| draft::note(draft)).collect()
}

/// Whether there is nothing in a directory.
fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = nix::dir::Dir::openat(dir, ".", flags, Mode::empty())?;
    for entry in entries.iter() {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The variables of a regular file; nothing else is waited for or read without an end. What it says is handed to
/// the program, so a privileged process reads by a way that no stranger can turn, and no link in the last
/// place that is another's than what it leads to: it would hand out what only root may read.
pub fn variables(path: &Path) -> Result<Result<Vec<(String, String)>, Flaw>, SystemError> {
    let what = || format!("read the environment file {}", path.display());
    let file = File::from(walk::file(path).map_err(|refused| refused.about(what()))?);
    let meta = file.metadata().map_err(|e| io_failed(&e, what()))?;
    match meta.file_type() {
        kind if kind.is_dir() => return Err(failed(Errno::EISDIR, what())),
        kind if !kind.is_file() => return Err(failed(Errno::EINVAL, what())),
        _ if meta.len() > Flaw::LARGEST => return Ok(Err(Flaw::Large(meta.len()))),
        _ => {}
    }
    let mut text = Vec::new();
    file.take(Flaw::LARGEST).read_to_end(&mut text).map_err(|e| io_failed(&e, what()))?;
    Ok(parse_environment(&text))
}

/// What is there already: a directory, of the owner that it must have, and no link to one.
fn found_directory(
    dir: &OwnedFd,
    name: &OsString,
    owner: Option<Owner>,
    path: &Path,
    what: &str,
) -> Result<FileStat, SystemError> {
    let stat = fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|e| failed(e, what))?;
    match stat.st_mode & nix::libc::S_IFMT {
        nix::libc::S_IFDIR => {}
        nix::libc::S_IFLNK => {
            return Err(failed(Errno::ELOOP, what)
                .why(format!("{} is a symbolic link, and none is followed in the last place", path.display()))
                .help("name the directory that it leads to"));
        }
        _ => {
            return Err(failed(Errno::ENOTDIR, what)
                .why(format!("{} is no directory", path.display()))
                .help("remove it, or name another"));
        }
    }
    match owner.filter(|o| o.uid != stat.st_uid) {
        None => Ok(stat),
        Some(owner) => Err(failed(Errno::EEXIST, what)
            .why(format!("{} is there, and belongs to {}:{}", path.display(), stat.st_uid, stat.st_gid))
            .help(format!(
                "give it away (chown {}:{} {}), or name another",
                owner.uid,
                owner.gid,
                path.display()
            ))),
    }
}
