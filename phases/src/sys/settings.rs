//! The settings of this process: capabilities, securebits, limits, priorities.

use engine::effect::{Capability, CapabilitySet, IoPriority, Limits, Policy, Resource, SecureBits, Settings};
use nix::errno::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySets};

fn nix(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

fn bit(capability: Capability) -> rustix::thread::CapabilitySet {
    rustix::thread::CapabilitySet::from_bits_retain(1 << capability as u8)
}

/// Takes everything out of the bounding set but these, those without a name here too.
pub fn cut_bounding(keep: CapabilitySet) -> Result<(), Errno> {
    for number in 0..64 {
        let one = rustix::thread::CapabilitySet::from_bits_retain(1u64 << number);
        match rustix::thread::capability_is_in_bounding_set(one) {
            // The kernel knows no more of them.
            Err(_) => break,
            Ok(false) => continue,
            Ok(true) if keep.0 & (1u64 << number) != 0 => continue,
            Ok(true) => rustix::thread::remove_capability_from_bounding_set(one).map_err(nix)?,
        }
    }
    Ok(())
}

/// Effective, permitted and inheritable set become these.
pub fn set_capabilities(
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
) -> Result<(), Errno> {
    let set = |s: CapabilitySet| rustix::thread::CapabilitySet::from_bits_retain(s.0);
    let sets = CapabilitySets {
        effective: set(effective),
        permitted: set(permitted),
        inheritable: set(inheritable),
    };
    rustix::thread::set_capabilities(None, sets).map_err(nix)
}

/// The ambient set becomes this: first lowered, then raised.
pub fn set_ambient(now: CapabilitySet, wanted: CapabilitySet) -> Result<(), Errno> {
    for (set, raise) in [(now.without(wanted), false), (wanted.without(now), true)] {
        for capability in set.iter() {
            rustix::thread::configure_capability_in_ambient_set(bit(capability), raise).map_err(nix)?;
        }
    }
    Ok(())
}

/// Whether the permitted set survives leaving uid 0.
pub fn keep_capabilities(keep: bool) -> Result<(), Errno> {
    rustix::thread::set_keep_capabilities(keep).map_err(nix)
}

/// The securebits.
pub fn securebits() -> SecureBits {
    SecureBits(rustix::thread::capabilities_secure_bits().map_or(0, |bits| bits.bits()))
}

/// The securebits become these.
pub fn set_securebits(bits: SecureBits) -> Result<(), Errno> {
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::from_bits_retain(bits.0))
        .map_err(nix)
}

/// Whether execve(2) still gives privileges.
pub fn no_new_privs() -> bool {
    rustix::thread::no_new_privs().unwrap_or(false)
}

/// No execve(2) gives privileges any more.
pub fn set_no_new_privs() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true).map_err(nix)
}

/// The nice value becomes this.
pub fn set_nice(value: i32) -> Result<(), Errno> {
    rustix::process::setpriority_process(None, value).map_err(nix)
}

/// Whether core files are made of this process, and who owns its files below /proc.
pub fn dumpable() -> bool {
    nix::sys::prctl::get_dumpable().unwrap_or(true)
}

/// The same, set.
pub fn set_dumpable(on: bool) -> Result<(), Errno> {
    nix::sys::prctl::set_dumpable(on)
}

/// Both limits of a resource.
pub fn limits(resource: Resource) -> Result<Limits, Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the structure we own, and only that; an unknown number gives EINVAL.
    Errno::result(unsafe { libc::getrlimit(number(resource), &mut now) })?;
    Ok(Limits { soft: now.rlim_cur, hard: now.rlim_max })
}

/// Both limits of a resource become these.
pub fn set_limits(resource: Resource, limits: Limits) -> Result<(), Errno> {
    let new = libc::rlimit { rlim_cur: limits.soft, rlim_max: limits.hard };
    // SAFETY: the kernel reads one structure of ours; an unknown number gives EINVAL.
    Errno::result(unsafe { libc::setrlimit(number(resource), &new) }).map(drop)
}

fn number(resource: Resource) -> libc::__rlimit_resource_t {
    match resource {
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Stack => libc::RLIMIT_STACK,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::As => libc::RLIMIT_AS,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
    }
}

/// The scheduling policy becomes this, for children too.
pub fn set_scheduler(policy: Policy) -> Result<(), Errno> {
    let name = match policy {
        Policy::Other => libc::SCHED_OTHER,
        Policy::Batch => libc::SCHED_BATCH,
        Policy::Idle => libc::SCHED_IDLE,
        Policy::Fifo(_) => libc::SCHED_FIFO,
        Policy::Rr(_) => libc::SCHED_RR,
    };
    // SAFETY: a structure of plain numbers; all zeros is one of its values.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = i32::from(policy.priority());
    // SAFETY: the kernel reads one structure of ours; 0 is this thread, the only one.
    Errno::result(unsafe { libc::sched_setscheduler(0, name, &param) }).map(drop)
}

