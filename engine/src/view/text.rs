//! The timeline for a terminal.

mod below;
mod columns;
mod fold;
mod frame;
mod line;
mod rows;
mod undone;

use super::axis::Axis;
use super::utc;
use crate::state::Phase;
use crate::text::duration;
use crate::timeline::{Outcome, Span, Timeline, critical};
use line::{BAD_BOLD, BOLD, DIM, GOOD_BOLD, Line, PLAIN, Paint};

/// Shares of the time to ready below this are not marked as critical.
const CRITICAL: f64 = 0.05;

/// How it is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// columns; less than 60 are taken as 60
    pub width: usize,
    /// colours of the terminal's theme
    pub color: bool,
    /// nothing but ASCII
    pub ascii: bool,
    /// rows before unremarkable ones are folded
    pub rows: usize,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { width: 80, color: false, ascii: false, rows: 60 }
    }
}

/// The whole page, every line at most as wide as asked.
pub fn render(timeline: &Timeline, style: &TextStyle) -> String {
    let style = TextStyle { width: style.width.clamp(60, 1_000), ..style.clone() };
    let page = Page::new(timeline, &style);
    let mut out = String::new();
    page.header(&mut out);
    if !timeline.spans.is_empty() {
        out.push('\n');
        page.rows(&mut out);
    }
    page.below(&mut out);
    out
}

struct Page<'a> {
    timeline: &'a Timeline,
    style: &'a TextStyle,
    /// critical path, spans with their share
    path: Vec<(usize, f64)>,
    /// time from the begin to ready, or to where the start ended
    zone: u64,
    axis: Axis,
    columns: Columns,
    folds: fold::Folds,
    /// when the first undo began
    undo_from: u64,
}

/// Columns of the table, from 0.
struct Columns {
    /// where the phase's name ends at the latest
    name: usize,
    /// where the duration ends
    took: usize,
    /// where the bars begin
    bar: usize,
    /// how many columns bars may take
    cells: usize,
    /// no room for bars, only for words
    narrow: bool,
}

/// A span that failed; its state may have gone on to undone or stuck.
fn failed(span: &Span) -> bool {
    span.error.is_some() || span.state == Phase::Failed
}

impl<'a> Page<'a> {
    fn new(timeline: &'a Timeline, style: &'a TextStyle) -> Self {
        let path: Vec<_> = critical(timeline).into_iter().filter(|(_, share)| *share >= CRITICAL).collect();
        let undo_from = timeline.spans.iter().filter_map(|s| s.undo_ns).min().unwrap_or(u64::MAX);
        let last =
            timeline.spans.iter().filter_map(|s| s.end_ns.filter(|_| s.start_ns < Some(undo_from))).max();
        let zone = match (timeline.ready_ns, timeline.outcome) {
            (Some(ready), _) => ready,
            (None, Outcome::Running | Outcome::Vanished) => timeline.end_ns,
            (None, _) => last.unwrap_or(timeline.end_ns),
        };
        let bars = timeline.spans.iter().filter_map(|s| {
            let from = s.start_ns.filter(|t| *t < zone)?;
            Some((from, s.end_ns.unwrap_or(zone).min(zone)))
        });
        let bars: Vec<_> = bars.collect();
        let folds = fold::Folds::new(timeline, &path, style.rows);
        let columns = Columns::new(timeline, style, &folds);
        let cells = u32::try_from(columns.cells).unwrap_or(1).max(1);
        let axis = Axis::new(&bars, zone, cells * 8, 8, 0);
        Page { timeline, style, path, zone, axis, columns, folds, undo_from }
    }

    fn line(&self) -> Line<'a> {
        Line::new(self.style)
    }

    fn header(&self, out: &mut String) {
        let t = self.timeline;
        let mut said: Vec<(Paint, String)> = Vec::new();
        let first_failed = t.spans.iter().find(|s| failed(s));
        match (t.ready_ns, t.outcome) {
            (Some(ready), _) => said.push((GOOD_BOLD, format!("ready in {}", duration(ready)))),
            (None, Outcome::Running) => {
                said.push((GOOD_BOLD, format!("starting, {} so far", duration(t.end_ns))))
            }
            (None, Outcome::Completed) => said.push((BOLD, "completed".into())),
            (None, outcome) => said.push(match first_failed {
                Some(s) => {
                    let at = s.end_ns.map_or(String::new(), |end| format!(", {}", duration(end)));
                    (BAD_BOLD, format!("failed at {}{at}", s.phase.name))
                }
                None if outcome == Outcome::Vanished => (BAD_BOLD, "not ready".into()),
                None => (BAD_BOLD, "failed".into()),
            }),
        }
        let failed: Vec<_> = t.spans.iter().filter(|s| failed(s)).collect();
        match (t.ready_ns, failed.as_slice()) {
            (Some(_), [one]) => said.push((BAD_BOLD, format!("{} failed", one.phase.name))),
            (Some(_), [_, ..]) => said.push((BAD_BOLD, format!("{} phases failed", failed.len()))),
            _ => {}
        }
        match t.outcome {
            Outcome::Running if t.ready_ns.is_some() => said.push((PLAIN, "running".into())),
            Outcome::Completed if t.ready_ns.is_some() && failed.is_empty() => {
                said.push((PLAIN, "completed".into()));
            }
            Outcome::Failed if failed.is_empty() && t.ready_ns.is_some() => {
                said.push((BAD_BOLD, "failed".into()));
            }
            Outcome::Unwound => said.push((PLAIN, "unwound".into())),
            Outcome::Stuck => said.push((BAD_BOLD, "stuck".into())),
            Outcome::Vanished => said.push((BAD_BOLD, "vanished".into())),
            _ => {}
        }
        let spec = if t.spec.is_empty() { "unknown spec" } else { &t.spec };
        let date = if t.wall_ns == 0 { String::new() } else { utc(t.wall_ns) };
        let run = if t.run.is_empty() { String::new() } else { format!("run {}", t.run) };
        let right = [format!("{run}  {date}"), run];

        let mut line = self.line();
        line.put_in(BOLD, spec, self.style.width / 3).put(PLAIN, "  ");
        for (i, (paint, text)) in said.iter().enumerate() {
            line.put(DIM, if i > 0 { " · " } else { "" }).put(*paint, text);
        }
        if t.outcome == Outcome::Unwound && line.width() + 22 + 2 + line::width(&right[1]) <= self.style.width
        {
            line.put(PLAIN, ", nothing left behind");
        }
        let fitting = right.iter().map(|r| r.trim()).find(|r| {
            let text = line::plain(r, self.style);
            line.width() + 2 + line::width(&text) <= self.style.width
        });
        match fitting {
            Some(text) => {
                line.right(DIM, text, self.style.width).finish(out);
            }
            None => {
                line.finish(out);
                self.line().right(DIM, right[0].trim(), self.style.width).finish(out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
