//! What `rsd check` takes: on the spec twistd, and on specs of 100,000 phases; and how many steps a second the
//! loop does over the model.
//!
//! ```text
//! cargo bench --bench check                              # a Markdown table
//! cargo bench --bench check -- --write                   # … put into docs/performance.md
//! cargo bench --bench check -- --rounds 15 --phases 100000 --rsd PATH --against PATH
//! cargo bench --bench check -- --spec chain > chain.yaml # only the generated spec
//! ```
//!
//! Each is a whole process, from its start to its end, in turns. CPU time is what the kernel accounted to it;
//! on a busy machine it says more than the time on the clock. `--against` measures an older binary beside it.

mod model;
#[path = "../support/page.rs"]
mod page;
mod shapes;
#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Small checks in every round: they are short, and their times vary.
const SMALL: usize = 40;

type Result<T> = std::result::Result<T, String>;

struct Wanted {
    rounds: usize,
    phases: usize,
    write: bool,
    rsd: Option<PathBuf>,
    against: Option<PathBuf>,
    spec: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("check: a benchmark, run by `cargo bench --bench check`");
        return ExitCode::SUCCESS; // `cargo test --benches` only wants to know that it builds
    }
    match wanted(&arguments).and_then(|wanted| measure(&wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("check: {why}");
            ExitCode::FAILURE
        }
    }
}

fn wanted(arguments: &[String]) -> Result<Wanted> {
    let mut wanted =
        Wanted { rounds: 11, phases: 100_000, write: false, rsd: None, against: None, spec: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        let count =
            |text: &String| text.parse().ok().filter(|n| *n > 0).ok_or(format!("not a count: {text}"));
        match argument.as_str() {
            "--bench" => {}
            "--write" => wanted.write = true,
            "--rsd" => wanted.rsd = Some(value()?.into()),
            "--against" => wanted.against = Some(value()?.into()),
            "--spec" => wanted.spec = Some(value()?.clone()),
            "--rounds" => wanted.rounds = count(value()?)?,
            "--phases" => wanted.phases = count(value()?)?,
            _ => {
                return Err(format!(
                    "unknown argument {argument}; there are --rounds N, --phases N, --rsd PATH, --against PATH, \
                     --spec SHAPE, --write"
                ));
            }
        }
    }
    Ok(wanted)
}

/// The program as it ships: `cargo bench` itself builds with another profile.
fn built_rsd() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--bin", "rsd"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| format!("cargo build: {e}"))?;
    if !status.success() {
        return Err("rsd does not build".into());
    }
    let me = std::env::current_exe().map_err(|e| format!("the benchmark's own path: {e}"))?;
    let folder = me.parent().and_then(Path::parent).ok_or("the benchmark's own path has no folder")?;
    Ok(folder.join("rsd"))
}

/// What one check took.
#[derive(Clone, Copy)]
struct Sample {
    wall_s: f64,
    user_s: f64,
    cpu_s: f64,
    peak_mib: f64,
}