/// The scheduling policy of this process.
pub fn scheduler() -> Policy {
    // SAFETY: plain numbers; 0 is this thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    // SAFETY: a structure of plain numbers; all zeros is one of its values.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure we own.
    unsafe { libc::sched_getparam(0, &mut param) };
    let priority = u8::try_from(param.sched_priority).unwrap_or(0);
    // SCHED_RESET_ON_FORK may stand beside it.
    match policy & 0xffff {
        libc::SCHED_BATCH => Policy::Batch,
        libc::SCHED_IDLE => Policy::Idle,
        libc::SCHED_FIFO => Policy::Fifo(priority),
        libc::SCHED_RR => Policy::Rr(priority),
        _ => Policy::Other,
    }
}

/// ioprio_set(2): a class in the highest bits, a level below.
const CLASS_SHIFT: i32 = 13;
/// IOPRIO_WHO_PROCESS
const THIS: i32 = 1;

/// Class and level of input and output become these.
pub fn set_io_priority(priority: IoPriority) -> Result<(), Errno> {
    let value = match priority {
        IoPriority::None => 0,
        IoPriority::Realtime(level) => 1 << CLASS_SHIFT | i32::from(level),
        IoPriority::BestEffort(level) => 2 << CLASS_SHIFT | i32::from(level),
        IoPriority::Idle => 3 << CLASS_SHIFT,
    };
    // SAFETY: plain numbers; 0 is this thread.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, THIS, 0, value) }).map(drop)
}

/// Class and level of input and output.
pub fn io_priority() -> IoPriority {
    // SAFETY: plain numbers; 0 is this thread.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, THIS, 0) } as i32;
    let level = (value & 7) as u8;
    match value >> CLASS_SHIFT {
        1 => IoPriority::Realtime(level),
        2 => IoPriority::BestEffort(level),
        3 => IoPriority::Idle,
        _ => IoPriority::None,
    }
}

/// A new session keyring without a name: what the caller had in its own is out of reach.
pub fn new_keyring() -> Result<(), Errno> {
    const JOIN_SESSION: i32 = 1;
    // SAFETY: the operation takes a name or a null pointer, which stands for none.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, std::ptr::null::<libc::c_char>()) };
    Errno::result(done).map(drop)
}

/// How many processors a set can hold (CPU_SETSIZE).
pub const MOST_CPUS: u32 = 1024;

/// The processors that this process runs on, sorted.
pub fn affinity() -> Result<Vec<u32>, Errno> {
    let set = rustix::thread::sched_getaffinity(None).map_err(nix)?;
    Ok((0..MOST_CPUS).filter(|cpu| set.is_set(*cpu as usize)).collect())
}

/// This process runs on these from here on, as far as they are there. EINVAL where none of them is.
pub fn set_affinity(cpus: &[u32]) -> Result<(), Errno> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus.iter().filter(|cpu| **cpu < MOST_CPUS) {
        set.set(*cpu as usize);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(nix)
}

/// The processors that this process may be given: a child that asks for all of them gets those.
pub fn possible_cpus() -> Vec<u32> {
    let all: Vec<u32> = (0..MOST_CPUS).collect();
    let mut given = None;
    // What the child writes is this process's memory: a plain set of bits.
    let _ = super::child::attempt(|| {
        set_affinity(&all)?;
        given = rustix::thread::sched_getaffinity(None).ok();
        Ok(())
    });
    match given {
        Some(set) => (0..MOST_CPUS).filter(|cpu| set.is_set(*cpu as usize)).collect(),
        None => affinity().unwrap_or_default(),
    }
}

/// How much later than asked it may be woken, nanoseconds.
pub fn timer_slack() -> Result<u64, Errno> {
    nix::sys::prctl::get_timerslack().map(|ns| ns as u64)
}

/// The same becomes this.
pub fn set_timer_slack(ns: u64) -> Result<(), Errno> {
    nix::sys::prctl::set_timerslack(ns)
}

/// Where a process says how soon the kernel may end it when memory runs out.
pub const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Says how soon the kernel may end this process when memory runs out: from -1000, never, to 1000.
pub fn set_oom_score(score: i32) -> std::io::Result<()> {
    use std::io::Write;
    // Nothing is to be made or emptied there: a read-only mount is then asked after permissions.
    std::fs::OpenOptions::new().write(true).open(OOM_SCORE)?.write_all(score.to_string().as_bytes())
}

/// The settings of this process that no identity shows.
pub fn read() -> Settings {
    let oom_score = std::fs::read_to_string(OOM_SCORE).ok().and_then(|t| t.trim().parse().ok());
    Settings {
        nice: rustix::process::getpriority_process(None).unwrap_or(0),
        scheduler: scheduler(),
        io: io_priority(),
        oom_score: oom_score.unwrap_or(0),
        dumpable: dumpable(),
        limits: Resource::ALL.iter().filter_map(|r| Some((*r, limits(*r).ok()?))).collect(),
    }
}
