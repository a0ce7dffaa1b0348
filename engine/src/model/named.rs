//! The log and the PID file: opened, made, given away, removed, each step as the host takes it.

use super::files::{Access, EBUSY, EEXIST, ENOENT, Refusal};
use super::{Model, irregular};
use crate::effect::{Capability, Done, Effect, ErrorKind, Handle, Owner, SystemError, Undo, outside};
use crate::snapshot::FileKind;
use std::path::{Path, PathBuf};

const ELOOP: i32 = 40;
const EISDIR: i32 = 21;
const ENXIO: i32 = 6;

/// A file that was made by this run, and what it is known by afterwards.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// where its name is kept
    at: PathBuf,
    /// another file of that name is not it
    birth: u64,
    /// the place that was read-only when its directory was opened: it stays so for that handle
    sealed: Option<PathBuf>,
    /// its directory was opened in a mount namespace of its own: where that is kept which was seen under the name
    seen: Option<PathBuf>,
}

/// A PID file of this run: it is locked as long as the daemon lives.
#[derive(Clone, Debug)]
pub(super) struct PidFile {
    /// the path it was asked for with
    asked: PathBuf,
    made: Made,
}

/// The name of a socket of this run.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// the path it was asked for with
    pub(super) asked: PathBuf,
    pub(super) made: Made,
}

/// How many of the PID files, directories and sockets of the run a process has handles of: the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) pid_files: usize,
    pub(super) directories: usize,
    pub(super) sockets: usize,
}

impl Model {
    /// PID files that were made and are still there: the path asked for.
    pub fn pid_files(&self) -> impl Iterator<Item = &Path> {
        self.pid_files.iter().filter(|p| self.is_there(&p.made)).map(|p| p.asked.as_path())
    }

    /// Whether that very file is still there.
    pub(super) fn is_there(&self, made: &Made) -> bool {
        self.files.birth_kept(&made.at) == made.birth && self.files.get_kept(&made.at).is_some()
    }

    pub(super) fn open_log(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
    ) -> Result<Done, SystemError> {
        let what = format!("open log {}", path.display());
        let at = self.files.parent(&self.identity, path).map_err(|e| e.of(&what))?;
        self.files.may_be_named(&at).map_err(|e| e.of(&what))?;
        let made = match self.files.get(&at) {
            Some(node) if !node.is_file() => {
                let refused = SystemError { errno: None, ..irregular(&at, node, &what) };
                return Err(match at == Path::new("/dev/null") {
                    true => refused.help("have no log (`--logfile=` in the shipped specs), or name a file"),
                    false => refused,
                });
            }
            Some(_) => {
                self.files.may(&self.identity, &at, Access::Write).map_err(|e| e.of(&what))?;
                self.not_named_by_others(&at, &what)?;
                false
            }
            None => {
                self.files.create(&self.identity, &at, mode).map_err(|e| e.of(&what))?;
                true
            }
        };
        let before = self.files.get(&at).map(|node| Owner { uid: node.uid, gid: node.gid });
        let given = match made {
            true => Ok(()),
            false => self.may_take(&at, owner, &what).and_then(|()| self.has_one_name(&at, owner, &what)),
        };
        if let Err(error) = given.and_then(|()| self.give(&at, owner, &what)) {
            if made {
                self.files.forget(&at);
            }
            return Err(error);
        }
        if made {
            return Ok(Done::with(self.undo_of(&at, path, true)));
        }
        let Some(was) = before.filter(|was| owner.is_some_and(|owner| owner != *was)) else {
            return Ok(Done::with(Undo::Nothing));
        };
        let handle = self.handle_of(&at);
        let path = outside(&self.identity.root, path);
        Ok(Done::with(Undo::Effect(Box::new(Effect::GiveBack { handle, path, owner: was }))))
    }

    /// Undo of a file that was given away.
    pub(super) fn give_back(
        &mut self,
        handle: Handle,
        path: &Path,
        owner: Owner,
    ) -> Result<Done, SystemError> {
        let Some(made) = self.made.get(handle.0 as usize).cloned() else {
            return Ok(Done::with(Undo::Nothing));
        };
        let what = format!("give {} back to {}:{}", path.display(), owner.uid, owner.gid);
        if self.is_still(&made, &what)? {
            if let Some(place) = &made.sealed {
                return Err(super::mounts::sealed(place).of(&what));
            }
            self.give(&made.at, Some(owner), &what)?;
        }
        Ok(Done::with(Undo::Nothing))
    }

    /// Root uses no file that somebody else may have given this name to.
    fn not_named_by_others(&self, at: &Path, what: &str) -> Result<(), SystemError> {
        let root = self.identity.uid[1] == 0;
        match self.files.named_by_others(&self.identity, at, at).filter(|_| root) {
            None => Ok(()),
            Some(why) => Err(SystemError::new(format!("{what}: it has another name, too"))
                .why(why)
                .help("remove this name, or let root own the directory")),
        }
    }

