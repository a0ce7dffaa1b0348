//! Which phases there are, where they stand, what they need, and what they are about.

use super::{Change, Pair, Sense, some};
use crate::timeline::Timeline;
use crate::timeline::clock::rising;
use std::collections::HashSet;

/// More phases that came or went, or moved, than this are counted.
const MANY: usize = 200;

/// Changes of the order, and of details.
pub(super) fn changes(old: &Timeline, new: &Timeline, pairs: &[Pair]) -> (Vec<Change>, Vec<Change>) {
    let mut found = Vec::new();
    let common: HashSet<&str> = pairs.iter().map(|p| p.new.phase.name.as_str()).collect();
    for (timeline, field, word) in [(new, "added", "new"), (old, "removed", "gone")] {
        let all = &timeline.spans;
        let names: Vec<String> =
            all.iter().map(|s| &s.phase.name).filter(|n| !common.contains(n.as_str())).cloned().collect();
        if let [first, rest @ ..] = names.as_slice() {
            let are = if rest.is_empty() { "is" } else { "are" };
            let text = format!("{} {are} {word}", some(&names));
            found.push(entry(first, field, "", "", text, rest.to_vec()));
        }
    }
    moved(pairs, &mut found);

    let mut detail = Vec::new();
    for pair in pairs {
        let (was, is) = (&pair.old.phase, &pair.new.phase);
        let name = &is.name;
        if was.needs != is.needs {
            let missing = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|n| !b.contains(n)).cloned().collect()
            };
            let (more, less) = (missing(&is.needs, &was.needs), missing(&was.needs, &is.needs));
            let mut parts = Vec::new();
            if !more.is_empty() {
                parts.push(format!("now needs {}", some(&more)));
            }
            if !less.is_empty() {
                parts.push(format!("no longer needs {}", some(&less)));
            }
            if !parts.is_empty() {
                let text = format!("{name} {}", parts.join(" and "));
                found.push(entry(name, "needs", &was.needs.join(","), &is.needs.join(","), text, Vec::new()));
            }
        }
        let mut about = |field, old: &str, new: &str| {
            if old != new {
                let shown = |s: &str| if s.is_empty() { "nothing".to_owned() } else { s.to_owned() };
                let word = if field == "detail" { String::new() } else { format!(" {field}") };
                let text = format!("{name}{word}: {} → {}", shown(old), shown(new));
                detail.push(entry(name, field, old, new, text, Vec::new()));
            }
        };
        about("kind", &was.kind, &is.kind);
        about("detail", &was.detail, &is.detail);
        about("group", &was.groups.join("/"), &is.groups.join("/"));
    }
    for (field, old, new) in [("spec", &old.spec, &new.spec), ("version", &old.version, &new.version)] {
        if old != new && !old.is_empty() && !new.is_empty() {
            let what = if field == "spec" { "runs of two specs" } else { "two versions of rsd" };
            detail.push(entry("", field, old, new, format!("{what}: {old} → {new}"), Vec::new()));
        }
    }
    (found, detail)
}

/// As few as possible of the phases that both have are taken to have moved.
fn moved(pairs: &[Pair], found: &mut Vec<Change>) {
    let was: Vec<usize> = pairs.iter().map(|p| p.was).collect();
    let stayed: HashSet<usize> = rising(&was).into_iter().collect();
    let movers = (0..pairs.len()).filter(|i| !stayed.contains(i));
    let count = movers.clone().count();
    for i in movers.take(MANY) {
        let Some(pair) = pairs.get(i) else { continue };
        let name = &pair.new.phase.name;
        // what it stands behind or before now, and did not
        let before = i.checked_sub(1).and_then(|k| pairs.get(k));
        let after = pairs.get(i + 1);
        let (field, text) = match (before, after) {
            (Some(b), _) if b.was > pair.was => {
                ("place", format!("{name} moved behind {}", b.new.phase.name))
            }
            (_, Some(a)) if a.was < pair.was => {
                ("place", format!("{name} moved before {}", a.new.phase.name))
            }
            (Some(b), _) => ("place", format!("{name} moved to behind {}", b.new.phase.name)),
            _ => ("place", format!("{name} moved to the front")),
        };
        let (old, new) = (pair.was.to_string(), pair.place.to_string());
        found.push(entry(name, field, &old, &new, text, Vec::new()));
    }
    if count > MANY {
        let text = format!("{} moved", crate::text::count(count - MANY, "more phase"));
        found.push(entry("", "place", "", "", text, Vec::new()));
    }
}

fn entry(phase: &str, field: &'static str, old: &str, new: &str, text: String, also: Vec<String>) -> Change {
    let (phase, old, new) = (phase.to_owned(), old.to_owned(), new.to_owned());
    Change { phase, field, old, new, text, also, sense: Sense::Other }
}
