//! What a program leaves running when it ends: a daemon that went to the background by itself, workers.
//!
//! The keeper is the reaper of everybody below it (prctl(2), PR_SET_CHILD_SUBREAPER), so whoever loses its
//! parent comes here, and can be ended without a doubt about who it is: nobody else can reap it.

use super::Kept;
use crate::application::Around;
use crate::sys::process::monotonic;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often is looked whether they have gone. This is at the end, and for a moment.
const PAUSE: Duration = Duration::from_millis(5);
/// How long those that were killed may take to be gone.
const GONE: u64 = 2_000_000_000;

/// Ends whoever is left of an ended program: TERM, and KILL for those that are there after `patience`
/// nanoseconds. Costs one look where nobody is. The log says who it was.
pub(super) fn end(kept: &Kept, patience: u64, around: &mut Around) {
    let compressing = around.log.and_then(|log| log.with(|log| log.compressing())).flatten();
    let mut met = BTreeSet::new();
    for (signal, patience) in [(Signal::SIGTERM, patience), (Signal::SIGKILL, GONE)] {
        let mut told = BTreeSet::new();
        let until = monotonic().saturating_add(patience);
        loop {
            let left = left(kept, compressing);
            for pid in left.iter().filter(|pid| told.insert(**pid)) {
                match kill(Pid::from_raw(*pid), signal) {
                    // One that has changed its user is out of reach.
                    Err(Errno::EPERM) => {}
                    _ => {
                        met.insert(*pid);
                    }
                }
            }
            if !left.iter().any(|pid| met.contains(pid)) || monotonic() >= until {
                break;
            }
            std::thread::sleep(PAUSE);
        }
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

/// The children of this process that live and are neither its own nor what compresses its log.
fn left(kept: &Kept, compressing: Option<Pid>) -> Vec<i32> {
    let mut all = kept.tree.children();
    all.retain(|pid| {
        let pid = Pid::from_raw(*pid);
        // Its own child, where it ends without having become the program, is no other's image for a moment.
        pid != kept.pid
            && !kept.before.contains(&pid.as_raw())
            && Some(pid) != compressing
            && matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
            && kept.tree.is_orphan(pid.as_raw())
    });
    all
}
