//! From twistd's command line to that of `rsd run`: nothing is touched but the directories' real names.

use super::number::{self, Number};
use super::parse::{Parsed, Refusal};
use engine::text::{clean, did_you_mean};
use std::path::{Path, PathBuf};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// the help
    Help,
    /// the versions
    Version,
    /// the reactors, which Twisted knows
    Reactors,
    /// the plug-ins, which Twisted knows
    Commands,
    /// a start
    Start(Start),
}

/// A start, as the words of `rsd run` behind its name.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    /// `--spec=…` and the options of the spec
    pub words: Vec<String>,
    /// what was accepted and does nothing, and why
    pub notes: Vec<String>,
}

/// Goes through the options in the order they were given, as twistd does: the first that is an answer, or
/// has a wrong value, is the last that is looked at.
pub fn asked(parsed: &Parsed, interpreter: Option<&Path>, cwd: &Path) -> Result<Asked, Refusal> {
    let mut reactor = None;
    for (option, value) in &parsed.given {
        match option.long {
            "help" => return Ok(Asked::Help),
            "version" => return Ok(Asked::Version),
            "help-reactors" => return Ok(Asked::Reactors),
            "help-commands" => return Ok(Asked::Commands),
            // Out of range is another matter: the last one wins, and may be better.
            "umask" if number::python(value, 8) == Number::None => return Err(no_mask(value)),
            "reactor" if reactor.is_some() => {
                return Err(Refusal::new("--reactor was given twice")
                    .help("name one: Twisted installs it when it is met, and has room for one"));
            }
            "reactor" => reactor = Some(value),
            _ => {}
        }
    }
    start(parsed, interpreter, cwd).map(Asked::Start)
}

fn start(parsed: &Parsed, interpreter: Option<&Path>, cwd: &Path) -> Result<Start, Refusal> {
    let mut words = vec![format!("--spec={}", parsed.filled("spec").unwrap_or("twistd"))];
    for own in ["name", "journal"] {
        words.extend(parsed.last(own).map(|v| format!("--{own}={v}")));
    }
    if parsed.has("strict") {
        words.push("--strict".to_owned());
    }
    let interpreter = parsed.filled("interpreter").map(PathBuf::from).or(interpreter.map(Path::to_owned));
    words.extend(interpreter.map(|path| format!("--interpreter={}", path.display())));
    if parsed.has("nodaemon") || parsed.has("debug") {
        words.push("--nodaemon".to_owned());
    }
    words.extend(parsed.last("pidfile").map(|path| format!("--pidfile={path}")));
    words.extend(logfile(parsed)?);
    words.extend(places(parsed, cwd)?);
    for who in ["uid", "gid"] {
        if let Some(value) = parsed.last(who) {
            words.push(format!("--{who}={}", id(who, value)?));
        }
    }
    if parsed.has("euid") {
        words.push("--euid".to_owned());
    }
    if let Some(mask) = parsed.last("umask") {
        words.push(format!("--umask={:03o}", umask(mask)?));
    }
    words.extend(application(parsed, cwd)?);
    let mut notes = Vec::new();
    if parsed.has("encrypted") && parsed.rest.is_empty() {
        notes.push(
            "--encrypted has no effect: twistd asks for a passphrase and throws it away; rsd does not ask"
                .to_owned(),
        );
    }
    Ok(Start { words, notes })
}

/// `-` and nothing are standard output in the foreground; who logs elsewhere opens no file.
fn logfile(parsed: &Parsed) -> Result<Option<String>, Refusal> {
    if parsed.has("syslog") || parsed.has("logger") {
        return Ok(Some("--logfile=".to_owned()));
    }
    let foreground = parsed.has("nodaemon") || parsed.has("debug");
    Ok(match parsed.filled("logfile") {
        Some("-") if !foreground => {
            return Err(Refusal::new("Daemons cannot log to stdout, exiting!")
                .help("name a file with --logfile, or stay in the foreground with -n"));
        }
        Some("-") => Some("--logfile=".to_owned()),
        Some(file) => Some(format!("--logfile={file}")),
        // --debug alone stays in the foreground and logs to the file all the same.
        None if foreground && !parsed.has("nodaemon") => Some("--logfile=twistd.log".to_owned()),
        None => None,
    })
}

/// The new root and the working directory.
fn places(parsed: &Parsed, cwd: &Path) -> Result<Vec<String>, Refusal> {
    for place in ["chroot", "rundir"] {
        if parsed.last(place) == Some("") {
            return Err(Refusal::new(format!("--{place} is empty")).help("name a directory, or leave it out"));
        }
    }
    let chroot = parsed.last("chroot");
    let mut words: Vec<String> = chroot.iter().map(|dir| format!("--chroot={dir}")).collect();
    match (parsed.last("rundir").filter(|dir| *dir != "."), chroot) {
        (Some(dir), Some(root)) if !dir.starts_with('/') => {
            words.push(format!("--rundir={}", inside(cwd, root, dir)?));
        }
        (Some(dir), _) => words.push(format!("--rundir={dir}")),
        (None, _) => {}
    }
    Ok(words)
}

