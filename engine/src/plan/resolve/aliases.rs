//! Two options for one thing, with two values.

use super::Request;
use crate::diagnostic::{Diagnostic, Place};
use crate::kind::{Type, Value};
use crate::options::{self, references};
use crate::spec::{Given, OptionDef, Spec};

/// Values that were given and that nothing would look at, because the one option whose default they are has another.
pub(super) fn contradictions(request: &Request) -> Vec<Diagnostic> {
    let (spec, settings) = (request.spec, request.settings);
    let given = spec.options.iter().filter(|o| settings.was_given(&o.name.v));
    let mut found = Vec::new();
    for option in given {
        for default in &option.defaults {
            let Some(other) = whole(spec, &default.value) else { continue };
            let Some(lost) = settings.get(&other.name.v).filter(|_| settings.was_given(&other.name.v)) else {
                continue;
            };
            let kept = settings.get(&option.name.v);
            if kept.is_some_and(|kept| same(request, option.ty, kept, lost)) || is_used(spec, option, other) {
                continue;
            }
            let (own, alias) = (&option.name.v, &other.name.v);
            let mut finding = Diagnostic::error(
                "RSD0113",
                format!("`--{own}` and `--{alias}` contradict each other: they are two names for one value"),
            );
            if let Some(at) = place(lost) {
                finding = finding.at(at, format!("`--{own}` is given, so nothing would look at this"));
            }
            if let Some(at) = kept.and_then(place) {
                finding = finding.with(at, "this is what would be taken");
            }
            found.push(finding.help("give one of them"));
        }
    }
    found
}

/// The option whose value this is, and nothing else.
fn whole<'a>(spec: &'a Spec, value: &Given) -> Option<&'a OptionDef> {
    let Given::One(text) = value else { return None };
    let name = text.v.strip_prefix("${")?.strip_suffix('}')?;
    spec.options.iter().find(|o| o.name.v == name)
}

/// Whether an option is asked for anywhere but in the defaults of this one.
fn is_used(spec: &Spec, but: &OptionDef, option: &OptionDef) -> bool {
    let name = option.name.v.as_str();
    let others = spec.options.iter().filter(|o| o.name.v != but.name.v).flat_map(|o| &o.defaults);
    let phases = spec.phases.iter().flat_map(|p| &p.with).map(|(_, given)| given);
    let conditions = spec.phases.iter().flat_map(|p| &p.when).chain(spec.groups.iter().flat_map(|g| &g.when));
    let of_defaults = spec.options.iter().flat_map(|o| &o.defaults).flat_map(|d| &d.when);
    others.map(|d| &d.value).chain(phases).any(|given| references(given).contains(&name))
        || conditions.chain(of_defaults).any(|c| c.v.option == name)
}

/// Whether two texts are one value: a user is the same by name and by number.
fn same(request: &Request, ty: Type, one: &Given, other: &Given) -> bool {
    let read = |given: &Given| {
        let value = options::parse_given(ty, true, given, request.launch, request.snapshot, None).ok()?;
        let Value::List(values) = value else { return Some(vec![value]) };
        Some(values)
    };
    let (Some(one), Some(other)) = (read(one), read(other)) else { return texts(one) == texts(other) };
    let id = |value: &Value| match value {
        Value::User(user) => Some(user.uid),
        Value::Group(group) => Some(group.gid),
        _ => None,
    };
    let pairs = one.iter().zip(&other);
    one.len() == other.len() && pairs.into_iter().all(|(a, b)| a == b || id(a).is_some() && id(a) == id(b))
}

fn texts(given: &Given) -> Vec<&str> {
    match given {
        Given::One(text) => vec![&text.v],
        Given::List(texts) => texts.iter().map(|text| text.v.as_str()).collect(),
    }
}

fn place(given: &Given) -> Option<Place> {
    match given {
        Given::One(text) => Some(text.at),
        Given::List(texts) => texts.first().map(|text| text.at),
    }
}
