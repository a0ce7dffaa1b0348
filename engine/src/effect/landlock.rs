//! Landlock, landlock(7): the files and ports that are left to a process, whoever it is.

use super::Whose;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// files and directories, with all below them, that may be read
    pub read: Vec<PathBuf>,
    /// that may be read and changed: written, made, renamed, removed
    pub write: Vec<PathBuf>,
    /// that may be read and executed
    pub execute: Vec<PathBuf>,
    /// TCP ports that may be bound; `None`: all
    pub bind: Option<Vec<u16>>,
    /// TCP ports that may be connected to; `None`: all
    pub connect: Option<Vec<u16>>,
    /// a kernel that cannot do all of it is an error; otherwise what it can is done
    pub required: bool,
    /// whom it is put on
    #[serde(default)]
    pub whose: Whose,
}

/// The version of Landlock that has every right to files that is spoken of here: Linux 6.2, the right to
/// truncate among them.
pub const FILES: u32 = 3;
/// The version that knows TCP ports: Linux 6.7.
pub const PORTS: u32 = 4;

impl Landlock {
    /// True where files are restricted: those that no list names are out of reach.
    pub fn restricts_files(&self) -> bool {
        !(self.read.is_empty() && self.write.is_empty() && self.execute.is_empty())
    }

    /// True where ports are restricted.
    pub fn restricts_ports(&self) -> bool {
        self.bind.is_some() || self.connect.is_some()
    }

    /// The version that it needs to be whole.
    pub fn version(&self) -> u32 {
        if self.restricts_ports() { PORTS } else { FILES }
    }

    /// Every path with what it is named for, in the order of the lists.
    pub fn paths(&self) -> impl Iterator<Item = (&PathBuf, Right)> {
        let each = |list, right| <&Vec<PathBuf>>::into_iter(list).map(move |path| (path, right));
        each(&self.read, Right::Read)
            .chain(each(&self.write, Right::Write))
            .chain(each(&self.execute, Right::Execute))
    }

    /// The value alone, for a timeline.
    pub fn word(&self) -> String {
        self.to_string().trim_start_matches("Landlock of the ").to_owned()
    }
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Landlock of the ")?;
        f.write_str(if self.whose == Whose::Program { "program" } else { "daemon" })?;
        let mut sep = ": ";
        for (list, verb) in [(&self.read, "read"), (&self.write, "write"), (&self.execute, "execute")] {
            if !list.is_empty() {
                let paths: Vec<_> = list.iter().map(|p| p.display().to_string()).collect();
                write!(f, "{sep}{verb} {}", paths.join(" "))?;
                sep = ", ";
            }
        }
        for (ports, verb) in [(&self.bind, "bind"), (&self.connect, "connect to")] {
            if let Some(ports) = ports {
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                let ports = if ports.is_empty() { "no port".to_owned() } else { ports.join(" ") };
                write!(f, "{sep}{verb} {ports}")?;
                sep = ", ";
            }
        }
        Ok(())
    }
}

/// What is done with a file, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Right {
    Read,
    Write,
    Execute,
}

impl Right {
    /// Whether whoever has this has that.
    fn gives(self, wanted: Right) -> bool {
        self == wanted || wanted == Right::Read
    }

    /// The verb.
    pub fn verb(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "change",
            Right::Execute => "execute",
        }
    }
}

/// One that is on: several add up, and each must let through what is done.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// where the paths led when it was made; `None`: files are not restricted
    pub files: Option<Vec<(PathBuf, Right)>>,
    /// TCP ports that may be bound; `None`: all
    pub bind: Option<Vec<u16>>,
}

impl Domain {
    /// Whether a file is left, or what is in a directory: `at` is where it really is.
    pub fn leaves(&self, at: &Path, wanted: Right) -> bool {
        self.files
            .as_ref()
            .is_none_or(|all| all.iter().any(|(path, right)| at.starts_with(path) && right.gives(wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_below_a_path_that_was_named() {
        let all = vec![("/usr".into(), Right::Execute), ("/var/a".into(), Right::Write)];
        let domain = Domain { files: Some(all), bind: None };
        for (path, right, left) in [
            ("/usr/bin/a", Right::Execute, true),
            ("/usr/bin/a", Right::Read, true),
            ("/usr/bin/a", Right::Write, false),
            ("/var/a", Right::Write, true),
            ("/var/a/b", Right::Execute, false),
            ("/var/ab", Right::Read, false),
        ] {
            assert_eq!(domain.leaves(Path::new(path), right), left, "{path} {right:?}");
        }
        assert!(Domain::default().leaves(Path::new("/etc"), Right::Write));
    }

    #[test]
    fn it_says_what_it_is() {
        let wanted = Landlock {
            read: vec!["/etc".into()],
            execute: vec!["/usr".into(), "/lib".into()],
            bind: Some(vec![80]),
            connect: Some(Vec::new()),
            ..Landlock::default()
        };
        assert_eq!(
            wanted.to_string(),
            "Landlock of the program: read /etc, execute /usr /lib, bind 80, connect to no port"
        );
        assert_eq!((wanted.version(), wanted.paths().count()), (PORTS, 3));
    }
}
