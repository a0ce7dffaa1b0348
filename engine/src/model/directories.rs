//! Directories that a start makes: mkdir(2), rmdir(2).

use super::files::EEXIST;
use super::named::Made;
use super::paths::ENOTDIR;
use super::{Model, irregular};
use crate::effect::{Done, Owner, SystemError, Undo};
use std::path::{Path, PathBuf};

/// A directory that a phase is to have.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// the path it was asked for with
    asked: PathBuf,
    made: Made,
}

impl Model {
    pub(super) fn make_directory(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
        any_owner: bool,
    ) -> Result<Done, SystemError> {
        let what = format!("make directory {}", path.display());
        let at = self.files.parent(&self.identity, path).map_err(|e| e.of(&what))?;
        self.files.may_be_named(&at).map_err(|e| e.of(&what))?;
        let Some(node) = self.files.get(&at) else {
            self.files.make_directory(&self.identity, &at, mode).map_err(|e| e.of(&what))?;
            if let Err(error) = self.give(&at, owner, &what) {
                // Taken away again, as far as that is allowed.
                let _ = self.files.unlink(&self.identity, &at);
                return Err(error);
            }
            self.have_directory(path, &at);
            return Ok(Done::with(self.undo_of(&at, path, false)));
        };
        if node.is_symlink() {
            return Err(irregular(&at, node, &what));
        }
        if !node.is_dir() {
            let error = SystemError::errno(ENOTDIR, what);
            return Err(error
                .why(format!("{} is no directory", at.display()))
                .help("remove it, or name another"));
        }
        if let Some(owner) = owner.filter(|o| !any_owner && o.uid != node.uid) {
            return Err(SystemError::errno(EEXIST, what)
                .why(format!("{} is there, and belongs to {}:{}", at.display(), node.uid, node.gid))
                .help(format!(
                    "give it away (chown {}:{} {}), or name another",
                    owner.uid,
                    owner.gid,
                    at.display()
                )));
        }
        self.have_directory(path, &at);
        Ok(Done::with(Undo::Nothing))
    }

    fn have_directory(&mut self, path: &Path, at: &Path) {
        self.directories.push(Directory { asked: path.to_owned(), made: self.known_file(at) });
        self.known.directories = self.directories.len();
    }

    /// By handle, as a PID file is removed.
    pub(super) fn remove_directory(&mut self, path: &Path) -> Result<Done, SystemError> {
        if let Some(made) = self.directories[..self.known.directories]
            .iter()
            .rev()
            .find(|d| d.asked == path)
            .map(|d| d.made.clone())
        {
            self.take_away(&made, &format!("remove directory {}", path.display()))?;
        }
        Ok(Done::with(Undo::Never))
    }
}
