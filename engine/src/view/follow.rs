//! A run while it goes on: which lines are due by now, and one line for what is under way.

#[cfg(test)]
mod tests;

use super::text::TextStyle;
use super::text::line::{BAD_BOLD, BOLD, DIM, GOOD, GOOD_BOLD, Line, PLAIN, Paint, plain, width, wrap};
use super::utc;
use crate::state::Phase;
use crate::text::duration;
use crate::timeline::history::{History, Usual, served};
use crate::timeline::{Failure, Outcome, Span, Timeline};

/// Where durations end.
const TOOK: usize = 42;
/// A delay of less than this part of the usual time to ready is not called slow.
const WORTH: u64 = 100;
/// Nor one of less than this, in nanoseconds: people do not notice it, and machines jitter.
const NOTICED: u64 = 10_000_000;
/// What runs for less than this, in nanoseconds, is told when it ends, not while it runs.
const SOON: u64 = 200_000_000;

/// What of a run was told already.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    begun: bool,
    spans: Vec<Told>,
    signals: usize,
    divergences: usize,
    ready: bool,
    ended: bool,
}

#[derive(Clone, Debug, Default)]
struct Told {
    skipped: bool,
    end_ns: Option<u64>,
    undo: usize,
    /// how often it was called slow while it ran
    slow: u32,
}

/// What is usual, and how it is to look.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// earlier runs of the spec
    pub history: &'a History,
    /// width, colours, characters
    pub style: &'a TextStyle,
}

impl<'a> Against<'a> {
    fn line(&self) -> Line<'a> {
        Line::new(self.style)
    }

    /// The moments from which on it is slow: out of the noise, then twice, four times the usual, and
    /// so on; nothing that nobody would notice.
    fn marks(&self, usual: &Usual, from: u64) -> impl Iterator<Item = u64> {
        let least = self.history.ready().map_or(0, |r| r.median_ns / WORTH).max(NOTICED);
        let least = usual.median_ns.saturating_add(least).max(from);
        let (first, median) = (usual.slow_ns(), usual.median_ns.max(1));
        let doubled = (1..63).map_while(move |k| median.checked_mul(1 << k));
        first.into_iter().chain(doubled.filter(move |t| Some(*t) > first)).map(move |t| t.max(least))
    }

    /// True if so long is slow.
    fn slow(&self, usual: &Usual, took: u64) -> bool {
        self.marks(usual, 0).next().is_some_and(|mark| took > mark)
    }

    /// How often it is due to be called slow while it runs, after so long.
    fn called(&self, usual: &Usual, took: u64) -> u32 {
        self.marks(usual, SOON).take_while(|mark| took > *mark).count() as u32
    }
}

fn since(span: &Span, now_ns: u64) -> u64 {
    now_ns.saturating_sub(span.start_ns.unwrap_or(now_ns))
}

/// The last phase that began and has not ended, and its place.
fn under_way(timeline: &Timeline) -> Option<(usize, &Span)> {
    let running = timeline.spans.iter().enumerate().filter(|(_, s)| s.state == Phase::Running);
    running.max_by_key(|(i, s)| (s.start_ns, *i))
}

