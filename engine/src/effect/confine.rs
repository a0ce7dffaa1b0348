//! What takes away from a process without changing who it is: a filter of its system calls, seccomp(2).

use super::calls::{self, Architecture, Transport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Whom a confinement is put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// the application alone: a program in the moment before it is executed, so that its keeper goes on
    /// unconfined; one that is hosted in this process, when it is started
    #[default]
    Program,
    /// this process at once, and all that it does and starts from then on
    Daemon,
}

impl Whose {
    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Whose> {
        match name {
            "program" => Some(Whose::Program),
            "daemon" => Some(Whose::Daemon),
            _ => None,
        }
    }
}

/// What becomes of a system call that a filter does not let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// it answers EPERM
    #[default]
    Fail,
    /// the process ends by SIGSYS
    Kill,
    /// it is let through, and the kernel's log has it: to find out what a program needs
    Log,
}

impl Otherwise {
    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Otherwise> {
        match name {
            "fail" => Some(Otherwise::Fail),
            "kill" => Some(Otherwise::Kill),
            "log" => Some(Otherwise::Log),
            _ => None,
        }
    }
}

/// A filter of system calls, in the words that it was asked for with: names, and groups with `@`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCalls {
    /// nothing but these and `@default`; empty for all
    pub allow: Vec<String>,
    /// and of those not these; and no socket of these transports
    pub deny: Vec<String>,
    /// what becomes of the others
    #[serde(default)]
    pub otherwise: Otherwise,
    /// whom it is put on
    #[serde(default)]
    pub whose: Whose,
}

/// What every program needs, whatever is allowed.
const ALWAYS: &str = "@default";

impl SystemCalls {
    /// The first word that is neither a system call nor a group of them.
    pub fn unknown(&self) -> Option<&str> {
        self.allow.iter().chain(&self.deny).map(String::as_str).find(|word| calls::meant(word).is_none())
    }

    /// The transports that no socket may have.
    pub fn transports(&self) -> impl Iterator<Item = &'static Transport> {
        self.deny.iter().flat_map(|word| calls::transports(word))
    }

    /// Whether it looks at what is called at all, and not at transports alone.
    pub fn names_calls(&self) -> bool {
        !self.allow.is_empty() || self.deny.iter().any(|word| calls::transports(word).next().is_none())
    }

    /// The names of those that are let through.
    pub fn allowed(&self) -> BTreeSet<&'static str> {
        let meant = |words: &[String]| -> BTreeSet<&'static str> {
            words.iter().filter_map(|word| calls::meant(word)).flatten().collect()
        };
        let mut all: BTreeSet<&'static str> = match self.allow.is_empty() {
            true => calls::names().collect(),
            false => meant(&self.allow).into_iter().chain(meant(&[ALWAYS.to_owned()])).collect(),
        };
        for denied in meant(&self.deny) {
            all.remove(denied);
        }
        all
    }

    /// The numbers of those that are let through, on this architecture.
    pub fn numbers(&self, architecture: Architecture) -> BTreeSet<u32> {
        let allowed = self.allowed();
        calls::numbered(architecture).filter(|(name, _)| allowed.contains(name)).map(|(_, n)| n).collect()
    }

    /// Those of the system calls that do not get through.
    pub fn refused<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        if self.otherwise == Otherwise::Log {
            return Vec::new();
        }
        let allowed = self.allowed();
        wanted.into_iter().filter(|name| !allowed.contains(name)).collect()
    }

    /// The value alone, for a timeline.
    pub fn word(&self) -> String {
        let deny = self.deny.iter().map(|word| format!("~{word}"));
        self.allow.iter().cloned().chain(deny).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for SystemCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("system calls of the ")?;
        f.write_str(if self.whose == Whose::Program { "program" } else { "daemon" })?;
        if !self.allow.is_empty() {
            write!(f, ": allow {}", self.allow.join(" "))?;
        }
        if !self.deny.is_empty() {
            let sep = if self.allow.is_empty() { ":" } else { "," };
            write!(f, "{sep} deny {}", self.deny.join(" "))?;
        }
        f.write_str(match self.otherwise {
            Otherwise::Fail => "",
            Otherwise::Kill => ", kill it otherwise",
            Otherwise::Log => ", log the others",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(allow: &[&str], deny: &[&str]) -> SystemCalls {
        let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect();
        SystemCalls { allow: words(allow), deny: words(deny), ..SystemCalls::default() }
    }

    #[test]
    fn what_is_allowed_and_what_is_not() {
        let narrow = filter(&["@basic-io"], &[]);
        assert_eq!(narrow.refused(["read", "execve", "exit_group", "mkdir"]), ["mkdir"]);
        assert!(!narrow.numbers(Architecture::X86_64).contains(&83));
        let wide = filter(&[], &["@mount", "mkdir"]);
        assert_eq!(wide.refused(["chroot", "mkdir", "mkdirat", "read"]), ["chroot", "mkdir"]);
        let both = filter(&["@file-system"], &["@chown", "open"]);
        assert_eq!(both.refused(["open", "openat", "chown"]), ["open", "chown"]);
        // What a program needs to become one can be denied, too: that is for the check to find.
        assert_eq!(filter(&["@basic-io"], &["execve"]).refused(["execve"]), ["execve"]);
        let log = SystemCalls { otherwise: Otherwise::Log, ..narrow };
        assert!(log.refused(["mkdir"]).is_empty());
        assert_eq!(filter(&["@file-system", "@files"], &[]).unknown(), Some("@files"));
    }
}
