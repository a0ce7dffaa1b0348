//! `rsd kinds`: the catalogue.

use crate::{exit, output};
use clap::ArgMatches;
use engine::effect::calls;
use engine::kind::Kind;
use phases::kinds::CATALOGUE;
use std::fmt::Write;

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    if matches.get_flag("markdown") {
        output::print(&markdown());
        return exit::FINE;
    }
    let Some(name) = matches.get_one::<String>("kind") else {
        for kind in CATALOGUE.0 {
            output::print(&format!("{:18} {}\n", kind.name, kind.about));
        }
        return exit::FINE;
    };
    match CATALOGUE.get(name) {
        Some(kind) => {
            output::print(&explain(kind));
            if kind.name == GROUPED {
                output::print(&groups());
            }
            exit::FINE
        }
        None => {
            let meant = engine::text::did_you_mean(name, CATALOGUE.names())
                .map_or_else(String::new, |m| format!("; did you mean `{m}`?"));
            output::complain(&format!("error: there is no kind `{}`{meant}\n", engine::text::clean(name)));
            exit::USAGE
        }
    }
}

/// The kind whose words are groups.
const GROUPED: &str = "system-calls";

/// Every group of system calls with what is in it.
fn groups() -> String {
    let mut text = "\nThe groups:\n".to_owned();
    for (name, about) in calls::groups() {
        let members = calls::meant(name).unwrap_or_default();
        let members = members.into_iter().collect::<Vec<_>>().join(" ");
        let _ = write!(text, "\n{name}: {about}\n{}\n", wrapped(&members));
    }
    text
}

fn explain(kind: &Kind) -> String {
    let mut text = format!("{}: {}\n\n{}\n", kind.name, kind.about, wrapped(kind.details));
    for param in kind.params {
        let mut facts = vec![param.ty.name().to_owned()];
        facts.extend(param.list.then(|| "list".to_owned()));
        facts.extend(param.required.then(|| "required".to_owned()));
        facts.extend(param.default.map(|d| format!("default {d}")));
        let _ = write!(text, "\n  {:10} {}\n             ({})\n", param.name, param.help, facts.join(", "));
    }
    text
}

fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.chars().count() > 80 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

/// The generated part of docs/spec.md.
pub fn markdown() -> String {
    let mut text = String::new();
    for kind in CATALOGUE.0 {
        let details = kind.details.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(text, "### `{}`\n\n{}\n\n{details}\n\n", kind.name, kind.about);
        if kind.params.is_empty() {
            text.push_str("No parameters.\n\n");
            continue;
        }
        text.push_str("| parameter | type | default | meaning |\n|---|---|---|---|\n");
        for param in kind.params {
            let list = if param.list { "list of " } else { "" };
            let default = match (param.required, param.default) {
                (true, _) => "must be written".to_owned(),
                (false, Some(default)) => format!("`{default}`"),
                (false, None) => "none".to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {list}{} | {default} | {} |",
                param.name,
                param.ty.name(),
                param.help
            );
        }
        text.push('\n');
    }
    text
}
