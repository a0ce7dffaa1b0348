//! "The model is true": random lists of effects on the `Model` and on the real `Host`, each list in
//! namespaces of its own, and compared in all that can be seen.
//!
//! `cargo test -p rsd-phases --test agreement` replays `cases/*.json` and then draws 1,000 lists.
//! `RSD_AGREE_LISTS=100000` draws more, `RSD_AGREE_SEED=7` others, `RSD_AGREE_WORKERS=4` side by side,
//! `RSD_AGREE_FIRST=500` begins at another number (the lists of a seed are numbered),
//! `RSD_AGREE_KEEP=DIR` writes what differs there, shrunk: a file that is put into `cases/` is replayed
//! from then on; `RSD_AGREE_WHOLE=DIR` writes it as it was drawn. It has its own harness, because what forks must have one thread.

mod case;
mod compare;
mod draw;
mod kernel;
mod observe;
mod plan;
mod predict;
mod runner;
mod sandbox;
mod seen;
mod shrink;
mod world;

use case::Case;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// So many lists are drawn where nobody says otherwise.
const LISTS: u64 = 1_000;
const SEED: u64 = 4;
/// So many disagreements are shrunk and shown; after more of them something general is wrong.
const SHOWN: usize = 12;

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number is wanted")),
        Err(_) => otherwise,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--list") {
        println!("agreement: test");
        return;
    }
    let files: Vec<&String> = arguments.iter().filter(|a| a.ends_with(".json")).collect();
    let filtered = arguments.iter().any(|a| !a.starts_with('-') && !"agreement".contains(a.as_str()));
    if files.is_empty() && filtered {
        return;
    }
    if let Some(why) = impossible() {
        println!("skipped: the model against the machine (agreement): {why}");
        let must = std::env::var_os("RSD_TEST_NO_SKIP").is_some();
        std::process::exit(if must { 101 } else { 0 });
    }
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("PATH", "/bin") };
    small_tables();
    let failed = match files.is_empty() {
        false => files.iter().filter(|f| !replay(Path::new(f))).count(),
        true => kept() + drawn(),
    };
    if failed > 0 {
        println!("test agreement ... FAILED");
        std::process::exit(101);
    }
    println!("test agreement ... ok");
}

/// A network namespace below one of our own gets small tables of connections: reading /proc/net/tcp walks
/// all of a table. Ours is such a one, too: lists without sockets are run in it. Where the kernel cannot do
/// this it only takes longer.
fn small_tables() {
    for _ in 0..2 {
        if kernel::unshare(libc::CLONE_NEWNET).is_ok() {
            let _ = std::fs::write("/proc/sys/net/ipv4/tcp_child_ehash_entries", "64");
            let _ = std::fs::write("/proc/sys/net/ipv4/udp_child_hash_entries", "128");
        }
    }
}

/// Why it cannot be tried here.
fn impossible() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it needs root: namespaces, users and a file system of its own".to_owned());
    }
    let plain = Case {
        about: String::new(),
        world: Vec::new(),
        start: draw::root(),
        effects: vec![engine::effect::Effect::Umask { mask: 0o022 }],
        undo: false,
    };
    sandbox::try_case(&plain).err().map(|e| format!("the kernel refuses a sandbox: {e}"))
}

/// Replays every case that was kept; says how many differ.
fn kept() -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agreement/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    let differ = files.iter().filter(|f| !replay(f)).count();
    println!("{} cases replayed, {differ} differ", files.len());
    differ
}

fn replay(file: &Path) -> bool {
    let case = Case::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    match sandbox::try_case(&case) {
        Ok(found) if found.is_empty() => true,
        Ok(found) => {
            println!("{}: model and host differ:", file.display());
            found.iter().for_each(|d| println!("  {d}"));
            false
        }
        Err(why) => {
            println!("{}: it could not be tried: {why}", file.display());
            false
        }
    }
}

/// What one worker has found.
#[derive(Default)]
struct Tally {
    lists: u64,
    steps: u64,
    /// of each sort the first list, how many lists showed it, and what the first one showed
    differ: BTreeMap<String, (u64, u64, String)>,
    broken: Vec<(u64, String)>,
}

