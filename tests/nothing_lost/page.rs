//! The tables of `docs/nothing-lost.md`, from what the other tests have counted.

use crate::rows::{Row, place};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const BEGIN: &str = "<!-- injection: begin -->\n";
const END: &str = "<!-- injection: end -->";

/// Each matrix: its name in the rows, its heading, and what it is.
const MATRICES: [(&str, &str, &str); 5] = [
    (
        "fail",
        "A phase that fails, before every phase",
        "A phase of kind `fail` stands before each phase of the start in turn: it answers with an error; it cannot be\n\
         taken back, and a later phase fails; the process that runs it is killed. Before it forks, the launcher is that\n\
         process, and nobody is left to undo; what it leaves (an empty log, a file that the start reads again) the next\n\
         start takes.",
    ),
    (
        "down",
        "A phase that fails on the way down, before every phase of it",
        "A phase of kind `fail` stands before each phase behind serve in turn, in the process that runs that one: daemon\n\
         or guard. It answers with an error: that is said (in the foreground by the exit code, always by the timeline),\n\
         and all else is done. Or that process is killed while it stops. Where nobody is there to go on, what is left\n\
         is the next start's, which works. There is nothing to take back behind serve, so `undo` is not tried.",
    ),
    (
        "call",
        "A system call that fails",
        "The start runs under ptrace(2). Each system call that changes something, or asks for something that may be\n\
         refused, fails in turn, once, in launcher, daemon, guard, holder of the undo, and in the child that becomes the\n\
         program, with an error of its manual page: ENOSPC, EMFILE, EAGAIN, ENOMEM, EROFS, EPERM … From when the\n\
         command has closed what its caller left open until the program is executed and the launcher is over. Whatever\n\
         comes up is stopped, and the next start works and leaves what a start always leaves.",
    ),
    (
        "kill",
        "`kill -9` at a system call",
        "The same starts: launcher, session leader, daemon, guard, holder of the undo or the child that becomes the\n\
         program is killed in place of each system call that changes something, or waits for another process. (To be\n\
         killed before a call that changes nothing is to be killed before the next one that does.) What still runs then\n\
         is stopped with `rsd stop`; the next start works, and leaves what a start always leaves.",
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
        let mut ended: Vec<String> = row.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
        if row.tried < row.of {
            ended.push(format!("{} not tried", row.of - row.tried));
        }
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
        let all: usize = of.iter().map(|r| r.of).sum();
        let tried = if tried < all { format!("{tried} of {all}") } else { tried.to_string() };
        let _ = write!(made, "\n## {heading}\n\n{about}\n\nTried: {tried}.\n\n{}", table(&of));
    }
    made.push('\n');
    fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).expect("the document");
}
