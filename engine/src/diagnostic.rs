//! What is wrong, where, why, and what to do; and the text a compiler would make of it.

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde::Serialize;
use std::collections::HashMap;

/// A text that diagnostics point into: a spec file, a built-in spec, or the command line.
#[derive(Clone, Debug)]
pub struct Source {
    /// `specs/twistd.yaml`, `builtin:twistd` or `<command line>`
    pub name: String,
    /// the whole text
    pub text: String,
}

/// The texts of one reading, by number.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text; the answer is its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u16 {
        self.0.push(Source { name: name.into(), text: text.into() });
        (self.0.len() - 1) as u16
    }

    /// The text with that number.
    pub fn get(&self, source: u16) -> &Source {
        &self.0[usize::from(source)]
    }

    /// The names of all texts, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|source| source.name.as_str())
    }

    /// Line and column, both from 1, the column in characters.
    pub fn position(&self, place: Place) -> (usize, usize) {
        let text = &self.get(place.source).text;
        let offset = floor_char_boundary(text, place.offset as usize);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn floor_char_boundary(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A range of bytes in one of the [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// which text
    pub source: u16,
    /// first byte
    pub offset: u32,
    /// number of bytes
    pub len: u32,
}

/// A value and where it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At<T> {
    /// the value
    pub v: T,
    /// where it stands
    pub at: Place,
}

impl<T> At<T> {
    /// A value with its place.
    pub fn new(v: T, at: Place) -> Self {
        At { v, at }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// worth knowing
    Note,
    /// the daemon comes up, but the thing that is named will fail later
    Warning,
    /// refused
    Error,
}

/// A place and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// where
    pub at: Place,
    /// what
    pub text: String,
    /// marked `^^^` (the culprit) rather than `---` (the context)
    pub primary: bool,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `RSD0206`; see `rsd explain`
    pub code: &'static str,
    /// how bad
    pub severity: Severity,
    /// one sentence fragment: what is wrong
    pub message: String,
    /// every place involved
    pub labels: Vec<Label>,
    /// the name of the text where no place in it is known (a file that cannot be read)
    pub file: Option<String>,
    /// why: facts
    pub notes: Vec<String>,
    /// what to do
    pub help: Vec<String>,
    /// an edit that would mend it: replace the place by the text
    pub edit: Option<(Place, String)>,
    /// what would mend it as an order: the first of these phases before the second
    pub sooner: Option<[String; 2]>,
    /// the list for `order` that was tried, and with which it is gone
    pub order: Vec<String>,
    /// the phases involved
    pub phases: Vec<String>,
    /// the privilege to do it was missing from the start (exit 4 where all errors are of this sort)
    pub unprivileged: bool,
}

impl Diagnostic {
    fn new(code: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity,
            message: message.into(),
            labels: Vec::new(),
            file: None,
            notes: Vec::new(),
            help: Vec::new(),
            edit: None,
            sooner: None,
            order: Vec::new(),
            phases: Vec::new(),
            unprivileged: false,
        }
    }

    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// A note.
    pub fn note_finding(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Note, message)
    }

    /// Adds the place that is wrong.
    pub fn at(mut self, at: Place, text: impl Into<String>) -> Self {
        self.labels.push(Label { at, text: text.into(), primary: true });
        self
    }

    /// Adds a place that explains it.
    pub fn with(mut self, at: Place, text: impl Into<String>) -> Self {
        self.labels.push(Label { at, text: text.into(), primary: false });
        self
    }

    /// Names the file where no place in it is known.
    pub fn in_file(mut self, name: impl Into<String>) -> Self {
        self.file = Some(name.into());
        self
    }

    /// Adds a fact.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds advice.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds "did you mean" if there is something to suggest, with the edit.
    pub fn suggest<'a>(mut self, at: Place, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(meant) = crate::text::did_you_mean(given, known) {
            self.help.push(format!("did you mean `{meant}`?"));
            self.edit = Some((at, meant.to_owned()));
        }
        self
    }

    /// Says what would mend it: one phase before another.
    pub fn sooner(mut self, first: &str, second: &str) -> Self {
        self.sooner = Some([first.to_owned(), second.to_owned()]);
        self.help(format!("put `{first}` before `{second}`"))
    }

    /// Names a phase that is involved.
    pub fn phase(mut self, name: impl Into<String>) -> Self {
        self.phases.push(name.into());
        self
    }

    /// True if it refuses.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What is wrong with a value that several phases use is said once, and names them all.
