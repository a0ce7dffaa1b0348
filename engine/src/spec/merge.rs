//! One spec from a base and its overlays.

use super::convert::{OptionPart, Part, PhasePart};
use super::finish::suggestible;
use crate::diagnostic::{At, Diagnostic, Place};
use std::collections::HashMap;

/// What the parts say together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub part: Part,
    /// the `order` of each file that has one, with the file's level: the base is 0
    pub orders: Vec<(usize, Vec<At<String>>)>,
    /// phases and groups that were taken away: where, and at which level
    pub removed: HashMap<String, (Place, usize)>,
}

/// Merges parts, the base first.
pub(super) fn merge(parts: Vec<Part>, findings: &mut Vec<Diagnostic>) -> Merged {
    let mut merged = Merged::default();
    for (level, mut part) in parts.into_iter().enumerate() {
        if let Some(order) = part.order.take() {
            merged.orders.push((level, order));
        }
        if level == 0 {
            merged.part = part;
            continue;
        }
        let base = &mut merged.part;
        replace_with(&mut base.name, part.name);
        replace_with(&mut base.about, part.about);
        options(&mut base.options, part.options, findings);
        let phases = base.phases.get_or_insert_default();
        let mut places = HashMap::new();
        index(phases, &mut Vec::new(), &mut places);
        apply(phases, &places, part.phases.unwrap_or_default(), &[], findings);
        drop(places);
        sweep(phases, level, &mut merged.removed);
    }
    merged
}

fn replace_with<T>(base: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *base = new;
    }
}

fn options(base: &mut Vec<OptionPart>, overlay: Vec<OptionPart>, findings: &mut Vec<Diagnostic>) {
    let mut places: HashMap<String, usize> =
        base.iter().enumerate().map(|(n, o)| (o.name.v.clone(), n)).collect();
    for new in overlay {
        match places.get(&new.name.v) {
            Some(n) => {
                let old = &mut base[*n];
                old.removed = new.removed;
                replace_with(&mut old.ty, new.ty);
                replace_with(&mut old.list, new.list);
                replace_with(&mut old.rest, new.rest);
                replace_with(&mut old.required, new.required);
                replace_with(&mut old.short, new.short);
                replace_with(&mut old.help, new.help);
                replace_with(&mut old.defaults, new.defaults);
            }
            None if new.removed => {
                let known = base.iter().map(|o| o.name.v.as_str());
                let known = known.take(suggestible(findings));
                findings.push(no_such(&new.name, "option", known));
            }
            None => {
                places.insert(new.name.v.clone(), base.len());
                base.push(new);
            }
        }
    }
    base.retain(|o| !o.removed);
}

fn no_such<'a>(name: &At<String>, what: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    Diagnostic::error("RSD0210", format!("`{}` cannot be taken away: there is no such {what}", name.v))
        .at(name.at, format!("the spec that is extended has no {what} of this name"))
        .suggest(name.at, &name.v, known)
}

fn no_such_phase(name: &At<String>, places: &Places, findings: &[Diagnostic]) -> Diagnostic {
    if suggestible(findings) == 0 {
        return no_such(name, "phase or group", std::iter::empty());
    }
    let mut known: Vec<&str> = places.keys().map(String::as_str).collect();
    known.sort_unstable();
    no_such(name, "phase or group", known.into_iter())
}

/// Where each name stands: numbers of children from the top.
type Places = HashMap<String, Vec<usize>>;

fn index(phases: &[PhasePart], path: &mut Vec<usize>, places: &mut Places) {
    for (n, phase) in phases.iter().enumerate() {
        path.push(n);
        places.insert(phase.name.v.clone(), path.clone());
        index(phase.phases.as_deref().unwrap_or_default(), path, places);
        path.pop();
    }
}

fn at_path<'a>(phases: &'a mut [PhasePart], path: &[usize]) -> Option<&'a mut PhasePart> {
    let (last, groups) = path.split_last()?;
    let mut level = phases;
    for n in groups {
        level = level.get_mut(*n)?.phases.as_deref_mut()?;
    }
    level.get_mut(*last)
}

