//! The outside: jobs for the sandboxes, their results, and the counts.

use crate::draw::{factorial, order};
use crate::inside::Job;
use crate::line::Line;
use crate::model::{Agreed, Judged, Which};
use crate::page;
use crate::tally::{Row, Tally, Wrong, complaint};
use crate::worlds::{EIGHT, WORLDS, World, among};
use nix::sched::{CloneFlags, setns, unshare};
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// More kinds of disagreement than this are not shown one by one.
const SHOWN: usize = 20;

/// Everything.
pub fn main(line: &Line) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        return skip("it needs root: users, namespaces and mounts of its own");
    }
    let probe = match probe() {
        Ok(probe) => probe,
        Err(why) => return skip(&why),
    };
    if let Err(why) = namespaces() {
        println!("skipped: orders: the kernel refuses new namespaces: {why}");
        return ExitCode::SUCCESS;
    }
    if let Some(set) = &line.set
        && World::named(set).is_none()
    {
        eprintln!("error: there is no world `{set}`; `--worlds` lists them");
        return ExitCode::from(2);
    }
    match &line.one {
        Some(one) => try_one(line, one, &probe),
        None if line.judge => judge_all(line, &probe),
        None => try_many(line, &probe),
    }
}

fn skip(why: &str) -> ExitCode {
    println!("skipped: orders: {why}");
    match std::env::var_os("RSD_TEST_NO_SKIP") {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

/// The application, as a static program: it must run in an empty root, too.
fn probe() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/every_order/probe.c");
    let probe = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe.{}", std::process::id()));
    let made = Command::new("gcc").args(["-static", "-Os", "-s", "-o"]).arg(&probe).arg(&source).output();
    match made {
        Ok(made) if made.status.success() => Ok(probe),
        Ok(made) => Err(format!("gcc makes no static program: {}", String::from_utf8_lossy(&made.stderr))),
        Err(error) => Err(format!("there is no gcc: {error}")),
    }
}

fn namespaces() -> Result<(), String> {
    // In a thread of its own: this one stays where it is.
    let tried = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)
    });
    match tried.join() {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("a thread could not be made".to_owned()),
    }
}

/// A thread with a network of its own, which gives every job a PID namespace of its own.
struct Worker {
    pids: File,
}

impl Worker {
    fn new() -> Worker {
        let pids = File::open("/proc/thread-self/ns/pid").expect("our own PID namespace");
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|s| s.success()), "ip link set lo up");
        Worker { pids }
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, job: &Job) -> T {
        // A second unshare is refused until the first is taken back.
        setns(&self.pids, CloneFlags::CLONE_NEWPID).expect("back to our own PID namespace");
        unshare(CloneFlags::CLONE_NEWPID).expect("a PID namespace");
        let job = serde_json::to_string(job).expect("a job as JSON");
        let mut inside = Command::new(std::env::current_exe().expect("the program's own path"));
        inside.arg("--inside").arg(&job).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
        let out = inside.output().expect("start the inside");
        let text = String::from_utf8_lossy(&out.stdout);
        serde_json::from_str(&text).unwrap_or_else(|e| {
            panic!("{e}: {job}: {text}{}{:?}", String::from_utf8_lossy(&out.stderr), out.status)
        })
    }
}

/// Does the jobs, some at once; `done` gets each result.
fn all<T: serde::de::DeserializeOwned + Send>(line: &Line, jobs: &[Job], done: impl Fn(usize, T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..line.jobs.min(jobs.len()) {
            scope.spawn(|| {
                let worker = Worker::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(n) else { return };
                    done(n, worker.ask(job));
                }
            });
        }
    });
}

fn try_one(line: &Line, one: &str, probe: &Path) -> ExitCode {
    let world = line.set.clone().unwrap_or_else(|| "eight".to_owned());
    let job = Job::Run { world, order: one.to_owned(), bin: line.bin.clone(), probe: probe.to_owned() };
    let row = Mutex::new(None);
    all(line, &[job], |_, r: Row| *row.lock().expect("the row") = Some(r));
    let _ = fs::remove_file(probe);
    let row = row.into_inner().expect("the row").expect("a result");
    println!("{row:#?}");
    println!("{}", row.seen.said);
    let world = World::named(&row.world).expect("a world");
    println!("world {}:\n{world:#?}\n\n{}\n", world.name, world.spec());
    println!("rsd run --spec orders.yaml --order {} {}", row.order, world.arguments().join(" "));
    match row.wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!("{}", complaint(&row));
            ExitCode::FAILURE
        }
    }
}

