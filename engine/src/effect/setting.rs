//! The settings of a process: each is inherited by what it starts, and ends with it.

use super::{Capability, CapabilitySet, Landlock, SystemCalls, Whose};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// One setting, as it is to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// PR_SET_NO_NEW_PRIVS: no execve(2) gives privileges any more, by set-id bit or file capability
    NoNewPrivileges,
    /// PR_CAPBSET_DROP: of the bounding set no more than these stay
    Bounding(CapabilitySet),
    /// capset(2) and PR_CAP_AMBIENT: what is `None` stays, the ambient set within the others
    Capabilities {
        /// permitted and effective set
        permitted: Option<CapabilitySet>,
        /// inheritable set
        inheritable: Option<CapabilitySet>,
        /// ambient set
        ambient: Option<CapabilitySet>,
    },
    /// PR_SET_SECUREBITS: these, and no other
    SecureBits(SecureBits),
    /// setrlimit(2)
    Limit(Resource, Limits),
    /// setpriority(2): the nice value, -20 to 19
    Nice(i32),
    /// sched_setscheduler(2)
    Scheduler(Policy),
    /// ioprio_set(2)
    IoPriority(IoPriority),
    /// /proc/self/oom_score_adj, -1000 to 1000
    OomScore(i32),
    /// PR_SET_DUMPABLE
    Dumpable(bool),
    /// KEYCTL_JOIN_SESSION_KEYRING: a new session keyring, with none of the caller's keys
    Keyring,
    /// seccomp(2): system calls that are let through, and no other
    SystemCalls(SystemCalls),
    /// landlock(7): files and ports that are left, and no other
    Landlock(Landlock),
    /// sched_setaffinity(2): the processors it may run on, by number, sorted
    Affinity(Vec<u32>),
    /// PR_SET_TIMERSLACK: how much later than asked it may be woken, nanoseconds; 0 for what it began with
    TimerSlack(u64),
}

impl Setting {
    /// True where the identity shows it.
    pub fn changes_identity(&self) -> bool {
        matches!(
            self,
            Setting::NoNewPrivileges
                | Setting::Bounding(_)
                | Setting::Capabilities { .. }
                | Setting::SecureBits(_)
                | Setting::SystemCalls(SystemCalls { whose: Whose::Daemon, .. })
        )
    }

    /// Whom it takes system calls or files away from, where it does.
    pub fn confines(&self) -> Option<Whose> {
        match self {
            Setting::SystemCalls(filter) => Some(filter.whose),
            Setting::Landlock(wanted) => Some(wanted.whose),
            _ => None,
        }
    }

    /// The value alone, for a timeline.
    pub fn word(&self) -> Option<String> {
        Some(match self {
            Setting::NoNewPrivileges | Setting::Keyring => return None,
            Setting::Bounding(set) => names(*set),
            Setting::Capabilities { permitted, inheritable, ambient } => {
                names(ambient.or(*permitted).or(*inheritable)?)
            }
            Setting::SecureBits(bits) => bits.to_string(),
            Setting::Limit(resource, limits) => format!("{resource} {limits}"),
            Setting::Nice(value) | Setting::OomScore(value) => value.to_string(),
            Setting::Scheduler(policy) => policy.to_string(),
            Setting::IoPriority(priority) => priority.to_string(),
            Setting::Dumpable(on) => if *on { "yes" } else { "no" }.to_owned(),
            Setting::SystemCalls(filter) => filter.word(),
            Setting::Landlock(wanted) => wanted.word(),
            Setting::Affinity(cpus) => crate::text::ranges(cpus),
            Setting::TimerSlack(ns) => crate::text::duration(*ns),
        })
    }
}

