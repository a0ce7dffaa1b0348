//! Files with owners and modes, and who may do what with them: path_resolution(7), unlink(2).

use super::mounts::Limits;
use crate::effect::{Capability, Identity, Owner, SystemError};
use crate::snapshot::{FileFact, FileKind, ReadOnly, Snapshot, parts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of the model.
pub type Node = FileFact;

impl Node {
    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }
    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }
    /// A symbolic link.
    pub fn is_symlink(&self) -> bool {
        matches!(self.kind, FileKind::Symlink(_))
    }
}

/// What somebody wants to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Access {
    Read = 4,
    Write = 2,
    Execute = 1,
}

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) errno: i32,
    why: String,
    lacks: Option<Capability>,
}

impl Refusal {
    pub(super) fn new(errno: i32, why: impl Into<String>) -> Self {
        Refusal { errno, why: why.into(), lacks: None }
    }

    /// The number that the kernel gives.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The error of a call that met it.
    pub fn of(self, what: &str) -> SystemError {
        let error = SystemError::errno(self.errno, what).why(self.why);
        match self.lacks {
            Some(capability) => error.lacks(capability),
            None => error,
        }
    }
}

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const ELOOP: i32 = 40;
const EPERM: i32 = 1;

/// Which links a walk follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// all, as the kernel does
    All,
    /// all but the last name, which is to be made, opened or removed; strangers' links not everywhere
    ToMake,
}

/// The files that a snapshot knows, and those that were made since.
#[derive(Clone, Debug, Default)]
pub struct Files {
    nodes: BTreeMap<PathBuf, Node>,
    pub(super) limits: Limits,
}

