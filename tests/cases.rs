//! Every folder under `tests/cases` is a command line and what it must print; besides them the
//! inputs that are too large or too odd to keep in a folder.
//!
//! A folder holds `cmd` (arguments, one command a line; `check --spec spec.yaml` where it is missing),
//! `needs` (`root`, `user`: who must run it; `python`; `others` may write `spec.yaml`), `expected.txt`, and the files the command sees.
//! `RSD_UPDATE=1 cargo test --test cases` writes what is printed now; `RSD_CASE=NAME` runs one.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::{Ran, Who, World, diff, normal, root, words};

const FOLDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");

/// What a folder came to.
enum Verdict {
    Fine,
    Skipped(&'static str),
    Bad(String),
}

#[test]
fn every_folder_prints_what_it_should() {
    let mut names: Vec<_> = fs::read_dir(FOLDERS)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| std::env::var("RSD_CASE").map_or(true, |only| only == *name))
        .collect();
    names.sort();
    let (mut fine, mut bad) = (0, Vec::new());
    for name in &names {
        match folder(name) {
            Verdict::Fine => fine += 1,
            Verdict::Skipped(why) => println!("skipped: {name}: {why}"),
            Verdict::Bad(why) => bad.push(format!("== {name}\n{why}")),
        }
    }
    println!("{fine} of {} cases are as expected", names.len());
    assert!(bad.is_empty(), "{} of {} cases fail:\n\n{}", bad.len(), names.len(), bad.join("\n"));
}

