//! `rsd trace diff` and `rsd trace --follow` as they are called.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn rsd(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsd"));
    command.current_dir(dir).env("HOME", dir).env("XDG_STATE_HOME", dir.join("state")).stdin(Stdio::null());
    command
}

fn output(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = rsd(dir).args(args).output().expect("rsd is there");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn run(dir: &Path, journal: &str, more: &[&str]) {
    let args = ["run", "-n", "--pidfile", "d.pid", "--journal", journal];
    let (code, _, err) = output(dir, &[&args[..], more, &["--", "true"]].concat());
    assert_eq!(code, 0, "{err}");
}

#[test]
fn two_runs_are_compared_and_ci_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    run(dir, "old.jsonl", &["--umask", "077"]);
    run(dir, "new.jsonl", &["--umask", "022"]);
    let (code, out, _) = output(dir, &["trace", "diff", "old.jsonl", "new.jsonl"]);
    assert_eq!(code, 0, "{out}");
    for part in ["after umask: has umask 022 (was 077)", "= order     same 13 phases", "umask: 077 → 022"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(out.lines().all(|l| l.chars().count() <= 80), "{out}");
    let (code, _, err) =
        output(dir, &["trace", "diff", "old.jsonl", "new.jsonl", "--fail-on", "order,identity"]);
    assert_eq!((code, err.starts_with("failed: identity: after umask")), (1, true), "{err}");
    let (code, ..) = output(dir, &["trace", "diff", "old.jsonl", "new.jsonl", "--fail-on", "order"]);
    assert_eq!(code, 0);
    let (code, _, err) = output(dir, &["trace", "diff", "old.jsonl", "new.jsonl", "--fail-on", "ordre"]);
    assert_eq!((code, err.contains("did you mean `order`?")), (2, true), "{err}");

    let (_, out, _) = output(dir, &["trace", "diff", "old.jsonl", "old.jsonl"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let (_, out, _) = output(dir, &["trace", "diff", "old.jsonl", "new.jsonl", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((value["schema"].as_u64(), value["same"].as_bool()), (Some(1), Some(false)));
    assert_eq!(value["identity"][0]["field"], "umask");
    assert!(value["ready"]["old_ns"].is_u64());
}

#[test]
fn a_run_is_followed_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let args = ["run", "-n", "--pidfile", "d.pid", "--journal", "j.jsonl", "--", "sleep", "1"];
    let mut running = rsd(dir).args(args).stdout(Stdio::null()).spawn().expect("rsd is there");
    while std::fs::metadata(dir.join("j.jsonl")).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (code, out, err) = output(dir, &["trace", "--follow", "./j.jsonl"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!out.contains('\x1b') && !out.contains('\r'), "{out:?}");
    let at = |part: &str| out.find(part).unwrap_or_else(|| panic!("no {part}: {out}"));
    assert!(at("✓ checkPID") < at("● ready") && at("● ready") < at("● completed after"), "{out}");
    assert_eq!(running.wait().expect("it ran").code(), Some(0));
    // one that is over is shown and ended at once
    let lasting =
        |text: &str| text.lines().filter(|l| !l.contains("so far")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lasting(&output(dir, &["trace", "--follow", "./j.jsonl"]).1), lasting(&out));
    let (code, _, err) = output(dir, &["trace", "--follow", "./j.jsonl", "--format", "json"]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    run(dir, "j.jsonl", &[]);
    let refused = |args: &[&str]| {
        let (code, out, err) = output(dir, &[&["trace"], args].concat());
        assert_eq!(out, "", "{args:?}");
        (code, err)
    };
    assert_eq!(refused(&[""]), (2, "error: the name of the run is empty\n".to_owned()));
    assert_eq!(
        refused(&["/dev/zero"]),
        (1, "error: /dev/zero cannot be read: it is a device, not a journal\n".to_owned())
    );
    for args in [
        &["./j.jsonl"][..],
        &["./j.jsonl", "--format", "json"],
        &["./j.jsonl", "--format", "html"],
        &["list"],
        &["diff", "./j.jsonl", "./j.jsonl"],
        &["diff", "./j.jsonl", "./j.jsonl", "--json"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let done = rsd(dir).arg("trace").args(args).stdout(full).output().expect("rsd is there");
        let err = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.contains("standard output cannot be written: No space left"), "{args:?}: {err}");
    }
    let nowhere =
        rsd(dir).arg("trace").env_remove("HOME").env_remove("XDG_STATE_HOME").output().expect("rsd is there");
    if !nix::unistd::geteuid().is_root() {
        let err = String::from_utf8_lossy(&nowhere.stderr);
        assert!(err.contains("neither XDG_STATE_HOME nor HOME is set"), "{err}");
    }
}

#[test]
fn a_page_is_as_wide_as_columns_says_where_there_is_no_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    run(dir, "j.jsonl", &[]);
    let widest = |columns: Option<&str>| {
        let mut command = rsd(dir);
        match columns {
            Some(n) => command.env("COLUMNS", n),
            None => command.env_remove("COLUMNS"),
        };
        let done = command.args(["trace", "./j.jsonl"]).output().expect("rsd is there");
        let text = String::from_utf8(done.stdout).expect("text");
        text.lines().map(|l| l.chars().count()).max().unwrap_or_default()
    };
    assert!(widest(None) <= 80);
    assert_eq!(widest(Some("rubbish")), widest(None));
    let wide = widest(Some("132"));
    assert!((81..=132).contains(&wide), "{wide}");
}
