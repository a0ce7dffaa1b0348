//! `rsd trace diff`: two runs compared.

use super::{runs, style};
use crate::{exit, output};
use clap::{Arg, ArgAction, ArgMatches, Command};
use engine::text::clean;
use engine::timeline::history::History;
use engine::view::diff::{self, Diff, Gate};
use engine::view::text::TextStyle;

/// Its arguments.
pub fn arguments() -> Command {
    let flag = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("diff")
        .about("Compare two runs: times, and who did what, how it ended, in which order")
        .args([
            Arg::new("old").value_name("OLD").required(true).help("Name of a run, or a journal"),
            Arg::new("new").value_name("NEW").help("The same; without it the newest run of that daemon"),
            Arg::new("spec")
                .long("spec")
                .value_name("S")
                .help("Only runs of this spec, or of the instance of this name"),
            Arg::new("fail-on")
                .long("fail-on")
                .value_name("WHAT")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Exit 1 if that changed: slower=10%, slower=50ms, identity, state, order"),
            flag("json", "For programs"),
            flag("all", "Leave nothing out"),
            flag("ascii", "Nothing but ASCII"),
            Arg::new("color")
                .long("color")
                .value_parser(["auto", "always", "never"])
                .default_value("auto")
                .help("Colours"),
        ])
}

/// Compares them.
pub fn command(matches: &ArgMatches) -> i32 {
    match compare(matches) {
        Ok(code) => code,
        Err((code, why)) => {
            output::complain(&format!("error: {why}\n"));
            code
        }
    }
}

fn compare(matches: &ArgMatches) -> Result<i32, (i32, String)> {
    let gates = matches.get_many::<String>("fail-on").into_iter().flatten();
    let gates: Result<Vec<Gate>, String> = gates.map(|g| Gate::parse(g)).collect();
    let gates = gates.map_err(|why| (exit::USAGE, format!("--fail-on: {}", clean(&why))))?;
    let spec = matches.get_one::<String>("spec").map(|s| runs::name_of(s));
    let of = |id: &str, spec: Option<&str>| runs::of(matches.get_one::<String>(id).map(String::as_str), spec);
    let (old_path, old) = of("old", spec.as_deref())?;
    // Where none is named, the newest of the same daemon: that of another says nothing about this one.
    let (new_path, new) = match matches.contains_id("new") {
        true => of("new", spec.as_deref())?,
        false => runs::newest_like(&old)?,
    };
    let same = old_path == new_path;
    let history = if same { History::default() } else { runs::history(&new, &new_path) };
    let diff = Diff::new(&old, &new, &history);
    let written = if matches.get_flag("json") {
        output::print_json(&diff::json(&diff, &gates))
    } else {
        let rows = if matches.get_flag("all") { usize::MAX } else { TextStyle::default().rows };
        output::printed(&diff::text(&diff, &TextStyle { rows, ..style(matches, false) }))
    };
    let failing = diff.failing(&gates);
    for reason in &failing {
        output::complain(&format!("failed: {}\n", clean(reason)));
    }
    Ok(if failing.is_empty() && written { exit::FINE } else { exit::FAILED })
}