impl Files {
    /// The files of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let known = snapshot.files.iter().filter_map(|(p, f)| Some((p.clone(), f.clone()?)));
        Files { nodes: known.collect(), limits: Limits::new(snapshot) }
    }

    /// The file at a resolved path.
    pub fn get(&self, at: &Path) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// Every file, by resolved path.
    pub fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.nodes.iter()
    }

    /// `path` as seen inside `root`, from outside.
    pub fn join(&self, root: &Path, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(inside) if root != Path::new("/") => root.join(inside),
            _ => path.to_owned(),
        }
    }

    /// Where a path leads, every link followed, every directory on the way searchable.
    pub fn resolve(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.walk(who, path, Follow::All)?;
        match self.get(&at) {
            Some(_) => Ok(at),
            None => Err(Refusal::new(ENOENT, format!("{} does not exist", at.display()))),
        }
    }

    /// The same, and it must be a directory that may be entered.
    pub fn directory(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.resolve(who, path)?;
        if !self.get(&at).is_some_and(Node::is_dir) {
            return Err(Refusal::new(ENOTDIR, format!("{} is no directory", at.display())));
        }
        self.may(who, &at, Access::Execute)?;
        Ok(at)
    }

    /// The resolved directory of a path, with its last name: what may be made or opened there. A link of
    /// somebody else is followed by a privileged process only to a directory that is theirs, too
    /// (CVE-2016-1247).
    pub fn parent(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.walk(who, path, Follow::ToMake)?;
        let dir = at.parent().unwrap_or(Path::new("/"));
        match self.get(dir) {
            Some(node) if node.is_dir() => Ok(at),
            Some(_) => Err(Refusal::new(ENOTDIR, format!("{} is no directory", dir.display()))),
            None => Err(Refusal::new(ENOENT, format!("the directory {} does not exist", dir.display()))),
        }
    }

    /// The names that are looked up on the way of a path that is entered, each with its directory, links
    /// followed, as far as it goes.
    pub fn way(&self, who: &Identity, path: &Path) -> Vec<(PathBuf, PathBuf)> {
        let mut seen = Vec::new();
        let mut look = |dir: &Path, name: &Path| seen.push((dir.to_owned(), name.to_owned()));
        let _ = self.walk_seen(who, path, Follow::All, &mut look);
        seen
    }

    fn walk(&self, who: &Identity, path: &Path, follow: Follow) -> Result<PathBuf, Refusal> {
        self.walk_seen(who, path, follow, &mut |_, _| {})
    }

    fn walk_seen(
        &self,
        who: &Identity,
        path: &Path,
        follow: Follow,
        seen: &mut dyn FnMut(&Path, &Path),
    ) -> Result<PathBuf, Refusal> {
        let start = if path.is_absolute() { who.root.clone() } else { self.join(&who.root, &who.cwd) };
        let mut here = start;
        let mut todo: Vec<PathBuf> = parts(path);
        let mut links = 0;
        let guarded = follow == Follow::ToMake && (who.uid[1] == 0 || who.caps.has(Capability::DacOverride));
        // Links of strangers that are being followed, each with the number of names left where it ends.
        let mut strangers: Vec<(usize, PathBuf)> = Vec::new();
        while let Some(part) = todo.pop() {
            if part == Path::new("..") {
                if here != who.root {
                    here.pop();
                }
            } else {
                self.enter(who, &here)?;
                seen(&here, &part);
                self.limits.may_be_named(&part)?;
                let next = here.join(&part);
                match self.get(&next).map(|n| &n.kind) {
                    Some(FileKind::Symlink(target)) if follow == Follow::All || !todo.is_empty() => {
                        if todo.is_empty() {
                            self.may_follow(who, &here, &next)?;
                        }
                        links += 1;
                        if links > 40 {
                            return Err(Refusal::new(ELOOP, format!("{} leads in a circle", next.display())));
                        }
                        if guarded {
                            strangers.push((todo.len(), next.clone()));
                        }
                        if target.is_absolute() {
                            here = who.root.clone();
                        }
                        todo.extend(parts(target));
                    }
                    _ => here = next,
                }
            }
            while let Some((_, link)) = strangers.pop_if(|(left, _)| *left >= todo.len()) {
                self.trusted(who, &link, &here)?;
            }
        }
        Ok(here)
    }

    /// Whether names in it may be looked up.
    fn enter(&self, who: &Identity, dir: &Path) -> Result<(), Refusal> {
        match self.get(dir) {
            Some(node) if node.is_dir() => self.may(who, dir, Access::Execute),
            Some(_) => Err(Refusal::new(ENOTDIR, format!("{} is no directory", dir.display()))),
            None => Err(Refusal::new(ENOENT, format!("the directory {} does not exist", dir.display()))),
        }
    }

    /// Whether a privileged process may follow this link to where it leads.
    fn trusted(&self, who: &Identity, link: &Path, to: &Path) -> Result<(), Refusal> {
        let (Some(link_node), Some(there)) = (self.get(link), self.get(to)) else { return Ok(()) };
        if [0, who.uid[1], there.uid].contains(&link_node.uid) {
            return Ok(());
        }
        Err(Refusal::new(
            ELOOP,
            format!(
                "{} is a symbolic link of uid {} to {}, which belongs to uid {}: whoever owns the link would \
                 decide where a privileged process writes",
                link.display(),
                link_node.uid,
                to.display(),
                there.uid
            ),
        ))
    }

    /// Whether somebody may read, write or execute (search) this file.
    pub fn may(&self, who: &Identity, at: &Path, access: Access) -> Result<(), Refusal> {
        let Some(node) = self.get(at) else {
            return Err(Refusal::new(ENOENT, format!("{} does not exist", at.display())));
        };
        let shift = if who.uid[1] == node.uid {
            6
        } else if who.gid[1] == node.gid || who.groups.contains(&node.gid) {
            3
        } else {
            0
        };
        if access == Access::Write && !node.is_dir() {
            self.writable(at, ReadOnly::System)?;
        }
        if node.mode >> shift & access as u32 != 0 {
            return match access {
                Access::Write if !node.is_dir() => self.writable(at, ReadOnly::Mount),
                _ => Ok(()),
            };
        }
        let overrides = who.caps.has(Capability::DacOverride)
            && (access != Access::Execute || node.is_dir() || node.mode & 0o111 != 0);
        let reads = who.caps.has(Capability::DacReadSearch)
            && (access == Access::Read || access == Access::Execute && node.is_dir());
        if (overrides || reads) && self.limits.reach(node) {
            return match access {
                Access::Write if !node.is_dir() => self.writable(at, ReadOnly::Mount),
                _ => Ok(()),
            };
        }
        let verb = match access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute if node.is_dir() => "enter",
            Access::Execute => "execute",
        };
        Err(Refusal {
            errno: EACCES,
            why: format!(
                "{} is {}:{} {:04o}, and uid {} gid {} may not {verb} it",
                at.display(),
                node.uid,
                node.gid,
                node.mode & 0o7777,
                who.uid[1],
                who.gid[1]
            ),
            lacks: Some(Capability::DacOverride),
        })
    }

    /// Makes a regular file that must not exist.
    pub fn create(&mut self, who: &Identity, at: &Path, mode: u32) -> Result<(), Refusal> {
        if self.get(at).is_some() {
            return Err(Refusal::new(EEXIST, format!("{} exists", at.display())));
        }
        let dir = at.parent().unwrap_or(Path::new("/"));
        self.names_may_change(dir)?;
        self.may(who, dir, Access::Write)?;
        self.may(who, dir, Access::Execute)?;
        // A set-group-id directory hands down its group.
        let gid = match self.get(dir) {
            Some(d) if d.mode & 0o2000 != 0 => d.gid,
            _ => who.gid[1],
        };
        let node = Node { kind: FileKind::File, uid: who.uid[1], gid, mode: mode & !who.umask & 0o7777 };
        self.nodes.insert(at.to_owned(), node);
        Ok(())
    }

    /// Makes a directory that must not exist.
    pub fn make_directory(&mut self, who: &Identity, at: &Path, mode: u32) -> Result<(), Refusal> {
        self.create(who, at, mode)?;
        let hands_down = at.parent().and_then(|dir| self.get(dir)).map_or(0, |dir| dir.mode & 0o2000);
        if let Some(node) = self.nodes.get_mut(at) {
            node.kind = FileKind::Directory;
            node.mode |= hands_down;
        }
        Ok(())
    }

    /// Whether nothing is known to be in a directory.
    pub fn is_empty(&self, at: &Path) -> bool {
        !self.nodes.keys().any(|path| path != at && path.starts_with(at))
    }

    /// Removes a name.
    pub fn unlink(&mut self, who: &Identity, at: &Path) -> Result<(), Refusal> {
        self.may_unlink(who, at)?;
        self.nodes.remove(at);
        Ok(())
    }

    /// Whether somebody may remove or rename this name.
    pub fn may_unlink(&self, who: &Identity, at: &Path) -> Result<(), Refusal> {
        let dir = at.parent().unwrap_or(Path::new("/"));
        self.names_may_change(dir)?;
        self.may(who, dir, Access::Write)?;
        self.may(who, dir, Access::Execute)?;
        let (Some(d), Some(node)) = (self.get(dir), self.get(at)) else { return Ok(()) };
        let sticky = d.mode & 0o1000 != 0;
        let fowner = who.caps.has(Capability::Fowner) && self.limits.reach(node);
        if sticky && who.uid[1] != node.uid && who.uid[1] != d.uid && !fowner {
            return Err(Refusal {
                errno: EPERM,
                why: format!(
                    "{} is sticky ({:04o}) and {} belongs to uid {}",
                    dir.display(),
                    d.mode,
                    at.display(),
                    node.uid
                ),
                lacks: Some(Capability::Fowner),
            });
        }
        Ok(())
    }

    /// Gives a file away.
    pub fn chown(&mut self, at: &Path, owner: Owner) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.uid = owner.uid;
            node.gid = owner.gid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Files {
        let mut files = Files::default();
        let mut add = |p: &str, kind, uid, mode| {
            files.nodes.insert(PathBuf::from(p), Node { kind, uid, gid: uid, mode });
        };
        add("/", FileKind::Directory, 0, 0o755);
        add("/run", FileKind::Directory, 0, 0o755);
        add("/run/a", FileKind::File, 0, 0o644);
        add("/tmp", FileKind::Directory, 0, 0o1777);
        add("/tmp/r", FileKind::File, 0, 0o666);
        add("/loop", FileKind::Symlink("/loop".into()), 0, 0o777);
        add("/var", FileKind::Symlink("run".into()), 0, 0o777);
        add("/jail", FileKind::Directory, 0, 0o755);
        add("/jail/run", FileKind::Directory, 33, 0o700);
        files
    }

    fn user(uid: u32) -> Identity {
        let caps = if uid == 0 { super::super::all_capabilities() } else { Default::default() };
        Identity {
            uid: [uid; 3],
            gid: [uid; 3],
            caps,
            root: "/".into(),
            cwd: "/".into(),
            umask: 0o22,
            ..Default::default()
        }
    }

    #[test]
    fn the_essays_second_gotcha() {
        let files = world();
        assert!(files.may_unlink(&user(0), Path::new("/run/a")).is_ok());
        assert_eq!(files.may_unlink(&user(33), Path::new("/run/a")).unwrap_err().errno, EACCES);
        assert_eq!(files.may_unlink(&user(33), Path::new("/tmp/r")).unwrap_err().errno, EPERM);
    }

    #[test]
    fn links_are_followed_and_circles_end() {
        let files = world();
        assert_eq!(files.resolve(&user(0), Path::new("/var/a")).unwrap(), Path::new("/run/a"));
        assert_eq!(files.resolve(&user(0), Path::new("/loop")).unwrap_err().errno, ELOOP);
        assert_eq!(files.parent(&user(0), Path::new("/loop")).unwrap(), Path::new("/loop"));
    }

    #[test]
    fn a_root_confines() {
        let files = world();
        let jailed = Identity { root: "/jail".into(), ..user(0) };
        assert_eq!(files.directory(&jailed, Path::new("/run")).unwrap(), Path::new("/jail/run"));
        assert_eq!(files.directory(&jailed, Path::new("/../../run")).unwrap(), Path::new("/jail/run"));
        let dropped = Identity { uid: [5; 3], caps: Default::default(), ..jailed };
        assert_eq!(files.directory(&dropped, Path::new("/run")).unwrap_err().errno, EACCES);
    }

    #[test]
    fn the_umask_is_taken_off_what_is_made() {
        let mut files = world();
        files.create(&user(0), Path::new("/run/b"), 0o666).unwrap();
        assert_eq!(files.get(Path::new("/run/b")).unwrap().mode, 0o644);
        assert_eq!(files.create(&user(0), Path::new("/run/b"), 0o666).unwrap_err().errno, EEXIST);
    }
}
