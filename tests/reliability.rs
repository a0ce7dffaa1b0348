//! Short forms of what docs/reliability.md measures: our column of both tables, real programs, and the soak.
//!
//! They are Python, because what they start is anything; each makes namespaces of its own, as root.

use std::path::Path;
use std::process::Command;

fn run(name: &str, script: &str, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !nix::unistd::geteuid().is_root() && script != "programs.py" {
        return skip(name, "it needs root: users, namespaces and mounts of its own");
    }
    let rsd = std::env::var_os("RSD_TEST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rsd").into());
    let out = Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(root.join("tests/reliability").join(script))
        .args(arguments)
        .env("RSD_TEST_BIN", rsd)
        .env("RSD_TEST_RESIDENT_KIB", if cfg!(debug_assertions) { "6144" } else { "3072" })
        .output()
        .expect("start Debian's python3");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    for line in said.lines().filter_map(|line| line.strip_prefix("skipped: ")) {
        skip(name, line);
    }
    println!("{said}");
}

/// Says that something was not run. Where nothing may be skipped that is a failure.
fn skip(name: &str, why: &str) {
    println!("skipped: {name}: {why}");
    assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{name} was skipped: {why}");
}

/// Every cell of ours is clean, with fewer repetitions than the page has.
#[test]
fn our_column_is_clean() {
    run("our_column_is_clean", "peers.py", &["--only", "rsd", "--quick"]);
}

/// Each program of tests/programs is started, asked, rotated, reloaded, restarted, killed and stopped.
#[test]
fn real_programs_live_under_it() {
    run("real_programs_live_under_it", "programs.py", &[]);
}

/// Twenty seconds of the hour.
#[test]
fn nothing_grows() {
    run("nothing_grows", "soak.py", &["--seconds", "20"]);
}
