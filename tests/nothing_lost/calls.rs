//! Each system call of a start fails in turn, in whichever process makes it; and each is the last that its
//! process makes.

use crate::borders::described;
use crate::rows::{Row, keep};
use crate::sandbox::{Needs, Out, diverging};
use crate::scene::{Scene, Way, ways};
use crate::seen::Machine;
use crate::tracer::{Deed, Point, errno_of};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How it ended, if that is one of the ends that are right.
pub fn judged(scene: &Scene, before: &Machine, out: &Out, dies: bool) -> Result<&'static str, Vec<String>> {
    let (code, err) = (out.code, &out.err);
    let mut wrong = Vec::new();
    let end =
        match code {
            0 => "starts all the same",
            // It had been up, and what it leaves is what it always leaves.
            1 if scene.way.foreground && err.contains(" failed: ") && !err.contains("left behind") => {
                "up, failed and said so"
            }
            1 | 2 | 4 | 6 => {
                if ![" failed: ", "error", "nothing is left behind"].iter().any(|word| err.contains(word)) {
                    wrong.push("it does not say what failed".to_owned());
                }
                // What was written to its log by then is kept, and said to be.
                let left = Machine::left(scene, before);
                wrong.extend(left.into_iter().filter(|line| {
                    !((err.contains("kept: ") || err.contains("unsure: ")) && named(err, line))
                }));
                "undone"
            }
            5 => {
                wrong.push("it says that it runs already".to_owned());
                ""
            }
            7 => {
                // Each thing that is left must be named.
                let left = Machine::left(scene, before);
                wrong.extend(left.into_iter().filter(|line| !named(err, line)));
                if !err.contains("LEFT BEHIND") {
                    wrong.push("it does not say what is left".to_owned());
                }
                "stuck, and says what is left"
            }
            // Killed, or ended by itself for want of memory; 127 is what ld.so says.
            127 | 134 | 137 | 139 if dies => "killed",
            code => {
                wrong.push(format!("exit code {code}"));
                ""
            }
        };
    if wrong.is_empty() { Ok(end) } else { Err(wrong) }
}

/// Whether the path of a line of [`Machine`] is in what was said.
fn named(said: &str, line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|path| said.contains(path))
}

