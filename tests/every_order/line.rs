//! The command line. What is libtest's is passed over: `cargo test` gives every test the same arguments.

use std::path::PathBuf;

const HELP: &str = "\
Tries orders of the phases of twistd and twistd-safe: the check's verdict against a real run.

  tests/orders                     a sample, as in `cargo test`
  tests/orders --all               all 40,320 orders of eight phases, and 5,200 of all thirteen
  tests/orders --judge             only the model: every order of eight, of ten and of all thirteen phases, how
                                   fast, and whether it is what the check says of single ones
  tests/orders --set WORLD --one A,B,C,…
                                   one order, with all that was seen
  --sample N      how many are drawn from each world (default 12; of `eight` eight times as many)
  --set WORLD     only this world (`--worlds` lists them)
  --seed N        draw others (default 1)
  --jobs N        at once (default: two more than there are processors)
  --log FILE      write each result, and go on where an earlier run with the same program stopped
  --write         put the table into docs/proof.md (with --judge the figures of that)
  --bin PATH      the rsd to test
";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Line {
    pub all: bool,
    pub judge: bool,
    pub one: Option<String>,
    pub set: Option<String>,
    pub sample: usize,
    pub seed: u64,
    pub jobs: usize,
    pub log: Option<PathBuf>,
    pub write: bool,
    pub bin: PathBuf,
}

impl Line {
    /// `Err` is what to print: help, or an error.
    pub fn read(arguments: &[String]) -> Result<Line, String> {
        let bin = std::env::var_os("RSD_TEST_BIN").map(PathBuf::from);
        let mut line = Line {
            all: false,
            judge: false,
            one: None,
            set: None,
            sample: 12,
            seed: 1,
            jobs: std::thread::available_parallelism().map_or(1, usize::from) + 2,
            log: None,
            write: false,
            bin: bin.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rsd"))),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or(format!("error: {word} wants a value\n{HELP}"));
            let mut number = || value()?.parse().map_err(|_| format!("error: {word} wants a number\n{HELP}"));
            match word.as_str() {
                "--help" | "-h" => return Err(HELP.to_owned()),
                "--worlds" => {
                    return Err(crate::worlds::WORLDS.iter().map(|w| format!("{}\n", w.name)).collect());
                }
                "--list" => return Err("orders: test\n".to_owned()),
                "--all" => line.all = true,
                "--judge" => line.judge = true,
                "--write" => line.write = true,
                "--one" => line.one = Some(value()?),
                "--set" => line.set = Some(value()?),
                "--log" => line.log = Some(value()?.into()),
                "--bin" => line.bin = value()?.into(),
                "--sample" => line.sample = number()? as usize,
                "--seed" => line.seed = number()?,
                "--jobs" => line.jobs = (number()? as usize).max(1),
                "--test-threads" | "--format" | "--color" | "--skip" | "-Z" => drop(value()?),
                libtest if libtest.starts_with('-') => {}
                // A filter: this whole program is one test.
                filter if "orders".contains(filter) => {}
                _ => return Err(String::new()),
            }
        }
        Ok(line)
    }
}
