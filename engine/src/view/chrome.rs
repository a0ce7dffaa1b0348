//! Chrome trace JSON, as Perfetto, speedscope and catapult read it.
//!
//! One *logical* process shows the run as a story (phases, identity, place, undo, what did not run);
//! beside it every real process shows what it did itself. Arrows go from a need to the phases that
//! need it, and from a fork to the process it made.
//!
//! The rules, each of which one of those programs breaks without a word if it is not kept:
//!
//! * Times are relative to the start of the run: a double holds nanoseconds exactly for 104 days
//!   only. A longer trace is written in whole microseconds, or coarser. They are integers until they
//!   are printed.
//! * Complete events (`X`) only, so that none is left open, and no slice changes its process.
//! * Two slices of one track never overlap unless one lies inside the other: what is parallel goes
//!   to tracks of its own. An arrow ends inside the slice it is meant for, and goes forward in time.
//! * The array form: what is cut still loads. It is never empty.
//! * Colour means nothing in these programs: what failed has `✗ ` before its name.

mod arguments;
mod event;
mod lanes;
mod logical;
mod processes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::timeline::{Outcome, Span, Timeline};
use crate::view::zones::{Window, Zone, Zones};
use event::{Event, Track};
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The process that shows the run as a whole: above the largest pid that Linux gives (2^22).
pub const LOGICAL_PID: u32 = 4_194_305;
/// Tracks beyond the first of each process have numbers from here.
const FIRST_EXTRA: u32 = 4_194_400;
/// A double of microseconds holds nanoseconds exactly up to here.
const EXACT_NS: u64 = 1 << 53;
/// Nothing is later than this: 2^62 ns, 146 years.
const LATEST_NS: u64 = 1 << 62;
/// The window of the start ends this much behind ready at least.
const MARGIN_NS: u64 = 1_000_000;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChromeOptions {
    /// which part is shown. Of START-UP a tenth more is shown: what goes on is cut there, what begins
    /// later stands as a mark at its end. A start that failed is shown to the end of its undo.
    pub window: Window,
    /// nanoseconds since the start of the run until now, for what is still running; without it that
    /// ends with the last event
    pub now_ns: Option<u64>,
}

impl Default for ChromeOptions {
    fn default() -> Self {
        ChromeOptions { window: Window::Startup, now_ns: None }
    }
}

/// Writes the timeline as Chrome trace JSON, one event a line.
///
/// # Errors
///
/// Only what `out` answers.
pub fn write(timeline: &Timeline, options: &ChromeOptions, out: &mut impl Write) -> fmt::Result {
    let mut trace = Trace::new(timeline, options);
    logical::add(&mut trace);
    processes::add(&mut trace);
    trace.finish(out)
}

/// The same as a string.
pub fn render(timeline: &Timeline, options: &ChromeOptions) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(timeline, options, &mut text);
    text
}

/// Where the window of the start ends.
fn startup(timeline: &Timeline, now: u64) -> u64 {
    let zones = Zones::new(timeline);
    let more = zones.part(Zone::Run).is_some() || zones.part(Zone::Stop).is_some();
    let ready = zones.ready();
    if more { now.min(ready.saturating_add((ready / 10).max(MARGIN_NS))) } else { now }
}

/// The finest grain in which a double holds every moment up to the limit exactly, whether it is
/// counted in microseconds or in nanoseconds.
fn grain(limit: u64) -> u64 {
    let bits = u64::BITS - limit.leading_zeros();
    // 1000 is 8 times something, so three bits of a multiple of it are zeros.
    if limit <= EXACT_NS { 1 } else { 1_000 << bits.saturating_sub(53 + 3) }
}

/// The events of a timeline, as they are collected.
struct Trace<'a> {
    timeline: &'a Timeline,
    /// where the window ends
    limit: u64,
    /// times are multiples of this
    grain: u64,
    /// when what is still running was last seen
    now: u64,
    events: Vec<Event<'a>>,
    tracks: Vec<Track>,
    /// numbers of processes that have one of ours because theirs cannot be used
    renamed: HashMap<u32, u32>,
    next_track: u32,
    next_flow: u32,
}

impl<'a> Trace<'a> {
    fn new(timeline: &'a Timeline, options: &ChromeOptions) -> Trace<'a> {
        let last = timeline.spans.iter().filter_map(|s| s.end_ns.or(s.start_ns)).max().unwrap_or(0);
        let end = timeline.end_ns.max(last);
        let now = match timeline.outcome {
            Outcome::Running => end.max(options.now_ns.unwrap_or(0)),
            _ => end,
        };
        let limit = match options.window {
            Window::Startup => startup(timeline, now),
            Window::All => now,
        }
        .min(LATEST_NS);
        Trace {
            timeline,
            limit,
            // Some marks stand a little behind the end.
            grain: grain(limit.saturating_add(limit / 1_024).saturating_add(MARGIN_NS)),
            now,
            events: Vec::with_capacity(timeline.spans.len().saturating_mul(5)),
            tracks: Vec::new(),
            renamed: HashMap::new(),
            next_track: FIRST_EXTRA,
            next_flow: 1,
        }
    }

    /// A moment as it is written: inside the window, and of the right grain. Order is kept.
    fn at(&self, ns: u64) -> u64 {
        ns.min(self.limit) / self.grain * self.grain
    }

    /// When a phase ran, in the window; nothing where it never did or only later.
    fn interval(&self, span: &Span) -> Option<(u64, u64)> {
        let start = span.start_ns.filter(|s| *s <= self.limit)?;
        let end = span.end_ns.unwrap_or(self.now).max(start);
        Some((self.at(start), self.at(end)))
    }

    /// Readers show processes and tracks in the order in which they are named here.
    fn name_process(&mut self, pid: u32, name: String) {
        self.tracks.push(Track { pid, tid: None, name });
    }

    fn name_track(&mut self, pid: u32, tid: u32, name: impl Into<String>) {
        self.tracks.push(Track { pid, tid: Some(tid), name: name.into() });
    }

    fn extra_track(&mut self) -> u32 {
        let tid = self.next_track;
        self.next_track = tid.saturating_add(1);
        tid
    }

    /// The number that stands for a process: its own, unless it would meet one of ours or is one
    /// that means something else to a reader.
    fn pid(&mut self, pid: u32) -> u32 {
        if pid > 0 && pid < LOGICAL_PID {
            return pid;
        }
        match self.renamed.get(&pid) {
            Some(number) => *number,
            None => {
                let number = self.extra_track();
                self.renamed.insert(pid, number);
                number
            }
        }
    }

    fn finish(mut self, out: &mut impl Write) -> fmt::Result {
        event::order(&mut self.events);
        out.write_str("[\n")?;
        let mut line = Vec::new();
        for (place, track) in self.tracks.iter().enumerate() {
            track.write(place, &mut line, out)?;
        }
        for event in &self.events {
            event.write(self.timeline, self.limit, &mut line, out)?;
        }
        out.write_str("\n]\n")
    }
}
