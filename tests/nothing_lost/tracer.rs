//! A start under ptrace(2), in which one system call of one process fails, or is the last thing it does.
//!
//! `strace -e inject=` counts the calls of all processes alike; here a call is named by its process (`0` is the
//! command, `0.1` its second child), its name, and the how manyth of that name it is there.

use crate::sandbox::Out;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// No start takes longer; what is then there still is killed, and counts as hanging.
const LIMIT: Duration = Duration::from_secs(40);
/// PTRACE_EVENT_STOP, which nix has no name for.
const EVENT_STOP: i32 = 128;

/// Which call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub process: String,
    pub call: &'static str,
    pub nth: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}({})", self.process, self.call, self.nth)
    }
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub point: Point,
    /// the phase that its process was in, by what it or its parent had last written to the journal
    pub phase: String,
    /// what it was done to, where that tells it from others of its name
    pub about: String,
    /// whether anything outlasts the process that made it, or another sees it
    pub changes: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// the kernel does not see it, and the process gets that error
    Fail(i32),
    /// the process is killed in its place
    Kill,
}

/// What came of it.
#[derive(Debug)]
pub struct Traced {
    pub out: Out,
    /// every call that can be spoiled, in the order in which they were made
    pub calls: Vec<Made>,
    /// the deed was done
    pub done: bool,
    /// it did not come to an end
    pub hung: bool,
}

macro_rules! calls {
    ($($name:ident $errno:ident)*) => {
        /// Calls that change something or ask for something that can be refused, and an error of each that the
        /// manual names. The others (identity, time, memory) are left alone.
        const CALLS: &[(i64, &str, i32)] = &[$((libc::$name, stringify!($name), libc::$errno)),*];
    };
}
calls! {
    SYS_openat EMFILE SYS_open EMFILE SYS_mkdir ENOSPC SYS_mkdirat ENOSPC SYS_fchown EROFS SYS_fchownat EROFS
    SYS_chown EROFS SYS_fchmod EROFS SYS_fchmodat EROFS SYS_chmod EROFS SYS_ftruncate EIO SYS_write ENOSPC
    SYS_pwrite64 ENOSPC SYS_read EIO SYS_pread64 EIO SYS_linkat ENOSPC SYS_link ENOSPC SYS_renameat ENOSPC
    SYS_renameat2 ENOSPC SYS_rename ENOSPC SYS_unlink EROFS SYS_unlinkat EROFS SYS_symlinkat ENOSPC SYS_fsync EIO
    SYS_socket EMFILE SYS_socketpair EMFILE SYS_bind EADDRINUSE SYS_listen EADDRINUSE SYS_setsockopt ENOMEM
    SYS_getsockname ENOBUFS SYS_connect ECONNREFUSED SYS_sendmsg ENOBUFS SYS_recvmsg ENOMEM SYS_sendto ENOBUFS
    SYS_fcntl ENOLCK SYS_flock ENOLCK SYS_dup EMFILE SYS_dup2 EMFILE SYS_dup3 EMFILE SYS_pipe2 ENFILE
    SYS_clone EAGAIN SYS_clone3 EAGAIN SYS_fork EAGAIN SYS_vfork EAGAIN SYS_setsid EPERM SYS_pidfd_open EMFILE
    SYS_pidfd_send_signal EPERM SYS_kill EPERM SYS_tgkill EPERM SYS_wait4 ECHILD SYS_waitid ECHILD SYS_execve ENOMEM
    SYS_chroot EPERM SYS_chdir EACCES SYS_fchdir EACCES SYS_setgroups ENOMEM SYS_setresuid EAGAIN
    SYS_setresgid EPERM SYS_setuid EAGAIN SYS_setgid EPERM SYS_capset EPERM SYS_prctl EINVAL SYS_prlimit64 EPERM
    SYS_setrlimit EPERM SYS_setpriority EACCES SYS_sched_setscheduler EPERM SYS_ioprio_set EPERM SYS_keyctl EDQUOT
    SYS_signalfd4 EMFILE SYS_eventfd2 EMFILE SYS_timerfd_create EMFILE SYS_epoll_create1 EMFILE SYS_poll ENOMEM
    SYS_ppoll ENOMEM SYS_newfstatat EIO SYS_fstat EIO SYS_statx EIO SYS_readlinkat EIO SYS_readlink EIO
    SYS_getcwd ENOENT SYS_getdents64 EIO SYS_close_range EINVAL SYS_unshare EPERM SYS_mount EPERM SYS_pivot_root EINVAL
}

/// Those that change nothing which outlasts the process that makes them, and that nobody else sees.
const READS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getsockname,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_pipe2,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_signalfd4,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_epoll_create1,
    libc::SYS_pidfd_open,
    libc::SYS_close_range,
    libc::SYS_fsync,
];

/// A string, or so many bytes, of a traced process.
fn text(pid: Pid, at: u64, most: usize) -> String {
    let mut bytes = vec![0; most];
    let read =
        fs::File::open(format!("/proc/{pid}/mem")).and_then(|mem| mem.read_at(&mut bytes, at)).unwrap_or(0);
    bytes.truncate(read);
    String::from_utf8_lossy(&bytes).split('\0').next().unwrap_or_default().to_owned()
}

