//! The same lines before Twisted's own parser and before ours.

use crate::support::{Who, World, words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many lines are made up.
const LINES: usize = 700;

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const FLAGS: &[&str] =
    &["nodaemon", "no_save", "encrypted", "originalname", "syslog", "euid", "savestats", "debug", "spew"];
const LETTERS: &[&str] = &["n", "o", "e", "b", "no", "on", "ne"];
const VALUES: &[(&str, &str, &[&str])] = &[
    ("python", "y", &["x.tac", "", "a b.tac", "-n", "--", "=x"]),
    ("file", "f", &["x.tap", "", "-"]),
    ("source", "s", &["x.tas", ""]),
    ("logfile", "l", &["a.log", "-", "", "/var/log/a"]),
    ("logger", "", &["os.getcwd", "no.such.thing", ""]),
    ("prefix", "", &["p", ""]),
    ("pidfile", "", &["p.pid", "", "/run/p.pid"]),
    ("chroot", "", &["jail", "", "/srv"]),
    ("rundir", "d", &[".", "", "/", "sub", "jail/sub"]),
    (
        "uid",
        "u",
        &["0", "05001", "-5", "root", "nosuch", "", " 7 ", "1_0", "4294967295", "99999999999999999999"],
    ),
    ("gid", "g", &["0", "+7", "-1", "daemon", "nosuch", "0x1"]),
    ("umask", "", &["022", "22", "0o22", "9", "", "-22", "1777", "0_7"]),
    ("reactor", "r", &["epoll", "asyncio", "nosuch", ""]),
    ("profile", "p", &["prof", ""]),
    ("profiler", "", &["profile", "cprofile", "CProfile", "hotshot", ""]),
];

fn line(dice: &mut Dice) -> Vec<String> {
    let mut args = Vec::new();
    for _ in 0..=dice.below(5) {
        match dice.below(10) {
            0..3 => args.push(format!("-{}", dice.one(LETTERS))),
            3 => {
                let whole = dice.one(FLAGS);
                args.push(format!("--{}", &whole[..1 + dice.below(whole.len())]));
            }
            4 => args.push(format!("--{}", dice.one(FLAGS))),
            _ => valued(dice, &mut args),
        }
    }
    match dice.below(40) {
        0 => args.push("--help".to_owned()),
        1 => args.push("--version".to_owned()),
        2 => args.push("--help-reactors".to_owned()),
        3 => {
            args.push(dice.one(&["--no-save", "-q", "--", "--=x", "--nodaemon=1", "-", "--bogus"]).to_owned())
        }
        _ => {}
    }
    match dice.below(8) {
        0 => args.extend(["web".to_owned(), "--path".to_owned(), ".".to_owned(), "-n".to_owned()]),
        1 => args.extend(["portforward".to_owned(), "-p".to_owned(), "8001".to_owned()]),
        2 if dice.below(4) == 0 => args.push("nosuchcommand".to_owned()),
        3..6 => args.splice(0..0, ["-y".to_owned(), "x.tac".to_owned()]).for_each(drop),
        _ => {}
    }
    args
}

fn valued(dice: &mut Dice, args: &mut Vec<String>) {
    let (long, short, values) = VALUES[dice.below(VALUES.len())];
    // The first value is a good one: most lines should get far.
    let value = if dice.below(2) == 0 { values[0] } else { dice.one(values) };
    match dice.below(5) {
        0 if !short.is_empty() => args.extend([format!("-{short}"), value.to_owned()]),
        1 if !short.is_empty() => args.push(format!("-{short}{value}")),
        2 if !short.is_empty() => args.push(format!("-n{short}{value}")),
        3 => {
            let begun = &long[..(2 + dice.below(long.len())).min(long.len())];
            args.push(format!("--{begun}={value}"));
        }
        _ => args.extend([format!("--{long}"), value.to_owned()]),
    }
}

/// What Twisted refuses, and rsd leaves to Twisted, or to the check, when the application is loaded.
const LATER: &[(&str, &str)] = &[
    ("KeyError", "a user or group that does not exist: the check refuses it"),
    ("Unknown command", "a plug-in that does not exist: Twisted refuses it when it is loaded"),
    ("The specified reactor does not exist", "a reactor that does not exist: the same"),
    ("Logger '", "a logger that cannot be imported: the same"),
];

/// What Twisted's parser takes, and rsd refuses at once: it cannot work, or is refused by twistd later.
fn refused(values: &Value, root: &Path) -> Option<&'static str> {
    let text = |name: &str| values[name].as_str();
    let filled = |name: &str| text(name).filter(|v| !v.is_empty());
    let flag = |name: &str| values[name] == 1 || values[name] == true;
    let id = |name: &str| {
        values[name].is_null() || values[name].as_i64().is_some_and(|n| (0..0xffff_ffff).contains(&n))
    };
    let no_file = flag("nodaemon") || flag("debug") || flag("syslog") || filled("logger").is_some();
    let application = values["command"].is_string() || filled("python").is_some();
    let jail = text("chroot").zip(text("rundir").filter(|d| *d != "." && !d.starts_with('/')));
    let cases = [
        (!id("uid") || !id("gid"), "a number that no user or group can have"),
        (values["umask"].as_i64().is_some_and(|m| !(0..=0o777).contains(&m)), "a umask out of range"),
        (values["chroot"] == "" || values["rundir"] == "", "an empty directory"),
        (!no_file && values["logfile"] == "-", "a daemon that logs to stdout"),
        (
            !["profile", "cprofile"].contains(&text("profiler").unwrap().to_lowercase().as_str()),
            "an unknown profiler",
        ),
        (!application && filled("source").is_some(), "a .tas file"),
        (!application && filled("file").is_none(), "nothing to run"),
        (
            jail.is_some_and(|(jail, dir)| !root.join(dir).starts_with(root.join(jail))),
            "a working directory outside the new root",
        ),
    ];
    cases.iter().find(|(holds, _)| *holds).map(|(_, why)| *why)
}

