//! The process that performs the list on the real `Host`, as the loop of the engine would.

use super::case::{Case, Start};
use super::kernel::{self, leave};
use super::seen::{Message, Outcome};
use engine::effect::{Application, CapabilitySet, Effect, News, Performed, System, Undo, Undoer};
use engine::plan::Plan;
use engine::timeline::Failure;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};
use phases::host::Host;
use phases::sys::channel::Channel;
use phases::{snapshot, sys};
use std::path::Path;

/// Becomes who the list starts as.
fn become_it(start: &Start) -> Result<(), Errno> {
    let mine =
        sys::identity::read(Path::new("/"), sys::identity::root_inode()?, CapabilitySet::EMPTY)?.permitted;
    nix::unistd::chdir(start.cwd.as_path())?;
    nix::unistd::setsid()?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(start.umask));
    (0..=40).filter(|bit| start.unbound.0 & 1 << bit != 0).try_for_each(kernel::drop_from_bounding)?;
    let ids = |ids: [u32; 3]| ids.map(Uid::from_raw);
    let groups: Vec<Gid> = start.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    nix::unistd::setgroups(&groups)?;
    let gid = start.gid.map(Gid::from_raw);
    nix::unistd::setresgid(gid[0], gid[1], gid[2])?;
    const KEEP_CAPS: u32 = 1 << 4;
    kernel::set_securebits(start.securebits | KEEP_CAPS)?;
    let [real, effective, saved] = ids(start.uid);
    nix::unistd::setresuid(real, effective, saved)?;
    // Not what this machine does not have: a container has less than a case may name.
    let own = sys::identity::bounding();
    let at_most = |set: CapabilitySet, most: CapabilitySet| CapabilitySet(set.0 & most.0);
    let permitted = at_most(start.permitted, mine);
    let inheritable = at_most(start.inheritable, own);
    kernel::set_capabilities(at_most(start.effective, permitted), permitted, inheritable)?;
    let ambient = at_most(at_most(start.ambient, permitted), inheritable);
    (0..64).filter(|bit| ambient.0 & 1 << bit != 0).try_for_each(kernel::raise_ambient)?;
    if start.securebits & KEEP_CAPS == 0 {
        kernel::keep_capabilities(false)?;
    }
    kernel::dumpable()
}

pub struct Line<'a>(pub &'a Channel);

impl Line<'_> {
    fn say(&self, message: &Message) {
        let data = serde_json::to_vec(message).expect("a message is JSON");
        // The observer has seen what it wanted, and everything here is about to end.
        if self.0.send(&data, &[]).is_err() {
            leave(3);
        }
    }

    /// Says it, and waits until the observer has looked.
    fn show(&self, message: &Message) {
        self.say(message);
        if !matches!(self.0.receive(), Ok(Some(_))) {
            leave(3);
        }
    }
}

/// Performs the list and ends.
pub fn play(case: &Case, plan: &Plan, channel: &Channel) -> ! {
    let line = Line(channel);
    if let Err(error) = become_it(&case.start) {
        line.say(&Message::Broken(format!("the process cannot become what the case says: {error}")));
        leave(2);
    }
    let mut host = match begin(plan, &line) {
        Ok(host) => host,
        Err(why) => {
            line.say(&Message::Broken(why));
            leave(2);
        }
    };
    match host.open(plan) {
        Ok(Performed::Parent) => stay(host, &line, "holder", Vec::new()),
        Ok(_) => {}
        Err(error) => {
            line.say(&Message::Broken(format!("open: {error}")));
            leave(2);
        }
    }
    let mut undo: Vec<Undo> = Vec::new();
    let mut application = false;
    for (i, effect) in case.effects.iter().enumerate() {
        host.begin(i, None);
        application |= matches!(effect, Effect::Application(Application::Load(_)));
        // Whoever serves is told to stop before it begins: the signal is blocked, and waits.
        if *effect == Effect::Serve && application {
            nix::sys::signal::raise(Signal::SIGTERM).expect("raise");
        }
        let performed = host.perform(effect);
        match &performed {
            Ok(Performed::Done(done)) => {
                let _ = host.hold(i, &done.undo);
                undo.push(done.undo.clone());
            }
            Ok(Performed::Parent) => stay(host, &line, "launcher", undo),
            Ok(Performed::Guard) => {
                host.wait_as_guard();
                leave(0);
            }
            Err(_) => {}
        }
        let told = if effect.changes_identity() { host.identity().ok() } else { None };
        line.show(&Message::Step { pid: std::process::id(), outcome: Outcome::of(&performed), told });
    }
    if case.undo {
        let failure = Failure { message: "called off".to_owned(), ..Failure::default() };
        match host.tell(&News::Failed { step: case.effects.len() - 1, failure }) {
            Undoer::Me => take_back(&mut host, &line, &undo),
            Undoer::Other { .. } => leave(0),
        }
    }
    line.show(&Message::Over);
    leave(0);
}

fn begin(plan: &Plan, line: &Line) -> Result<Host, String> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    let mut facts = snapshot::people(&[], &[], &cwd).map_err(|e| format!("snapshot: {e}"))?;
    snapshot::take(&mut facts, plan, true);
    line.show(&Message::Begun(Box::new(facts.clone())));
    let signals = sys::process::take_signals().map_err(|e| format!("take the signals: {e}"))?;
    Host::new(signals, None, |_| serde_json::Value::Null, &facts.identity).map_err(|e| format!("host: {e}"))
}

/// Holds the undo until the other process says how it went.
fn stay(mut host: Host, line: &Line, role: &str, mut undo: Vec<Undo>) -> ! {
    line.say(&Message::Stayed { pid: std::process::id(), role: role.to_owned() });
    let verdict = host.wait();
    undo.extend(verdict.held.into_iter().map(|(_, undo)| undo));
    take_back(&mut host, line, &undo);
    line.show(&Message::Over);
    leave(0);
}

fn take_back(host: &mut Host, line: &Line, undo: &[Undo]) {
    for one in undo.iter().rev() {
        if let Undo::Effect(effect) = one {
            let outcome = Outcome { undo: effect.to_string(), ..Outcome::of(&host.perform(effect)) };
            line.say(&Message::Undone(outcome));
        }
    }
}
