//! fork, setsid, fork: daemon(7), "SysV daemons", steps 7 to 9 and 14, with a status channel.

use super::{Host, Role, say};
use crate::sys::{channel, failed, process};
use engine::effect::{Done, Performed, SystemError, Undo};
use engine::timeline::What;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, getpid, setsid};

impl Host {
    pub(super) fn daemonize(&mut self) -> Result<Performed, SystemError> {
        let (ours, theirs) = channel::pair().map_err(|e| failed(e, "make the status channel"))?;
        // The daemon becomes a child of this process until it exits: its end can be told exactly.
        process::become_subreaper().map_err(|e| failed(e, "become the reaper of the daemon"))?;
        let launcher = getpid();
        match self.fork().map_err(|e| failed(e, "fork"))? {
            ForkResult::Parent { child } => {
                drop(theirs);
                if self.application.is_some() {
                    // Threads of the application are here too, and stand still for good. The daemon is there, so
                    // nothing fails here any more.
                    let _ = process::stops_to_first_thread();
                }
                // The middle process exits at once. Reaping it here keeps it from being a zombie.
                let _ = waitpid(child, None);
                self.role = Role::Holder { peer: child, channel: ours, ours: true };
                Ok(Performed::Parent)
            }
            ForkResult::Child => {
                drop(ours);
                self.role = Role::Runner { channel: theirs, holder: None };
                self.speaks = false;
                let middle = getpid();
                let leader = setsid().and_then(|_| process::fork_beside_threads());
                match leader {
                    Ok(ForkResult::Parent { .. }) => process::exit_now(0),
                    Ok(ForkResult::Child) => self.forked(true),
                    Err(error) => return Err(failed(error, "setsid and fork")),
                }
                self.orphans.enter_session(middle.as_raw());
                self.tell_pid();
                say(What::Fork {
                    parent: launcher.as_raw() as u32,
                    role: "session leader".to_owned(),
                    child: Some(middle.as_raw() as u32),
                });
                say(What::Fork { parent: middle.as_raw() as u32, role: "daemon".to_owned(), child: None });
                process::standard_descriptors_to(&self.null)
                    .map_err(|e| failed(e, "point the standard descriptors at the null device"))?;
                Ok(Performed::Done(Done::with(Undo::EndsWithProcess)))
            }
        }
    }
}
