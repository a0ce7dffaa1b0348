//! Files with owners and modes, and who may do what with them: path_resolution(7), unlink(2).

use super::mounts::Limits;
use super::view::View;
use crate::effect::landlock::Right;
use crate::effect::{Capability, ErrorKind, Identity, Owner, SystemError};
use crate::snapshot::{FileFact, FileKind, ReadOnly, Snapshot};
use std::collections::BTreeMap;
use std::ffi::OsString;
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
    ReadWrite = 6,
    /// make and remove names in a directory
    Change = 3,
}

impl Access {
    fn writes(self) -> bool {
        self as u32 & Access::Write as u32 != 0
    }
}

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) errno: i32,
    why: String,
    lacks: Option<Capability>,
    /// a confinement of this run forbids it
    confined: bool,
}

impl Refusal {
    pub(super) fn new(errno: i32, why: impl Into<String>) -> Self {
        Refusal { errno, why: why.into(), lacks: None, confined: false }
    }

    /// Not the kernel's but ours.
    pub(super) fn ours(why: impl Into<String>) -> Self {
        Refusal::new(0, why)
    }

    /// The number that the kernel gives; 0 where it is not the kernel that refuses.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The error of a call that met it.
    pub fn of(self, what: &str) -> SystemError {
        let error = match self.errno {
            0 => SystemError::new(what),
            errno => SystemError::errno(errno, what),
        };
        let error = error.why(self.why);
        let error = if self.confined { error.kind(ErrorKind::Confined) } else { error };
        match self.lacks {
            Some(capability) => error.lacks(capability),
            None => error,
        }
    }
}

pub(super) const ENOENT: i32 = 2;
pub(super) const EACCES: i32 = 13;
pub(super) const EEXIST: i32 = 17;
const EPERM: i32 = 1;
pub(super) const EBUSY: i32 = 16;

/// The files that a snapshot knows, and those that were made since.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// by resolved path, which has one way to be written, and is compared so: by its parts takes longer
    nodes: BTreeMap<OsString, Node>,
    /// those that were made since the snapshot, and which in a row each of them is
    births: BTreeMap<OsString, u64>,
    born: u64,
    /// files that were found with more than one name, and how many
    links: BTreeMap<OsString, u64>,
    /// directories that are gone: whoever stands in one is still asked whether it may look into it
    removed: BTreeMap<OsString, Node>,
    pub(super) limits: Limits,
    /// what is mounted where for the process that goes on
    pub(super) view: View,
}

