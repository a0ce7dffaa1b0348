//! A running process, as /proc shows it (proc_pid_status(5), proc_pid_stat(5)).

use engine::effect::CapabilitySet;
use serde::Serialize;

/// A running process, as /proc shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// effective user id
    pub uid: u32,
    /// effective group id
    pub gid: u32,
    /// for how long it has been up, nanoseconds
    pub up_ns: u64,
    /// resident, bytes
    pub memory: u64,
}

/// What /proc says of a process; `None` if it is gone or cannot be seen.
pub fn process(pid: i32) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let effective = |key: &str| -> Option<u32> {
        status.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().nth(1)?.parse().ok()
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything: fields are counted behind the last one.
    let started: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??.max(1) as u64;
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let now_ns = std::time::Duration::from(now).as_nanos() as u64;
    Some(Process {
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        // A kernel thread and what is dead have no line of this.
        memory: status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024),
        up_ns: now_ns.saturating_sub(started.saturating_mul(1_000_000_000 / ticks)),
    })
}

/// Whether a process catches or ignores that signal (proc_pid_status(5): SigCgt, SigIgn); `None` if it cannot be seen.
pub fn heeds(pid: i32, signal: nix::sys::signal::Signal) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let set = |key: &str| {
        let hex = status.lines().find_map(|line| line.strip_prefix(key))?;
        u64::from_str_radix(hex.trim(), 16).ok()
    };
    let heeded = set("SigCgt:")? | set("SigIgn:")?;
    Some(heeded >> (signal as i32 - 1) & 1 == 1)
}

/// Whether a daemon has a guard: a child that runs the very same program. Of a guard that is root's an ordinary user
/// cannot see what it runs, so what cannot be seen may be one.
pub fn has_guard(pid: i32) -> bool {
    let exe = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe"));
    let Ok(children) = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) else {
        return false;
    };
    let own = exe(&pid.to_string()).or_else(|_| exe("self")).ok();
    children.split_whitespace().any(|child| match exe(child) {
        Ok(exe) => own.as_ref() == Some(&exe),
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    })
}

/// Who a running process is. The names are those of an identity in a plan or a timeline; what the kernel tells nobody
/// else of a process, such as its securebits, is not there.
#[derive(Clone, Debug, Serialize)]
pub struct Credential {
    /// real, effective, saved user id
    pub uid: [u32; 3],
    /// real, effective, saved group id
    pub gid: [u32; 3],
    /// supplementary groups, as the kernel sorts them
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
    /// root directory; `None` where that may not be seen
    pub root: Option<String>,
    /// working directory, as seen from our root; `None` where that may not be seen
    pub cwd: Option<String>,
    /// file mode creation mask, in octal digits
    pub umask: String,
    /// no execve(2) gives privileges any more
    pub no_new_privs: bool,
    /// system calls are filtered
    pub seccomp: bool,
}

/// Who that process is; `None` if it is gone or cannot be seen.
pub fn credential(pid: i32) -> Option<Credential> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value =
        |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let numbers = |key| value(key)?.split_whitespace().map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>();
    let ids = |key| numbers(key)?.get(..3)?.try_into().ok();
    let set = |key| Some(CapabilitySet(u64::from_str_radix(value(key)?, 16).ok()?));
    let link =
        |name| Some(std::fs::read_link(format!("/proc/{pid}/{name}")).ok()?.to_string_lossy().into_owned());
    Some(Credential {
        uid: ids("Uid")?,
        gid: ids("Gid")?,
        groups: numbers("Groups")?,
        caps: set("CapEff")?,
        permitted: set("CapPrm")?,
        inheritable: set("CapInh")?,
        ambient: set("CapAmb")?,
        bounding: set("CapBnd")?,
        root: link("root"),
        cwd: link("cwd"),
        umask: format!("{:0>3}", value("Umask")?.trim_start_matches('0')),
        no_new_privs: value("NoNewPrivs")? == "1",
        seccomp: value("Seccomp").is_some_and(|mode| mode != "0"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_who_it_knows_it_is() {
        let seen = credential(std::process::id() as i32).unwrap();
        let inode = crate::sys::identity::root_inode().unwrap();
        let known =
            crate::sys::identity::read(std::path::Path::new("/"), inode, crate::sys::identity::bounding())
                .unwrap();
        assert_eq!((seen.uid, seen.gid, seen.groups), (known.uid, known.gid, known.groups));
        assert_eq!((seen.caps, seen.permitted, seen.bounding), (known.caps, known.permitted, known.bounding));
        assert_eq!((seen.inheritable, seen.ambient), (known.inheritable, known.ambient));
        assert_eq!(seen.umask, format!("{:03o}", known.umask));
        assert_eq!((seen.cwd, seen.root), (known.cwd.to_str().map(str::to_owned), Some("/".into())));
        assert_eq!((seen.no_new_privs, seen.seccomp), (known.no_new_privs, known.seccomp));
        assert!(credential(i32::MAX).is_none());
    }
}
