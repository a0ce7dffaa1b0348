//! `rsd specs`: the specs that are built in.

use crate::{exit, output, source};
use clap::ArgMatches;

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    if let Some(name) = matches.get_one::<String>("name") {
        return match source::builtin(name) {
            Some((_, text)) => {
                output::print(text);
                exit::FINE
            }
            None => {
                output::complain(&format!(
                    "error: there is no built-in spec `{}`; `rsd specs` lists them\n",
                    engine::text::clean(name)
                ));
                exit::USAGE
            }
        };
    }
    for (name, text) in source::BUILTIN {
        let about = text.lines().find_map(|l| l.strip_prefix("about: ")).unwrap_or_default();
        output::print(&format!("{name:16} {about}\n"));
    }
    exit::FINE
}
