//! What happened when, and who the process was: events, the spans they make, and reading a journal.

pub(crate) mod clock;
mod compact;
mod critical;
mod divergence;
mod glance;
pub mod history;
mod own;
mod read;
mod reduce;
#[cfg(test)]
pub(crate) mod samples;
mod store;
#[cfg(test)]
mod tests;

pub use critical::{Link, chain, critical, slack};
pub use glance::glance;
pub use own::{Own, own};
pub use read::{Reader, read};

use crate::effect::{Capability, ErrorKind, Identity, SystemError};
use crate::state;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Version of the journal and of every JSON contract.
pub const SCHEMA: u32 = 1;

/// Which process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Process {
    /// the one that was started, until the daemon is on its own
    Launcher,
    /// the one that serves
    #[default]
    Daemon,
    /// the one that keeps the starting credential for the privileged down phases
    Guard,
}

impl Process {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Process::Launcher => "launcher",
            Process::Daemon => "daemon",
            Process::Guard => "guard",
        }
    }
}

/// Why a phase failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// the kernel's number, if it was the kernel
    pub errno: Option<i32>,
    /// "create PID file /run/t.pid: Permission denied"
    pub message: String,
    /// the recorded facts that explain it
    pub why: Option<String>,
    /// what to do
    pub help: Option<String>,
    /// what sort of error, where the exit code depends on it
    #[serde(default)]
    pub kind: ErrorKind,
    /// the capability whose lack explains it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Capability>,
}

impl Failure {
    /// The facts that explain it, line by line: a program's last words may be several.
    pub fn why_lines(&self) -> impl Iterator<Item = &str> {
        self.why.as_deref().unwrap_or_default().lines()
    }
}

impl From<SystemError> for Failure {
    fn from(e: SystemError) -> Self {
        Failure { errno: e.errno, message: e.message, why: e.why, help: e.help, kind: e.kind, lacks: e.lacks }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// nanoseconds on CLOCK_MONOTONIC (or the model's clock)
    pub t: u64,
    /// the process that speaks
    pub pid: u32,
    /// what happened
    #[serde(flatten)]
    pub what: What,
}

/// A phase as the plan has it, so that those that never ran can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseHeader {
    /// its name
    pub name: String,
    /// the groups it stands in, outermost first
    pub groups: Vec<String>,
    /// its kind
    pub kind: String,
    /// the process it was planned for
    pub process: Process,
    /// phases it needs, direct, as leaves
    pub needs: Vec<String>,
    /// why it is skipped, if the plan already knows
    pub skipped: Option<String>,
    /// the effects in a word or two: "/jail", "027", "1000:1000", "fork×2"
    pub detail: String,
    /// the daemon lives in it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serves: bool,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "kebab-case")]
pub enum What {
    /// the first record of every run
    Run {
        /// version of the format
        schema: u32,
        /// name of the spec
        spec: String,
        /// name of the instance (`--name`), where it is not that of the spec
        #[serde(default, skip_serializing_if = "String::is_empty")]
        name: String,
        /// name of the run, four or more hexadecimal digits
        run: String,
        /// version of rsd
        version: String,
        /// nanoseconds since 1970 at the same moment as `t`
        wall_ns: u64,
        /// every phase, in the order of the plan
        phases: Vec<PhaseHeader>,
    },
    /// a loaded application brought what changes the plan: these phases are now other ones
    Replan {
        /// those that changed
        phases: Vec<PhaseHeader>,
    },
    /// who the process is; recorded first and whenever it changed
    Identity {
        /// all of it
        #[serde(with = "compact")]
        identity: Box<Identity>,
    },
    /// a phase begins
    Enter {
        /// which
        phase: String,
    },
    /// something worth saying happened in a phase
    Note {
        /// which
        phase: String,
        /// a sentence
        note: String,
    },
    /// a phase ended
    Exit {
        /// which
        phase: String,
        /// done, failed or skipped
        state: state::Phase,
        /// why it failed
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        /// why it was skipped
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// a new process goes on where another stays behind
    Fork {
        /// the process that forked
        parent: u32,
        /// what the new one is: "session leader", "daemon", "guard", "program"
        role: String,
        /// the new one, where it is not the one that speaks
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<u32>,
    },
    /// every phase before serve is done
    Ready {},
    /// a signal was taken
    Signal {
        /// its name, `SIGTERM`
        signal: String,
        /// what was done about it
        then: String,
    },
    /// the program said how it is doing (sd_notify(3), `STATUS=`)
    Status {
        /// its words
        text: String,
    },
    /// one effect was undone, or could not be
    Undo {
        /// the phase it belonged to
        phase: String,
        /// what was undone: "remove /run/t.pid"
        what: String,
        /// undoing, undone or stuck
        state: state::Phase,
        /// why it could not be
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// what the model said and what the host did differ
    Divergence(Divergence),
    /// the run came to its end
    End {
        /// how
        outcome: Outcome,
        /// exit status of the command that ran it
        code: i32,
    },
}

/// A difference between what was predicted and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// in which phase
    pub phase: String,
    /// after which effect
    pub effect: String,
    /// what differs: `uid`, `groups`, `state` …
    pub field: String,
    /// as the model had it
    pub predicted: String,
    /// as the host had it
    pub observed: String,
}

/// How a run ended, or that it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Outcome {
    #[default]
    Running,
    Completed,
    Failed,
    Unwound,
    Stuck,
    Vanished,
}

impl Outcome {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Unwound => "unwound",
            Outcome::Stuck => "stuck",
            Outcome::Vanished => "vanished",
        }
    }
}

