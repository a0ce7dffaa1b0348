//! What took the time: own times, the longest first. With what is between phases they are the whole.

use super::frame::Frame;
use super::line::{BAD_BOLD, BOLD, DIM, GOOD_BOLD, PLAIN, Paint, width};
use super::{Page, percent};
use crate::text::duration;
use crate::timeline::{Outcome, own};
use crate::view::fold::failed;

/// Where times end, shares end, names begin.
const OWN: usize = 12;
const SHARE: usize = 19;
const NAME: usize = 21;
const EIGHTHS: [&str; 8] = ["▏", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Page<'_> {
    /// The table of own times in START-UP.
    pub(super) fn blame(&self, out: &mut String) {
        let own = own(self.timeline, self.zone);
        let whole = self.zone.max(1) as f64;
        let mut order: Vec<usize> = (0..own.own_ns.len()).filter(|i| own.own_ns[*i] > 0).collect();
        order.sort_unstable_by_key(|i| (std::cmp::Reverse(own.own_ns[*i]), *i));
        let shown = order.len().min(self.style.rows.max(1));
        let (shown, rest) = order.split_at(shown);

        let label = |i: usize| {
            let span = &self.timeline.spans[i];
            let mark = if failed(span) { "✗ " } else { "" };
            let took =
                span.end_ns.unwrap_or(self.zone).min(self.zone) - span.start_ns.unwrap_or(0).min(self.zone);
            let of = match own.own_ns[i].abs_diff(took) > took / 100 {
                true => format!("of {}", duration(took)),
                false => span.phase.detail.clone(),
            };
            (format!("{mark}{}", span.phase.name), of)
        };
        let mut room = 18;
        for i in shown {
            let (name, of) = label(*i);
            room = room.max(width(&name) + if of.is_empty() { 0 } else { 1 + width(&of) });
        }
        let bar = NAME + room.min((self.style.width - NAME) / 2) + 2;
        let bar = bar.min(self.style.width);
        let most = shown.first().map_or(1, |i| own.own_ns[*i]).max(1);

        let mut head = self.line();
        head.right(DIM, "own time", OWN).right(DIM, "share", SHARE).to(NAME).put(DIM, "phase").finish(out);
        for i in shown {
            let (span, ns) = (&self.timeline.spans[*i], own.own_ns[*i]);
            let frame = Frame::of(span.identity_before.as_deref());
            let (name, of) = label(*i);
            let paint = if failed(span) { BAD_BOLD } else { PLAIN };
            let mut line = self.line();
            line.put(frame.paint(), frame.side());
            line.right(weight(ns, whole), &duration(ns), OWN).right(DIM, &share(ns, whole), SHARE);
            line.to(NAME).put_in(paint, &name, bar - 2 - NAME);
            if !of.is_empty() && line.width() + 4 < bar {
                line.put(PLAIN, " ");
                let room = bar - 2 - line.width();
                line.put_detail(DIM, &of, room);
            }
            let cells = u128::from(self.style.width.saturating_sub(bar) as u64) * 8;
            let eighths = usize::try_from(u128::from(ns) * cells / u128::from(most)).unwrap_or(0);
            line.to(bar).put(frame.paint(), &"█".repeat(eighths / 8));
            if eighths % 8 > 0 || eighths == 0 {
                line.put(frame.paint(), EIGHTHS[eighths % 8]);
            }
            line.finish(out);
        }
        let row = |sign: &str, paint: Paint, ns: u64, said: &str, out: &mut String| {
            let mut line = self.line();
            line.put(paint, sign).right(paint, &duration(ns), OWN).right(
                paint,
                &percent(ns as f64 / whole),
                SHARE,
            );
            line.to(NAME).put(paint, said).finish(out);
        };
        if !rest.is_empty() {
            let ns = rest.iter().map(|i| own.own_ns[*i]).sum();
            row(
                "…",
                DIM,
                ns,
                &format!("{} (--all shows them)", crate::text::count(rest.len(), "more phase")),
                out,
            );
        }
        if own.gap_ns > 0 {
            row("·", DIM, own.gap_ns, "between phases, when none ran", out);
        }
        let (paint, whole) = match (self.timeline.ready_ns, self.timeline.outcome) {
            (Some(_), _) => (GOOD_BOLD, "together: the time to ready"),
            (None, Outcome::Running) => (BOLD, "together: the start so far"),
            (None, Outcome::Vanished) => (BOLD, "together: until the process vanished"),
            (None, _) => (BOLD, "together: until the start was given up"),
        };
        row("=", paint, self.zone, whole, out);
    }
}

/// Nothing where it would be nought.
fn share(ns: u64, whole: f64) -> String {
    let share = ns as f64 / whole;
    if share < 0.0005 { String::new() } else { percent(share) }
}

fn weight(ns: u64, whole: f64) -> Paint {
    if ns as f64 / whole >= super::CRITICAL { BOLD } else { PLAIN }
}
