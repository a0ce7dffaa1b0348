//! Directories that a start makes: mkdir(2), rmdir(2).

use super::{EEXIST, ENOTDIR, Model, irregular};
use crate::effect::{Done, Owner, SystemError, Undo};
use std::path::Path;

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
        let Some(node) = self.files.get(&at) else {
            self.files.make_directory(&self.identity, &at, mode).map_err(|e| e.of(&what))?;
            self.give(&at, owner, &what)?;
            return Ok(Done::with(self.remove(&at, path, false)));
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
        self.made.push((path.to_owned(), at));
        Ok(Done::with(Undo::Nothing))
    }

    /// By handle, as a PID file is removed.
    pub(super) fn remove_directory(&mut self, path: &Path) -> Result<Done, SystemError> {
        let made = self.made.iter().rev().find(|(asked, _)| asked == path).map(|(_, at)| at.clone());
        if let Some(at) = made
            && self.files.get(&at).is_some()
            && self.files.is_empty(&at)
        {
            let what = format!("remove directory {}", path.display());
            self.files.unlink(&self.identity, &at).map_err(|e| e.of(&what))?;
        }
        Ok(Done::with(Undo::Never))
    }
}
