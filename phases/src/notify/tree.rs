//! Who descends from whom, by /proc: opened while it is there, because there may be none after chroot(2).

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{getpid, read};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// No process has more ancestors than are looked at.
const DEEPEST: usize = 64;
/// No more processes of one program are looked at, and no more threads of one of them.
pub const MOST: usize = 1024;
/// The kernel's mark of a process that is on its way out (`PF_EXITING`, proc(5): flags).
const EXITING: u64 = 0x4;

/// The processes of this machine.
#[derive(Debug)]
pub struct Tree(Option<OwnedFd>);

/// What is asked of /proc/PID/stat.
struct Stat {
    parent: i32,
    session: i32,
    flags: u64,
    /// 'Z' and 'X' are dead
    state: u8,
    /// by itself and by children that it has reaped, in user and in kernel mode, clock ticks
    ticks: u64,
}

/// What a process and all below it do.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// processor time that they have used, clock ticks
    pub ticks: u64,
    /// one of them runs, wants to run, waits for a disk, or was stopped in what it did
    pub busy: bool,
}

impl Stat {
    /// It runs, wants to run, waits for a disk, or was stopped in what it did, by a signal or by a tracer.
    fn is_busy(&self) -> bool {
        matches!(self.state, b'R' | b'D' | b'T' | b't')
    }

    fn is_over(&self) -> bool {
        self.flags & EXITING != 0 || matches!(self.state, b'Z' | b'X')
    }
}

impl Tree {
    /// Opens /proc; without one nobody descends from anybody.
    pub fn open() -> Tree {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Tree(open("/proc", flags, Mode::empty()).ok())
    }

    /// Nothing is known.
    pub fn none() -> Tree {
        Tree(None)
    }

    /// Whether `pid` is `root` or descends from it. An orphan that has come to this process counts: whatever is
    /// not of its `own` children has been left by the program.
    pub fn descends(&self, pid: i32, root: i32, own_children: &[i32]) -> bool {
        let own = getpid().as_raw();
        let mut at = pid;
        for _ in 0..DEEPEST {
            if at == root {
                return true;
            }
            let parent = match self.stat(at) {
                Ok(stat) => stat.parent,
                Err(_) => return false,
            };
            if parent == own {
                return at != own && !own_children.contains(&at);
            }
            if parent <= 1 {
                return false;
            }
            at = parent;
        }
        false
    }

    /// The children of this process, those that are dead and not reaped as well. Empty where it cannot be told.
    pub fn children(&self) -> Vec<i32> {
        self.children_by_the_kernel().or_else(|_| self.children_by_looking()).unwrap_or_default()
    }

    /// `/proc/thread-self/children` (proc(5)), which not every kernel has.
    fn children_by_the_kernel(&self) -> Result<Vec<i32>, Errno> {
        self.listed("thread-self/children")
    }

    /// The numbers in a file.
    fn listed(&self, file: &str) -> Result<Vec<i32>, Errno> {
        let dir = self.0.as_ref().ok_or(Errno::ENOSYS)?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(dir, Path::new(file), flags, Mode::empty())?;
        let mut text = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            match read(&file, &mut buffer) {
                Ok(0) => break,
                Ok(n) => text.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        let text = std::str::from_utf8(&text).map_err(|_| Errno::EINVAL)?;
        Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// What `root` and all below it have worked so far, and whoever has been left to this process and is not of its
    /// `own_children`; `None` where `root` cannot be seen.
    pub fn effort(&self, root: i32, own_children: &[i32]) -> Option<Effort> {
        let first = self.stat(root).ok()?;
        let mut all = Effort { ticks: first.ticks, busy: first.is_busy() };
        let mut left = self.children();
        left.retain(|pid| *pid != root && !own_children.contains(pid));
        left.push(root);
        for pid in self.below(left).into_iter().filter(|pid| *pid != root) {
            let Ok(stat) = self.stat(pid) else { continue };
            all.ticks = all.ticks.saturating_add(stat.ticks);
            all.busy |= stat.is_busy();
        }
        Some(all)
    }

    /// These processes and all below them, each once.
    pub fn below(&self, mut todo: Vec<i32>) -> Vec<i32> {
        // A kernel may have no list of children (proc_pid_task(5): CONFIG_PROC_CHILDREN).
        let all = match self.listed("thread-self/children") {
            Ok(_) => None,
            Err(_) => self.all(|_| true).ok(),
        };
        let mut seen = BTreeSet::new();
        while let Some(pid) = todo.pop().filter(|_| seen.len() < MOST) {
            if !seen.insert(pid) {
                continue;
            }
            match &all {
                None => todo.extend(self.children_of(pid)),
                Some(all) => {
                    todo.extend(all.iter().filter(|child| self.stat(**child).is_ok_and(|s| s.parent == pid)))
                }
            }
        }
        seen.into_iter().collect()
    }

    /// Whether that process was stopped by a signal.
    pub fn is_stopped(&self, pid: i32) -> bool {
        self.stat(pid).is_ok_and(|stat| stat.state == b'T')
    }

    /// The children of all threads of a process.
    fn children_of(&self, pid: i32) -> Vec<i32> {
        let Some(dir) = &self.0 else { return Vec::new() };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let task = format!("{pid}/task");
        let Ok(mut tasks) = Dir::openat(dir, task.as_str(), flags, Mode::empty()) else { return Vec::new() };
        let threads =
            tasks.iter().filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse::<i32>().ok());
        let threads: Vec<i32> = threads.take(MOST).collect();
        let listed = |tid: &i32| self.listed(&format!("{task}/{tid}/children")).unwrap_or_default();
        threads.iter().flat_map(listed).collect()
    }

    fn children_by_looking(&self) -> Result<Vec<i32>, Errno> {
        let own = getpid().as_raw();
        self.all(|stat| stat.parent == own)
    }

    /// Those of a session that live, but this process; empty where it cannot be told.
    pub fn of_session(&self, session: i32) -> Vec<i32> {
        let own = getpid().as_raw();
        let mut all = self.all(|stat| stat.session == session && !stat.is_over()).unwrap_or_default();
        all.retain(|pid| *pid != own);
        all
    }

    /// Whether that process is of the session still.
    pub fn is_of_session(&self, pid: i32, session: i32) -> bool {
        self.stat(pid).is_ok_and(|stat| stat.session == session)
    }

    fn all(&self, meant: impl Fn(&Stat) -> bool) -> Result<Vec<i32>, Errno> {
        let dir = self.0.as_ref().ok_or(Errno::ENOSYS)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut all = Dir::openat(dir, ".", flags, Mode::empty())?;
        let pids = all.iter().filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
        Ok(pids.filter(|pid| self.stat(*pid).is_ok_and(|stat| meant(&stat))).collect())
    }

    /// The descriptor of /proc, to be kept where others are closed.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|fd| fd.as_fd())
    }

