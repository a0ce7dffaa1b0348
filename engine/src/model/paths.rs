//! Where a path leads: path_resolution(7).

use super::files::{Access, EACCES, ENOENT, Files, Node, Refusal};
use crate::effect::{Capability, Identity};
use crate::snapshot::FileKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) const ENOTDIR: i32 = 20;
const ENAMETOOLONG: i32 = 36;
const ELOOP: i32 = 40;
const EMLINK: i32 = 31;
/// Longest path, in bytes, with the NUL behind it (`PATH_MAX`).
const LONGEST: usize = 4096;
/// What getcwd(2) puts before a directory that the root does not reach.
const UNREACHABLE: &str = "(unreachable)";

/// How a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// every link, as the kernel does
    All,
    /// every link but one in the last place
    NotTheLast,
    /// every link, but a privileged process not a stranger's everywhere: a name is to be made or removed
    /// there, or it is to be the root
    ToMake,
    /// the same, to a file whose text is handed on
    ToRead,
}

/// The names of a path, last first; a slash behind the last one is an empty name.
fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.ends_with(b"/").then_some(OsStr::new(""));
    let names = bytes.rsplit(|b| *b == b'/').filter(|name| !name.is_empty()).map(OsStr::from_bytes);
    slash.into_iter().chain(names)
}

/// Whether the modes of files do not bind it.
fn is_privileged(who: &Identity) -> bool {
    who.uid[1] == 0 || who.caps.has(Capability::DacOverride)
}