/// The orders to try: world and order.
fn chosen(line: &Line, probe: &Path) -> Vec<(String, String)> {
    let mut orders = Vec::new();
    let wanted = |w: &&World| line.set.as_ref().is_none_or(|s| s == w.name);
    let mut draws = Vec::new();
    for world in WORLDS.iter().filter(wanted) {
        if world.name == "eight" {
            let all = factorial(EIGHT.len());
            let numbers: Vec<usize> = match line.all {
                true => (0..all).collect(),
                false => {
                    let mut chance = crate::draw::Chance(line.seed);
                    (0..line.sample * 8).map(|_| chance.below(all)).collect()
                }
            };
            orders
                .extend(numbers.iter().map(|n| (world.name.to_owned(), among(&order(&EIGHT, *n)).join(","))));
            continue;
        }
        let count = if line.all { 200 } else { line.sample };
        draws.push(Job::Draw {
            world: world.name.to_owned(),
            seed: line.seed,
            count,
            probe: probe.to_owned(),
        });
    }
    let drawn = Mutex::new(Vec::new());
    all(line, &draws, |n, list: Vec<String>| drawn.lock().expect("the orders").push((n, list)));
    let mut drawn = drawn.into_inner().expect("the orders");
    drawn.sort();
    for (n, list) in drawn {
        let Some(Job::Draw { world, .. }) = draws.get(n) else { continue };
        orders.extend(list.into_iter().map(|order| (world.clone(), order)));
    }
    orders
}

/// Which program this is, so that results of another one are not taken for its own.
fn stamp(line: &Line) -> String {
    use std::os::unix::fs::MetadataExt;
    let of =
        |path: &Path| fs::metadata(path).map(|m| format!("{}.{}", m.len(), m.mtime())).unwrap_or_default();
    let own = std::env::current_exe().map(|p| of(&p)).unwrap_or_default();
    format!("{} {own}", of(&line.bin))
}

/// Results of an earlier run, and the file to go on with.
fn earlier(line: &Line) -> (Vec<Row>, Option<File>) {
    let Some(path) = &line.log else { return (Vec::new(), None) };
    let stamp = stamp(line);
    let lines: Vec<String> = File::open(path)
        .map(|f| BufReader::new(f).lines().map_while(Result::ok).collect())
        .unwrap_or_default();
    let same = lines.first() == Some(&stamp);
    let rows = lines.iter().skip(1).filter(|_| same).filter_map(|l| serde_json::from_str(l).ok()).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file for results");
    if !same {
        file.set_len(0).expect("an empty file for results");
        writeln!(file, "{stamp}").expect("write to the file for results");
    }
    (rows, Some(file))
}

struct Progress {
    tally: Tally,
    /// kinds of disagreement that were shown: the first of each is
    kinds: BTreeSet<Wrong>,
    done: usize,
    file: Option<File>,
    said: Instant,
}

