//! The inside of a sandbox: this process is its first, so that everybody who is left comes to it.

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::worlds::{EXTRA, START, START_UMASK, SVC, TOP, World};

/// Nothing that is waited for takes longer on any machine that is not broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An application that has spoken.
pub struct Line {
    pub pid: i32,
    stream: UnixStream,
    pub heard: String,
    open: bool,
}

impl Line {
    pub fn count(&self, word: &str) -> usize {
        self.heard.lines().filter(|l| *l == word).count()
    }

    pub fn tell(&mut self, word: &str) {
        // It may be gone: then it does not answer either, and that is what is looked at.
        let _ = self.stream.write_all(word.as_bytes());
    }
}

/// Everybody in the sandbox, as its first process sees them.
pub struct Sandbox {
    signals: SignalFd,
    listener: UnixListener,
    pub lines: Vec<Line>,
    /// how those ended that have ended: exit code, or 128 and the signal
    pub ended: HashMap<i32, i32>,
    /// nobody but this process is left
    pub alone: bool,
}

impl Sandbox {
    /// Makes the world around this process, which must be the first of a PID namespace.
    pub fn make(world: &World, probe: &Path) -> Sandbox {
        assert_eq!(std::process::id(), 1, "a sandbox has a PID namespace of its own");
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("end with the one that asked");
        let name = std::ffi::OsStr::new("rsd-orders");
        let address = SocketAddr::from_abstract_name(name.as_encoded_bytes()).expect("an address");
        let listener = UnixListener::bind_addr(&address).expect("listen for the application");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let mut wanted = SigSet::empty();
        wanted.add(Signal::SIGCHLD);
        wanted.thread_block().expect("take SIGCHLD");
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        umask(Mode::empty());
        mounts();
        world.make(probe).expect("the world's directories");
        umask(Mode::from_bits_truncate(START_UMASK));
        std::env::set_current_dir(START).expect("the directory to start in");
        Sandbox {
            signals: signals.expect("a descriptor for signals"),
            listener,
            lines: Vec::new(),
            ended: HashMap::new(),
            alone: false,
        }
    }

    /// Waits until something is so; false if it did not come true.
    pub fn until(&mut self, mut so: impl FnMut(&Sandbox) -> bool) -> bool {
        let begin = Instant::now();
        loop {
            self.look();
            if so(self) {
                return true;
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return false;
            }
            let mut watched = vec![readable(&self.signals), readable(&self.listener)];
            watched.extend(self.lines.iter().filter(|l| l.open).map(|l| readable(&l.stream)));
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut watched, wait);
        }
    }

    fn look(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.alone = loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    self.ended.insert(pid.as_raw(), code);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended.insert(pid.as_raw(), 128 + signal as i32);
                }
                Ok(_) => break false,
                Err(_) => break true,
            }
        };
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).expect("a stream that does not wait");
            let pid = getsockopt(&stream, PeerCredentials).map_or(0, |c| c.pid());
            self.lines.push(Line { pid, stream, heard: String::new(), open: true });
        }
        for line in self.lines.iter_mut().filter(|l| l.open) {
            let mut buffer = [0; 512];
            loop {
                match line.stream.read(&mut buffer) {
                    Ok(0) => {
                        line.open = false;
                        break;
                    }
                    Ok(n) => line.heard.push_str(&String::from_utf8_lossy(&buffer[..n])),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => {
                        line.open = false;
                        break;
                    }
                }
            }
        }
    }
}

fn readable(what: &impl AsFd) -> PollFd<'_> {
    PollFd::new(what.as_fd(), PollFlags::POLLIN)
}

fn mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of our own");
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).expect("/proc of our own");
    for place in [TOP, "/var/lib"] {
        mount(Some("orders"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=0755,size=16m"))
            .unwrap_or_else(|e| panic!("a tmpfs at {place}: {e}"));
    }
    let people = [
        ("/etc/passwd", format!("root:x:0:0::/:/bin/sh\nsvc:x:{SVC}:{SVC}::/:/bin/sh\n")),
        ("/etc/group", format!("root:x:0:\nsvc:x:{SVC}:\nextra:x:{EXTRA}:svc\n")),
    ];
    for (file, text) in people {
        let own = Path::new("/var/lib").join(Path::new(file).file_name().expect("a name"));
        fs::write(&own, text).expect("our users");
        mount(Some(&own), file, none, MsFlags::MS_BIND, none).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}
