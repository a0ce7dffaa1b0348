//! The table: one row a phase, in the order of the plan, with its bar.

use super::below::percent;
use super::columns::took_label;
use super::fold::Fold;
use super::frame::{Frame, Told};
use super::line::{BAD, BAD_BOLD, BOLD, DIM, GOOD, GOOD_BOLD, Line, PLAIN, Paint, plain, width};
use super::{Page, failed};
use crate::state::Phase;
use crate::text::{duration, errno_message, errno_name};
use crate::timeline::{Failure, Outcome, Span};

/// Phases that never ran are counted, not listed, behind this many in a row.
const IDLE: usize = 6;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The error in a line: errno and message, or as short as it can be said.
pub(super) fn fault(error: &Failure, short: bool) -> String {
    let message = error.message.lines().next().unwrap_or_default();
    match error.errno {
        Some(n) => {
            let name = errno_name(n).map_or(n.to_string(), str::to_owned);
            let short = short.then(|| errno_message(n));
            format!("{name} {}", short.as_deref().unwrap_or(message))
        }
        None if message.is_empty() => "failed".to_owned(),
        None => message.to_owned(),
    }
}

impl<'a> Page<'a> {
    pub(super) fn rows(&self, out: &mut String) {
        let (c, t) = (&self.columns, self.timeline);
        let mut head = self.line();
        head.put(PLAIN, "  ").put(DIM, "phase").right(DIM, "took", c.took);
        if !c.narrow {
            let end = duration(self.zone);
            head.to(c.bar).put(DIM, "0");
            if !self.axis.linear() && self.axis.widens() && c.cells >= 34 {
                head.to(c.bar + c.cells / 2 - 5).put(DIM, "▪ widened");
            }
            head.right(DIM, &end, c.bar + c.cells);
        }
        head.finish(out);

        let after = |s: &Span| s.start_ns.is_some_and(|t| t >= self.undo_from);
        let main: Vec<usize> = (0..t.spans.len()).filter(|i| !after(&t.spans[*i])).collect();
        let late: Vec<usize> = (0..t.spans.len()).filter(|i| after(&t.spans[*i])).collect();
        let mut told = Told::default();
        // ready stands behind the last phase that began before it
        let ready = t.ready_ns.map(|ready| {
            let before = |i: &usize| t.spans[*i].start_ns.is_some_and(|start| start < ready);
            main.iter().rposition(before).map_or(0, |k| k + 1)
        });
        self.section(&main, ready, &mut told, out);
        self.undone(&told, out);
        self.section(&late, None, &mut told, out);
        self.ending(&told, out);
    }

    fn section(&self, spans: &[usize], ready: Option<usize>, told: &mut Told<'a>, out: &mut String) {
        let all = &self.timeline.spans;
        let never_ran = |i: &usize| all[*i].start_ns.is_none();
        let (mut idle, mut idle_in_all) = (0, 0);
        for (k, i) in spans.iter().enumerate() {
            if ready == Some(k) {
                self.ready(told, out);
            }
            let span = &all[*i];
            if let Some(fold) = self.folds.rows.get(i) {
                if told.identity.is_none() {
                    self.band(told, span, out);
                }
                self.folded(fold, told, out);
            }
            if self.folds.hides(*i) {
                continue;
            }
            if span.start_ns.is_some() {
                idle = 0;
                self.band(told, span, out);
                self.phase(*i, span, told, out);
                self.crossing(told, span, out);
                continue;
            }
            if idle == 0 {
                idle_in_all = spans[k..].iter().take_while(|i| never_ran(i)).count();
            }
            idle += 1;
            if idle < IDLE || idle_in_all == IDLE || self.timeline.outcome == Outcome::Running {
                self.phase(*i, span, told, out);
            } else if idle == IDLE {
                let label = format!("{} more", idle_in_all + 1 - IDLE);
                let mut line = self.framed(told);
                line.put(DIM, "· ").put(PLAIN, &label).right(DIM, "not run", self.columns.took).finish(out);
            }
        }
        if ready.is_some_and(|k| k >= spans.len()) {
            self.ready(told, out);
        }
    }

    fn phase(&self, i: usize, span: &'a Span, told: &Told<'a>, out: &mut String) {
        let c = &self.columns;
        let frame = match &span.identity_before {
            Some(identity) => Frame::of(Some(identity)),
            None => told.frame(),
        };
        let (sign, paint, name) = match span.state {
            _ if failed(span) => ("✗", BAD, BAD_BOLD),
            Phase::Running if self.timeline.outcome == Outcome::Running => ("▸", BOLD, BOLD),
            Phase::Running => ("!", BAD, BAD_BOLD),
            Phase::Pending | Phase::Skipped => ("·", DIM, PLAIN),
            _ => ("✓", GOOD, PLAIN),
        };
        let critical = self.path.iter().any(|(p, _)| *p == i);
        let mut line = self.line();
        line.put(frame.paint(), frame.side()).put(PLAIN, " ").put(paint, sign).put(PLAIN, " ");
        let room = c.name.saturating_sub(line.width());
        line.put_in(name, &span.phase.name, room);
        if !span.phase.detail.is_empty() && line.width() + 2 < c.name {
            line.put(PLAIN, " ");
            let room = c.name - line.width();
            line.put_in(DIM, &span.phase.detail, room);
        }
        let took = took_label(self.timeline, span);
        let weight = match span.start_ns {
            None => DIM,
            Some(_) if critical || failed(span) => BOLD,
            Some(_) => PLAIN,
        };
        line.right(weight, &took, c.took);
        if critical {
            line.put(BOLD, " ◆");
        }
        match &span.error {
            Some(error) => {
                let short = !self.fits(span, error);
                self.words(&mut line, BAD_BOLD, &fault(error, short), span);
            }
            None if span.start_ns.is_none() => self.words(&mut line, DIM, &self.reason(span), span),
            None => self.bar(&mut line, span, frame.paint()),
        }
        line.finish(out);
    }

