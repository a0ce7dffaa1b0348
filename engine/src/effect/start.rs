//! How a program is started: when it counts as ready, and what is expected of it afterwards.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How long a program has to become ready where its phase has no timeout, nanoseconds.
pub const READY_WITHIN: u64 = 90_000_000_000;

/// When a program counts as ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    /// its execve(2) has succeeded
    #[default]
    Exec,
    /// it has said `READY=1` to `NOTIFY_SOCKET` (sd_notify(3))
    Notify,
    /// it has written a newline to this descriptor, or closed it and lives
    Fd(u32),
    /// a TCP connection to this address is accepted
    Tcp(SocketAddr),
    /// a connection to this Unix socket is accepted; the path is seen in the root of that time
    Unix(PathBuf),
    /// it has lived for this long, nanoseconds
    Alive(u64),
    /// it lives, and it and all below it have done nothing for this long, nanoseconds; or it has been busy
    /// [`NEVER_IDLE`] times as long
    Idle(u64),
}

/// A program that is never idle is taken for ready after so many times the time that it was to be.
pub const NEVER_IDLE: u64 = 20;

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ready::Exec => f.write_str("exec"),
            Ready::Notify => f.write_str("notify"),
            Ready::Fd(fd) => write!(f, "fd:{fd}"),
            Ready::Tcp(address) => write!(f, "tcp:{address}"),
            Ready::Unix(path) => write!(f, "unix:{}", path.display()),
            Ready::Alive(ns) => write!(f, "alive:{}", crate::text::duration(*ns)),
            Ready::Idle(ns) => write!(f, "idle:{}", crate::text::duration(*ns)),
        }
    }
}

/// A program that must give a sign of life (sd_notify(3), `WATCHDOG=1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// at least this often, nanoseconds; `WATCHDOG_USEC` in its environment
    pub every: u64,
    /// the signal that it gets when it does not; it is killed ten seconds later
    pub signal: i32,
}

/// How the application is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    /// when it counts as ready
    pub ready: Ready,
    /// the sign of life that is expected
    #[serde(default)]
    pub watchdog: Option<Watchdog>,
    /// the signal that a program gets when its keeper dies before it (prctl(2), `PR_SET_PDEATHSIG`)
    pub orphaned: Option<i32>,
    /// there is no keeper: this process becomes the program when it is to serve
    #[serde(default)]
    pub replace: bool,
}

/// SIGKILL: the same on every platform of Linux.
const KILL: i32 = 9;

impl Default for Starting {
    fn default() -> Self {
        Starting { ready: Ready::Exec, watchdog: None, orphaned: Some(KILL), replace: false }
    }
}

impl fmt::Display for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.replace {
            return f.write_str("make ready to become the program");
        }
        f.write_str("start the application")?;
        if self.ready != Ready::Exec {
            write!(f, ", ready by {}", self.ready)?;
        }
        match &self.watchdog {
            Some(w) => write!(f, ", a sign of life every {}", crate::text::duration(w.every)),
            None => Ok(()),
        }
    }
}

/// When a log is rotated besides by its size, and what becomes of what was rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// the length of a period in seconds: the first line of a new one goes into a new file. Periods
    /// are counted in UTC from midnight, those of a week from Monday.
    pub every: Option<u64>,
    /// how many rotated files are kept
    pub keep: Option<u32>,
    /// rotated files that were last written to longer ago than this, in seconds, are removed
    pub max_age: Option<u64>,
    /// rotated files are compressed, NAME.1.gz
    pub compress: bool,
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let long = |s: u64| crate::text::duration(s.saturating_mul(1_000_000_000));
        if let Some(every) = self.every {
            write!(f, ", rotated every {}", long(every))?;
        }
        if let Some(keep) = self.keep {
            write!(f, ", {keep} kept")?;
        }
        if let Some(age) = self.max_age {
            write!(f, ", for {}", long(age))?;
        }
        f.write_str(if self.compress { ", compressed" } else { "" })
    }
}
