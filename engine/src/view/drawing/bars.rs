//! The bars of phases and of what was undone, with their words; and words where there is no bar.

use super::ink::{escape, pixels};
use super::rows::PHASE;
use super::ruler::{Bars, WIDTH};
use super::{Drawing, percent};
use crate::state::Phase;
use crate::text::{duration, errno_name};
use crate::timeline::{Outcome, Span};
use crate::view::fold::failed;
use crate::view::zones::Zone;
use std::fmt::Write;

/// A drawing must be legible in a plot of this many pixels.
const NARROW: f64 = 430.0;

impl Drawing<'_> {
    pub(super) fn ran(&mut self, i: usize, span: &Span, start: u64, y: u32, out: &mut String) {
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
    pub(super) fn idle(&self, span: &Span) -> String {
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

    pub(super) fn undo(&mut self, i: usize, span: &Span, y: u32, out: &mut String) {
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
