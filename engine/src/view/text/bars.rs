//! Bars: START-UP on its axis, RUN as a torn stretch, STOP on an axis of its own.

use super::line::{DIM, GOOD_BOLD, Line, PLAIN, Paint, width};
use super::{Page, percent};
use crate::text::duration;
use crate::timeline::Span;
use crate::view::axis::{Axis, Scale};
use crate::view::fold::failed;
use crate::view::zones::Zone;

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Page<'_> {
    /// Column of the line between START-UP and RUN.
    fn ready_at(&self) -> usize {
        self.columns.bar + self.columns.cells
    }

    /// Column of the line between RUN and STOP.
    fn stop_at(&self) -> usize {
        self.ready_at() + 1 + self.columns.run
    }

    /// The words above the bars.
    pub(super) fn heading(&self, line: &mut Line) {
        let c = &self.columns;
        if c.narrow {
            return;
        }
        let end = duration(self.zone);
        let notes: &[&str] = match self.axis.scale() {
            Scale::Steps => &["equal steps, not to scale", "equal steps", "steps"],
            Scale::Time => &["to scale"],
            _ if self.axis.widens() => &["▪ widened to be seen", "▪ widened"],
            _ => &[],
        };
        line.to(c.bar).put(DIM, "0 ").put(PLAIN, Zone::Start.title());
        let left = self.ready_at().saturating_sub(width(&end) + 2);
        let room = left.saturating_sub(line.width() + 2);
        if let Some(note) = notes.iter().find(|n| n.chars().count() <= room) {
            line.put(PLAIN, "  ").put(DIM, note);
        }
        line.right(DIM, &end, self.ready_at());
        if c.run > 0 {
            line.put(DIM, "┊").put_in(PLAIN, &self.titled(Zone::Run, c.run), c.run);
        }
        if c.stop > 0 {
            line.to(self.stop_at()).put(DIM, "┊").put_in(PLAIN, &self.titled(Zone::Stop, c.stop), c.stop);
        }
    }

    /// "RUN 3 d 4 h" where there is room.
    fn titled(&self, zone: Zone, room: usize) -> String {
        let long = format!("{} {}", zone.title(), duration(self.zones.part(zone).map_or(0, |p| p.took())));
        if long.chars().count() <= room { long } else { zone.title().to_owned() }
    }

    /// The bar of a span, in every part that it lies in.
    pub(super) fn bar(&self, line: &mut Line, i: usize, span: &Span, paint: Paint) {
        let Some(start) = span.start_ns else { return };
        if self.columns.narrow {
            if let Some(zone) = self.zones.of.get(i).filter(|z| **z != Zone::Start) {
                line.to(self.columns.bar).put(DIM, zone.title());
            }
            return;
        }
        line.to(self.columns.bar);
        if self.zones.of.get(i).is_none_or(|z| matches!(z, Zone::Start | Zone::Undo)) {
            let end = span.end_ns.unwrap_or(self.zone).min(self.zone);
            let share = end.saturating_sub(start) as f64 / self.zone.max(1) as f64;
            let said = if share >= 0.0995 { percent(share) } else { String::new() };
            if let Some(gap) = self.gaps.before.get(&i) {
                self.gap(line, *gap, self.axis.place(start, end).from, said.len());
            }
            self.draw(line, &self.axis, self.columns.bar, (start, end), &said, paint);
        }
        self.beyond(line, i, span, paint);
    }

    /// Words where the bar would be, and what is beyond ready.
    pub(super) fn words(&self, line: &mut Line, paint: Paint, text: &str, i: usize, span: &Span) {
        line.to(self.columns.bar).put_in(paint, text, self.room(i));
        if line.width() <= self.ready_at() {
            self.beyond(line, i, span, paint);
        }
    }

    /// Columns for words where the bar would be; a phase after ready keeps its sign there.
    pub(super) fn room(&self, i: usize) -> usize {
        let c = &self.columns;
        let ran = self.timeline.spans.get(i).is_some_and(|s| s.start_ns.is_some());
        let beyond = matches!(self.zones.of.get(i), Some(Zone::Run | Zone::Stop));
        match !c.narrow && ran && beyond {
            true => c.cells.saturating_sub(1),
            false => self.style.width.saturating_sub(c.bar),
        }
    }

    /// The lines at ready and at the stop, and what of the span lies behind them.
    fn beyond(&self, line: &mut Line, i: usize, span: &Span, paint: Paint) {
        let c = &self.columns;
        if c.narrow || self.timeline.ready_ns.is_none() {
            return;
        }
        line.to(self.ready_at()).put(DIM, "┊");
        let ran = span.start_ns.is_some();
        if c.run > 0 && ran && self.zones.of.get(i) == Some(&Zone::Run) {
            line.put(paint, &"▶".repeat(c.run));
        }
        if c.stop == 0 {
            return;
        }
        line.to(self.stop_at()).put(DIM, "┊");
        let (Some(stop), Some(axis), Some(start)) = (self.zones.part(Zone::Stop), &self.stop, span.start_ns)
        else {
            return;
        };
        let end = span.end_ns.unwrap_or(stop.to).min(stop.to);
        if end < stop.from || (end == stop.from && start < stop.from) {
            return;
        }
        let at = (start.saturating_sub(stop.from), end - stop.from);
        let left = self.stop_at() + 1;
        if failed(span) {
            let column = (axis.place(at.0, at.1).from / 8) as usize;
            line.to(left + column).put(paint, "✗");
        } else {
            self.draw(line, axis, left, at, "", paint);
        }
    }

    /// One bar on an axis that begins at that column, and words beside it.
    fn draw(&self, line: &mut Line, axis: &Axis, left: usize, at: (u64, u64), said: &str, paint: Paint) {
        let bar = axis.place(at.0, at.1);
        let (from, to) = ((bar.from / 8) as usize, bar.to as usize);
        let (whole, rest, cells) = (to / 8, to % 8, (axis.width() / 8) as usize);
        let before = !said.is_empty() && whole + 2 + said.len() > cells && from > said.len() + 1;
        if before {
            line.right(DIM, said, left + from - 1);
        }
        line.to(left + from);
        if bar.widened {
            line.put(paint, "▪");
        } else {
            line.put(paint, &"█".repeat(whole.saturating_sub(from))).put(paint, EIGHTHS[rest]);
        }
        if !before && !said.is_empty() && line.width() + 1 + said.len() <= left + cells {
            line.put(PLAIN, " ").put(DIM, said);
        }
    }

    /// Time in which no phase ran, up to that unit of the axis; not where the share of the bar may stand.
    fn gap(&self, line: &mut Line, (from, _): (u64, u64), to: u32, said: usize) {
        let (left, right) = (self.axis.at(from).div_ceil(8) as usize, (to / 8) as usize);
        let free = if said > 0 && right + 2 * (said + 2) > self.columns.cells { said + 2 } else { 0 };
        let right = right.saturating_sub(free);
        if right > left {
            line.to(self.columns.bar + left).put(DIM, &"░".repeat(right - left));
            self.gaps.drawn.set(true);
        }
    }

    /// The sign on the line between START-UP and RUN.
    pub(super) fn ready_sign(&self, line: &mut Line) {
        if !self.columns.narrow {
            if let Some(gap) = self.gaps.last {
                line.to(self.columns.bar);
                self.gap(line, gap, self.axis.width(), 0);
            }
            line.to(self.ready_at()).put(GOOD_BOLD, "●");
            if self.columns.stop > 0 {
                line.to(self.stop_at()).put(DIM, "┊");
            }
        }
    }
}
