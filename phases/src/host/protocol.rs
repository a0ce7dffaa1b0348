//! What the runner of the phases tells the holder of the undo.

use engine::effect::Undo;
use engine::plan::DropStep;
use engine::timeline::{Divergence, Failure};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::fd::OwnedFd;

/// One message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// the daemon's own number
    Pid(i32),
    /// a step begins, and how long it may take (nanoseconds)
    Step(usize, Option<u64>),
    /// something was done; the descriptors of its handle come with it
    Done {
        /// its place in the plan
        step: usize,
        /// what takes it back
        undo: Undo,
        /// what the handle stands for
        handle: Option<(u32, HeldAs)>,
    },
    /// the application named who the daemon will be: the step that drops, and to whom
    Learned(Option<DropStep>),
    /// the machine is not as predicted
    Diverged(Divergence),
    /// every phase before serve is done
    /// at this time on CLOCK_MONOTONIC
    Ready(u64),
    /// it becomes the program now: if it does and lives, the channel ends, and it is ready
    Replacing(u64),
    /// a phase failed
    Failed {
        /// its place in the plan
        step: usize,
        /// what happened
        failure: Failure,
    },
}

/// A handle without its descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum HeldAs {
    /// a directory descriptor comes with it
    File {
        /// the name in it
        name: OsString,
        /// device
        dev: u64,
        /// inode
        ino: u64,
    },
    /// a pidfd comes with it, and for the guard the end of a pipe
    Process {
        /// its number
        pid: i32,
    },
}

/// What a handle stands for.
#[derive(Debug)]
pub enum Held {
    /// a name in a directory, and the file it must still lead to
    File {
        /// the directory
        dir: OwnedFd,
        /// the name
        name: OsString,
        /// device
        dev: u64,
        /// inode
        ino: u64,
    },
    /// a process
    Process {
        /// its number
        pid: i32,
        /// its handle
        pidfd: OwnedFd,
        /// the guard waits until nobody has this any more
        alive: Option<OwnedFd>,
    },
}

impl HeldAs {
    /// Together with the descriptors that came along.
    pub fn with(self, fds: Vec<OwnedFd>) -> Option<Held> {
        let mut fds = fds.into_iter();
        Some(match self {
            HeldAs::File { name, dev, ino } => Held::File { dir: fds.next()?, name, dev, ino },
            HeldAs::Process { pid } => Held::Process { pid, pidfd: fds.next()?, alive: fds.next() },
        })
    }
}
