//! Who runs what, old and new. A difference is told once, where it begins.

use super::{Change, Pair, Sense};
use crate::effect::{CapabilitySet, Identity};
use crate::view::words::ids;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::rc::Rc;

/// One thing in which two identities differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    field: &'static str,
    old: String,
    new: String,
    /// what the process does now: "keeps cap_net_bind_service"
    verb: String,
    sense: Sense,
}

pub(super) fn changes(pairs: &[Pair]) -> Vec<Change> {
    let mut found: Vec<Change> = Vec::new();
    // (field, old, new) of every fact that was told, and where
    let mut told: HashMap<(&'static str, String, String), usize> = HashMap::new();
    // most phases have one of a few pairs of identities
    let mut known: HashMap<(*const Identity, *const Identity), Rc<[Fact]>> = HashMap::new();
    let mut facts = |old: &Identity, new: &Identity| {
        let key = (std::ptr::from_ref(old), std::ptr::from_ref(new));
        known.entry(key).or_insert_with(|| differences(old, new).into()).clone()
    };
    let mut ran: Vec<&Pair> = pairs.iter().filter(|p| p.old.start_ns.and(p.new.start_ns).is_some()).collect();
    ran.sort_by_key(|p| p.new.start_ns);
    for pair in ran {
        let name = &pair.new.phase.name;
        let before = pair.old.identity_before.as_deref().zip(pair.new.identity_before.as_deref());
        let after = pair.old.identity_after.as_deref().zip(pair.new.identity_after.as_deref());
        let begins = before.map(|(old, new)| facts(old, new));
        for fact in begins.iter().flat_map(|f| f.iter()) {
            let key = (fact.field, fact.old.clone(), fact.new.clone());
            match told.get(&key).and_then(|i| found.get_mut(*i)) {
                Some(change) if change.phase != *name => change.also.push(name.clone()),
                Some(_) => {}
                None => {
                    told.insert(key, found.len());
                    found.push(change(fact, name, format!("{name} now {}", fact.verb)));
                }
            }
        }
        for fact in after.map(|(old, new)| facts(old, new)).iter().flat_map(|f| f.iter()) {
            let key = (fact.field, fact.old.clone(), fact.new.clone());
            if let Entry::Vacant(new) = told.entry(key) {
                new.insert(found.len());
                found.push(change(fact, name, format!("after {name}: {}", fact.verb)));
            }
        }
    }
    for pair in pairs.iter().filter(|p| p.old.phase.process != p.new.phase.process) {
        let (old, new) = (pair.old.phase.process.name(), pair.new.phase.process.name());
        let name = &pair.new.phase.name;
        match told.get(&("process", old.to_owned(), new.to_owned())).and_then(|i| found.get_mut(*i)) {
            Some(change) => change.also.push(name.clone()),
            None => {
                told.insert(("process", old.to_owned(), new.to_owned()), found.len());
                let verb = format!("runs in the {new} (was the {old})");
                let (old, new) = (old.to_owned(), new.to_owned());
                let fact = Fact { field: "process", old, new, verb, sense: Sense::Other };
                found.push(change(&fact, name, format!("{name} now {}", fact.verb)));
            }
        }
    }
    found
}

fn change(fact: &Fact, phase: &str, text: String) -> Change {
    Change {
        phase: phase.to_owned(),
        field: fact.field,
        old: fact.old.clone(),
        new: fact.new.clone(),
        text,
        also: Vec::new(),
        sense: fact.sense,
    }
}

fn who(identity: &Identity) -> String {
    let word = if identity.uid[1] == 0 { "root" } else { "user" };
    format!("{word} {}:{}", ids(identity.uid), ids(identity.gid))
}

fn names(set: CapabilitySet) -> String {
    match set.len() {
        0 => "none".to_owned(),
        1..=3 => set.iter().map(|c| c.name()).collect::<Vec<_>>().join(", "),
        n => format!("{n} capabilities"),
    }
}

fn differences(old: &Identity, new: &Identity) -> Vec<Fact> {
    let mut facts = Vec::new();
    if (old.uid, old.gid) != (new.uid, new.gid) {
        let root = |i: &Identity| i.uid.contains(&0) || i.gid.contains(&0);
        let sense = match (root(old), root(new)) {
            (false, true) => Sense::Worse,
            (true, false) => Sense::Better,
            _ => Sense::Other,
        };
        let again = new.uid[1] != 0 && new.uid.contains(&0);
        let again = if again { " and can become root again" } else { "" };
        let (was, is) = (who(old), who(new));
        let verb = format!("runs as {is}{again} (was {was})");
        facts.push(Fact {
            field: if old.uid == new.uid { "gid" } else { "uid" },
            old: was,
            new: is,
            verb,
            sense,
        });
    }
    capabilities(old, new, &mut facts);
    let list = |groups: &[u32]| groups.iter().map(u32::to_string).collect::<Vec<_>>();
    if old.groups != new.groups {
        let more: Vec<u32> = new.groups.iter().copied().filter(|g| !old.groups.contains(g)).collect();
        let less: Vec<u32> = old.groups.iter().copied().filter(|g| !new.groups.contains(g)).collect();
        let mut verb = Vec::new();
        if !more.is_empty() {
            verb.push(format!("is in group {}", crate::text::list(&list(&more))));
        }
        if !less.is_empty() {
            verb.push(format!("is not in group {} any more", crate::text::list(&list(&less))));
        }
        // who gave up root and got its own groups has no more than before
        let dropped = old.uid[1] == 0 && new.uid[1] != 0;
        let sense = match (more.is_empty(), dropped) {
            (true, _) => Sense::Better,
            (false, true) => Sense::Other,
            (false, false) => Sense::Worse,
        };
        let (old, new) = (list(&old.groups).join(","), list(&new.groups).join(","));
        facts.push(Fact { field: "groups", old, new, verb: verb.join(" and "), sense });
    }
    if old.umask != new.umask {
        let (was, is) = (format!("{:03o}", old.umask), format!("{:03o}", new.umask));
        // a bit that the mask no longer takes away is one that others get
        let sense = if old.umask & !new.umask != 0 { Sense::Worse } else { Sense::Better };
        let verb = format!("has umask {is} (was {was})");
        facts.push(Fact { field: "umask", old: was, new: is, verb, sense });
    }
    let mut place = |field, word: &str, old: &Path, new: &Path| {
        let (was, is) = (old.display().to_string(), new.display().to_string());
        let sense = match field {
            "root" if new == Path::new("/") => Sense::Worse,
            "root" if old == Path::new("/") => Sense::Better,
            _ => Sense::Other,
        };
        if old != new {
            facts.push(Fact {
                field,
                verb: format!("has {word} {is} (was {was})"),
                old: was,
                new: is,
                sense,
            });
        }
    };
    place("root", "root", &old.root, &new.root);
    place("cwd", "working directory", &old.cwd, &new.cwd);
    facts
}

/// What is kept or lost, told once for all the sets in which it is.
fn capabilities(old: &Identity, new: &Identity, facts: &mut Vec<Fact>) {
    let sets = |i: &Identity| [i.caps, i.permitted, i.inheritable, i.ambient, i.bounding];
    let words = ["effective", "permitted", "inheritable", "ambient", "bounding"];
    for (keeps, sense) in [(true, Sense::Worse), (false, Sense::Better)] {
        let mut by_set: Vec<(CapabilitySet, Vec<&str>)> = Vec::new();
        for ((old, new), word) in sets(old).into_iter().zip(sets(new)).zip(words) {
            let set = if keeps { new.0 & !old.0 } else { old.0 & !new.0 };
            match by_set.iter_mut().find(|(s, _)| s.0 == set) {
                _ if set == 0 => {}
                Some((_, words)) => words.push(word),
                None => by_set.push((CapabilitySet(set), vec![word])),
            }
        }
        for (set, words) in by_set {
            let what = names(set);
            let had = if old.caps.is_empty() { " (was: none)" } else { "" };
            let verb = match (keeps, words.first() == Some(&"effective")) {
                (true, true) => format!("keeps {what}{had}"),
                (false, true) => format!("lacks {what}"),
                (true, false) => format!("has {what} in its {} set", words.join(" and ")),
                (false, false) => format!("lacks {what} in its {} set", words.join(" and ")),
            };
            let field = match words.first() {
                Some(&"effective") => "caps",
                Some(word) => word,
                None => continue,
            };
            let (was, is) = match keeps {
                true => ("none".to_owned(), what),
                false => (what, "none".to_owned()),
            };
            facts.push(Fact { field, old: was, new: is, verb, sense });
        }
    }
}
