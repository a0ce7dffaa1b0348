//! The command line: subcommands that are always the same, and those whose flags a spec declares.

use crate::exit;
use crate::output;
use crate::trace::forms::FORMS;
use crate::twistd::quoted;
use clap::builder::{PossibleValuesParser, Str};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use engine::diagnostic::{At, Place, Sources};
use engine::kind::Type;
use engine::spec::{Given, OptionDef, Spec};
use engine::view::axis::Scale;
use std::ffi::OsString;

/// The arguments as text; what is not UTF-8 is refused with its place.
pub fn texts(argv: Vec<OsString>) -> Result<Vec<String>, i32> {
    argv.into_iter()
        .enumerate()
        .map(|(i, arg)| {
            arg.into_string().map_err(|arg| {
                let shown = arg.to_string_lossy().into_owned();
                output::complain(&format!(
                    "error: argument {i} is not UTF-8 text: {}\n",
                    engine::text::clean(&shown)
                ));
                exit::USAGE
            })
        })
        .collect()
}

/// Every subcommand and how it is made: those that take a spec get the flags that it declares.
type Made = fn(Option<&Spec>) -> Command;
const SUBCOMMANDS: &[(&str, Made)] = &[
    ("run", run),
    ("check", check),
    ("plan", plan),
    ("stop", stop),
    ("restart", restart),
    ("reload", reload),
    ("status", status),
    ("logs", logs),
    ("trace", |_| trace()),
    ("twistd", |_| crate::twistd::clap()),
    ("specs", |_| specs()),
    ("kinds", |_| kinds()),
    ("explain", |_| explain()),
    ("completions", |_| completions()),
];

/// The whole command, with the flags of a spec where they belong.
pub fn command(spec: Option<&Spec>) -> Command {
    top().subcommands(SUBCOMMANDS.iter().map(|(_, make)| make(spec)))
}

fn top() -> Command {
    Command::new("rsd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Starts daemons: a spec of phases, proved in order, run with undo, and traced.")
        .subcommand_required(true)
        .arg_required_else_help(true)
}

fn of_a_spec(name: &'static str, about: &'static str, spec: Option<&Spec>) -> Command {
    with_spec(Command::new(name).about(about).arg(spec_arg()).arg(trust()), spec).args(order_args())
}

fn run(spec: Option<&Spec>) -> Command {
    of_a_spec("run", "Start the daemon", spec).args([
        flag("unchecked", "Run what the check refuses (for a sandbox: a predicted failure can be seen)"),
        strict(),
        value("journal", "FILE", "Write the journal there instead of the state directory"),
        value(
            "ready-fd",
            "N",
            "Write a newline to this descriptor when it is ready, as s6 and dinit have it",
        ),
        // For the reason that is given when it is refused.
        snapshot().hide(true),
    ])
}

fn strict() -> Arg {
    flag("strict", "Give up and undo where the process is not what the check said at that step")
}

fn check(spec: Option<&Spec>) -> Command {
    of_a_spec("check", "Say what will go wrong, and touch nothing", spec).args([
        flag("json", "For programs"),
        flag("unchecked", "Judge the order as `run --unchecked` would run it"),
        value("deny", "WHAT", "Refuse on warnings too").value_parser(["warnings"]),
        snapshot(),
        profile(),
    ])
}

fn plan(spec: Option<&Spec>) -> Command {
    of_a_spec("plan", "Show the order, why, and the identity at each step", spec)
        .args([
            flag("json", "For programs"),
            flag("dot", "For Graphviz"),
            flag("mermaid", "For Mermaid"),
            flag("unchecked", "Plan as `run --unchecked` would run it"),
            Arg::new("why")
                .long("why")
                .num_args(2)
                .value_names(["A", "B"])
                .help("Why phase A comes before phase B"),
            snapshot(),
            profile(),
        ])
        .group(ArgGroup::new("form").args(["json", "dot", "mermaid", "why"]))
}

fn kill_after() -> Arg {
    value("kill-after", "DURATION", "How long it may take before it is killed, and up to ten times that where its program asks for time (EXTEND_TIMEOUT_USEC)").default_value("10s")
}

