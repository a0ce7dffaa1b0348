//! Invariants 1 and 4 by their letters: what `clippy.toml` cannot see is looked for in the text.
// The test itself reads files; the engine does not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn engine() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    files.retain(|p| !p.ends_with("tests.rs"));
    files.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).expect("text"))).collect()
}

#[test]
fn the_engine_uses_no_io_clock_or_environment() {
    let forbidden = [
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "std::os",
        "std::net::Tcp",
        "std::net::Udp",
        "println!",
        "eprintln!",
        "print!(",
        "nix::",
        "libc::",
        "rustix::",
        "phases::",
    ];
    for (path, text) in engine() {
        // A path as bytes and back is no look at the machine.
        let text = text.replace("std::os::unix::ffi::", "");
        for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for word in forbidden {
                assert!(!line.contains(word), "{}:{}: {word}", path.display(), n + 1);
            }
        }
    }
}

#[test]
fn the_engine_names_no_kind() {
    let kinds = [
        "check-pid-file",
        "load-application",
        "start-logger",
        "create-pid-file",
        "privileged-start",
        "switch-user",
        "start-application",
        "remove-pid-file",
        "keep-guard",
    ];
    for (path, text) in engine() {
        // Pages and samples show specs, which name kinds as their authors would.
        if path.components().any(|c| c.as_os_str() == "pages")
            || path.ends_with("samples.rs")
            || path.ends_with("pages.rs")
            || path.components().any(|c| c.as_os_str() == "tests")
            || path.ends_with("tests.rs")
        {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for kind in kinds {
                assert!(!line.contains(kind), "{}:{}: {kind}", path.display(), n + 1);
            }
        }
    }
}
