//! The right part of a drawing: everything that lies in time.

use super::ink::{Who, capabilities, escape, ids, pixels};
use super::label::state;
use super::rows::{Kind, Row};
use super::ruler::{WIDTH, Xs};
use super::{BELOW_LANES, Drawing, HEAD, LANE, percent, ticks};
use crate::text::duration;
use crate::timeline::Span;
use crate::view::axis::Scale;
use crate::view::zones::Zone;
use std::fmt::Write;

/// A plot is usually about this many pixels wide.
const WIDE: f64 = 840.0;

/// Patterns and gradients that bars are filled with.
pub(in crate::view) fn definitions() -> String {
    let mut out = String::from(
        "<defs>\
         <pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"hatch-ground\" width=\"6\" height=\"6\"/><rect class=\"hatch-line\" width=\"3\" height=\"6\"/></pattern>",
    );
    let all = [Who::Root, Who::Kept, Who::User, Who::Other, Who::Unknown].map(Who::class);
    for from in all {
        for to in all.into_iter().filter(|to| *to != from) {
            let _ = write!(
                out,
                "<linearGradient id=\"{from}-{to}\"><stop class=\"s-{from}\" offset=\".3\"/>\
                 <stop class=\"s-{to}\" offset=\".7\"/></linearGradient>"
            );
        }
    }
    out.push_str("</defs>");
    out
}