    /// Whether that process is dead or about to be. False where it cannot be told.
    pub fn is_ending(&self, pid: i32) -> bool {
        match self.stat(pid) {
            Ok(stat) => stat.is_over(),
            Err(Errno::ENOENT | Errno::ESRCH) => self.0.is_some(),
            Err(_) => false,
        }
    }

    fn stat(&self, pid: i32) -> Result<Stat, Errno> {
        let dir = self.0.as_ref().ok_or(Errno::ENOSYS)?;
        let path = format!("{pid}/stat");
        let file = openat(dir, Path::new(&path), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut buffer = [0u8; 1024];
        let length = read(&file, &mut buffer)?;
        parse(buffer.get(..length).unwrap_or_default()).ok_or(Errno::EINVAL)
    }
}

/// Behind the name, which is in parentheses and may hold anything: state, parent, group, session, …, flags as the 7th,
/// and utime, stime, cutime and cstime behind four more.
fn parse(text: &[u8]) -> Option<Stat> {
    let behind = text.iter().rposition(|b| *b == b')')? + 1;
    let mut fields = std::str::from_utf8(text.get(behind..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let flags = fields.nth(2)?.parse().ok()?;
    let ticks = fields.skip(4).take(4).filter_map(|field| field.parse::<u64>().ok());
    let ticks = ticks.fold(0, u64::saturating_add);
    Some(Stat { parent, session, flags, state, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pretend() {
        let stat = parse(b"12 (a) R 1 (b) S 7 8 9 10 11 4194564 1 2").expect("it can be read");
        assert_eq!((stat.parent, stat.state, stat.flags & EXITING), (7, b'S', EXITING));
        assert_eq!(stat.ticks, 0);
        let stat = parse(b"1 (a) S 0 1 1 0 -1 4194560 11 12 13 14 1 20 300 4000 20 0 1 0 9 9")
            .expect("it can be read");
        assert_eq!(stat.ticks, 4_321);
        assert!(parse(b"12 (a").is_none() && parse(b"").is_none() && parse(b"1 (x) S").is_none());
    }

    #[test]
    fn both_ways_find_the_same_children() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("a child");
        let (pid, tree) = (child.id() as i32, Tree::open());
        // The file is of this thread; the tests beside have children of their own.
        assert!(tree.children_by_looking().expect("/proc").contains(&pid));
        if let Ok(children) = tree.children_by_the_kernel() {
            assert!(children.contains(&pid));
        }
        let _ = child.kill();
        let _ = child.wait();
        assert!(!tree.children_by_looking().expect("/proc").contains(&pid));
        assert!(Tree(None).children().is_empty());
    }

    #[test]
    fn the_family_of_this_process() {
        let tree = Tree::open();
        let own = getpid().as_raw();
        let parent = nix::unistd::getppid().as_raw();
        assert!(tree.descends(own, own, &[]) && tree.descends(own, parent, &[]));
        assert!(!tree.descends(1, own, &[]) && !tree.descends(parent, own, &[]));
        assert!(!tree.is_ending(own));
        assert!(!Tree(None).descends(parent, own, &[]));
    }

    /// Who runs the same program as this process does is not of its own for that.
    #[test]
    fn a_child_is_known_by_its_number() {
        let line = ["--exact", "no such test"];
        let mut child = std::process::Command::new("/proc/self/exe")
            .args(line)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a child that runs what we run");
        let (pid, tree) = (child.id() as i32, Tree::open());
        // Alive or dead, it is there until it is waited for.
        let (left, own) = (tree.descends(pid, 1 << 29, &[]), tree.descends(pid, 1 << 29, &[pid]));
        child.wait().expect("its end");
        assert!(left && !own);
    }
}
