//! The service manager that started this process: what it is told, by sd_notify(3) or, as s6 and dinit
//! have it, by a newline into a descriptor.

use super::Message;
use crate::sys::process;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// A manager that does not read is waited for no longer than this, in seconds.
const PATIENCE: i64 = 1;

/// Where the manager is reached. It is opened at the start: a drop or another root is no hindrance later.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<OwnedFd>,
    /// gets a newline, and is closed
    descriptor: RefCell<Option<OwnedFd>>,
    /// how often it wants a sign of life, microseconds
    watchdog: Option<u64>,
    /// it was told READY=1
    announced: Cell<bool>,
    /// it was told STOPPING=1
    stopping: Cell<bool>,
}

impl Manager {
    /// The manager that `NOTIFY_SOCKET` names, if any, and a descriptor that is to get a newline. The
    /// second value says why the socket cannot be reached, where that is so.
    pub fn find(descriptor: Option<OwnedFd>) -> (Manager, Option<String>) {
        let named = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let (socket, why) = match named.as_deref().map(reach) {
            None => (None, None),
            Some(Ok(socket)) => (Some(socket), None),
            Some(Err(error)) => {
                let name = named.unwrap_or_default();
                let why = engine::text::errno_message(error as i32);
                (None, Some(format!("NOTIFY_SOCKET={}: {why}", name.display())))
            }
        };
        let number = |name| std::env::var(name).ok().and_then(|v: String| v.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && ours && socket.is_some());
        (Manager { socket, descriptor: RefCell::new(descriptor), watchdog, ..Manager::default() }, why)
    }

    /// How often it wants a sign of life, microseconds (`WATCHDOG_USEC`).
    pub fn watchdog(&self) -> Option<u64> {
        self.watchdog
    }

    /// The start is complete. `main` is the daemon, where that is another process than the one that the
    /// manager has started.
    pub fn ready(&self, main: Option<i32>) {
        self.announced.set(true);
        let main = main.map_or_else(String::new, |pid| format!("MAINPID={pid}\n"));
        self.say(&format!("{main}READY=1"));
        self.write_the_newline();
    }

    /// This process is about to become the program, which has the socket's name and speaks itself.
    pub fn replaced(&self) {
        self.write_the_newline();
    }

    fn write_the_newline(&self) {
        if let Some(fd) = self.descriptor.take() {
            // Whoever does not read it any more has no use for it.
            let _ = nix::unistd::write(&fd, b"\n");
        }
    }

    /// Another process tells that it is ready.
    pub fn leave_ready_to_another(&self) {
        self.announced.set(true);
        self.descriptor.take();
    }

    /// The start has failed: what it says in `systemctl status`.
    pub fn failed(&self, text: &str, errno: Option<i32>) {
        let errno = errno.map_or_else(String::new, |errno| format!("\nERRNO={errno}"));
        self.say(&format!("STATUS={}{errno}", one_line(text)));
    }

    /// It was told to stop.
    pub fn stopping(&self) {
        if self.announced.get() && !self.stopping.replace(true) {
            self.say("STOPPING=1");
        }
    }

    /// It was told to reload, and says itself when it has.
    pub fn reloading(&self) {
        if self.announced.get() {
            self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", process::monotonic() / 1_000));
        }
    }

    /// It has reloaded.
    pub fn reloaded(&self) {
        if self.announced.get() {
            self.say("READY=1");
        }
    }

    /// What a program needs longer than it was given, microseconds from now.
    pub fn extend(&self, usec: u64) {
        self.say(&format!("EXTEND_TIMEOUT_USEC={usec}"));
    }

