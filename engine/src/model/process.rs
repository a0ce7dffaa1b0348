//! The processes of a start: who stays behind, who goes on, who is kept for the end.

use super::Model;
use super::confine::Confined;
use super::named::Known;
use super::view::View;
use crate::effect::{Capability, Done, Effect, Handle, Identity, SecureBits, SystemError, Undo};
use crate::plan::{DropStep, Plan};
use std::collections::BTreeSet;
use std::path::Path;

/// Process, parent, session: as `ps` would show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// process id
    pub pid: u32,
    /// its parent
    pub ppid: u32,
    /// its session
    pub sid: u32,
}

/// What a process is in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// it stayed behind at `daemonize`, and holds the undo until ready
    Launcher,
    /// it performs the effects
    Runner,
    /// it keeps the starting credential for the privileged down phases
    Guard,
    /// the application's program
    Program,
}

/// The session of whoever started the run.
pub const CALLERS_SESSION: u32 = 900;
const CALLER: u32 = 1;
const FIRST: u32 = 1000;

/// Handles of processes are numbered from here.
const HANDLES: u32 = 2_000_000;

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Processes {
    runner: Ids,
    others: Vec<Other>,
    guard: Option<Guard>,
    /// it needs the working directory
    guard_stays: bool,
    /// as whom the start is undone: the launcher, or in the foreground the child that was forked for it
    undoer: (Identity, Confined),
    /// what is mounted where for that one
    undoer_view: View,
    next: u32,
    step: usize,
    drop: Option<DropStep>,
    /// somebody else holds the undo
    held: bool,
    /// what a process has made behind its drop: it is undone as its user only
    distrusted: BTreeSet<u32>,
    failed: bool,
}

/// What the guard was when it was forked.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// who it is
    pub(super) identity: Identity,
    /// it has handles of what was made before it was forked, and of no more
    pub(super) known: Known,
    /// what was taken away from it before
    pub(super) confined: Confined,
    /// what is mounted where for it
    pub(super) view: View,
}

/// A process besides the one that goes on.
#[derive(Clone, Debug)]
struct Other {
    role: Role,
    ids: Ids,
    /// who it is
    identity: Identity,
    /// the one it was below has ended, and could signal it
    told: bool,
}

/// What is undone as the user that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// only the effective ids change: with its real id that user could signal this process
    Files,
    /// all ids, in a process forked for it: kill(2) looks at the real id, too
    Processes,
}

/// kill(2): by the real and the saved id of the other. What was executed has its effective id saved.
fn may_signal(who: &Identity, whom: &Other) -> bool {
    let [real, effective, saved] = whom.identity.uid;
    let theirs = [real, if whom.role == Role::Program { effective } else { saved }];
    who.uid[..2].iter().any(|id| theirs.contains(id)) || who.caps.has(Capability::Kill)
}

impl Processes {
    pub(super) fn new(start: &Identity) -> Self {
        Processes {
            runner: Ids { pid: FIRST, ppid: CALLER, sid: CALLERS_SESSION },
            others: Vec::new(),
            guard: None,
            guard_stays: false,
            undoer: (start.clone(), Confined::default()),
            undoer_view: View::default(),
            next: FIRST + 1,
            step: 0,
            drop: None,
            held: false,
            distrusted: BTreeSet::new(),
            failed: false,
        }
    }

    /// In the foreground a child holds the undo from the beginning, otherwise the launcher will.
    pub(super) fn open(&mut self, plan: &Plan) {
        self.held = !plan.daemonizes();
        self.learned(plan);
    }

    pub(super) fn learned(&mut self, plan: &Plan) {
        self.drop = plan.drop_step();
        self.guard_stays = plan.guard_stays();
    }

    pub(super) fn begin(&mut self, step: usize) {
        self.step = step;
    }

    /// Of the process that goes on.
    pub(super) fn ids(&self) -> Ids {
        self.runner
    }

    fn fork(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn below_the_runner(&mut self, role: Role, identity: &Identity) -> u32 {
        let pid = self.fork();
        let ids = Ids { pid, ppid: self.runner.pid, sid: self.runner.sid };
        self.others.push(Other { role, ids, identity: identity.clone(), told: false });
        pid
    }

    fn position(&self, role: Role) -> Option<usize> {
        self.others.iter().rposition(|other| other.role == role)
    }

    /// The launcher leaves, and the daemon is nobody's child any more.
    pub(super) fn ready(&mut self) {
        self.others.retain(|other| other.role != Role::Launcher);
        self.runner.ppid = CALLER;
    }

    /// The one that holds the undo goes on; the one that went on until now, who is `gone`, ends.
    pub(super) fn fail(&mut self, gone: &Identity) -> (Identity, Confined) {
        self.failed = true;
        for other in self.others.iter_mut().filter(|other| other.ids.ppid == self.runner.pid) {
            other.told = may_signal(gone, other);
        }
        if let Some(at) = self.position(Role::Launcher) {
            let launcher = self.others.remove(at).ids;
            for other in self.others.iter_mut().filter(|other| other.ids.ppid == self.runner.pid) {
                other.ids.ppid = launcher.pid;
            }
            self.runner = launcher;
        }
        self.undoer.clone()
    }

    pub(super) fn view_of_the_undoer(&self) -> View {
        self.undoer_view.clone()
    }

    /// From here on the guard is the one that goes on.
    pub(super) fn guard(&mut self) -> Option<Guard> {
        let guard = self.position(Role::Guard).map(|at| self.others.remove(at))?;
        self.runner = guard.ids;
        self.guard.take()
    }
}

impl Model {
    /// Every process of the run that is there.
    pub fn processes(&self) -> Vec<(Role, Ids)> {
        let runner = (Role::Runner, self.processes.runner);
        std::iter::once(runner).chain(self.processes.others.iter().map(|o| (o.role, o.ids))).collect()
    }

