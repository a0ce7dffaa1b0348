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
    /// the same, which the kernel executes together with this loader
    Dynamic(PathBuf),
    /// a script for this interpreter
    Script(PathBuf),
}

/// The process that performs the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub uid: Ids,
    pub gid: Ids,
    #[serde(default)]
    pub groups: Vec<u32>,
    #[serde(default, with = "capabilities")]
    pub permitted: CapabilitySet,
    #[serde(default, with = "capabilities", skip_serializing_if = "none")]
    pub effective: CapabilitySet,
    #[serde(default, with = "capabilities", skip_serializing_if = "none")]
    pub inheritable: CapabilitySet,
    #[serde(default, with = "capabilities", skip_serializing_if = "none")]
    pub ambient: CapabilitySet,
    /// capabilities taken out of the bounding set
    #[serde(default, with = "capabilities", skip_serializing_if = "none")]
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
        let line = |value: &serde_json::Value| serde_json::to_string(value).expect("it is JSON");
        let value = serde_json::to_value(self).expect("a case is JSON");
        let parts: Vec<String> = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, part)| match part.as_array() {
                // An entry or an effect has a line of its own.
                Some(list) if !list.is_empty() => {
                    let lines: Vec<String> = list.iter().map(line).collect();
                    format!("  \"{name}\": [\n    {}\n  ]", lines.join(",\n    "))
                }
                _ => format!("  \"{name}\": {}", line(part)),
            })
            .collect();
        format!("{{\n{}\n}}", parts.join(",\n"))
    }

    pub fn read(path: &Path) -> Result<Case, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }
}

fn none(set: &CapabilitySet) -> bool {
    set.is_empty()
}

/// `all`, `all but cap_a cap_b`, `cap_a cap_b`.
mod capabilities {
    use engine::effect::{Capability, CapabilitySet};
    use engine::model::all_capabilities;
    use serde::{Deserialize, Deserializer, Serializer};
    const BUT: &str = "all but ";

    fn names(set: CapabilitySet) -> String {
        set.iter().map(Capability::name).collect::<Vec<_>>().join(" ")
    }

    pub fn serialize<S: Serializer>(set: &CapabilitySet, s: S) -> Result<S::Ok, S::Error> {
        let missing = CapabilitySet(all_capabilities().0 & !set.0);
        s.serialize_str(&match (missing.len(), set.len()) {
            (0, _) => "all".to_owned(),
            (some, many) if some < many => format!("{BUT}{}", names(missing)),
            _ => names(*set),
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<CapabilitySet, D::Error> {
        let text = String::deserialize(d)?;
        let all = all_capabilities().0;
        let set = |names: &str| -> Result<u64, D::Error> {
            names.split_whitespace().try_fold(0, |bits, name| {
                let one = Capability::by_name(name);
                let one = one.ok_or_else(|| serde::de::Error::custom(format!("no capability `{name}`")))?;
                Ok(bits | 1 << one as u8)
            })
        };
        Ok(CapabilitySet(match (text.as_str(), text.strip_prefix(BUT)) {
            ("all", _) => all,
            (_, Some(names)) => all & !set(names)?,
            (names, None) => set(names)?,
        }))
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