/// Without numbers: those of processes and of runs are others each time.
fn stripped(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What a call is about, by what its process has in hand.
#[cfg(target_arch = "x86_64")]
fn seen(pid: Pid, process: &mut Process, registers: &libc::user_regs_struct, point: Point) -> Made {
    let number = registers.orig_rax as i64;
    // That it has entered a phase is of the phase before: nothing of it was done.
    let phase = process.phase.clone();
    let of = |fd: u64| match fd as i32 {
        libc::AT_FDCWD => ".".to_owned(),
        fd => fs::read_link(format!("/proc/{pid}/fd/{fd}"))
            .map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned()),
    };
    let about = match number {
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_fcntl
        | libc::SYS_fsync
        | libc::SYS_ftruncate
        | libc::SYS_fchown
        | libc::SYS_fchmod
        | libc::SYS_flock => stripped(&of(registers.rdi)),
        libc::SYS_openat
        | libc::SYS_mkdirat
        | libc::SYS_unlinkat
        | libc::SYS_fchownat
        | libc::SYS_newfstatat => stripped(&text(pid, registers.rsi, 256)),
        libc::SYS_renameat2 => stripped(&text(pid, registers.r10, 256)),
        libc::SYS_prctl | libc::SYS_prlimit64 => format!("{}", registers.rdi),
        _ => String::new(),
    };
    let journal = number == libc::SYS_write && about.contains("/.state/") || about.contains("/var/lib/rsd/");
    if journal && number == libc::SYS_write {
        let line = text(pid, registers.rsi, registers.rdx.min(4096) as usize);
        if let Some(entered) =
            line.split_once("\"enter\",\"phase\":\"").and_then(|(_, rest)| rest.split('"').next())
        {
            process.phase = entered.to_owned();
        }
    }
    let locks = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK];
    let changes = match number {
        libc::SYS_openat | libc::SYS_open => registers.rdx as i32 & libc::O_CREAT != 0,
        libc::SYS_fcntl => locks.contains(&(registers.rsi as i32)),
        libc::SYS_write => !journal,
        _ => !READS.contains(&number),
    };
    Made { point, phase, about, changes }
}

/// The error that a call is given by that name.
pub fn errno_of(call: &str) -> i32 {
    CALLS.iter().find(|(_, name, _)| *name == call).map_or(libc::EIO, |c| c.2)
}

struct Process {
    name: String,
    children: usize,
    counts: BTreeMap<&'static str, usize>,
    phase: String,
    /// what the call that was taken away answers
    answers: Option<i32>,
}

struct Tracer {
    processes: BTreeMap<Pid, Process>,
    /// stopped before their parent said that they are there
    early: BTreeSet<Pid>,
    main: Pid,
    /// the command is past what only reads its arguments
    begun: bool,
    at: Option<(Point, Deed)>,
    letting_go: bool,
    traced: Traced,
}

/// Starts `command`, as that user; at that point the deed is done.
pub fn run(command: Command, user: Option<u32>, at: Option<(Point, Deed)>) -> Traced {
    // Only the thread that traces may wait for it: it has no other children.
    let tracer = std::thread::spawn(move || run_here(command, user, at));
    tracer.join().expect("the thread of the tracer")
}

fn run_here(command: Command, user: Option<u32>, at: Option<(Point, Deed)>) -> Traced {
    // Waits until it is traced, then becomes the command: no code runs between fork and exec in the tests.
    let mut start = Command::new("sh");
    start.args(["-c", "read go && exec \"$@\" < /dev/null", "sh"]).arg(command.get_program());
    start.args(command.get_args());
    start.env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    if let Some(dir) = command.get_current_dir() {
        start.current_dir(dir);
    }
    let files = [tempfile::tempfile().expect("a file"), tempfile::tempfile().expect("a file")];
    let [out, err] = files.each_ref().map(|f| f.try_clone().expect("a second handle"));
    start.stdin(Stdio::piped()).stdout(out).stderr(err);
    if let Some(user) = user {
        start.uid(user).gid(user);
    }
    #[allow(clippy::zombie_processes)] // the tracer waits for it
    let mut child = start.spawn().expect("start sh");
    let main = Pid::from_raw(child.id() as i32);
    let options = Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).expect("trace it");
    let mut tracer = Tracer {
        processes: BTreeMap::new(),
        early: BTreeSet::new(),
        main,
        begun: false,
        at,
        letting_go: false,
        traced: Traced {
            out: Out { code: -1, out: String::new(), err: String::new() },
            calls: Vec::new(),
            done: false,
            hung: false,
        },
    };
    tracer.add(main, "0".to_owned(), String::new());
    ptrace::interrupt(main).expect("stop it");
    child.stdin.take().expect("its input").write_all(b"go\n").expect("let it go");
    tracer.watched();
    let mut traced = tracer.traced;
    let [mut out, mut err] = files;
    for (file, text) in [(&mut out, &mut traced.out.out), (&mut err, &mut traced.out.err)] {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("what it said");
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    traced
}

