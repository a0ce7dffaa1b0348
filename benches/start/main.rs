//! How long a starter takes until the daemon's program executes its first instruction.
//!
//! ```text
//! cargo bench --bench start                        # as root; a Markdown table
//! cargo bench --bench start -- --write             # … put into docs/performance.md
//! cargo bench --bench start -- --rounds 200 --rsd PATH --no-strace
//! ```
//!
//! Every starter does the same job (`job.rs`), they take turns in every round, and each start is measured by
//! `launch.c`. The machine is left as it was: users, groups and `/var/lib` are private to a mount namespace.

mod job;
#[path = "../support/page.rs"]
mod page;
mod report;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use job::{Sample, Sandbox, Starter};

/// Set inside the mount namespace, to the sandbox's directory.
const INSIDE: &str = "RSD_BENCH_SANDBOX";
/// Rounds that are run first and not counted.
const WARM_UP: usize = 3;

/// Whatever went wrong, as a sentence.
pub type Result<T> = std::result::Result<T, String>;

/// Says what was being done when an error came.
pub trait During<T> {
    /// `what` names the thing that was touched.
    fn during(self, what: impl std::fmt::Display) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|e| format!("{what}: {e}"))
    }
}

/// What the command line asks for.
struct Wanted {
    rounds: usize,
    write: bool,
    strace: bool,
    rsd: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("start: a benchmark, run by `cargo bench --bench start`");
        return ExitCode::SUCCESS; // `cargo test --benches` only wants to know that it builds
    }
    let done = match env::var_os(INSIDE) {
        None => enter(&arguments),
        Some(dir) => measure(&arguments, Path::new(&dir)).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|why| {
        eprintln!("start: {why}");
        ExitCode::FAILURE
    })
}

fn wanted(arguments: &[OsString]) -> Result<Wanted> {
    let mut wanted = Wanted { rounds: 60, write: false, strace: true, rsd: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{} needs a value", argument.display()));
        match argument.to_str() {
            Some("--bench") => {}
            Some("--write") => wanted.write = true,
            Some("--no-strace") => wanted.strace = false,
            Some("--rsd") => wanted.rsd = Some(value()?.into()),
            Some("--rounds") => {
                let text = value()?.to_string_lossy().into_owned();
                wanted.rounds =
                    text.parse().ok().filter(|n| *n > 0).ok_or(format!("--rounds: not a count: {text}"))?;
            }
            _ => {
                return Err(format!(
                    "unknown argument {}; there are --rounds N, --write, --rsd PATH, --no-strace",
                    argument.display()
                ));
            }
        }
    }
    Ok(wanted)
}

/// Builds what is measured, then runs this program again inside a mount namespace of its own.
fn enter(arguments: &[OsString]) -> Result<ExitCode> {
    let wanted = wanted(arguments)?;
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root: the daemon is started as another user".into());
    }
    if wanted.rsd.is_none() {
        build_rsd()?;
    }
    let dir = job::make_sandbox()?;
    let status = env::current_exe().and_then(|me| {
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--"])
            .arg(me)
            .args(arguments)
            .env(INSIDE, &dir)
            .status()
    });
    let removed = fs::remove_dir_all(&dir).during(dir.display());
    let status = status.during("unshare")?;
    removed?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program as it ships: `cargo bench` itself builds with another profile.
fn build_rsd() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--bin", "rsd"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .during("cargo build")?;
    if status.success() { Ok(()) } else { Err("rsd does not build".into()) }
}

/// Where `cargo build --release` puts the program: beside the folder that this one is in.
fn built_rsd() -> Result<PathBuf> {
    let me = env::current_exe().during("the benchmark's own path")?;
    let folder = me.parent().and_then(Path::parent).ok_or("the benchmark's own path has no folder")?;
    Ok(folder.join("rsd"))
}

fn measure(arguments: &[OsString], dir: &Path) -> Result<()> {
    let wanted = wanted(arguments)?;
    let rsd = match &wanted.rsd {
        Some(path) => path.canonicalize().during(path.display())?,
        None => built_rsd()?,
    };
    let sandbox = Sandbox::furnish(dir)?;
    let mut starters = Vec::new();
    for starter in job::starters(&sandbox, &rsd) {
        match usable(&sandbox, &starter) {
            Ok(()) => starters.push(starter),
            Err(why) => eprintln!("start: skipped {}: {why}", starter.name),
        }
    }
    if !starters.iter().any(|s| s.name == job::YARDSTICK) {
        return Err("the C program itself does not work here, so there is nothing to compare with".into());
    }
    if wanted.write && !starters.iter().any(|s| s.name == job::OURS) {
        return Err("nothing is written: the page would say nothing about rsd".into());
    }

    let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for round in 0..WARM_UP + wanted.rounds {
        for turn in 0..starters.len() {
            let starter = &starters[(round + turn) % starters.len()];
            let sample = sandbox.start(starter).map_err(|why| format!("{}: {why}", starter.name))?;
            if round >= WARM_UP {
                samples.entry(starter.name).or_default().push(sample);
            }
        }
        if round % 10 == 9 {
            eprintln!("start: round {} of {}", round + 1, WARM_UP + wanted.rounds);
        }
    }
    let mut rows = Vec::new();
    for starter in &starters {
        let calls = if wanted.strace { sandbox.count_calls(starter) } else { None };
        rows.push(report::Row::new(starter, &samples[starter.name], calls));
    }
    let text = report::table(&rows, wanted.rounds);
    println!("{text}");
    if wanted.write {
        report::write(&text)?;
    }
    Ok(())
}

/// Whether the starter is there and really starts the program.
fn usable(sandbox: &Sandbox, starter: &Starter) -> Result<()> {
    let program = Path::new(&starter.argv[0]);
    let executable = fs::metadata(program).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if !executable {
        return Err(format!("{} is not there", program.display()));
    }
    sandbox.start(starter).map(|_| ())
}