    /// Why a phase did not run.
    fn reason(&self, span: &Span) -> String {
        if let Some(why) = &span.skipped {
            return why.clone();
        }
        if self.timeline.outcome == Outcome::Running {
            return String::new();
        }
        let missing = span.phase.needs.iter().take(100).find(|need| {
            let needed = self.timeline.spans.iter().find(|s| s.phase.name == **need);
            needed.is_some_and(|s| failed(s) || s.state == Phase::Pending)
        });
        missing.map_or(String::new(), |need| format!("needs {need}"))
    }

    /// Columns for words where the bar would be; a phase after ready keeps its sign there.
    fn room(&self, span: &Span) -> usize {
        let c = &self.columns;
        match span.start_ns {
            Some(start)
                if Some(start) >= self.timeline.ready_ns && self.timeline.ready_ns.is_some() && !c.narrow =>
            {
                c.cells
            }
            _ => self.style.width.saturating_sub(c.bar),
        }
    }

    /// True if the whole of an error can be said where the bar would be.
    pub(super) fn fits(&self, span: &Span, error: &Failure) -> bool {
        error.message.lines().count() <= 1
            && width(&plain(&fault(error, false), self.style)) <= self.room(span)
    }

    /// Words where the bar would be.
    fn words(&self, line: &mut Line, paint: Paint, text: &str, span: &Span) {
        let ready_at = self.columns.bar + self.columns.cells;
        line.to(self.columns.bar).put_in(paint, text, self.room(span));
        if self.timeline.ready_ns.is_some() && !self.columns.narrow && line.width() <= ready_at {
            line.to(ready_at).put(DIM, "┊");
            self.beyond(line, span, paint);
        }
    }

    /// The sign of a phase that began after ready.
    fn beyond(&self, line: &mut Line, span: &Span, paint: Paint) {
        let Some(start) = span.start_ns.filter(|s| Some(*s) >= self.timeline.ready_ns) else { return };
        let earlier =
            |s: &&Span| s.start_ns.is_some_and(|t| t < start) && s.start_ns >= self.timeline.ready_ns;
        let first = !self.timeline.spans.iter().any(|s| earlier(&s));
        let at = line.width() + if first { 0 } else { 2 };
        line.to(at).put(
            paint,
            match (failed(span), first) {
                (true, _) => "✗",
                (false, true) => "▶▶",
                (false, false) => "▪",
            },
        );
    }

    fn bar(&self, line: &mut Line, span: &Span, paint: Paint) {
        let c = &self.columns;
        let Some(start) = span.start_ns else { return };
        if c.narrow {
            return;
        }
        let ready_at = c.bar + c.cells;
        line.to(c.bar);
        if start < self.zone || self.timeline.ready_ns.is_none() {
            let end = span.end_ns.unwrap_or(self.zone);
            let bar = self.axis.place(start, end);
            let (from, to) = ((bar.from / 8) as usize, bar.to as usize);
            let share = end.min(self.zone).saturating_sub(start) as f64 / self.zone.max(1) as f64;
            let said = if share >= 0.0995 { percent(share) } else { String::new() };
            let (whole, rest) = (to / 8, to % 8);
            let before = !said.is_empty() && whole + 2 + said.len() > c.cells && from > said.len() + 1;
            if before {
                line.right(DIM, &said, c.bar + from - 1);
            }
            line.to(c.bar + from);
            if bar.widened {
                line.put(paint, "▪");
            } else {
                line.put(paint, &"█".repeat(whole - from)).put(paint, EIGHTHS[rest]);
            }
            if !before && !said.is_empty() && line.width() + 1 + said.len() <= ready_at {
                line.put(PLAIN, " ").put(DIM, &said);
            }
        }
        if self.timeline.ready_ns.is_some() {
            line.to(ready_at).put(DIM, "┊");
            self.beyond(line, span, paint);
        }
    }

    fn ready(&self, told: &Told, out: &mut String) {
        let Some(ready) = self.timeline.ready_ns else { return };
        let c = &self.columns;
        let mut line = self.framed(told);
        line.put(GOOD, "● ").put(GOOD_BOLD, "ready").right(GOOD_BOLD, &duration(ready), c.took);
        if !c.narrow {
            line.to(c.bar + c.cells).put(GOOD_BOLD, "●");
        }
        line.finish(out);
    }

    fn folded(&self, fold: &Fold, told: &Told, out: &mut String) {
        let c = &self.columns;
        let mut line = self.framed(told);
        let room = c.name.saturating_sub(4);
        line.put(DIM, "… ").to(4).put_in(DIM, &fold.label(), room);
        let mut about = Vec::new();
        if fold.idle < fold.count {
            line.right(DIM, &duration(fold.took), c.took);
            about.push(format!("median {} · max {}", duration(fold.median), duration(fold.max)));
        }
        if fold.idle > 0 {
            about.push(format!("{} did not run", fold.idle));
        }
        line.to(c.bar).put(DIM, &about.join(" · ")).finish(out);
    }
}
