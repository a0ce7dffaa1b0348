//! The one loop: phases in their order, each effect performed, recorded, and undone if it must be.
//!
//! It does not know in which world it runs. Three processes may leave a run: the launcher stays
//! behind at `daemonize` and waits, the guard waits for the daemon's end, the daemon goes on.

mod compare;
mod learn;

use crate::effect::{
    Application, Effect, End, Ended, ErrorKind, Identity, News, Performed, Socket, Standing, System,
    SystemError, Undo, Undoer, outside,
};
use crate::plan::Approved;
use crate::plan::{Plan, Step};
use crate::spec::OnFailure;
use crate::state::{Phase, PhaseMark, Run, RunMark, State};
use crate::timeline::{Divergence, Event, Failure, Outcome, PhaseHeader, Process, Timeline, What};
pub use learn::Replanned;
use learn::{Known, Replan};
use std::path::{Path, PathBuf};

/// What the record says about the run as a whole.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// name of the run
    pub run: String,
    /// name of the instance
    pub name: String,
    /// version of rsd
    pub version: String,
    /// nanoseconds since 1970 at the moment the system's clock shows at the start
    pub wall_ns: u64,
}

/// How to go through the plan.
#[derive(Default)]
pub struct How<'a> {
    /// what the model said, to compare with
    pub predicted: Option<&'a Timeline>,
    /// a difference from what the model said fails the phase, and the start is given up
    pub strict: bool,
    /// go on after failures and play every process: for the model, which is to find all that fails
    pub whole: bool,
    /// about the run
    pub header: Header,
    /// makes the plan again with what a loaded application brings, and judges it; without it an
    /// application that names a user or a group is refused
    pub replan: Option<Replan<'a>>,
}

/// How it ended for the process that returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// the launcher: the daemon is ready
    Ready,
    /// it served and came down in order
    Completed,
    /// it was ready, and then something failed
    Failed,
    /// the start failed and all was undone
    Unwound,
    /// the start failed and something could not be undone
    Stuck,
    /// the start failed, and another process was told, undoes and reports
    Told,
    /// the guard has done what it was kept for
    Guarded,
}

/// What the process that returns can say.
#[derive(Clone, Debug)]
pub struct Report {
    /// how it ended
    pub ending: Ending,
    /// phases that failed, in the order they did
    pub failures: Vec<(String, Failure)>,
    /// what was undone, newest first
    pub undone: Vec<String>,
    /// what was not taken back on purpose: "/var/log/t.log: it is not empty"
    pub kept: Vec<String>,
    /// what may be there or not: whoever was making it ended without a word
    pub unsure: Vec<String>,
    /// what could not be undone, and why
    pub left: Vec<(String, Failure)>,
    /// how the application ended
    pub ended: Option<Ended>,
    /// serving itself failed, not a phase after it
    pub serve_failed: bool,
    /// where model and host differed
    pub divergences: Vec<Divergence>,
}

impl Report {
    /// The exit code, DESIGN section 4.
    pub fn exit_code(&self) -> i32 {
        let already = |(_, f): &(String, Failure)| f.kind == ErrorKind::AlreadyRunning;
        match self.ending {
            Ending::Ready | Ending::Completed | Ending::Guarded => match self.ended {
                Some(Ended::Exit(code)) => code,
                _ => 0,
            },
            Ending::Failed => match self.ended {
                Some(Ended::Exit(code)) => code,
                Some(Ended::Signal(signal)) => 128 + signal,
                Some(Ended::Unknown) => 1,
                None => i32::from(self.serve_failed),
            },
            Ending::Stuck => 7,
            Ending::Unwound | Ending::Told if self.failures.iter().any(already) => 5,
            Ending::Unwound | Ending::Told => 1,
        }
    }
}

/// Runs an approved plan in `system`; every event goes to `record`.
pub fn run<S: System>(
    approved: &Approved,
    system: &mut S,
    record: &mut dyn FnMut(Event),
    how: &How,
) -> Report {
    go(approved.plan(), system, record, how)
}

