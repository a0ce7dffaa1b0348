//! The end of a start that failed: what was undone, and what is left.

use super::Page;
use super::frame::{Frame, Told};
use super::line::{BAD_BOLD, BOLD, DIM, PLAIN};
use super::rows::fault;
use crate::text::duration;
use crate::timeline::Outcome;

impl<'a> Page<'a> {
    /// What was undone, newest first, as it happened.
    pub(super) fn undone(&self, told: &Told<'a>, out: &mut String) {
        let c = &self.columns;
        let mut spans: Vec<_> = self.timeline.spans.iter().filter(|s| s.undo_ns.is_some()).collect();
        if spans.is_empty() {
            return;
        }
        spans.sort_by_key(|s| s.undo_ns);
        let mut by = None;
        let mut frame = told.frame();
        let more = spans.len().saturating_sub(self.style.rows.max(1));
        spans.truncate(self.style.rows.max(1));
        for span in spans {
            if span.undone_by != by || by.is_none() {
                by = span.undone_by;
                let pid = by.unwrap_or_default();
                let who = match self.timeline.role(pid) {
                    Some(role) => format!("{}, pid {pid}", role.name()),
                    None => format!("pid {pid}"),
                };
                frame = self.identity_of(pid).map_or(frame, |i| Frame::of(Some(i)));
                let mut line = self.line();
                line.put(frame.paint(), frame.next()).put(BOLD, " undone, newest first");
                line.put(DIM, &format!(" · by the {who}").replace("by the pid", "by pid")).finish(out);
            }
            let took = span.undone_ns.zip(span.undo_ns).map(|(end, start)| end.saturating_sub(start));
            let mut name = span.phase.name.as_str();
            let mut took = took.filter(|t| *t > 0).map_or(String::new(), duration);
            let unfinished = [("unfinished".to_owned(), None)];
            let rows = if span.undo.is_empty() { &unfinished[..] } else { &span.undo };
            for (what, error) in rows {
                let mut line = self.line();
                line.put(frame.paint(), frame.side()).put(PLAIN, " ");
                match error {
                    None => line.put(BOLD, "↶ "),
                    Some(_) => line.put(BAD_BOLD, "! "),
                };
                let paint = if error.is_some() { BAD_BOLD } else { PLAIN };
                let room = c.name.saturating_sub(4);
                line.put_in(paint, name, room).right(PLAIN, &took, c.took).to(c.bar);
                match error {
                    None => line.put(DIM, what),
                    Some(error) => line.put(BAD_BOLD, &format!("{what}: {}", fault(error, true))),
                };
                line.finish(out);
                (name, took) = ("", String::new());
            }
        }
        if more > 0 {
            let were = if more == 1 { "was" } else { "were" };
            let mut line = self.line();
            line.put(frame.paint(), frame.side())
                .put(DIM, &format!(" … {} {were} undone", crate::text::count(more, "more phase")))
                .finish(out);
        }
    }

    /// The last line of a start that failed.
    pub(super) fn ending(&self, told: &Told, out: &mut String) {
        let t = self.timeline;
        if t.ready_ns.is_some() {
            return;
        }
        let (code, paint, left) = match t.outcome {
            Outcome::Unwound => (1, PLAIN, format!("{} left behind", t.left())),
            Outcome::Stuck => (7, BAD_BOLD, self.left_behind()),
            Outcome::Failed => (1, BAD_BOLD, String::new()),
            _ => return,
        };
        let code = t.code.unwrap_or(code);
        let sep = if left.is_empty() { "" } else { " · " };
        let by = t.spans.iter().find_map(|s| s.undone_by).and_then(|pid| self.identity_of(pid));
        let frame = by.map_or(told.frame(), |i| Frame::of(Some(i)));
        self.rule(frame, paint, &format!("exit {code}{sep}{left}"), out);
    }

    fn left_behind(&self) -> String {
        let stuck = self.timeline.spans.iter().filter(|s| s.undo.iter().any(|(_, e)| e.is_some()));
        let names: Vec<_> = stuck.map(|s| s.phase.name.as_str()).take(3).collect();
        match names.is_empty() {
            true => "something is left behind".into(),
            false => format!("left behind by {}", names.join(", ")),
        }
    }
}
