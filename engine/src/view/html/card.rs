//! A card for each phase that has a row: everything about it. Which one is seen is the fragment's
//! matter, so that it works without a script.

use crate::effect::Identity;
use crate::text::{duration, errno_name};
use crate::timeline::Span;
use crate::view::drawing::Drawing;
use crate::view::drawing::ink::{capabilities, clip, escape, ids, user};
use crate::view::drawing::label::state;
use crate::view::drawing::rows::Kind;
use crate::view::fold::failed;
use std::fmt::Write;

/// All cards; the one that matters most is seen first.
pub(super) fn cards(out: &mut String, drawing: &Drawing) {
    let spans = &drawing.timeline.spans;
    let shown: Vec<usize> = drawing
        .rows
        .iter()
        .filter_map(|r| if let Kind::Phase(i) = r.kind { Some(i) } else { None })
        .collect();
    let is = |test: &dyn Fn(&Span) -> bool| shown.iter().copied().find(|i| spans.get(*i).is_some_and(test));
    let first = is(&|s: &Span| s.undo.iter().any(|(_, e)| e.is_some()) || failed(s))
        .or_else(|| is(&|s: &Span| s.end_ns.is_none() && s.start_ns.is_some() && !s.phase.serves))
        .or_else(|| {
            let most = drawing.path.iter().max_by(|a, b| a.share.total_cmp(&b.share));
            most.map(|l| l.span)
        })
        .or(shown.first().copied());
    out.push_str("<section class=\"cards\" aria-live=\"polite\" aria-label=\"Selected phase\">\n");
    for i in shown {
        if let Some(span) = spans.get(i) {
            card(out, drawing, i, span, first == Some(i));
        }
    }
    out.push_str("</section>\n");
}

fn card(out: &mut String, drawing: &Drawing, i: usize, span: &Span, first: bool) {
    let (sign, said, tone) = match state(span, drawing.timeline.outcome) {
        _ if !failed(span) && span.undo.iter().any(|(_, e)| e.is_some()) => {
            ("!", "done, but its undo failed", "bad")
        }
        (sign, "done", tone) if span.undone_ns.is_some() => (sign, "done, then undone", tone),
        as_it_is => as_it_is,
    };
    let bad = tone == "bad" || span.undo.iter().any(|(_, e)| e.is_some());
    let plain =
        span.error.is_none() && span.skipped.is_none() && span.undo.is_empty() && span.notes.is_empty();
    let class: String = [(bad, "bad "), (plain, "plain "), (first, "first")]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, c)| *c)
        .collect();
    let name = escape(clip(&span.phase.name));
    let errno = span.error.as_ref().and_then(|e| e.errno);
    let code = errno.map(|n| errno_name(n).map_or(format!("errno {n}"), str::to_owned));
    let head = code.map_or(String::new(), |c| format!(" · {c}"));
    let _ = write!(
        out,
        "<article id=\"c{i}\" class=\"{class}\" tabindex=\"-1\">\n<div class=\"what\"><h2><span class=\"mark {tone}\">{sign}</span> \
         {name} <span class=\"state\">{said}{head}</span></h2>\n"
    );
    let mut paragraph = |class: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "<p class=\"{class}\">{}</p>", escape(clip(text)));
        }
    };
    if let Some(error) = &span.error {
        paragraph("message", &error.message);
        error.why_lines().for_each(|line| paragraph("why", line));
        paragraph("fix", error.help.as_deref().unwrap_or_default());
    }
    if let Some(why) = &span.skipped {
        paragraph("", why);
    }
    for (what, error) in span.undo.iter().take(20) {
        match error {
            None => paragraph("", &format!("Undone: {what}")),
            Some(e) => {
                paragraph("message", &format!("Could not {what}: {}", e.message));
                e.why_lines().for_each(|line| paragraph("why", line));
                paragraph("fix", e.help.as_deref().unwrap_or_default());
            }
        }
    }
    for note in span.notes.iter().take(20) {
        paragraph("", note);
    }
    out.push_str("</div>\n<dl>");
    facts(out, drawing, span, i);
    out.push_str("</dl>\n</article>\n");
}

fn facts(out: &mut String, drawing: &Drawing, span: &Span, i: usize) {
    let mut fact = |name: &str, html: &str| {
        let _ = write!(out, "<dt>{name}</dt><dd>{html}</dd>");
    };
    if let Some(start) = span.start_ns {
        let took = span.took().map_or("has not ended".to_owned(), duration);
        let share =
            drawing.share(i).map_or(String::new(), |s| format!(" · {:.0}% of the critical path", s * 100.0));
        fact("took", &format!("<b>{took}</b>, from +{}{share}", duration(start)));
    }
    fact("kind", &escape(clip(&span.phase.kind)));
    let process = |pid: u32| escape(&drawing.process(pid));
    match (span.pid_start, span.pid_end) {
        (Some(a), Some(b)) if a != b => fact("process", &format!("{} → {}", process(a), process(b))),
        (Some(a), _) => fact("process", &process(a)),
        _ => {}
    }
    let (before, after) = (span.identity_before.as_deref(), span.identity_after.as_deref());
    if let Some(before) = before {
        let after = after.unwrap_or(before);
        let all = [
            ("identity", &(|i: &Identity| who(drawing, i)) as &dyn Fn(&Identity) -> String),
            ("place", &|i: &Identity| {
                let (root, cwd) = (i.root.to_string_lossy(), i.cwd.to_string_lossy());
                format!("root <code>{}</code> · cwd <code>{}</code>", escape(clip(&root)), escape(clip(&cwd)))
            }),
            ("umask", &|i: &Identity| format!("<code>{:03o}</code>", i.umask)),
        ];
        for (name, say) in all {
            let (a, b) = (say(before), say(after));
            let html = if a == b { a } else { format!("{a} <span class=\"to\">→</span> {b}") };
            fact(name, &html);
        }
    }
    if !span.phase.needs.is_empty() {
        let needs: Vec<&str> = span.phase.needs.iter().take(12).map(String::as_str).collect();
        let more = span.phase.needs.len().saturating_sub(needs.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        fact("needs", &format!("{}{more}", escape(&needs.join(", "))));
    }
}

fn who(drawing: &Drawing, identity: &Identity) -> String {
    format!(
        "<b class=\"t-{}\">{}</b> · gid {} · {}",
        drawing.people.who(Some(identity)).class(),
        user(identity),
        ids(identity.gid),
        capabilities(identity.caps)
    )
}
