//! From merged parts to a [`Spec`], with what only the whole can tell.

use super::convert::{OptionPart, PhasePart};
use super::merge::Merged;
use super::order::{check_order, edit_order};
use super::{Condition, Group, OptionDef, Phase, Spec};
use crate::diagnostic::{At, Diagnostic, Place};
use crate::kind::Type;
use std::collections::{HashMap, HashSet};

pub(super) fn finish(merged: Merged, findings: &mut Vec<Diagnostic>) -> Spec {
    let Merged { part, orders, mut removed } = merged;
    let mut spec =
        Spec { name: part.name.unwrap_or_default(), about: part.about.flatten(), ..Spec::default() };
    spec.options = part.options.into_iter().filter_map(|o| option(o, findings)).collect();
    option_set(&spec.options, findings);
    let known = findings.len();
    flatten(part.phases.unwrap_or_default(), None, &mut spec, findings);
    if findings.len() > known {
        // Phases are missing; what names them would be blamed.
        return spec;
    }
    if !removed.is_empty() {
        // A later overlay may have brought a name back.
        let names = spec.phases.iter().map(|p| &p.name.v).chain(spec.groups.iter().map(|g| &g.name.v));
        for name in names {
            removed.remove(name);
        }
    }
    for (level, mut order) in orders {
        order.retain(|name| !taken_from_order(name, level, &removed, findings));
        let wrong = check_order(&spec, &order);
        findings.extend(wrong);
        spec.order = Some(match spec.order.take() {
            Some(base) => edit_order(base, &order),
            None => order,
        });
    }
    if !removed.is_empty() {
        needs_of_removed(&spec, &removed, findings);
    }
    references(&spec, findings);
    findings.extend(crate::options::check_references(&spec));
    spec
}

fn flatten(phases: Vec<PhasePart>, group: Option<usize>, spec: &mut Spec, findings: &mut Vec<Diagnostic>) {
    // Exactly where they are all leaves, as they are in what is large.
    if group.is_none() {
        spec.phases.reserve_exact(phases.len());
    }
    for part in phases {
        let name = part.name.clone();
        match (part.kind, part.phases) {
            (Some(kind), None) => spec.phases.push(Phase {
                name: part.name,
                group,
                kind,
                about: part.about.flatten(),
                with: part.with.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
                needs: part.needs.unwrap_or_default(),
                privilege: part.privilege.unwrap_or(At::new(Default::default(), name.at)),
                when: part.when.unwrap_or_default(),
                always: part.always.is_some_and(|a| a.v),
                timeout: part.timeout.flatten(),
                on_failure: part.on_failure.unwrap_or(At::new(Default::default(), name.at)),
            }),
            (None, Some(children)) => {
                let leaf_only = [
                    ("with", part.with.first().map(|(key, _)| key.at)),
                    ("privilege", part.privilege.map(|p| p.at)),
                    ("always", part.always.map(|a| a.at)),
                    ("timeout", part.timeout.flatten().map(|t| t.at)),
                    ("on-failure", part.on_failure.map(|o| o.at)),
                ];
                for (key, at) in leaf_only {
                    findings.extend(at.map(|at| of_a_leaf(key, at, &name)));
                }
                spec.groups.push(Group {
                    name: part.name,
                    parent: group,
                    needs: part.needs.unwrap_or_default(),
                    when: part.when.unwrap_or_default(),
                    about: part.about.flatten(),
                });
                let group = spec.groups.len() - 1;
                flatten(children, Some(group), spec, findings);
            }
            (Some(kind), Some(_)) => findings.push(
                Diagnostic::error("RSD0105", format!("`{}` has both `kind` and `phases`", name.v))
                    .with(kind.at, "a phase has a kind")
                    .at(name.at, "a group holds phases; this would be both")
                    .phase(&name.v),
            ),
            (None, None) => findings.push(
                Diagnostic::error("RSD0107", format!("`{}` has neither `kind` nor `phases`", name.v))
                    .at(name.at, "what is it to do?")
                    .help("`rsd kinds` lists the kinds")
                    .phase(&name.v),
            ),
        }
    }
}

fn of_a_leaf(key: &str, at: Place, group: &At<String>) -> Diagnostic {
    Diagnostic::error("RSD0105", format!("the group `{}` has `{key}`", group.v))
        .with(group.at, "a group, because it holds phases")
        .at(at, format!("`{key}` belongs to a phase"))
        .help("a group has `about`, `needs`, `when` and `phases`; write the rest at its phases")
}

