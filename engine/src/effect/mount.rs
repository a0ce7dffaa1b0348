//! Mounts in a mount namespace of the daemon's own, mount_namespaces(7).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// What is found at a place from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cover {
    /// what is there, with all that is mounted below it, and nothing of it can be written
    ReadOnly,
    /// what is there, as it was: an exception below something that is read-only
    ReadWrite,
    /// an empty file or directory of mode 000 that cannot be written
    Inaccessible,
    /// an empty directory in memory, which goes with the last process that sees it
    Temporary {
        /// its permission bits, whatever the umask
        mode: u32,
        /// the most it may hold, in bytes; the kernel's own limit is half of the memory
        size: Option<u64>,
    },
    /// what is found at another place, with all that is mounted below it
    Bind {
        /// the other place, an absolute path, as it is found before anything is mounted
        from: PathBuf,
        /// nothing of it can be written here
        read_only: bool,
    },
    /// a symbolic link in a place that was made temporary
    Link {
        /// what it says
        to: PathBuf,
    },
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounting {
    /// where: a file or a directory, an absolute path; links are followed
    pub at: PathBuf,
    /// what is there from then on
    pub cover: Cover,
    /// nothing is done where it is not there
    #[serde(default)]
    pub optional: bool,
}

impl Mounting {
    /// The place whose present content it shows.
    pub fn source(&self) -> Option<&Path> {
        match &self.cover {
            Cover::ReadOnly | Cover::ReadWrite => Some(&self.at),
            Cover::Bind { from, .. } => Some(from),
            Cover::Inaccessible | Cover::Temporary { .. } | Cover::Link { .. } => None,
        }
    }

    /// Whether nothing can be written there.
    pub fn read_only(&self) -> bool {
        match self.cover {
            Cover::ReadOnly | Cover::Inaccessible => true,
            Cover::Bind { read_only, .. } => read_only,
            Cover::ReadWrite | Cover::Temporary { .. } | Cover::Link { .. } => false,
        }
    }

    /// Whether it begins with nothing in it.
    pub fn is_fresh(&self) -> bool {
        matches!(self.cover, Cover::Temporary { .. })
    }

    /// A path of it that is not absolute, which no world takes: from a directory outside of the root it would
    /// lead elsewhere.
    pub fn relative(&self) -> Option<&Path> {
        [Some(self.at.as_path()), self.source()].into_iter().flatten().find(|path| !path.is_absolute())
    }

    /// Where it lies in a place that was made temporary before it, in which nothing is that was not made by
    /// these mounts: the number of that one, and the rest of the way. A place can be made there for it.
    ///
    /// `before`: what has been mounted by then, with its number, in order.
    pub fn made_in<'a>(
        &self,
        before: impl DoubleEndedIterator<Item = (usize, &'a Mounting)>,
    ) -> Option<(usize, PathBuf)> {
        let (number, above) = before.rev().find(|(_, m)| self.at.starts_with(&m.at))?;
        let rest: PathBuf = self.at.strip_prefix(&above.at).ok()?.components().collect();
        let names =
            rest.components().count() > 0 && rest.components().all(|c| matches!(c, Component::Normal(_)));
        (above.is_fresh() && names).then_some((number, rest))
    }
}

impl fmt::Display for Mounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.display();
        match &self.cover {
            Cover::ReadOnly => write!(f, "{at} read-only"),
            Cover::ReadWrite => write!(f, "{at} as it is"),
            Cover::Inaccessible => write!(f, "{at} inaccessible"),
            Cover::Temporary { mode, size: None } => write!(f, "{at} temporary, mode {mode:04o}"),
            Cover::Temporary { mode, size: Some(size) } => {
                let most = crate::text::count(*size, "byte");
                write!(f, "{at} temporary, mode {mode:04o}, at most {most}")
            }
            Cover::Bind { from, read_only } => {
                if *from == self.at {
                    return write!(f, "{at}{}", if *read_only { ", read-only" } else { "" });
                }
                write!(f, "{} at {at}{}", from.display(), if *read_only { ", read-only" } else { "" })
            }
            Cover::Link { to } => write!(f, "{at} to {}", to.display()),
        }
    }
}

/// The mounts of a list in one line.
pub(super) fn line(mounts: &[Mounting]) -> String {
    let each: Vec<String> = mounts.iter().map(ToString::to_string).collect();
    format!("mount {}", each.join("; "))
}
