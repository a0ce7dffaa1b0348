//! Reading nodes as what is wanted, with a finding where they are something else.

use super::socket;
use crate::diagnostic::{At, Diagnostic, Place};
use crate::spec::Given;
use crate::spec::finish::suggestible;
use crate::spec::tree::{Key, Node, Value};

/// Longest name, in bytes: it becomes part of file names.
const LONGEST_NAME: usize = 128;

/// Collects findings while nodes are read. `key` is always the place of the key the node stands
/// under: block collections have no place of their own to point at.
#[derive(Default)]
pub(super) struct Reader {
    pub findings: Vec<Diagnostic>,
}

/// Where to point for a node.
pub(super) fn place(node: &Node<'_>, key: Place) -> Place {
    if node.at.len > 0 { node.at } else { key }
}

impl Reader {
    pub fn wrong(&mut self, what: &str, expected: &str, node: &Node<'_>, key: Place) {
        self.findings.push(
            Diagnostic::error("RSD0106", format!("`{what}` is {}, not {expected}", node.noun()))
                .at(place(node, key), format!("expected {expected}, found {}", node.noun())),
        );
    }

    pub fn bad(
        &mut self,
        message: impl Into<String>,
        at: Place,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(Diagnostic::error("RSD0113", message).at(at, label).help(help));
    }

    pub fn unknown_key(&mut self, key: &Key<'_>, known: &[&str], of: &str) {
        let finding = Diagnostic::error("RSD0105", format!("unknown key `{}` in {of}", key.v))
            .at(key.at, format!("{of} has no such key"));
        let compared = known.iter().copied().take(suggestible(&self.findings));
        let suggested = finding.clone().suggest(key.at, &key.v, compared);
        self.findings.push(if suggested.edit.is_some() {
            suggested
        } else {
            finding.help(format!("it may have {}", quoted(known)))
        });
    }

    pub fn text(&mut self, what: &str, key: Place, node: Node<'_>) -> Option<At<String>> {
        match node.value {
            Value::Scalar { text, .. } => Some(At::new(text.into_owned(), node.at)),
            _ => {
                self.wrong(what, "a text", &node, key);
                None
            }
        }
    }

    /// A text for people; nothing takes it away.
    pub fn sentence(&mut self, what: &str, key: Place, node: Node<'_>) -> Option<Option<String>> {
        match node.value {
            Value::Null => Some(None),
            _ => self.text(what, key, node).map(|t| Some(t.v)),
        }
    }

    /// A list of names, or one name where that `may_be_one`.
    pub fn texts(
        &mut self,
        what: &str,
        key: Place,
        node: Node<'_>,
        may_be_one: bool,
    ) -> Option<Vec<At<String>>> {
        match node.value {
            Value::Null if may_be_one => Some(Vec::new()),
            Value::Scalar { text, .. } if may_be_one => Some(vec![At::new(text.into_owned(), node.at)]),
            Value::Seq(items) => {
                let what = format!("an entry of {what}");
                Some(items.into_iter().filter_map(|n| self.text(&what, key, n)).collect())
            }
            _ => {
                self.wrong(
                    what,
                    if may_be_one { "a name or a list of names" } else { "a list of names" },
                    &node,
                    key,
                );
                None
            }
        }
    }

    pub fn boolean(&mut self, what: &str, key: Place, node: Node<'_>) -> Option<At<bool>> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(At::new(true, node.at)),
            Value::Scalar { text, plain: true } if text == "false" => Some(At::new(false, node.at)),
            Value::Scalar { text, .. } => {
                let finding =
                    Diagnostic::error("RSD0106", format!("`{what}` is `{text}`, not true or false"))
                        .at(node.at, "expected true or false");
                let meant = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" | "true" => Some("true"),
                    "no" | "off" | "n" | "0" | "false" => Some("false"),
                    _ => None,
                };
                self.findings.push(match meant {
                    Some(meant) => {
                        let mut finding = finding.help(format!("write `{meant}`"));
                        finding.edit = Some((node.at, meant.to_owned()));
                        finding
                    }
                    None => finding,
                });
                None
            }
            _ => {
                self.wrong(what, "true or false", &node, key);
                None
            }
        }
    }

    /// A value for somebody else to type: a text or a list of texts. Nothing is `Some(None)`. A mapping may stand
    /// for the text of a socket.
    pub fn given(&mut self, what: &str, key: Place, node: Node<'_>) -> Option<Option<Given>> {
        match node.value {
            Value::Null => Some(None),
            Value::Scalar { text, .. } => Some(Some(Given::One(At::new(text.into_owned(), node.at)))),
            Value::Seq(items) => {
                let what = format!("an entry of {what}");
                let item = |node: Node<'_>| match node.value {
                    Value::Map(entries) if socket::is_one(&entries) => {
                        let at = entries.first().map_or(key, |(first, _)| first.at);
                        socket::compact(self, at, entries)
                    }
                    _ => self.text(&what, key, node),
                };
                let list = items.into_iter().filter_map(item).collect();
                Some(Some(Given::List(list)))
            }
            Value::Map(entries) if socket::is_one(&entries) => {
                let at = entries.first().map_or(key, |(first, _)| first.at);
                socket::compact(self, at, entries).map(|text| Some(Given::One(text)))
            }
            Value::Map(_) => {
                self.wrong(what, "a text or a list of texts", &node, key);
                None
            }
        }
    }

    pub fn map<'a>(
        &mut self,
        what: &str,
        expected: &str,
        key: Place,
        node: Node<'a>,
    ) -> Option<Vec<(Key<'a>, Node<'a>)>> {
        match node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong(what, expected, &node, key);
                None
            }
        }
    }

    /// What a name must be, for specs, options, phases and groups alike.
    pub fn name(&mut self, of: &str, name: &At<String>) {
        let text = name.v.as_str();
        let problem = name_problem(text);
        if let Some(problem) = problem {
            let shown: String = text.chars().take(40).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            self.findings.push(
                Diagnostic::error(
                    "RSD0109",
                    format!("`{shown}{more}` cannot be the name of a {of}: {problem}"),
                )
                .at(name.at, problem)
                .help("use letters, digits, `-`, `_` and `.`"),
            );
        }
    }
}

/// "`a`, `b` and `c`".
pub(super) fn quoted(names: &[&str]) -> String {
    crate::text::list(&names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>())
}

/// Why a text cannot be a name of a spec, a phase, a group, an option or an instance.
pub fn name_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > LONGEST_NAME {
        Some("it is longer than 128 bytes")
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) || crate::text::clean(text) != text {
        Some("it has white space or a character that cannot be seen")
    } else if text.contains(['/', '$', ',']) {
        Some("it has one of `/`, `$` and `,`")
    } else if !text.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        Some("it does not begin with a letter, a digit or `_`")
    } else {
        None
    }
}
