//! A plan for people and for programs: text, JSON, Graphviz, Mermaid, and why A before B.

use crate::effect::Identity;
use crate::plan::{Plan, Reason, Why};
use crate::text::clean;
use crate::timeline::{Process, SCHEMA, Timeline};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// The contract of `plan --json`, DESIGN section 6, to be written without being built first.
pub struct Document<'a> {
    /// the plan
    pub plan: &'a Plan,
    /// what the model says of it
    pub predicted: &'a Timeline,
}

#[derive(Serialize)]
struct StepJson<'a> {
    phase: &'a str,
    groups: &'a [String],
    kind: &'a str,
    about: Option<&'a str>,
    privilege: String,
    process: Process,
    skipped: Option<&'a str>,
    needs: &'a [String],
    because: Vec<BecauseJson<'a>>,
    identity: Option<&'a Identity>,
    identity_after: Option<&'a Identity>,
    effects: Vec<String>,
    /// what only the application can tell, once it is loaded
    open: Option<&'static str>,
    down: bool,
    drop: bool,
    /// how the model says it will fail
    fails: Option<&'a str>,
}

#[derive(Serialize)]
struct BecauseJson<'a> {
    after: &'a str,
    reason: Reason,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("spec", self.plan.spec())?;
        map.serialize_entry("steps", &Steps(self))?;
        map.end()
    }
}

struct Steps<'a>(&'a Document<'a>);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { plan, predicted } = *self.0;
        serializer.collect_seq(plan.steps().iter().enumerate().map(|(i, s)| {
            StepJson {
                phase: &s.phase,
                groups: &s.groups,
                kind: &s.kind,
                about: s.about.as_deref(),
                privilege: s.privilege.to_string(),
                process: s.process,
                skipped: s.skipped.as_deref(),
                needs: &s.needs,
                because: s
                    .because
                    .iter()
                    .map(|b| BecauseJson { after: &plan.steps()[b.step()].phase, reason: b.reason })
                    .collect(),
                identity: identity_before(predicted, i),
                identity_after: identity_after(predicted, i),
                effects: s.effects.iter().map(ToString::to_string).collect(),
                open: s.learns.map(|l| l.open()),
                down: s.down,
                drop: s.drop,
                fails: predicted.spans.get(i).and_then(|s| s.error.as_ref()).map(|e| e.message.as_str()),
            }
        }))
    }
}

/// A skipped phase has no identity of its own: it is that of the last one before it.
fn identity_before(predicted: &Timeline, i: usize) -> Option<&Identity> {
    predicted.spans.get(i)?.identity_before.as_deref().or_else(|| {
        predicted.spans[..i]
            .iter()
            .rev()
            .find_map(|s| s.identity_after.as_deref())
            .or_else(|| predicted.spans.iter().find_map(|s| s.identity_before.as_deref()))
    })
}

fn identity_after(predicted: &Timeline, i: usize) -> Option<&Identity> {
    predicted.spans.get(i)?.identity_after.as_deref().or_else(|| identity_before(predicted, i))
}

