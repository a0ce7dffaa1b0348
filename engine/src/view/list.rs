//! The recorded runs as a table.

use super::utc;
use crate::text::{clean, duration};
use crate::timeline::{Outcome, Timeline};
use std::path::PathBuf;
use unicode_width::UnicodeWidthStr;

/// One recorded run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListRow {
    /// name of the run
    pub run: String,
    /// name of the spec
    pub spec: String,
    /// name of the instance, where it is not that of the spec
    pub name: String,
    /// when it began, nanoseconds since 1970
    pub wall_ns: u64,
    /// how it ended
    pub outcome: Outcome,
    /// when the daemon was ready, since the begin
    pub ready_ns: Option<u64>,
    /// when the last event happened, since the begin
    pub end_ns: u64,
    /// the journal
    pub path: PathBuf,
}

impl ListRow {
    /// The row of a timeline that was read from there.
    pub fn of(timeline: &Timeline, path: impl Into<PathBuf>) -> Self {
        ListRow {
            run: timeline.run.clone(),
            spec: timeline.spec.clone(),
            name: timeline.name.clone(),
            wall_ns: timeline.wall_ns,
            outcome: timeline.outcome,
            ready_ns: timeline.ready_ns,
            end_ns: timeline.end_ns,
            path: path.into(),
        }
    }
}

/// An aligned table, in the order that was given. The names of instances are a column where there are any.
pub fn render(rows: &[ListRow]) -> String {
    if rows.is_empty() {
        return "no runs are recorded\n".to_owned();
    }
    let mut table =
        vec![["RUN", "SPEC", "NAME", "BEGAN", "OUTCOME", "READY", "LASTED", "JOURNAL"].map(str::to_owned)];
    let known = |text: &str| if text.is_empty() { "?".to_owned() } else { clean(text).into_owned() };
    for row in rows {
        let lasted = match row.outcome {
            // how long it lived after its last word, nobody knows
            Outcome::Running | Outcome::Vanished => "-".to_owned(),
            _ => duration(row.end_ns),
        };
        table.push([
            known(&row.run),
            known(&row.spec),
            clean(if row.name.is_empty() { &row.spec } else { &row.name }).into_owned(),
            if row.wall_ns == 0 { "?".to_owned() } else { utc(row.wall_ns) },
            row.outcome.name().to_owned(),
            row.ready_ns.map_or("-".to_owned(), duration),
            lasted,
            clean(&row.path.to_string_lossy()).into_owned(),
        ]);
    }
    let named = rows.iter().any(|row| !row.name.is_empty());
    let mut widths = [0; 8];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut out = String::new();
    for row in &table {
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.width());
            match i {
                // Where every run is called as its spec is, that says nothing.
                2 if !named => {}
                7 => out.push_str(cell),
                5 | 6 => out.extend([&pad, cell, "  "]),
                _ => out.extend([cell, pad.as_str(), "  "]),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_harmless() {
        assert_eq!(render(&[]), "no runs are recorded\n");
        let row = |run: &str, spec: &str, outcome, ready_ns| ListRow {
            run: run.into(),
            spec: spec.into(),
            name: String::new(),
            wall_ns: 1_795_325_210_000_000_000,
            outcome,
            ready_ns,
            end_ns: 454_000_000,
            path: format!("/var/lib/rsd/{spec}/{run}.jsonl").into(),
        };
        let text = render(&[
            row("7f3a", "twistd", Outcome::Running, Some(487_000_000)),
            row("c2d8", "漢字\x1b[31m", Outcome::Unwound, None),
        ]);
        assert!(!text.contains('\x1b'));
        let at: Vec<_> = text
            .lines()
            .map(|l| l.find("/var").or_else(|| l.find("JOURNAL")).map(|i| l[..i].width()))
            .collect();
        assert!(at.iter().all(|a| *a == at[0] && a.is_some()), "{text}");
        assert!(text.contains("2026-11-22 05:26:50Z  running  487 ms       -"), "{text}");
        let gone = render(&[row("7f3a", "twistd", Outcome::Vanished, Some(24_000_000))]);
        assert!(gone.contains("vanished  24 ms       -  /var"), "{gone}");
        let web =
            ListRow { name: "we\x1bb".into(), ..row("e0c3", "daemon", Outcome::Completed, Some(24_000_000)) };
        let text = render(&[web, row("7f3a", "twistd", Outcome::Running, None)]);
        let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words[0][..3], ["RUN", "SPEC", "NAME"], "{text}");
        assert!(words[1][2].starts_with("we") && !text.contains('\x1b'), "{text}");
        assert_eq!(words[2][..3], ["7f3a", "twistd", "twistd"], "{text}");
    }
}
