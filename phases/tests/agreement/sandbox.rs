//! Namespaces of its own for every list, and their first process: it builds the world, looks on, and
//! compares with the model.

use super::case::Case;
use super::compare::{self, Difference};
use super::observe;
use super::seen::{Message, Seen, State, Step};
use super::{kernel, plan, predict, runner, world};
use engine::effect::{Effect, Identity};
use engine::plan::Plan;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid};
use phases::sys::channel::{self, Channel};
use phases::sys::process::wait_readable;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// No effect takes longer, however busy the machine is.
const PATIENCE_MS: i32 = 20_000;

/// What is to end by itself has this long.
const LAST: Duration = Duration::from_secs(5);

/// Runs a case in both worlds.
pub fn try_case(case: &Case) -> Result<Vec<Difference>, String> {
    let (ours, theirs) = channel::pair().map_err(|e| format!("make a channel: {e}"))?;
    // Making a network namespace costs as much as all the rest.
    let network = if binds(case) { libc::CLONE_NEWNET } else { 0 };
    let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | network;
    let child = kernel::fork_into(namespaces, || {
        let told = serde_json::to_vec(&observed(case)).unwrap_or_default();
        i32::from(theirs.send(&told, &[]).is_err())
    })
    .map_err(|e| format!("make namespaces: {e}"))?;
    drop(theirs);
    let told = ours.receive();
    let status = waitpid(child, None);
    match told {
        Ok(Some((data, _))) => serde_json::from_slice::<Result<Vec<Difference>, String>>(&data)
            .map_err(|e| format!("the observer's report: {e}"))?,
        _ => Err(format!("the observer ended without a word: {status:?}")),
    }
}

fn binds(case: &Case) -> bool {
    case.effects.iter().any(|e| matches!(e, Effect::Bind { .. }))
}

/// Whether the process may find other files than the observer.
pub fn mounts(case: &Case) -> bool {
    case.effects.iter().any(|e| matches!(e, Effect::Mount { .. } | Effect::PivotRoot { .. }))
}

fn observed(case: &Case) -> Result<Vec<Difference>, String> {
    if binds(case) {
        kernel::loopback_up().map_err(|e| format!("bring the loopback device up: {e}"))?;
    }
    world::build(case).map_err(|e| format!("build the world: {e}"))?;
    let before = observe::tree();
    let plan = plan::of(&case.effects, case.start.uid[1]);
    let (ours, theirs) = channel::pair().map_err(|e| format!("make a channel: {e}"))?;
    match kernel::fork().map_err(|e| format!("fork: {e}"))? {
        ForkResult::Child => {
            drop(ours);
            runner::play(case, &plan, &theirs)
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut watch =
                Watch { case, plan: &plan, line: ours, start: child.as_raw() as u32, roles: BTreeMap::new() };
            watch.list(before)
        }
    }
}

struct Watch<'a> {
    case: &'a Case,
    plan: &'a Plan,
    line: Channel,
    start: u32,
    /// who each process is
    roles: BTreeMap<u32, String>,
}

