//! Verdicts against what was seen, both ways, and the table of it.

use crate::judge::Verdict;
use crate::observe::{Promise, Seen};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One order that was tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub world: String,
    pub order: String,
    /// of `rsd check --json`
    pub verdict: Verdict,
    pub seen: Seen,
    /// what contradicts, in words; empty where all agree
    pub wrong: Vec<Wrong>,
}

/// A disagreement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wrong {
    /// called fine (or only warned of), and not up as declared
    BreaksThough(String),
    /// refused, and it is up as declared
    WorksThough(String),
    /// a warning that did not come true
    Untrue(String),
    /// a failure without its warning
    Unwarned(String),
    /// something is left behind
    Left(String),
    /// the command and the functions it calls say different things
    Differs(String),
}

impl Wrong {
    fn column(&self) -> usize {
        match self {
            Wrong::BreaksThough(_) => 0,
            Wrong::WorksThough(_) => 1,
            Wrong::Untrue(_) => 2,
            Wrong::Unwarned(_) => 3,
            Wrong::Left(_) => 4,
            Wrong::Differs(_) => 5,
        }
    }

    fn text(&self) -> (&'static str, &str) {
        match self {
            Wrong::BreaksThough(t) => ("not refused, and it is not up as declared", t),
            Wrong::WorksThough(t) => ("refused, and it is up as declared", t),
            Wrong::Untrue(t) => ("a warning that did not come true", t),
            Wrong::Unwarned(t) => ("a failure without its warning", t),
            Wrong::Left(t) => ("left behind", t),
            Wrong::Differs(t) => ("the command and the library differ", t),
        }
    }
}

/// Each warning, and the failure that it promises.
pub const WITNESSES: &[(&str, Promise)] = &[
    ("RSD0308", Promise::NoWayBack),
    ("RSD0401", Promise::Rotation),
    ("RSD0402", Promise::PidFileGone),
    ("RSD0409", Promise::Cwd),
    ("RSD0521", Promise::Heard),
    ("RSD0603", Promise::Handed),
];

/// What contradicts.
pub fn compare(verdict: &Verdict, seen: &Seen) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let list = |codes: &BTreeSet<String>| codes.iter().cloned().collect::<Vec<_>>().join(" ");
    let up = seen.not_up.is_empty();
    wrong.extend(seen.left.iter().cloned().map(Wrong::Left));
    if verdict.rule {
        return wrong;
    }
    match (verdict.refuses(), up) {
        (true, true) => wrong.push(Wrong::WorksThough(list(&verdict.errors))),
        (false, false) => wrong.push(Wrong::BreaksThough(seen.not_up.join("; "))),
        _ => {}
    }
    if verdict.refuses() || !up {
        return wrong;
    }
    for (code, promise) in WITNESSES {
        match (verdict.warnings.contains(*code), seen.broken.contains(promise)) {
            (true, false) => wrong.push(Wrong::Untrue((*code).to_owned())),
            (false, true) => wrong.push(Wrong::Unwarned(format!("{promise:?}"))),
            _ => {}
        }
    }
    let wide = seen.broken.contains(&Promise::LogMode) || seen.broken.contains(&Promise::PidFileMode);
    match (verdict.notes.contains("RSD0404"), wide) {
        (true, false) => wrong.push(Wrong::Untrue("RSD0404".to_owned())),
        (false, true) => wrong.push(Wrong::Unwarned("a file wider than the umask".to_owned())),
        _ => {}
    }
    for code in verdict.warnings.iter().filter(|c| WITNESSES.iter().all(|(w, _)| w != c)) {
        wrong.push(Wrong::Untrue(format!("{code}: nothing here witnesses it")));
    }
    wrong
}

/// Counts of one set.
#[derive(Clone, Debug, Default)]
pub struct Count {
    orders: usize,
    rules: usize,
    errors: usize,
    warned: usize,
    fine: usize,
    wrong: [usize; 6],
}

/// All that was tried.
#[derive(Default)]
pub struct Tally {
    sets: BTreeMap<String, Count>,
    codes: BTreeMap<String, usize>,
    pub wrong: usize,
}

impl Tally {
    pub fn add(&mut self, row: &Row) {
        let count = self.sets.entry(row.world.clone()).or_default();
        count.orders += 1;
        match &row.verdict {
            v if v.rule => count.rules += 1,
            v if v.refuses() => count.errors += 1,
            v if v.fine() => count.fine += 1,
            _ => count.warned += 1,
        }
        for wrong in &row.wrong {
            count.wrong[wrong.column()] += 1;
        }
        self.wrong += usize::from(!row.wrong.is_empty());
        if !row.verdict.rule && !row.verdict.refuses() && row.wrong.is_empty() {
            for code in &row.verdict.warnings {
                *self.codes.entry(code.clone()).or_default() += 1;
            }
        }
        if row.verdict.refuses() && row.wrong.is_empty() {
            for code in &row.verdict.errors {
                *self.codes.entry(code.clone()).or_default() += 1;
            }
        }
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| world | orders | rules | refused, not up | warned, came true | fine, works | breaks, not refused | \
             works, refused | warning untrue | failure unwarned | left behind | command ≠ library |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        let mut total = Count::default();
        for (name, count) in &self.sets {
            row(&mut text, name, count);
            total.orders += count.orders;
            total.rules += count.rules;
            total.errors += count.errors;
            total.warned += count.warned;
            total.fine += count.fine;
            (0..6).for_each(|i| total.wrong[i] += count.wrong[i]);
        }
        row(&mut text, "all", &total);
        text.push_str("\n| code | orders in which it came true |\n|---|--:|\n");
        for (code, count) in &self.codes {
            let _ = writeln!(text, "| {code} | {count} |");
        }
        text
    }
}

fn row(text: &mut String, name: &str, c: &Count) {
    let [breaks, works, untrue, unwarned, left, differs] = c.wrong;
    let _ = writeln!(
        text,
        "| {name} | {} | {} | {} | {} | {} | {breaks} | {works} | {untrue} | {unwarned} | {left} | {differs} |",
        c.orders, c.rules, c.errors, c.warned, c.fine
    );
}

/// A disagreement, with what reproduces it.
pub fn complaint(row: &Row) -> String {
    let mut text = format!("WRONG in {}: {}\n", row.world, row.order);
    for wrong in &row.wrong {
        let (what, detail) = wrong.text();
        let _ = writeln!(text, "  {what}: {detail}");
    }
    let _ = writeln!(
        text,
        "  check says: {:?} {:?} {:?}",
        row.verdict.errors, row.verdict.warnings, row.verdict.notes
    );
    let _ = writeln!(
        text,
        "  seen: code {:?}, not up {:?}, broken {:?}",
        row.seen.code, row.seen.not_up, row.seen.broken
    );
    for line in row.seen.said.lines().filter(|l| l.contains("failed:") || l.contains("why:")).take(4) {
        let _ = writeln!(text, "  it said: {line}");
    }
    let _ = writeln!(text, "  again: tests/orders --set {} --one {}", row.world, row.order);
    text
}
