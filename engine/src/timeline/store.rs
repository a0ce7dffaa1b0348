//! The events of a run, small: nearly all of them are a phase that begins or ends, and take 24 bytes.

use super::{Event, What};
use crate::state;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) t: u64,
    pub(super) pid: u32,
    pub(super) what: Short,
}

/// What happened, with numbers for what is long.
#[derive(Clone, Copy, Debug)]
pub(super) enum Short {
    /// the phase of that name begins
    Enter(u32),
    /// it ended, and there is no more to say about it
    Exit(u32, state::Phase),
    /// anything else, by its place in `others`
    Other(u32),
}

/// Events in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) records: Vec<Record>,
    pub(super) others: Vec<What>,
    names: Vec<Arc<str>>,
    /// the number that was asked for last: a phase mostly ends right after it began
    last: u32,
    numbers: HashMap<Arc<str>, u32>,
    /// where in `records` each run begins
    pub(super) runs: Vec<usize>,
}

impl Store {
    pub(super) fn push(&mut self, event: Event) {
        let Event { t, pid, what } = event;
        match what {
            What::Enter { phase } => self.enter(t, pid, &phase),
            What::Exit { phase, state, error: None, why: None } => self.exit(t, pid, &phase, state),
            other => {
                match &other {
                    What::Run { .. } => self.runs.push(self.records.len()),
                    // so that the plan finds every name that some event has
                    What::Exit { phase, .. } | What::Note { phase, .. } | What::Undo { phase, .. } => {
                        self.number(phase);
                    }
                    _ => {}
                }
                self.others.push(other);
                self.record(t, pid, Short::Other((self.others.len() - 1) as u32));
            }
        }
    }

    pub(super) fn enter(&mut self, t: u64, pid: u32, phase: &str) {
        let name = self.number(phase);
        self.record(t, pid, Short::Enter(name));
    }

    pub(super) fn exit(&mut self, t: u64, pid: u32, phase: &str, state: state::Phase) {
        let name = self.number(phase);
        self.record(t, pid, Short::Exit(name, state));
    }

    fn record(&mut self, t: u64, pid: u32, what: Short) {
        self.records.push(Record { t, pid, what });
    }

    /// The number of a name, a new one where it is new.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if self.names.get(self.last as usize).is_some_and(|last| **last == *name) {
            return self.last;
        }
        if let Some(n) = self.numbers.get(name) {
            self.last = *n;
            return *n;
        }
        let (n, name) = (self.names.len() as u32, Arc::<str>::from(name));
        self.names.push(name.clone());
        self.numbers.insert(name, n);
        self.last = n;
        n
    }

    /// The number of a name that some event had.
    pub(super) fn known(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name(&self, n: u32) -> &str {
        self.names.get(n as usize).map_or("", |n| n)
    }

    /// How many names there are.
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// Forgets all but the last run: an earlier one in the same file may still be writing.
    pub(super) fn keep_last_run(&mut self) {
        let [_, .., last] = self.runs.as_slice() else { return };
        let run = self.records.split_off(*last);
        let own = run.first().map(|r| r.pid);
        let others: HashSet<u32> =
            self.records.iter().map(|r| r.pid).filter(|pid| Some(*pid) != own).collect();
        self.records = run.into_iter().filter(|r| !others.contains(&r.pid)).collect();
        self.runs = vec![0];
    }

    /// As they were written.
    pub(super) fn events(&self) -> Vec<Event> {
        let event = |r: &Record| {
            let what = match r.what {
                Short::Enter(n) => What::Enter { phase: self.name(n).to_owned() },
                Short::Exit(n, state) => {
                    What::Exit { phase: self.name(n).to_owned(), state, error: None, why: None }
                }
                Short::Other(i) => self.others.get(i as usize)?.clone(),
            };
            Some(Event { t: r.t, pid: r.pid, what })
        };
        self.records.iter().filter_map(event).collect()
    }
}