/// Draws lists; says how many differ.
fn drawn() -> usize {
    let (lists, seed) = (number("RSD_AGREE_LISTS", LISTS), number("RSD_AGREE_SEED", SEED));
    let first = number("RSD_AGREE_FIRST", 0);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let workers = number("RSD_AGREE_WORKERS", cores.min(2)).max(1);
    let begin = Instant::now();
    let tally = match workers {
        1 => work(seed, (first..first + lists).collect()),
        _ => share(seed, first, lists, workers),
    };
    let took = begin.elapsed().as_secs_f64();
    println!(
        "{} lists with {} steps (seed {seed}): {} differ in {} ways, {} could not be tried; {took:.1} s, {:.0} lists/s",
        tally.lists,
        tally.steps,
        tally.differ.values().map(|(_, n, _)| n).sum::<u64>(),
        tally.differ.len(),
        tally.broken.len(),
        tally.lists as f64 / took,
    );
    for (number, why) in tally.broken.iter().take(SHOWN) {
        println!("list {number} could not be tried: {why}\n{}", draw::case(seed, *number).text());
    }
    for (sort, (number, count, seen)) in &tally.differ {
        println!("  {count} lists: {sort} (list {number}): {seen}");
    }
    for (sort, (number, count, _)) in tally.differ.iter().take(SHOWN) {
        show(seed, *number, sort, *count);
    }
    tally.differ.len() + tally.broken.len()
}

fn work(seed: u64, numbers: Vec<u64>) -> Tally {
    let mut tally = Tally::default();
    for number in numbers {
        let case = draw::case(seed, number);
        tally.lists += 1;
        tally.steps += case.effects.len() as u64;
        match sandbox::try_case(&case) {
            Ok(found) => {
                // What comes first may have made all the others.
                if let Some(first) = found.first() {
                    let new = || (number, 0, first.to_string());
                    tally.differ.entry(first.sort.clone()).or_insert_with(new).1 += 1;
                }
            }
            Err(why) => tally.broken.push((number, why)),
        }
    }
    tally
}

/// The same by several processes.
fn share(seed: u64, first: u64, lists: u64, workers: u64) -> Tally {
    let mut pipes = Vec::new();
    for worker in 0..workers {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        match kernel::fork().expect("fork") {
            ForkResult::Child => {
                let tally = work(seed, (first..first + lists).filter(|n| n % workers == worker).collect());
                let whole = (tally.lists, tally.steps, tally.differ, tally.broken);
                let text = serde_json::to_vec(&whole).expect("JSON");
                let mut writer = std::fs::File::from(writer);
                let told = std::io::Write::write_all(&mut writer, &text);
                kernel::leave(i32::from(told.is_err()));
            }
            ForkResult::Parent { child } => pipes.push((child, std::fs::File::from(reader))),
        }
    }
    let mut tally = Tally::default();
    for (child, mut pipe) in pipes {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut pipe, &mut text).expect("what the worker says");
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)), "a worker failed");
        type Whole = (u64, u64, BTreeMap<String, (u64, u64, String)>, Vec<(u64, String)>);
        let (lists, steps, differ, broken): Whole = serde_json::from_slice(&text).expect("a tally");
        tally.lists += lists;
        tally.steps += steps;
        tally.broken.extend(broken);
        for (sort, (number, count, seen)) in differ {
            let entry = tally.differ.entry(sort).or_insert((number, 0, seen));
            entry.0 = entry.0.min(number);
            entry.1 += count;
        }
    }
    tally
}

/// Shrinks the list of that number and prints it as a case.
fn show(seed: u64, number: u64, sort: &str, count: u64) {
    println!("\n{count} lists: {sort} (list {number}); before it is shrunk:");
    for difference in sandbox::try_case(&draw::case(seed, number)).unwrap_or_default() {
        println!("  {difference}");
    }
    if let Some(folder) = std::env::var_os("RSD_AGREE_WHOLE") {
        let file = Path::new(&folder).join(format!("{seed}-{number}.json"));
        std::fs::write(&file, draw::case(seed, number).text())
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    let small = shrink::shrink(draw::case(seed, number), sort, |c| sandbox::try_case(c).unwrap_or_default());
    println!("shrunk:");
    for difference in sandbox::try_case(&small).unwrap_or_default() {
        println!("  {difference}");
    }
    match std::env::var_os("RSD_AGREE_KEEP") {
        Some(folder) => {
            let name: String =
                sort.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let file = Path::new(&folder).join(format!("{name}.json"));
            std::fs::write(&file, small.text() + "\n").unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            println!("  kept as {}", file.display());
        }
        None => println!("{}", small.text()),
    }
}
