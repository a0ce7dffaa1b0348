//! Who a process is: ids, groups, capabilities, and where its paths lead.

use super::landlock::Domain;
use super::{NamespaceSet, SecureBits};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Real, effective and saved id.
pub type Ids = [u32; 3];

/// Everything about a process that decides what it may do and where its paths lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// real, effective, saved user id
    pub uid: Ids,
    /// real, effective, saved group id
    pub gid: Ids,
    /// supplementary groups, sorted
    pub groups: Vec<u32>,
    /// effective capabilities
    pub caps: CapabilitySet,
    /// permitted capabilities
    pub permitted: CapabilitySet,
    /// inheritable capabilities
    pub inheritable: CapabilitySet,
    /// ambient capabilities
    pub ambient: CapabilitySet,
    /// bounding set
    pub bounding: CapabilitySet,
    /// root directory, as seen from the launcher's root
    #[serde(serialize_with = "shown")]
    pub root: PathBuf,
    /// working directory, as seen inside `root`
    #[serde(serialize_with = "shown")]
    pub cwd: PathBuf,
    /// file mode creation mask
    #[serde(with = "octal")]
    pub umask: u32,
    /// no execve(2) gives privileges any more
    #[serde(default)]
    pub no_new_privs: bool,
    /// how uid 0 and changes of user ids act on capabilities
    #[serde(default)]
    pub securebits: SecureBits,
    /// a filter of system calls is on (PR_GET_SECCOMP)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seccomp: bool,
    /// what Landlock leaves to it, as far as the model knows: the kernel tells nobody
    #[serde(skip)]
    pub landlock: Domains,
    /// namespaces of its own: others than the run was started in
    #[serde(default, skip_serializing_if = "NamespaceSet::is_empty")]
    pub namespaces: NamespaceSet,
}

/// Every one that is on. They make no difference between two identities: nobody can compare them.
#[derive(Clone, Debug, Default)]
pub struct Domains(pub Vec<Domain>);

impl PartialEq for Domains {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Domains {}

/// A path as it is seen inside of `root`, as whoever stayed outside calls it. `..` does not lead out of a root.
pub fn outside(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") || !path.is_absolute() {
        return path.to_owned();
    }
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => drop(inside.pop()),
            _ => {}
        }
    }
    root.join(inside)
}

impl Identity {
    /// The fields in which two identities differ: (name, this one's, the other's).
    pub fn differences(&self, other: &Identity) -> Vec<(&'static str, String, String)> {
        fn text<T: Serialize>(value: T) -> String {
            serde_json::to_string(&value).unwrap_or_default().replace('"', "")
        }
        let mut found = Vec::new();
        macro_rules! compare {
            ($($field:ident),*) => {$(
                if self.$field != other.$field {
                    found.push((stringify!($field), text(&self.$field), text(&other.$field)));
                }
            )*};
        }
        compare!(
            uid,
            gid,
            groups,
            caps,
            permitted,
            inheritable,
            ambient,
            bounding,
            root,
            cwd,
            no_new_privs,
            securebits,
            seccomp,
            namespaces
        );
        if self.umask != other.umask {
            found.push(("umask", format!("{:03o}", self.umask), format!("{:03o}", other.umask)));
        }
        found
    }
}

/// A path in a journal or a view is for people: what is no text in it is shown as U+FFFD.
fn shown<S: serde::Serializer>(path: &std::path::Path, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&path.to_string_lossy())
}

mod octal {
    use serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(v: &u32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{v:03o}"))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
        let text = String::deserialize(d)?;
        u32::from_str_radix(&text, 8).map_err(serde::de::Error::custom)
    }
}

macro_rules! capabilities {
    ($($name:ident = $bit:literal $text:literal),* $(,)?) => {
        /// A Linux capability, capabilities(7).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Capability { $($name = $bit),* }
        impl Capability {
            /// Every capability, by number.
            pub const ALL: &'static [Capability] = &[$(Capability::$name),*];
            /// Linux's name for it.
            pub fn name(self) -> &'static str {
                match self { $(Capability::$name => $text),* }
            }
        }
    };
}
capabilities! {
    Chown = 0 "cap_chown", DacOverride = 1 "cap_dac_override", DacReadSearch = 2 "cap_dac_read_search",
    Fowner = 3 "cap_fowner", Fsetid = 4 "cap_fsetid", Kill = 5 "cap_kill", Setgid = 6 "cap_setgid",
    Setuid = 7 "cap_setuid", Setpcap = 8 "cap_setpcap", LinuxImmutable = 9 "cap_linux_immutable",
    NetBindService = 10 "cap_net_bind_service", NetBroadcast = 11 "cap_net_broadcast",
    NetAdmin = 12 "cap_net_admin", NetRaw = 13 "cap_net_raw", IpcLock = 14 "cap_ipc_lock",
    IpcOwner = 15 "cap_ipc_owner", SysModule = 16 "cap_sys_module", SysRawio = 17 "cap_sys_rawio",
    SysChroot = 18 "cap_sys_chroot", SysPtrace = 19 "cap_sys_ptrace", SysPacct = 20 "cap_sys_pacct",
    SysAdmin = 21 "cap_sys_admin", SysBoot = 22 "cap_sys_boot", SysNice = 23 "cap_sys_nice",
    SysResource = 24 "cap_sys_resource", SysTime = 25 "cap_sys_time",
    SysTtyConfig = 26 "cap_sys_tty_config", Mknod = 27 "cap_mknod", Lease = 28 "cap_lease",
    AuditWrite = 29 "cap_audit_write", AuditControl = 30 "cap_audit_control", Setfcap = 31 "cap_setfcap",
    MacOverride = 32 "cap_mac_override", MacAdmin = 33 "cap_mac_admin", Syslog = 34 "cap_syslog",
    WakeAlarm = 35 "cap_wake_alarm", BlockSuspend = 36 "cap_block_suspend",
    AuditRead = 37 "cap_audit_read", Perfmon = 38 "cap_perfmon", Bpf = 39 "cap_bpf",
    CheckpointRestore = 40 "cap_checkpoint_restore",
}

impl Capability {
    /// The capability of that name, `cap_net_bind_service` or `CAP_NET_BIND_SERVICE`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        Capability::by_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no capability `{name}`")))
    }
}

/// A set of capabilities, as the kernel keeps it: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = CapabilitySet(0);
    /// True if it holds that one.
    pub fn has(self, c: Capability) -> bool {
        self.0 & (1 << c as u8) != 0
    }
    /// Those of both.
    pub fn and(self, other: Self) -> Self {
        CapabilitySet(self.0 & other.0)
    }
    /// Those that the other has not.
    pub fn without(self, other: Self) -> Self {
        CapabilitySet(self.0 & !other.0)
    }
    /// How many.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }
    /// True if it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Those it holds, by number; bits without a name in this build are left out.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |c| self.has(*c))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(each: I) -> Self {
        CapabilitySet(each.into_iter().fold(0, |bits, c| bits | 1 << c as u8))
    }
}

impl Serialize for CapabilitySet {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for CapabilitySet {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let list = Vec::<Capability>::deserialize(d)?;
        Ok(CapabilitySet(list.iter().fold(0, |bits, c| bits | 1 << *c as u8)))
    }
}
