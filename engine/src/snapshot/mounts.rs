//! Which mount a path is on, and what that forbids: mount(8), statvfs(3).

use super::Snapshot;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnly {
    /// this mount alone: the same file system may be written elsewhere
    Mount,
    /// the file system: the kernel says so before it looks at permissions
    System,
}

/// How a mount restricts what is on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// nothing on it can be written
    pub read_only: Option<ReadOnly>,
    /// set-id bits and file capabilities do nothing
    pub nosuid: bool,
    /// no program on it can be executed
    pub noexec: bool,
}

impl Mount {
    /// True where it forbids anything.
    pub fn restricts(&self) -> bool {
        *self != Mount::default()
    }
}

impl Snapshot {
    /// The mount that a resolved path is on, with the place where it begins.
    pub fn mount(&self, at: &Path) -> Option<(&Path, &Mount)> {
        at.ancestors().find_map(|dir| self.mounts.get_key_value(dir)).map(|(p, m)| (p.as_path(), m))
    }
}
