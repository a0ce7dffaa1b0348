//! Theirs and ours: Twisted's `twistd` and `rsd twistd` do the same scenarios, and what they do is
//! compared (`bench.py`). The scenarios are Python because what they start is; each runs in namespaces
//! of its own, as root.
//!
//! `RSD_TEST_TWISTED` is a virtual environment with Twisted, `RSD_TEST_DOCS` the documentation of its
//! source distribution; `tests/all --install` makes both below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The place that the variable names, or where `tests/all --install` makes it.
fn place(variable: &str, made: &str, holds: &str) -> Option<PathBuf> {
    let place = std::env::var_os(variable).map_or_else(|| root().join("target").join(made), PathBuf::from);
    place.join(holds).exists().then_some(place)
}

fn skip(name: &str, why: &str) {
    println!("skipped: {name}: {why}");
    assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{name} was skipped: {why}");
}

fn bench(name: &str, judged: &str) {
    if !nix::unistd::geteuid().is_root() {
        return skip(name, "it needs root: users, namespaces and mounts of its own");
    }
    let (Some(twisted), Some(docs)) = (
        place("RSD_TEST_TWISTED", "twisted-venv", "bin/twistd"),
        place("RSD_TEST_DOCS", "twisted-docs", "core/examples/simple.tac"),
    ) else {
        return skip(name, "Twisted is not there; `tests/all --install` installs it below target/");
    };
    let rsd = std::env::var_os("RSD_TEST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rsd").into());
    let out = Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(root().join("tests/twistd/bench.py"))
        .args(["--judged", judged])
        .env("RSD_TEST_TWISTED", twisted)
        .env("RSD_TEST_DOCS", docs)
        .env("RSD_TEST_BIN", rsd)
        .output()
        .expect("start Debian's python3");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    println!("{said}");
}

/// Every row of the table in docs/twistd.md is measured; a difference without a reason fails.
#[test]
fn the_table_of_compatibility_is_true() {
    bench("the_table_of_compatibility_is_true", "facts");
}

/// Tickets and faults of twistd: it must fail each, and rsd must pass.
#[test]
fn faults_of_twistd_are_not_here() {
    bench("faults_of_twistd_are_not_here", "fault");
}

/// Applications of many makes, and every TAC of Twisted's documentation.
#[test]
fn applications_do_the_same() {
    bench("applications_do_the_same", "same");
}

/// Bad input: phase, place, reason, advice, exit code, and nothing left.
#[test]
fn bad_input_is_told_whole() {
    bench("bad_input_is_told_whole", "ours");
}
