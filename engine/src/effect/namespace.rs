//! Namespaces: what of the machine a process sees as its own, namespaces(7).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! namespaces {
    ($($name:ident = $bit:literal $text:literal $file:literal $about:literal),* $(,)?) => {
        /// A namespace of Linux that a process can leave for one of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Namespace { $($name = $bit),* }
        impl Namespace {
            /// Every one.
            pub const ALL: &'static [Namespace] = &[$(Namespace::$name),*];
            /// Its name in a spec, and in unshare(1).
            pub const fn name(self) -> &'static str {
                match self { $(Namespace::$name => $text),* }
            }
            /// Its name below /proc/PID/ns.
            pub const fn file(self) -> &'static str {
                match self { $(Namespace::$name => $file),* }
            }
            /// What is its own in a new one, a phrase.
            pub const fn about(self) -> &'static str {
                match self { $(Namespace::$name => $about),* }
            }
        }
    };
}
namespaces! {
    Mount = 0 "mount" "mnt" "which file systems are where; begins as a copy, into which new mounts of the machine still come",
    Network = 1 "network" "net" "interfaces, addresses, ports and abstract sockets; begins with a loopback device and nothing else",
    Ipc = 2 "ipc" "ipc" "System V IPC and POSIX message queues; begins empty",
    Uts = 3 "uts" "uts" "host name and domain name; begins as a copy",
    Cgroup = 4 "cgroup" "cgroup" "its control group becomes the root of those that it sees",
}

impl Namespace {
    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|n| n.name() == name)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of namespaces, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceSet(pub u8);

impl NamespaceSet {
    /// None.
    pub const EMPTY: Self = NamespaceSet(0);
    /// Whether it holds that one.
    pub fn has(self, namespace: Namespace) -> bool {
        self.0 & (1 << namespace as u8) != 0
    }
    /// Those of either.
    pub fn or(self, other: Self) -> Self {
        NamespaceSet(self.0 | other.0)
    }
    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
    /// Those it holds.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.iter().copied().filter(move |n| self.has(*n))
    }
}

impl FromIterator<Namespace> for NamespaceSet {
    fn from_iter<I: IntoIterator<Item = Namespace>>(each: I) -> Self {
        NamespaceSet(each.into_iter().fold(0, |bits, n| bits | 1 << n as u8))
    }
}

impl fmt::Display for NamespaceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Namespace::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl Serialize for NamespaceSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter().map(Namespace::name))
    }
}

impl<'de> Deserialize<'de> for NamespaceSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let one = |name: &String| {
            Namespace::by_name(name).ok_or_else(|| serde::de::Error::custom(format!("no namespace `{name}`")))
        };
        Vec::<String>::deserialize(d)?.iter().map(one).collect()
    }
}