/// The same for any plan: only the model may be asked to run what is not approved.
pub(crate) fn go<S: System>(plan: &Plan, system: &mut S, record: &mut dyn FnMut(Event), how: &How) -> Report {
    let mut this = Loop {
        plan: Known::Given(plan),
        predicted: how.predicted.map(Known::Given),
        system,
        record,
        how,
        phases: vec![Phase::Pending; plan.steps.len()],
        state: Run::Starting,
        undo: Vec::new(),
        report: Report {
            ending: Ending::Completed,
            failures: Vec::new(),
            undone: Vec::new(),
            kept: Vec::new(),
            unsure: Vec::new(),
            left: Vec::new(),
            ended: None,
            serve_failed: false,
            divergences: Vec::new(),
        },
        identity: None,
        read: false,
        standing: None,
        differing: Vec::new(),
        unwinding: false,
    };
    let ending = this.whole_run();
    this.report.ending = ending;
    this.report
}

/// Turns events into tracing events, for whichever subscriber listens; the journal's does.
pub fn traced(event: Event) {
    if let Ok(data) = serde_json::to_string(&event) {
        tracing::info!(target: "rsd::journal", data = data.as_str());
    }
}

enum Went {
    On,
    Parent,
    Guard,
    Failed(Failure),
}

struct Loop<'a, S> {
    plan: Known<'a, Plan>,
    predicted: Option<Known<'a, Timeline>>,
    system: &'a mut S,
    record: &'a mut dyn FnMut(Event),
    how: &'a How<'a>,
    phases: Vec<Phase>,
    state: Run,
    undo: Vec<(usize, Undo)>,
    report: Report,
    /// which process it was found to be at last, and who
    identity: Option<(u32, Identity)>,
    /// nothing was performed since it was read
    read: bool,
    /// what else the process was found to be
    standing: Option<Standing>,
    /// where model and host differed at the last comparison
    differing: Vec<Divergence>,
    /// the start is being taken back: phases run in another process than they were planned for
    unwinding: bool,
}

