//! What is done in a sandbox: a job comes as an argument, its result goes to standard output.

use crate::draw::Chance;
use crate::judge::{Bench, Verdict, is_rule};
use crate::model::{self, Which};
use crate::observe::{arguments, observe, rsd};
use crate::sandbox::Sandbox;
use crate::tally::{Row, Wrong, compare};
use crate::worlds::{SVC, World};
use engine::plan::classes::Part;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// try an order
    Run { world: String, order: String, bin: PathBuf, probe: PathBuf },
    /// draw orders of all thirteen phases
    Draw { world: String, seed: u64, count: usize, probe: PathBuf },
    /// judge all orders of these phases, a part of the classes
    Judge { world: String, every: Vec<String>, part: usize, of: usize, probe: PathBuf },
    /// hold single orders of these phases against their classes
    Agree { world: String, every: Vec<String>, which: Which, whole: bool, probe: PathBuf },
}

/// Does the job.
pub fn main(job: &str) {
    let job: Job = serde_json::from_str(job).expect("a job");
    let result = match &job {
        Job::Run { world, order, bin, probe } => {
            let world = World::named(world).expect("a world");
            serde_json::to_string(&run(world, order, bin, probe))
        }
        Job::Draw { world, seed, count, probe } => {
            let bench = bench(world, probe);
            serde_json::to_string(&draw(World::named(world).expect("a world"), &bench, *seed, *count))
        }
        Job::Judge { world, every, part, of, probe } => {
            let (bench, part) = (bench(world, probe), Part { number: *part, of: *of });
            serde_json::to_string(&model::judge(&bench, World::named(world).expect("a world"), every, part))
        }
        Job::Agree { world, every, which, whole, probe } => {
            let (bench, world) = (bench(world, probe), World::named(world).expect("a world"));
            serde_json::to_string(&model::agree(&bench, world, every, which, *whole))
        }
    };
    println!("{}", result.expect("a result as JSON"));
}

fn bench(world: &str, probe: &std::path::Path) -> Bench {
    let world = World::named(world).expect("a world");
    let _sandbox = Sandbox::make(world, probe);
    become_starter(world);
    Bench::new(world)
}

fn become_starter(world: &World) {
    if world.by_user {
        let (uid, gid) = (Uid::from_raw(SVC), Gid::from_raw(SVC));
        setgroups(&[]).and_then(|()| setresgid(gid, gid, gid)).expect("the user's group");
        setresuid(uid, uid, uid).expect("the user");
    }
}

fn run(world: &World, order: &str, bin: &std::path::Path, probe: &std::path::Path) -> Row {
    let mut sandbox = Sandbox::make(world, probe);
    let names: Vec<&str> = order.split(',').collect();
    let mut command = rsd(world, bin);
    command.arg("check").args(arguments(world, order)).arg("--json").arg("--").args(World::command());
    let said = command.output().expect("rsd check");
    let text = String::from_utf8_lossy(&said.stdout);
    let verdict = asked(&text).unwrap_or_else(|| panic!("rsd check said {text} {said:?}"));
    let mut wrong = Vec::new();
    // As the user itself this process could not go on as root afterwards.
    if !world.by_user {
        let judged = Bench::new(world).judge(&names);
        if judged != verdict {
            wrong.push(Wrong::Differs(format!("the library says {judged:?}")));
        }
    }
    let seen = observe(world, &names, verdict.refuses(), bin, &mut sandbox);
    wrong.extend(compare(&verdict, &seen));
    Row { world: world.name.to_owned(), order: order.to_owned(), verdict, seen, wrong }
}

/// The contract of `check --json`.
fn asked(text: &str) -> Option<Verdict> {
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    let findings: Option<Vec<_>> = document["findings"]
        .as_array()?
        .iter()
        .map(|f| Some((f["severity"].as_str()?, f["code"].as_str()?)))
        .collect();
    let findings = findings?;
    let rule = findings.iter().any(|(severity, code)| *severity == "error" && is_rule(code));
    Some(Verdict::of(rule, findings))
}

/// Orders of all thirteen phases: a tenth anyhow, four tenths with the two last where they must be, and half
/// by some moves from the spec's own order and not refused, because chance finds few of these.
fn draw(world: &World, bench: &Bench, seed: u64, count: usize) -> Vec<String> {
    let mut chance = Chance(seed);
    let mut drawn: Vec<String> = Vec::new();
    for tries in 0..count * 60 {
        let mut order = world.phases().to_vec();
        let last = order.len() - 2;
        match drawn.len() * 10 / count.max(1) {
            0 => chance.shuffle(&mut order),
            // Where every order is refused, all are drawn by chance.
            5..=9 if tries < count * 20 => {
                for _ in 0..=chance.below(12) {
                    let phase = order.remove(chance.below(last));
                    order.insert(chance.below(last), phase);
                }
                if bench.judge(&order).refuses() {
                    continue;
                }
            }
            1..=9 => chance.shuffle(&mut order[..last]),
            _ => break,
        }
        let order = order.join(",");
        if !drawn.contains(&order) {
            drawn.push(order);
        }
    }
    drawn
}
