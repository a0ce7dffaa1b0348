//! Forked processes that play the daemon.

use engine::effect::{Identity, Program, Ready, Socket, Starting, SystemError};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork};
use phases::application::{Around, Listening, make};
use phases::log::{Log, Shared};
use phases::notify::Manager;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Run `role` in a forked child, which ends with what it returns and dies with this process.
pub fn forked(role: impl FnOnce() -> i32) -> Pid {
    // SAFETY: this harness has one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("pdeathsig");
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(role)).unwrap_or(99);
            // SAFETY: _exit has no precondition.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Wait for a child; one that does not end is killed and fails the test.
pub fn finished(pid: Pid) -> WaitStatus {
    let start = Instant::now();
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)).expect("waitpid") {
            WaitStatus::StillAlive if start.elapsed() > Duration::from_secs(60) => {
                kill(pid, Signal::SIGKILL).expect("kill");
                waitpid(pid, None).expect("waitpid");
                panic!("process {pid} did not end");
            }
            WaitStatus::StillAlive => sleep(Duration::from_millis(5)),
            status => return status,
        }
    }
}

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "never happened: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// What the daemon is made of.
#[derive(Default)]
pub struct Setup {
    pub program: Program,
    pub log: bool,
    pub listening: Vec<Listening>,
    pub journal: Option<File>,
    /// in the daemon, between load and start
    pub before: Option<fn(&Path)>,
    /// fork between load and start; the parent waits for the child
    pub fork: bool,
    pub identity: Identity,
    pub foreground: bool,
    pub starting: Starting,
    /// milliseconds that a start may take
    pub limit: Option<u64>,
}

pub struct Daemon {
    pub dir: tempfile::TempDir,
    pub pid: Pid,
}

pub fn sh(script: &str) -> Program {
    command(&["/bin/sh", "-c", script])
}

pub fn command(words: &[&str]) -> Program {
    Program { command: words.iter().map(|w| w.to_string()).collect(), ..Default::default() }
}

pub fn when(ready: Ready) -> Starting {
    Starting { ready, ..Default::default() }
}

pub fn tcp() -> (Listening, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    (
        Listening {
            socket: Socket::Tcp(address),
            name: format!("tcp-{}", address.port()),
            fd: listener.into(),
        },
        address,
    )
}

pub fn become_nobody(_: &Path) {
    nix::unistd::setgroups(&[]).expect("setgroups");
    nix::unistd::setresgid(Gid::from_raw(65534), Gid::from_raw(65534), Gid::from_raw(65534)).expect("gid");
    nix::unistd::setresuid(Uid::from_raw(65534), Uid::from_raw(65534), Uid::from_raw(65534)).expect("uid");
}

impl Setup {
    pub fn start(self) -> Daemon {
        let dir = tempfile::tempdir().expect("tempdir");
        let (logs, report) = (dir.path().join("logs"), dir.path().join("report"));
        fs::create_dir(&logs).expect("logs");
        let mut report = OpenOptions::new().create(true).append(true).open(report).expect("report");
        let path = dir.path().to_owned();
        let pid = forked(move || {
            let outcome = self.daemon(&path, &mut report);
            if let Err(e) = outcome {
                let line = format!(
                    "error {:?} {} | {:?} | {:?} | {:?}\n",
                    e.errno, e.message, e.why, e.help, e.kind
                );
                report.write_all(line.as_bytes()).expect("report");
            }
            0
        });
        Daemon { dir, pid }
    }

    fn daemon(mut self, dir: &Path, report: &mut File) -> Result<(), SystemError> {
        let mut set = SigSet::empty();
        use Signal::*;
        for s in [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGALRM, SIGWINCH] {
            set.add(s);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).expect("block");
        let signals =
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).expect("signalfd");
        let log = match self.log {
            true => Some(Shared::new(Log::open(&dir.join("logs/d.log"), None, 0o644, None)?.0)),
            false => None,
        };
        let mut application = make(&self.program, |bytes| serde_json::json!({ "bytes": bytes.len() }))?;
        let mut told = report.try_clone().expect("clone");
        let mut on_signal = |signal: &str, then: &str| {
            writeln!(told, "signal {signal}: {then}").expect("report");
        };
        let mut told = report.try_clone().expect("clone");
        let mut on_status = |text: &str| writeln!(told, "status {text}").expect("report");
        let mut told = report.try_clone().expect("clone");
        let mut on_extend = |_: u64| writeln!(told, "extended").expect("report");
        let mut around = Around {
            listening: &self.listening,
            log: log.as_ref(),
            signals: &signals,
            deadline: self.limit.map(|ms| phases::sys::process::monotonic() + ms * 1_000_000),
            journal: self.journal.as_ref(),
            identity: &self.identity,
            foreground: self.foreground,
            manager: &Manager::default(),
            drop_ahead: false,
            confining: &phases::host::confine::Confining::default(),
            on_signal: &mut on_signal,
            on_end: &|| {},
            on_status: &mut on_status,
            on_extend: &mut on_extend,
            on_longer_stop: &|_| {},
        };
        let loaded = application.load(&mut around)?;
        report.write_all(format!("loaded {loaded:?}\n").as_bytes()).expect("report");
        if self.fork {
            application.before_fork();
            // SAFETY: whatever has threads here was told to hold still.
            match unsafe { fork() }.expect("fork") {
                ForkResult::Child => application.after_fork(true),
                ForkResult::Parent { child } => {
                    report.write_all(format!("forked {child}\n").as_bytes()).expect("report");
                    while waitpid(child, None).is_err() {}
                    // SAFETY: _exit has no precondition.
                    unsafe { libc::_exit(0) }
                }
            }
        }
        if let Some(before) = self.before.take() {
            before(dir);
        }
        let notes = application.privileged_start(&mut around)?;
        report.write_all(format!("privileged {notes:?}\n").as_bytes()).expect("report");
        let (started, notes) = application.start(&self.starting, &mut around)?;
        let line = format!("started {} {notes:?}\n", started.map_or(0, |s| s.pid));
        report.write_all(line.as_bytes()).expect("report");
        let served = application.serve(&mut around)?;
        report.write_all(format!("served {served:?}\n").as_bytes()).expect("report");
        Ok(())
    }
}

impl Daemon {
    pub fn report(&self) -> String {
        fs::read_to_string(self.dir.path().join("report")).expect("report")
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("logs/d.log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("kill");
    }

    /// The line of the report that begins so, once it is there.
    pub fn line(&self, start: &str) -> String {
        eventually(start, || self.report().lines().find(|l| l.starts_with(start)).map(str::to_owned))
    }

    /// The started program's number.
    pub fn program(&self) -> i32 {
        self.line("started").split(' ').nth(1).expect("pid").parse().expect("pid")
    }

    pub fn until_logged(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    /// Its report, after its end.
    pub fn end(&self) -> String {
        assert_eq!(finished(self.pid), WaitStatus::Exited(self.pid, 0), "{}", self.report());
        self.report()
    }
}
