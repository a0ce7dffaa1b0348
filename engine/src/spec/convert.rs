//! From a tree to the parts of a spec, one file at a time. Whatever is wrong is reported, all of it.

mod condition;
mod option;
mod phase;
mod reader;
mod socket;

pub(super) use option::OptionPart;
pub(super) use phase::PhasePart;
pub use reader::name_problem;

use super::VERSION;
use super::tree::{Node, Value};
use crate::diagnostic::{At, Diagnostic, Place};
use reader::Reader;
use std::collections::HashMap;

/// One file: what it says, and nothing it does not.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub name: Option<At<String>>,
    pub about: Option<Option<String>>,
    pub extends: Option<At<String>>,
    pub options: Vec<OptionPart>,
    pub phases: Option<Vec<PhasePart>>,
    pub order: Option<Vec<At<String>>>,
}

const KEYS: &[&str] = &["rsd", "name", "about", "extends", "options", "phases", "order"];

/// The parts that a file's tree holds, and everything wrong in it.
pub(super) fn part(root: Node<'_>) -> (Part, Vec<Diagnostic>) {
    let mut part = Part::default();
    let mut reader = Reader::default();
    let entries = match root.value {
        Value::Map(entries) => entries,
        ref other => {
            let found = Node { at: root.at, value: other.clone() };
            let finding = Diagnostic::error("RSD0103", "a spec is a mapping").at(
                found.at,
                format!("expected keys like `rsd:`, `name:` and `phases:`, found {}", found.noun()),
            );
            return (part, vec![finding]);
        }
    };
    let start = entries.first().map_or(root.at, |(key, _)| key.at);
    let mut seen = Vec::new();
    for (key, node) in entries {
        if let Some(known) = KEYS.iter().find(|k| **k == key.v) {
            seen.push(*known);
        }
        match key.v.as_ref() {
            "rsd" => version(&mut reader, key.at, node),
            "name" => {
                part.name = reader.text("name", key.at, node);
                if let Some(name) = &part.name {
                    reader.name("spec", name);
                }
            }
            "about" => part.about = reader.sentence("about", key.at, node),
            "extends" => part.extends = reader.text("extends", key.at, node),
            "options" => part.options = option::options(&mut reader, key.at, node),
            "phases" => part.phases = phase::phases(&mut reader, key.at, node),
            "order" => part.order = reader.texts("order", key.at, node, false),
            _ => reader.unknown_key(&key, KEYS, "a spec"),
        }
    }
    let demanded: &[&str] = if seen.contains(&"extends") { &["rsd"] } else { &["rsd", "name", "phases"] };
    for key in demanded.iter().filter(|k| !seen.contains(*k)) {
        reader.findings.push(missing(key, start));
    }
    // What stands side by side differs already: they are keys of one mapping.
    if let Some(phases) = part.phases.as_ref().filter(|all| all.iter().any(|p| p.phases.is_some())) {
        unique(phases, &mut HashMap::new(), &mut reader.findings);
    }
    if !seen.contains(&"extends") {
        let options = part.options.iter().filter(|o| o.removed).map(|o| &o.name);
        reader.findings.extend(options.map(nothing_to_remove));
        removals(part.phases.as_deref().unwrap_or_default(), &mut reader.findings);
    }
    (part, reader.findings)
}

fn version(reader: &mut Reader, key: Place, node: Node<'_>) {
    let quoted = matches!(node.value, Value::Scalar { plain: false, .. });
    let Some(text) = reader.text("rsd", key, node) else { return };
    if text.v == VERSION && quoted {
        let mut finding = Diagnostic::error("RSD0107", "the version of the language is a number, not a text")
            .at(text.at, "the quotes make it a text")
            .help(format!("write `rsd: {VERSION}`"));
        finding.edit = Some((text.at, VERSION.to_owned()));
        reader.findings.push(finding);
    } else if text.v != VERSION {
        let finding = Diagnostic::error(
            "RSD0107",
            format!("this build reads version {VERSION} of the language, not `{}`", text.v),
        );
        let mut finding =
            finding.at(text.at, "the version of the language").help(format!("write `rsd: {VERSION}`"));
        finding.edit = Some((text.at, VERSION.to_owned()));
        reader.findings.push(finding);
    }
}

fn missing(key: &str, start: Place) -> Diagnostic {
    let help = match key {
        "rsd" => format!("begin the file with `rsd: {VERSION}`, the version of the language"),
        "name" => "add `name: NAME`: journals are kept under it".to_owned(),
        _ => "add `phases:`, or `extends:` a spec that has some".to_owned(),
    };
    Diagnostic::error("RSD0107", format!("the key `{key}` is missing"))
        .at(start, format!("this spec has no `{key}`"))
        .help(help)
}

/// Names of phases and groups are unique in a file: `needs` and `order` name them without a path.
fn unique<'a>(phases: &'a [PhasePart], seen: &mut HashMap<&'a str, Place>, findings: &mut Vec<Diagnostic>) {
    for phase in phases {
        match seen.get(phase.name.v.as_str()) {
            Some(first) => findings.push(
                Diagnostic::error("RSD0207", format!("the name `{}` is used twice", phase.name.v))
                    .with(*first, "first here")
                    .at(phase.name.at, "and again here")
                    .help("phases and groups share one set of names: `needs` and `order` give no path")
                    .phase(&phase.name.v),
            ),
            None => {
                seen.insert(&phase.name.v, phase.name.at);
            }
        }
        unique(phase.phases.as_deref().unwrap_or_default(), seen, findings);
    }
}

/// `name: null` takes away what was inherited; a spec that inherits nothing forgot something.
fn removals(phases: &[PhasePart], findings: &mut Vec<Diagnostic>) {
    for phase in phases {
        if phase.removed {
            findings.push(nothing_to_remove(&phase.name));
        }
        removals(phase.phases.as_deref().unwrap_or_default(), findings);
    }
}

fn nothing_to_remove(name: &At<String>) -> Diagnostic {
    Diagnostic::error("RSD0106", format!("`{}` is nothing, not a mapping", name.v))
        .at(name.at, "expected a mapping, found nothing")
        .help("only a spec that `extends` another can take something away like this")
}
