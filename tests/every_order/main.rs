//! Every order of the phases is tried: what `rsd check` says of it, against what happens when it is run.
//! docs/proof.md has the definitions. `tests/orders --help` says how to use it.

mod draw;
mod inside;
mod judge;
mod line;
mod model;
mod observe;
mod outside;
#[path = "../../benches/support/page.rs"]
mod page;
mod sandbox;
mod tally;
mod worlds;

use line::Line;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [inside, job] = arguments.as_slice()
        && inside == "--inside"
    {
        inside::main(job);
        return ExitCode::SUCCESS;
    }
    match Line::read(&arguments) {
        Ok(line) => outside::main(&line),
        Err(text) => {
            print!("{text}");
            if text.starts_with("error") { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
    }
}
