//! The run as a story, whatever process told it.

use super::arguments::{self, Arguments};
use super::event::{Event, Shape};
use super::{LOGICAL_PID, Trace, lanes};
use crate::effect::Identity;
use crate::state::Phase;
use crate::timeline::Span;
use std::borrow::Cow;
use std::collections::HashMap;

const PHASES: u32 = LOGICAL_PID;
const IDENTITY: u32 = LOGICAL_PID + 1;
const PLACE: u32 = LOGICAL_PID + 2;
const UNDO: u32 = LOGICAL_PID + 3;
const NOT_RUN: u32 = LOGICAL_PID + 4;
const LATER: u32 = LOGICAL_PID + 5;

/// A phase where it was drawn.
#[derive(Clone, Copy)]
struct Drawn {
    span: usize,
    start: u64,
    end: u64,
    tid: u32,
}

pub fn add(trace: &mut Trace) {
    let timeline = trace.timeline;
    trace.name_process(LOGICAL_PID, format!("{} run {} (logical)", timeline.title(), timeline.run));
    flag(trace, 0, format!("run {}", timeline.run), Arguments::Run);
    if let Some(ready) = timeline.ready_ns.filter(|t| *t <= trace.limit) {
        flag(trace, trace.at(ready), "ready", Arguments::None);
    }
    for (t, name, then) in &timeline.signals {
        if *t > trace.limit {
            continue;
        }
        flag(trace, trace.at(*t), name, Arguments::Text(vec![("then", then.clone())]));
    }
    let drawn = phases(trace);
    groups(trace, &drawn);
    needs(trace, &drawn);
    states(trace, IDENTITY, "identity", arguments::credential, Arguments::Identity);
    states(trace, PLACE, "place", arguments::place, |_| Arguments::None);
    undo(trace);
    marks(trace);
}

fn flag<'a>(trace: &mut Trace<'a>, ts: u64, name: impl Into<Cow<'a, str>>, args: Arguments<'a>) {
    trace.events.push(Event {
        ts,
        pid: LOGICAL_PID,
        tid: PHASES,
        cat: "run",
        name: name.into(),
        failed: false,
        shape: Shape::Flag,
        args,
    });
}

/// The tracks of so many lanes; the first has that number.
fn tracks(trace: &mut Trace, first: u32, name: &str, count: usize) -> Vec<u32> {
    let mut tids = Vec::with_capacity(count);
    for lane in 0..count {
        let (tid, name) = match lane {
            0 => (first, name.to_owned()),
            lane => (trace.extra_track(), format!("{name} ({})", lane + 1)),
        };
        trace.name_track(LOGICAL_PID, tid, name);
        tids.push(tid);
    }
    tids
}

fn phases(trace: &mut Trace) -> Vec<Drawn> {
    let spans = &trace.timeline.spans;
    let ran: Vec<(usize, (u64, u64))> =
        spans.iter().enumerate().filter_map(|(i, s)| Some((i, trace.interval(s)?))).collect();
    let intervals: Vec<_> = ran.iter().map(|(_, interval)| *interval).collect();
    let (lanes, count) = lanes::place(&intervals, trace.grain);
    let tids = tracks(trace, PHASES, "phases", count);
    let mut drawn: Vec<Drawn> = ran
        .iter()
        .zip(lanes)
        .map(|((span, (start, end)), lane)| Drawn { span: *span, start: *start, end: *end, tid: tids[lane] })
        .collect();
    drawn.sort_by_key(|d| (d.tid, d.start, d.span));
    drawn
}