fn try_many(line: &Line, probe: &Path) -> ExitCode {
    let begin = Instant::now();
    let (rows, file) = earlier(line);
    let mut tally = Tally::default();
    rows.iter().for_each(|row| tally.add(row));
    let known: HashSet<(String, String)> = rows.into_iter().map(|r| (r.world, r.order)).collect();
    let jobs: Vec<Job> = chosen(line, probe)
        .into_iter()
        .filter(|key| !known.contains(key))
        .map(|(world, order)| Job::Run { world, order, bin: line.bin.clone(), probe: probe.to_owned() })
        .collect();
    let (start, total) = (Instant::now(), jobs.len());
    let progress =
        Mutex::new(Progress { tally, kinds: BTreeSet::new(), done: 0, file, said: Instant::now() });
    all(line, &jobs, |_, row: Row| {
        let mut p = progress.lock().expect("the counts");
        if !row.wrong.is_empty()
            && row.wrong.iter().any(|w| p.kinds.insert(w.clone()))
            && p.kinds.len() <= SHOWN
        {
            print!("{}", complaint(&row));
        }
        p.tally.add(&row);
        p.done += 1;
        if let Some(file) = &mut p.file {
            let mut row = row;
            row.seen.said.clear();
            writeln!(file, "{}", serde_json::to_string(&row).expect("a row")).expect("write a result");
        }
        if p.said.elapsed().as_secs() >= 10 {
            p.said = Instant::now();
            let rate = p.done as f64 / start.elapsed().as_secs_f64();
            eprintln!("{} of {total}, {rate:.1} a second, {} wrong", p.done, p.tally.wrong);
        }
    });
    let mut asked = some_of_each(line, line.sample * 2);
    asked.push(("eight", names(&EIGHT), Which::Drawn(line.seed, line.sample * 8), true));
    let agreed = agree(line, probe, asked);
    println!("{}", said(&agreed));
    let _ = fs::remove_file(probe);
    let progress = progress.into_inner().expect("the counts");
    let (took, ran) = (start.elapsed().as_secs_f64(), progress.done);
    println!("{}", progress.tally.table());
    println!(
        "{ran} orders run in {took:.1} s ({:.1} ms each, {} at once; {:.1} s in all), {} wrong",
        took * 1000.0 / ran.max(1) as f64,
        line.jobs,
        begin.elapsed().as_secs_f64(),
        progress.tally.wrong
    );
    if line.write {
        write(&progress.tally.table());
    }
    let right = progress.tally.wrong == 0 && agreed.differ.is_empty() && ran + known.len() > 0;
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Puts the table between its marks.
fn write(table: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proof.md");
    let text = fs::read_to_string(&page).expect("docs/proof.md");
    let (from, to) = ("<!-- orders: table -->\n", "<!-- orders: end -->");
    let parts = text.split_once(from).and_then(|(head, rest)| Some((head, rest.split_once(to)?.1)));
    let (head, tail) = parts.expect("the marks in docs/proof.md");
    fs::write(&page, format!("{head}{from}\n{table}\n{to}{tail}")).expect("write docs/proof.md");
}

/// What single orders and their classes are asked about: world, phases, which of them, all classes before.
type Asked = (&'static str, Vec<String>, Which, bool);

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// The phases that are put into every order: of the eight, of ten, of all.
fn sets() -> [Vec<String>; 3] {
    let ten = ["readTacFile", "startApplication"];
    let ten: Vec<&str> = EIGHT.iter().chain(&ten).copied().collect();
    let all = World::named("eight").expect("a world").phases();
    [names(&EIGHT), names(&ten), names(all)]
}

/// Single orders against their classes: some in every world.
fn some_of_each(line: &Line, count: usize) -> Vec<Asked> {
    let wanted = |w: &&World| line.set.as_ref().is_none_or(|s| s == w.name);
    let of = |w: &World| (w.name, names(w.phases()), Which::Drawn(line.seed, count), false);
    WORLDS.iter().filter(wanted).map(of).collect()
}

fn agree(line: &Line, probe: &Path, asked: Vec<Asked>) -> Agreed {
    let job = |(world, every, which, whole): Asked| Job::Agree {
        world: world.to_owned(),
        every,
        which,
        whole,
        probe: probe.to_owned(),
    };
    let jobs: Vec<Job> = asked.into_iter().map(job).collect();
    let sum = Mutex::new(Agreed::default());
    all(line, &jobs, |n, agreed: Agreed| {
        for (order, single, class) in agreed.differ.iter().take(3) {
            println!(
                "WRONG, not as its class: {order}\n  alone: {single}\n  class: {class}\n  {:?}",
                jobs[n]
            );
        }
        sum.lock().expect("the sum").add(agreed);
    });
    sum.into_inner().expect("the sum")
}

fn judge_all(line: &Line, probe: &Path) -> ExitCode {
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    let mut report = format!(
        "{}\n{parts} processes at once.\n\n\
         | phases in every order | orders | classes | wall, s | processor, s | µs a class | orders/s | by a rule | refused | \
         warned | fine |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        page::machine(&[])
    );
    let mut speed = Vec::new();
    for every in sets() {
        let (begin, phases) = (Instant::now(), every.len());
        let jobs: Vec<Job> = (0..parts)
            .map(|part| Job::Judge {
                world: "eight".to_owned(),
                every: every.clone(),
                part,
                of: parts,
                probe: probe.to_owned(),
            })
            .collect();
        let sum = Mutex::new(Judged::default());
        all(line, &jobs, |_, part: Judged| sum.lock().expect("the sum").add(&part));
        let sum = sum.into_inner().expect("the sum");
        assert_eq!(sum.orders, factorial(phases) as u64, "every order once");
        // The speed of the model alone is measured behind it, in each part.
        let wall = begin.elapsed().as_secs_f64() - sum.steps_ns as f64 / 1e9 / parts as f64;
        let seconds = sum.took_ns as f64 / 1e9;
        let _ = writeln!(
            report,
            "| {phases} | {} | {} | {wall:.2} | {seconds:.2} | {:.1} | {:.0} | {} | {} | {} | {} |",
            sum.orders,
            sum.classes,
            seconds * 1e6 / sum.classes.max(1) as f64,
            sum.orders as f64 / wall,
            sum.rules,
            sum.errors,
            sum.warned,
            sum.fine,
        );
        speed.push(sum.steps as f64 * 1e9 / sum.steps_ns.max(1) as f64);
    }
    let [eight, ten, all] = sets();
    let (orders, parts) = (factorial(eight.len()), line.jobs.max(1));
    let eight = (0..parts).map(|part| {
        let which = Which::Numbers(orders * part / parts, orders * (part + 1) / parts);
        ("eight", eight.clone(), which, true)
    });
    let mut asked: Vec<Asked> = eight.collect();
    asked.push(("eight", ten, Which::Drawn(line.seed, 5_000), true));
    asked.push(("eight", all, Which::Drawn(line.seed, 5_000), true));
    asked.extend(some_of_each(line, 1_000));
    let begin = Instant::now();
    let agreed = agree(line, probe, asked);
    let _ = writeln!(
        report,
        "\n{}, in {:.1} s.\nThe model alone does {:.0} steps a second on one processor (the loop with its record, nothing judged).",
        said(&agreed),
        begin.elapsed().as_secs_f64(),
        speed.iter().copied().fold(0.0, f64::max),
    );
    print!("{report}");
    let _ = fs::remove_file(probe);
    if line.write
        && let Err(why) = page::put("docs/proof.md", "judge", &report)
    {
        eprintln!("error: {why}");
        return ExitCode::FAILURE;
    }
    if agreed.differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn said(agreed: &Agreed) -> String {
    format!(
        "{} orders checked one by one ({} refused by a rule, {} not refused): {} not as their class",
        agreed.compared,
        agreed.rules,
        agreed.works,
        agreed.differ.len()
    )
}
