//! Mounts of its own: mount(2), open_tree(2), move_mount(2).

use super::Model;
use super::files::{ENOENT, Node, Refusal};
use super::namespaces::relative;
use super::paths::ENOTDIR;
use super::view::{Private, Tree};
use crate::effect::{Cover, Done, Identity, Mounting, SystemError, Undo};
use crate::snapshot::FileKind;
use std::path::{Path, PathBuf};

const EBUSY: i32 = 16;

impl Model {
    /// First what is to be shown is taken as it is, then each is put in its place.
    pub(super) fn mount(&mut self, mounts: &[Mounting]) -> Result<Done, SystemError> {
        self.own_mounts("mount")?;
        let done = self.mount_all(mounts);
        self.enter_again();
        done
    }

    fn mount_all(&mut self, mounts: &[Mounting]) -> Result<Done, SystemError> {
        if let Some((mounting, path)) = mounts.iter().find_map(|m| Some((m, m.relative()?))) {
            return Err(relative(&said(mounting), path));
        }
        let mut taken: Vec<Option<(bool, Tree)>> = Vec::new();
        for mounting in mounts {
            let Some(source) = mounting.source() else {
                taken.push(None);
                continue;
            };
            taken.push(match self.files.resolve(&self.identity, source) {
                Ok(at) => {
                    let directory = self.files.get(&at).is_some_and(Node::is_dir);
                    Some((directory, self.files.view.tree(&at, mounting.read_only())))
                }
                Err(refusal) if mounting.optional && refusal.errno() == ENOENT => None,
                Err(refusal) => return Err(refusal.of(&said(mounting))),
            });
        }
        let mut done = Done::with(Undo::EndsWithProcess);
        let mut places: Vec<(usize, PathBuf)> = Vec::new();
        for (n, (mounting, tree)) in mounts.iter().zip(taken).enumerate() {
            let absent = mounting.source().is_some() && tree.is_none();
            let inside =
                mounting.made_in(places.iter().map(|(n, _)| (*n, &mounts[*n]))).and_then(|(n, rest)| {
                    let (_, top) = places.iter().find(|(number, _)| *number == n)?;
                    Some((top.clone(), rest))
                });
            let at = if absent { None } else { self.put(mounting, tree, inside)? };
            match at {
                Some(at) => places.push((n, at)),
                None => {
                    let path = mounting.source().unwrap_or(&mounting.at);
                    done = done.note(format!("{} is not there", path.display()));
                }
            }
        }
        Ok(done)
    }

    /// Answers where; `None` where it is passed over. `inside`: the place below which names can be made, and those.
    fn put(
        &mut self,
        mounting: &Mounting,
        tree: Option<(bool, Tree)>,
        inside: Option<(PathBuf, PathBuf)>,
    ) -> Result<Option<PathBuf>, SystemError> {
        let refused = |e: Refusal| e.of(&said(mounting));
        if let Cover::Link { to } = &mounting.cover {
            let Some((top, rest)) = inside else {
                let why = "a link is made only in a place that was made temporary";
                return Err(SystemError::new(said(mounting)).why(why));
            };
            return self.link(&top.join(rest), to).map(Some).map_err(refused);
        }
        let found = self.files.resolve(&self.identity, &mounting.at);
        let at = match found {
            Ok(at) => at,
            Err(e) if e.errno() == ENOENT => match (&tree, inside) {
                (Some((directory, _)), Some((top, rest))) => {
                    self.make_place(top, &rest, *directory).map_err(refused)?
                }
                _ if mounting.optional => return Ok(None),
                _ => return Err(refused(e)),
            },
            Err(e) => return Err(refused(e)),
        };
        let directory = self.files.get(&at).is_some_and(Node::is_dir);
        let is_root = at == self.identity.root;
        if is_root && !matches!(mounting.cover, Cover::ReadOnly | Cover::ReadWrite) {
            return Err(SystemError::errno(EBUSY, said(mounting)).why("this is the root directory itself"));
        }
        if is_root {
            self.root_is_a_mount(&said(mounting))?;
        }
        if tree.as_ref().is_some_and(|(is_directory, _)| *is_directory != directory) {
            return Err(SystemError::errno(ENOTDIR, said(mounting))
                .why("one of the two is a directory, and the other is none")
                .help("mount a directory on a directory, and a file on a file"));
        }
        if mounting.is_fresh() && !directory {
            return Err(
                SystemError::errno(ENOTDIR, said(mounting)).why(format!("{} is no directory", at.display()))
            );
        }
        self.may_change_mounts(&said(mounting))?;
        let tree = match (tree, &mounting.cover) {
            (Some((_, tree)), _) => tree,
            (None, Cover::Temporary { mode, .. }) => self.fresh(&at, FileKind::Directory, *mode, false),
            (None, _) if directory => self.fresh(&at, FileKind::Directory, 0, true),
            (None, _) => self.fresh(&at, FileKind::File, 0, true),
        };
        self.files.view.put(&at, tree);
        if is_root && at == self.files.top() {
            self.files.view.pivot(&at);
        }
        Ok(Some(at))
    }

    /// A file system in memory, with nothing in it.
    fn fresh(&mut self, at: &Path, kind: FileKind, mode: u32, closed: bool) -> Tree {
        let kept = self.files.view.fresh(at, &self.files);
        let (uid, gid) = (self.identity.uid[1], self.identity.gid[1]);
        self.files.keep(kept.clone(), Node { kind, uid, gid, mode });
        vec![(PathBuf::new(), Private { kept, read_only: closed, noexec: closed })]
    }

    fn link(&mut self, at: &Path, to: &Path) -> Result<PathBuf, Refusal> {
        let who = Identity { umask: 0, ..self.identity.clone() };
        if at.parent().is_none_or(|dir| self.files.get(dir).is_none()) {
            return Err(Refusal::new(ENOENT, format!("{} has no directory", at.display())));
        }
        self.files.make(&who, at, FileKind::Symlink(to.to_owned()), 0o777)?;
        Ok(at.to_owned())
    }

    /// A place in a file system that was just made, for what is to be mounted there.
    fn make_place(&mut self, top: PathBuf, rest: &Path, directory: bool) -> Result<PathBuf, Refusal> {
        let who = Identity { umask: 0, ..self.identity.clone() };
        let mut at = top;
        for name in rest.parent().unwrap_or(Path::new("")) {
            at.push(name);
            if self.files.get(&at).is_none() {
                self.files.make_directory(&who, &at, 0o755)?;
            }
        }
        at.extend(rest.file_name());
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
