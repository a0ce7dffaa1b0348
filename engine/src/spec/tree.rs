//! YAML text to a small tree that knows where everything stands.
//!
//! The only module that names `serde_yaml`. It reads that crate's event stream instead of
//! deserialising, because the language needs what serde types have lost: the text of a plain scalar
//! as it was written (`022`), whether it was quoted, and the places of both keys of a duplicate.
// A finding is large, and a spec has few of them.
#![allow(clippy::result_large_err)]

use crate::diagnostic::{At, Diagnostic, Place};
use serde_yaml::granit_parser::{self as yaml, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// How deep lists and mappings may nest.
const DEPTH: usize = 100;
/// How many values a text may have.
const NODES: usize = 3_000_000;
/// How much aliases may copy: values, and one more for every 16 bytes of text.
const COPIES: usize = 400_000;

/// A value and where it stands. Block lists, block mappings and nothing have an empty place.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub at: Place,
    pub value: Value<'a>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// `~`, `null` or nothing
    Null,
    /// the text as written if plain, its content if quoted
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
    Seq(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// A key of a mapping.
pub(super) type Key<'a> = At<Cow<'a, str>>;

impl Node<'_> {
    /// For people: "a mapping".
    pub fn noun(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn depth_and_weight(&self) -> (usize, usize) {
        let over = |children: &mut dyn Iterator<Item = (usize, usize)>| {
            children.fold((1, 1), |(depth, weight), (d, w)| (depth.max(d + 1), weight + w))
        };
        match &self.value {
            Value::Null => (0, 1),
            Value::Scalar { text, .. } => (0, 1 + text.len() / 16),
            Value::Seq(items) => over(&mut items.iter().map(Node::depth_and_weight)),
            Value::Map(entries) => over(&mut entries.iter().map(|(k, n)| {
                let (depth, weight) = n.depth_and_weight();
                (depth, weight + 1 + k.v.len() / 16)
            })),
        }
    }
}

/// A list or mapping that is still open. What it holds so far stands on the builder's stacks from `first` on,
/// so that it is put away at once, in its size.
enum Frame<'a> {
    Seq { at: Place, anchor: usize, first: usize },
    Map { at: Place, anchor: usize, first: usize, key: Option<Key<'a>> },
}

struct Anchored<'a> {
    node: Node<'a>,
    depth: usize,
    weight: usize,
}

struct Builder<'a> {
    source: u16,
    text: &'a str,
    stack: Vec<Frame<'a>>,
    /// items of the lists that are open, the outermost first
    items: Vec<Node<'a>>,
    /// entries of the mappings that are open, likewise
    entries: Vec<(Key<'a>, Node<'a>)>,
    anchors: HashMap<usize, Anchored<'a>>,
    copied: usize,
    nodes: usize,
    documents: usize,
    root: Option<Node<'a>>,
    findings: Vec<Diagnostic>,
}

/// The one document in `text`, or why there is none.
pub(super) fn parse(source: u16, text: &str) -> Result<Node<'_>, Vec<Diagnostic>> {
    printable(source, text).map_err(|d| vec![d])?;
    let options = yaml::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut builder = Builder {
        source,
        text,
        stack: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        anchors: HashMap::new(),
        copied: 0,
        nodes: 0,
        documents: 0,
        root: None,
        findings: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.still_open(scan_error(source, text, &error))),
        };
        if let Err(finding) = step {
            builder.findings.push(finding);
            return Err(builder.findings);
        }
    }
    if !builder.findings.is_empty() {
        return Err(builder.findings);
    }
    match builder.root {
        Some(Node { value: Value::Null, .. }) | None => {
            let place = Place { source, offset: 0, len: 0 };
            Err(vec![
                Diagnostic::error("RSD0103", "the spec is empty")
                    .at(place, "expected `rsd: 1` and more")
                    .help("`rsd specs` lists complete ones to start from"),
            ])
        }
        Some(node) => Ok(node),
    }
}

