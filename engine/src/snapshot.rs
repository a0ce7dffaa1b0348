//! Facts of a machine, as data: users, groups, files, mounts, addresses, and who we are on it.
//!
//! The engine never looks: a [`Machine`] answers (`phases::snapshot`), a test writes it down, or a file
//! that was written elsewhere is read ([`mod@file`]). What has to be known of a machine for a plan to be
//! judged is asked by `survey` alone.

pub mod file;
mod mounts;
pub(crate) mod network;
mod survey;
mod text;

pub use mounts::{Mount, ReadOnly};
pub(crate) use network::occupant;
pub use network::{Handed, Listener, Protocol, overlap};
pub use survey::{Machine, Unknown, survey, unknown_names};

use crate::effect::{Flaw, Identity, Settings, Sort};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// login name; the number as text where there is no entry
    pub name: String,
    /// numeric id
    pub uid: u32,
    /// primary group; `None` where there is no entry
    pub gid: Option<u32>,
    /// every group the user is a member of, the primary one among them
    pub groups: Vec<u32>,
    /// home directory
    #[serde(with = "text::path")]
    pub home: PathBuf,
    /// login shell; empty where there is no entry
    #[serde(default)]
    pub shell: PathBuf,
}

/// An entry of the group database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// its name; the number as text where there is no entry
    pub name: String,
    /// numeric id
    pub gid: u32,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// a regular file
    File,
    /// a directory
    Directory,
    /// a symbolic link and what it says
    Symlink(#[serde(with = "text::path")] PathBuf),
    /// anything else: a device, a FIFO, a socket
    Other,
}

/// What lstat(2) says of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFact {
    /// what it is
    pub kind: FileKind,
    /// owner
    pub uid: u32,
    /// group
    pub gid: u32,
    /// permission bits with set-id and sticky bits
    #[serde(with = "text::mode")]
    pub mode: u32,
}

/// A Python interpreter that can host a Twisted application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// the interpreter
    #[serde(with = "text::path")]
    pub executable: PathBuf,
    /// directories it imports from: its standard library, and where Twisted is
    #[serde(with = "text::paths")]
    pub libraries: Vec<PathBuf>,
}

/// Why there is no such interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoPython {
    /// what was looked for and what is wrong with it, a lowercase fragment
    pub message: String,
    /// what to install, or to name
    pub help: Option<String>,
}

/// Who holds the lock of a PID file: a daemon that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lock {
    /// nobody: the file is stale
    Free,
    /// this process, by the kernel's word
    Process(i32),
    /// somebody, and the kernel does not say who (another PID namespace)
    Somebody,
}

/// A range of ids that exist in a user namespace, user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// the first id, as seen inside
    pub first: u32,
    /// how many
    pub count: u32,
}

/// What a user namespace that is not the machine's first one leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserNamespace {
    /// user ids that exist in it (`/proc/self/uid_map`)
    pub uids: Vec<IdRange>,
    /// group ids that exist in it (`/proc/self/gid_map`)
    pub gids: Vec<IdRange>,
    /// whether setgroups(2) is allowed in it (`/proc/self/setgroups`)
    pub setgroups: bool,
    /// whether the network namespace belongs to it, so that its capabilities count there
    pub network: bool,
}

impl UserNamespace {
    /// Whether a user id exists in it.
    pub fn has_uid(&self, uid: u32) -> bool {
        holds(&self.uids, uid)
    }

    /// Whether a group id exists in it.
    pub fn has_gid(&self, gid: u32) -> bool {
        holds(&self.gids, gid)
    }
}

fn holds(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|r| id.checked_sub(r.first).is_some_and(|n| n < r.count))
}

/// What holds the process back besides its credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restrictions {
    /// the user namespace; `None` in the machine's first one, where every id exists
    pub namespace: Option<UserNamespace>,
}

/// What a program needs to be executed: execve(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interpreter {
    /// the loader that an ELF file names (`PT_INTERP`), or what a script names behind `#!`
    #[serde(with = "text::path")]
    pub path: PathBuf,
    /// it is a script, whose interpreter may need another in turn
    pub script: bool,
}