impl Follow {
    /// The lines that are due, each with its line break. `now_ns` is since the begin of the run.
    pub fn lines(&mut self, timeline: &Timeline, now_ns: u64, against: &Against) -> String {
        // (moment, place where moments are the same, line)
        let mut due: Vec<(u64, usize, String)> = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            due.push((0, 0, head(timeline, against)));
        }
        self.spans.resize(timeline.spans.len().max(self.spans.len()), Told::default());
        let served = served(timeline);
        // a phase that was skipped is told when one behind it has begun
        let mut next = timeline.ready_ns;
        for (i, (span, told)) in timeline.spans.iter().zip(&mut self.spans).enumerate().rev() {
            if let (Phase::Skipped, Some(at), false) = (span.state, next, told.skipped) {
                told.skipped = true;
                due.push((at, i + 1, skipped(span, against)));
            }
            next = span.start_ns.or(next);
            let usual = against.history.phase(&span.phase.name);
            if let Some(end) = span.end_ns.filter(|_| told.end_ns != span.end_ns) {
                *told = Told { end_ns: Some(end), skipped: told.skipped, ..Told::default() };
                due.push((end, i + 1, finished(span, usual.as_ref(), against)));
            }
            if span.undo.len() > told.undo {
                let at = span.undone_ns.or(span.undo_ns).unwrap_or(timeline.end_ns);
                for (what, error) in &span.undo[told.undo..] {
                    due.push((at, i + 1, undone(span, what, error.as_ref(), against)));
                }
                told.undo = span.undo.len();
            }
            if span.state == Phase::Running && timeline.outcome == Outcome::Running && served != Some(i) {
                let took = since(span, now_ns);
                let level = usual.as_ref().map_or(0, |u| against.called(u, took));
                if level > told.slow
                    && let Some(usual) = usual
                {
                    told.slow = level;
                    due.push((now_ns.max(timeline.end_ns), i + 1, slow(span, took, &usual, against)));
                }
            }
        }
        for (t, signal, then) in timeline.signals.get(self.signals..).unwrap_or_default() {
            let mut line = against.line();
            line.put(BOLD, "! ").put(BOLD, signal).right(PLAIN, &duration(*t), TOOK).put(PLAIN, "  ");
            due.push((*t, 0, done(line.put(PLAIN, then))));
        }
        self.signals = timeline.signals.len();
        for d in timeline.divergences.get(self.divergences..).unwrap_or_default() {
            let i = timeline.spans.iter().position(|s| s.phase.name == d.phase);
            let at = i.and_then(|i| timeline.spans[i].end_ns).unwrap_or(timeline.end_ns);
            let mut line = against.line();
            line.put(BAD_BOLD, "! ").put(BAD_BOLD, &d.phase).put(PLAIN, ": ").put(PLAIN, &d.sentence());
            due.push((at, i.map_or(usize::MAX, |i| i + 1), done(&mut line)));
        }
        self.divergences = timeline.divergences.len();
        if let Some(ready) = timeline.ready_ns.filter(|_| !self.ready) {
            self.ready = true;
            due.push((ready, usize::MAX, is_ready(ready, against)));
        }
        due.sort_by_key(|(t, place, _)| (*t, *place));
        let mut out: String = due.into_iter().map(|(.., line)| line).collect();
        if timeline.outcome != Outcome::Running && !std::mem::replace(&mut self.ended, true) {
            ending(timeline, against, &mut out);
        }
        out
    }

    /// What is under way, in a line without its break; empty where nothing is.
    pub fn status(&self, timeline: &Timeline, now_ns: u64, against: &Against) -> String {
        let mut line = against.line();
        let Some((i, span)) = under_way(timeline).filter(|_| timeline.outcome == Outcome::Running) else {
            return String::new();
        };
        let took = since(span, now_ns);
        line.put(BOLD, "▸ ").put_in(BOLD, &span.phase.name, TOOK - 14);
        line.right(PLAIN, &duration(took), TOOK).put(PLAIN, "  ");
        let served = served(timeline) == Some(i);
        match against.history.phase(&span.phase.name).filter(|_| !served) {
            Some(usual) => {
                let slow = against.slow(&usual, took);
                line.put(DIM, &format!("usually {}", duration(usual.median_ns)));
                if slow {
                    line.put(PLAIN, "  ").put(BAD_BOLD, "SLOW");
                } else {
                    let cells = against.style.width.saturating_sub(line.width() + 3).min(20) as u64;
                    let part = took.min(usual.median_ns).saturating_mul(cells) / usual.median_ns.max(1);
                    line.put(PLAIN, "  ").put(GOOD, &"█".repeat(part as usize));
                    line.put(DIM, &"·".repeat(cells.saturating_sub(part) as usize));
                }
            }
            None => {
                let pid = span.pid_start.unwrap_or(timeline.pid);
                line.put(DIM, &format!("pid {pid}"));
            }
        }
        let line = done(&mut line);
        line.trim_end_matches('\n').to_owned()
    }

    /// In how many nanoseconds something is due although nothing happens, if anything is.
    pub fn wakes(&self, timeline: &Timeline, now_ns: u64, against: &Against) -> Option<u64> {
        let (i, span) = under_way(timeline)?;
        if served(timeline) == Some(i) {
            return None;
        }
        let usual = against.history.phase(&span.phase.name)?;
        let took = since(span, now_ns);
        let next = against.marks(&usual, SOON).find(|mark| *mark >= took)?;
        Some((next - took).saturating_add(1))
    }
}

fn done(line: &mut Line) -> String {
    let mut out = String::new();
    line.finish(&mut out);
    out
}

fn head(t: &Timeline, against: &Against) -> String {
    let mut line = against.line();
    let title = t.title();
    let title = if title.is_empty() { "unknown spec" } else { &title };
    line.put_in(BOLD, title, against.style.width / 3).put(PLAIN, "  ");
    match against.history.ready() {
        Some(usual) => {
            let runs = crate::text::count(usual.runs, "run");
            line.put(DIM, &format!("usually ready in {} ({runs})", duration(usual.median_ns)));
        }
        None => {
            line.put(DIM, "no earlier run says what is usual");
        }
    }
    let date = if t.wall_ns == 0 { String::new() } else { utc(t.wall_ns) };
    let right = format!("run {}  {date}", t.run);
    if !t.run.is_empty() && line.width() + 2 + width(&plain(&right, against.style)) <= against.style.width {
        line.right(DIM, &right, against.style.width);
    }
    done(&mut line)
}