fn names(set: CapabilitySet) -> String {
    if set.is_empty() {
        return "none".to_owned();
    }
    set.iter().map(Capability::name).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::NoNewPrivileges => f.write_str("set no_new_privs"),
            Setting::Bounding(set) => write!(f, "cut the bounding set to {}", names(*set)),
            Setting::Capabilities { permitted, inheritable, ambient } => {
                let sets = [("permitted", permitted), ("inheritable", inheritable), ("ambient", ambient)];
                let text: Vec<String> =
                    sets.iter().filter_map(|(n, s)| Some(format!("{n} {}", names((**s)?)))).collect();
                write!(f, "capabilities: {}", text.join(", "))
            }
            Setting::SecureBits(bits) => write!(f, "securebits {bits}"),
            Setting::Limit(resource, limits) => write!(f, "limit {resource} {limits}"),
            Setting::Nice(value) => write!(f, "nice {value}"),
            Setting::Scheduler(policy) => write!(f, "scheduler {policy}"),
            Setting::IoPriority(priority) => write!(f, "io priority {priority}"),
            Setting::OomScore(value) => write!(f, "oom score {value}"),
            Setting::Dumpable(true) => f.write_str("dumpable"),
            Setting::Dumpable(false) => f.write_str("not dumpable"),
            Setting::Keyring => f.write_str("new session keyring"),
            Setting::SystemCalls(filter) => write!(f, "{filter}"),
            Setting::Landlock(wanted) => write!(f, "{wanted}"),
            Setting::Affinity(cpus) => write!(f, "run on processors {}", crate::text::ranges(cpus)),
            Setting::TimerSlack(ns) => write!(f, "timer slack {}", crate::text::duration(*ns)),
        }
    }
}

/// The securebits of a process, capabilities(7): one bit each, every second one the lock of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecureBits(pub u32);

impl SecureBits {
    /// uid 0 and set-user-id root files give no capabilities
    pub const NOROOT: u32 = 1;
    /// a change of user ids changes no capability set
    pub const NO_SETUID_FIXUP: u32 = 1 << 2;
    /// the permitted set survives leaving uid 0; cleared by execve(2)
    pub const KEEP_CAPS: u32 = 1 << 4;
    /// nothing can be added to the ambient set
    pub const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
    /// names as systemd's `SecureBits=` has them
    pub const NAMES: [(&'static str, u32); 8] = [
        ("noroot", Self::NOROOT),
        ("noroot-locked", 1 << 1),
        ("no-setuid-fixup", Self::NO_SETUID_FIXUP),
        ("no-setuid-fixup-locked", 1 << 3),
        ("keep-caps", Self::KEEP_CAPS),
        ("keep-caps-locked", 1 << 5),
        ("no-cap-ambient-raise", Self::NO_CAP_AMBIENT_RAISE),
        ("no-cap-ambient-raise-locked", 1 << 7),
    ];

    /// The bit of that name.
    pub fn by_name(name: &str) -> Option<u32> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, bit)| *bit)
    }
    /// True if that one (not its lock) is set.
    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
    /// True if that one can no longer be changed.
    pub fn locked(self, bit: u32) -> bool {
        self.0 & (bit << 1) != 0
    }
    /// The names of those that are set.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(name, _)| *name)
    }
}

impl fmt::Display for SecureBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            _ => f.write_str(&self.iter().collect::<Vec<_>>().join(" ")),
        }
    }
}

impl Serialize for SecureBits {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for SecureBits {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(d)?;
        Ok(SecureBits(names.iter().filter_map(|n| SecureBits::by_name(n)).fold(0, |bits, bit| bits | bit)))
    }
}

macro_rules! resources {
    ($($name:ident = $number:literal $text:literal $unit:ident $about:literal),* $(,)?) => {
        /// What can be limited, getrlimit(2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs)]
        #[serde(rename_all = "lowercase")]
        pub enum Resource { $($name = $number),* }
        impl Resource {
            /// Every one, by Linux's number of it (generic and x86; others differ).
            pub const ALL: &'static [Resource] = &[$(Resource::$name),*];
            /// The name, as prlimit(1) and systemd's `Limit…=` have it.
            pub const fn name(self) -> &'static str {
                match self { $(Resource::$name => $text),* }
            }
            /// What a number of it counts.
            pub const fn unit(self) -> Unit {
                match self { $(Resource::$name => Unit::$unit),* }
            }
            /// What it limits, a phrase.
            pub const fn about(self) -> &'static str {
                match self { $(Resource::$name => $about),* }
            }
        }
    };
}
resources! {
    Cpu = 0 "cpu" Seconds "processor time",
    Fsize = 1 "fsize" Bytes "size of a file it writes",
    Data = 2 "data" Bytes "its data segment",
    Stack = 3 "stack" Bytes "its stack",
    Core = 4 "core" Bytes "size of a core file; 0 for none",
    Rss = 5 "rss" Bytes "its resident set; without effect since Linux 2.4.30",
    Nproc = 6 "nproc" Count "processes and threads of its user",
    Nofile = 7 "nofile" Count "one more than its highest descriptor",
    Memlock = 8 "memlock" Bytes "memory it may lock",
    As = 9 "as" Bytes "its address space",
    Locks = 10 "locks" Count "file locks; without effect since Linux 2.4.25",
    Sigpending = 11 "sigpending" Count "signals that wait for its user",
    Msgqueue = 12 "msgqueue" Bytes "message queues of its user",
    Nice = 13 "nice" Count "20 minus the lowest nice value it may take",
    Rtprio = 14 "rtprio" Count "highest real-time priority it may take",
    Rttime = 15 "rttime" Microseconds "processor time at real-time priority without a blocking call",
}

