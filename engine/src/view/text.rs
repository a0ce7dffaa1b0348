//! The timeline for a terminal.

mod bars;
mod below;
mod blame;
mod chain;
mod columns;
mod frame;
mod gaps;
mod head;
pub(in crate::view) mod line;
mod order;
mod rows;
mod undone;

use super::axis::{Axis, Scale};
use super::fold::Folds;
use super::zones::{Part, Window, Zone, Zones};
use crate::timeline::{Timeline, critical};
use gaps::Gaps;
use line::Line;
use order::Order;
use std::collections::{HashMap, HashSet};

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
    /// what is told
    pub shown: Shown,
    /// how width is given to time
    pub scale: Scale,
    /// which part of the run has rows
    pub window: Window,
}

/// What of a timeline is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// every phase with its bar, in the order of the plan
    #[default]
    Timeline,
    /// own times, the longest first; with the gaps they are the whole
    Blame,
    /// what ready waited for, in the order of time; and what had time to spare
    Chain,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle {
            width: 80,
            color: false,
            ascii: false,
            rows: 60,
            shown: Shown::default(),
            scale: Scale::default(),
            window: Window::All,
        }
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
        match style.shown {
            Shown::Timeline => page.rows(&mut out),
            Shown::Blame => page.blame(&mut out),
            Shown::Chain => page.chain(&mut out),
        }
    }
    page.below(&mut out);
    out
}

struct Page<'a> {
    timeline: &'a Timeline,
    style: &'a TextStyle,
    zones: Zones,
    /// critical path, spans with their share
    path: Vec<(usize, f64)>,
    /// the same, to be asked
    critical: HashSet<usize>,
    by_name: HashMap<&'a str, usize>,
    /// time from the begin to ready, or to where the start ended
    zone: u64,
    axis: Axis,
    /// the axis of STOP, from where it begins
    stop: Option<Axis>,
    columns: Columns,
    folds: Folds,
    gaps: Gaps,
    /// what began before the first undo
    order: Order,
    /// what began after it
    late: Vec<usize>,
}

/// Columns of the table, from 0.
struct Columns {
    /// where the phase's name ends at the latest
    name: usize,
    /// where the duration ends
    took: usize,
    /// where the bars begin
    bar: usize,
    /// how many columns bars of START-UP may take
    cells: usize,
    /// how many RUN takes, without its line; 0 if there is none
    run: usize,
    /// how many STOP takes, without its line; 0 if there is none
    stop: usize,
    /// no room for bars, only for words
    narrow: bool,
}

impl<'a> Page<'a> {
    fn new(timeline: &'a Timeline, style: &'a TextStyle) -> Self {
        let spans = &timeline.spans;
        let path: Vec<_> = critical(timeline).into_iter().filter(|(_, share)| *share >= CRITICAL).collect();
        let zones = Zones::new(timeline);
        let zone = zones.ready();
        let folds = Folds::new(timeline, path.iter().map(|(i, _)| *i), style.rows);
        let columns = Columns::new(timeline, style, &folds, &zones);
        let axis = |part: Option<Part>, cells: usize| {
            let part = part?;
            let bars = spans.iter().filter_map(|s| {
                let from = s.start_ns.filter(|t| *t < part.to)?.max(part.from);
                let to = s.end_ns.unwrap_or(part.to).min(part.to);
                (to >= from).then(|| (from - part.from, to - part.from))
            });
            let bars: Vec<_> = bars.collect();
            let width = u32::try_from(cells).unwrap_or(1).max(1) * 8;
            Some(Axis::with_scale(style.scale, &bars, part.took(), width, 8, 0))
        };
        let stop = axis(zones.part(Zone::Stop), columns.stop);
        let start = axis(zones.part(Zone::Start), columns.cells);
        let shown = |i: &usize| style.window == Window::All || zones.of[*i] == Zone::Start;
        let (late, planned) = (0..spans.len())
            .filter(shown)
            .partition(|i| zones.of[*i] == Zone::Undo && spans[*i].start_ns.is_some());
        Page {
            timeline,
            style,
            critical: path.iter().map(|(i, _)| *i).collect(),
            by_name: spans.iter().enumerate().rev().map(|(i, s)| (s.phase.name.as_str(), i)).collect(),
            path,
            zone,
            axis: start.unwrap_or_else(|| Axis::new(&[], 1, 8, 8, 0)),
            stop,
            columns,
            folds,
            gaps: Gaps::new(timeline, zone),
            order: Order::new(timeline, planned),
            late,
            zones,
        }
    }

    /// True if processes ran phases at once.
    fn parallel(&self) -> bool {
        self.order.parallel()
    }

    fn line(&self) -> Line<'a> {
        Line::new(self.style)
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        // not all of it, if it is not
        p if p > 99.0 && p < 100.0 => format!("{:.1}%", p.min(99.9)),
        p if p < 0.95 => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}

#[cfg(test)]
mod tests;