impl Drawing<'_> {
    /// The parts of the plot, to stand in an `<svg>` of the drawing's height.
    pub(in crate::view) fn plot(&mut self) -> String {
        let mut out = String::new();
        self.ground(&mut out);
        self.head(&mut out);
        self.draw_lanes(&mut out);
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            self.under(row, &mut out);
        }
        self.ready(&mut out);
        self.links(&rows, &mut out);
        for row in &rows {
            self.row(row, &mut out);
        }
        self.rows = rows;
        out
    }

    /// ` x="12%"` and what tells a script where it is in another scale.
    pub(super) fn x(&mut self, xs: Xs) -> String {
        let x = percent(xs[self.scale]);
        match xs[0] == xs[1] && xs[1] == xs[2] {
            true => format!(" x=\"{x}\""),
            false => format!(" x=\"{x}\" data-x=\"{}\"", self.places.of(xs)),
        }
    }

    pub(super) fn x_and_width(&mut self, from: Xs, to: Xs) -> String {
        let width = percent(to[self.scale].saturating_sub(from[self.scale]));
        let (a, b) = (self.places.of(from), self.places.of(to));
        format!(" x=\"{}\" width=\"{width}\" data-x=\"{a}\" data-w=\"{b}\"", percent(from[self.scale]))
    }

    fn ground(&self, out: &mut String) {
        for slot in self.ruler.slots.iter().filter(|s| s.part.zone != Zone::Start) {
            let class = if slot.part.zone == Zone::Stop { "" } else { " class=\"zone\"" };
            if !class.is_empty() {
                let (x, w) = (percent(slot.left), percent(slot.right - slot.left));
                let _ =
                    write!(out, "<rect{class} x=\"{x}\" y=\"0\" width=\"{w}\" height=\"{}\"/>", self.height);
            }
        }
    }

    fn head(&mut self, out: &mut String) {
        for (k, slot) in self.ruler.slots.iter().enumerate() {
            let _ = write!(
                out,
                "<text class=\"part\" x=\"{}\" y=\"15\">{}",
                percent(slot.left),
                slot.part.zone.title()
            );
            if k == 0 {
                for (n, (_, name)) in Scale::ALL.iter().enumerate() {
                    let _ = write!(out, "<tspan class=\"only {name}\"> · {}</tspan>", self.ruler.heading(n));
                }
            }
            out.push_str("</text>");
            if k > 0 {
                let took = duration(slot.part.took());
                let x = percent(slot.left);
                let _ = write!(out, "<text class=\"tick\" x=\"{x}\" y=\"38\">{took}</text>");
            }
        }
        let drawn: Vec<usize> = self
            .rows
            .iter()
            .filter_map(|r| if let Kind::Phase(i) = r.kind { Some(i) } else { None })
            .collect();
        for (n, (_, name)) in Scale::ALL.iter().enumerate() {
            let _ = write!(out, "<g class=\"only {name}\">");
            for tick in ticks::ticks(self.timeline, &self.ruler, &drawn, n) {
                let wide = if tick.wide { " wide" } else { "" };
                let x = percent(tick.x);
                let anchor = if tick.x == 0 { "" } else { " mid" };
                let _ = write!(
                    out,
                    "<line class=\"grid{wide}\" x1=\"{x}\" x2=\"{x}\" y1=\"42\" y2=\"{}\"/>\
                     <text class=\"tick{anchor}{wide}\" x=\"{x}\" y=\"38\">{}</text>",
                    self.height - 8,
                    tick.text
                );
            }
            out.push_str("</g>");
        }
        let Some(slot) = self.ruler.slots.first() else { return };
        let (end, x) = (slot.part.to, percent(slot.right));
        let ready = self.timeline.ready_ns.is_some();
        let class = if ready { "tick good" } else { "tick" };
        let said = ticks::label(end, end, ready);
        let _ = write!(out, "<text class=\"{class} end\" x=\"{x}\" y=\"38\">{said}</text>");
    }

    fn draw_lanes(&mut self, out: &mut String) {
        let mut y = HEAD;
        let lanes = std::mem::take(&mut self.lanes);
        for lane in &lanes {
            for row in &lane.rows {
                let last = self.ruler.end();
                for (k, s) in row.iter().enumerate().take_while(|(k, s)| *k == 0 || s.from < last) {
                    let (from, mut to) = (self.ruler.at(s.from), self.ruler.until(s.to));
                    if s.to >= last {
                        to = [WIDTH; 3];
                    }
                    // where it ends with a part, the space between the parts is its own too
                    if let Some(next) = row.get(k + 1).filter(|next| next.from == s.to) {
                        let next = self.ruler.at(next.from);
                        to = std::array::from_fn(|n| next[n].max(to[n]));
                    }
                    let class = match s.who {
                        Some(who) => format!("lane w-{}", who.class()),
                        None if k % 2 == 1 => "lane odd".to_owned(),
                        None => "lane".to_owned(),
                    };
                    let room = |text: &str| ((pixels(text, 11.0) + 8.0) / WIDE * f64::from(WIDTH)) as u32;
                    let (least, enough) = (room(&s.short), room(&s.text));
                    let fits = match to[self.scale].saturating_sub(from[self.scale]) {
                        w if w < least => " tiny",
                        w if w < enough => " cut",
                        _ => "",
                    };
                    let (class, text, short) = (format!("{class}{fits}"), escape(&s.text), escape(&s.short));
                    let place = self.x_and_width(from, to);
                    let when = format!("{} – {}", duration(s.from), duration(s.to));
                    let _ = write!(
                        out,
                        "<svg class=\"{class}\"{place} data-n=\"{least} {enough}\" y=\"{y}\" height=\"{}\"><title>{}: {text}, {when}</title>\
                         <rect width=\"100%\" height=\"100%\"/><text class=\"long\" x=\"6\" y=\"13\">{text}</text>\
                         <text class=\"short\" x=\"4\" y=\"13\">{short}</text></svg>",
                        LANE - 3,
                        lane.title
                    );
                }
                y += LANE;
            }
        }
        self.lanes = lanes;
    }

    fn ready(&mut self, out: &mut String) {
        let Some(slot) = self.ruler.slots.first().filter(|_| self.timeline.ready_ns.is_some()) else {
            return;
        };
        let x = percent(slot.right);
        let _ = write!(
            out,
            "<line class=\"ready\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>\
             <svg x=\"{x}\" y=\"42\" class=\"over\"><path class=\"ready-head\" d=\"M-4,0h8l-4,5z\"/></svg>",
            self.top - BELOW_LANES,
            self.height - 8
        );
    }

    /// What lies under the lines: the ground of a row.
    fn under(&self, row: &Row, out: &mut String) {
        let (class, data) = match &row.kind {
            Kind::Phase(i) => {
                let tone = self.timeline.spans.get(*i).map(|s| state(s, self.timeline.outcome).2);
                let bad = if tone == Some("bad") { " bad" } else { "" };
                (format!("row{bad}"), format!(" data-i=\"{i}\""))
            }
            Kind::Undo(i) => {
                let span = self.timeline.spans.get(*i);
                let stuck = span.is_some_and(|s| s.undo.iter().any(|(_, e)| e.is_some()));
                let bad = if stuck { " bad" } else { "" };
                (format!("row{bad}"), format!(" data-i=\"{i}\""))
            }
            Kind::Group { .. } | Kind::Undone(_) => {
                let _ = write!(
                    out,
                    "<line class=\"rule\" x1=\"0\" x2=\"100%\" y1=\"{0}.5\" y2=\"{0}.5\"/>",
                    row.y
                );
                return;
            }
            _ => return,
        };
        let _ = write!(
            out,
            "<rect class=\"{class}\"{data} y=\"{}\" width=\"100%\" height=\"{}\"/>",
            row.y, row.height
        );
    }

    fn row(&mut self, row: &Row, out: &mut String) {
        match &row.kind {
            Kind::Phase(i) => {
                let Some(span) = self.timeline.spans.get(*i) else { return };
                match span.start_ns {
                    Some(start) => self.ran(*i, span, start, row.y, out),
                    None => {
                        let why = self.idle(span);
                        let _ = write!(
                            out,
                            "<text class=\"said idle\" x=\"6\" y=\"{}\">{}</text>",
                            row.y + 17,
                            escape(&why)
                        );
                    }
                }
            }
            Kind::Undo(i) => {
                let Some(span) = self.timeline.spans.get(*i) else { return };
                self.undo(*i, span, row.y, out);
            }
            Kind::Crossing(i) => {
                let Some(span) = self.timeline.spans.get(*i) else { return };
                self.crossing(span, row, out);
            }
            Kind::Fold(fold) => {
                let Some((from, to)) = fold.extent else { return };
                let (from, to) = (self.ruler.at(from), self.ruler.until(to));
                let place = self.x_and_width(from, to);
                let _ =
                    write!(out, "<rect class=\"fold\"{place} y=\"{}\" height=\"5\" rx=\"2\"/>", row.y + 10);
            }
            Kind::Group { .. } | Kind::Undone(_) => {}
        }
    }

    fn crossing(&mut self, span: &Span, row: &Row, out: &mut String) {
        let (Some(before), Some(after)) = (&span.identity_before, &span.identity_after) else { return };
        let who = self.people.who(Some(after)).class();
        let mut parts = Vec::new();
        for (name, a, b) in [("uid", before.uid, after.uid), ("gid", before.gid, after.gid)] {
            if a != b {
                parts.push(format!("{name} {} → {}", ids(a), ids(b)));
            }
        }
        if before.caps != after.caps {
            let now =
                if after.caps.len() > 2 { after.caps.len().to_string() } else { capabilities(after.caps) };
            let now = if after.caps.is_empty() { "0".into() } else { now };
            parts.push(format!("capabilities {} → {now}", before.caps.len()));
        }
        let y = row.y + row.height - 1;
        let _ = write!(
            out,
            "<line class=\"cross c-{who}\" x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>\
             <text class=\"said cross\" x=\"6\" y=\"{}\">{}</text>",
            y - 7,
            parts.join(" · ")
        );
    }
}