/// The facts. What was asked for and not found is `None`; what was not asked for is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// who the process is before anything is done
    #[serde(with = "text::identity")]
    pub identity: Identity,
    /// its settings that the identity does not show
    pub settings: Settings,
    /// the directory the command was started in
    #[serde(with = "text::path")]
    pub cwd: PathBuf,
    /// what holds the process back besides
    pub restrictions: Restrictions,
    /// users, by the text they were asked for with (a name or a number)
    #[serde(deserialize_with = "text::map")]
    pub users: BTreeMap<String, Option<User>>,
    /// groups, likewise
    #[serde(deserialize_with = "text::map")]
    pub groups: BTreeMap<String, Option<Group>>,
    /// files by absolute path, every directory on the way among them
    #[serde(with = "text::path_map")]
    pub files: BTreeMap<PathBuf, Option<FileFact>>,
    /// where another mount than that of the directory above begins
    #[serde(with = "text::path_map")]
    pub mounts: BTreeMap<PathBuf, Mount>,
    /// programs by the word they were asked for with, found on the caller's `PATH`
    #[serde(with = "text::programs")]
    pub programs: BTreeMap<String, Option<PathBuf>>,
    /// programs that need another file to be executed, by their path
    #[serde(default, with = "text::path_map")]
    pub interpreters: BTreeMap<PathBuf, Interpreter>,
    /// interpreters, by the text they were asked for with; the empty one is the default
    #[serde(deserialize_with = "text::map")]
    pub pythons: BTreeMap<String, Result<Python, NoPython>>,
    /// PID files that are there, and who holds their locks
    #[serde(with = "text::path_map")]
    pub locks: BTreeMap<PathBuf, Lock>,
    /// Unix sockets that are there, and whether somebody listens behind them
    #[serde(with = "text::path_map")]
    pub sockets: BTreeMap<PathBuf, bool>,
    /// abstract names of Unix sockets, and of which sorts there is a socket
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "text::map")]
    pub abstracts: BTreeMap<String, Vec<Sort>>,
    /// sockets that were handed to us, in their order; `None`: nobody asked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<Vec<Handed>>,
    /// PID files that are there and hold more than a number, with their sizes in bytes
    #[serde(default, with = "text::path_map")]
    pub long_files: BTreeMap<PathBuf, u64>,
    /// logs that are there and have something in them, with their sizes in bytes
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "text::path_map")]
    pub logs: BTreeMap<PathBuf, u64>,
    /// logs, PID files and files of variables that have more than one name, with how many (link(2))
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "text::path_map")]
    pub links: BTreeMap<PathBuf, u64>,
    /// files of variables that cannot be taken, and why
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "text::path_map")]
    pub flaws: BTreeMap<PathBuf, Flaw>,
    /// who has a port, of TCP and UDP
    #[serde(deserialize_with = "text::map")]
    pub ports: BTreeMap<u16, Vec<Listener>>,
    /// addresses that bind(2) refuses on this machine, as sockets with port 0, and the number of the error
    #[serde(default, deserialize_with = "text::map")]
    pub no_addresses: BTreeMap<String, i32>,
    /// the first port that needs no privilege (`net.ipv4.ip_unprivileged_port_start`)
    pub unprivileged_port: u16,
    /// whether `[::]` leaves IPv4 alone (`net.ipv6.bindv6only`); `None`: nobody asked
    pub v6_only: Option<bool>,
    /// whether links in directories such as /tmp are followed for their owner only
    /// (`fs.protected_symlinks`); `None`: nobody asked
    pub protected_symlinks: Option<bool>,
    /// the version of Landlock that the kernel has, 0 for none; `None`: nobody asked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock: Option<u32>,
    /// the processors that this process may be given, sorted; `None`: nobody asked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<u32>>,
}

impl Snapshot {
    /// The interpreter of that name, `None` for the default; `None` if nobody asked for it.
    pub fn python(&self, name: Option<&str>) -> Option<&Result<Python, NoPython>> {
        self.pythons.get(name.unwrap_or_default())
    }

    /// What lstat(2) said; `None` also for a path nobody asked about.
    pub fn file(&self, path: &Path) -> Option<&FileFact> {
        self.files.get(path).and_then(Option::as_ref)
    }
}

/// The names of a path, last first, as whoever follows it takes them: the snapshot and the model.
pub fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .rev()
        .collect()
}