fn printable(source: u16, text: &str) -> Result<(), Diagnostic> {
    let bad = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7f;
    // Whole blocks without a branch a byte: a spec may be megabytes, and nearly none has such a byte.
    let blocks = text.as_bytes().chunks(4096);
    let Some(n) = blocks.clone().position(|block| block.iter().fold(false, |any, b| any | bad(*b))) else {
        return Ok(());
    };
    let inside = blocks.skip(n).flatten().position(|b| bad(*b)).unwrap_or_default();
    let offset = n * 4096 + inside;
    let what = match text.as_bytes()[offset] {
        0 => "a NUL byte".to_owned(),
        b => format!("the control character U+{b:04X}"),
    };
    Err(Diagnostic::error("RSD0101", format!("a spec is text, and this has {what}"))
        .at(Place { source, offset: offset as u32, len: 1 }, "here")
        .help("is this the right file? In a quoted text such a character is written `\\xNN`"))
}

/// The next word from `offset` on, or the last character before it where the text ends there.
fn word_at(source: u16, text: &str, offset: usize) -> Place {
    let mut start = offset.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let behind = text[start..].trim_start();
    start = if behind.is_empty() {
        text[..start].trim_end().char_indices().next_back().map_or(0, |(n, _)| n)
    } else {
        text.len() - behind.len()
    };
    let rest = &text[start..];
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let word = rest.find(char::is_whitespace).unwrap_or(rest.len()).clamp(first, first.max(40));
    let mut end = word;
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    Place { source, offset: start as u32, len: end as u32 }
}

fn scan_error(source: u16, text: &str, error: &ScanError) -> Diagnostic {
    let marker = error.marker();
    let place = word_at(source, text, marker.byte_offset().unwrap_or_else(|| marker.index()));
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(place),
        ErrorKind::UnknownAnchor => Diagnostic::error("RSD0110", "an alias without an anchor")
            .at(place, "nothing above is marked with `&` and this name")
            .help("put quotes around a text that begins with `*`"),
        kind => {
            let finding = Diagnostic::error("RSD0102", format!("this is not YAML: {kind}")).at(place, "here");
            match kind {
                ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabNotAllowed => {
                    finding.help("YAML is indented with spaces, not tabs")
                }
                _ if kind.to_string().contains("quoted") => {
                    finding.help("is a quote above left open? A quoted text that goes on is indented further")
                }
                _ => finding,
            }
        }
    }
}

fn too_deep(place: Place) -> Diagnostic {
    Diagnostic::error("RSD0110", format!("lists and mappings nest more than {DEPTH} deep"))
        .at(place, "this level is one too many")
}

impl<'a> Builder<'a> {
    fn place(&self, span: Span) -> Place {
        let start = span.start.byte_offset().unwrap_or_else(|| span.start.index());
        let end = span.end.byte_offset().unwrap_or_else(|| span.end.index());
        let len = self.text.get(start..end.max(start)).map_or(0, |s| s.trim_end().len());
        Place { source: self.source, offset: start as u32, len: len as u32 }
    }

    /// A bracket that nobody closed, said with the error that follows from it.
    fn still_open(&self, finding: Diagnostic) -> Diagnostic {
        if finding.code != "RSD0102" {
            return finding;
        }
        let flow = self.stack.iter().rev().find_map(|frame| {
            let (Frame::Seq { at, .. } | Frame::Map { at, .. }) = frame;
            let mark = self.text[at.offset as usize..].chars().next()?;
            matches!(mark, '[' | '{').then_some((*at, mark))
        });
        match flow {
            Some((at, mark)) if !finding.labels.iter().any(|l| l.at.offset == at.offset) => {
                finding.with(Place { len: 1, ..at }, format!("this `{mark}` is still open"))
            }
            _ => finding,
        }
    }

    fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), Diagnostic> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Diagnostic::error("RSD0103", "more than one document in a spec")
                        .at(word_at(self.source, self.text, place.offset as usize), "the second begins here")
                        .help(
                            "one file is one spec; what several have in common goes into one they `extends`",
                        ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = tag.as_deref().is_some_and(|t| t.is_yaml_core_schema_tag("str"));
                if tag.is_some() && !quoted {
                    return Err(tagged(place));
                }
                let plain = style == ScalarStyle::Plain && !quoted;
                let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar { text, plain } };
                self.add(Node { at: place, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(place, tag.is_some())?;
                self.stack.push(Frame::Seq { at: place, anchor, first: self.items.len() });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(place, tag.is_some())?;
                self.stack.push(Frame::Map { at: place, anchor, first: self.entries.len(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place),
            Event::Alias(id) => self.alias(id, place),
            _ => Ok(()),
        }
    }

    fn open(&self, place: Place, tagged_: bool) -> Result<(), Diagnostic> {
        let here = || word_at(self.source, self.text, place.offset as usize);
        if tagged_ {
            return Err(tagged(here()));
        }
        if self.stack.len() >= DEPTH {
            return Err(too_deep(here()));
        }
        if matches!(self.stack.last(), Some(Frame::Map { key: None, .. })) {
            return Err(Diagnostic::error("RSD0106", "a key must be a text")
                .at(here(), "expected a text, found a list or a mapping"));
        }
        Ok(())
    }

    fn close(&mut self, end: Place) -> Result<(), Diagnostic> {
        let (node, anchor) = match self.stack.pop() {
            Some(Frame::Seq { at, anchor, first }) => {
                let items = self.items.split_off(first);
                (Node { at: until(at, end), value: Value::Seq(items) }, anchor)
            }
            Some(Frame::Map { at, anchor, first, .. }) => {
                let entries = self.entries.split_off(first);
                self.duplicates(&entries);
                (Node { at: until(at, end), value: Value::Map(entries) }, anchor)
            }
            None => return Ok(()),
        };
        self.add(node, anchor)
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<(), Diagnostic> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Diagnostic::error("RSD0110", "an alias inside what it stands for")
                .at(place, "this would contain itself"));
        };
        if self.stack.len() + anchored.depth > DEPTH {
            return Err(too_deep(place));
        }
        let (weight, value) = (anchored.weight, &anchored.node.value);
        self.copied += weight;
        if self.copied > COPIES {
            return Err(bomb(place));
        }
        let node = Node { at: place, value: value.clone() };
        self.add(node, 0)
    }

    fn add(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(Diagnostic::error("RSD0110", format!("more than {NODES} values in one spec"))
                .at(node.at, "this is one too many"));
        }
        if anchor != 0 {
            let (depth, weight) = node.depth_and_weight();
            self.copied += weight;
            if self.copied > COPIES {
                return Err(bomb(node.at));
            }
            self.anchors.insert(anchor, Anchored { node: node.clone(), depth, weight });
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Seq { .. }) => self.items.push(node),
            Some(Frame::Map { key, .. }) => match key.take() {
                Some(key) => self.entries.push((key, node)),
                None => *key = Some(as_key(node)?),
            },
        }
        Ok(())
    }

    fn duplicates(&mut self, entries: &[(Key<'a>, Node<'a>)]) {
        let twice = |first: &Key<'a>, second: &Key<'a>| {
            Diagnostic::error("RSD0104", format!("the key `{}` is written twice", second.v))
                .with(first.at, "first here")
                .at(second.at, "and again here")
                .help("remove one of them")
        };
        if entries.len() <= 16 {
            for (n, (key, _)) in entries.iter().enumerate() {
                if let Some((first, _)) = entries[..n].iter().find(|(k, _)| k.v == key.v) {
                    self.findings.push(twice(first, key));
                }
            }
            return;
        }
        let mut seen: HashMap<&str, &Key<'a>> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            match seen.get(key.v.as_ref()) {
                Some(first) => self.findings.push(twice(first, key)),
                None => {
                    seen.insert(key.v.as_ref(), key);
                }
            }
        }
    }
}

