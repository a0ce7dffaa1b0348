//! Folded phases, as columns of numbers and names: the script draws those that somebody asks for, and only
//! as many as are in sight.

use crate::state::Phase;
use crate::text::clean;
use crate::timeline::Span;
use crate::view::drawing::Drawing;
use crate::view::drawing::ink::{clip, identity};
use crate::view::drawing::label::state;
use crate::view::drawing::rows::Kind;
use crate::view::fold::Fold;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

/// Where they are shown; empty and hidden until then.
pub(super) fn panel(out: &mut String) {
    out.push_str(
        "<section class=\"deep\" id=\"deep\" aria-label=\"Folded phases\" hidden>\n\
         <header><h2></h2><span class=\"span\"></span>\
         <button type=\"button\" data-do=\"order\" aria-pressed=\"false\" title=\"the slowest first, or in the order of the plan\">\
         Slowest first</button>\
         <button type=\"button\" data-do=\"close\" title=\"close (Esc)\">Close</button></header>\n\
         <div class=\"sight\" role=\"listbox\" tabindex=\"0\" aria-label=\"Folded phases\"><div class=\"tall\"></div></div>\n\
         </section>\n",
    );
}

/// A column; where all are the same, that once.
#[derive(Serialize)]
#[serde(untagged)]
enum Column<T> {
    Same(T),
    Each(Vec<T>),
}

impl<T: PartialEq> Column<T> {
    fn of(all: Vec<T>) -> Column<T> {
        let same = all.windows(2).all(|two| two[0] == two[1]);
        match all.len() {
            0 => Column::Each(all),
            _ if !same => Column::Each(all),
            _ => all.into_iter().next().map_or(Column::Each(Vec::new()), Column::Same),
        }
    }
}

/// Texts that come again and again, each kept once.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    by: HashMap<String, usize>,
}

impl Texts {
    fn of(&mut self, text: String) -> usize {
        if let Some(at) = self.by.get(&text) {
            return *at;
        }
        let at = self.list.len();
        self.list.push(text.clone());
        self.by.insert(text, at);
        at
    }
}

/// One row of the drawing, in columns.
#[derive(Serialize)]
struct Columns<'a> {
    label: String,
    name: Vec<Cow<'a, str>>,
    /// nanoseconds after the one before; `null` if it never ran
    start: Vec<Option<i64>>,
    /// `null` if it has no end
    took: Vec<Option<u64>>,
    /// texts: groups, kind, process, identity, what happened
    groups: Column<usize>,
    kind: Column<usize>,
    process: Column<usize>,
    identity: Column<usize>,
    said: Column<usize>,
    /// sign, state and tone
    state: Column<usize>,
    /// the sort of identity, as the style sheet names it
    who: Column<usize>,
}

#[derive(Serialize)]
struct All<'a> {
    /// how many phases there are, folded or not
    all: usize,
    texts: &'a [String],
    folds: Vec<Columns<'a>>,
}

/// The data: every fold in the order of the rows.
pub(super) fn data(out: &mut String, drawing: &Drawing) {
    let mut texts = Texts::default();
    let rows = drawing.rows.iter().filter_map(|row| match row.kind {
        Kind::Fold(fold) => Some(fold),
        _ => None,
    });
    let columns: Vec<Columns> = rows.map(|fold| columns(drawing, fold, &mut texts)).collect();
    let all = drawing.timeline.spans.len();
    let all = All { all, texts: &texts.list, folds: columns };
    out.push_str("<script type=\"application/json\" id=\"folded\">");
    // nothing in it may end the element
    out.push_str(&serde_json::to_string(&all).unwrap_or_default().replace('<', "\\u003c"));
    out.push_str("</script>\n");
}

fn columns<'a>(drawing: &Drawing<'a>, fold: &Fold, texts: &mut Texts) -> Columns<'a> {
    let spans: Vec<&'a Span> = fold.spans.iter().filter_map(|i| drawing.timeline.spans.get(*i)).collect();
    let mut before = 0;
    let mut since = |start: u64| {
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        let delta = start - before;
        before = start;
        delta
    };
    let mut column = |say: &dyn Fn(&Span) -> String| {
        Column::of(spans.iter().map(|s| texts.of(clean(clip(&say(s))).into_owned())).collect())
    };
    let named = RefCell::new(HashMap::new());
    let name = |pid: u32| named.borrow_mut().entry(pid).or_insert_with(|| drawing.process(pid)).clone();
    let process = |s: &Span| match (s.pid_start, s.pid_end) {
        (Some(a), Some(b)) if a != b => format!("{} → {}", name(a), name(b)),
        (Some(a), _) => name(a),
        _ => String::new(),
    };
    let who = |s: &Span| drawing.people.who(s.identity_before.as_deref()).class().to_owned();
    let outcome = drawing.timeline.outcome;
    let stated = |s: &Span| {
        let (sign, word, tone) = state(s, outcome);
        let word = if s.state == Phase::Undone { "done, then undone" } else { word };
        format!("{sign}/{word}/{tone}")
    };
    Columns {
        label: clean(&fold.label()).into_owned(),
        name: spans.iter().map(|s| clean(clip(&s.phase.name))).collect(),
        start: spans.iter().map(|s| s.start_ns.map(&mut since)).collect(),
        took: spans.iter().map(|s| s.took()).collect(),
        groups: column(&|s| s.phase.groups.join(" › ")),
        kind: column(&|s| s.phase.kind.clone()),
        process: column(&process),
        identity: column(&|s| s.identity_before.as_deref().map_or(String::new(), identity)),
        said: column(&said),
        state: column(&stated),
        who: column(&who),
    }
}

/// What happened, in a sentence; nothing where it went well.
fn said(span: &Span) -> String {
    let error = span.error.iter().map(|e| e.message.as_str());
    let skipped = span.skipped.iter().map(String::as_str);
    let all: Vec<&str> = error.chain(skipped).chain(span.notes.iter().map(String::as_str)).collect();
    all.join(" · ")
}