fn option(part: OptionPart, findings: &mut Vec<Diagnostic>) -> Option<OptionDef> {
    let name = part.name;
    let Some(ty) = part.ty else {
        findings.push(
            Diagnostic::error("RSD0112", format!("the option `{}` has no `type`", name.v))
                .at(name.at, "its type is missing")
                .help("write `type: path`, for example"),
        );
        return None;
    };
    let [list, rest, required] = [part.list, part.rest, part.required].map(|b| b.filter(|b| b.v));
    let mut clash = |at: Place, label: &str, other: (Place, &str), help: &str| {
        findings.push(
            Diagnostic::error("RSD0112", format!("the option `{}` contradicts itself", name.v))
                .with(other.0, other.1)
                .at(at, label)
                .help(help),
        );
    };
    let its_type = format!("its type is {}", ty.v.name());
    let its_type = (ty.at, its_type.as_str());
    match (&list, ty.v) {
        (Some(at), Type::Flag) => {
            clash(at.at, "a flag is on or off, not a list", its_type, "take `list` out")
        }
        (Some(at), Type::Command) => {
            clash(at.at, "a command is a list of arguments already", its_type, "take `list` out")
        }
        _ => {}
    }
    if let Some(at) = &rest
        && list.is_none()
        && ty.v != Type::Command
    {
        clash(
            at.at,
            "what follows `--` may be several arguments",
            its_type,
            "make it `type: command`, or add `list: true`",
        );
    }
    let defaults = part.defaults.unwrap_or_default();
    if let (Some(required), Some(default)) = (&required, defaults.first()) {
        let at = match &default.value {
            crate::spec::Given::One(text) => text.at,
            crate::spec::Given::List(texts) => texts.first().map_or(name.at, |t| t.at),
        };
        clash(
            required.at,
            "it must be given",
            (at, "and has a value where it is not"),
            "take `required` or `default` out",
        );
    }
    Some(OptionDef {
        name,
        ty: ty.v,
        list: list.is_some(),
        rest: rest.is_some(),
        required: required.is_some(),
        short: part.short.flatten(),
        help: part.help.flatten(),
        defaults,
    })
}

fn option_set(options: &[OptionDef], findings: &mut Vec<Diagnostic>) {
    let mut shorts: HashMap<char, &At<char>> = HashMap::new();
    for short in options.iter().filter_map(|o| o.short.as_ref()) {
        if let Some(first) = shorts.insert(short.v, short) {
            findings.push(
                Diagnostic::error("RSD0112", format!("two options are called `-{}`", short.v))
                    .with(first.at, "first here")
                    .at(short.at, "and again here"),
            );
        }
    }
    let mut rest = options.iter().filter(|o| o.rest);
    if let (Some(first), Some(second)) = (rest.next(), rest.next()) {
        findings.push(
            Diagnostic::error("RSD0112", "two options take what follows `--`")
                .with(first.name.at, "this one")
                .at(second.name.at, "and this one"),
        );
    }
}

/// How many names to compare an unknown one with: all, but not again and again for thousands.
pub(super) fn suggestible(findings: &[Diagnostic]) -> usize {
    if findings.len() < 20 { usize::MAX } else { 0 }
}

type Removed = HashMap<String, (Place, usize)>;

/// True for a name that a later overlay took away; the overlay's own order must not name it.
fn taken_from_order(
    name: &At<String>,
    level: usize,
    removed: &Removed,
    findings: &mut Vec<Diagnostic>,
) -> bool {
    let Some((at, when)) = removed.get(&name.v) else { return false };
    if level >= *when {
        findings.push(
            Diagnostic::error("RSD0210", format!("`order` names `{}`, which was taken away", name.v))
                .with(*at, "taken away here")
                .at(name.at, "named here")
                .phase(&name.v),
        );
    }
    true
}

fn needs_of_removed(spec: &Spec, removed: &Removed, findings: &mut Vec<Diagnostic>) {
    let phases = spec.phases.iter().map(|p| (&p.name, &p.needs));
    let groups = spec.groups.iter().map(|g| (&g.name, &g.needs));
    for (name, needs) in phases.chain(groups) {
        for need in needs {
            let Some((at, _)) = removed.get(&need.v) else { continue };
            findings.push(
                Diagnostic::error(
                    "RSD0210",
                    format!("`{}` was taken away, and `{}` needs it", need.v, name.v),
                )
                .with(need.at, format!("`{}` needs it here", name.v))
                .at(*at, "taken away here")
                .help(format!("keep `{}`, or give `{}` other `needs` in the overlay", need.v, name.v))
                .phase(&need.v)
                .phase(&name.v),
            );
        }
    }
}

/// Conditions name options that there are.
fn references(spec: &Spec, findings: &mut Vec<Diagnostic>) {
    let known: HashSet<&str> = spec.options.iter().map(|o| o.name.v.as_str()).chain(["root"]).collect();
    let of_defaults = spec.options.iter().flat_map(|o| &o.defaults).flat_map(|d| &d.when);
    let of_groups = spec.groups.iter().flat_map(|g| &g.when);
    let of_phases = spec.phases.iter().flat_map(|p| &p.when);
    for condition in of_defaults.chain(of_groups).chain(of_phases) {
        let At { v: Condition { option, not }, at } = condition;
        if known.contains(option.as_str()) {
            continue;
        }
        let known = spec.options.iter().map(|o| o.name.v.as_str()).chain(["root"]);
        let mut finding = Diagnostic::error("RSD0111", format!("`when` names the unknown option `{option}`"))
            .at(*at, "no such option")
            .suggest(*at, option, known.take(suggestible(findings)));
        if let Some((_, text)) = &mut finding.edit
            && *not
        {
            *text = format!("not {text}");
        }
        if finding.edit.is_none() {
            finding =
                finding.help(format!("declare it under `options:`, as in `{option}: {{ type: flag }}`"));
        }
        findings.push(finding);
    }
}