/// What the number of a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Bytes,
    Count,
    Seconds,
    Microseconds,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Soft and hard limit; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// what the kernel enforces
    pub soft: u64,
    /// how far the process may raise the other
    pub hard: u64,
}

impl Limits {
    /// RLIM_INFINITY
    pub const NONE: u64 = u64::MAX;
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |n: u64| if n == Self::NONE { "unlimited".to_owned() } else { n.to_string() };
        match self.soft == self.hard {
            true => f.write_str(&text(self.soft)),
            false => write!(f, "{}:{}", text(self.soft), text(self.hard)),
        }
    }
}

/// A scheduling policy with its priority, sched(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// the usual one
    #[default]
    Other,
    /// for work that nobody waits for
    Batch,
    /// when nothing else runs
    Idle,
    /// real time, 1 to 99, first come first served
    Fifo(u8),
    /// real time, 1 to 99, in turns
    Rr(u8),
}

impl Policy {
    /// The real-time priority, 0 for the policies that have none.
    pub fn priority(self) -> u8 {
        match self {
            Policy::Fifo(priority) | Policy::Rr(priority) => priority,
            _ => 0,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Other => f.write_str("other"),
            Policy::Batch => f.write_str("batch"),
            Policy::Idle => f.write_str("idle"),
            Policy::Fifo(priority) => write!(f, "fifo {priority}"),
            Policy::Rr(priority) => write!(f, "rr {priority}"),
        }
    }
}

/// The class and level of input and output, ioprio_set(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoPriority {
    /// as the nice value says
    #[default]
    None,
    /// before all others, 0 (first) to 7
    Realtime(u8),
    /// 0 (first) to 7
    BestEffort(u8),
    /// when nobody else wants the disk
    Idle,
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoPriority::None => f.write_str("none"),
            IoPriority::Realtime(level) => write!(f, "realtime {level}"),
            IoPriority::BestEffort(level) => write!(f, "best-effort {level}"),
            IoPriority::Idle => f.write_str("idle"),
        }
    }
}

/// The settings that no identity shows, as a process has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// nice value
    pub nice: i32,
    /// scheduling policy
    pub scheduler: Policy,
    /// class and level of input and output
    pub io: IoPriority,
    /// oom_score_adj
    pub oom_score: i32,
    /// its files below /proc are its own, and not root's
    pub dumpable: bool,
    /// what is not in it is not known
    pub limits: BTreeMap<Resource, Limits>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            nice: 0,
            scheduler: Policy::default(),
            io: IoPriority::default(),
            oom_score: 0,
            dumpable: true,
            limits: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_said_in_its_own_words() {
        let port = CapabilitySet(1 << Capability::NetBindService as u8);
        let limits = Limits { soft: 1, hard: Limits::NONE };
        let bits = SecureBits(SecureBits::NOROOT | 2);
        let kept = Setting::Capabilities { permitted: None, inheritable: None, ambient: Some(port) };
        for (setting, text) in [
            (Setting::Bounding(CapabilitySet::EMPTY), "cut the bounding set to none"),
            (kept, "capabilities: ambient cap_net_bind_service"),
            (Setting::SecureBits(bits), "securebits noroot noroot-locked"),
            (Setting::Limit(Resource::Nofile, limits), "limit nofile 1:unlimited"),
            (Setting::Scheduler(Policy::Rr(7)), "scheduler rr 7"),
        ] {
            assert_eq!(setting.to_string(), text);
            let json = serde_json::to_string(&setting).unwrap();
            assert_eq!(serde_json::from_str::<Setting>(&json).unwrap(), setting, "{json}");
        }
    }

    #[test]
    fn a_bit_and_its_lock() {
        let bits = SecureBits(SecureBits::KEEP_CAPS | SecureBits::NOROOT << 1);
        assert!(bits.has(SecureBits::KEEP_CAPS) && !bits.locked(SecureBits::KEEP_CAPS));
        assert!(!bits.has(SecureBits::NOROOT) && bits.locked(SecureBits::NOROOT));
    }
}