/// What the values of Twisted's parser are, said to `rsd run`.
fn expected(values: &Value, args: &[String]) -> Vec<String> {
    let text = |name: &str| values[name].as_str();
    let filled = |name: &str| text(name).filter(|v| !v.is_empty());
    let flag = |name: &str| values[name] == 1 || values[name] == true;
    let foreground = flag("nodaemon") || flag("debug");
    let mut words = vec!["rsd".to_owned(), "run".to_owned(), "--spec=twistd".to_owned()];
    let mut say = |word: String| words.push(word);
    if foreground {
        say("--nodaemon".to_owned());
    }
    // Twisted does not tell whether its own default was named.
    let pid_file = text("pidfile").unwrap();
    if pid_file.is_empty() || !pid_file.ends_with("/twistd.pid") {
        say(format!("--pidfile={pid_file}"));
    }
    match filled("logfile") {
        _ if flag("syslog") || values["logger"].is_string() => say("--logfile=".to_owned()),
        Some("-") => say("--logfile=".to_owned()),
        Some(file) => say(format!("--logfile={file}")),
        None if flag("debug") && !flag("nodaemon") => say("--logfile=twistd.log".to_owned()),
        None => {}
    }
    if let Some(root) = text("chroot") {
        say(format!("--chroot={root}"));
    }
    match text("rundir").unwrap() {
        "." => {}
        "jail/sub" if text("chroot") == Some("jail") => say("--rundir=/sub".to_owned()),
        dir => say(format!("--rundir={dir}")),
    }
    for id in ["uid", "gid"] {
        if let Some(id_value) = values[id].as_i64() {
            say(format!("--{id}={id_value}"));
        }
    }
    if flag("euid") {
        say("--euid".to_owned());
    }
    if let Some(mask) = values["umask"].as_i64() {
        say(format!("--umask={mask:03o}"));
    }
    let mut twisted: Vec<String> = ["debug", "originalname", "spew", "syslog"]
        .iter()
        .filter(|n| flag(n))
        .map(|n| format!("--{n}"))
        .collect();
    for option in ["reactor", "logger"] {
        twisted.extend(text(option).map(|v| format!("--{option}={v}")));
    }
    if flag("syslog") && text("prefix") != Some("twisted") {
        twisted.push(format!("--prefix={}", text("prefix").unwrap()));
    }
    if let Some(file) = filled("profile") {
        twisted.push(format!("--profile={file}"));
        twisted.push(format!("--profiler={}", text("profiler").unwrap()));
        if flag("savestats") {
            twisted.push("--savestats".to_owned());
        }
    }
    match (text("command"), filled("python")) {
        (Some(command), _) => {
            let at = args.iter().rposition(|a| a == command).unwrap();
            twisted.extend(args[at..].iter().cloned());
        }
        (None, Some(tac)) => say(format!("--python={tac}")),
        (None, None) => {
            twisted.extend(flag("no_save").then(|| "--no_save".to_owned()));
            twisted.push(format!("--file={}", text("file").unwrap()));
        }
    }
    words.extend(twisted.into_iter().map(|w| format!("--twistd={w}")));
    words
}