/// One phase, as it went. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// the phase as planned
    pub phase: PhaseHeader,
    /// what the application brought made it so: it was planned otherwise
    pub replanned: bool,
    /// where it got to
    pub state: state::Phase,
    /// when it began
    pub start_ns: Option<u64>,
    /// when it ended
    pub end_ns: Option<u64>,
    /// the process it began in
    pub pid_start: Option<u32>,
    /// the process it ended in
    pub pid_end: Option<u32>,
    /// who the process was when it began
    pub identity_before: Option<Arc<Identity>>,
    /// who the process was when it ended
    pub identity_after: Option<Arc<Identity>>,
    /// why it failed
    pub error: Option<Box<Failure>>,
    /// why it was skipped
    pub skipped: Option<String>,
    /// sentences
    pub notes: Vec<String>,
    /// when its undo began
    pub undo_ns: Option<u64>,
    /// when it was undone
    pub undone_ns: Option<u64>,
    /// which process undid it
    pub undone_by: Option<u32>,
    /// what was undone, and what could not be
    pub undo: Vec<(String, Option<Failure>)>,
}

/// A run, from its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// name of the spec
    pub spec: String,
    /// name of the instance, where it is not that of the spec
    pub name: String,
    /// name of the run
    pub run: String,
    /// version of rsd that recorded it
    pub version: String,
    /// the process that was started
    pub pid: u32,
    /// when it began, nanoseconds since 1970
    pub wall_ns: u64,
    /// how it ended
    pub outcome: Outcome,
    /// exit status that was recorded at the end
    pub code: Option<i32>,
    /// when the daemon was ready
    pub ready_ns: Option<u64>,
    /// when the last event happened
    pub end_ns: u64,
    /// the phases, in the order of the plan
    pub spans: Vec<Span>,
    /// where model and host differed
    pub divergences: Vec<Divergence>,
    /// forks: (time, parent, child, role)
    pub forks: Vec<(u64, u32, u32, String)>,
    /// signals: (time, name, what was done)
    pub signals: Vec<(u64, String, String)>,
    /// what the program said last of how it is doing, and when
    pub status: Option<(u64, String)>,
    /// what is wrong with the record itself: "cut after line 12", "3 lines are not of this format"
    pub problems: Vec<String>,
}

impl Span {
    /// How long it took, if it began and ended.
    pub fn took(&self) -> Option<u64> {
        Some(self.end_ns?.saturating_sub(self.start_ns?))
    }

    /// True where the process was another, or another's, when it ended.
    pub fn changed_identity(&self) -> bool {
        (self.pid_end.is_some() && self.pid_start != self.pid_end)
            || (self.identity_after.is_some() && self.identity_before != self.identity_after)
    }
}

/// Takes the events of a run as they come, and keeps no more of them than a timeline needs.
#[derive(Debug, Default)]
pub struct Recorder(store::Store);

impl Recorder {
    /// One more event.
    pub fn record(&mut self, event: Event) {
        self.0.push(event);
    }

    /// The timeline of all that came.
    pub fn timeline(self) -> Timeline {
        reduce::reduce(self.0)
    }
}

impl Timeline {
    /// The spans that these events make. Events need not be in the order of time.
    pub fn from_events(events: &[Event]) -> Timeline {
        let mut recorder = Recorder::default();
        for event in events {
            recorder.record(event.clone());
        }
        recorder.timeline()
    }

    /// The timeline of a journal, as far as it can be read; `problems` says what could not.
    pub fn read(journal: &[u8]) -> Timeline {
        let mut reader = Reader::default();
        reader.feed(journal);
        reader.end()
    }

    /// No process holds the journal any more: a run without an end has vanished.
    pub fn vanished(&mut self) {
        if self.outcome == Outcome::Running {
            self.outcome = Outcome::Vanished;
        }
    }

    /// What a start that was undone has left: "nothing", or "nothing else" where an undo has kept something on
    /// purpose, such as a log that has words in it.
    pub fn left(&self) -> &'static str {
        let kept = self.spans.iter().flat_map(|s| &s.undo).any(|(what, _)| what.starts_with("kept "));
        if kept { "nothing else" } else { "nothing" }
    }

    /// The name of the instance: its own, else that of the spec.
    pub fn instance(&self) -> &str {
        if self.name.is_empty() { &self.spec } else { &self.name }
    }

    /// What it is called above its timeline: `web (daemon)`, the instance and its spec, or the spec alone.
    pub fn title(&self) -> String {
        match (self.spec.as_str(), self.name.as_str()) {
            (spec, "") => spec.to_owned(),
            ("", name) => name.to_owned(),
            (spec, name) => format!("{name} ({spec})"),
        }
    }

    /// The process that was to stay: the daemon, else the one that was started.
    pub fn stayed(&self) -> u32 {
        let daemon = self.forks.iter().rev().find(|(.., role)| role == "daemon");
        daemon.map_or(self.pid, |(_, _, pid, _)| *pid)
    }

    /// Which process that was, where the forks tell.
    pub fn role(&self, pid: u32) -> Option<Process> {
        // A start that failed before it forked has nothing but the plan to tell.
        let planned = self.spans.iter().any(|s| s.phase.process == Process::Launcher);
        let daemonized = self.forks.iter().any(|(.., role)| role == "daemon");
        let forked = self.forks.iter().rev().find(|(_, _, child, _)| *child == pid);
        match forked.map(|(.., role)| role.as_str()) {
            Some("daemon") => Some(Process::Daemon),
            Some("guard" | "guard until ready") => Some(Process::Guard),
            Some("launcher") => Some(Process::Launcher),
            Some(_) => None,
            None if pid != self.pid => None,
            None if daemonized || planned => Some(Process::Launcher),
            None => Some(Process::Daemon),
        }
    }
}
