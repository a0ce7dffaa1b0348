//! Events to spans.

use super::store::{Short, Store};
use super::{PhaseHeader, Span, Timeline, What, clock};
use crate::effect::Identity;
use crate::state::Phase;
use std::collections::HashMap;
use std::sync::Arc;

struct Reducer {
    timeline: Timeline,
    store: Store,
    /// the record of the run was seen
    begun: bool,
    /// the span of each name, by its number
    spans: Vec<Option<usize>>,
    /// how often each span was entered
    tries: Vec<u32>,
    /// who each process is by now
    identities: HashMap<u32, Arc<Identity>>,
}

/// The timeline of a journal: each process wrote its events in their order, whatever their times say.
pub(super) fn reduce_written(mut store: Store) -> Timeline {
    store.keep_last_run();
    let begin = store.runs.first().and_then(|run| store.records.get(*run)).map(|r| r.t);
    let mended = clock::mend(&mut store.records, begin);
    let mut timeline = reduce(store);
    if mended > 0 {
        let times = crate::text::count(mended, "time");
        timeline.problems.push(format!(
            "{times} cannot be right, for the clock of a process never goes back: that of its event before is shown"
        ));
    }
    timeline
}

/// The timeline of these events, in any order.
pub(super) fn reduce(mut store: Store) -> Timeline {
    store.keep_last_run();
    let mut records = std::mem::take(&mut store.records);
    let begin = match store.runs.first().and_then(|run| records.get(*run)) {
        Some(run) => run.t,
        None => records.iter().map(|r| r.t).min().unwrap_or(0),
    };
    if let Some(run) = store.runs.first().filter(|i| **i < records.len()) {
        records[..=*run].rotate_right(1);
    }
    // the record of the run is first, whatever its clock says
    let plan = usize::from(!store.runs.is_empty() && !records.is_empty());
    records[plan..].sort_by_key(|r| r.t);

    let planned = records.first().and_then(|r| match r.what {
        Short::Other(i) => store.others.get_mut(i as usize),
        _ => None,
    });
    let headers = match planned {
        Some(What::Run { phases, .. }) => std::mem::take(phases),
        _ => Vec::new(),
    };
    let spans = vec![None; store.names()];
    let mut r = Reducer {
        timeline: Timeline::default(),
        store,
        begun: false,
        spans,
        tries: Vec::new(),
        identities: HashMap::new(),
    };
    r.timeline.spans.reserve_exact(headers.len());
    for header in headers {
        let number = r.store.known(&header.name);
        r.add(header, number);
    }
    r.timeline.pid = records.first().map_or(0, |r| r.pid);
    for record in records {
        let t = record.t.saturating_sub(begin);
        r.timeline.end_ns = r.timeline.end_ns.max(t);
        match record.what {
            Short::Enter(name) => r.enter(t, record.pid, name),
            Short::Exit(name, state) => r.exit(t, record.pid, name, state),
            Short::Other(i) => {
                if let Some(what) = r.store.others.get_mut(i as usize) {
                    let what = std::mem::replace(what, What::Ready {});
                    r.take(t, record.pid, what);
                }
            }
        }
    }
    for (span, tries) in r.timeline.spans.iter_mut().zip(r.tries) {
        if tries > 1 {
            span.notes.push(format!("tried {tries} times"));
        }
    }
    r.timeline
}

impl Reducer {
    fn enter(&mut self, t: u64, pid: u32, name: u32) {
        let identity = self.identity(pid);
        let i = self.find(name);
        if let Some(tries) = self.tries.get_mut(i) {
            *tries = tries.saturating_add(1);
        }
        let span = &mut self.timeline.spans[i];
        if span.start_ns.is_none() {
            span.start_ns = Some(t);
            span.pid_start = Some(pid);
            span.identity_before = identity;
        }
        span.state = Phase::Running;
        span.skipped = None;
        (span.end_ns, span.pid_end, span.identity_after, span.error) = (None, None, None, None);
        (span.undo_ns, span.undone_ns, span.undone_by) = (None, None, None);
        span.undo.clear();
    }

    fn exit(&mut self, t: u64, pid: u32, name: u32, state: Phase) {
        let identity = self.identity(pid);
        let i = self.find(name);
        let span = &mut self.timeline.spans[i];
        span.state = state;
        if state == Phase::Skipped {
            span.skipped.get_or_insert_default();
            return;
        }
        span.end_ns = Some(t);
        span.pid_end = Some(pid);
        span.identity_after = identity;
        span.error = (state == Phase::Failed).then(Box::default);
    }