    /// What lives on where everything else has ended. A program ends with its keeper, but for one that was
    /// executed with an effective id that is not the real one, or that got capabilities by it: the kernel
    /// takes the signal from it that would tell (PR_SET_PDEATHSIG in prctl(2)). Nor does that come where the
    /// keeper has become somebody who may not signal the program: it is sent as by the keeper.
    pub fn left_behind(&self) -> Vec<(Role, Ids)> {
        let apart = |ids: [u32; 3]| ids[0] != ids[1];
        let left = self.processes.others.iter().filter(|other| {
            let id = &other.identity;
            let root = id.uid[..2].contains(&0) && id.securebits.0 & SecureBits::NOROOT == 0;
            let gains = root && (id.bounding.0 | id.inheritable.0) & !id.permitted.0 != 0;
            let below = other.ids.ppid == self.processes.runner.pid;
            let told = other.told || below && may_signal(&self.identity, other);
            other.role == Role::Program && (gains || apart(id.uid) || apart(id.gid) || !told)
        });
        left.map(|other| (other.role, Ids { ppid: CALLER, ..other.ids })).collect()
    }

    /// The launcher is the reaper of all below it until the daemon is ready.
    pub(super) fn daemonize(&mut self) -> Done {
        let launcher = self.processes.runner;
        let session = self.processes.fork();
        let pid = self.processes.fork();
        let identity = self.identity.clone();
        self.processes.others.push(Other { role: Role::Launcher, ids: launcher, identity, told: false });
        self.processes.runner = Ids { pid, ppid: launcher.pid, sid: session };
        self.processes.undoer = (self.identity.clone(), self.confined.clone());
        self.processes.undoer_view = self.files.view.clone();
        self.processes.held = true;
        Done::with(Undo::EndsWithProcess)
    }

    pub(super) fn keep_guard(&mut self) -> Done {
        let (confined, view) = (self.confined.clone(), self.files.view.clone());
        let cwd = self.identity.cwd.clone();
        if !self.processes.guard_stays {
            // Where it cannot be entered the guard stays where it is.
            let _ = self.chdir(Path::new("/"));
        }
        self.processes.guard =
            Some(Guard { identity: self.identity.clone(), known: self.known, confined, view });
        self.identity.cwd = cwd;
        self.ends(Role::Guard, "the guard")
    }

    pub(super) fn start_program(&mut self, name: &str) -> Done {
        self.ends(Role::Program, name)
    }

    /// The one that holds the undo is told of it.
    pub(super) fn made_by_runner(&mut self, handle: Handle) {
        let p = &mut self.processes;
        if p.held && p.drop.as_ref().is_some_and(|drop| p.step > drop.step) {
            p.distrusted.insert(handle.0);
        }
    }

    /// Undoes as the user that a handle came from, where that is not us.
    pub(super) fn as_whoever_made<T>(
        &mut self,
        handle: Handle,
        whose: Whose,
        act: impl FnOnce(&mut Self) -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        let p = &self.processes;
        let Some(drop) = p.drop.clone().filter(|_| p.failed && p.distrusted.contains(&handle.0)) else {
            return act(self);
        };
        if self.identity.uid == [drop.uid; 3] {
            return act(self);
        }
        let before = self.identity.clone();
        let done = self.become_user(&drop, whose).and_then(|()| act(self));
        self.identity = before;
        done
    }

    fn become_user(&mut self, drop: &DropStep, whose: Whose) -> Result<(), SystemError> {
        let what = format!("become user {} for the undo", drop.uid);
        let before = self.identity.uid;
        if !self.has(Capability::Setgid) {
            return Err(self.denied(Capability::Setgid, what));
        }
        if !self.has(Capability::Setuid) && !before.contains(&drop.uid) {
            return Err(self.denied(Capability::Setuid, what));
        }
        self.identity.groups = drop.groups.clone();
        match whose {
            Whose::Files => (self.identity.gid[1], self.identity.uid[1]) = (drop.gid, drop.uid),
            Whose::Processes => (self.identity.gid, self.identity.uid) = ([drop.gid; 3], [drop.uid; 3]),
        }
        self.capabilities_follow(before, self.identity.uid);
        Ok(())
    }

    /// The program is gone. True if it was this process's own child, so that it can tell how it ended.
    pub(super) fn program_ended(&mut self) -> bool {
        let runner = self.processes.runner.pid;
        let program = self.processes.position(Role::Program).map(|at| self.processes.others.remove(at));
        program.is_none_or(|program| program.ids.ppid == runner)
    }

    /// Undo: ends a process, kill(2).
    pub(super) fn end(&mut self, handle: Handle, name: &str) -> Result<Done, SystemError> {
        let number = handle.0.checked_sub(HANDLES);
        let Some(at) = self.processes.others.iter().position(|other| Some(other.ids.pid) == number) else {
            return Ok(Done::with(Undo::Nothing));
        };
        if !may_signal(&self.identity, &self.processes.others[at]) {
            return Err(self.denied(Capability::Kill, format!("end {name}")));
        }
        self.processes.others.remove(at);
        Ok(Done::with(Undo::Nothing))
    }

    /// A new process below this one, and what ends it.
    fn ends(&mut self, role: Role, name: &str) -> Done {
        let handle = Handle(HANDLES + self.processes.below_the_runner(role, &self.identity));
        self.made_by_runner(handle);
        Done::with(Undo::Effect(Box::new(Effect::End { handle, name: name.to_owned() })))
    }
}