impl Files {
    /// `path` as seen inside `root`, from outside.
    pub fn join(&self, root: &Path, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(inside) if inside.as_os_str().is_empty() => root.to_owned(),
            Ok(inside) if root != Path::new("/") => root.join(inside),
            _ => path.to_owned(),
        }
    }

    /// Where a process stands, from outside.
    pub fn standing(&self, who: &Identity) -> PathBuf {
        match who.cwd.as_os_str().as_bytes().strip_prefix(UNREACHABLE.as_bytes()) {
            Some(outside) => self.join(self.top(), Path::new(OsStr::from_bytes(outside))),
            None => self.join(&who.root, &who.cwd),
        }
    }

    /// What getcwd(2) says of a directory in a root.
    pub fn seen(&self, root: &Path, standing: &Path) -> PathBuf {
        match standing.strip_prefix(root) {
            Ok(inside) => Path::new("/").join(inside),
            Err(_) => {
                let inside = standing.strip_prefix(self.top()).map(|rest| Path::new("/").join(rest));
                let shown = inside.unwrap_or_else(|_| standing.to_owned());
                PathBuf::from(format!("{UNREACHABLE}{}", shown.display()))
            }
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
        self.enter(who, &at)?;
        Ok(at)
    }

    /// The same for a new root directory, on the way to which a privileged process follows a stranger's link
    /// only to what is the stranger's own.
    pub fn root(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.walk(who, path, Follow::ToMake)?;
        self.may(who, &at, Access::Execute)?;
        Ok(at)
    }

    /// The same for whoever only opens it, which nobody can forbid.
    pub(super) fn open_directory(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.resolve(who, path)?;
        self.is_directory(&at)?;
        Ok(at)
    }

    /// Where the path of a file leads whose text is handed to somebody else: a privileged process follows a
    /// stranger's link only to what is the stranger's own.
    pub(super) fn read_for_others(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.walk(who, path, Follow::ToRead)?;
        match self.get(&at) {
            Some(_) => Ok(at),
            None => Err(Refusal::new(ENOENT, format!("{} does not exist", at.display()))),
        }
    }

    /// Whether a privileged process may hand out what a file says: not where somebody may have given that name
    /// to a file that is not theirs, or which they may not read themselves.
    pub(super) fn may_hand_out(&self, who: &Identity, path: &Path, at: &Path) -> Result<(), Refusal> {
        let Some(file) = self.get(at).filter(|_| is_privileged(who)) else { return Ok(()) };
        let secret = file.mode & 0o004 == 0;
        if !secret && self.names_of(at).is_none() {
            return Ok(());
        }
        let name = self.place(who, path)?;
        if let Some(why) = self.named_by_others(who, at, &name) {
            return Err(Refusal::new(EMLINK, why));
        }
        let above = name.parent().unwrap_or(Path::new("/"));
        let theirs = self.get(above).is_some_and(|dir| dir.uid != 0 && dir.uid == file.uid);
        match secret && self.is_open(who, &name) && !theirs {
            false => Ok(()),
            true => Err(Refusal::new(
                EACCES,
                format!(
                    "{} is {}:{} {:04o}, and others may write {}: one of them may have moved it there, and may \
                     not read it",
                    at.display(),
                    file.uid,
                    file.gid,
                    file.mode & 0o7777,
                    above.display()
                ),
            )),
        }
    }

    /// The resolved directory of a path, with its last name: what may be made or opened there. A link of
    /// somebody else is followed by a privileged process only to a directory that is theirs, too
    /// (CVE-2016-1247).
    pub fn parent(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let at = self.place(who, path)?;
        self.enter(who, at.parent().unwrap_or(Path::new("/")))?;
        Ok(at)
    }

    /// The same for whoever opens the directory only, which may then be one that cannot be entered.
    pub(super) fn place(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        let Some(name) = path.file_name() else {
            return Err(Refusal::ours(format!("{} is no name of a file", path.display())));
        };
        let above = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(self.walk(who, above, Follow::ToMake)?.join(name))
    }

    /// Where a path leads if a link in the last place is not followed; there may be nothing there.
    pub fn name(&self, who: &Identity, path: &Path) -> Result<PathBuf, Refusal> {
        self.walk(who, path, Follow::NotTheLast)
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
        match path.as_os_str().len() {
            0 => return Err(Refusal::new(ENOENT, "an empty path leads nowhere")),
            1..LONGEST => {}
            long => {
                let why = format!("a path has at most {} bytes, and this one has {long}", LONGEST - 1);
                return Err(Refusal::new(ENAMETOOLONG, why));
            }
        }
        let mut here = match path.is_absolute() {
            true => who.root.clone(),
            false => {
                let standing = self.standing(who);
                self.permits_in_removed(who, &standing)?;
                standing
            }
        };
        let mut todo: Vec<&OsStr> = names(path).collect();
        let mut links = 0;
        let guarded = matches!(follow, Follow::ToMake | Follow::ToRead) && is_privileged(who);
        // Links of strangers that are being followed, each with the number of names left where it ends.
        let mut strangers: Vec<(usize, PathBuf)> = Vec::new();
        // Whatever else is in the way is met first.
        let mut trusted = Ok(());
        while let Some(part) = todo.pop() {
            if part.is_empty() {
                self.is_directory(&here)?;
            } else {
                self.enter(who, &here)?;
                match part.as_bytes() {
                    b"." => {}
                    b".." if here == who.root => {}
                    b".." => drop(here.pop()),
                    _ => {
                        let part = Path::new(part);
                        seen(&here, part);
                        // What /proc does not have is not there, however long its name is.
                        self.limits.may_be_named(part).or_else(|e| match here.starts_with("/proc") {
                            true => Ok(()),
                            false => Err(e),
                        })?;
                        let next = here.join(part);
                        match self.get(&next).map(|n| &n.kind) {
                            Some(FileKind::Symlink(target))
                                if follow != Follow::NotTheLast || !todo.is_empty() =>
                            {
                                // A slash behind it changes nothing here.
                                if todo.iter().all(|name| name.is_empty()) {
                                    self.may_follow(who, &here, &next)?;
                                }
                                links += 1;
                                if links > 40 {
                                    let why = format!("{} leads in a circle", next.display());
                                    return Err(Refusal::new(ELOOP, why));
                                }
                                if guarded {
                                    strangers.push((todo.len(), next.clone()));
                                }
                                if target.is_absolute() {
                                    here = who.root.clone();
                                }
                                todo.extend(names(target));
                            }
                            _ => here = next,
                        }
                    }
                }
            }
            while let Some((_, link)) = strangers.pop_if(|(left, _)| *left >= todo.len()) {
                trusted = trusted.and_then(|()| self.trusted(who, &link, &here));
            }
        }
        // A place to make names in must be there, or that is what is wrong.
        if follow == Follow::ToMake {
            self.is_directory(&here)?;
        }
        if follow == Follow::ToRead && self.get(&here).is_none() {
            return Err(Refusal::new(ENOENT, format!("{} does not exist", here.display())));
        }
        trusted.map(|()| here)
    }

    fn is_directory(&self, at: &Path) -> Result<&Node, Refusal> {
        match self.get(at) {
            Some(node) if node.is_dir() => Ok(node),
            Some(_) => Err(Refusal::new(ENOTDIR, format!("{} is no directory", at.display()))),
            None => Err(Refusal::new(ENOENT, format!("the directory {} does not exist", at.display()))),
        }
    }

    /// Whether names in it may be looked up.
    fn enter(&self, who: &Identity, dir: &Path) -> Result<(), Refusal> {
        let node = self.is_directory(dir)?;
        self.node_permits(who, dir, node, Access::Execute)
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
                 decide where a privileged process works",
                link.display(),
                link_node.uid,
                to.display(),
                there.uid
            ),
        ))
    }
}