fn stop(spec: Option<&Spec>) -> Command {
    of_a_spec("stop", "Stop the daemon that holds the lock of the PID file", spec).arg(kill_after())
}

fn restart(spec: Option<&Spec>) -> Command {
    of_a_spec("restart", "Stop the daemon and start it again, if the start would not be refused", spec).args(
        [
            kill_after(),
            flag("unchecked", "Start what the check refuses"),
            strict(),
            value("journal", "FILE", "Write the journal there instead of the state directory"),
        ],
    )
}

fn reload(spec: Option<&Spec>) -> Command {
    of_a_spec("reload", "Open the log anew and send HUP to the program, which must know that signal", spec)
        .arg(
            value("signal", "SIGNAL", "Send the program this instead: what it knows as the signal to reload")
                .default_value("HUP"),
        )
}

fn logs(spec: Option<&Spec>) -> Command {
    of_a_spec("logs", "Show the end of the log", spec).args([
        value("lines", "N", "How many lines of it").default_value("20"),
        flag("follow", "Go on with what is written, also over a rotation"),
    ])
}

fn status(spec: Option<&Spec>) -> Command {
    of_a_spec("status", "Whether it runs (exit codes 0, 1, 3, 4 as LSB has them)", spec)
        .arg(flag("json", "For programs"))
}

fn specs() -> Command {
    Command::new("specs")
        .about("List the built-in specs, or print one")
        .arg(Arg::new("name").value_name("SPEC").help("Print this one"))
}

fn kinds() -> Command {
    Command::new("kinds").about("List the kinds of phases, or explain one").args([
        Arg::new("kind").value_name("KIND").help("Explain this one"),
        flag("markdown", "As the reference has it"),
    ])
}

fn explain() -> Command {
    Command::new("explain")
        .about("Explain a finding, by its code")
        .arg(Arg::new("code").value_name("CODE").help("Such as RSD0301; without it all are listed"))
}

fn completions() -> Command {
    Command::new("completions")
        .about("Print completions for a shell")
        .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(clap_complete::Shell)))
}

fn trace() -> Command {
    let choice = |name: &'static str, values: Vec<&'static str>, first: &'static str| {
        Arg::new(name).long(name).value_name(name.to_uppercase()).value_parser(values).default_value(first)
    };
    let scales = Scale::ALL.iter().map(|(_, name)| *name).collect();
    Command::new("trace")
        .about("Show the timeline of a run, the newest where none is named")
        .after_help("`rsd trace list` lists the runs that are kept.")
        .args_conflicts_with_subcommands(true)
        .subcommands(crate::trace::subcommands())
        .args([
            Arg::new("run").value_name("RUN|FILE").help("Name of a run, or a journal"),
            Arg::new("spec")
                .long("spec")
                .value_name("S")
                .help("Only runs of this spec, or of the instance of this name"),
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(FORMS.iter().map(|f| f.name).collect::<Vec<_>>())
                .help("How to write it; without it the ending of FILE says, else it is text"),
            Arg::new("output").short('o').value_name("FILE").help("Write it there; `-` is standard output"),
            flag("follow", "Show the run that goes on, or the next one, as it goes; ends when it ends")
                .conflicts_with_all(["format", "output", "blame", "critical-chain", "window", "scale"]),
            flag("blame", "What took the time: own times, the longest first"),
            flag("critical-chain", "What ready waited for, in the order of time, and what had time to spare"),
            choice("scale", scales, Scale::Balanced.name())
                .help("The axis: to scale; every step visible; or every step as wide as any other"),
            Arg::new("window")
                .long("window")
                .value_name("WINDOW")
                .value_parser(["startup", "all"])
                .help("Which part of the run: until it was ready, or all of it"),
            flag("ascii", "Nothing but ASCII"),
            choice("color", vec!["auto", "always", "never"], "auto").help("Colours"),
            flag("all", "Fold nothing"),
            profile(),
        ])
        .group(ArgGroup::new("view").args(["blame", "critical-chain"]))
}

fn spec_arg() -> Arg {
    Arg::new("spec")
        .long("spec")
        .value_name("S")
        .default_value("twistd")
        .help("Spec: a file, or the name of a built-in one")
}