/// After a start that is up, or whose processes were left to themselves: it comes to rest, is stopped, and the
/// next start works and leaves what it always leaves.
pub fn cleaned_up(scene: &Scene, always: &Machine, before: &Machine) -> Vec<String> {
    let ours = |scene: &Scene| -> Vec<i32> {
        let mut all = scene.processes();
        all.retain(|pid| !before.has_process(*pid));
        all
    };
    // Until nothing happens any more: all that is there waits.
    let begin = Instant::now();
    let mut last = (Vec::new(), Instant::now());
    while begin.elapsed() < Duration::from_secs(15) && last.1.elapsed() < Duration::from_millis(250) {
        let now: Vec<(i32, i32)> =
            ours(scene).into_iter().filter_map(|p| Some((p, crate::kernel::find(p)?.ticks()))).collect();
        if now != last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut wrong = scene.stop_whatever_runs(&ours(scene));
    let begin = Instant::now();
    while !ours(scene).is_empty() {
        if begin.elapsed() > Duration::from_secs(20) {
            let left: Vec<_> = ours(scene).iter().map(|p| crate::kernel::command_line(*p)).collect();
            wrong.push(format!("still there after the stop: {left:?}"));
            ours(scene).iter().for_each(|p| crate::kernel::kill(*p, nix::sys::signal::Signal::SIGKILL));
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    wrong.extend(crate::borders::next_start(scene, always));
    wrong
}

/// One of so many points is tried in a usual run.
const USUAL: usize = 23;

/// Whether that point is tried where not all are.
fn sampled(number: usize, scene: usize) -> bool {
    let one_of = crate::one_of(USUAL);
    number % one_of == scene * 5 % one_of
}

fn every_call(scene: &Scene, number: usize, deed: fn(&Point) -> Deed, wrong: &mut Vec<String>) -> Row {
    let before = Machine::look(scene);
    let always = scene.served_once(&before);
    let good = scene.traced(None);
    assert_eq!(good.out.code, 0, "{}: {good:?}", scene.name());
    let found = cleaned_up(scene, &always, &before);
    assert!(found.is_empty(), "{}: a good start: {found:?}", scene.name());
    scene.clear();
    let mut ended = BTreeMap::new();
    let only = std::env::var("RSD_POINT").ok();
    for (n, point) in good.calls.iter().enumerate() {
        let wanted = only.as_ref().map_or(sampled(n, number), |only| *only == point.to_string());
        if !wanted {
            continue;
        }
        let deed = deed(point);
        let traced = scene.traced(Some((point.clone(), deed)));
        let mut found = Vec::new();
        let end = match judged(scene, &before, &traced.out, deed == Deed::Kill) {
            _ if !traced.done => "not reached",
            Ok(end) => end,
            Err(wrong) => {
                found = wrong;
                "wrong"
            }
        };
        if traced.hung {
            found.push("it hangs".to_owned());
        }
        if matches!(end, "starts all the same" | "killed" | "not reached" | "up, failed and said so") {
            found.extend(cleaned_up(scene, &always, &before));
        }
        scene.clear();
        found.extend(Machine::left(scene, &before));
        *ended.entry(end.to_owned()).or_insert(0) += 1;
        if !found.is_empty() {
            println!("wrong: {}: {point}: {}", scene.name(), found.join("; "));
            wrong.push(format!(
                "{}: {deed:?} at {point}:\n  {}\n{traced:#?}",
                scene.name(),
                found.join("\n  ")
            ));
            for pid in scene.processes().into_iter().filter(|p| !before.has_process(*p)) {
                crate::kernel::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
    Row {
        matrix: String::new(),
        what: format!("{}, {}", scene.spec, described(scene.way)),
        way: "how it ended".to_owned(),
        tried: ended.values().sum(),
        ended: ended.into_iter().collect(),
    }
}

fn matrix(name: &'static str, spec: &'static str, root: bool, deeds: &str) {
    if let Err(why) = crate::tracer::possible() {
        return crate::sandbox::skip(name, why);
    }
    diverging(&format!("calls::{name}"), if root { Needs::Root } else { Needs::Anyone }, |world| {
        let (mut wrong, mut rows) = (Vec::new(), Vec::new());
        // A usual run has no time for all of them.
        let most = if crate::one_of(0) == 0 { 1 } else { usize::MAX };
        let scenes = |way: &Way| way.root == root && !(way.foreground && way.jail);
        for (number, way) in ways(world).into_iter().filter(scenes).enumerate().take(most) {
            let deed: fn(&Point) -> Deed = match deeds {
                "kill" => |_| Deed::Kill,
                _ => |point| Deed::Fail(errno_of(point.call)),
            };
            let row = every_call(&Scene::brief(world, spec, way), number, deed, &mut wrong);
            rows.push(Row { matrix: deeds.to_owned(), ..row });
        }
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
        keep(name, &rows);
    });
}

macro_rules! matrices {
    ($($(#[$long:meta])? $name:ident $spec:literal $root:literal $deed:literal)*) => {
        $(#[test]
        $(#[$long])?
        fn $name() {
            matrix(stringify!($name), $spec, $root, $deed);
        })*
    };
}
matrices! {
    #[ignore = "long: tests/nothing-lost"] that_fail_in_daemon_by_root "daemon" true "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_safe_by_a_user "twistd-safe" false "call"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_daemon_by_root "daemon" true "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_by_a_user "twistd" false "kill"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_daemon_by_a_user "daemon" false "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_systemd_order_by_a_user "systemd-order" false "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_systemd_order_by_root "systemd-order" true "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_by_a_user "twistd" false "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_by_root "twistd" true "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_safe_by_root "twistd-safe" true "call"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_daemon_by_a_user "daemon" false "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_systemd_order_by_a_user "systemd-order" false "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_systemd_order_by_root "systemd-order" true "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_by_root "twistd" true "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_safe_by_a_user "twistd-safe" false "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_safe_by_root "twistd-safe" true "kill"
}
