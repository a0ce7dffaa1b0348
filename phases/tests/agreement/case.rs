//! One list of effects with the world and the process that it starts in: what is drawn, shrunk, kept
//! in `cases/`, and read back.

use engine::effect::{CapabilitySet, Effect, Ids};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A case, as it is written in `cases/*.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// what it shows, for people
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// the files, parents first
    pub world: Vec<Entry>,
    /// the process
    pub start: Start,
    /// what is performed, in this order
    pub effects: Vec<Effect>,
    /// a failure is told at the end, and whoever holds the undo takes everything back
    #[serde(default)]
    pub undo: bool,
}

/// A file of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub path: PathBuf,
    pub what: What,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
    /// octal text
    #[serde(default, with = "octal")]
    pub mode: u32,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Directory,
    /// a regular file of that many bytes
    File(usize),
    /// a second name of another file
    HardLink(PathBuf),
    Symlink(PathBuf),
    Fifo,
    /// a socket that nobody listens behind
    StaleSocket,
    /// a program that sleeps until a signal ends it
    Program,
}

/// The process that performs the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub uid: Ids,
    pub gid: Ids,
    #[serde(default)]
    pub groups: Vec<u32>,
    #[serde(default)]
    pub permitted: CapabilitySet,
    #[serde(default)]
    pub effective: CapabilitySet,
    #[serde(default)]
    pub inheritable: CapabilitySet,
    #[serde(default)]
    pub ambient: CapabilitySet,
    /// capabilities taken out of the bounding set
    #[serde(default)]
    pub unbound: CapabilitySet,
    #[serde(default)]
    pub securebits: u32,
    #[serde(with = "octal")]
    pub umask: u32,
    pub cwd: PathBuf,
}

impl Case {
    /// A text that can be kept as a file in `cases/`.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a case is JSON")
    }

    pub fn read(path: &Path) -> Result<Case, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }
}

mod octal {
    use serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(v: &u32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{v:04o}"))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
        let text = String::deserialize(d)?;
        u32::from_str_radix(&text, 8).map_err(serde::de::Error::custom)
    }
}
