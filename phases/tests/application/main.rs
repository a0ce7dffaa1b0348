//! The log and the applications on the real machine.
//!
//! This has its own small harness: what is tested forks, blocks signals and changes user, and may
//! do so only in a process with one thread.

mod command;
mod log;
mod player;
mod ready;
mod tac;
mod whoami;
mod world;

use std::panic::catch_unwind;

/// A test is its name and a function; a function that returns a reason was not possible here.
pub type Test = (&'static str, fn() -> Result<(), Skipped>);

/// Why a test could not be made on this machine.
pub struct Skipped(pub &'static str);

fn main() {
    let play: Vec<String> = std::env::args().skip_while(|a| a != "--play").skip(1).collect();
    if !play.is_empty() {
        return player::play(&play);
    }
    let mut filter = None;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--list" => return,
            a if a.starts_with('-') => {}
            a => filter = Some(a.to_owned()),
        }
    }
    let tests = [log::TESTS, command::TESTS, ready::TESTS, whoami::TESTS, tac::TESTS].concat();
    let mut failed = Vec::new();
    for (name, test) in tests {
        if filter.as_ref().is_some_and(|f| !name.contains(f.as_str())) {
            continue;
        }
        // a test that hangs ends everything, and its children get a signal for it
        nix::unistd::alarm::set(60);
        match catch_unwind(test) {
            Ok(Ok(())) => println!("test {name} ... ok"),
            Ok(Err(Skipped(why))) => println!("test {name} ... skipped: {why}"),
            Err(_) => {
                println!("test {name} ... FAILED");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        println!("failed: {failed:?}");
        std::process::exit(101);
    }
}
