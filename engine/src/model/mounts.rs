//! What stands in the way of a file besides owners and modes: mounts, the ids of a user namespace,
//! the length of a name, links in directories such as /tmp.

use super::files::{Files, Node, Refusal};
use crate::effect::{Identity, Owner};
use crate::snapshot::{Mount, ReadOnly, Snapshot, UserNamespace};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EROFS: i32 = 30;
const ENAMETOOLONG: i32 = 36;
/// Longest name in a directory, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// What is known of that.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// empty where no mount forbids anything
    mounts: BTreeMap<PathBuf, Mount>,
    /// where something is mounted
    places: BTreeSet<PathBuf>,
    namespace: Option<UserNamespace>,
    protected_symlinks: bool,
}

impl Limits {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let restricted = snapshot.mounts.values().any(Mount::restricts);
        Limits {
            mounts: if restricted { snapshot.mounts.clone() } else { BTreeMap::new() },
            places: snapshot.mounts.keys().cloned().collect(),
            namespace: snapshot.restrictions.namespace.clone(),
            protected_symlinks: snapshot.protected_symlinks.unwrap_or(false),
        }
    }

    /// Whether capabilities count for a file: its owner and group must exist in our user namespace
    /// (capabilities(7), "Interaction with user namespaces"). Others are shown as 65534.
    pub(super) fn reach(&self, node: &Node) -> bool {
        self.namespace.as_ref().is_none_or(|ns| ns.has_uid(node.uid) && ns.has_gid(node.gid))
    }

    pub(super) fn is_mount(&self, at: &Path) -> bool {
        self.places.contains(at)
    }

    pub(super) fn may_be_named(&self, name: &Path) -> Result<(), Refusal> {
        match name.as_os_str().len() {
            0..=LONGEST_NAME => Ok(()),
            long => Err(Refusal::new(
                ENAMETOOLONG,
                format!("a name in a directory has at most {LONGEST_NAME} bytes, and this one has {long}"),
            )),
        }
    }

    /// Of a file that is kept there.
    fn mount(&self, at: &Path) -> Option<(&Path, &Mount)> {
        if self.mounts.is_empty() {
            return None;
        }
        at.ancestors().find_map(|dir| self.mounts.get_key_value(dir)).map(|(p, m)| (p.as_path(), m))
    }
}

/// Nothing can be written below a place that was made read-only.
pub(super) fn sealed(place: &Path) -> Refusal {
    Refusal::new(EROFS, format!("{} was made read-only for this process", place.display()))
}

impl Files {
    /// Whether what is there can be written at all, as far as this sort of read-only goes: the kernel
    /// looks at the file system before permissions, at the mount behind them.
    pub(super) fn writable(&self, at: &Path, sort: ReadOnly) -> Result<(), Refusal> {
        match self.limits.mount(&self.view.kept(at)) {
            Some((place, Mount { read_only: Some(read_only), .. })) if *read_only == sort => {
                Err(Refusal::new(EROFS, format!("{} is mounted read-only", place.display())))
            }
            _ if sort == ReadOnly::Mount => self.may_be_written_here(at),
            _ => Ok(()),
        }
    }

    /// Whether a mount of this process's own leaves it writable.
    pub(super) fn may_be_written_here(&self, at: &Path) -> Result<(), Refusal> {
        match self.view.read_only(at) {
            Some(place) => Err(sealed(place)),
            None => Ok(()),
        }
    }

    /// Whether names can be made and removed in a directory: asked before permissions.
    pub(super) fn names_may_change(&self, dir: &Path) -> Result<(), Refusal> {
        self.writable(dir, ReadOnly::System)?;
        self.writable(dir, ReadOnly::Mount)
    }

    /// Whether a program there can be executed as far as the mount goes.
    pub fn executable(&self, at: &Path) -> Result<(), Refusal> {
        if let Some(place) = self.view.noexec(at) {
            let why = format!("{} was made inaccessible for this process", place.display());
            return Err(Refusal::new(EACCES, why));
        }
        match self.limits.mount(&self.view.kept(at)) {
            Some((place, mount)) if mount.noexec => {
                let why = format!("{} is mounted noexec: no program on it can be executed", place.display());
                Err(Refusal::new(EACCES, why))
            }
            _ => Ok(()),
        }
    }

    /// Whether a link that is the last name of a path may be followed (proc_sys_fs(5),
    /// `protected_symlinks`): in a sticky directory that all may write only its owner's own.
    pub(super) fn may_follow(&self, who: &Identity, dir: &Path, link: &Path) -> Result<(), Refusal> {
        let (true, Some(d), Some(node)) = (self.limits.protected_symlinks, self.get(dir), self.get(link))
        else {
            return Ok(());
        };
        if d.mode & 0o1002 != 0o1002 || node.uid == who.uid[1] || node.uid == d.uid {
            return Ok(());
        }
        let why = format!(
            "{} is a link of uid {} in a directory that everybody may write, and fs.protected_symlinks forbids uid {} to follow it",
            link.display(),
            node.uid,
            who.uid[1]
        );
        Err(Refusal::new(EACCES, why))
    }

    /// Whether a file may be given away as far as mounts and the user namespace go.
    pub(super) fn may_give(&self, who: &Identity, at: &Path, owner: Owner) -> Result<(), Refusal> {
        self.names_may_change(at)?;
        let Some(ns) = &self.limits.namespace else { return Ok(()) };
        if !ns.has_uid(owner.uid) || !ns.has_gid(owner.gid) {
            let why = format!("{}:{} does not exist in this user namespace", owner.uid, owner.gid);
            return Err(Refusal::new(EINVAL, why));
        }
        match self.get(at) {
            Some(node) if !self.limits.reach(node) && node.uid != who.uid[1] => Err(Refusal::new(
                1,
                format!("{} belongs to somebody outside this user namespace", at.display()),
            )),
            _ => Ok(()),
        }
    }
}
