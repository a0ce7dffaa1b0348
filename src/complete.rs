//! `rsd completions`: for a shell, with the flags of the default spec.

use crate::{args, exit, output, source};
use clap::ArgMatches;

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else { return exit::USAGE };
    let (loaded, _) = engine::spec::load("twistd", &mut source::fetch);
    let mut command = args::command(loaded.spec.as_ref());
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command, "rsd", &mut text);
    output::print(&String::from_utf8_lossy(&text));
    exit::FINE
}