fn who(identity: &Identity) -> String {
    let caps = match identity.caps.len() {
        0 => "no capabilities".to_owned(),
        n if identity.caps == identity.bounding && n > 3 => format!("all {n} capabilities"),
        1..=3 => identity.caps.iter().map(|c| c.name()).collect::<Vec<_>>().join(" "),
        n => format!("{n} capabilities"),
    };
    let name = if identity.uid[1] == 0 { "root " } else { "" };
    let mut caps = caps;
    // What it holds and no program can be given by a set-id bit or a file any more.
    if !identity.permitted.without(identity.bounding).is_empty() {
        let _ = write!(caps, " ({} in the bounding set)", identity.bounding.len());
    }
    if identity.no_new_privs {
        caps.push_str(" · no_new_privs");
    }
    if identity.seccomp {
        caps.push_str(" · seccomp");
    }
    if identity.securebits.0 != 0 {
        let _ = write!(caps, " · securebits {}", identity.securebits);
    }
    if !identity.namespaces.is_empty() {
        let _ = write!(caps, " · own {}", identity.namespaces);
    }
    format!(
        "{name}{}:{} · {caps} · root {} · cwd {} · umask {:03o}",
        identity.uid[1],
        identity.gid[1],
        clean(&identity.root.display().to_string()),
        clean(&identity.cwd.display().to_string()),
        identity.umask
    )
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// One line a step under the identity it runs with.
pub fn text(plan: &Plan, predicted: &Timeline) -> String {
    let widest = plan.steps().iter().map(|s| clean(&s.phase).width()).max().unwrap_or(0).min(32);
    let phases = crate::text::count(plan.steps().len(), "phase");
    let mut out = format!("{}: {phases}\n", clean(plan.spec()));
    let mut band: Option<(String, &str)> = None;
    for (i, step) in plan.steps().iter().enumerate() {
        if step.skipped.is_none()
            && let Some(identity) = identity_before(predicted, i)
        {
            let now = (who(identity), step.process.name());
            if band.as_ref() != Some(&now) {
                let _ = write!(out, "\n{} · {}\n", now.1, now.0);
                band = Some(now);
            }
        }
        let name = pad(&clean(&step.phase), widest);
        let what = match &step.skipped {
            Some(why) => format!("skipped: {}", clean(why)),
            None => {
                let effects: Vec<_> = step.shown().iter().map(|e| clean(e).into_owned()).collect();
                effects.join("; ")
            }
        };
        let failing = predicted.spans.get(i).and_then(|s| s.error.as_ref());
        let sign = match (&step.skipped, failing) {
            (Some(_), _) => "·",
            (None, Some(_)) => "✗",
            (None, None) if step.drop => "▼",
            (None, None) => " ",
        };
        let _ = writeln!(out, "{:>4} {sign} {name}  {what}", i + 1);
        if let Some(error) = failing {
            let _ = writeln!(out, "       {}  will fail: {}", pad("", widest), clean(&error.message));
        }
        let because: Vec<String> = step
            .because
            .iter()
            .filter(|b| !matches!(b.reason, Reason::File | Reason::Order))
            .map(|b| format!("{} ({})", clean(&plan.steps()[b.step()].phase), b.reason.name()))
            .collect();
        if !because.is_empty() && step.skipped.is_none() {
            let _ = writeln!(out, "       {}  after {}", pad("", widest), because.join(", "));
        }
    }
    out
}

fn quoted(text: &str) -> String {
    clean(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// For Graphviz: amber before the drop, blue after it, dashed what is skipped.
pub fn dot(plan: &Plan, predicted: &Timeline) -> String {
    let mut out = format!(
        "digraph \"{}\" {{\n  rankdir=TB;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n",
        quoted(plan.spec())
    );
    for (i, step) in plan.steps().iter().enumerate() {
        let root = identity_before(predicted, i).is_some_and(|id| id.uid[1] == 0);
        let colour = if root { "#fcd9a8" } else { "#bfd4fb" };
        let style = if step.skipped.is_some() { "\"filled,dashed\"" } else { "filled" };
        let _ = writeln!(
            out,
            "  n{i} [label=\"{}\\n{}\", fillcolor=\"{colour}\", style={style}];",
            quoted(&step.phase),
            quoted(&step.kind)
        );
    }
    for (i, step) in plan.steps().iter().enumerate() {
        for because in step.because.iter().filter(|b| b.reason != Reason::File) {
            let style = match because.reason {
                Reason::Needs => "solid",
                Reason::Privilege => "bold",
                _ => "dotted",
            };
            let _ = writeln!(
                out,
                "  n{} -> n{i} [label=\"{}\", style={style}];",
                because.after,
                because.reason.name()
            );
        }
    }
    out.push_str("}\n");
    out
}

/// For Mermaid.
pub fn mermaid(plan: &Plan, predicted: &Timeline) -> String {
    let mut out = String::from("flowchart TD\n");
    for (i, step) in plan.steps().iter().enumerate() {
        let label = clean(&step.phase).replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
        let class = match (&step.skipped, identity_before(predicted, i)) {
            (Some(_), _) => "skipped",
            (None, Some(id)) if id.uid[1] == 0 => "root",
            _ => "dropped",
        };
        let _ = writeln!(out, "  n{i}[\"{label}\"]:::{class}");
    }
    for (i, step) in plan.steps().iter().enumerate() {
        for because in step.because.iter().filter(|b| b.reason != Reason::File) {
            let _ = writeln!(out, "  n{} -->|{}| n{i}", because.after, because.reason.name());
        }
    }
    out.push_str("  classDef root fill:#fcd9a8,stroke:#b45309,color:#111\n");
    out.push_str("  classDef dropped fill:#bfd4fb,stroke:#1d4ed8,color:#111\n");
    out.push_str("  classDef skipped fill:#eee,stroke:#999,color:#555,stroke-dasharray:4\n");
    out
}

/// The chain of reasons that puts one phase before another.
pub fn why(plan: &Plan, a: usize, b: usize, why: &Why) -> String {
    let name = |i: usize| clean(&plan.steps()[i].phase).into_owned();
    let sentence = |(from, reason, to): &(usize, Reason, usize)| {
        let (from, to) = (name(*from), name(*to));
        match reason {
            Reason::Needs => format!("  {from} → {to}: {to} needs {from}\n"),
            Reason::Privilege => format!(
                "  {from} → {to}: what is privileged precedes the drop, what is the user's follows it\n"
            ),
            Reason::Order => format!("  {from} → {to}: the spec's order says so\n"),
            Reason::Serve => {
                format!("  {from} → {to}: {from} is no down phase, so it precedes what serves\n")
            }
            Reason::File => format!("  {from} → {to}: place in the file\n"),
        }
    };
    match why {
        Why::Because(chain) if chain.is_empty() => format!("{} is one phase\n", name(a)),
        Why::Because(chain) => {
            format!(
                "{} comes before {}:\n{}",
                name(a),
                name(b),
                chain.iter().map(sentence).collect::<String>()
            )
        }
        Why::Reversed(chain) => format!(
            "{} does not come before {}; it is the other way round:\n{}",
            name(a),
            name(b),
            chain.iter().map(sentence).collect::<String>()
        ),
        Why::Nothing { first, second } => format!(
            "nothing puts {} before {}; the plan has {} first by its place in the file only\n",
            name(a),
            name(b),
            if first < second { name(*first) } else { name(*second) }
        ),
    }
}
