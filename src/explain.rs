//! `rsd explain`: the page of a code.

use crate::{exit, output};
use clap::ArgMatches;
use engine::rules::pages::{page, pages};

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    let Some(code) = matches.get_one::<String>("code") else {
        for page in pages() {
            output::print(&format!("{}  {}\n", page.code, page.title));
        }
        return exit::FINE;
    };
    match page(code) {
        Some(page) => {
            output::print(&page.text());
            exit::FINE
        }
        None => {
            output::complain(&format!(
                "error: there is no finding `{}`; `rsd explain` lists them\n",
                engine::text::clean(code)
            ));
            exit::USAGE
        }
    }
}
