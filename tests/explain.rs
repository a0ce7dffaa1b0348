//! Every code has a page, and what a page shows is so.

use engine::rules::pages::{Page, Starter, pages};
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What an example finds on its machine that not every machine has, made in namespaces of its own.
const MACHINES: &[(&str, &str)] = &[
    ("RSD0116", "chmod 0666 spec.yaml"),
    ("RSD0412", "mount -t tmpfs -o ro none /srv"),
    ("RSD0413", "mount -t tmpfs -o noexec none /srv; cp /bin/sleep /srv"),
    ("RSD0522", "ip link set lo up; mount -t tmpfs none /var/lib; \"$RSD\" run --spec spec.yaml >/dev/null"),
];

/// The codes of `rsd check`, run as the page wants it in a directory that holds only its spec.
fn shown(page: &Page) -> Result<BTreeSet<String>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    // A user that is not root must be able to reach it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).map_err(|e| e.to_string())?;
    if !page.spec.is_empty() {
        std::fs::write(dir.path().join("spec.yaml"), page.spec).map_err(|e| e.to_string())?;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsd"));
    command.args(["check", "--json"]).args(page.args).current_dir(dir.path());
    if page.starter == Starter::User && is_root() {
        if !Path::new(env!("CARGO_BIN_EXE_rsd")).is_absolute() {
            return Err("the command has no absolute path".to_owned());
        }
        let copy = dir.path().join("rsd");
        std::fs::copy(env!("CARGO_BIN_EXE_rsd"), &copy).map_err(|e| e.to_string())?;
        command = Command::new(copy);
        command.args(["check", "--json"]).args(page.args).current_dir(dir.path());
        command.uid(NOBODY).gid(NOBODY);
    }
    if let Some((_, make)) = MACHINES.iter().find(|(code, _)| *code == page.code) {
        command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.args(["--propagation", "private", "sh", "-ec"]);
        command.arg(format!("{make}; exec \"$RSD\" check --json \"$@\"")).arg("sh").args(page.args);
        command.env("RSD", env!("CARGO_BIN_EXE_rsd")).current_dir(dir.path());
    }
    let output = command.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let document: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| format!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    let findings = document["findings"].as_array().cloned().unwrap_or_default();
    Ok(findings.iter().filter_map(|f| f["code"].as_str()).map(str::to_owned).collect())
}

#[test]
fn what_a_page_shows_is_so() {
    let mut wrong = Vec::new();
    for page in pages() {
        if page.starter == Starter::Root && !is_root() {
            println!("skipped: the example of {} must be started as root", page.code);
            assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{}", page.code);
            continue;
        }
        if page.args.contains(&"--python") && phases::python::find(None).is_err() {
            println!("skipped: the example of {} needs python3 and its shared library", page.code);
            continue;
        }
        match shown(page) {
            Ok(codes) if codes.contains(page.code) => {}
            Ok(codes) => wrong.push(format!("{}: got {codes:?}", page.code)),
            Err(why) => wrong.push(format!("{}: {why}", page.code)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn codes_in(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            // The pages, and what tests expect, emit nothing.
            if path.file_name().is_some_and(|n| n != "pages") {
                codes_in(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for (n, _) in text.match_indices("\"RSD") {
                let code: String = text[n + 1..].chars().take_while(char::is_ascii_alphanumeric).collect();
                if code.len() == 7 && text[n + 8..].starts_with('"') {
                    found.insert(code);
                }
            }
        }
    }
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut emitted = BTreeSet::new();
    for dir in ["engine/src", "phases/src", "src"] {
        codes_in(&top.join(dir), &mut emitted);
    }
    // The tests of the pages name codes that are not there.
    emitted.remove("RSD9999");
    let explained: BTreeSet<String> = pages().map(|p| p.code.to_owned()).collect();
    assert!(emitted.len() > 30, "{emitted:?}");
    assert_eq!(emitted, explained);
}
