//! `rsd trace list`: the runs that are kept.

use super::runs;
use crate::{exit, output};
use clap::{Arg, ArgMatches, Command};
use engine::view::list::{self, ListRow};

/// Its arguments.
pub fn arguments() -> Command {
    Command::new("list").about("List the runs that are kept, the newest first").arg(
        Arg::new("spec")
            .long("spec")
            .value_name("S")
            .help("Only runs of this spec, or of the instance of this name"),
    )
}

/// Lists them.
pub fn command(matches: &ArgMatches) -> i32 {
    let spec = matches.get_one::<String>("spec").map(|s| runs::name_of(s));
    let journals = runs::journals(spec.as_deref()).into_iter().rev();
    let rows: Vec<ListRow> = journals.filter_map(|p| Some(ListRow::of(&runs::glance(&p).ok()?, p))).collect();
    if output::printed(&list::render(&rows)) { exit::FINE } else { exit::FAILED }
}