impl Watch<'_> {
    fn list(&mut self, before: observe::Tree) -> Result<Vec<Difference>, String> {
        let Message::Begun(snapshot) = self.hear("the snapshot")? else {
            return Err("the snapshot was to come first".to_owned());
        };
        self.go_on()?;
        let mut seen = Seen::default();
        for (i, effect) in self.case.effects.iter().enumerate() {
            let what = format!("effect {i}, {effect}");
            let Message::Step { pid, outcome, told } = self.hear_but_roles(&what)? else {
                return Err(format!("{what}: another message came"));
            };
            let told = told.map(|id| Identity {
                root: observe::there(&id.root),
                cwd: observe::there(&id.cwd),
                ..id
            });
            self.roles.retain(|_, role| role != "runner");
            self.roles.insert(pid, "runner".to_owned());
            let settings = observe::settings(pid);
            seen.steps.push(Step { outcome, identity: observe::identity(pid), told, settings });
            if i + 1 < self.case.effects.len() {
                self.go_on()?;
            }
        }
        let forks = self.case.effects.iter().position(|e| *e == Effect::Daemonize);
        let stays = forks.is_none_or(|i| seen.steps[i].outcome.result == "ok");
        while stays && self.roles.len() < 2 {
            let Message::Stayed { pid, role } = self.hear("who stays behind")? else {
                return Err("who stays behind was to say so".to_owned());
            };
            self.roles.insert(pid, role);
        }
        seen.end = self.look();
        let predicted = std::panic::catch_unwind(AssertUnwindSafe(|| {
            predict::list(self.case, self.plan, &snapshot, &before)
        }))
        .map_err(|_| "the model panicked".to_owned())?;
        if self.case.undo {
            self.go_on()?;
            loop {
                match self.hear("the undo")? {
                    Message::Undone(outcome) => seen.undone.push(outcome),
                    Message::Over => break,
                    other => return Err(format!("in the undo: {other:?}")),
                }
            }
            // Whoever took it back ends, and what is there then was left behind.
            self.go_on()?;
            while self.hear("the end").is_ok() {}
            let _ = waitpid(Pid::from_raw(self.start as i32), None);
            // A program ends with its keeper, and the guard with the daemon: a signal is on its way. Sockets
            // that were handed over and not taken the kernel collects later.
            let begin = Instant::now();
            let mut after = self.look();
            while !compare::same_after(predicted.after.as_ref(), &after) && begin.elapsed() < LAST {
                std::thread::sleep(Duration::from_millis(1));
                after = self.look();
            }
            seen.after = Some(after);
        }
        Ok(compare::both(self.case, &predicted, &seen))
    }

    fn look(&self) -> State {
        let all = observe::processes();
        let role = |pid: u32| -> String {
            match self.roles.get(&pid) {
                Some(role) => role.clone(),
                None if pid == 1 => "init".to_owned(),
                None => match all.iter().find(|p| p.pid == pid) {
                    Some(p) if p.name.contains("stay") => "program".to_owned(),
                    Some(_) => "guard".to_owned(),
                    None => "one that is gone".to_owned(),
                },
            }
        };
        let mut processes: Vec<String> = all
            .iter()
            // Who holds the undo in the foreground is no part of the world, but of its making.
            // What has ended waits for its parent only, which ends soon.
            .filter(|p| role(p.pid) != "holder" && !p.zombie)
            .map(|p| {
                let session = match p.sid {
                    sid if sid == self.start => "the caller's".to_owned(),
                    sid => format!("of {}", role(sid)),
                };
                format!("{}, below {}, session {session}", role(p.pid), role(p.ppid))
            })
            .collect();
        processes.sort();
        let runner = self.roles.iter().find(|(_, role)| *role == "runner").map(|(pid, _)| *pid);
        let own = runner.filter(|_| mounts(self.case));
        let view = own.map(observe::view).unwrap_or_default();
        State { tree: observe::tree(), view, listening: observe::listening_for(runner), processes }
    }

    fn go_on(&self) -> Result<(), String> {
        self.line.send(b"on", &[]).map_err(|e| format!("tell it to go on: {e}"))
    }

    fn hear_but_roles(&mut self, what: &str) -> Result<Message, String> {
        loop {
            match self.hear(what)? {
                Message::Stayed { pid, role } => {
                    self.roles.insert(pid, role);
                }
                other => return Ok(other),
            }
        }
    }

    fn hear(&self, what: &str) -> Result<Message, String> {
        match wait_readable([self.line.as_fd()], PATIENCE_MS) {
            Ok([true]) => {}
            _ => return Err(format!("{what}: nothing happened for {PATIENCE_MS} ms")),
        }
        match self.line.receive() {
            Ok(Some((data, _))) => match serde_json::from_slice(&data) {
                Ok(Message::Broken(why)) => Err(why),
                Ok(message) => Ok(message),
                Err(error) => Err(format!("{what}: {error}")),
            },
            Ok(None) => Err(format!("{what}: every process is gone")),
            Err(error) => Err(format!("{what}: {error}")),
        }
    }
}