/// A group is one slice for as long as nothing of another group comes between its phases; phases
/// come after the groups that hold them.
fn groups<'a>(trace: &mut Trace<'a>, drawn: &[Drawn]) {
    let spans = &trace.timeline.spans;
    let grain = trace.grain;
    // (name, start, end) of the groups that are open on this track, outermost first
    let mut open: Vec<(&'a str, u64, u64)> = Vec::new();
    let mut found = Vec::new();
    // All but the outermost `keep`; `next` is when something else begins there.
    let mut close = |open: &mut Vec<(&'a str, u64, u64)>, keep: usize, tid: u32, next: Option<u64>| {
        // speedscope mistakes what ends at one moment: each ends a little behind what it holds.
        let later = grain.saturating_mul((open.len() - keep) as u64);
        let room =
            next.is_none_or(|next| open.last().is_none_or(|(.., end)| end.saturating_add(later) <= next));
        let mut behind = 0;
        while open.len() > keep
            && let Some((name, start, end)) = open.pop()
        {
            behind += if room { grain } else { 0 };
            found.push((open.len(), tid, name, start, end.saturating_add(behind)));
        }
    };
    let mut on = None;
    for d in drawn {
        let path = &spans[d.span].phase.groups;
        let same = open.iter().zip(path).take_while(|((name, ..), group)| name == group).count();
        match on {
            Some(tid) if tid == d.tid => close(&mut open, same, tid, Some(d.start)),
            Some(tid) => close(&mut open, 0, tid, None),
            None => {}
        }
        on = Some(d.tid);
        open.extend(path.iter().skip(open.len()).map(|name| (name.as_str(), d.start, d.end)));
        for group in &mut open {
            group.2 = group.2.max(d.end);
        }
    }
    if let Some(tid) = on {
        close(&mut open, 0, tid, None);
    }
    // The outermost first, where several are equally long.
    found.sort_by_key(|(depth, ..)| *depth);
    let groups = found.into_iter().filter(|(.., start, end)| end > start);
    trace.events.extend(groups.map(|(_, tid, name, ts, end)| Event {
        ts,
        pid: LOGICAL_PID,
        tid,
        cat: "group",
        name: name.into(),
        failed: false,
        shape: Shape::Slice(end - ts),
        args: Arguments::None,
    }));
    let phases = drawn.iter().map(|d| phase(spans, d.span, d.start, d.tid, Shape::Slice(d.end - d.start)));
    trace.events.extend(phases);
}

fn phase<'a>(spans: &'a [Span], i: usize, ts: u64, tid: u32, shape: Shape) -> Event<'a> {
    let span = &spans[i];
    Event {
        ts,
        pid: LOGICAL_PID,
        tid,
        cat: "phase",
        name: span.phase.name.as_str().into(),
        failed: span.error.is_some(),
        shape,
        args: Arguments::Phase(i),
    }
}

/// An arrow from the last moment of what was needed to the first of what needed it.
fn needs(trace: &mut Trace, drawn: &[Drawn]) {
    let spans = &trace.timeline.spans;
    let by_name: HashMap<&str, &Drawn> =
        drawn.iter().map(|d| (spans[d.span].phase.name.as_str(), d)).collect();
    for to in drawn {
        for need in &spans[to.span].phase.needs {
            let Some(from) = by_name.get(need.as_str()).filter(|f| f.span != to.span) else { continue };
            let ts = from.end.saturating_sub(trace.grain).max(from.start);
            if ts < to.start {
                arrow(trace, "needs", (LOGICAL_PID, from.tid, ts), (LOGICAL_PID, to.tid, to.start));
            }
        }
    }
}

/// An arrow between two moments (pid, tid, time), the second later than the first.
pub fn arrow(trace: &mut Trace, cat: &'static str, from: (u32, u32, u64), to: (u32, u32, u64)) {
    let id = trace.next_flow;
    trace.next_flow = id.saturating_add(1);
    for ((pid, tid, ts), shape) in [(from, Shape::From(id)), (to, Shape::To(id))] {
        let name = cat.into();
        trace.events.push(Event { ts, pid, tid, cat, name, failed: false, shape, args: Arguments::None });
    }
}

