//! Events to spans.

use super::{Event, PhaseHeader, Span, Timeline, What};
use crate::effect::Identity;
use crate::state::Phase;
use std::collections::HashMap;

#[derive(Default)]
struct Reducer<'a> {
    timeline: Timeline,
    /// the record of the run was seen
    begun: bool,
    by_name: HashMap<String, usize>,
    /// how often each span was entered
    tries: Vec<u32>,
    /// who each process is by now
    identities: HashMap<u32, &'a Identity>,
}

/// The phases as planned, from the first record of a run.
pub(super) fn headers(events: &mut [Event]) -> Vec<PhaseHeader> {
    let phases = events.iter_mut().find_map(|e| match &mut e.what {
        What::Run { phases, .. } => Some(std::mem::take(phases)),
        _ => None,
    });
    phases.unwrap_or_default()
}

/// The timeline of these events, with the phases as planned (they may be taken out of the events,
/// so that a large plan is not held twice).
pub(super) fn reduce(events: &[Event], headers: Vec<PhaseHeader>) -> Timeline {
    let run = events.iter().position(|e| matches!(e.what, What::Run { .. }));
    let begin = match run {
        Some(i) => events[i].t,
        None => events.iter().map(|e| e.t).min().unwrap_or(0),
    };
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|i| (Some(*i) != run, events[*i].t));

    let mut r = Reducer::default();
    r.timeline.spans.reserve(headers.len());
    for header in headers {
        r.add(header);
    }
    r.timeline.pid = order.first().map_or(0, |i| events[*i].pid);
    for event in order.into_iter().map(|i| &events[i]) {
        r.take(event, event.t.saturating_sub(begin));
    }
    for (span, tries) in r.timeline.spans.iter_mut().zip(r.tries) {
        if tries > 1 {
            span.notes.push(format!("tried {tries} times"));
        }
    }
    r.timeline
}

impl<'a> Reducer<'a> {
    fn take(&mut self, event: &'a Event, t: u64) {
        let pid = event.pid;
        self.timeline.end_ns = self.timeline.end_ns.max(t);
        match &event.what {
            What::Run { spec, run, version, wall_ns, .. } => {
                // a second record of a run is not this run's
                if !std::mem::replace(&mut self.begun, true) {
                    self.timeline.spec.clone_from(spec);
                    self.timeline.run.clone_from(run);
                    self.timeline.version.clone_from(version);
                    self.timeline.wall_ns = *wall_ns;
                }
            }
            What::Identity { identity } => {
                self.identities.insert(pid, identity);
            }
            What::Enter { phase } => {
                let identity = self.identity(pid);
                let i = self.find(phase);
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
            What::Note { phase, note } => self.span(phase).notes.push(note.clone()),
            What::Exit { phase, state, error, why } => {
                let identity = self.identity(pid);
                let span = self.span(phase);
                span.state = *state;
                if *state == Phase::Skipped {
                    span.skipped = Some(why.clone().unwrap_or_default());
                    return;
                }
                span.end_ns = Some(t);
                span.pid_end = Some(pid);
                span.identity_after = identity;
                span.error.clone_from(error);
                if *state == Phase::Failed && error.is_none() {
                    span.error = Some(Default::default());
                }
            }
            What::Fork { parent, role, child } => {
                let child = child.unwrap_or(pid);
                if let Some(identity) = self.identities.get(parent).copied() {
                    self.identities.entry(child).or_insert(identity);
                }
                self.timeline.forks.push((t, *parent, child, role.clone()));
            }
            What::Ready {} => {
                self.timeline.ready_ns.get_or_insert(t);
            }
            What::Signal { signal, then } => self.timeline.signals.push((t, signal.clone(), then.clone())),
            What::Undo { phase, what, state, error } => {
                let span = self.span(phase);
                span.undone_by = Some(pid);
                span.undo_ns.get_or_insert(t);
                match state {
                    Phase::Undone => {
                        if span.state != Phase::Stuck {
                            span.state = Phase::Undone;
                            span.undone_ns = Some(t);
                        }
                        span.undo.push((what.clone(), None));
                    }
                    Phase::Stuck => {
                        span.state = Phase::Stuck;
                        span.undone_ns = None;
                        span.undo.push((what.clone(), Some(error.clone().unwrap_or_default())));
                    }
                    _ => {
                        if span.state != Phase::Stuck {
                            span.state = Phase::Undoing;
                        }
                    }
                }
            }
            What::Divergence(divergence) => self.timeline.divergences.push(divergence.clone()),
            What::End { outcome, code } => {
                self.timeline.outcome = *outcome;
                self.timeline.code = Some(*code);
            }
        }
    }

    fn identity(&self, pid: u32) -> Option<Identity> {
        self.identities.get(&pid).copied().cloned()
    }

    fn span(&mut self, name: &str) -> &mut Span {
        let i = self.find(name);
        &mut self.timeline.spans[i]
    }

    /// The phase of that name; one the plan did not have is appended.
    fn find(&mut self, name: &str) -> usize {
        match self.by_name.get(name) {
            Some(i) => *i,
            None => self.add(PhaseHeader { name: name.to_owned(), ..Default::default() }),
        }
    }

    fn add(&mut self, header: PhaseHeader) -> usize {
        let i = self.timeline.spans.len();
        let name = header.name.clone();
        let skipped = header.skipped.clone();
        let state = if skipped.is_some() { Phase::Skipped } else { Phase::Pending };
        self.timeline.spans.push(Span { phase: header, state, skipped, ..Default::default() });
        self.tries.push(0);
        *self.by_name.entry(name).or_insert(i)
    }
}
