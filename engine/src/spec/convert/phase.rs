//! Phases and groups of phases.

use super::condition::conditions;
use super::reader::{Reader, place};
use crate::diagnostic::{At, Diagnostic, Place};
use crate::effect::Capability;
use crate::options::duration;
use crate::spec::tree::{Node, Value};
use crate::spec::{Condition, Given, OnFailure, Privilege};

/// What one file says of a phase or a group.
#[derive(Debug, Default)]
pub(in crate::spec) struct PhasePart {
    pub name: At<String>,
    /// `name: null`
    pub removed: bool,
    pub kind: Option<At<String>>,
    pub about: Option<Option<String>>,
    pub with: Vec<(At<String>, Option<Given>)>,
    pub needs: Option<Vec<At<String>>>,
    pub privilege: Option<At<Privilege>>,
    pub when: Option<Vec<At<Condition>>>,
    pub always: Option<At<bool>>,
    pub timeout: Option<Option<At<u64>>>,
    pub on_failure: Option<At<OnFailure>>,
    /// of a group
    pub phases: Option<Vec<PhasePart>>,
}

const KEYS: &[&str] =
    &["kind", "phases", "about", "with", "needs", "privilege", "when", "always", "timeout", "on-failure"];
const PRIVILEGES: &[&str] = &["any", "privileged", "root", "user"];

pub(super) fn phases(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Vec<PhasePart>> {
    let entries = reader.map("phases", "a mapping of names to phases", key, node)?;
    if entries.is_empty() {
        reader.findings.push(
            Diagnostic::error("RSD0107", "a group without phases")
                .at(key, "there is nothing in it")
                .help("name at least one phase, or leave the group out"),
        );
    }
    let part = |(key, node): (crate::spec::tree::Key<'_>, Node<'_>)| {
        phase(reader, At::new(key.v.into_owned(), key.at), node)
    };
    Some(entries.into_iter().map(part).collect())
}

fn phase(reader: &mut Reader, name: At<String>, node: Node<'_>) -> PhasePart {
    reader.name("phase", &name);
    let at = name.at;
    let mut part = PhasePart { name, ..PhasePart::default() };
    let entries = match node.value {
        Value::Null => {
            part.removed = true;
            return part;
        }
        Value::Map(entries) => entries,
        _ => {
            let what = part.name.v.clone();
            reader.wrong(&what, "a mapping like `{ kind: … }`", &node, at);
            return part;
        }
    };
    for (key, node) in entries {
        match key.v.as_ref() {
            "kind" => part.kind = reader.text("kind", key.at, node),
            "phases" => part.phases = phases(reader, key.at, node),
            "about" => part.about = reader.sentence("about", key.at, node),
            "with" => part.with = with(reader, key.at, node),
            "needs" => part.needs = reader.texts("needs", key.at, node, true),
            "privilege" => part.privilege = privilege(reader, key.at, node),
            "when" => part.when = conditions(reader, key.at, node),
            "always" => part.always = reader.boolean("always", key.at, node),
            "timeout" => part.timeout = timeout(reader, key.at, node),
            "on-failure" => part.on_failure = on_failure(reader, key.at, node),
            _ => reader.unknown_key(&key, KEYS, "a phase"),
        }
    }
    part
}

fn with(reader: &mut Reader, key: Place, node: Node<'_>) -> Vec<(At<String>, Option<Given>)> {
    if matches!(node.value, Value::Null) {
        return Vec::new();
    }
    let Some(entries) = reader.map("with", "a mapping of parameters to values", key, node) else {
        return Vec::new();
    };
    let mut with = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        if let Some(given) = reader.given(&key.v, key.at, node) {
            with.push((At::new(key.v.into_owned(), key.at), given));
        }
    }
    with
}