    fn take(&mut self, t: u64, pid: u32, what: What) {
        match what {
            What::Enter { phase } => {
                let name = self.number(&phase);
                self.enter(t, pid, name);
            }
            What::Exit { phase, state, error, why } => {
                let name = self.number(&phase);
                self.exit(t, pid, name, state);
                let span = self.span(&phase);
                if state == Phase::Skipped {
                    span.skipped = Some(why.unwrap_or_default());
                } else if error.is_some() {
                    span.error = error.map(Box::new);
                }
            }
            What::Run { spec, name, run, version, wall_ns, .. } => {
                // a second record of a run is not this run's
                if !std::mem::replace(&mut self.begun, true) {
                    let t = &mut self.timeline;
                    (t.spec, t.run, t.version, t.wall_ns) = (spec, run, version, wall_ns);
                    t.name = name;
                }
            }
            What::Identity { identity } => {
                // a process that says again who it is is not kept twice
                let known = self.identities.get(&pid).is_some_and(|known| **known == *identity);
                if !known {
                    self.identities.insert(pid, Arc::from(identity));
                }
            }
            What::Replan { phases } => {
                for header in phases {
                    let span = self.span(&header.name);
                    if span.state == Phase::Pending || span.state == Phase::Skipped {
                        span.state = if header.skipped.is_some() { Phase::Skipped } else { Phase::Pending };
                        span.skipped.clone_from(&header.skipped);
                    }
                    span.phase = header;
                    span.replanned = true;
                }
            }
            What::Note { phase, note } => self.span(&phase).notes.push(note),
            What::Fork { parent, role, child } => {
                let child = child.unwrap_or(pid);
                if let Some(identity) = self.identities.get(&parent).cloned() {
                    self.identities.entry(child).or_insert(identity);
                }
                self.timeline.forks.push((t, parent, child, role));
            }
            What::Ready {} => {
                self.timeline.ready_ns.get_or_insert(t);
            }
            What::Signal { signal, then } => self.timeline.signals.push((t, signal, then)),
            What::Status { text } => {
                let running = self.timeline.spans.iter_mut().rev().find(|s| s.state == Phase::Running);
                if let Some(span) = running {
                    span.notes.push(format!("the program says: {text}"));
                }
                self.timeline.status = Some((t, text));
            }
            What::Undo { phase, what, state, error } => {
                let span = self.span(&phase);
                span.undone_by = Some(pid);
                span.undo_ns.get_or_insert(t);
                match state {
                    Phase::Undone => {
                        if span.state != Phase::Stuck {
                            span.state = Phase::Undone;
                            span.undone_ns = Some(t);
                        }
                        span.undo.push((what, None));
                    }
                    Phase::Stuck => {
                        span.state = Phase::Stuck;
                        span.undone_ns = None;
                        span.undo.push((what, Some(error.unwrap_or_default())));
                    }
                    _ => {
                        if span.state != Phase::Stuck {
                            span.state = Phase::Undoing;
                        }
                    }
                }
            }
            What::Divergence(divergence) => self.timeline.divergences.push(divergence),
            What::End { outcome, code } => {
                self.timeline.outcome = outcome;
                self.timeline.code = Some(code);
            }
        }
    }

    fn identity(&self, pid: u32) -> Option<Arc<Identity>> {
        self.identities.get(&pid).cloned()
    }

    fn number(&mut self, name: &str) -> u32 {
        let number = self.store.number(name);
        self.spans.resize(self.store.names(), None);
        number
    }

    fn span(&mut self, name: &str) -> &mut Span {
        let name = self.number(name);
        let i = self.find(name);
        &mut self.timeline.spans[i]
    }

    /// The phase of that name; one the plan did not have is appended.
    fn find(&mut self, name: u32) -> usize {
        match self.spans.get(name as usize) {
            Some(Some(i)) => *i,
            _ => {
                let header = PhaseHeader { name: self.store.name(name).to_owned(), ..Default::default() };
                self.add(header, Some(name))
            }
        }
    }

    fn add(&mut self, header: PhaseHeader, name: Option<u32>) -> usize {
        let i = self.timeline.spans.len();
        let skipped = header.skipped.clone();
        let state = if skipped.is_some() { Phase::Skipped } else { Phase::Pending };
        self.timeline.spans.push(Span { phase: header, state, skipped, ..Default::default() });
        self.tries.push(0);
        match name.and_then(|n| self.spans.get_mut(n as usize)) {
            Some(span) => *span.get_or_insert(i),
            None => i,
        }
    }
}
