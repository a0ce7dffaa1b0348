//! Facts of a machine, as data: users, groups, files, addresses, and who we are on it.
//!
//! The engine never looks: `phases::snapshot` fills this in, or a test writes it down.

use crate::effect::{Identity, Settings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub home: PathBuf,
}

/// An entry of the group database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    Symlink(PathBuf),
    /// anything else: a device, a FIFO, a socket
    Other,
}

/// What lstat(2) says of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// what it is
    pub kind: FileKind,
    /// owner
    pub uid: u32,
    /// group
    pub gid: u32,
    /// permission bits with set-id and sticky bits
    pub mode: u32,
}

/// A Python interpreter that can host a Twisted application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// the interpreter
    pub executable: PathBuf,
    /// directories it imports from: its standard library, and where Twisted is
    pub libraries: Vec<PathBuf>,
}

/// Why there is no such interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoPython {
    /// what was looked for and what is wrong with it, a lowercase fragment
    pub message: String,
    /// what to install, or to name
    pub help: Option<String>,
}

/// The facts. What was asked for and not found is `None`; what was not asked for is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// who the process is before anything is done
    pub identity: Identity,
    /// its settings that the identity does not show
    #[serde(default)]
    pub settings: Settings,
    /// users, by the text they were asked for with (a name or a number)
    pub users: BTreeMap<String, Option<User>>,
    /// groups, likewise
    pub groups: BTreeMap<String, Option<Group>>,
    /// files by absolute path, every directory on the way among them
    pub files: BTreeMap<PathBuf, Option<FileFact>>,
    /// programs by the word they were asked for with, found on the caller's `PATH`
    pub programs: BTreeMap<String, Option<PathBuf>>,
    /// interpreters, by the text they were asked for with; the empty one is the default
    #[serde(default)]
    pub pythons: BTreeMap<String, Result<Python, NoPython>>,
    /// the first port that needs no privilege (`net.ipv4.ip_unprivileged_port_start`)
    pub unprivileged_port: u16,
    /// the directory the command was started in
    pub cwd: PathBuf,
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