    /// Root gives no file away that has another name: it would be given away under that as well.
    fn has_one_name(&self, at: &Path, owner: Option<Owner>, what: &str) -> Result<(), SystemError> {
        let (Some(owner), Some(node), Some(names)) = (owner, self.files.get(at), self.files.names_of(at))
        else {
            return Ok(());
        };
        if self.identity.uid[1] != 0 || (node.uid, node.gid) == (owner.uid, owner.gid) {
            return Ok(());
        }
        Err(SystemError::new(format!("{what}: it would be given to {}:{}", owner.uid, owner.gid))
            .why(format!("{} has {names} names, and would be given away under each of them", at.display()))
            .help(format!(
                "remove the others (`find / -xdev -samefile {}` shows them), or name another log",
                at.display()
            )))
    }

    /// An old log of somebody else is given away only where nobody but root can have put it there.
    fn may_take(&self, at: &Path, owner: Option<Owner>, what: &str) -> Result<(), SystemError> {
        let (Some(owner), Some(node)) = (owner, self.files.get(at)) else { return Ok(()) };
        let kept = &*self.files.kept(at);
        let found = self.files.birth_kept(kept) == 0 && self.logs.contains_key(kept);
        let old = found || self.pid_files.iter().any(|p| p.made.at == kept && self.is_there(&p.made));
        let ours = [0, self.identity.uid[1]].contains(&node.uid) && !self.files.is_open(&self.identity, at);
        if !old || ours || node.uid == owner.uid {
            return Ok(());
        }
        Err(SystemError::errno(EEXIST, what)
            .why(format!(
                "{} is there, has something in it, and belongs to {}:{}",
                at.display(),
                node.uid,
                node.gid
            ))
            .help(format!(
                "give it away (chown {}:{} {}), or name another",
                owner.uid,
                owner.gid,
                at.display()
            )))
    }

    pub(super) fn give(&mut self, at: &Path, owner: Option<Owner>, what: &str) -> Result<(), SystemError> {
        let Some(owner) = owner else { return Ok(()) };
        let Some(node) = self.files.get(at) else { return Ok(()) };
        if (node.uid, node.gid) == (owner.uid, owner.gid) {
            return Ok(());
        }
        self.files.may_give(&self.identity, at, owner).map_err(|e| e.of(what))?;
        let own = node.uid == self.identity.uid[1];
        let member = node.gid == owner.gid || self.files.in_group(&self.identity, owner.gid);
        if !(self.has(Capability::Chown) || own && node.uid == owner.uid && member) {
            return Err(
                self.denied(Capability::Chown, format!("{what}: give it to {}:{}", owner.uid, owner.gid))
            );
        }
        // The kernel asks whether the mode may be changed, where set-id bits go with the owner.
        if self.files.set_ids_lost(&self.identity, at) != 0 && !own && !self.has(Capability::Fowner) {
            let what = format!("{what}: give it to {}:{}", owner.uid, owner.gid);
            return Err(self.denied(Capability::Fowner, what));
        }
        self.files.chown(&self.identity, at, owner);
        Ok(())
    }

    /// What takes back that a file was made.
    pub(super) fn undo_of(&mut self, at: &Path, path: &Path, only_if_empty: bool) -> Undo {
        let handle = self.handle_of(at);
        let path = outside(&self.identity.root, path);
        Undo::Effect(Box::new(Effect::Remove { handle, path, only_if_empty }))
    }

    fn handle_of(&mut self, at: &Path) -> Handle {
        let made = self.known_file(at);
        self.made.push(made);
        let handle = Handle(self.made.len() as u32 - 1);
        self.made_by_runner(handle);
        handle
    }

    pub(super) fn check_pid_file(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("check PID file {}", path.display());
        let nothing = Ok(Done::with(Undo::Nothing));
        let at = match self.files.parent(&self.identity, path) {
            Ok(at) => at,
            Err(refusal) if refusal.errno() == ENOENT => return nothing,
            Err(refusal) => return Err(refusal.of(&what)),
        };
        self.files.may_be_named(&at).map_err(|e| e.of(&what))?;
        if self.files.get(&at).is_none() {
            return nothing;
        }
        self.believable(&at, Access::Read, &what)?;
        self.clear_stale(&at, &what)?;
        nothing
    }

    /// Whether what stands there can be opened as a PID file, and is not that of a running daemon.
    fn believable(&self, at: &Path, access: Access, what: &str) -> Result<(), SystemError> {
        let Some(node) = self.files.get(at) else { return Ok(()) };
        let refused = |errno| SystemError { errno, ..irregular(at, node, what) };
        match &node.kind {
            FileKind::Symlink(_) => return Err(refused(Some(ELOOP))),
            FileKind::Directory if access != Access::Read => return Err(refused(Some(EISDIR))),
            _ => self.files.may(&self.identity, at, access).map_err(|e| e.of(what))?,
        }
        match &node.kind {
            FileKind::File => {}
            FileKind::Other if self.network.is_socket(&self.files.view.kept(at)) => {
                return Err(refused(Some(ENXIO)));
            }
            _ => return Err(refused(None)),
        }
        // What is only to be replaced is not believed.
        if access == Access::Read {
            self.not_named_by_others(at, what)?;
        }
        let (birth, kept) = (self.files.birth(at), self.files.view.kept(at));
        if self.pid_files.iter().any(|p| p.made.at == *kept && p.made.birth == birth) {
            return Err(SystemError::new(format!(
                "already running: this very start holds the lock of {}",
                at.display()
            ))
            .kind(ErrorKind::AlreadyRunning)
            .help("check a PID file before it is made, and make it once"));
        }
        Ok(())
    }