/// Runs one check and asks the kernel what it took.
fn sample(rsd: &Path, spec: &str) -> Result<Sample> {
    let begin = Instant::now();
    let child = Command::new(rsd)
        .args(["check", "--spec", spec])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{}: {e}", rsd.display()))?;
    let mut status = 0;
    // SAFETY: rusage is a plain C structure, for which all zeros is a value.
    let mut usage: nix::libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and not waited for yet; both places live until the call returns.
    let waited = unsafe { nix::libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    let wall_s = begin.elapsed().as_secs_f64();
    if waited != child.id() as i32 || status != 0 {
        return Err(format!("rsd check --spec {spec} ended with status {status}"));
    }
    let seconds = |t: nix::libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let user_s = seconds(usage.ru_utime);
    Ok(Sample {
        wall_s,
        user_s,
        cpu_s: user_s + seconds(usage.ru_stime),
        peak_mib: usage.ru_maxrss as f64 / 1024.0,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn measure(wanted: &Wanted) -> Result<()> {
    if let Some(name) = &wanted.spec {
        let shape = shapes::SHAPES.iter().find(|s| s.name == name).ok_or("there is no such shape")?;
        print!("{}", shape.text(wanted.phases));
        return Ok(());
    }
    let rsd = match &wanted.rsd {
        Some(path) => path.clone(),
        None => built_rsd()?,
    };
    let binaries: Vec<&PathBuf> = std::iter::once(&rsd).chain(&wanted.against).collect();
    let dir = tempfile::tempdir().map_err(|e| format!("a directory for the specs: {e}"))?;
    let mut specs = vec![("twistd".to_owned(), "the built-in spec".to_owned(), "twistd".to_owned(), 0)];
    for shape in shapes::SHAPES {
        let (path, text) = (dir.path().join(format!("{}.yaml", shape.name)), shape.text(wanted.phases));
        std::fs::write(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
        let path = path.to_string_lossy().into_owned();
        specs.push((shape.name.to_owned(), shape.about.to_owned(), path, text.len()));
    }
    let mut samples = vec![vec![Vec::new(); binaries.len()]; specs.len()];
    for round in 0..=wanted.rounds {
        for (spec, samples) in specs.iter().zip(&mut samples) {
            let times = if spec.3 == 0 { SMALL } else { 1 };
            for _ in 0..times {
                for (rsd, samples) in binaries.iter().zip(samples.iter_mut()) {
                    let taken = sample(rsd, &spec.2)?;
                    // The first round fills the caches.
                    if round > 0 {
                        samples.push(taken);
                    }
                }
            }
        }
    }
    let mut report = table(wanted, &specs, &samples);
    report.push_str(&model::report(wanted.phases)?);
    print!("{report}");
    if wanted.write { page::put("docs/performance.md", "check", &report) } else { Ok(()) }
}

type Specs = [(String, String, String, usize)];

fn table(wanted: &Wanted, specs: &Specs, samples: &[Vec<Vec<Sample>>]) -> String {
    let mut text = format!(
        "{}\n{} rounds in turns, {} phases; medians of whole processes.\n\n\
         | spec | what it is | MB | wall, ms | user CPU, ms | CPU, ms | peak RSS, MiB |{}\n\
         | --- | --- | --- | --- | --- | --- | --- |{}\n",
        page::machine(&[]),
        wanted.rounds,
        wanted.phases,
        if wanted.against.is_some() { " before: user CPU, ms | peak RSS, MiB |" } else { "" },
        if wanted.against.is_some() { " --- | --- |" } else { "" },
    );
    for ((name, about, _, bytes), samples) in specs.iter().zip(samples) {
        let of = |n: usize, value: fn(&Sample) -> f64| median(samples[n].iter().map(value).collect());
        let ms = |seconds: f64| {
            if seconds < 0.1 { format!("{:.2}", seconds * 1e3) } else { format!("{:.0}", seconds * 1e3) }
        };
        // A process counts what the one had that it was forked from: ours may have more than it ever gets.
        let peak = |mib: f64| if *bytes == 0 { "–".to_owned() } else { format!("{mib:.1}") };
        let size = if *bytes == 0 { "–".to_owned() } else { format!("{:.1}", *bytes as f64 / 1e6) };
        let _ = write!(
            text,
            "| {name} | {about} | {size} | {} | {} | {} | {} |",
            ms(of(0, |s| s.wall_s)),
            ms(of(0, |s| s.user_s)),
            ms(of(0, |s| s.cpu_s)),
            peak(of(0, |s| s.peak_mib)),
        );
        if samples.len() > 1 {
            let _ = write!(text, " {} | {:.1} |", ms(of(1, |s| s.user_s)), of(1, |s| s.peak_mib));
        }
        text.push('\n');
    }
    text
}