fn ask(python: &Path, lines: &[Vec<String>], world: &World) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twistd_line/ask.py");
    let mut child = Command::new(python)
        .arg(script)
        .current_dir(world.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(lines).unwrap()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{} asked of {}", done.status, python.display());
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn the_same_lines_before_twisted_and_before_us() {
    let Some(environment) = std::env::var_os("RSD_TEST_TWISTED") else {
        println!("skipped: RSD_TEST_TWISTED names no virtual environment with Twisted");
        return;
    };
    let python = Path::new(&environment).join("bin/python");
    let world = World::empty(Who::Me);
    fs::create_dir_all(world.dir().join("jail/sub")).unwrap();
    fs::write(world.dir().join("twistd.tap"), "").unwrap();
    let root = world.dir().canonicalize().unwrap();
    let mut dice = Dice(0x5eed_0001);
    let lines: Vec<Vec<String>> = (0..LINES).map(|_| line(&mut dice)).collect();
    let theirs = ask(&python, &lines, &world);
    assert_eq!(theirs.len(), LINES);
    let (mut tally, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for (args, theirs) in lines.iter().zip(&theirs) {
        let verdict = compare(&python, &world, &root, args, theirs);
        match verdict {
            Ok(kind) => *tally.entry(kind).or_default() += 1,
            Err(why) => wrong.push(format!("{args:?}\n  theirs: {theirs}\n  {why}")),
        }
    }
    for (kind, count) in &tally {
        println!("{count:4} {kind}");
    }
    assert!(wrong.is_empty(), "{} of {LINES} differ:\n{}", wrong.len(), wrong.join("\n"));
    // Every row was met, or it is no row: the list of differences is what was seen.
    for (_, row) in LATER {
        assert!(tally.keys().any(|kind| kind.ends_with(row)), "no line shows: {row}");
    }
    let both = |what: &str| tally.get(what).copied().unwrap_or(0);
    assert!(both("taken by both, alike") > 100 && both("refused by both") > 50, "too few lines of each sort");
}

/// Ours against theirs: which sort of agreement it is, or what is wrong.
fn compare(
    python: &Path,
    world: &World,
    root: &Path,
    args: &[String],
    theirs: &Value,
) -> Result<String, String> {
    let interpreter = format!("--interpreter={}", python.display());
    let mut all = vec!["twistd".to_owned(), "--as-rsd".to_owned(), interpreter.clone()];
    all.extend(args.iter().cloned());
    let ours = world.rsd(&all);
    let said = || format!("ours: {} {}{}", ours.code, ours.stdout, ours.stderr);
    if let Some(answer) = theirs["answer"].as_str() {
        let begins = answer.split([' ', '\n']).find(|w| !w.is_empty()).unwrap_or("");
        return match ours.code == 0 && ours.stdout.trim_start().starts_with(begins) {
            true => Ok(format!("answered by both: {begins}")),
            false => Err(said()),
        };
    }
    if let Some(error) = theirs["error"].as_str() {
        let later = LATER.iter().find(|(begins, _)| error.starts_with(begins));
        return match (later, ours.code) {
            (_, 2) if ours.stdout.is_empty() && ours.stderr.starts_with("error: ") => {
                Ok("refused by both".to_owned())
            }
            (Some((_, row)), 0) => Ok(format!("refused by Twisted's parser, by us later: {row}")),
            _ => Err(said()),
        };
    }
    let values = &theirs["values"];
    if let Some(why) = refused(values, root) {
        return match ours.code == 2 && ours.stdout.is_empty() {
            true => Ok(format!("taken by Twisted's parser, refused by us: {why}")),
            false => Err(format!("{why}\n  {}", said())),
        };
    }
    let mut words = words(&ours.stdout);
    words.retain(|word| *word != interpreter);
    let expected: Vec<String> = expected(values, args);
    // Paths are made absolute by Twisted's parser, and by the spec.
    let plain = |w: &String| w.replace(&format!("{}/", root.display()), "");
    let expected: Vec<String> = expected.iter().map(plain).collect();
    words.retain(|w| w != "--pidfile=twistd.pid" && w != "--twistd=--prefix=twisted");
    without_what_a_plug_in_is_told(&mut words, values["command"].as_str());
    // Names are looked up by Twisted's parser, and by the spec.
    for word in &mut words {
        *word = match word.as_str() {
            "--uid=root" => "--uid=0".to_owned(),
            "--gid=daemon" => {
                format!("--gid={}", nix::unistd::Group::from_name("daemon").unwrap().unwrap().gid)
            }
            _ => continue,
        };
    }
    match words == expected {
        true => Ok("taken by both, alike".to_owned()),
        false => Err(format!("expected: {expected:?}\n  {}", said())),
    }
}

/// A plug-in hears of the options that rsd acts on; here they are compared as rsd's own.
fn without_what_a_plug_in_is_told(words: &mut Vec<String>, plug_in: Option<&str>) {
    let Some(at) = plug_in.and_then(|name| words.iter().rposition(|w| *w == format!("--twistd={name}")))
    else {
        return;
    };
    let behind = words.split_off(at);
    words.retain(|word| {
        let told = word.strip_prefix("--twistd=--").map(|w| w.split('=').next().unwrap_or(w));
        !told.is_some_and(|name| {
            ["pidfile", "logfile", "rundir", "chroot", "umask", "uid", "gid", "nodaemon", "no_save", "euid"]
                .contains(&name)
        })
    });
    words.extend(behind);
}
