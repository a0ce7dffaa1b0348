//! What the kernel says of a process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// `/proc/PID/status` and `stat`.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    status: BTreeMap<String, String>,
    /// behind the name: state, ppid, pgrp, session, tty_nr …
    stat: Vec<String>,
}

pub fn process(pid: i32) -> Process {
    find(pid).unwrap_or_else(|| panic!("process {pid} is gone"))
}

pub fn find(pid: i32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let status = text
        .lines()
        .filter_map(|l| l.split_once(':'))
        .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
        .collect();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let stat = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    Some(Process { pid, status, stat })
}

/// Gone, or nothing but its status is left.
pub fn gone(pid: i32) -> bool {
    find(pid).is_none_or(|p| p.stat[0] == "Z" || p.stat[0] == "X")
}

/// Every process that runs, by number.
pub fn all() -> Vec<i32> {
    let mut all: Vec<i32> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| !gone(*pid))
        .collect();
    all.sort_unstable();
    all
}

pub fn children(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|p| find(*p).is_some_and(|p| p.number(1) == pid)).collect()
}

/// Processes with that command line (words joined by a space).
pub fn running(line: &str) -> Vec<i32> {
    all().into_iter().filter(|p| command_line(*p) == line).collect()
}

/// Empty for a thread of the kernel, and for what is gone. In the middle of exec(2) a process has none, which passes.
pub fn command_line(pid: i32) -> String {
    let read = || fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut raw = read();
    for _ in 0..5_000 {
        let executing = raw.is_empty() && find(pid).is_some_and(|p| p.stat[0] != "Z" && p.has_memory());
        if !executing {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        raw = read();
    }
    String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ")
}

pub fn environment(pid: i32) -> Vec<String> {
    let raw = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&raw).split_terminator('\0').map(str::to_owned).collect()
}

pub fn link(pid: i32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_else(|e| panic!("/proc/{pid}/{name}: {e}"))
}

impl Process {
    pub fn field(&self, name: &str) -> &str {
        self.status.get(name).unwrap_or_else(|| panic!("no {name} in status")).as_str()
    }

    /// Stopped by whoever traces it.
    pub fn is_traced(&self) -> bool {
        self.stat[0] == "t"
    }

    fn has_memory(&self) -> bool {
        self.stat[20] != "0"
    }

    fn number(&self, at: usize) -> i32 {
        self.stat[at].parse().expect("a number in stat")
    }

    fn numbers(&self, name: &str) -> Vec<u32> {
        let mut all: Vec<u32> =
            self.field(name).split_whitespace().map(|n| n.parse().expect("a number")).collect();
        if name == "Groups" {
            all.sort_unstable();
        }
        all
    }

    /// Real, effective, saved and file system ids are all that, and the groups are exactly those.
    pub fn is(&self, uid: u32, gid: u32, groups: &[u32]) {
        assert_eq!(self.numbers("Uid"), [uid; 4], "user ids of {}", self.pid);
        assert_eq!(self.numbers("Gid"), [gid; 4], "group ids of {}", self.pid);
        assert_eq!(self.numbers("Groups"), groups, "groups of {}", self.pid);
    }

    pub fn has_no_capability(&self) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(u64::from_str_radix(self.field(set), 16), Ok(0), "{set} of {}", self.pid);
        }
    }

    /// The effective user id.
    pub fn uid(&self) -> u32 {
        self.field("Uid").split_whitespace().nth(1).expect("four of them").parse().expect("a number")
    }

    pub fn umask(&self) -> u32 {
        u32::from_str_radix(self.field("Umask"), 8).expect("octal")
    }

    /// The signals of `SigBlk`, `SigIgn` or `SigCgt`.
    pub fn signals(&self, set: &str) -> Vec<i32> {
        let bits = u64::from_str_radix(self.field(set), 16).expect("hexadecimal");
        (1..=64).filter(|s| bits & (1 << (s - 1)) != 0).collect()
    }

    pub fn parent(&self) -> i32 {
        self.number(1)
    }

    pub fn session(&self) -> i32 {
        self.number(3)
    }

    pub fn terminal(&self) -> i32 {
        self.number(4)
    }

    pub fn nice(&self) -> i32 {
        self.number(16)
    }

    /// User and system time so far, in clock ticks.
    pub fn ticks(&self) -> i32 {
        self.number(11) + self.number(12)
    }

    pub fn descriptors(&self) -> BTreeMap<i32, PathBuf> {
        let dir = format!("/proc/{}/fd", self.pid);
        fs::read_dir(&dir)
            .expect("its descriptors")
            .filter_map(|e| {
                let path = e.ok()?.path();
                Some((path.file_name()?.to_str()?.parse().ok()?, fs::read_link(&path).ok()?))
            })
            .collect()
    }
}

/// Whether a lock of that file is held, by fcntl(2).
pub fn is_locked(path: &std::path::Path) -> bool {
    use nix::fcntl::{FcntlArg, fcntl};
    let file = fs::File::open(path).expect("the file");
    let mut lock = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).expect("F_OFD_GETLK");
    lock.l_type != nix::libc::F_UNLCK as i16
}

pub fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("signal a process of ours");
}