impl<S: System> Loop<'_, S> {
    fn whole_run(&mut self) -> Ending {
        self.open_record();
        match self.system.open(&self.plan) {
            Ok(Performed::Parent) => return self.stay_behind(),
            Ok(_) => {}
            Err(error) => return self.fail_before_the_first_phase(error),
        }
        let count = self.plan.steps.len();
        let here = |s: &Step| s.process != Process::Guard;
        for i in 0..count {
            // By now it may be another one: see `learn`.
            let plan = self.plan.clone();
            let step = &plan.steps[i];
            if !here(step) || step.down {
                continue;
            }
            if step.serves() && step.skipped.is_none() {
                self.become_ready();
            }
            match self.step(i) {
                Went::On => {}
                Went::Parent => return self.stay_behind(),
                Went::Guard => return self.guard(),
                Went::Failed(_) if self.state != Run::Starting => self.report.serve_failed = true,
                Went::Failed(failure) => {
                    if (step.on_failure != OnFailure::Continue || final_(failure.kind)) && !self.how.whole {
                        return self.give_up(i, failure);
                    }
                }
            }
        }
        if self.state == Run::Starting {
            self.become_ready();
        }
        self.transition(RunMark::Stop);
        for i in 0..count {
            if here(&self.plan.steps[i]) && self.plan.steps[i].down {
                self.down(i);
            }
        }
        if self.how.whole {
            self.guard_phases();
        }
        self.finish()
    }

    fn open_record(&mut self) {
        let named = |s: &Step| match self.how.whole {
            true => name_only(s),
            false => header(&self.plan, s),
        };
        let phases = self.plan.steps.iter().map(named).collect();
        self.say(What::Run {
            schema: crate::timeline::SCHEMA,
            spec: self.plan.spec.clone(),
            name: Some(&self.how.header.name).filter(|n| **n != self.plan.spec).cloned().unwrap_or_default(),
            run: self.how.header.run.clone(),
            version: self.how.header.version.clone(),
            wall_ns: self.how.header.wall_ns,
            phases,
        });
        self.note_identity();
        self.begin_comparing();
    }

    fn say(&mut self, what: What) {
        let event = Event { t: self.system.now(), pid: self.system.pid(), what };
        (self.record)(event);
    }

    fn mark(&mut self, step: usize, mark: PhaseMark) {
        match self.phases[step].next(mark) {
            Ok(next) => self.phases[step] = next,
            Err(illegal) => debug_assert!(false, "{}: {illegal}", self.plan.steps[step].phase),
        }
    }

    fn transition(&mut self, mark: RunMark) {
        match self.state.next(mark) {
            Ok(next) => self.state = next,
            Err(illegal) => debug_assert!(false, "run: {illegal}"),
        }
    }

    /// One step, tried as often as it may be.
    fn step(&mut self, i: usize) -> Went {
        let plan = self.plan.clone();
        let step = &plan.steps[i];
        if let Some(why) = &step.skipped {
            self.skip(i, why.clone());
            return Went::On;
        }
        let _span =
            tracing::info_span!(target: "rsd", "phase", name = %step.phase, kind = %step.kind).entered();
        let mut left = match step.on_failure {
            OnFailure::Retry { times, .. } => times,
            _ => 0,
        };
        loop {
            self.mark(i, PhaseMark::Start);
            self.system.begin(i, step.timeout);
            self.say(What::Enter { phase: step.phase.clone() });
            let before = self.undo.len();
            let error = match self.effects(i) {
                Ok(Went::On) => match self.compare(i) {
                    None => {
                        self.mark(i, PhaseMark::Finish);
                        self.exit(i, None);
                        return Went::On;
                    }
                    Some(error) => error,
                },
                Ok(left) => return left,
                Err(error) => error,
            };
            let kind = error.kind;
            let mut failure = Failure::from(error);
            self.mark(i, PhaseMark::Fail);
            self.exit(i, Some(failure.clone()));
            if let OnFailure::Retry { delay, .. } = step.on_failure
                && left > 0
                && !final_(kind)
                && self.undo_to(before, i)
            {
                left -= 1;
                self.system.sleep(delay);
                match self.system.interrupted() {
                    None => continue,
                    Some(error) => failure = error.into(),
                }
            }
            self.report.failures.push((step.phase.clone(), failure.clone()));
            return Went::Failed(failure);
        }
    }

    fn effects(&mut self, i: usize) -> Result<Went, SystemError> {
        let plan = self.plan.clone();
        let step = &plan.steps[i];
        for effect in &step.effects {
            self.read = false;
            let done = match self.system.perform(effect)? {
                Performed::Done(done) => done,
                Performed::Parent => return Ok(Went::Parent),
                Performed::Guard => return Ok(Went::Guard),
            };
            let held = self.system.hold(i, &done.undo);
            self.undo.push((i, done.undo));
            if let Err(mut error) = held {
                let before = self.undo.len() - 1;
                if !self.undo_to(before, usize::MAX) {
                    // Whoever reports does not know of it.
                    let left: Vec<_> = self.report.left.iter().map(|(what, _)| what.as_str()).collect();
                    error.message = format!("{}; LEFT BEHIND: {}", error.message, left.join(", "));
                }
                return Err(error);
            }
            // An application that is hosted in this process may be confined when it starts.
            let starts = matches!(effect, Effect::Application(Application::Start(_)));
            if effect.changes_identity() || starts {
                self.note_identity();
            }
            for note in done.learned.notes {
                self.say(What::Note { phase: step.phase.clone(), note });
            }
            if let Some(brought) = learn::brought(effect, done.learned.brought) {
                self.learn(i, &brought)?;
            }
            if let Some(ended) = done.learned.ended {
                self.report.ended = Some(ended);
                if let Some(error) = bad_end(ended).filter(|_| !done.learned.asked) {
                    return Err(error);
                }
            }
            if self.state == Run::Starting
                && let Some(error) = self.system.interrupted()
            {
                return Err(error);
            }
        }
        Ok(Went::On)
    }

    fn exit(&mut self, i: usize, error: Option<Failure>) {
        let what =
            What::Exit { phase: self.plan.steps[i].phase.clone(), state: self.phases[i], error, why: None };
        self.say(what);
    }

    fn skip(&mut self, i: usize, why: String) {
        self.mark(i, PhaseMark::Skip);
        let phase = self.plan.steps[i].phase.clone();
        self.say(What::Exit { phase, state: Phase::Skipped, error: None, why: Some(why) });
    }

    /// Reads back who the process is; recorded where it is another, or another's, than before.
    fn note_identity(&mut self) {
        match self.system.identity() {
            Ok(identity) => {
                self.read = true;
                let now = (self.system.pid(), identity);
                if self.identity.as_ref() != Some(&now) {
                    let identity = Box::new(now.1.clone());
                    self.identity = Some(now);
                    self.say(What::Identity { identity });
                }
            }
            Err(error) => self.identity_unknown(error),
        }
    }

    fn identity_unknown(&mut self, error: SystemError) {
        let note = format!("the identity could not be read: {error}");
        self.say(What::Note { phase: String::new(), note });
    }

    fn become_ready(&mut self) {
        self.transition(RunMark::Ready);
        // Recorded before it is told: the launcher may be gone a moment later.
        self.say(What::Ready {});
        self.system.tell(&News::Ready);
    }

    /// A phase after serve: what fails is recorded, and those that do not need it go on.
    fn down(&mut self, i: usize) {
        let plan = self.plan.clone();
        let step = &plan.steps[i];
        let met = |n: usize| {
            let went_on =
                self.plan.steps[n].on_failure == OnFailure::Continue && self.phases[n] == Phase::Failed;
            self.plan.steps[n].serves() || self.phases[n].meets_need() || went_on
        };
        let unmet = step.needed().find(|n| !met(*n));
        match unmet {
            Some(need) if step.skipped.is_none() && !self.how.whole => {
                self.skip(i, format!("needs {}", self.plan.steps[need].phase))
            }
            _ => {
                self.step(i);
            }
        }
    }

    fn finish(&mut self) -> Ending {
        let failed = !self.report.failures.is_empty();
        self.transition(if failed { RunMark::Fail } else { RunMark::Complete });
        let (ending, outcome) = match self.state {
            Run::Failed => (Ending::Failed, Outcome::Failed),
            _ => (Ending::Completed, Outcome::Completed),
        };
        self.end(ending, outcome)
    }

    fn end(&mut self, ending: Ending, outcome: Outcome) -> Ending {
        self.report.ending = ending;
        let code = self.report.exit_code();
        self.say(What::End { outcome, code });
        ending
    }

    /// The process that stays behind: waits, and undoes if the start failed.
    fn stay_behind(&mut self) -> Ending {
        let verdict = self.system.wait();
        if let End::Gone { step: Some(step), .. } = &verdict.end {
            self.be_unsure(*step, &verdict.held);
        }
        for (step, undo) in verdict.held {
            if step >= self.phases.len() {
                continue;
            }
            if self.phases[step] == Phase::Pending {
                self.mark(step, PhaseMark::Start);
            }
            self.undo.push((step, undo));
        }
        let (step, failure, recorded) = match verdict.end {
            End::Ready => return Ending::Ready,
            End::Failed { step, failure } => (Some(step), failure, true),
            End::Gone { step, failure } => (step, failure, false),
        };
        let step = step.filter(|s| *s < self.phases.len());
        // The other process told of what must be undone only; that it came to this step says that
        // the steps before it were done.
        for i in 0..self.phases.len() {
            let passed = Some(i) < step && self.plan.steps[i].process != Process::Guard;
            if passed && self.phases[i] == Phase::Pending && self.plan.steps[i].skipped.is_none() {
                self.mark(i, PhaseMark::Start);
            }
            if self.phases[i] == Phase::Running && Some(i) != step {
                self.mark(i, PhaseMark::Finish);
            }
        }
        if let Some(i) = step {
            if self.phases[i] == Phase::Pending {
                self.mark(i, PhaseMark::Start);
            }
            if self.phases[i] == Phase::Running {
                self.mark(i, PhaseMark::Fail);
                if !recorded {
                    self.exit(i, Some(failure.clone()));
                }
            }
        }
        let name = step.map_or_else(String::new, |i| self.plan.steps[i].phase.clone());
        self.report.failures.push((name, failure));
        self.unwind()
    }

    /// The other process ended in the middle of a step: what that makes on the machine and nobody has heard of
    /// may have been made. What can be nobody else's is taken away.
    fn be_unsure(&mut self, i: usize, held: &[(usize, Undo)]) {
        let plan = self.plan.clone();
        let Some(step) = plan.steps.get(i) else { return };
        let span =
            self.predicted.as_ref().and_then(|t| t.spans.get(i)).filter(|s| s.phase.name == step.phase);
        let root = span.and_then(|s| s.identity_before.as_ref()).map(|identity| identity.root.clone());
        let root = root.unwrap_or_else(|| PathBuf::from("/"));
        let heard = |path: &Path| {
            held.iter().any(|(_, undo)| {
                matches!(undo, Undo::Effect(e) if matches!(
                    &**e,
                    Effect::Remove { path: held, .. } | Effect::GiveBack { path: held, .. } if held == path
                ))
            })
        };
        for effect in &step.effects {
            let (Effect::OpenLog { path, .. }
            | Effect::CreatePidFile { path, .. }
            | Effect::MakeDirectory { path, .. }
            | Effect::Bind { socket: Socket::Unix(path), .. }) = effect
            else {
                continue;
            };
            let named = outside(&root, path);
            if heard(&named) {
                continue;
            }
            for note in self.system.clear_away(effect, &root) {
                self.say(What::Note { phase: step.phase.clone(), note });
            }
            self.report.unsure.push(named.display().to_string());
        }
    }

    fn fail_before_the_first_phase(&mut self, error: SystemError) -> Ending {
        self.report.failures.push((String::new(), error.into()));
        self.unwind()
    }

    fn give_up(&mut self, step: usize, failure: Failure) -> Ending {
        match self.system.tell(&News::Failed { step, failure }) {
            Undoer::Me => self.unwind(),
            Undoer::Other { stuck: true } => Ending::Stuck,
            Undoer::Other { stuck: false } => Ending::Told,
        }
    }

    fn unwind(&mut self) -> Ending {
        self.unwinding = true;
        self.undo_to(0, usize::MAX);
        for i in 0..self.plan.steps.len() {
            let plan = self.plan.clone();
            let step = &plan.steps[i];
            let was_done = |n: usize| matches!(self.phases[n], Phase::Done | Phase::Undone | Phase::Skipped);
            if step.always && self.phases[i] == Phase::Pending && step.needed().all(was_done) {
                self.step(i);
            }
        }
        if self.report.left.is_empty() {
            self.transition(RunMark::Unwind);
            self.end(Ending::Unwound, Outcome::Unwound)
        } else {
            self.transition(RunMark::Stick);
            self.end(Ending::Stuck, Outcome::Stuck)
        }
    }

    /// Undoes what came after `from`, newest first. `retried` is the step that will be tried again:
    /// it counts as undone even if it had done nothing. True if nothing is stuck.
    fn undo_to(&mut self, from: usize, retried: usize) -> bool {
        let mut clean = true;
        while self.undo.len() > from {
            let step = self.undo[self.undo.len() - 1].0;
            let mut failed = None;
            while self.undo.len() > from && self.undo[self.undo.len() - 1].0 == step {
                let Some((_, undo)) = self.undo.pop() else { break };
                let Undo::Effect(effect) = undo else { continue };
                if matches!(self.phases[step], Phase::Done | Phase::Failed) {
                    self.mark(step, PhaseMark::Undo);
                }
                let performed = self.system.perform(&effect);
                let kept = match &performed {
                    Ok(Performed::Done(done)) => done.learned.notes.clone(),
                    _ => Vec::new(),
                };
                let what = match kept.is_empty() {
                    true => effect.to_string(),
                    false => format!("kept {}", kept.join("; ")),
                };
                let error = performed.err().map(Failure::from);
                let state = if error.is_some() { Phase::Stuck } else { Phase::Undone };
                let phase = self.plan.steps[step].phase.clone();
                self.say(What::Undo { phase, what: what.clone(), state, error: error.clone() });
                match error {
                    Some(error) => {
                        self.report.left.push((what, error.clone()));
                        failed = Some(error);
                    }
                    None if kept.is_empty() => self.report.undone.push(what),
                    None => self.report.kept.extend(kept),
                }
            }
            if self.phases[step] == Phase::Undoing {
                self.mark(step, if failed.is_some() { PhaseMark::UndoFail } else { PhaseMark::UndoFinish });
            }
            clean &= failed.is_none();
        }
        if clean && retried < self.phases.len() && self.phases[retried] == Phase::Failed {
            self.mark(retried, PhaseMark::Undo);
            self.mark(retried, PhaseMark::UndoFinish);
        }
        clean
    }

    fn guard(&mut self) -> Ending {
        if !self.system.wait_as_guard() {
            return Ending::Guarded;
        }
        self.guard_phases();
        if !self.report.failures.is_empty() {
            self.say(What::End { outcome: Outcome::Failed, code: 0 });
        }
        Ending::Guarded
    }

    fn guard_phases(&mut self) {
        let guarded: Vec<_> =
            (0..self.plan.steps.len()).filter(|i| self.plan.steps[*i].process == Process::Guard).collect();
        if guarded.is_empty() || (self.how.whole && !self.system.wait_as_guard()) {
            return;
        }
        self.note_identity();
        self.begin_comparing();
        for i in guarded {
            // What the daemon did after the fork is unknown here; what this process did is not.
            let own = |n: &usize| self.plan.steps[*n].process == Process::Guard;
            let plan = self.plan.clone();
            let unmet = plan.steps[i].needed().filter(own).find(|n| !self.phases[*n].meets_need());
            match unmet {
                Some(need) if !self.how.whole => {
                    self.skip(i, format!("needs {}", self.plan.steps[need].phase))
                }
                _ => {
                    self.step(i);
                }
            }
        }
    }
}