fn privilege(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<At<Privilege>> {
    let at = place(&node, key);
    match node.value {
        Value::Scalar { text, .. } => {
            let privilege = match text.as_ref() {
                "any" => Privilege::Any,
                "privileged" => Privilege::Privileged,
                "root" => Privilege::Root,
                "user" => Privilege::User,
                other => {
                    let finding = Diagnostic::error("RSD0113", format!("there is no privilege `{other}`"))
                        .at(at, "not a privilege");
                    reader.findings.push(if let Some(capability) = Capability::by_name(other) {
                        let list = format!("[{capability}]");
                        let mut finding =
                            finding.help(format!("capabilities are written as a list: `{list}`"));
                        finding.edit = Some((at, list));
                        finding
                    } else {
                        finding
                            .help("write `any`, `privileged`, `root`, `user` or a list of capabilities")
                            .suggest(at, other, PRIVILEGES.iter().copied())
                    });
                    return None;
                }
            };
            Some(At::new(privilege, at))
        }
        Value::Seq(ref items) if items.is_empty() => {
            reader.bad(
                "`privilege` is an empty list",
                at,
                "no capability is named",
                "write `any` to claim nothing",
            );
            None
        }
        Value::Seq(_) => {
            let names = reader.texts("privilege", key, node, false)?;
            let list = names.iter().filter_map(|name| capability(reader, name)).collect();
            Some(At::new(Privilege::Capabilities(list), at))
        }
        _ => {
            reader.wrong("privilege", "a word or a list of capabilities", &node, key);
            None
        }
    }
}

fn capability(reader: &mut Reader, name: &At<String>) -> Option<Capability> {
    let found = Capability::by_name(&name.v);
    if found.is_none() {
        let finding = Diagnostic::error("RSD0113", format!("there is no capability `{}`", name.v))
            .at(name.at, "not one of Linux's");
        reader.findings.push(finding.suggest(name.at, &name.v, Capability::ALL.iter().map(|c| c.name())));
    }
    found
}

fn timeout(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Option<At<u64>>> {
    if matches!(node.value, Value::Null) {
        return Some(None);
    }
    let at = node.at;
    match span(reader, "timeout", key, node)? {
        0 => {
            reader.bad(
                "a timeout of nothing can never be met",
                at,
                "this is 0",
                "leave `timeout` out to wait for ever",
            );
            None
        }
        ns => Some(Some(At::new(ns, at))),
    }
}

fn span(reader: &mut Reader, what: &str, key: Place, node: Node<'_>) -> Option<u64> {
    let text = reader.text(what, key, node)?;
    match duration(&text.v) {
        Ok(ns) => Some(ns),
        Err((problem, help)) => {
            reader.bad(format!("`{what}` cannot be `{}`: {problem}", text.v), text.at, problem, help);
            None
        }
    }
}

fn on_failure(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<At<OnFailure>> {
    const EXPECTED: &str = "`abort`, `continue` or `{ retry: { times: N, delay: 100ms } }`";
    let at = place(&node, key);
    match node.value {
        Value::Scalar { text, .. } => match text.as_ref() {
            "abort" => Some(At::new(OnFailure::Abort, at)),
            "continue" => Some(At::new(OnFailure::Continue, at)),
            other => {
                reader.findings.push(
                    Diagnostic::error("RSD0113", format!("`on-failure` cannot be `{other}`"))
                        .at(at, "not something to do")
                        .help(format!("write {EXPECTED}"))
                        .suggest(at, other, ["abort", "continue"]),
                );
                None
            }
        },
        Value::Map(entries) => {
            let mut found = None;
            let empty = entries.is_empty();
            for (key, node) in entries {
                if key.v == "retry" {
                    found = retry(reader, key.at, node).map(|r| At::new(r, at));
                } else {
                    reader.unknown_key(&key, &["retry"], "on-failure");
                }
            }
            if empty {
                reader.bad("`on-failure` is empty", at, "nothing is said here", format!("write {EXPECTED}"));
            }
            found
        }
        _ => {
            reader.wrong("on-failure", EXPECTED, &node, key);
            None
        }
    }
}

fn retry(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<OnFailure> {
    let at = place(&node, key);
    let (mut times, mut delay, mut written) = (None, Some(0), false);
    for (key, node) in reader.map("retry", "a mapping like `{ times: 3, delay: 100ms }`", key, node)? {
        match key.v.as_ref() {
            "times" => {
                written = true;
                let Some(text) = reader.text("times", key.at, node) else { continue };
                times = text.v.parse().ok().filter(|n| (1..=1_000).contains(n));
                if times.is_none() {
                    reader.bad(
                        format!("`times` cannot be `{}`", text.v),
                        text.at,
                        "expected a number from 1 to 1000",
                        "it counts the attempts after the first",
                    );
                }
            }
            "delay" => delay = span(reader, "delay", key.at, node),
            _ => reader.unknown_key(&key, &["times", "delay"], "retry"),
        }
    }
    if !written {
        reader.findings.push(
            Diagnostic::error("RSD0107", "the key `times` is missing")
                .at(at, "how often?")
                .help("write `{ times: 3, delay: 100ms }`"),
        );
    }
    Some(OnFailure::Retry { times: times?, delay: delay? })
}