fn trust() -> Arg {
    flag("trust-spec", "As root, take a spec that others may write: they choose what root does")
}

fn profile() -> Arg {
    value("profile", "FILE", "Write the engine's own profile there, as Chrome trace JSON")
}

fn snapshot() -> Arg {
    value(
        "snapshot",
        "FILE",
        "Judge by the facts in FILE, of any machine; where there is no FILE yet, write this one's",
    )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn order_args() -> [Arg; 2] {
    [
        Arg::new("order")
            .long("order")
            .value_name("A,B,C")
            .value_delimiter(',')
            .help("Edit the order: each phase that stands before the one named before it is moved behind it"),
        Arg::new("skip")
            .long("skip")
            .value_name("PHASE")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .help("Skip a phase"),
    ]
}

/// Prefix of the ids of a spec's options, so that they never meet the command's own.
fn id(option: &OptionDef) -> String {
    format!("option.{}", option.name.v)
}

fn with_spec(mut command: Command, spec: Option<&Spec>) -> Command {
    command = command.args_override_self(true).arg(value(
        "name",
        "NAME",
        "Name of this instance: of its journals, and ${name}",
    ));
    for option in spec.map_or(&[][..], |s| &s.options) {
        let mut arg = Arg::new(id(option)).help(option.help.clone().unwrap_or_default());
        if option.rest {
            arg = arg
                .last(true)
                .num_args(0..)
                .value_name(option.name.v.to_uppercase())
                .allow_hyphen_values(true);
            command = command.arg(arg);
            continue;
        }
        arg = arg.long(option.name.v.clone()).help_heading("Options of the spec").allow_hyphen_values(true);
        if let Some(short) = &option.short {
            arg = arg.short(short.v);
        }
        arg = match option.ty {
            Type::Flag => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(PossibleValuesParser::new(["true", "false", ""].map(Str::from)))
                .hide_possible_values(true)
                .value_name("BOOL"),
            ty => arg.value_name(ty.name().to_uppercase()),
        };
        if option.list {
            arg = arg.action(ArgAction::Append);
        }
        command = command.arg(arg);
    }
    command
}

/// Parses a command line that no spec has a say in.
pub fn plain(argv: &[String]) -> Result<ArgMatches, i32> {
    finish(command(None).try_get_matches_from(argv))
}

/// Parses one whose flags the spec declares. The matches are those of the subcommand.
pub fn of_spec(argv: &[String], spec: &Spec) -> Result<ArgMatches, i32> {
    let named = argv.get(1).map_or("", String::as_str);
    // The others are not made: their flags would cost every start a tenth of a millisecond.
    let make = SUBCOMMANDS.iter().find(|(name, _)| *name == named).map(|(_, make)| make);
    let command = make.map_or_else(|| command(Some(spec)), |make| top().subcommand(make(Some(spec))));
    let rest = spec.options.iter().any(|option| option.rest);
    let parsed =
        command.try_get_matches_from(argv).map_err(|error| if rest { behind(error, argv) } else { error });
    let matches = finish(parsed)?;
    matches.subcommand().map(|(_, m)| m.clone()).ok_or(exit::USAGE)
}

/// A word too many is most likely the program to run: where that goes is told.
fn behind(mut error: clap::Error, argv: &[String]) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    let is = |at: &usize| argv.get(*at) == Some(word);
    // The value of an option may be the same word.
    let value = |at: &usize| argv.get(at - 1).is_some_and(|before| before.starts_with('-'));
    let at = (2..argv.len()).find(|at| is(at) && !value(at)).or_else(|| (2..argv.len()).find(is));
    if error.kind() == ErrorKind::UnknownArgument
        && !word.starts_with('-')
        && let Some((before, program)) = at.and_then(|at| argv.split_at_checked(at))
    {
        let quoted = |words: &[String]| words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ");
        let line = format!("rsd {} -- {}", quoted(before.get(1..).unwrap_or_default()), quoted(program));
        let tip = format!("the program and its arguments go behind `--`: {}", engine::text::clean(&line));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn finish(result: Result<ArgMatches, clap::Error>) -> Result<ArgMatches, i32> {
    result.map_err(|error| {
        match error.use_stderr() {
            true => drop(error.print()),
            false => {
                let text = error.render();
                output::print(&if output::colour_out() { text.ansi().to_string() } else { text.to_string() });
            }
        }
        output::exit_code(error.exit_code())
    })
}

/// The spec that the arguments name, found before its flags are known.
pub fn spec_name(argv: &[String]) -> &str {
    named(argv, "spec").unwrap_or("twistd")
}

/// The last value of a long option, found before the whole line can be read.
pub fn named<'a>(argv: &'a [String], option: &str) -> Option<&'a str> {
    let mut named = None;
    let mut args = argv.iter().skip(2).take_while(|a| *a != "--");
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--").and_then(|arg| arg.strip_prefix(option)) {
            Some("") => named = args.next().map_or(named, |value| Some(value.as_str())),
            Some(rest) => named = rest.strip_prefix('=').or(named),
            None => {}
        }
    }
    named
}