/// What a prediction needs: all else is in the plan that it is made of, and plans may be large.
fn name_only(s: &Step) -> PhaseHeader {
    PhaseHeader {
        name: s.phase.clone(),
        process: s.process,
        skipped: s.skipped.clone(),
        serves: s.serves(),
        ..PhaseHeader::default()
    }
}

fn header(plan: &Plan, s: &Step) -> PhaseHeader {
    PhaseHeader {
        name: s.phase.clone(),
        groups: s.groups.to_vec(),
        kind: s.kind.clone(),
        process: s.process,
        needs: s.needed().map(|n| plan.steps[n].phase.clone()).collect(),
        skipped: s.skipped.clone(),
        detail: s.detail(),
        serves: s.serves(),
    }
}

/// No retry helps, and nothing goes on in spite of it.
fn final_(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Interrupted | ErrorKind::Diverged)
}

/// An application that ended by itself, with a status that is not success, failed.
fn bad_end(ended: Ended) -> Option<SystemError> {
    let text = match ended {
        Ended::Exit(0) => return None,
        Ended::Exit(code) => format!("the application exited with status {code}"),
        Ended::Signal(signal) => format!("the application was ended by signal {signal}"),
        Ended::Unknown => {
            return Some(
                SystemError::new("the application ended, and how cannot be told")
                    .why("it is the child of another process, which took its status, and this kernel tells it to nobody else (Linux 6.15 does)")
                    .help("its own output is in the log, or on the terminal where there is no log"),
            );
        }
    };
    Some(
        SystemError::new(text).help("its own output is in the log, or on the terminal where there is no log"),
    )
}
