//! The system calls of Linux: their names, their numbers, and the groups that a filter names them by.
//!
//! Groups have the names that systemd.exec(5) gives them under `SystemCallFilter=`, so that what is known
//! of a service can be said here in the same words. Numbers are those of syscalls(2); they never change.

use std::collections::BTreeSet;

/// Name, number on x86-64, number on AArch64; `-` where it has none.
const NUMBERS: &str = include_str!("calls/numbers.txt");
/// `@name: what it is`, and its members on the lines below, groups among them.
const GROUPS: &str = include_str!("calls/groups.txt");

/// A processor architecture that system calls are numbered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64, by its own numbers: neither x32 nor i386
    X86_64,
    /// AArch64
    Aarch64,
}

/// Every system call that this build knows: name and number on this architecture.
pub fn numbered(architecture: Architecture) -> impl Iterator<Item = (&'static str, u32)> {
    NUMBERS.lines().filter_map(move |line| {
        let mut words = line.split_whitespace();
        let (name, x86, arm) = (words.next()?, words.next()?, words.next()?);
        let number = match architecture {
            Architecture::X86_64 => x86,
            Architecture::Aarch64 => arm,
        };
        Some((name, number.parse().ok()?))
    })
}

/// The names of all system calls that this build knows, of any architecture.
pub fn names() -> impl Iterator<Item = &'static str> {
    NUMBERS.lines().filter_map(|line| line.split_whitespace().next())
}

/// The groups: name with `@`, and what is in it, a phrase.
pub fn groups() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.lines().filter(|line| line.starts_with('@')).filter_map(|line| line.split_once(": "))
}

/// What a group names: system calls and other groups. `None`: there is no such group.
fn members(group: &str) -> Option<Vec<&'static str>> {
    let mut lines =
        GROUPS.lines().skip_while(|line| line.split_once(':').is_none_or(|(name, _)| name != group));
    lines.next()?;
    Some(lines.take_while(|line| line.starts_with(' ')).flat_map(str::split_whitespace).collect())
}

/// What socket(2) is asked for: by its family where `protocol` is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// the word that denies it
    pub word: &'static str,
    /// its address family
    pub family: Option<u32>,
    /// its number as a protocol of IPv4 and IPv6
    pub protocol: Option<u32>,
}

/// Transports that a filter can deny by a word: what speaks with TCP and is no TCP to Landlock (`sk_is_tcp()` in
/// the kernel's security/landlock/net.c).
pub const TRANSPORTS: &[Transport] = &[
    Transport { word: "socket:mptcp", family: None, protocol: Some(262) },
    Transport { word: "socket:smc", family: None, protocol: Some(256) },
    Transport { word: "socket:smc", family: Some(43), protocol: None },
];

/// Those that a word denies: with [`meant`] they are no system call.
pub fn transports(word: &str) -> impl Iterator<Item = &'static Transport> {
    TRANSPORTS.iter().filter(move |transport| transport.word == word)
}

/// The system calls that a word stands for: a name, or a group with `@`; none for a transport, of which socket(2)
/// alone is denied. `None`: it is none of these.
pub fn meant(word: &str) -> Option<BTreeSet<&'static str>> {
    if transports(word).next().is_some() {
        return Some(BTreeSet::new());
    }
    if !word.starts_with('@') {
        return names().find(|name| *name == word).map(|name| BTreeSet::from([name]));
    }
    let mut found = BTreeSet::new();
    for member in members(word)? {
        match member.starts_with('@') {
            true => found.extend(meant(member)?),
            false => drop(found.insert(member)),
        }
    }
    Some(found)
}

/// The narrowest group that a system call is in, if it is in one.
pub fn group_of(call: &str) -> Option<&'static str> {
    groups()
        .map(|(name, _)| name)
        .filter(|group| members(group).is_some_and(|all| all.contains(&call)))
        .min_by_key(|group| meant(group).map_or(usize::MAX, |all| all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_hold_together() {
        let all: BTreeSet<_> = names().collect();
        assert_eq!(all.len(), names().count(), "a name that stands twice");
        assert_eq!(NUMBERS.lines().count(), all.len());
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let numbers: BTreeSet<_> = numbered(architecture).map(|(_, n)| n).collect();
            assert_eq!(numbers.len(), numbered(architecture).count(), "a number that stands twice");
            assert!(numbers.len() > 310, "{}", numbers.len());
        }
        for (group, about) in groups() {
            let calls = meant(group).unwrap_or_else(|| panic!("{group} names what is not there"));
            assert!(!calls.is_empty() && !about.is_empty() && calls.is_subset(&all), "{group}");
        }
        assert!(groups().count() > 25);
    }

    #[test]
    fn groups_are_opened_and_names_are_found() {
        let service = meant("@system-service").unwrap();
        assert!(service.contains("openat") && service.contains("exit_group"), "by the groups in it");
        assert!(!service.contains("mount") && !service.contains("ptrace") && !service.contains("bpf"));
        assert_eq!(meant("mkdir"), Some(BTreeSet::from(["mkdir"])));
        assert_eq!(meant("@nothing").or(meant("mkdirr")), None);
        assert_eq!((group_of("mkdir"), group_of("nothing")), (Some("@file-system"), None));
        assert_eq!(group_of("chown"), Some("@chown"));
        assert_eq!(numbered(Architecture::X86_64).find(|(n, _)| *n == "execve"), Some(("execve", 59)));
        assert_eq!(numbered(Architecture::Aarch64).find(|(n, _)| *n == "execve"), Some(("execve", 221)));
    }
}