    fn clear_stale(&mut self, at: &Path, what: &str) -> Result<(), SystemError> {
        if self.files.get(at).is_none() {
            return Ok(());
        }
        self.believable(at, Access::ReadWrite, what)?;
        let kept = self.files.view.kept(at);
        if let Some(size) = self.long_files.get(&*kept).filter(|_| self.files.birth(at) == 0) {
            return Err(SystemError::new(format!(
                "{what}: {} has {size} bytes, so it is no PID file",
                at.display()
            ))
            .help("name another --pidfile, or remove the file by hand"));
        }
        self.files.unlink(&self.identity, at).map_err(|e| e.of(what))
    }

    /// Made under another name, locked, written, given its own name, given away.
    pub(super) fn create_pid_file(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
    ) -> Result<Done, SystemError> {
        let what = format!("create PID file {}", path.display());
        let refused = |e: Refusal| e.of(&what);
        let at = self.files.parent(&self.identity, path).map_err(refused)?;
        self.files.may_make_names(&self.identity, &at).map_err(refused)?;
        self.files.may_be_named(&at).map_err(refused)?;
        self.clear_stale(&at, &what)?;
        self.files.create(&self.identity, &at, mode).map_err(refused)?;
        self.files.written(&self.identity, &at);
        if let Err(error) = self.give(&at, owner, &what) {
            self.files.forget(&at);
            return Err(error);
        }
        let undo = self.undo_of(&at, path, false);
        let made = self.known_file(&at);
        self.pid_files.push(PidFile { asked: path.to_owned(), made });
        self.known.pid_files = self.pid_files.len();
        Ok(Done::with(undo))
    }

    /// By its handle, if this run has made it; another is left alone.
    pub(super) fn remove_pid_file(&mut self, path: &Path) -> Result<Done, SystemError> {
        if let Some(made) = self.pid_files[..self.known.pid_files]
            .iter()
            .rev()
            .find(|p| p.asked == path)
            .map(|p| p.made.clone())
        {
            self.take_away(&made, &format!("remove PID file {}", path.display()))?;
        }
        Ok(Done::with(Undo::Never))
    }

    /// Undo of a file that was made. A log that is not ours to write to is not known to be empty.
    pub(super) fn remove(
        &mut self,
        handle: Handle,
        path: &Path,
        only_if_empty: bool,
    ) -> Result<Done, SystemError> {
        let done = Ok(Done::with(Undo::Nothing));
        let Some(made) = self.made.get(handle.0 as usize).cloned() else { return done };
        let what = format!("remove {}", path.display());
        if only_if_empty
            && self.is_still(&made, &what)?
            && self.files.may(&self.identity, &made.at, Access::Write).is_err()
        {
            return done;
        }
        self.take_away(&made, &what)?;
        done
    }

    /// Whether what was made still has its name, by the handle of its directory: not to be told where something
    /// was mounted on it in the namespace of that handle.
    fn is_still(&self, made: &Made, what: &str) -> Result<bool, SystemError> {
        let dir = made.at.parent().unwrap_or(Path::new("/"));
        self.files.may(&self.identity, dir, Access::Execute).map_err(|e| e.of(what))?;
        match (&made.seen, self.own_view().covers(&made.at)) {
            (Some(seen), Some(now)) if seen != now => {
                let why = format!("something is mounted on {}", made.at.display());
                Err(Refusal::new(EBUSY, why).of(what))
            }
            _ => Ok(self.is_there(made)),
        }
    }

    /// What is known of a file at a resolved path.
    pub(super) fn known_file(&self, at: &Path) -> Made {
        let name = self.files.view.name(at);
        Made {
            birth: self.files.birth_kept(&name),
            seen: self.files.view.is_own().then(|| self.files.view.covers(&name).unwrap_or(&name).to_owned()),
            at: name,
            sealed: self.files.view.read_only(at.parent().unwrap_or(at)).map(Path::to_owned),
        }
    }

    /// A directory that is not empty stays.
    pub(super) fn take_away(&mut self, made: &Made, what: &str) -> Result<(), SystemError> {
        if !self.is_still(made, what)? {
            return Ok(());
        }
        if let Some(place) = &made.sealed {
            return Err(super::mounts::sealed(place).of(what));
        }
        self.files.may_unlink(&self.identity, &made.at).map_err(|e| e.of(what))?;
        if self.files.is_empty(&made.at) {
            self.files.forget(&made.at);
        }
        Ok(())
    }
}
