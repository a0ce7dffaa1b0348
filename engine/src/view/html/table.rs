//! The same data as a table: what a program reads in `--format json`, a person reads here.

use crate::text::duration;
use crate::timeline::Span;
use crate::view::drawing::Drawing;
use crate::view::drawing::ink::{clip, escape, identity, place};
use crate::view::drawing::rows::Kind;
use std::fmt::Write;

/// The table, folded away.
pub(super) fn table(out: &mut String, drawing: &Drawing) {
    out.push_str(
        "<details class=\"data\">\n<summary>The same as a table</summary>\n<div class=\"wide\"><table>\n\
         <caption class=\"unseen\">Every phase with its times, process and identity</caption>\n<thead><tr>",
    );
    for head in [
        "phase",
        "groups",
        "kind",
        "state",
        "began",
        "ended",
        "took",
        "process",
        "before",
        "after",
        "what happened",
    ] {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &drawing.rows {
        match &row.kind {
            Kind::Phase(i) => {
                if let Some(span) = drawing.timeline.spans.get(*i) {
                    line(out, *i, span);
                }
            }
            Kind::Fold(fold) => {
                let _ = writeln!(
                    out,
                    "<tr class=\"folded\"><th scope=\"row\">{}</th><td colspan=\"5\"></td><td>{}</td><td colspan=\"4\">{}</td></tr>",
                    escape(clip(&fold.label())),
                    duration(fold.took),
                    fold.about()
                );
            }
            _ => {}
        }
    }
    out.push_str("</tbody>\n</table></div>\n</details>\n");
}

fn line(out: &mut String, i: usize, span: &Span) {
    let state = serde_json::to_value(span.state).ok();
    let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or_default();
    let time = |ns: Option<u64>| {
        ns.map_or(String::new(), |ns| format!("<data value=\"{ns}\">{}</data>", duration(ns)))
    };
    let process = match (span.pid_start, span.pid_end) {
        (Some(a), Some(b)) if a != b => format!("{a} → {b}"),
        (Some(a), _) => a.to_string(),
        _ => String::new(),
    };
    let who = |i: &Option<std::sync::Arc<crate::effect::Identity>>| {
        i.as_ref()
            .map_or(String::new(), |i| escape(&format!("{} · {} · {:03o}", identity(i), place(i), i.umask)))
    };
    let mut said: Vec<String> = Vec::new();
    if let Some(e) = &span.error {
        said.push(e.message.clone());
        said.extend(e.why_lines().map(str::to_owned));
        said.extend(e.help.clone());
    }
    said.extend(span.skipped.clone().filter(|why| !why.is_empty()));
    for (what, error) in &span.undo {
        said.push(match error {
            None => format!("undone: {what}"),
            Some(e) => format!("could not {what}: {}", e.message),
        });
    }
    said.extend(span.notes.iter().cloned());
    let said: Vec<String> = said.iter().map(|s| escape(clip(s))).collect();
    let _ = writeln!(
        out,
        "<tr data-i=\"{i}\"><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{state}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td>{process}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        escape(clip(&span.phase.name)),
        escape(clip(&span.phase.groups.join(" › "))),
        escape(clip(&span.phase.kind)),
        time(span.start_ns),
        time(span.end_ns),
        time(span.took()),
        who(&span.identity_before),
        who(&span.identity_after),
        said.join("<br>"),
    );
}
