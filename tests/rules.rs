//! docs/rules.md is made from the pages of `rsd explain`, the severities that the cases show, and what the
//! witnesses have seen. `RSD_UPDATE=1 cargo test --test rules` writes it.

mod markdown;

use engine::rules::pages::{Page, Starter, pages};
use markdown::{top, updating};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

const FAMILIES: [(&str, &str); 6] = [
    ("RSD01", "The language"),
    ("RSD02", "Names, needs and order"),
    ("RSD03", "Privilege"),
    ("RSD04", "Files"),
    ("RSD05", "Processes"),
    ("RSD06", "The network"),
];

const HEAD: &str = "\
# What `rsd check` finds

<!-- Written by `RSD_UPDATE=1 cargo test --test rules`; what to change is in engine/src/rules/pages. -->

Every finding has a code. `rsd explain RSD0401` prints its page in the terminal; here are all of them, each with the
real run that shows the failure it predicts.

* **error**: the daemon would not come up with the identity, root, working directory, umask and ports that were
  declared, or root would be left within its reach. `rsd run` refuses with exit code 6 (4 where every error is a
  privilege that this start lacks); `--unchecked` runs it all the same.
* **warning**: it comes up, and the later thing that is named goes wrong. `rsd check --deny warnings` refuses.
* **note**: worth knowing, and neither.

What was seen is typed and compared in a sandbox by every run of the tests, as root, with the users `svc` (4000)
and `other` (4100): `$` stands before what was typed, `[1]` is an exit status.
";

/// What stands between `error[` and the like and a code, in the cases and in the witnesses.
fn severities() -> BTreeMap<String, BTreeSet<usize>> {
    let mut seen: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (dir, file) in [("tests/cases", "expected.txt"), ("tests/witnesses", "session")] {
        for entry in fs::read_dir(top().join(dir)).unwrap().flatten() {
            let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            for line in text.lines() {
                for (rank, level) in LEVELS.iter().enumerate() {
                    if let Some(rest) = line.strip_prefix(level).and_then(|r| r.strip_prefix('[')) {
                        seen.entry(rest.chars().take(7).collect()).or_default().insert(rank);
                    }
                }
            }
        }
    }
    seen
}

const LEVELS: [&str; 3] = ["error", "warning", "note"];

/// GitHub's anchor of a heading.
fn anchor(page: &Page) -> String {
    let heading = format!("{}-{}", page.code, page.title).to_lowercase().replace(' ', "-");
    heading.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

/// Paragraphs as they are; lines that are set in become a block.
fn prose(text: &str, out: &mut String) {
    let mut block = false;
    for line in text.trim().lines() {
        let inset = line.starts_with("  ");
        if inset != block {
            out.push_str(if inset { "\n```yml\n" } else { "```\n\n" });
            block = inset;
        }
        let _ = writeln!(out, "{}", line.strip_prefix("  ").unwrap_or(line));
    }
    if block {
        out.push_str("```\n");
    }
}

fn section(page: &Page, levels: &str, out: &mut String) {
    let _ = write!(out, "\n### {}: {}\n\n*{levels}*\n\n", page.code, page.title);
    prose(page.story, out);
    if !page.spec.is_empty() {
        let _ = write!(out, "\n```yml\n{}\n```\n", page.spec.trim());
    }
    let (prompt, who) = match page.starter {
        Starter::Root => ("#", ", as root"),
        Starter::User => ("$", ", as an ordinary user"),
        Starter::Anyone => ("$", ""),
    };
    let _ = write!(out, "\nThis shows it{who}:\n\n```shellsession\n{prompt} rsd check");
    for arg in page.args {
        let _ = write!(out, " {arg}");
    }
    out.push_str("\n```\n\n**Without the check:** ");
    prose(page.failure, out);
    out.push_str("\n**What to do:** ");
    prose(page.fix, out);
    let folder = format!("tests/witnesses/{}", page.code);
    if let Ok(session) = fs::read_to_string(top().join(&folder).join("session")) {
        let (head, rest) = session.split_once("\n$ ").unwrap_or((&session, ""));
        let _ = write!(out, "\n**Seen** ([{folder}](../{folder})): {}\n", head.trim());
        let _ = write!(out, "\n```shellsession\n$ {}\n```\n", rest.trim_end());
    }
}

fn document() -> String {
    let seen = severities();
    let levels = |page: &Page| {
        let ranks = seen.get(page.code).cloned().unwrap_or_default();
        ranks.iter().map(|rank| LEVELS[*rank]).collect::<Vec<_>>().join(", ")
    };
    let mut out = HEAD.to_owned();
    for (family, name) in FAMILIES {
        let _ = write!(out, "\n## {name}\n\n| code | severity | finding |\n|---|---|---|\n");
        for page in pages().filter(|p| p.code.starts_with(family)) {
            let _ =
                writeln!(out, "| [{}](#{}) | {} | {} |", page.code, anchor(page), levels(page), page.title);
        }
        if ["RSD01", "RSD02"].contains(&family) {
            out.push_str("\nWhat is refused here never becomes a plan: `rsd run` exits with 6, and nothing was touched.\n");
        }
        for page in pages().filter(|p| p.code.starts_with(family)) {
            section(page, &levels(page), &mut out);
        }
    }
    out
}

#[test]
fn the_document_is_what_the_pages_say() {
    let made = document();
    let every = pages().all(|p| FAMILIES.iter().any(|(family, _)| p.code.starts_with(family)));
    assert!(every, "a code is of no family");
    let path = top().join("docs/rules.md");
    if updating() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let stale = written.lines().zip(made.lines()).find(|(a, b)| a != b);
    assert!(written == made, "docs/rules.md is stale: RSD_UPDATE=1 writes it; {stale:?}");
}
