//! The timeline as a graph for Graphviz: who each phase ran as, what it waited for, what counted.
//!
//! Amber ran as root, violet without its uid but with capabilities, blue with neither; what changed
//! from one to another fades. Dashed never ran, red failed, thick is the critical path. Solid edges
//! are needs, dotted ones the order in which things happened.

use crate::effect::Identity;
use crate::state::Phase;
use crate::text::{clean, duration, errno_name};
use crate::timeline::{Span, Timeline, chain};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

const ROOT: &str = "#fcd9a8";
const KEPT: &str = "#e0c8f5";
const DROPPED: &str = "#bfd4fb";
const NOBODY: &str = "#f3f4f6";
const FAILED: &str = "#b91c1c";

/// The graph.
pub fn render(timeline: &Timeline) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = graph(timeline, &mut out);
    out
}

/// Inside of double quotes.
fn quoted(text: &str) -> String {
    clean(text).replace('\\', "\\\\").replace('"', "\\\"")
}

fn colour(identity: &Identity) -> &'static str {
    match identity {
        who if who.uid.contains(&0) => ROOT,
        who if !who.caps.is_empty() || !who.permitted.is_empty() => KEPT,
        _ => DROPPED,
    }
}

fn fill(span: &Span) -> String {
    let before = span.identity_before.as_deref().map(colour);
    match (before, span.identity_after.as_deref().map(colour)) {
        (Some(before), Some(after)) if before != after => format!("{before}:{after}"),
        (Some(before), _) => before.to_owned(),
        (None, _) => NOBODY.to_owned(),
    }
}

/// The second line of a node.
fn fate(span: &Span) -> String {
    let text = match (span.state, span.took()) {
        (Phase::Skipped, _) => match span.skipped.as_deref() {
            Some(why) if !why.is_empty() => format!("skipped: {why}"),
            _ => "skipped".to_owned(),
        },
        _ if span.start_ns.is_none() => "not run".to_owned(),
        (state, took) => {
            let took = took.map_or_else(|| "not ended".to_owned(), duration);
            let errno = span.error.as_ref().and_then(|e| e.errno).and_then(errno_name);
            let more = match state {
                Phase::Stuck => Some("stuck"),
                Phase::Undone => Some("undone"),
                _ => None,
            };
            [Some(took.as_str()), errno, more].into_iter().flatten().collect::<Vec<_>>().join(" · ")
        }
    };
    quoted(&text)
}

fn graph(timeline: &Timeline, out: &mut String) -> std::fmt::Result {
    let spans = &timeline.spans;
    let ready = timeline.ready_ns.map_or_else(String::new, |ns| format!(" · ready in {}", duration(ns)));
    let title = format!("{} run {} · {}{ready}", timeline.title(), timeline.run, timeline.outcome.name());
    let problems: String = timeline.problems.iter().take(20).map(|p| format!("\\n! {}", quoted(p))).collect();
    writeln!(out, "digraph \"{}\" {{", quoted(&timeline.spec))?;
    writeln!(
        out,
        "  graph [rankdir=TB, labelloc=t, fontname=\"sans-serif\", label=\"{}{problems}\"];",
        quoted(&title)
    )?;
    writeln!(out, "  node [shape=box, style=filled, fontname=\"sans-serif\"];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\"];")?;
    let critical: HashSet<usize> = chain(timeline).iter().map(|link| link.span).collect();
    for (i, span) in spans.iter().enumerate() {
        let failed = span.error.is_some() || span.state == Phase::Stuck;
        let sign = if failed { "✗ " } else { "" };
        let style = if span.start_ns.is_none() { "\"filled,dashed\"" } else { "filled" };
        let line = if failed { format!(", color=\"{FAILED}\"") } else { String::new() };
        let pen = if critical.contains(&i) { ", penwidth=3" } else { "" };
        writeln!(
            out,
            "  n{i} [label=\"{sign}{}\\n{}\", fillcolor=\"{}\", style={style}{line}{pen}];",
            quoted(&span.phase.name),
            fate(span),
            fill(span),
        )?;
    }
    let mut drawn = HashSet::new();
    let by_name: HashMap<&str, usize> =
        spans.iter().enumerate().map(|(i, s)| (s.phase.name.as_str(), i)).collect();
    for (i, span) in spans.iter().enumerate() {
        for need in span.phase.needs.iter().filter_map(|need| by_name.get(need.as_str())) {
            if drawn.insert((*need, i)) {
                let pen = if critical.contains(need) && critical.contains(&i) { " [penwidth=2]" } else { "" };
                writeln!(out, "  n{need} -> n{i}{pen};")?;
            }
        }
    }
    let mut happened: Vec<(u64, usize)> =
        spans.iter().enumerate().filter_map(|(i, s)| Some((s.start_ns?, i))).collect();
    happened.sort_unstable();
    for pair in happened.windows(2) {
        if let [(_, a), (_, b)] = pair
            && !drawn.contains(&(*a, *b))
        {
            writeln!(out, "  n{a} -> n{b} [style=dotted, arrowhead=open];")?;
        }
    }
    writeln!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;

    fn node<'a>(graph: &'a str, name: &str) -> &'a str {
        graph.lines().find(|l| l.contains(&format!("{name}\\n"))).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn identity_fate_and_weight_are_seen() {
        let graph = render(&Timeline::from_events(&served()));
        assert!(node(&graph, "checkPID").contains(ROOT));
        assert!(node(&graph, "switchUidGid").contains(&format!("{ROOT}:{DROPPED}")));
        assert!(node(&graph, "startApplication").contains(DROPPED));
        assert!(
            node(&graph, "readTacFile").contains("443 ms")
                && node(&graph, "readTacFile").contains("penwidth")
        );
        assert!(
            node(&graph, "removePIDFile").contains("✗") && node(&graph, "removePIDFile").contains("EACCES")
        );
        let graph = render(&Timeline::from_events(&foreground()));
        assert!(
            node(&graph, "chroot").contains("dashed") && node(&graph, "chroot").contains("chroot is not set")
        );
    }

    #[test]
    fn needs_are_solid_and_order_is_dotted() {
        let graph = render(&Timeline::from_events(&served()));
        assert!(graph.contains("  n5 -> n6"), "umask is needed by daemonize");
        assert!(graph.contains("n0 -> n1 [style=dotted"), "checkPID came before readTacFile");
        assert!(!graph.contains("n5 -> n6 [style=dotted"));
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let mut timeline = Timeline::from_events(&served());
        timeline.spans[0].phase.name = "a\"]; x [label=\"\\".into();
        let graph = render(&timeline);
        assert!(graph.contains(r#"label="a\"]; x [label=\"\\\n"#), "{graph}");
    }
}