fn row<'a>(against: &Against<'a>, paint: Paint, sign: &str, name: &str, took: &str) -> Line<'a> {
    let mut line = against.line();
    line.put(paint, sign).put(PLAIN, " ");
    let name_paint = if paint == BAD_BOLD { BAD_BOLD } else { PLAIN };
    line.put_in(name_paint, name, TOOK - 14).right(PLAIN, took, TOOK).put(PLAIN, "  ");
    line
}

fn skipped(span: &Span, against: &Against) -> String {
    let mut line = row(against, DIM, "·", &span.phase.name, "skipped");
    done(line.put(DIM, span.skipped.as_deref().unwrap_or_default()))
}

fn finished(span: &Span, usual: Option<&Usual>, against: &Against) -> String {
    let took = span.took().map_or(String::new(), duration);
    if let Some(error) = &span.error {
        let mut line = row(against, BAD_BOLD, "✗", &span.phase.name, &took);
        return done(line.put(BAD_BOLD, &fault(error)));
    }
    let mut line = row(against, GOOD, "✓", &span.phase.name, &took);
    if let (Some(usual), Some(took)) = (usual, span.took()) {
        line.put(DIM, &format!("usually {}", duration(usual.median_ns)));
        if against.slow(usual, took) {
            line.put(PLAIN, "  ").put(BAD_BOLD, "SLOW");
        }
    }
    done(&mut line)
}

fn slow(span: &Span, took: u64, usual: &Usual, against: &Against) -> String {
    let mut line = row(against, BOLD, "▸", &span.phase.name, &duration(took));
    line.put(BAD_BOLD, "SLOW").put(PLAIN, &format!("  so far; usually {}", duration(usual.median_ns)));
    done(&mut line)
}

fn undone(span: &Span, what: &str, error: Option<&Failure>, against: &Against) -> String {
    match error {
        None => done(row(against, BOLD, "↶", &span.phase.name, "undone").put(DIM, what)),
        Some(error) => {
            let mut line = row(against, BAD_BOLD, "!", &span.phase.name, "stuck");
            done(line.put(BAD_BOLD, &format!("{what}: {}", fault(error))))
        }
    }
}

fn is_ready(ready: u64, against: &Against) -> String {
    let mut line = against.line();
    line.put(GOOD, "● ").put(GOOD_BOLD, "ready").right(GOOD_BOLD, &duration(ready), TOOK).put(PLAIN, "  ");
    if let Some(usual) = against.history.ready() {
        line.put(DIM, &format!("usually {}", duration(usual.median_ns)));
        if against.slow(&usual, ready) {
            line.put(PLAIN, "  ").put(BAD_BOLD, "SLOW");
        }
    }
    done(&mut line)
}

fn fault(error: &Failure) -> String {
    let message = error.message.lines().next().unwrap_or_default();
    if message.is_empty() { "failed".to_owned() } else { message.to_owned() }
}

/// How it ended, and why where it failed.
fn ending(t: &Timeline, against: &Against, out: &mut String) {
    let mut line = against.line();
    let after = duration(t.end_ns);
    match t.outcome {
        Outcome::Vanished => {
            let pid = t.stayed();
            line.put(BAD_BOLD, &format!("! process {pid} vanished"))
                .put(PLAIN, ": nothing is recorded of its end");
        }
        outcome => {
            let (paint, sign) = match outcome {
                Outcome::Completed => (GOOD_BOLD, "● "),
                _ => (BAD_BOLD, "✗ "),
            };
            let code = t.code.map_or(String::new(), |c| format!(" · exit {c}"));
            line.put(paint, sign).put(paint, outcome.name()).put(PLAIN, &format!(" after {after}{code}"));
        }
    }
    line.finish(out);
    let told = t.spans.iter().filter_map(|s| s.error.as_ref());
    for error in told.take(3) {
        let room = against.style.width.saturating_sub(6).max(20);
        // the row of the phase has no room for more than this
        let short = width(&plain(&error.message, against.style)) + TOOK + 2 <= against.style.width;
        let message = (!short || error.why.is_none()).then_some(error.message.as_str());
        let why: Vec<&str> = message.into_iter().chain(error.why.as_deref()).collect();
        let parts = [("why", why.join("\n")), ("fix", error.help.clone().unwrap_or_default())];
        for (label, text) in parts {
            let lines = wrap(&text, room, against.style);
            for (i, text) in lines.iter().enumerate() {
                let mut line = against.line();
                line.put(DIM, if i == 0 { label } else { "" }).to(6).put(PLAIN, text).finish(out);
            }
        }
    }
}