pub fn joined(findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let apart = |finding: &Diagnostic| Diagnostic { phases: Vec::new(), ..finding.clone() };
    let mut joined: Vec<Diagnostic> = Vec::with_capacity(findings.len());
    let mut known: HashMap<(&'static str, String, Option<Place>), usize> = HashMap::new();
    for mut finding in findings {
        let key = (finding.code, finding.message.clone(), finding.labels.first().map(|label| label.at));
        match known.get(&key).and_then(|at| joined.get_mut(*at)) {
            Some(first) if apart(first) == apart(&finding) => first.phases.append(&mut finding.phases),
            _ => {
                known.insert(key, joined.len());
                joined.push(finding);
            }
        }
    }
    joined
}

/// How findings are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// no escapes
    Plain,
    /// with terminal colours
    Colour,
}

/// The text of one finding, as rustc would print it, ending in a newline.
pub fn render(finding: &Diagnostic, sources: &Sources, style: Style) -> String {
    render_in(finding, sources, style, None)
}

/// The same with its sentences broken to fit that many columns.
pub fn render_in(finding: &Diagnostic, sources: &Sources, style: Style, width: Option<usize>) -> String {
    let clean = |s: &str| crate::text::clean(s).into_owned();
    // In front of a note: the line numbers and ` = note: `; in front of the message: `warning[RSD0401]: `.
    let wrapped = |s: &str, before: usize| match width {
        Some(width) => wrap(&clean(s), width.saturating_sub(before).max(30)),
        None => clean(s),
    };
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let message = wrapped(&finding.message, 18);
    let (near, far) = near(&finding.labels, sources);
    // One snippet a text, the culprit's first.
    let mut order: Vec<u16> = Vec::new();
    for label in near.iter().filter(|l| l.primary).chain(&near) {
        if !order.contains(&label.at.source) {
            order.push(label.at.source);
        }
    }
    // The window of lines keeps a huge file from being scanned and control bytes from the terminal.
    let windows: Vec<Window> = order.iter().map(|s| Window::around(*s, &near, sources)).collect();
    let texts: Vec<String> = near.iter().map(|l| clean(&l.text)).collect();
    let mut main = Group::with_title(level.primary_title(message.as_str()).id(finding.code));
    for window in &windows {
        let mut snippet = Snippet::source(window.text.as_str())
            .line_start(window.first_line)
            .path(window.name.as_str())
            .fold(true);
        for (label, text) in near.iter().zip(&texts).filter(|(l, _)| l.at.source == window.source) {
            let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            snippet = snippet.annotation(kind.span(window.range(label.at)).label(text.as_str()));
        }
        main = main.element(snippet);
    }
    let notes: Vec<String> = far.iter().chain(&finding.notes).map(|n| wrapped(n, 14)).collect();
    let origin = finding.file.as_deref().map(clean);
    if finding.labels.is_empty()
        && let Some(name) = &origin
    {
        main = main.element(annotate_snippets::Origin::path(name.as_str()));
    }
    for note in &notes {
        main = main.element(Level::NOTE.message(note.as_str()));
    }
    let help: Vec<String> = finding.help.iter().map(|n| wrapped(n, 14)).collect();
    let mut report = vec![];
    let patched = finding.edit.as_ref().and_then(|(at, text)| {
        windows.iter().find(|w| w.source == at.source).map(|w| (w, w.range(*at), clean(text)))
    });
    let (last, rest) = match (help.split_last(), &patched) {
        (Some((last, rest)), Some(_)) => (Some(last), rest),
        _ => (None, &help[..]),
    };
    for text in rest {
        main = main.element(Level::HELP.message(text.as_str()));
    }
    report.push(main);
    if let (Some(title), Some((window, range, text))) = (last, &patched) {
        report.push(
            Group::with_title(Level::HELP.secondary_title(title.as_str())).element(
                Snippet::source(window.text.as_str())
                    .line_start(window.first_line)
                    .path(window.name.as_str())
                    .patch(Patch::new(range.clone(), text.as_str())),
            ),
        );
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    let mut text = renderer.render(&report);
    text.push('\n');
    text
}

/// Breaks a sentence at blanks; a longer word stands alone in its line.
fn wrap(text: &str, columns: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let wide = unicode_width::UnicodeWidthStr::width(word);
        if used > 0 && used + 1 + wide > columns {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
    }
    out
}

/// The labels that can be drawn, and in words those that stand in the same line but far from the
/// culprit: a line may be megabytes long.
fn near<'a>(labels: &'a [Label], sources: &Sources) -> (Vec<&'a Label>, Vec<String>) {
    let (mut near, mut far) = (Vec::new(), Vec::new());
    let culprit = labels.iter().find(|l| l.primary).map(|l| l.at);
    for label in labels {
        let away = culprit.filter(|c| c.source == label.at.source && !label.primary).is_some_and(|c| {
            let (from, to) = (c.offset.min(label.at.offset) as usize, c.offset.max(label.at.offset) as usize);
            let text = sources.get(c.source).text.as_bytes();
            to - from > Window::LONGEST && !text[from.min(text.len())..to.min(text.len())].contains(&b'\n')
        });
        if away {
            let (line, column) = sources.position(label.at);
            far.push(format!("{}: line {line}, column {column}", label.text));
        } else {
            near.push(label);
        }
    }
    (near, far)
}

