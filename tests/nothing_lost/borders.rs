//! A phase of kind `fail` before every phase in turn.

use crate::rows::{Row, keep};
use crate::sandbox::{Needs, Out, diverging};
use crate::scene::{Scene, Step, Way, ways};
use crate::seen::Machine;
use std::collections::BTreeMap;

/// Nobody is there to undo: all that had been done by then is made again by the next start.
const LAUNCHER_GONE: &str = "left to the next start, which works and cleans up";

/// Puts the phase before `border`, in that manner, and starts. `stuck`: `last` fails as well.
fn spoiled(scene: &Scene, border: &str, how: &str) -> Out {
    // `last` stands directly before serve already.
    let border = if how == "undo" && border == scene.serve() { "last" } else { border };
    let order = format!("injected,{border}");
    let skip: &[&str] = if how == "undo" { &[] } else { &["--skip", "last"] };
    let words = [&["--spec", "spoiled.yaml", "--how", how, "--order", &order], NOT_DOWN, skip].concat();
    scene.rsd("run", &words)
}

/// Without those of the way down, or of the way up.
const NOT_DOWN: &[&str] = &["--skip", "late", "--skip", "guarded"];
const NOT_UP: [&str; 4] = ["--skip", "injected", "--skip", "last"];

/// What is wrong with how it ended, in words; nothing where all is right. And how it ended.
fn judged(scene: &Scene, step: &Step, how: &str, out: &Out) -> (Vec<String>, &'static str) {
    let mut wrong = Vec::new();
    let mut says = |word: &str| {
        if !out.err.contains(word) {
            wrong.push(format!("it does not say `{word}`"));
        }
    };
    // Before it forks, the launcher is the one that is killed; in the foreground the holder speaks for it.
    let alone = step.process == "launcher" || step.effects.iter().any(|e| e.starts_with("fork, setsid"));
    let (code, ended) = match how {
        "error" => {
            says("injected failed: fail: Input/output error");
            says("nothing is left behind");
            (1, "undone")
        }
        "undo" => {
            says("last failed: fail: Read-only file system");
            says("LEFT BEHIND: fail with EIO: fail: Input/output error");
            (7, "stuck, and says what is left")
        }
        "kill" if alone => (137, LAUNCHER_GONE),
        "kill" => {
            says("injected failed: ");
            says("nothing is left behind");
            (if scene.way.foreground { 137 } else { 1 }, "undone")
        }
        how => unreachable!("{how}"),
    };
    if out.code != code {
        wrong.push(format!("exit code {} and not {code}", out.code));
    }
    (wrong, ended)
}

/// The scene starts as if nothing had been, is stopped, and leaves nothing but what it always leaves.
pub fn next_start(scene: &Scene, always: &Machine) -> Vec<String> {
    let out = scene.rsd("run", &["--spec", scene.spec]);
    let mut wrong = Vec::new();
    if out.code != 0 {
        wrong.push(format!("the next start fails with {}: {}", out.code, out.err));
    }
    wrong.extend(scene.stop(&out));
    wrong.extend(
        Machine::left_of(scene, always, Machine::shape).iter().map(|l| format!("behind the next start: {l}")),
    );
    wrong
}

/// Whether this manner is tried before the border of that number: usually a ninth of all, so that every border
/// and every manner has its turn in one of the scenes.
fn tried(how: usize, border: usize, scene: usize) -> bool {
    let usual = MANNERS.len() * MANNERS.len();
    let of = crate::one_of(usual);
    of < usual || (border + scene) % usual == how * MANNERS.len()
}

const MANNERS: [&str; 3] = ["error", "undo", "kill"];

/// Tries every border of a scene, and says how they ended.
fn every_border(scene: &Scene, number: usize, wrong: &mut Vec<String>) -> Vec<Row> {
    let (up, _) = scene.steps();
    scene.overlay();
    let before = Machine::look(scene);
    // What it leaves in the normal course of things: its log.
    let mut always = None;
    let mut rows = Vec::new();
    for (n, how) in MANNERS.iter().enumerate() {
        let mut ended = BTreeMap::new();
        let borders = up.iter().enumerate().filter(|(i, _)| tried(n, *i, number));
        for step in borders.map(|(_, step)| step) {
            println!("{}: {how} before `{}`", scene.name(), step.phase);
            let out = spoiled(scene, &step.phase, how);
            let (mut found, end) = judged(scene, step, how, &out);
            if end == LAUNCHER_GONE {
                let always = always.get_or_insert_with(|| scene.served_once(&before));
                found.extend(next_start(scene, always));
                scene.clear();
            }
            found.extend(Machine::left(scene, &before));
            *ended.entry(end.to_owned()).or_insert(0) += 1;
            if !found.is_empty() {
                let (name, phase) = (scene.name(), &step.phase);
                println!("wrong: {name}: {how} before `{phase}`: {}", found.join("; "));
                wrong.push(format!("{name}: {how} before `{phase}`:\n  {}\n{}", found.join("\n  "), out.err));
                scene.clear();
            }
        }
        rows.push(Row {
            matrix: "fail".to_owned(),
            what: format!("{}, {}", scene.spec, described(scene.way)),
            way: (*how).to_owned(),
            tried: ended.values().sum(),
            of: ended.values().sum(),
            ended: ended.into_iter().collect(),
        });
    }
    rows
}

