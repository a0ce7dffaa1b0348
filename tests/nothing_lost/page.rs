//! The tables of `docs/nothing-lost.md`, from what the other tests have counted.

use crate::rows::{Row, place};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const BEGIN: &str = "<!-- injection: begin -->\n";
const END: &str = "<!-- injection: end -->";

/// Each matrix: its name in the rows, its heading, and what it is.
const MATRICES: [(&str, &str, &str); 4] = [
    (
        "fail",
        "A phase that fails, before every phase",
        "A phase of kind `fail` stands before each phase of the start in turn: it answers with an error; it cannot be\n\
         taken back, and a later phase fails; the process that runs it is killed. Before it forks, the launcher is that\n\
         process, and nobody is left to undo; what it leaves (an empty log, a file that the start reads again) the next\n\
         start takes.",
    ),
    (
        "call",
        "A system call that fails",
        "The start runs under ptrace(2). System calls that change something, or ask for something that may be refused,\n\
         fail one after the other, in launcher, daemon, guard, holder of the undo, and in the child that becomes the\n\
         program, each with an error of its manual page: ENOSPC, EMFILE, EAGAIN, ENOMEM, EROFS, EPERM …",
    ),
    (
        "kill",
        "`kill -9` at a system call",
        "The same places, and the process is killed there: launcher, session leader, daemon, guard, holder of the undo,\n\
         the child that becomes the program. What still runs then is stopped with `rsd stop`; the next start must work,\n\
         and leave what a start always leaves.",
    ),
    ("exhausted", "A machine that has no more of something", "`--spec daemon` as root and as a user."),
];

fn rows() -> Vec<Row> {
    let mut files: Vec<PathBuf> = crate::sandbox::entries(&place());
    files.sort();
    let text: String = files.iter().map(|f| fs::read_to_string(f).expect("rows")).collect();
    text.lines().map(|line| Row::read(line).unwrap_or_else(|| panic!("no row: {line}"))).collect()
}

/// A table with a line for each `what`, and a column for each `way`.
fn table(rows: &[&Row]) -> String {
    let mut ways: Vec<&str> = Vec::new();
    for row in rows {
        if !ways.contains(&row.way.as_str()) {
            ways.push(&row.way);
        }
    }
    let mut lines: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for row in rows {
        let ended: Vec<String> = row.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
        lines.entry(&row.what).or_default().insert(&row.way, ended.join(", "));
    }
    let mut text = format!("| | {} |\n|---|{}\n", ways.join(" | "), "---|".repeat(ways.len()));
    for (what, cells) in lines {
        let cells: Vec<&str> = ways.iter().map(|way| cells.get(way).map_or("", String::as_str)).collect();
        let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
    }
    text
}

/// Writes the tables where `RSD_UPDATE=1` asks for it; otherwise looks that they are there and whole.
#[test]
fn the_tables_are_written() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/nothing-lost.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (head, rest) = text.split_once(BEGIN).expect("the marker of the begin");
    let (written, tail) = rest.split_once(END).expect("the marker of the end");
    if std::env::var_os("RSD_UPDATE").is_none() {
        for (_, heading, _) in MATRICES {
            assert!(
                written.contains(&format!("\n## {heading}\n")),
                "no table `{heading}`: run tests/nothing-lost"
            );
        }
        return;
    }
    let rows = rows();
    let known: BTreeSet<&str> = MATRICES.iter().map(|m| m.0).collect();
    assert!(rows.iter().all(|r| known.contains(r.matrix.as_str())), "a matrix without a heading");
    let mut made = String::new();
    for (name, heading, about) in MATRICES {
        let of: Vec<&Row> = rows.iter().filter(|r| r.matrix == name).collect();
        let tried: usize = of.iter().map(|r| r.tried).sum();
        let _ = write!(made, "\n## {heading}\n\n{about}\n\nTried: {tried}.\n\n{}", table(&of));
    }
    made.push('\n');
    fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).expect("the document");
}