/// The lines of one text that its labels need, made safe to print, with offsets kept in step.
struct Window {
    source: u16,
    name: String,
    text: String,
    first_line: usize,
    start: usize,
    end: usize,
    /// (original offset, printed offset) after each character that changed its length
    shifts: Vec<(usize, usize)>,
}

impl Window {
    /// Lines longer than this are cut: a spec may be one line of megabytes.
    const LONGEST: usize = 400;

    fn around(source: u16, labels: &[&Label], sources: &Sources) -> Window {
        let src = sources.get(source);
        let whole = &src.text;
        let here = || labels.iter().filter(|l| l.at.source == source);
        let first = here().map(|l| l.at.offset as usize).min().unwrap_or(0);
        let last = here().map(|l| (l.at.offset + l.at.len) as usize).max().unwrap_or(0);
        let first = floor_char_boundary(whole, first);
        let last = floor_char_boundary(whole, last).max(first);
        let mut start = whole[..first].rfind('\n').map_or(0, |n| n + 1);
        if first - start > Self::LONGEST {
            start = floor_char_boundary(whole, first - 40);
        }
        let mut end = whole[last..].find('\n').map_or(whole.len(), |n| last + n);
        if end - last > Self::LONGEST {
            end = floor_char_boundary(whole, last + 40);
        }
        let first_line = whole[..start].matches('\n').count() + 1;
        let mut text = String::with_capacity(end - start);
        let mut shifts = Vec::new();
        for (n, c) in whole[start..end].char_indices() {
            let before = text.len();
            match c {
                '\n' => text.push('\n'),
                '\t' => text.push_str("    "),
                c => text.push_str(&crate::text::clean(c.encode_utf8(&mut [0; 4]))),
            }
            if text.len() - before != c.len_utf8() {
                shifts.push((n + c.len_utf8(), text.len()));
            }
        }
        Window {
            source,
            name: crate::text::clean(&src.name).into_owned(),
            text,
            first_line,
            start,
            end,
            shifts,
        }
    }

    fn range(&self, at: Place) -> std::ops::Range<usize> {
        let from = self.map(at.offset as usize);
        let to = self.map((at.offset + at.len) as usize);
        from..to.max(from)
    }

    fn map(&self, offset: usize) -> usize {
        let local = offset.clamp(self.start, self.end) - self.start;
        let index = self.shifts.partition_point(|(original, _)| *original <= local);
        let mapped = match index.checked_sub(1).map(|i| self.shifts[i]) {
            Some((original, printed)) => printed + (local - original),
            None => local,
        };
        floor_char_boundary(&self.text, mapped)
    }
}

/// The contract of `check --json`: `{code, severity, message, phases, at: [{file, line, column}], help}`.
#[derive(Serialize)]
pub struct FindingJson<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    phases: &'a [String],
    at: Vec<PositionJson>,
    notes: &'a [String],
    help: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    order: &'a [String],
}

#[derive(Serialize)]
struct PositionJson {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
}

/// One finding as the contract has it.
pub fn json<'a>(finding: &'a Diagnostic, sources: &Sources) -> FindingJson<'a> {
    let mut labels: Vec<_> = finding.labels.iter().collect();
    labels.sort_by_key(|l| !l.primary);
    let mut at: Vec<PositionJson> = labels
        .iter()
        .map(|l| {
            let (line, column) = sources.position(l.at);
            PositionJson {
                file: sources.get(l.at.source).name.clone(),
                line: Some(line),
                column: Some(column),
            }
        })
        .collect();
    if at.is_empty()
        && let Some(file) = &finding.file
    {
        at.push(PositionJson { file: file.clone(), line: None, column: None });
    }
    FindingJson {
        code: finding.code,
        severity: finding.severity,
        message: &finding.message,
        phases: &finding.phases,
        at,
        notes: &finding.notes,
        help: finding.help.join("; "),
        order: &finding.order,
    }
}
