//! The definitions of options.

use super::condition::conditions;
use super::reader::{Reader, place, quoted};
use crate::diagnostic::{At, Diagnostic, Place};
use crate::kind::Type;
use crate::spec::tree::{Node, Value};
use crate::spec::{Default_, Given};

/// What one file says of an option.
#[derive(Debug, Default)]
pub(in crate::spec) struct OptionPart {
    pub name: At<String>,
    /// `name: null`
    pub removed: bool,
    pub ty: Option<At<Type>>,
    pub list: Option<At<bool>>,
    pub rest: Option<At<bool>>,
    pub required: Option<At<bool>>,
    pub short: Option<Option<At<char>>>,
    pub help: Option<Option<String>>,
    pub defaults: Option<Vec<Default_>>,
}

const KEYS: &[&str] = &["type", "list", "rest", "required", "short", "help", "default"];
/// Flags of the command itself.
const TAKEN: &[&str] = &[
    "spec",
    "order",
    "skip",
    "json",
    "deny",
    "dot",
    "mermaid",
    "why",
    "name",
    "journal",
    "trust-spec",
    "unchecked",
    "help",
    "version",
    "snapshot",
    "profile",
    "strict",
    "force",
    "kill-after",
    "lines",
    "follow",
];
const TAKEN_SHORT: &[char] = &['h', 'V'];

pub(super) fn options(reader: &mut Reader, key: Place, node: Node<'_>) -> Vec<OptionPart> {
    if matches!(node.value, Value::Null) {
        return Vec::new();
    }
    let entries = reader.map("options", "a mapping of names to options", key, node).unwrap_or_default();
    entries.into_iter().map(|(key, node)| option(reader, At::new(key.v.into_owned(), key.at), node)).collect()
}

fn option(reader: &mut Reader, name: At<String>, node: Node<'_>) -> OptionPart {
    check_name(reader, &name);
    let at = name.at;
    let mut part = OptionPart { name, ..OptionPart::default() };
    if matches!(node.value, Value::Null) {
        part.removed = true;
        return part;
    }
    let what = part.name.v.clone();
    let entries = reader.map(&what, "a mapping like `{ type: path, help: … }`", at, node).unwrap_or_default();
    for (key, node) in entries {
        match key.v.as_ref() {
            "type" => part.ty = ty(reader, key.at, node),
            "list" => part.list = reader.boolean("list", key.at, node),
            "rest" => part.rest = reader.boolean("rest", key.at, node),
            "required" => part.required = reader.boolean("required", key.at, node),
            "short" => part.short = short(reader, key.at, node),
            "help" => part.help = reader.sentence("help", key.at, node),
            "default" => part.defaults = defaults(reader, key.at, node),
            _ => reader.unknown_key(&key, KEYS, "an option"),
        }
    }
    part
}

fn check_name(reader: &mut Reader, name: &At<String>) {
    let text = name.v.as_str();
    let known = reader.findings.len();
    reader.name("option", name);
    if reader.findings.len() > known {
        return;
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        reader.findings.push(
            Diagnostic::error("RSD0109", format!("`{text}` cannot be the name of an option"))
                .at(name.at, "it becomes the flag of a command line and the name in `${…}`")
                .help("use ASCII letters, digits, `-` and `_`"),
        );
    } else if TAKEN.contains(&text) {
        reader.findings.push(
            Diagnostic::error("RSD0112", format!("the option `{text}` would hide rsd's own `--{text}`"))
                .at(name.at, "this name is taken")
                .help("name it otherwise"),
        );
    } else if text == "root" {
        reader.findings.push(
            Diagnostic::error("RSD0112", "no option can be called `root`")
                .at(name.at, "`when: root` asks whether the run was started as uid 0")
                .help("name it otherwise, `chroot` for a new root directory"),
        );
    }
}

fn ty(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<At<Type>> {
    let text = reader.text("type", key, node)?;
    let known: Vec<&str> = Type::OPTIONS.iter().map(|t| t.name()).collect();
    let ty = Type::by_name(&text.v);
    if ty.is_none() {
        reader.findings.push(
            Diagnostic::error("RSD0112", format!("there is no type `{}`", text.v))
                .at(text.at, "not a type")
                .help(format!("the types are {}", quoted(&known)))
                .suggest(text.at, &text.v, known.iter().copied()),
        );
    }
    ty.map(|t| At::new(t, text.at))
}

fn short(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Option<At<char>>> {
    if matches!(node.value, Value::Null) {
        return Some(None);
    }
    let text = reader.text("short", key, node)?;
    let mut chars = text.v.chars();
    let (problem, help) = match (chars.next(), chars.next()) {
        (Some(c), None) if TAKEN_SHORT.contains(&c) => {
            (format!("`-{c}` is rsd's own"), "choose another letter, or leave `short` out")
        }
        (Some(c), None) if c.is_ascii_alphanumeric() => return Some(Some(At::new(c, text.at))),
        _ => ("not one ASCII letter or digit".to_owned(), "one letter or digit, as in `short: u` for `-u`"),
    };
    reader.findings.push(
        Diagnostic::error("RSD0112", format!("`short` cannot be `{}`", text.v))
            .at(text.at, problem)
            .help(help),
    );
    None
}

fn defaults(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Vec<Default_>> {
    let conditional = |n: &Node<'_>| matches!(n.value, Value::Map(_));
    match node.value {
        Value::Seq(items) if items.iter().any(conditional) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                if conditional(&item) {
                    list.extend(conditional_default(reader, key, item));
                } else {
                    reader.wrong("an entry of default", "a mapping like `{ when: …, value: … }`", &item, key);
                }
            }
            Some(list)
        }
        _ => {
            let value = reader.given("default", key, node)?;
            Some(value.into_iter().map(|value| Default_ { when: Vec::new(), value }).collect())
        }
    }
}

fn conditional_default(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Default_> {
    let at = place(&node, key);
    let (mut when, mut value, mut written) = (Vec::new(), None, false);
    for (key, node) in reader.map("default", "a mapping", key, node)? {
        match key.v.as_ref() {
            "when" => when = conditions(reader, key.at, node).unwrap_or_default(),
            "value" => {
                written = true;
                // Nothing as a value is no value, as an empty text is.
                value = reader
                    .given("value", key.at, node)
                    .map(|g| g.unwrap_or(Given::One(At::new(String::new(), key.at))));
            }
            _ => reader.unknown_key(&key, &["when", "value"], "a default"),
        }
    }
    if !written {
        reader.findings.push(
            Diagnostic::error("RSD0107", "the key `value` is missing")
                .at(at, "this default has no `value`")
                .help("write `{ when: CONDITION, value: VALUE }`"),
        );
    }
    value.map(|value| Default_ { when, value })
}