fn as_key(node: Node<'_>) -> Result<Key<'_>, Diagnostic> {
    match node.value {
        Value::Scalar { text, plain: true } if text == "<<" => {
            Err(Diagnostic::error("RSD0110", "merge keys are not part of the language")
                .at(node.at, "YAML 1.1's merge key")
                .help("write the keys out, or put what is shared into a spec that this one `extends`"))
        }
        Value::Scalar { text, .. } => Ok(At::new(text, node.at)),
        _ => Err(Diagnostic::error("RSD0106", "a key must be a text")
            .at(node.at, format!("expected a text, found {}", node.noun()))),
    }
}

fn until(start: Place, end: Place) -> Place {
    // Only a flow collection ends with a mark of its own; a block one ends wherever the next begins.
    let len = if end.len > 0 { (end.offset + end.len).saturating_sub(start.offset) } else { 0 };
    Place { len, ..start }
}

fn tagged(place: Place) -> Diagnostic {
    Diagnostic::error("RSD0106", "YAML tags are not part of the language")
        .at(place, "this has a tag")
        .help("every value is read as the text that was written; put quotes around it where YAML needs them")
}

fn bomb(place: Place) -> Diagnostic {
    Diagnostic::error("RSD0110", "the aliases of this spec stand for too much")
        .at(place, "expanding this one goes over the limit")
        .help("an overlay (`extends`) says such things once")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;

    fn refused(text: &str) -> (&'static str, String) {
        let mut sources = Sources::default();
        let n = sources.add("t", text);
        let findings = parse(n, &sources.get(n).text).expect_err("must be refused");
        let at = findings[0].labels.iter().find(|l| l.primary).map(|l| sources.position(l.at));
        (findings[0].code, at.map_or(String::new(), |(l, c)| format!("{l}:{c}")))
    }

    #[test]
    fn what_is_no_spec_is_refused_with_its_place() {
        for (text, code, at) in [
            ("", "RSD0103", "1:1"),
            ("# nothing\n", "RSD0103", "1:1"),
            ("---\n", "RSD0103", "1:1"),
            ("a: [1, 2\nb: 3\n", "RSD0102", "2:2"),
            ("a: 'x\n", "RSD0102", "1:5"),
            ("a: 1\n\tb: 2\n", "RSD0102", "1:4"),
            ("a\0b", "RSD0101", "1:2"),
            ("a: \u{1b}[31m", "RSD0101", "1:4"),
            ("a: 1\n---\nb: 2\n", "RSD0103", "2:1"),
            ("a: 1\nb: 2\na: 3\n", "RSD0104", "3:1"),
            ("a: {x: 1, y: {z: 1, z: 2}}\n", "RSD0104", "1:21"),
            ("? [a]\n: b\n", "RSD0106", "1:3"),
            ("~: b\n", "RSD0106", "1:1"),
            ("a: !foo b\n", "RSD0106", "1:9"),
            ("a: &x {b: 1}\nc: {<<: *x}\n", "RSD0110", "2:5"),
            ("a: *x\n", "RSD0110", "1:4"),
            ("a: &x [*x]\n", "RSD0110", "1:8"),
        ] {
            assert_eq!(refused(text), (code, at.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn depth_and_bombs_are_refused_quickly() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 9].join(",");
            bomb += &format!("a{n}: &a{n} [{list}]\n");
        }
        let block: String = (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        for text in [
            "[".repeat(20_000),
            "a: ".to_owned() + &"{a: ".repeat(20_000),
            "- ".repeat(20_000) + "a",
            block,
            bomb,
            "a: &x ".to_owned()
                + &"[".repeat(60)
                + &"]".repeat(60)
                + "\nb: "
                + &"[".repeat(60)
                + "*x"
                + &"]".repeat(60),
        ] {
            assert_eq!(refused(&text).0, "RSD0110", "{:.40}", text);
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        let text = "{a: 022, b: \"0\\x32\", c: no, d: ~, e: '~', f: *g}".replace("*g", "&g 0o17, h: *g");
        let node = parse(0, &text).expect("is YAML");
        let Value::Map(entries) = node.value else { panic!("a mapping") };
        let got: Vec<_> = entries
            .iter()
            .map(|(k, n)| match &n.value {
                Value::Scalar { text, plain } => format!("{}={text}{}", k.v, if *plain { "" } else { "!" }),
                _ => format!("{}", k.v),
            })
            .collect();
        assert_eq!(got, ["a=022", "b=02!", "c=no", "d", "e=~!", "f=0o17", "h=0o17"]);
        let place = entries[6].1.at;
        assert_eq!(&text[place.offset as usize..][..place.len as usize], "*g");
    }
}