/// Who the process is, or where, while phases run: a slice for as long as it stays the same.
fn states<'a>(
    trace: &mut Trace<'a>,
    track: u32,
    name: &'static str,
    label: fn(&Identity) -> String,
    args: fn(&'a Identity) -> Arguments<'a>,
) {
    struct Open<'a> {
        identity: &'a Identity,
        label: String,
        since: u64,
        /// phases that are in it now
        active: usize,
    }
    let mut moments = Vec::new();
    for span in &trace.timeline.spans {
        if let (Some((start, end)), Some(before)) = (trace.interval(span), span.identity_before.as_deref()) {
            let after = span.identity_after.as_deref().unwrap_or(before);
            moments.push((start, true, before, before));
            moments.push((end.max(start + trace.grain), false, before, after));
        }
    }
    moments.sort_by_key(|(t, begins, ..)| (*t, *begins));
    let (mut open, mut closed) = (Vec::<Open>::new(), Vec::new());
    let mut first = true;
    for (t, begins, before, after) in moments {
        let was = label(before);
        if begins {
            // What nobody is in any more ends where another identity goes on.
            closed.extend(open.extract_if(.., |o| o.active == 0 && o.label != was).map(|o| (o, t)));
            match open.iter_mut().find(|o| o.label == was) {
                Some(o) => o.active += 1,
                None => {
                    let since = if std::mem::take(&mut first) { 0 } else { t };
                    open.push(Open { identity: before, label: was, since, active: 1 });
                }
            }
            continue;
        }
        let is = label(after);
        if let Some(at) = open.iter().position(|o| o.label == was) {
            open[at].active = open[at].active.saturating_sub(1);
            if open[at].active == 0 && is != was {
                closed.push((open.swap_remove(at), t));
            }
        }
        if is != was && !open.iter().any(|o| o.label == is) {
            open.push(Open { identity: after, label: is, since: t, active: 0 });
        }
    }
    let end = trace.at(trace.limit);
    let last =
        trace.timeline.spans.iter().filter_map(|s| trace.interval(s)).map(|(_, e)| e).max().unwrap_or(end);
    closed.extend(open.into_iter().map(|o| (o, last)));
    closed.retain(|(o, end)| *end > o.since);
    // A little before the next begins: speedscope mistakes what touches.
    for (o, end) in &mut closed {
        *end = end.saturating_sub(trace.grain).max(o.since + trace.grain);
    }
    let intervals: Vec<_> = closed.iter().map(|(o, end)| (o.since, *end)).collect();
    let (lanes, count) = lanes::place(&intervals, trace.grain);
    let tids = tracks(trace, track, name, count);
    for ((o, end), lane) in closed.into_iter().zip(lanes) {
        trace.events.push(Event {
            ts: o.since,
            pid: LOGICAL_PID,
            tid: tids[lane],
            cat: name,
            name: o.label.into(),
            failed: false,
            shape: Shape::Slice(end - o.since),
            args: args(o.identity),
        });
    }
}

/// When the undo of a phase began and ended, in the window.
pub fn undo_interval(trace: &Trace, span: &Span) -> Option<(u64, u64)> {
    let start = span.undo_ns.filter(|t| *t <= trace.limit)?;
    let end = match span.state {
        Phase::Undoing => trace.now,
        // When it was given up is not recorded.
        _ => span.undone_ns.unwrap_or(start),
    };
    Some((trace.at(start), trace.at(end.max(start))))
}

fn undo(trace: &mut Trace) {
    let spans = &trace.timeline.spans;
    let undone: Vec<(usize, (u64, u64))> =
        spans.iter().enumerate().filter_map(|(i, s)| Some((i, undo_interval(trace, s)?))).collect();
    let intervals: Vec<_> = undone.iter().map(|(_, interval)| *interval).collect();
    let (lanes, count) = lanes::place(&intervals, trace.grain);
    let tids = tracks(trace, UNDO, "undo", count);
    for ((i, (start, end)), lane) in undone.into_iter().zip(lanes) {
        trace.events.push(undo_event(spans, i, (LOGICAL_PID, tids[lane]), start, end));
    }
}

/// The undo of a phase on this track.
pub fn undo_event<'a>(spans: &'a [Span], i: usize, on: (u32, u32), start: u64, end: u64) -> Event<'a> {
    Event {
        ts: start,
        pid: on.0,
        tid: on.1,
        cat: "undo",
        name: format!("undo {}", spans[i].phase.name).into(),
        failed: spans[i].state == Phase::Stuck,
        shape: Shape::Slice(end - start),
        args: Arguments::Undo(i),
    }
}

/// Phases that never ran, where they would have stood, and those that ran behind the window, at its
/// end. No two at one moment, or a reader would pile them up.
fn marks(trace: &mut Trace) {
    let spans = &trace.timeline.spans;
    let (mut idle, mut late) = (Vec::new(), Vec::new());
    let (mut at, mut next) = (0, 0);
    for (i, span) in spans.iter().enumerate() {
        match (trace.interval(span), span.start_ns) {
            (Some((_, end)), _) => at = at.max(end),
            (None, Some(begin)) => late.push((begin, i)),
            (None, None) => {
                next = at.max(next);
                idle.push((next, i));
                next += trace.grain;
            }
        }
    }
    late.sort_unstable();
    let end = trace.at(trace.limit);
    let late: Vec<_> = late.into_iter().zip(0u64..).map(|((_, i), k)| (end + k * trace.grain, i)).collect();
    for (list, tid, name) in [(idle, NOT_RUN, "not run"), (late, LATER, "later")] {
        if !list.is_empty() {
            trace.name_track(LOGICAL_PID, tid, name);
        }
        trace.events.extend(list.into_iter().map(|(ts, i)| phase(spans, i, ts, tid, Shape::Mark)));
    }
}
