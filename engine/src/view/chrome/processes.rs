//! What each process did itself, and which process came of which.

use super::arguments::Arguments;
use super::event::{Event, Shape};
use super::logical::{arrow, undo_event, undo_interval};
use super::{Trace, lanes};
use std::collections::{BTreeMap, HashMap};

/// A fork is recorded as a moment; it is drawn so long, up to just before that moment.
const FORK_NS: u64 = 1_000;

/// What stands on the tracks of a process.
enum What {
    /// a phase, or the part of it that was done here; the process it went on in
    Part(usize, Option<u32>),
    Undo(usize),
}

#[derive(Default)]
struct Doings {
    /// when it was first and last seen
    seen: Option<(u64, u64)>,
    what: Vec<(u64, u64, What)>,
    /// (time, child, role)
    forks: Vec<(u64, u32, String)>,
}

impl Doings {
    fn see(&mut self, from: u64, to: u64) {
        self.seen = Some(self.seen.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }
    fn did(&mut self, from: u64, to: u64, what: What) {
        self.see(from, to);
        self.what.push((from, to, what));
    }
}

pub fn add(trace: &mut Trace) {
    // Ordered by when they were first seen, the started one first.
    let mut processes: BTreeMap<u32, Doings> = BTreeMap::new();
    let timeline = trace.timeline;
    for (i, span) in timeline.spans.iter().enumerate() {
        if let (Some((start, end)), Some(pid)) = (trace.interval(span), span.pid_start) {
            for (pid, from, to, next) in parts(trace, pid, span.pid_end.unwrap_or(pid), start, end) {
                processes.entry(pid).or_default().did(from, to, What::Part(i, next));
            }
        }
        if let (Some((start, end)), Some(pid)) = (undo_interval(trace, span), span.undone_by) {
            processes.entry(pid).or_default().did(start, end, What::Undo(i));
        }
    }
    for (t, parent, child, role) in timeline.forks.iter().filter(|(t, ..)| *t <= trace.limit) {
        let t = trace.at(*t);
        let doings = processes.entry(*parent).or_default();
        doings.see(t.saturating_sub(trace.grain), t);
        doings.forks.push((t, *child, role.clone()));
        processes.entry(*child).or_default().see(t, t);
    }
    if let Some(first) = processes.get_mut(&timeline.pid) {
        first.see(0, 0);
    }
    let mut processes: Vec<(u32, Doings)> = processes.into_iter().collect();
    processes.sort_by_key(|(pid, d)| (d.seen, *pid));
    let mut tracks = HashMap::new();
    for (pid, doings) in &mut processes {
        let main = process(trace, *pid, doings);
        tracks.insert(*pid, (main, doings.seen.map_or(0, |(from, _)| from)));
    }
    for (parent, doings) in processes {
        forks(trace, parent, &doings, &tracks);
    }
}

/// The processes that a phase went through: (pid, from, to, the next).
fn parts(trace: &Trace, first: u32, last: u32, start: u64, end: u64) -> Vec<(u32, u64, u64, Option<u32>)> {
    let mut parts = Vec::new();
    let (mut pid, mut to, mut next) = (last, end, None);
    let forks = &trace.timeline.forks;
    while pid != first {
        let fork = forks.iter().rev().find(|(t, parent, child, _)| {
            *child == pid && parent != child && (start..=to).contains(&trace.at(*t))
        });
        let Some((t, parent, ..)) = fork else { break };
        let from = trace.at(*t);
        parts.push((pid, from, to, next));
        (pid, to, next) = (*parent, from, Some(pid));
        if parts.len() > forks.len() {
            break;
        }
    }
    parts.push((pid, start, to, next));
    parts
}

/// The tracks of a process: when it was seen, and what it did.
fn process(trace: &mut Trace, pid: u32, doings: &Doings) -> u32 {
    let timeline = trace.timeline;
    let role =
        timeline.forks.iter().rev().find(|(_, _, child, _)| *child == pid).map(|(.., role)| role.clone());
    let role = role.or_else(|| timeline.role(pid).map(|r| r.name().to_owned()));
    let name = role.unwrap_or_else(|| "process".to_owned());
    let number = trace.pid(pid);
    // Readers add the number.
    trace.name_process(number, if number == pid { name.clone() } else { format!("{name}, pid {pid}") });
    trace.name_track(number, number, name.clone());
    let intervals: Vec<_> = doings.what.iter().map(|(from, to, _)| (*from, *to)).collect();
    let (lanes, count) = lanes::place(&intervals, trace.grain);
    let mut tids = vec![number];
    for lane in 1..count {
        let tid = trace.extra_track();
        trace.name_track(number, tid, format!("{name} ({})", lane + 1));
        tids.push(tid);
    }
    let (from, to) = doings.seen.unwrap_or((0, 0));
    trace.events.push(Event {
        ts: from,
        pid: number,
        tid: number,
        cat: "process",
        name: name.into(),
        failed: false,
        // A little behind what it holds: speedscope mistakes what ends at one moment.
        shape: Shape::Slice(to - from + trace.grain),
        args: Arguments::Text(vec![("means", "from when it was first seen until last".to_owned())]),
    });
    let spans = &timeline.spans;
    for ((start, end, what), lane) in doings.what.iter().zip(lanes) {
        let tid = tids[lane];
        trace.events.push(match what {
            What::Undo(i) => undo_event(spans, *i, (number, tid), *start, *end),
            What::Part(i, next) => Event {
                ts: *start,
                pid: number,
                tid,
                cat: "part",
                name: spans[*i].phase.name.as_str().into(),
                failed: next.is_none() && spans[*i].error.is_some(),
                shape: Shape::Slice(end - start),
                args: Arguments::Part { phase: *i, next: *next },
            },
        });
    }
    number
}

/// `fork()` as a short slice at the end of which an arrow leaves for the child.
fn forks(trace: &mut Trace, parent: u32, doings: &Doings, tracks: &HashMap<u32, (u32, u64)>) {
    let number = trace.pid(parent);
    let intervals: Vec<_> = doings.what.iter().map(|(from, to, _)| (*from, *to)).collect();
    let (lanes, _) = lanes::place(&intervals, trace.grain);
    let mut main: Vec<(u64, u64)> = intervals
        .into_iter()
        .zip(lanes)
        .filter(|(_, lane)| *lane == 0)
        .map(|(interval, _)| interval)
        .collect();
    main.sort_unstable();
    let mut forks: Vec<&(u64, u32, String)> = doings.forks.iter().collect();
    forks.sort();
    let mut free = doings.seen.map_or(0, |(from, _)| from);
    for (t, child, role) in forks {
        // Inside of what was done at that moment, and beside nothing.
        let before = main.partition_point(|(start, _)| start < t);
        let begin = match before.checked_sub(1).and_then(|i| main.get(i)) {
            Some((start, end)) if end >= t => *start,
            Some((_, end)) => *end,
            None => 0,
        };
        let from = t.saturating_sub(FORK_NS).max(begin).max(free) / trace.grain * trace.grain;
        free = *t;
        let end = t.saturating_sub(trace.grain);
        if from >= end {
            continue;
        }
        trace.events.push(Event {
            ts: from,
            pid: number,
            tid: number,
            cat: "fork",
            name: "fork()".into(),
            failed: false,
            shape: Shape::Slice(end - from),
            args: Arguments::Text(vec![("child", child.to_string()), ("role", role.clone())]),
        });
        if let Some((to, first)) = tracks.get(child).filter(|(_, first)| first >= t) {
            arrow(trace, "fork", (number, number, end - trace.grain), (*to, *to, *first));
        }
    }
}
