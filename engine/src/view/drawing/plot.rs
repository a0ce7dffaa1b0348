//! The right part of a drawing: everything that lies in time.

use super::ink::{Who, capabilities, escape, ids, pixels};
use super::label::state;
use super::rows::{Kind, PHASE, Row};
use super::ruler::{Bars, WIDTH, Xs};
use super::{BELOW_LANES, Drawing, HEAD, LANE, QUIET, percent, ticks};
use crate::state::Phase;
use crate::text::{duration, errno_name};
use crate::timeline::{Outcome, Span};
use crate::view::axis::Scale;
use crate::view::fold::failed;
use crate::view::zones::Zone;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// A drawing must be legible in a plot of this many pixels.
const NARROW: f64 = 430.0;
/// And is usually about this wide.
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
    fn x(&mut self, xs: Xs) -> String {
        let x = percent(xs[self.scale]);
        match xs[0] == xs[1] && xs[1] == xs[2] {
            true => format!(" x=\"{x}\""),
            false => format!(" x=\"{x}\" data-x=\"{}\"", self.places.of(xs)),
        }
    }

    fn x_and_width(&mut self, from: Xs, to: Xs) -> String {
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

    fn ran(&mut self, i: usize, span: &Span, start: u64, y: u32, out: &mut String) {
        let (slot, end) = (self.ruler.slot_of(i), span.end_ns.unwrap_or(self.timeline.end_ns).max(start));
        let bars = self.ruler.bar(slot, start, end);
        let zone = self.ruler.slots.get(slot).map(|s| s.part.zone);
        let before = self.people.who(span.identity_before.as_deref());
        let after = self.people.who(span.identity_after.as_deref().or(span.identity_before.as_deref()));
        let open = span.end_ns.is_none();
        let (mut class, fill) = match failed(span) {
            true => ("bar bad".to_owned(), None),
            false if before != after => {
                ("bar fade".to_owned(), Some(format!("{}-{}", before.class(), after.class())))
            }
            false => (format!("bar w-{}", after.class()), None),
        };
        if zone == Some(Zone::Run) {
            class.push_str(" serves");
        }
        if open {
            class.push_str(" open");
        }
        let mut said = match span.took() {
            Some(took) => duration(took),
            None if end == start => self.still().to_owned(),
            None => format!("{}, {}", duration(end - start), self.still()),
        };
        if let Some(share) = self.share(i) {
            let _ = write!(said, " · {}", share_text(share));
        }
        if let Some(error) = span.error.as_ref().filter(|_| failed(span)) {
            let short = error.errno.and_then(errno_name).unwrap_or("failed");
            let _ = write!(said, " · {short}");
        }
        self.bar(Some(i), &class, fill.as_deref(), &bars, &said, failed(span), (y, 0), out);
        if zone == Some(Zone::Run) {
            let middle = std::array::from_fn(|k| (bars[k].from + bars[k].to) / 2);
            let x = self.x(middle);
            let _ = write!(
                out,
                "<svg class=\"over\"{x} y=\"{}\"><path class=\"torn\" d=\"M-5,-2l6,6-4,5 6,6-4,6\"/>\
                 <path class=\"torn-edge\" d=\"M-8,-2l6,6-4,5 6,6-4,6M-2,-2l6,6-4,5 6,6-4,6\"/></svg>",
                y + 4
            );
        }
    }

    fn still(&self) -> &'static str {
        match self.timeline.outcome {
            Outcome::Running => "running",
            Outcome::Vanished => "never ended",
            _ => "no end recorded",
        }
    }

    /// Why a phase did not run.
    fn idle(&self, span: &Span) -> String {
        if let Some(why) = &span.skipped {
            return if why.is_empty() { "skipped".into() } else { format!("skipped: {why}") };
        }
        if self.timeline.outcome == Outcome::Running {
            return "not yet".into();
        }
        let missing = span.phase.needs.iter().take(100).find(|need| {
            let needed = self.timeline.spans.iter().find(|s| s.phase.name == **need);
            needed.is_some_and(|s| failed(s) || s.state == Phase::Pending)
        });
        missing.map_or("did not run".into(), |need| format!("did not run: it needs {need}"))
    }

    fn undo(&mut self, i: usize, span: &Span, y: u32, out: &mut String) {
        let Some(start) = span.undo_ns else { return };
        let slot = self.ruler.slots.iter().rposition(|s| s.part.from <= start).unwrap_or(0);
        let end = span.undone_ns.unwrap_or(start).max(start);
        let bars = self.ruler.bar(slot, start, end);
        let fault = span.undo.iter().find_map(|(_, e)| e.as_ref());
        let mut said: Vec<String> = Vec::new();
        if let Some(error) = fault {
            said.push(error.errno.and_then(errno_name).unwrap_or("stuck").to_owned());
        } else if end > start {
            said.push(duration(end - start));
        }
        let more = span.undo.len().saturating_sub(1);
        said.extend(
            span.undo.iter().find(|(_, e)| fault.is_none() || e.is_some()).map(|(what, _)| what.clone()),
        );
        if more > 0 {
            said.push(format!("{more} more"));
        }
        let class = if fault.is_some() { "bar bad" } else { "bar undo" };
        self.bar(Some(i), class, None, &bars, &said.join(" · "), fault.is_some(), (y, 3), out);
    }

    /// A bar, and its words where there is room for them.
    #[allow(clippy::too_many_arguments)]
    fn bar(
        &mut self,
        i: Option<usize>,
        class: &str,
        fill: Option<&str>,
        bars: &Bars,
        said: &str,
        bad: bool,
        (y, inset): (u32, u32),
        out: &mut String,
    ) {
        let (from, to) = (bars.map(|b| b.from), bars.map(|b| b.to));
        let wide = pixels(said, 12.0);
        let border = self.ruler.slots.first().map_or(WIDTH, |s| s.right);
        let sides = bars.map(|b| side(b.from, b.to, wide, border));
        let kinds: String =
            bars.iter().zip(sides).flat_map(|(b, s)| [s, if b.widened { 'p' } else { '-' }]).collect();
        let pale = if bars[self.scale].widened { " pale" } else { "" };
        let place = self.x_and_width(from, to);
        let fill = fill.map_or(String::new(), |f| format!(" fill=\"url(#{f})\""));
        let data = i.map_or(String::new(), |i| format!(" data-i=\"{i}\""));
        let (top, height) = (y + 5 + inset, PHASE - 10 - 2 * inset);
        let _ = write!(
            out,
            "<g class=\"phase\"{data} data-k=\"{kinds}\"><rect class=\"{class}{pale}\"{fill}{place} y=\"{top}\" \
             height=\"{height}\" rx=\"2\"/>"
        );
        let side = sides[self.scale];
        let (anchor, dx) = match side {
            'r' => (to, 6),
            'l' => (from, -6),
            _ => (to, -7),
        };
        let bad = if bad { " bad" } else { "" };
        let (a, b) = (self.places.of(from), self.places.of(to));
        let _ = write!(
            out,
            "<text class=\"said {side}{bad}\" x=\"{}\" dx=\"{dx}\" y=\"{}\" data-a=\"{a}\" data-b=\"{b}\">{}</text></g>",
            percent(anchor[self.scale]),
            y + 17,
            escape(said)
        );
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

    /// Lines from what ended to what could begin then.
    fn links(&mut self, rows: &[Row], out: &mut String) {
        let mut of: HashMap<usize, (u32, Bars)> = HashMap::new();
        for row in rows {
            let Kind::Phase(i) = row.kind else { continue };
            let Some((span, start)) = self.timeline.spans.get(i).and_then(|s| Some((s, s.start_ns?))) else {
                continue;
            };
            let end = span.end_ns.unwrap_or(self.timeline.end_ns).max(start);
            of.insert(i, (row.y, self.ruler.bar(self.ruler.slot_of(i), start, end)));
        }
        let quiet = of.len() > QUIET;
        // folded phases are passed over: the line goes on at the next that is drawn
        let critical: Vec<usize> = self.path.iter().map(|l| l.span).filter(|i| of.contains_key(i)).collect();
        let chained: Vec<(usize, usize)> =
            critical.windows(2).filter_map(|w| Some((*w.first()?, *w.get(1)?))).collect();
        let critical: HashSet<(usize, usize)> = chained.iter().copied().collect();
        let mut needs: Vec<(usize, usize)> = Vec::new();
        let names: HashMap<&str, usize> =
            of.keys().filter_map(|i| Some((self.timeline.spans.get(*i)?.phase.name.as_str(), *i))).collect();
        let mut drawn: Vec<usize> = of.keys().copied().collect();
        drawn.sort_unstable();
        for to in drawn {
            for need in self.timeline.spans.get(to).into_iter().flat_map(|s| &s.phase.needs) {
                if let Some(from) = names.get(need.as_str()).filter(|from| !critical.contains(&(**from, to)))
                {
                    needs.push((*from, to));
                }
            }
        }
        let _ = write!(out, "<g class=\"needs{}\">", if quiet { " quiet" } else { "" });
        for (from, to) in needs.into_iter().take(5_000) {
            self.elbow(&of, from, to, out);
        }
        out.push_str("</g><g class=\"critical\">");
        for (from, to) in chained {
            self.elbow(&of, from, to, out);
        }
        out.push_str("</g>");
    }

    fn elbow(&mut self, of: &HashMap<usize, (u32, Bars)>, from: usize, to: usize, out: &mut String) {
        let (Some((y1, a)), Some((y2, b))) = (of.get(&from), of.get(&to)) else { return };
        let down = y2 > y1;
        // from the edge of one bar to the edge of the other, along the border of the first row
        let (begin, turn, end) =
            if down { (y1 + PHASE - 5, y1 + PHASE, y2 + 5) } else { (y1 + 5, *y1, y2 + PHASE - 5) };
        let (x1, x2): (Xs, Xs) = (a.map(|b| b.to), b.map(|b| b.from));
        let (here, there) = (self.x(x1), self.x(x2));
        let (n1, n2) = (self.places.of(x1), self.places.of(x2));
        let turn_to = i64::from(turn) - i64::from(begin);
        let rest = i64::from(end) - i64::from(turn);
        let _ = write!(
            out,
            "<g data-from=\"{from}\" data-to=\"{to}\"><svg class=\"over\"{here} y=\"{begin}\"><path d=\"M-3,0v{turn_to}h3\"/></svg>\
             <line x1=\"{}\" x2=\"{}\" y1=\"{turn}\" y2=\"{turn}\" data-x1=\"{n1}\" data-x2=\"{n2}\"/>\
             <svg class=\"over\"{there} y=\"{turn}\"><path d=\"M0,0h3v{rest}\"/></svg></g>",
            percent(x1[self.scale]),
            percent(x2[self.scale]),
        );
    }
}

/// On which side of its bar a text has room: `i`nside, `r`ight or `l`eft.
fn side(from: u32, to: u32, text: f64, border: u32) -> char {
    let at = |units: u32, width: f64| f64::from(units) / f64::from(WIDTH) * width;
    if at(to - from, NARROW) >= text + 14.0 {
        return 'i';
    }
    // it should not lie on the line between two parts, and must not leave the drawing
    let crosses = to <= border && at(border - to, 620.0) < text + 8.0 && border < WIDTH;
    let fits = at(WIDTH - to, NARROW) >= text + 8.0;
    let room_left = at(from, NARROW) >= text + 8.0;
    match (crosses || !fits, room_left) {
        (true, true) => 'l',
        _ => 'r',
    }
}

/// "91%".
fn share_text(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}