/// `overlay` stands in the overlay's group whose base is at `inside`.
fn apply(
    base: &mut Vec<PhasePart>,
    places: &Places,
    overlay: Vec<PhasePart>,
    inside: &[usize],
    findings: &mut Vec<Diagnostic>,
) {
    for mut new in overlay {
        let Some(path) = places.get(&new.name.v) else {
            if new.removed {
                findings.push(no_such_phase(&new.name, places, findings));
                continue;
            }
            strangers(base, places, new.phases.as_deref().unwrap_or_default(), &new.name.v, findings);
            if inside.is_empty() {
                base.push(new);
            } else if let Some(group) = at_path(base, inside) {
                group.phases.get_or_insert_default().push(new);
            }
            continue;
        };
        let inherited = path.len() > inside.len() && path.starts_with(inside);
        let group = if inherited { None } else { at_path(base, inside).map(|g| g.name.v.clone()) };
        let Some(old) = at_path(base, path) else { continue };
        if let Some(group) = group {
            findings.push(elsewhere(&new.name, old, &group));
            continue;
        }
        let children = new.phases.take();
        if let Some(children) = children {
            if old.kind.is_some() || new.kind.is_some() {
                findings.push(
                    Diagnostic::error(
                        "RSD0105",
                        format!("`{}` is a phase and cannot hold phases", new.name.v),
                    )
                    .with(old.name.at, "a phase, not a group")
                    .at(new.name.at, "`phases` under it")
                    .phase(&new.name.v),
                );
                continue;
            }
            fields(old, new);
            apply(base, places, children, path, findings);
        } else {
            fields(old, new);
        }
    }
}

fn fields(old: &mut PhasePart, new: PhasePart) {
    if new.removed {
        old.removed = true;
        old.name.at = new.name.at;
        return;
    }
    replace_with(&mut old.kind, new.kind);
    replace_with(&mut old.about, new.about);
    replace_with(&mut old.needs, new.needs);
    replace_with(&mut old.privilege, new.privilege);
    replace_with(&mut old.when, new.when);
    replace_with(&mut old.always, new.always);
    replace_with(&mut old.timeout, new.timeout);
    replace_with(&mut old.on_failure, new.on_failure);
    for (key, value) in new.with {
        match old.with.iter_mut().find(|(k, _)| k.v == key.v) {
            Some(entry) => *entry = (key, value),
            None => old.with.push((key, value)),
        }
    }
}

/// A new group can only hold new phases.
fn strangers(
    base: &mut [PhasePart],
    places: &Places,
    children: &[PhasePart],
    group: &str,
    findings: &mut Vec<Diagnostic>,
) {
    for child in children {
        if let Some(old) = places.get(&child.name.v).and_then(|path| at_path(base, path)) {
            findings.push(elsewhere(&child.name, old, group));
        } else if child.removed {
            findings.push(no_such_phase(&child.name, places, findings));
        }
        strangers(base, places, child.phases.as_deref().unwrap_or_default(), group, findings);
    }
}

fn elsewhere(name: &At<String>, old: &PhasePart, group: &str) -> Diagnostic {
    Diagnostic::error("RSD0207", format!("`{}` does not stand in the group `{group}`", name.v))
        .with(old.name.at, "it stands here")
        .at(name.at, "an overlay changes it where it is")
        .help("name it at the top of `phases:` or in its own group; a new phase needs a new name")
        .phase(&name.v)
}

fn sweep(phases: &mut Vec<PhasePart>, level: usize, removed: &mut HashMap<String, (Place, usize)>) {
    phases.retain_mut(|phase| {
        if phase.removed {
            gone(phase, phase.name.at, level, removed);
        } else if let Some(children) = &mut phase.phases {
            sweep(children, level, removed);
        }
        !phase.removed
    });
}

fn gone(phase: &PhasePart, at: Place, level: usize, removed: &mut HashMap<String, (Place, usize)>) {
    removed.insert(phase.name.v.clone(), (at, level));
    for child in phase.phases.as_deref().unwrap_or_default() {
        gone(child, at, level, removed);
    }
}
