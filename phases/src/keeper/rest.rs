//! What a program leaves running when it ends: a daemon that went to the background by itself, workers.
//!
//! The keeper is the reaper of everybody below it (prctl(2), PR_SET_CHILD_SUBREAPER), so whoever loses its
//! parent comes here, and can be ended without a doubt about who it is: nobody else can reap it. Its own children
//! are known by their numbers: what was left may be anything, rsd too.

use super::{Kept, Taken, drain, handle, take};
use crate::application::Around;
use crate::log::Log;
use crate::sys::process::{monotonic, wait_readable};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Duration;

/// How often is looked whether they have gone, in milliseconds. This is at the end, and for a moment.
const PAUSE: i32 = 5;
/// How long those that were killed may take to be gone.
const GONE: u64 = 2_000_000_000;

/// Ends whoever is left of an ended program: TERM, and KILL for those that are there after `patience`
/// nanoseconds. What they write meanwhile is taken. Costs one look where nobody is. The log says who it was.
///
/// Where it is known whether somebody `asked` it to stop, signals are read: asked once more, it is KILL at once.
pub(super) fn end(kept: &mut Kept, patience: u64, around: &mut Around, mut asked: Option<bool>) {
    let mut met = BTreeSet::new();
    'all: for (signal, patience) in [(Signal::SIGTERM, patience), (Signal::SIGKILL, GONE)] {
        let mut told = BTreeSet::new();
        let until = monotonic().saturating_add(patience);
        loop {
            let left = left(kept, around);
            for pid in left.iter().filter(|pid| told.insert(**pid)) {
                match kill(Pid::from_raw(*pid), signal) {
                    // One that has changed its user is out of reach.
                    Err(Errno::EPERM) => {}
                    _ => {
                        met.insert(*pid);
                    }
                }
            }
            if !left.iter().any(|pid| met.contains(pid)) {
                break 'all;
            }
            if monotonic() >= until {
                break;
            }
            pause(kept, around, asked.is_some());
            if let Some(asked) = &mut asked
                && again(kept, around, asked, signal)
            {
                break;
            }
        }
    }
    drain(kept, around.log);
    if let Some(voice) = &mut kept.voice {
        voice.socket.end();
    }
    if let (false, Some(log)) = (met.is_empty(), around.log) {
        let who: Vec<String> = met.iter().map(ToString::to_string).collect();
        let text = match who.as_slice() {
            [one] => format!("{} ended and left process {one} running, which was ended as well", kept.name),
            _ => format!(
                "{} ended and left processes running, which were ended as well: {}",
                kept.name,
                who.join(", ")
            ),
        };
        log.with(|log| log.say(&text));
    }
}

/// Takes what they write: one that says more than a pipe holds could not end otherwise.
fn pause(kept: &mut Kept, around: &Around, signals: bool) {
    let signals = signals.then(|| around.signals.as_fd());
    let output = kept.output.as_ref().map(|fd| fd.as_fd());
    let waited = match (output, signals) {
        (Some(output), Some(signals)) => wait_readable([output, signals], PAUSE).map(drop),
        (Some(one), None) | (None, Some(one)) => wait_readable([one], PAUSE).map(drop),
        (None, None) => Err(Errno::ENOENT),
    };
    if waited.is_err() {
        std::thread::sleep(Duration::from_millis(PAUSE.unsigned_abs().into()));
    }
    drain(kept, around.log);
}

/// Takes the signals that came: true where those that were told TERM are to be killed.
fn again(kept: &Kept, around: &mut Around, asked: &mut bool, told: Signal) -> bool {
    let mut killed = false;
    while let Ok(Some(taken)) = take(around.signals) {
        match taken {
            Taken { signal: Signal::SIGCHLD, .. } => {
                around.log.and_then(|log| log.with(Log::settle));
            }
            Taken { signal: Signal::SIGTERM | Signal::SIGINT, .. } => {
                let then = match *asked {
                    true if told == Signal::SIGTERM => {
                        killed = true;
                        format!("what {} left is killed", kept.name)
                    }
                    _ => format!("{} has ended already, and what it left is ended", kept.name),
                };
                *asked = true;
                (around.on_signal)(taken.signal.as_str(), &then);
            }
            _ => handle(taken, kept, around, asked),
        }
    }
    killed
}

/// The children of this process that live and were not made by it: the guard, what compresses its log, what closes
/// descriptors that were sent to it.
fn left(kept: &Kept, around: &Around) -> Vec<i32> {
    let compressing = around.log.and_then(|log| log.with(|log| log.compressing())).flatten();
    let mut all = kept.tree.children();
    all.retain(|pid| {
        let pid = Pid::from_raw(*pid);
        pid != kept.pid
            && !kept.beside.contains(&pid.as_raw())
            && Some(pid) != compressing
            && !kept.voice.as_ref().is_some_and(|voice| voice.socket.is_closing(pid))
            && matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    });
    all
}