/// Fails, or dies, before a phase of the way down, in the process that runs that one. What is wrong with that, and
/// how it ended.
fn spoiled_down(
    scene: &Scene,
    always: &Machine,
    (step, guard): &(Step, bool),
    how: &str,
) -> (Vec<String>, &'static str) {
    let guard = *guard;
    let (ours, other) = if guard { ("guarded", "late") } else { ("late", "guarded") };
    let order = format!("{ours},{}", step.phase);
    let words = ["--spec", "spoiled.yaml", "--how", how, "--order", &order, "--skip", other];
    let mut wrong = Vec::new();
    let out = scene.rsd("run", &[&words[..], &NOT_UP].concat());
    let dies = how == "kill";
    // Behind ready the exit code is that of the program.
    let code = if scene.way.foreground && dies && !guard { 137 } else { 0 };
    if out.code != code {
        wrong.push(format!("exit code {} and not {code}: {}", out.code, out.err));
    }
    wrong.extend(scene.stop(&out));
    let rest = Machine::left_of(scene, always, |m| m.shape().without_files());
    wrong.extend(rest.iter().map(|line| format!("behind the stop: {line}")));
    // Nobody is there to say that it was killed.
    if !dies {
        let trace = crate::sandbox::done(scene.command().args(["trace", "--format", "json"]));
        if !trace.out.contains("fail: Input/output error") {
            wrong.push(format!("the timeline does not say what failed: {trace:?}"));
        }
    }
    // Nobody is there any more who could change it.
    if Machine::look(scene).shape().changed(&always.shape()).is_empty() {
        return (wrong, "said, all else is done");
    }
    if !dies {
        wrong.push("what stands behind it was not done".to_owned());
    }
    wrong.extend(next_start(scene, always));
    (wrong, LAUNCHER_GONE)
}

/// The same for every phase of the way down.
fn every_border_down(scene: &Scene, number: usize, wrong: &mut Vec<String>) -> Vec<Row> {
    let (_, down) = scene.steps();
    if down.is_empty() {
        return Vec::new();
    }
    let mut down: Vec<(Step, bool)> =
        down.into_iter().map(|step| (step.clone(), step.process == "guard")).collect();
    // The daemon itself, where nothing is left for it to do.
    if let Some((first, true)) = down.first().cloned() {
        down.push((first, false));
    }
    scene.overlay();
    let before = Machine::look(scene);
    let always = scene.served_once(&before);
    let mut rows = Vec::new();
    for (n, how) in ["error", "kill"].into_iter().enumerate() {
        let mut ended = BTreeMap::new();
        let of = crate::one_of(usize::MAX);
        for step in down
            .iter()
            .enumerate()
            .filter(|(i, _)| of < usize::MAX || (i + n + number).is_multiple_of(3))
            .map(|(_, s)| s)
        {
            println!("{}: {how} before `{}`", scene.name(), step.0.phase);
            let (mut found, mut end) = spoiled_down(scene, &always, step, how);
            if how == "kill" && end != LAUNCHER_GONE {
                end = "the others did what was to be done";
            }
            scene.clear();
            found.extend(Machine::left(scene, &before));
            *ended.entry(end.to_owned()).or_insert(0) += 1;
            if !found.is_empty() {
                let (name, phase) = (scene.name(), &step.0.phase);
                wrong.push(format!("{name}: {how} before `{phase}`:\n  {}", found.join("\n  ")));
                scene.clear();
            }
        }
        if ended.is_empty() {
            continue;
        }
        rows.push(Row {
            matrix: "down".to_owned(),
            what: format!("{}, {}", scene.spec, described(scene.way)),
            way: (*how).to_owned(),
            tried: ended.values().sum(),
            of: ended.values().sum(),
            ended: ended.into_iter().collect(),
        });
    }
    rows
}

pub fn described(way: Way) -> String {
    let who = if way.root { "root" } else { "user" };
    let jail = if way.jail { ", chroot" } else { "" };
    let how = if way.foreground { ", -n" } else { "" };
    format!("{who}{jail}{how}")
}

fn matrix(name: &'static str, spec: &'static str, root: bool, down: bool) {
    diverging(&format!("borders::{name}"), if root { Needs::Root } else { Needs::Anyone }, |world| {
        let (mut wrong, mut rows) = (Vec::new(), Vec::new());
        // The jail has no other program than the one that answers for ever.
        let fits = |way: &Way| way.root == root && !(down && way.foreground && way.jail);
        for (number, way) in ways(world).into_iter().filter(fits).enumerate() {
            match down {
                false => rows.extend(every_border(&Scene::new(world, spec, way), number, &mut wrong)),
                true => rows.extend(every_border_down(&Scene::brief(world, spec, way), number, &mut wrong)),
            }
        }
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
        keep(name, &rows);
    });
}

macro_rules! matrices {
    ($($name:ident $spec:literal $root:literal $down:literal)*) => {
        $(#[test]
        fn $name() {
            matrix(stringify!($name), $spec, $root, $down);
        })*
    };
}
matrices! {
    of_twistd_by_a_user "twistd" false false
    of_twistd_by_root "twistd" true false
    of_twistd_safe_by_a_user "twistd-safe" false false
    of_twistd_safe_by_root "twistd-safe" true false
    of_daemon_by_a_user "daemon" false false
    of_daemon_by_root "daemon" true false
    of_systemd_order_by_a_user "systemd-order" false false
    of_systemd_order_by_root "systemd-order" true false
    on_the_way_down_of_twistd_by_a_user "twistd" false true
    on_the_way_down_of_twistd_by_root "twistd" true true
    on_the_way_down_of_twistd_safe_by_a_user "twistd-safe" false true
    on_the_way_down_of_twistd_safe_by_root "twistd-safe" true true
    on_the_way_down_of_daemon_by_a_user "daemon" false true
    on_the_way_down_of_daemon_by_root "daemon" true true
    on_the_way_down_of_systemd_order_by_a_user "systemd-order" false true
    on_the_way_down_of_systemd_order_by_root "systemd-order" true true
}