impl Tracer {
    fn add(&mut self, pid: Pid, name: String, phase: String) {
        let process = Process { name, children: 0, counts: BTreeMap::new(), phase, answers: None };
        self.processes.insert(pid, process);
    }

    /// Goes along until the last process is gone or let go; one that does not end is killed.
    fn watched(&mut self) {
        let pids = Arc::new(Mutex::new(vec![self.main]));
        let (over, watch) = mpsc::channel::<()>();
        let known = pids.clone();
        let watchdog = std::thread::spawn(move || {
            if watch.recv_timeout(LIMIT) != Err(mpsc::RecvTimeoutError::Timeout) {
                return false;
            }
            for pid in known.lock().expect("the list").iter() {
                let _ = nix::sys::signal::kill(*pid, Signal::SIGKILL);
            }
            true
        });
        while !self.processes.is_empty() {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(status) => self.stopped(status),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
            *pids.lock().expect("the list") = self.processes.keys().copied().collect();
        }
        drop(over);
        self.traced.hung = watchdog.join().expect("the watchdog");
    }

    fn stopped(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.gone(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.gone(pid, 128 + signal as i32),
            WaitStatus::PtraceEvent(pid, _, EVENT_STOP) => match self.processes.contains_key(&pid) {
                true => self.go_on(pid, None),
                false => drop(self.early.insert(pid)),
            },
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) if pid != self.main => {
                // The program: it is no business of ours what fails there.
                self.processes.remove(&pid);
                let _ = ptrace::detach(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => self.go_on(pid, None),
            WaitStatus::PtraceEvent(pid, _, _) => {
                let child = Pid::from_raw(ptrace::getevent(pid).expect("its child") as i32);
                if let Some(parent) = self.processes.get_mut(&pid) {
                    let name = format!("{}.{}", parent.name, parent.children);
                    parent.children += 1;
                    let phase = parent.phase.clone();
                    self.add(child, name, phase);
                }
                if self.early.remove(&child) {
                    self.go_on(child, None);
                }
                self.go_on(pid, None);
            }
            WaitStatus::PtraceSyscall(pid) => {
                self.call(pid);
                self.go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            _ => {}
        }
    }

    fn go_on(&mut self, pid: Pid, signal: Option<Signal>) {
        if self.letting_go {
            self.processes.remove(&pid);
            let _ = ptrace::detach(pid, signal);
        } else {
            // It may have been killed meanwhile.
            let _ = ptrace::syscall(pid, signal);
        }
    }

    fn gone(&mut self, pid: Pid, code: i32) {
        self.processes.remove(&pid);
        if pid != self.main {
            return;
        }
        self.traced.out.code = code;
        // It is up, or the launcher was killed and the others go on by themselves.
        if code == 0 || self.traced.done && matches!(self.at, Some((_, Deed::Kill))) {
            self.letting_go = true;
            for other in self.processes.keys() {
                let _ = ptrace::interrupt(*other);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn call(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        if ptrace::syscall_info(pid).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_EXIT) {
            if let Some(errno) = process.answers.take() {
                registers.rax = -i64::from(errno) as u64;
                let _ = ptrace::setregs(pid, registers);
            }
            return;
        }
        let number = registers.orig_rax as i64;
        let Some((_, call, _)) = CALLS.iter().find(|c| c.0 == number) else { return };
        // What is said to people is how it is judged.
        if number == libc::SYS_write && registers.rdi <= 2 {
            return;
        }
        // Reading back cannot be refused where setting was not; the standard library's debug build asks for F_GETFD.
        const GET: [u64; 7] = [3, 7, 16, 23, 27, 39, 47];
        let reads = number == libc::SYS_prctl
            && GET.contains(&registers.rdi)
            && (registers.rdi != 47 || registers.rsi == 1);
        if reads || number == libc::SYS_fcntl && registers.rsi == libc::F_GETFD as u64 {
            return;
        }
        self.begun |= number == libc::SYS_close_range;
        if !self.begun {
            return;
        }
        let nth = process.counts.entry(call).or_insert(0);
        let point = Point { process: process.name.clone(), call, nth: *nth };
        *nth += 1;
        match &self.at {
            Some((at, deed)) if *at == point && !self.traced.done => {
                self.traced.done = true;
                match deed {
                    Deed::Kill => drop(nix::sys::signal::kill(pid, Signal::SIGKILL)),
                    Deed::Fail(errno) => {
                        process.answers = Some(*errno);
                        registers.orig_rax = u64::MAX;
                        let _ = ptrace::setregs(pid, registers);
                    }
                }
            }
            _ => {}
        }
        if self.at.is_none() {
            let made = seen(pid, process, &registers, point);
            self.traced.calls.push(made);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn call(&mut self, _: Pid) {}
}

/// Whether starts can be traced here; otherwise why not.
pub fn possible() -> Result<(), &'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Err("system calls are taken away on x86_64 only");
    }
    Ok(())
}
