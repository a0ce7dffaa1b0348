//! The name column of a drawing, as data for whoever prints it.

use super::Drawing;
use super::ink::{Who, user};
use super::rows::{Kind, Row};
use crate::state::Phase;
use crate::timeline::{Outcome, Span};
use crate::view::fold::failed;

/// What stands left of a row.
pub(in crate::view) enum Label {
    /// a head, with a sum if it has one
    Group { path: String, took: u64 },
    /// a row that says one thing
    Row {
        /// the span, where it is one
        span: Option<usize>,
        sign: &'static str,
        /// the sign in words
        state: &'static str,
        who: Option<Who>,
        name: String,
        detail: String,
        /// "good", "bad", "quiet", "strong" or nothing
        tone: &'static str,
    },
}

/// Sign, word and tone of a phase.
pub(in crate::view) fn state(span: &Span, outcome: Outcome) -> (&'static str, &'static str, &'static str) {
    match span.state {
        _ if failed(span) => ("✗", "failed", "bad"),
        Phase::Running | Phase::Undoing if outcome == Outcome::Running => ("▸", "running", "strong"),
        Phase::Running | Phase::Undoing => ("!", "never ended", "bad"),
        Phase::Pending => ("·", "did not run", "quiet"),
        Phase::Skipped => ("·", "skipped", "quiet"),
        _ => ("✓", "done", "good"),
    }
}

impl Drawing<'_> {
    /// What stands left of that row.
    pub(in crate::view) fn label(&self, row: &Row) -> Label {
        let plain = |span, sign, state, name: String, tone| Label::Row {
            span,
            sign,
            state,
            who: None,
            name,
            detail: String::new(),
            tone,
        };
        match &row.kind {
            Kind::Group { path, took } => Label::Group { path: path.clone(), took: *took },
            Kind::Undone(by) => {
                let who = by.and_then(|pid| self.timeline.role(pid)).map(|r| format!("the {}", r.name()));
                let who = who.or(by.map(|pid| format!("process {pid}")));
                let by = who.map_or(String::new(), |w| format!(" by {w}"));
                Label::Group { path: format!("undone{by}, newest first"), took: 0 }
            }
            Kind::Fold(fold) => {
                let about = format!("{} · {}", crate::text::duration(fold.took), fold.sparkline());
                let Label::Row { span, sign, state, who, name, tone, .. } =
                    plain(None, "…", "folded", fold.label(), "quiet")
                else {
                    return Label::Group { path: fold.label(), took: fold.took };
                };
                Label::Row { span, sign, state, who, name, detail: about, tone }
            }
            Kind::Crossing(i) => {
                let after = self.timeline.spans.get(*i).and_then(|s| s.identity_after.as_deref());
                let before = self.timeline.spans.get(*i).and_then(|s| s.identity_before.as_deref());
                let name = match (before, after) {
                    (Some(b), Some(a)) if b.uid[1] == 0 && a.uid.contains(&0) => {
                        format!("now {}, root not given up", user(a))
                    }
                    (Some(b), Some(a)) if b.uid[1] == 0 && !a.permitted.is_empty() => {
                        format!("now {}, capabilities kept", user(a))
                    }
                    (Some(b), Some(a)) if b.uid[1] == 0 => format!("privileges dropped: {}", user(a)),
                    (_, Some(a)) => format!("now {}", user(a)),
                    _ => "another identity".to_owned(),
                };
                Label::Row {
                    span: None,
                    sign: "▼",
                    state: "",
                    who: after.map(|a| self.people.who(Some(a))),
                    name,
                    detail: String::new(),
                    tone: "strong",
                }
            }
            Kind::Undo(i) => {
                let span = self.timeline.spans.get(*i);
                let stuck = span.is_some_and(|s| s.undo.iter().any(|(_, e)| e.is_some()));
                let name = span.map_or(String::new(), |s| s.phase.name.clone());
                match stuck {
                    true => plain(Some(*i), "!", "undo failed", name, "bad"),
                    false => plain(Some(*i), "↶", "undone", name, ""),
                }
            }
            Kind::Phase(i) => {
                let Some(span) = self.timeline.spans.get(*i) else {
                    return plain(None, "", "", String::new(), "");
                };
                let (sign, state, tone) = state(span, self.timeline.outcome);
                let who = span.identity_before.as_deref().or(span.identity_after.as_deref());
                Label::Row {
                    span: Some(*i),
                    sign,
                    state,
                    who: span.start_ns.map(|_| self.people.who(who)),
                    name: span.phase.name.clone(),
                    detail: span.phase.detail.clone(),
                    tone,
                }
            }
        }
    }
}
