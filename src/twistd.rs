//! `rsd twistd`, and `rsd` called as `twistd`: twistd's own command line.
//!
//! ```text
//! words ─ parse ─► options ─ translate ─► words of `rsd run` ─► run
//! ```
//! Twisted is asked only where nobody else can answer: it is slow to start.

mod help;
mod installed;
mod number;
mod parse;
mod python;
mod table;
mod translate;

use crate::{check, exit, output, run};
use engine::text::clean;
use parse::{Parsed, Refusal};
use std::path::{Path, PathBuf};
pub use translate::quoted;
use translate::{Asked, Start};

/// The names under which the program is twistd.
const NAMES: [&str; 2] = ["twistd", "twistd3"];

/// Whether the program was called by such a name.
pub fn called(argv: &[String]) -> bool {
    let name = argv.first().and_then(|program| program.rsplit('/').next());
    name.is_some_and(|name| NAMES.contains(&name))
}

/// For the list of subcommands and the completions of the shells.
pub fn clap() -> clap::Command {
    let arg = |option: &'static table::Opt| {
        let arg = clap::Arg::new(option.long).long(option.long).help(option.help);
        let arg = option.short.into_iter().fold(arg, clap::Arg::short);
        match option.value {
            Some(value) => arg.value_name(value),
            None => arg.action(clap::ArgAction::SetTrue),
        }
    };
    clap::Command::new("twistd")
        .about("Start a Twisted application with twistd's own command line")
        .disable_help_flag(true)
        .args(table::TABLE.iter().map(arg))
        .override_help(help::text(80))
}

/// Runs it. `typed` is the whole command line, `args` what belongs to twistd of it.
pub fn command(typed: &[String], args: &[String]) -> i32 {
    if args.is_empty() {
        output::print(&help::text(output::width()));
        return exit::FINE;
    }
    let beside = typed.first().filter(|_| called(typed)).and_then(|program| installed::beside(program));
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => {
            output::complain(&format!("error: the working directory cannot be told: {error}\n"));
            return exit::FAILED;
        }
    };
    let understood = parse::parse(args).and_then(|parsed| {
        let asked = translate::asked(&parsed, beside.as_deref(), &cwd)?;
        Ok((parsed, asked))
    });
    match understood {
        Err(refusal) => refuse(typed, &refusal),
        Ok((parsed, asked)) => answer(typed, &parsed, asked, beside),
    }
}

fn refuse(typed: &[String], refusal: &Refusal) -> i32 {
    let program = if called(typed) { "twistd" } else { "rsd twistd" };
    let help = refusal.help.clone().unwrap_or_else(|| format!("`{program} --help` lists the options"));
    output::complain(&format!("error: {}\n  do: {help}\n", refusal.message));
    exit::USAGE
}

fn answer(typed: &[String], parsed: &Parsed, asked: Asked, beside: Option<PathBuf>) -> i32 {
    let named = parsed.filled("interpreter").map(PathBuf::from).or(beside);
    match asked {
        Asked::Help => {
            output::print(&help::text(output::width()));
            exit::FINE
        }
        Asked::Version => version(named.as_deref()),
        Asked::Reactors => python::reactors(named.as_deref()),
        Asked::Commands => python::commands(named.as_deref()),
        Asked::Start(start) => match python::plugin(named.as_deref(), &parsed.rest) {
            Some(code) => code,
            None => go(typed, parsed, &start),
        },
    }
}

fn go(typed: &[String], parsed: &Parsed, start: &Start) -> i32 {
    let line = |subcommand: &str, words: &mut dyn Iterator<Item = &String>| -> Vec<String> {
        ["rsd", subcommand].into_iter().map(str::to_owned).chain(words.cloned()).collect()
    };
    let judged = || {
        line("check", &mut start.words.iter().filter(|w| !w.starts_with("--journal=") && *w != "--strict"))
    };
    if parsed.has("as-rsd") {
        output::print(&format!("{}\n", shown(&line("run", &mut start.words.iter()))));
        return exit::FINE;
    }
    for note in &start.notes {
        output::complain(&format!("note: {note}\n"));
    }
    if parsed.has("check") {
        return check::typed(&judged(), typed);
    }
    let manner = run::Manner { typed, quiet: Some(shown(&judged())), stopped: None };
    run::start(&line("run", &mut start.words.iter()), &manner)
}

fn shown(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    clean(&words.join(" ")).into_owned()
}

fn version(named: Option<&Path>) -> i32 {
    let ours = format!("rsd {}", env!("CARGO_PKG_VERSION"));
    let Some(python) = python::found(named) else { return exit::FAILED };
    let Some(version) = installed::twisted(&python).or_else(|| python::version(&python)) else {
        return python::without_twisted(&python, "");
    };
    let shown = python.to_string_lossy();
    output::print(&format!(
        "twistd (the Twisted daemon) {}\n{ours}, with the Twisted of {}\n",
        clean(&version),
        clean(&shown)
    ));
    exit::FINE
}