fn folder(name: &str) -> Verdict {
    let dir = Path::new(FOLDERS).join(name);
    let text = |file: &str| fs::read_to_string(dir.join(file)).ok();
    let needs = text("needs").unwrap_or_default();
    let needs: Vec<&str> = needs.split_whitespace().collect();
    let who = match needs[..] {
        ["root", ..] if !root() => return Verdict::Skipped("only for root"),
        ["user", ..] if root() => Who::Nobody,
        _ => Who::Me,
    };
    if needs.contains(&"python") && phases::python::find(Some("/usr/bin/python3")).is_err() {
        return Verdict::Skipped("needs Debian's python3 and its shared library");
    }
    let world = World::with(&dir, &["cmd", "needs", "expected.txt"], who);
    if needs.contains(&"others") {
        fs::set_permissions(world.dir().join("spec.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    }
    let before = world.listing();
    let cmd = text("cmd").unwrap_or_else(|| "check --spec spec.yaml".to_owned());
    let (mut printed, mut wrong) = (String::new(), String::new());
    for line in cmd.lines().filter(|l| !l.trim().is_empty()) {
        let args = words(line);
        let ran = world.rsd(&args);
        complaints(&world, &ran, line, &mut wrong);
        let _ = write!(
            printed,
            "$ rsd {line}\n{}{}exit {}\n",
            normal(&ran.stdout, &world),
            normal(&ran.stderr, &world),
            ran.code
        );
        refused_alike(&world, &args, &ran, &mut wrong);
    }
    if world.listing() != before {
        let _ = writeln!(wrong, "the directory was changed:\n{}", diff(&before, &world.listing()));
    }
    let file = dir.join("expected.txt");
    if std::env::var_os("RSD_UPDATE").is_some() && wrong.is_empty() {
        fs::write(&file, &printed).unwrap();
    }
    match text("expected.txt") {
        None => wrong.push_str("there is no expected.txt; RSD_UPDATE=1 writes it\n"),
        Some(expected) if expected != printed => wrong.push_str(&diff(&expected, &printed)),
        Some(_) => {}
    }
    if wrong.is_empty() { Verdict::Fine } else { Verdict::Bad(wrong) }
}

/// What no command may do, whatever it is expected to print.
fn complaints(world: &World, ran: &Ran, line: &str, wrong: &mut String) {
    if let Some(slow) = &ran.slow {
        let _ = writeln!(wrong, "rsd {line}: {slow}");
    }
    for text in [&ran.stdout, &ran.stderr] {
        if text.contains("panicked") {
            let _ = writeln!(wrong, "rsd {line}: panicked:\n{text}");
        }
        if let Some(c) = text.chars().find(|c| c.is_control() && !matches!(c, '\n')) {
            let _ = writeln!(wrong, "rsd {line}: a raw {c:?} is printed");
        }
    }
    if !world.state().is_empty() {
        let _ = writeln!(wrong, "rsd {line}: something is written to the state directory");
    }
}

/// What `check` refuses, `run` refuses too and leaves nothing; `plan` shows it or refuses it.
fn refused_alike(world: &World, args: &[String], checked: &Ran, wrong: &mut String) {
    let refused = checked.stdout.lines().any(|l| l.starts_with("refused: "));
    if args.first().is_none_or(|a| a != "check") || args.iter().any(|a| a == "--json") || !refused {
        return;
    }
    let journal = format!("rsd-cases-{}", std::process::id());
    for command in ["run", "plan"] {
        let mut again = vec![command.to_owned(), "--name".to_owned(), journal.clone()];
        again.extend(args[1..].iter().cloned());
        let ran = world.rsd(&again);
        complaints(world, &ran, &again.join(" "), wrong);
        let shown = ran.stderr.contains("refuses this plan");
        let fine = match command {
            "run" => ran.code == 6 || ran.code == 4,
            _ => ran.code == 6 || (ran.code == 0 && shown),
        };
        if !fine {
            let _ = writeln!(
                wrong,
                "check refuses it, and `{}` exits {}:\n{}{}",
                again.join(" "),
                ran.code,
                ran.stdout,
                ran.stderr
            );
        }
        if Path::new("/var/lib/rsd").join(&journal).exists() {
            let _ = writeln!(wrong, "`{}` made a journal", again.join(" "));
        }
    }
}

mod odd {
    //! Inputs too large or too odd for a folder: refused with 6, quickly, and nothing is touched.

    use super::*;
    use std::os::unix::net::UnixListener;

    /// Every command that reads a spec refuses what is there under that name.
    fn refuses(world: &World, spec: &str, message: &str) {
        let before = world.listing();
        for command in ["check", "plan", "run", "stop", "status"] {
            let ran = world.rsd(&[command, "--spec", spec].map(str::to_owned));
            let mut wrong = String::new();
            complaints(world, &ran, &format!("{command} --spec {spec}"), &mut wrong);
            assert!(wrong.is_empty(), "{wrong}");
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, 6, "rsd {command} --spec {spec}: {all}");
            assert!(all.contains("error[RSD01"), "{all}");
            assert!(all.contains(message), "{message:?} is not in: {all}");
            assert!(all.len() < 32_000, "{} bytes are printed for {spec}", all.len());
        }
        assert_eq!(before, world.listing());
    }

    fn of(text: &str, message: &str) {
        let world = World::empty(Who::Me);
        fs::write(world.dir().join("spec.yaml"), text).unwrap();
        refuses(&world, "spec.yaml", message);
    }

    #[test]
    fn brackets_20_000_deep() {
        of(&"[".repeat(20_000), "nest");
        of(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)), "nest");
    }

    #[test]
    fn braces_20_000_deep() {
        of(&"{a: ".repeat(20_000), "nest");
        of(&format!("{}1{}", "{a: ".repeat(20_000), "}".repeat(20_000)), "nest");
    }

    /// Sizes that a debug build reads in time; a release build is given the largest that are allowed.
    fn up_to(debug: usize, release: usize) -> usize {
        if cfg!(debug_assertions) { debug } else { release }
    }

    #[test]
    fn block_mappings_nested_as_deep_as_the_size_allows() {
        // Each level is indented one further: n levels are n²/2 bytes.
        for bytes in [100_000, up_to(1_000_000, 30_000_000)] {
            let mut text = String::from("rsd: 1\nname: t\nphases:\n");
            let mut depth = 1;
            while text.len() < bytes {
                text.push_str(&" ".repeat(depth));
                text.push_str("a:\n");
                depth += 1;
            }
            of(&text, "nest");
        }
    }

    #[test]
    fn wide_mappings_and_long_lines() {
        let bytes = up_to(300_000, 1_500_000);
        let many: String = (0..bytes / 16).map(|n| format!("key{n:08}: 1\n")).collect();
        of(&format!("rsd: 1\nname: t\n{many}"), "error[RSD01");
        of(&format!("rsd: 1\nname: {}\n", "x".repeat(bytes)), "error[RSD01");
        of(&format!("rsd: 1\nname: t\n{}: 1\n", "x".repeat(bytes)), "error[RSD01");
        of(&format!("rsd: 1\nname: \"{}", "\u{202e}".repeat(bytes / 3)), "error[RSD01");
        of(
            &format!("rsd: 1\nname: t\nphases: {{ {} }}\n", "a: { kind: umask }, ".repeat(bytes / 20)),
            "twice",
        );
    }

    #[test]
    fn a_file_of_100_megabytes() {
        let world = World::empty(Who::Me);
        let file = fs::File::create(world.dir().join("spec.yaml")).unwrap();
        file.set_len(100_000_000).unwrap();
        refuses(&world, "spec.yaml", "100000000 bytes");
    }

    #[test]
    fn what_is_no_file_does_not_hang() {
        let world = World::empty(Who::Me);
        nix::unistd::mkfifo(&world.dir().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::create_dir(world.dir().join("directory")).unwrap();
        let _socket = UnixListener::bind(world.dir().join("socket")).unwrap();
        std::os::unix::fs::symlink("loop", world.dir().join("loop")).unwrap();
        refuses(&world, "fifo", "empty");
        refuses(&world, "directory", "it is a directory");
        refuses(&world, "socket", "error");
        refuses(&world, "loop", "Too many levels of symbolic links");
        refuses(&world, "missing.yaml", "No such file or directory");
        refuses(&world, "missing/spec.yaml", "No such file or directory");
        refuses(&world, "/dev/zero", "more than 33554432 bytes");
        refuses(&world, "/dev/null", "empty");
    }

    #[test]
    fn an_unreadable_file() {
        if !root() {
            println!("skipped: an unreadable file: only for root, who can run as another user");
            return;
        }
        let world = World::empty(Who::Nobody);
        let spec = world.dir().join("spec.yaml");
        fs::write(&spec, "rsd: 1\nname: t\n").unwrap();
        fs::set_permissions(&spec, fs::Permissions::from_mode(0o600)).unwrap();
        nix::unistd::chown(&spec, Some(0.into()), Some(0.into())).unwrap();
        refuses(&world, "spec.yaml", "Permission denied");
    }
}