impl Files {
    /// The files of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let known = snapshot
            .files
            .iter()
            .filter_map(|(p, f)| Some((p.components().collect::<PathBuf>().into(), f.clone()?)));
        let links = snapshot.links.iter().map(|(path, names)| (path.clone().into(), *names)).collect();
        Files { nodes: known.collect(), links, limits: Limits::new(snapshot), ..Files::default() }
    }

    /// The file at a resolved path.
    pub fn get(&self, at: &Path) -> Option<&Node> {
        self.get_kept(&self.view.kept(at))
    }

    /// The file that is kept there, whatever is mounted over it.
    pub(super) fn get_kept(&self, kept: &Path) -> Option<&Node> {
        self.nodes.get(kept.as_os_str())
    }

    /// Every file, by where it is kept: for one that no private mount covers, its resolved path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (Path::new(path), node))
    }

    /// Whether somebody may read, write or execute (search) this file.
    pub fn may(&self, who: &Identity, at: &Path, access: Access) -> Result<(), Refusal> {
        self.permits(who, at, access)?;
        match self.get(at) {
            // A directory is searched whatever Landlock leaves; names in it are another matter.
            Some(node) if !node.is_dir() || access == Access::Read => left(who, at, access),
            _ => Ok(()),
        }
    }

    /// What its mode, its owner and its mount say.
    pub(super) fn permits(&self, who: &Identity, at: &Path, access: Access) -> Result<(), Refusal> {
        let Some(node) = self.get(at) else {
            return Err(Refusal::new(ENOENT, format!("{} does not exist", at.display())));
        };
        self.node_permits(who, at, node, access)
    }

    /// Whether somebody who stands in a directory that was removed may look names up in it: this is asked
    /// before the answer that there are none.
    pub(super) fn permits_in_removed(&self, who: &Identity, dir: &Path) -> Result<(), Refusal> {
        match self.removed.get(self.view.kept(dir).as_os_str()) {
            Some(node) if self.get(dir).is_none() => self.node_permits(who, dir, node, Access::Execute),
            _ => Ok(()),
        }
    }

    pub(super) fn node_permits(
        &self,
        who: &Identity,
        at: &Path,
        node: &Node,
        access: Access,
    ) -> Result<(), Refusal> {
        let shift = if who.uid[1] == node.uid {
            6
        } else if self.in_group(who, node.gid) {
            3
        } else {
            0
        };
        if access.writes() && !node.is_dir() {
            self.writable(at, ReadOnly::System)?;
        }
        if node.mode >> shift & access as u32 == access as u32 {
            return match access {
                _ if access.writes() && !node.is_dir() => self.writable(at, ReadOnly::Mount),
                _ => Ok(()),
            };
        }
        let overrides = who.caps.has(Capability::DacOverride)
            && (access != Access::Execute || node.is_dir() || node.mode & 0o111 != 0);
        let reads = who.caps.has(Capability::DacReadSearch)
            && (access == Access::Read || access == Access::Execute && node.is_dir());
        if (overrides || reads) && self.limits.reach(node) {
            return match access {
                _ if access.writes() && !node.is_dir() => self.writable(at, ReadOnly::Mount),
                _ => Ok(()),
            };
        }
        let verb = match access {
            Access::Read => "read",
            Access::Write | Access::Change => "write",
            Access::ReadWrite => "read and write",
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
            confined: false,
        })
    }

    /// Whether others than root and this process may put another file in place of this one.
    pub(super) fn is_open(&self, who: &Identity, at: &Path) -> bool {
        let above = at.parent().unwrap_or(Path::new("/"));
        self.get(above).is_some_and(|dir| {
            ![0, who.uid[1]].contains(&dir.uid)
                || dir.mode & 0o002 != 0
                || (dir.mode & 0o020 != 0 && dir.gid != 0)
        })
    }

    /// Whether somebody is in a group.
    pub fn in_group(&self, who: &Identity, gid: u32) -> bool {
        who.gid[1] == gid || who.groups.contains(&gid)
    }

    /// The number of a file that was made since the snapshot was taken; 0 for any other.
    pub(super) fn birth(&self, at: &Path) -> u64 {
        self.birth_kept(&self.view.kept(at))
    }

    /// The same of a file that is kept there.
    pub(super) fn birth_kept(&self, kept: &Path) -> u64 {
        self.births.get(kept.as_os_str()).copied().unwrap_or(0)
    }

    /// How many names a file has, where it was found with more than one.
    pub(super) fn names_of(&self, at: &Path) -> Option<u64> {
        let kept = self.view.kept(at);
        self.links.get(kept.as_os_str()).filter(|_| self.birth_kept(&kept) == 0).copied()
    }

    /// Why a privileged process leaves a file alone that goes by this name: it has others, and this one may have been
    /// given to it by whoever may write the directory.
    pub(super) fn named_by_others(&self, who: &Identity, at: &Path, name: &Path) -> Option<String> {
        let names = self.names_of(at).filter(|_| self.is_open(who, name))?;
        let dir = name.parent().unwrap_or(Path::new("/"));
        Some(format!(
            "{} has {names} names, and others may write {}: one of them may have given this name to a file that is \
             not theirs",
            name.display(),
            dir.display()
        ))
    }

    /// Whether the last name of a path is one.
    pub(super) fn may_be_named(&self, at: &Path) -> Result<(), Refusal> {
        self.limits.may_be_named(Path::new(at.file_name().unwrap_or_default()))
    }

    /// Whether somebody may make names beside this one.
    pub(super) fn may_make_names(&self, who: &Identity, at: &Path) -> Result<(), Refusal> {
        let dir = at.parent().unwrap_or(Path::new("/"));
        self.names_may_change(dir)?;
        self.may(who, dir, Access::Change)?;
        left(who, dir, Access::Change)
    }

    /// Makes a regular file that must not exist.
    pub fn create(&mut self, who: &Identity, at: &Path, mode: u32) -> Result<(), Refusal> {
        self.make(who, at, FileKind::File, mode)
    }

    /// Makes a file that must not exist: open(2), "Set-group-ID", and inode(7).
    pub(super) fn make(
        &mut self,
        who: &Identity,
        at: &Path,
        kind: FileKind,
        mode: u32,
    ) -> Result<(), Refusal> {
        if self.get(at).is_some() {
            return Err(Refusal::new(EEXIST, format!("{} exists", at.display())));
        }
        self.may_make_names(who, at)?;
        let dir = at.parent().unwrap_or(Path::new("/"));
        let mut mode = mode & 0o7777;
        let gid = match self.get(dir) {
            // A set-group-id directory hands down its group, but not the power of it to a stranger.
            Some(d) if d.mode & 0o2000 != 0 => {
                let theirs = !self.in_group(who, d.gid) && !who.caps.has(Capability::Fsetid);
                if mode & 0o2010 == 0o2010 && theirs {
                    mode &= !0o2000;
                }
                d.gid
            }
            _ => who.gid[1],
        };
        let node = Node { kind, uid: who.uid[1], gid, mode: mode & !who.umask };
        self.keep(self.view.kept(at).into_owned(), node);
        Ok(())
    }

    /// Puts a new file where it is kept.
    pub(super) fn keep(&mut self, kept: PathBuf, node: Node) {
        self.nodes.insert(kept.clone().into(), node);
        self.born += 1;
        self.births.insert(kept.into(), self.born);
    }

    /// Makes a directory that must not exist.
    pub fn make_directory(&mut self, who: &Identity, at: &Path, mode: u32) -> Result<(), Refusal> {
        self.create(who, at, mode & 0o1777)?;
        let hands_down = at.parent().and_then(|dir| self.get(dir)).map_or(0, |dir| dir.mode & 0o2000);
        if let Some(node) = self.nodes.get_mut(self.view.kept(at).as_os_str()) {
            node.kind = FileKind::Directory;
            node.mode |= hands_down;
        }
        Ok(())
    }

    /// Whether nothing is known to be in a directory.
    pub fn is_empty(&self, at: &Path) -> bool {
        let at = &*self.view.kept(at);
        !self.nodes.keys().map(Path::new).any(|path| path != at && path.starts_with(at))
    }

    /// Takes a file away that was not to be.
    pub(super) fn forget(&mut self, at: &Path) {
        let kept = self.view.kept(at).into_owned().into_os_string();
        self.births.remove(&kept);
        // Of another name of it there may be no second one any more.
        if self.links.contains_key(&kept) {
            self.links.clear();
        }
        if let Some(directory) = self.nodes.remove(&kept).filter(Node::is_dir) {
            self.removed.insert(kept, directory);
        }
    }

    /// The set-id bits that a file loses: to a write of somebody without CAP_FSETID, and to every change of
    /// its owner (chown(2)). A directory keeps them.
    pub(super) fn set_ids_lost(&self, who: &Identity, at: &Path) -> u32 {
        let Some(node) = self.get(at).filter(|node| !node.is_dir()) else { return 0 };
        let keeps_group = self.in_group(who, node.gid) || who.caps.has(Capability::Fsetid);
        let group = if node.mode & 0o010 != 0 || !keeps_group { 0o2000 } else { 0 };
        node.mode & (0o4000 | group)
    }

    /// Somebody has written to it.
    pub(super) fn written(&mut self, who: &Identity, at: &Path) {
        let lost = self.set_ids_lost(who, at);
        let kept = self.view.kept(at).into_owned().into_os_string();
        if let Some(node) = self.nodes.get_mut(&kept).filter(|_| !who.caps.has(Capability::Fsetid)) {
            node.mode &= !lost;
        }
    }

    /// Removes a name.
    pub fn unlink(&mut self, who: &Identity, at: &Path) -> Result<(), Refusal> {
        self.may_unlink(who, at)?;
        self.forget(at);
        Ok(())
    }

    /// Whether somebody may remove or rename this name.
    pub fn may_unlink(&self, who: &Identity, at: &Path) -> Result<(), Refusal> {
        self.may_make_names(who, at)?;
        let dir = at.parent().unwrap_or(Path::new("/"));
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
                confined: false,
            });
        }
        let name = self.view.name(at);
        if self.view.covers(&name).is_some() || self.limits.is_mount(&name) && self.view.has(&name) {
            return Err(Refusal::new(EBUSY, format!("something is mounted on {}", at.display())));
        }
        Ok(())
    }

    /// Gives a file away.
    pub(super) fn chown(&mut self, who: &Identity, at: &Path, owner: Owner) {
        let mut lost = self.set_ids_lost(who, at);
        // To take one of them is to set the mode, which the other survives only in a group of one's own.
        if lost != 0 && !self.in_group(who, owner.gid) && !who.caps.has(Capability::Fsetid) {
            lost |= 0o2000;
        }
        let kept = self.view.kept(at).into_owned().into_os_string();
        if let Some(node) = self.nodes.get_mut(&kept) {
            node.uid = owner.uid;
            node.gid = owner.gid;
            node.mode &= !lost;
        }
    }
}

/// Whether Landlock leaves this to somebody: it comes to what the mode allows, and takes from that.
pub(super) fn left(who: &Identity, at: &Path, access: Access) -> Result<(), Refusal> {
    let rights: &[Right] = match access {
        Access::Execute => &[Right::Execute],
        Access::Change | Access::Write => &[Right::Write],
        Access::Read => &[Right::Read],
        Access::ReadWrite => &[Right::Read, Right::Write],
    };
    for right in rights {
        if who.landlock.0.iter().any(|domain| !domain.leaves(at, *right)) {
            let why =
                format!("Landlock is on, and {} is below no path that it may {}", at.display(), right.verb());
            return Err(Refusal { confined: true, ..Refusal::new(EACCES, why) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELOOP: i32 = 40;

    fn world() -> Files {
        let mut files = Files::default();
        let mut add = |p: &str, kind, uid, mode| {
            files.nodes.insert(p.into(), Node { kind, uid, gid: uid, mode });
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
