//! Where the columns of the table lie.

use super::line::{plain, width};
use super::{Columns, TextStyle};
use crate::state::Phase;
use crate::text::duration;
use crate::timeline::{Outcome, Span, Timeline};
use crate::view::fold::Folds;
use crate::view::zones::{Zone, Zones};

impl Columns {
    pub(super) fn new(timeline: &Timeline, style: &TextStyle, folds: &Folds, zones: &Zones) -> Columns {
        let shown = timeline.spans.iter().enumerate().filter(|(i, _)| !folds.hides(*i)).map(|(_, s)| s);
        let (mut name, mut took) = (14, 7);
        for span in shown {
            let detail = if span.phase.detail.is_empty() { 0 } else { width(&span.phase.detail) + 1 };
            name = name.max(width(&plain(&span.phase.name, style)) + detail);
            took = took.max(width(&plain(&took_label(timeline, span), style)));
        }
        for (_, fold) in folds.rows() {
            name = name.max(width(&plain(&fold.label(), style)));
        }
        let name = 4 + name.min((style.width - 16) * 2 / 5);
        let took = name + if style.width < 70 { 1 } else { 2 } + took;
        let bar = took + 4;
        let narrow = style.width < 70;
        let part = |zone: Zone, short: usize, long: usize| match zones.part(zone) {
            None => 0,
            Some(_) if timeline.ready_ns.is_none() || narrow => 0,
            Some(_) if style.width < 100 => short,
            Some(part) => width(&format!("{} {}", zone.title(), duration(part.took()))).max(long),
        };
        let (run, stop) = (part(Zone::Run, 3, 6), part(Zone::Stop, 4, style.width / 8));
        let tail = match (timeline.ready_ns, narrow) {
            (None, _) | (_, true) => 0,
            _ => 1 + run + if stop > 0 { stop + 1 } else { 0 },
        };
        let cells = style.width.saturating_sub(bar + tail);
        Columns { name, took, bar, cells, run, stop, narrow }
    }
}

/// What stands in the column of durations.
pub(super) fn took_label(timeline: &Timeline, span: &Span) -> String {
    match (span.state, span.took()) {
        (Phase::Skipped, _) => "skipped".into(),
        (_, Some(took)) => duration(took),
        (_, None) if span.start_ns.is_some() && timeline.outcome == Outcome::Running => "running".into(),
        (_, None) if span.start_ns.is_some() => "no end".into(),
        _ if timeline.outcome == Outcome::Running => "to come".into(),
        _ => "not run".into(),
    }
}
