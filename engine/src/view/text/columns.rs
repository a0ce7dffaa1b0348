//! Where the columns of the table lie.

use super::fold::Folds;
use super::line::{plain, width};
use super::{Columns, TextStyle};
use crate::state::Phase;
use crate::text::duration;
use crate::timeline::{Outcome, Span, Timeline};

impl Columns {
    pub(super) fn new(timeline: &Timeline, style: &TextStyle, folds: &Folds) -> Columns {
        let shown = timeline.spans.iter().enumerate().filter(|(i, _)| !folds.hides(*i)).map(|(_, s)| s);
        let (mut name, mut took) = (14, 7);
        for span in shown {
            let detail = if span.phase.detail.is_empty() { 0 } else { width(&span.phase.detail) + 1 };
            name = name.max(width(&plain(&span.phase.name, style)) + detail);
            took = took.max(width(&plain(&took_label(timeline, span), style)));
        }
        for fold in folds.rows.values() {
            name = name.max(width(&plain(&fold.label(), style)));
        }
        let name = 4 + name.min((style.width - 16) * 2 / 5);
        let took = name + if style.width < 70 { 1 } else { 2 } + took;
        let bar = took + 4;
        let tail = match timeline.ready_ns {
            Some(ready) if timeline.spans.iter().any(|s| s.start_ns >= Some(ready)) => 4,
            Some(_) => 1,
            None => 0,
        };
        let narrow = style.width < 70;
        let cells = style.width.saturating_sub(bar + if narrow { 0 } else { tail });
        Columns { name, took, bar, cells, narrow }
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
