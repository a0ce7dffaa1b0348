//! The table: one row a phase, in the order of the plan, with its bar.

use super::Page;
use super::columns::took_label;
use super::frame::{Frame, Told};
use super::line::{BAD, BAD_BOLD, BOLD, DIM, GOOD, GOOD_BOLD, PLAIN, plain, width};
use crate::state::Phase;
use crate::text::{duration, errno_message, errno_name};
use crate::timeline::{Failure, Outcome, Span};
use crate::view::fold::{BUCKETS, Fold, failed};
use crate::view::zones::Zone;

/// Phases that never ran are counted, not listed, behind this many in a row.
const IDLE: usize = 6;

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
        self.heading(&mut head);
        head.finish(out);

        let mut told = Told::default();
        // ready stands behind the last phase that began before it
        let ready = t.ready_ns.map(|_| {
            let before = |i: &usize| self.zones.of[*i] == Zone::Start && t.spans[*i].start_ns.is_some();
            self.order.rows.iter().rposition(before).map_or(0, |k| k + 1)
        });
        self.section(&self.order.rows, ready, &mut told, out);
        self.undone(&told, out);
        self.section(&self.late, None, &mut told, out);
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
            if let Some(fold) = self.folds.before(*i) {
                if told.identity.is_none() {
                    self.band(told, *i, span, out);
                }
                self.folded(fold, told, out);
            }
            if self.folds.hides(*i) {
                continue;
            }
            if span.start_ns.is_some() {
                idle = 0;
                self.band(told, *i, span, out);
                self.phase(*i, span, told, out);
                self.crossing(told, span, out);
                continue;
            }
            if idle == 0 {
                idle_in_all = spans[k..].iter().take_while(|i| never_ran(i)).count();
            }
            idle += 1;
            if idle < IDLE || idle_in_all <= IDLE || self.timeline.outcome == Outcome::Running {
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
        let critical = self.critical.contains(&i);
        let mut line = self.line();
        line.put(frame.paint(), frame.side()).put(PLAIN, " ").put(paint, sign).put(PLAIN, " ");
        let room = c.name.saturating_sub(line.width());
        line.put_in(name, &span.phase.name, room);
        if !span.phase.detail.is_empty() && line.width() + 2 < c.name {
            line.put(PLAIN, " ");
            let room = c.name - line.width();
            line.put_detail(DIM, &span.phase.detail, room);
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
                let short = !self.fits(i, error);
                self.words(&mut line, BAD_BOLD, &fault(error, short), i, span);
            }
            None if span.start_ns.is_none() => self.words(&mut line, DIM, &self.reason(span), i, span),
            None => self.bar(&mut line, i, span, frame.paint()),
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
            let needed = self.by_name.get(need.as_str()).and_then(|i| self.timeline.spans.get(*i));
            needed.is_some_and(|s| failed(s) || s.state == Phase::Pending)
        });
        match (missing, self.timeline.outcome) {
            (Some(need), _) => format!("needs {need}"),
            (None, Outcome::Vanished) => "the process vanished before".into(),
            (None, Outcome::Unwound | Outcome::Stuck) => "the start was given up before".into(),
            _ => String::new(),
        }
    }

    /// True if the whole of an error can be said where the bar would be.
    pub(super) fn fits(&self, i: usize, error: &Failure) -> bool {
        error.message.lines().count() <= 1 && width(&plain(&fault(error, false), self.style)) <= self.room(i)
    }

    fn ready(&self, told: &Told, out: &mut String) {
        let Some(ready) = self.timeline.ready_ns else { return };
        let c = &self.columns;
        let mut line = self.framed(told);
        line.put(GOOD, "● ").put(GOOD_BOLD, "ready").right(GOOD_BOLD, &duration(ready), c.took);
        self.ready_sign(&mut line);
        line.finish(out);
    }

    fn folded(&self, fold: &Fold, told: &Told, out: &mut String) {
        let c = &self.columns;
        let frame = told.frame().paint();
        let mut line = self.framed(told);
        let room = c.name.saturating_sub(4);
        line.put(DIM, "… ").to(4).put_in(DIM, &fold.label(), room);
        if fold.idle < fold.count {
            line.right(DIM, &duration(fold.took), c.took);
        }
        line.to(c.bar).put(DIM, &fold.about());
        if fold.idle < fold.count && line.width() + 3 + BUCKETS <= self.style.width {
            line.put(PLAIN, "  ").put(frame, &fold.sparkline());
        }
        line.finish(out);
    }
}
