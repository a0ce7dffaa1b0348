//! Mounts of its own: mount(2), open_tree(2), move_mount(2).

use super::Model;
use super::files::{ENOENT, Node, Refusal};
use super::paths::ENOTDIR;
use super::view::{Private, Tree};
use crate::effect::{Cover, Done, Identity, Mounting, SystemError, Undo};
use crate::snapshot::FileKind;
use std::path::{Path, PathBuf};

const EBUSY: i32 = 16;
const NOT_FRESH: &str = "a link is made only in a place that was made temporary";

impl Model {
    /// First what is to be shown is taken as it is, then each is put in its place.
    pub(super) fn mount(&mut self, mounts: &[Mounting]) -> Result<Done, SystemError> {
        self.own_mounts("mount")?;
        let done = self.mount_all(mounts);
        self.enter_again();
        done
    }

    fn mount_all(&mut self, mounts: &[Mounting]) -> Result<Done, SystemError> {
        let mut done = Done::with(Undo::EndsWithProcess);
        let mut taken: Vec<Option<(bool, Tree)>> = Vec::new();
        let mut skipped = vec![false; mounts.len()];
        for (mounting, skip) in mounts.iter().zip(&mut skipped) {
            let Some(source) = mounting.source() else {
                taken.push(None);
                continue;
            };
            taken.push(match self.files.resolve(&self.identity, source) {
                Ok(at) => {
                    let directory = self.files.get(&at).is_some_and(Node::is_dir);
                    Some((directory, self.files.view.tree(&at, mounting.read_only())))
                }
                Err(refusal) if mounting.optional && refusal.errno() == ENOENT => {
                    *skip = true;
                    None
                }
                Err(refusal) => return Err(refusal.of(&said(mounting))),
            });
        }
        for (n, (mounting, tree)) in mounts.iter().zip(taken).enumerate() {
            if !skipped[n] && !self.put(mounting, tree, &mounts[..n])? {
                skipped[n] = true;
            }
            if skipped[n] {
                done = done
                    .note(format!("{} is not there", mounting.source().unwrap_or(&mounting.at).display()));
            }
        }
        Ok(done)
    }

    /// False where it is passed over.
    fn put(
        &mut self,
        mounting: &Mounting,
        tree: Option<(bool, Tree)>,
        before: &[Mounting],
    ) -> Result<bool, SystemError> {
        let refused = |e: Refusal| e.of(&said(mounting));
        let fresh = before.iter().any(|b| b.is_fresh() && mounting.at.starts_with(&b.at));
        if let Cover::Link { to } = &mounting.cover {
            if !fresh {
                return Err(SystemError::new(said(mounting)).why(NOT_FRESH));
            }
            let who = Identity { umask: 0, ..self.identity.clone() };
            let at = self.files.parent(&who, &mounting.at).map_err(refused)?;
            self.files.make(&who, &at, FileKind::Symlink(to.clone()), 0o777).map_err(refused)?;
            return Ok(true);
        }
        let found = self.files.resolve(&self.identity, &mounting.at);
        let at = match found {
            Ok(at) => at,
            Err(e) if e.errno() == ENOENT => match (&tree, fresh) {
                (Some((directory, _)), true) => self.make_place(&mounting.at, *directory).map_err(refused)?,
                _ if mounting.optional => return Ok(false),
                _ => return Err(refused(e)),
            },
            Err(e) => return Err(refused(e)),
        };
        let directory = self.files.get(&at).is_some_and(Node::is_dir);
        if at == self.identity.root && !matches!(mounting.cover, Cover::ReadOnly | Cover::ReadWrite) {
            return Err(SystemError::errno(EBUSY, said(mounting)).why("this is the root directory itself"));
        }
        if at == self.identity.root {
            self.root_is_a_mount(&said(mounting))?;
        }
        let tree = match tree {
            Some((is_directory, _)) if is_directory != directory => {
                return Err(SystemError::errno(ENOTDIR, said(mounting))
                    .why("one of the two is a directory, and the other is none")
                    .help("mount a directory on a directory, and a file on a file"));
            }
            Some((_, tree)) => tree,
            None => match &mounting.cover {
                Cover::Temporary { .. } if !directory => {
                    return Err(SystemError::errno(ENOTDIR, said(mounting))
                        .why(format!("{} is no directory", at.display())));
                }
                Cover::Temporary { mode, .. } => self.fresh(&at, FileKind::Directory, *mode, false),
                _ if directory => self.fresh(&at, FileKind::Directory, 0, true),
                _ => self.fresh(&at, FileKind::File, 0, true),
            },
        };
        self.files.view.put(&at, tree);
        if at == self.identity.root {
            self.files.view.pivot(&at);
        }
        Ok(true)
    }

    /// A file system in memory, with nothing in it.
    fn fresh(&mut self, at: &Path, kind: FileKind, mode: u32, closed: bool) -> Tree {
        let kept = self.files.view.fresh(at, &self.files);
        let (uid, gid) = (self.identity.uid[1], self.identity.gid[1]);
        self.files.keep(kept.clone(), Node { kind, uid, gid, mode });
        vec![(PathBuf::new(), Private { kept, read_only: closed, noexec: closed })]
    }

    /// A place in a file system that was just made, for what is to be mounted there.
    fn make_place(&mut self, path: &Path, directory: bool) -> Result<PathBuf, Refusal> {
        let who = Identity { umask: 0, ..self.identity.clone() };
        let mut missing: Vec<&Path> = Vec::new();
        for dir in path.ancestors().skip(1) {
            match self.files.resolve(&who, dir) {
                Ok(_) => break,
                Err(e) if e.errno() == ENOENT => missing.push(dir),
                Err(e) => return Err(e),
            }
        }
        for dir in missing.iter().rev() {
            let at = self.files.parent(&who, dir)?;
            self.files.make_directory(&who, &at, 0o755)?;
        }
        let at = self.files.parent(&who, path)?;
        match directory {
            true => self.files.make_directory(&who, &at, 0o755)?,
            false => self.files.create(&who, &at, 0o444)?,
        }
        Ok(at)
    }

    /// Nobody is left standing below what was covered.
    fn enter_again(&mut self) {
        if !self.identity.cwd.is_absolute() {
            return;
        }
        let cwd = self.identity.cwd.clone();
        for path in [cwd.as_path(), Path::new("/")] {
            if let Ok(at) = self.files.directory(&self.identity, path) {
                self.identity.cwd = self.files.seen(&self.identity.root, &at);
                return;
            }
        }
    }
}

fn said(mounting: &Mounting) -> String {
    format!("mount {mounting}")
}