/// The command line as a text that findings can point into.
pub struct Line {
    source: u16,
    /// each argument and where it stands
    words: Vec<(String, u32)>,
    /// its length in bytes
    len: u32,
}

impl Line {
    /// Adds the command line to the texts.
    pub fn new(argv: &[String], sources: &mut Sources) -> Line {
        let mut text = String::new();
        let mut words = Vec::new();
        // However it was called: the place of the program says nothing, and is different everywhere.
        let program = if crate::twistd::called(argv) { "twistd" } else { "rsd" };
        for arg in std::iter::once(program).chain(argv.iter().skip(1).map(String::as_str)) {
            if !text.is_empty() {
                text.push(' ');
            }
            words.push((arg.to_owned(), text.len() as u32));
            text.push_str(arg);
        }
        let len = text.len() as u32;
        let source = sources.add("<command line>", text);
        Line { source, words, len }
    }

    /// A value as given, with its place: the argument that is the value, or that ends in it.
    fn at(&self, value: &str) -> At<String> {
        let whole = self.words.iter().skip(2).find(|(w, _)| w == value).map(|(_, at)| *at);
        let tail = || {
            let ends = |w: &str| w.starts_with('-') && w.len() > value.len() && w.ends_with(value);
            self.words.iter().find(|(w, _)| ends(w)).map(|(w, at)| at + (w.len() - value.len()) as u32)
        };
        let inside = || self.words.iter().find_map(|(w, at)| w.find(value).map(|n| at + n as u32));
        // What the line was translated from may not have the value at all: then the whole line is meant.
        let place = match whole.or_else(tail).or_else(inside) {
            Some(offset) => Place { source: self.source, offset, len: value.len() as u32 },
            None => Place { source: self.source, offset: 0, len: self.len },
        };
        At::new(value.to_owned(), place)
    }

    /// The values of the spec's options.
    pub fn given(&self, matches: &ArgMatches, spec: &Spec) -> Vec<(String, Given)> {
        spec.options
            .iter()
            .filter_map(|option| {
                let values: Vec<At<String>> =
                    matches.get_many::<String>(&id(option))?.map(|v| self.at(v)).collect();
                let given = if option.list || option.rest {
                    Given::List(values)
                } else {
                    Given::One(values.into_iter().next_back()?)
                };
                Some((option.name.v.clone(), given))
            })
            .collect()
    }

    /// The names given with `--order` or `--skip`.
    pub fn names(&self, matches: &ArgMatches, flag: &str) -> Vec<At<String>> {
        match matches.try_get_many::<String>(flag) {
            Ok(Some(values)) => {
                let names: Vec<&String> = values.collect();
                let whole: Vec<&str> = names.iter().map(|n| n.as_str()).collect();
                let whole = self.at(&whole.join(","));
                let mut offset = whole.at.offset;
                // Given at once they stand side by side; given one by one, each is looked for.
                let at_once = names.len() > 1 && offset > 0;
                names
                    .iter()
                    .map(|name| {
                        let place = Place { offset, len: name.len() as u32, ..whole.at };
                        offset += name.len() as u32 + 1;
                        if at_once { At::new((*name).clone(), place) } else { self.at(name) }
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