    /// What the program says, as far as it is true of this process too: its keeper stays the main process,
    /// and whether the start is complete is the plan's to say.
    pub fn pass_on(&self, message: &Message) {
        if self.socket.is_none() {
            return;
        }
        let mut lines = Vec::new();
        if message.reloading && self.announced.get() {
            lines.push(format!("RELOADING=1\nMONOTONIC_USEC={}", process::monotonic() / 1_000));
        }
        if message.ready && self.announced.get() {
            lines.push("READY=1".to_owned());
        }
        if message.stopping && self.announced.get() && !self.stopping.replace(true) {
            lines.push("STOPPING=1".to_owned());
        }
        if let Some(status) = &message.status {
            lines.push(format!("STATUS={}", one_line(status)));
        }
        if let Some(errno) = message.errno {
            lines.push(format!("ERRNO={errno}"));
        }
        // Before that the plan's own limits are what is told of.
        if let Some(usec) = message.extend.filter(|_| self.announced.get()) {
            lines.push(format!("EXTEND_TIMEOUT_USEC={usec}"));
        }
        if self.watchdog.is_some() {
            lines.extend(message.alive.then(|| "WATCHDOG=1".to_owned()));
            lines.extend(message.trigger.then(|| "WATCHDOG=trigger".to_owned()));
            lines.extend(message.watchdog.map(|usec| format!("WATCHDOG_USEC={usec}")));
        }
        if !lines.is_empty() {
            self.say(&lines.join("\n"));
        }
    }

    /// A manager that is gone, or does not read, is no reason to end a daemon.
    fn say(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        while send(socket.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL) == Err(Errno::EINTR) {}
    }
}

fn one_line(text: &str) -> String {
    text.split(['\n', '\0']).collect::<Vec<_>>().join(" ")
}

/// Connects, so that no name is looked up later. `/path` and `@abstract` are known.
fn reach(name: &OsStr) -> Result<OwnedFd, Errno> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => UnixAddr::new_abstract(rest)?,
        [b'/', ..] => UnixAddr::new(name)?,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))?;
    connect(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::parse;
    use std::os::unix::net::UnixDatagram;

    fn manager(watchdog: Option<u64>) -> (Manager, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("nonblocking");
        let socket = Some(OwnedFd::from(ours));
        (Manager { socket, watchdog, ..Manager::default() }, theirs)
    }

    fn last(theirs: &UnixDatagram) -> Option<String> {
        let mut buffer = [0u8; 1024];
        theirs.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
    }

    #[test]
    fn the_program_is_not_ready_before_the_plan_is() {
        let (manager, theirs) = manager(None);
        manager.pass_on(&parse(b"READY=1\nMAINPID=7\nWATCHDOG=1"));
        assert_eq!(last(&theirs), None);
        manager.ready(Some(42));
        assert_eq!(last(&theirs).as_deref(), Some("MAINPID=42\nREADY=1"));
        manager.pass_on(&parse(b"READY=1\nMAINPID=7\nWATCHDOG=1"));
        assert_eq!(last(&theirs).as_deref(), Some("READY=1"));
    }

    #[test]
    fn a_sign_of_life_goes_where_one_is_wanted() {
        let (manager, theirs) = manager(Some(1_000_000));
        manager.ready(None);
        assert_eq!(last(&theirs).as_deref(), Some("READY=1"));
        manager.pass_on(&parse(b"WATCHDOG=1\nSTATUS=well"));
        assert_eq!(last(&theirs).as_deref(), Some("STATUS=well\nWATCHDOG=1"));
    }

    #[test]
    fn it_stops_once() {
        let (manager, theirs) = manager(None);
        manager.stopping();
        manager.ready(None);
        manager.stopping();
        manager.pass_on(&parse(b"STOPPING=1"));
        assert_eq!(last(&theirs).as_deref(), Some("READY=1"));
        assert_eq!(last(&theirs).as_deref(), Some("STOPPING=1"));
        assert_eq!(last(&theirs), None);
    }

    #[test]
    fn a_newline_is_written_once() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let manager = Manager { descriptor: RefCell::new(Some(writer)), ..Manager::default() };
        manager.ready(None);
        manager.ready(None);
        let mut all = Vec::new();
        use std::io::Read;
        std::fs::File::from(reader).read_to_end(&mut all).expect("read to the end");
        assert_eq!(all, b"\n");
    }

    #[test]
    fn a_failure_is_one_line() {
        let (manager, theirs) = manager(None);
        manager.failed("no\nlog", Some(13));
        assert_eq!(last(&theirs).as_deref(), Some("STATUS=no log\nERRNO=13"));
    }
}