/// A relative directory is meant from where the command was started, and has to be named as the new root
/// will have it.
fn inside(cwd: &Path, root: &str, dir: &str) -> Result<String, Refusal> {
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let (root_path, path) = (real(cwd.join(root)), real(cwd.join(dir)));
    match path.strip_prefix(&root_path) {
        Ok(rest) => Ok(Path::new("/").join(rest).display().to_string()),
        Err(_) => Err(Refusal::new(format!(
            "--rundir {} is outside the new root {}: the daemon would not be confined to it",
            clean(dir),
            clean(root)
        ))
        .help("name the directory as it is called in the new root, from /")),
    }
}

/// What is to be run, and what Twisted itself is told.
fn application(parsed: &Parsed, cwd: &Path) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    let mut twisted: Vec<String> = Vec::new();
    let profiler = parsed.last("profiler").unwrap_or("cprofile");
    let known = ["cprofile", "profile"];
    if !known.contains(&profiler.to_lowercase().as_str()) {
        let refusal = Refusal::new(format!("--profiler {} is not a profiler of Twisted", clean(profiler)));
        return Err(match did_you_mean(profiler, known) {
            Some(meant) => refusal.help(format!("did you mean `{meant}`?")),
            None => refusal.help("they are profile and cprofile"),
        });
    }
    for flag in ["debug", "originalname", "spew", "syslog"] {
        if parsed.has(flag) {
            twisted.push(format!("--{flag}"));
        }
    }
    for option in ["reactor", "logger"] {
        twisted.extend(parsed.last(option).map(|v| format!("--{option}={v}")));
    }
    if let Some(prefix) = parsed.last("prefix").filter(|_| parsed.has("syslog")) {
        twisted.push(format!("--prefix={prefix}"));
    }
    if let Some(file) = parsed.filled("profile") {
        twisted.extend([format!("--profile={file}"), format!("--profiler={profiler}")]);
        if parsed.has("savestats") {
            twisted.push("--savestats".to_owned());
        }
    }
    if parsed.rest.is_empty() {
        match (parsed.filled("python"), parsed.filled("source")) {
            (Some(tac), _) => words.push(format!("--python={tac}")),
            (None, Some(source)) => return Err(no_source(source)),
            (None, None) => twisted.extend(pickled(parsed, cwd)?),
        }
    } else {
        // A plug-in may look at all of the options (`options.parent`), whoever acts on them.
        for option in ["pidfile", "logfile", "rundir", "chroot", "umask", "uid", "gid"] {
            twisted.extend(parsed.last(option).map(|v| format!("--{option}={v}")));
        }
        for flag in ["nodaemon", "no_save", "euid"] {
            twisted.extend(parsed.has(flag).then(|| format!("--{flag}")));
        }
        twisted.extend(parsed.rest.iter().cloned());
    }
    words.extend(twisted.into_iter().map(|word| format!("--twistd={word}")));
    Ok(words)
}

fn no_source(file: &str) -> Refusal {
    Refusal::new(format!("--source {}: Twisted cannot load .tas files any more", clean(file))).help(
        "it fails in Twisted 26.10 (`'Process' object has no attribute 'uid'`); make a TAC file, and name it with -y",
    )
}

/// The pickled application: twistd.tap, where nothing at all was named.
fn pickled(parsed: &Parsed, cwd: &Path) -> Result<Vec<String>, Refusal> {
    let file = match parsed.last("file") {
        Some("") => return Err(Refusal::new("--file is empty: there is nothing to run").help(NAME_ONE)),
        Some(file) => file,
        None if !cwd.join("twistd.tap").exists() => {
            return Err(Refusal::new(format!(
                "there is nothing to run: no TAC file and no command is named, and {} has no twistd.tap",
                clean(&cwd.display().to_string())
            ))
            .help(NAME_ONE));
        }
        None => "twistd.tap",
    };
    let save = parsed.has("no_save").then(|| "--no_save".to_owned());
    Ok(save.into_iter().chain([format!("--file={file}")]).collect())
}

const NAME_ONE: &str = "name a TAC file (-y FILE), or a command such as `web`; --help-commands lists them";

/// A number as the kernel writes it, or a name.
fn id(option: &str, value: &str) -> Result<String, Refusal> {
    let what = if option == "uid" { "user" } else { "group" };
    match number::python(value, 10) {
        // The highest number means "leave it as it is".
        Number::Is(id) if u32::try_from(id).is_ok_and(|id| id != u32::MAX) => Ok(id.to_string()),
        Number::Is(_) | Number::Beyond => {
            Err(Refusal::new(format!("--{option} {}: no {what} has that number", clean(value.trim())))
                .help("the numbers go from 0 to 4294967294"))
        }
        Number::None if value.is_empty() => {
            Err(Refusal::new(format!("--{option} is empty")).help(format!("name a {what}, or leave it out")))
        }
        Number::None => Ok(value.to_owned()),
    }
}

fn umask(value: &str) -> Result<u32, Refusal> {
    match number::python(value, 8) {
        Number::Is(mask) => u32::try_from(mask).ok().filter(|m| *m <= 0o777),
        _ => None,
    }
    .ok_or_else(|| no_mask(value))
}

fn no_mask(value: &str) -> Refusal {
    Refusal::new(format!("--umask {} is not a file creation mask", clean(value)))
        .help("write it in octal, from 000 to 777, such as 022")
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
