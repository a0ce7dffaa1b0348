//! Each system call of a start fails in turn, in whichever process makes it; and each is the last that its
//! process makes.

use crate::borders::described;
use crate::rows::{Row, keep, note};
use crate::sandbox::{Needs, Out, diverging};
use crate::scene::{Scene, Way, ways};
use crate::seen::Machine;
use crate::tracer::{Deed, Made, Point, Traced, errno_of};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The ends that are right, besides that it is stuck. Behind all of them the next start works.
pub const STARTS: &str = "starts all the same";
pub const UNDONE: &str = "undone";
pub const KILLED: &str = "killed, and the next start works";
/// In the foreground: the program had run.
pub const UP: &str = "up, and said at its end what had failed";

/// How it ended, if that is one of the ends that are right.
pub fn judged(scene: &Scene, before: &Machine, out: &Out, dies: bool) -> Result<&'static str, Vec<String>> {
    let (code, err) = (out.code, &out.err);
    let mut wrong = Vec::new();
    let end =
        match code {
            0 => STARTS,
            // It had been up, and what it leaves is what it always leaves.
            1 if scene.way.foreground && err.contains(" failed: ") && !err.contains("left behind") => UP,
            1 | 2 | 4 | 6 => {
                if ![" failed: ", "error", "nothing is left behind"].iter().any(|word| err.contains(word)) {
                    wrong.push("it does not say what failed".to_owned());
                }
                // What was written to its log by then is kept, and said to be.
                let left = Machine::left(scene, before);
                wrong.extend(left.into_iter().filter(|line| {
                    !((err.contains("kept: ") || err.contains("unsure: ")) && named(err, line))
                }));
                UNDONE
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
            127 | 134 | 137 | 139 if dies => KILLED,
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

/// The points at which that is to be done, the most different ones first: each sort of call to each thing in each
/// phase of each process, and then every other. Who is killed before a call that changes nothing is as good as
/// killed before the next one that does.
fn points(calls: &[Made], deeds: &str) -> Vec<Point> {
    let mut known = BTreeSet::new();
    let mut all: Vec<(bool, bool, usize, &Point)> = Vec::new();
    for (n, made) in calls.iter().enumerate().filter(|(_, made)| made.changes || deeds == "call") {
        let Made { point, phase, about, changes } = made;
        let again = !known.insert((&point.process, point.call, phase, about));
        all.push((again, !changes, n, point));
    }
    all.sort();
    all.into_iter().map(|(.., point)| point.clone()).collect()
}

/// What was tried of a scene.
#[derive(Default)]
struct Tally {
    ended: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Does that at that point. A call that is not made this time (how often a process waits is chance) is tried again.
fn spoiled(scene: &Scene, point: &Point, deed: Deed) -> Traced {
    let mut traced = scene.traced(Some((point.clone(), deed)));
    for _ in 0..2 {
        if traced.done || traced.hung {
            break;
        }
        scene.stop_whatever_runs(&[]);
        scene.clear();
        traced = scene.traced(Some((point.clone(), deed)));
    }
    traced
}

const NOT_MADE: &str = "not made";

fn one_call(scene: &Scene, [before, always]: [&Machine; 2], point: &Point, deed: Deed, tally: &mut Tally) {
    let traced = spoiled(scene, point, deed);
    let mut found = Vec::new();
    let end = match judged(scene, before, &traced.out, deed == Deed::Kill) {
        _ if !traced.done => NOT_MADE,
        Ok(end) => end,
        Err(wrong) => {
            found = wrong;
            "wrong"
        }
    };
    if traced.hung {
        found.push("it hangs".to_owned());
    }
    // What is said to be there, perhaps, is in nobody's way.
    let rest = end == UNDONE && !Machine::look(scene).changed(before).is_empty();
    if rest || matches!(end, STARTS | KILLED | NOT_MADE | UP) {
        found.extend(cleaned_up(scene, always, before));
    }
    scene.clear();
    found.extend(Machine::left(scene, before));
    *tally.ended.entry(end.to_owned()).or_insert(0) += 1;
    if !found.is_empty() {
        note(&format!("wrong: {}: {deed:?} at {point}: {}", scene.name(), found.join("; ")));
        let found = found.join("\n  ");
        tally.wrong.push(format!("{}: {deed:?} at {point}:\n  {found}\n{:#?}", scene.name(), traced.out));
        for pid in scene.processes().into_iter().filter(|p| !before.has_process(*p)) {
            crate::kernel::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn every_call(scene: &Scene, number: usize, deeds: &str, wrong: &mut Vec<String>) -> Row {
    let before = Machine::look(scene);
    let always = scene.served_once(&before);
    let good = scene.traced(None);
    assert_eq!(good.out.code, 0, "{}: {good:?}", scene.name());
    let found = cleaned_up(scene, &always, &before);
    assert!(found.is_empty(), "{}: a good start: {found:?}", scene.name());
    scene.clear();
    let only = std::env::var("RSD_POINT").ok();
    let all = points(&good.calls, deeds);
    if only.as_deref() == Some("list") {
        good.calls.iter().for_each(|made| note(&format!("point: {} {made:?}", scene.name())));
    }
    let mut tally = Tally::default();
    let chosen = all.iter().enumerate().filter(|(n, point)| match &only {
        Some(only) => *only == point.to_string(),
        None => sampled(*n, number),
    });
    let begin = Instant::now();
    let seconds =
        std::env::var("RSD_NOTHING_LOST_UNTIL").ok().map(|s| s.parse().expect("seconds since 1970"));
    let until = seconds.map(|s| std::time::UNIX_EPOCH + Duration::from_secs(s));
    for (n, point) in chosen {
        if until.is_some_and(|until| std::time::SystemTime::now() > until) {
            break;
        }
        let deed = match deeds {
            "kill" => Deed::Kill,
            _ => Deed::Fail(errno_of(point.call)),
        };
        one_call(scene, [&before, &always], point, deed, &mut tally);
        if n % 50 == 0 {
            note(&format!("{}: {deeds}: {n} of {} in {:?}", scene.name(), all.len(), begin.elapsed()));
        }
    }
    wrong.append(&mut tally.wrong);
    // Those were none of this start.
    let chance = tally.ended.remove(NOT_MADE).unwrap_or(0);
    let tried = tally.ended.values().sum();
    note(&format!("{}: {deeds}: {tried} of {}, {chance} not made", scene.name(), all.len()));
    Row {
        matrix: deeds.to_owned(),
        what: format!("{}, {}", scene.spec, described(scene.way)),
        way: "how it ended".to_owned(),
        tried,
        of: all.len() - chance,
        ended: tally.ended.into_iter().collect(),
    }
}

/// Calls by which something gets a name, and that are between that and that another process has heard of it.
const MAKES: [&str; 8] = [
    "SYS_openat",
    "SYS_fcntl",
    "SYS_write",
    "SYS_renameat2",
    "SYS_mkdirat",
    "SYS_fchownat",
    "SYS_bind",
    "SYS_listen",
];

/// Whoever makes a name is killed over it: some of these points, others in a jail than not. And the log that was just
/// made cannot be looked at.
fn names(name: &str, [root, jail]: [bool; 2]) {
    if let Err(why) = crate::tracer::possible() {
        return crate::sandbox::skip(name, why);
    }
    diverging(&format!("calls::{name}"), if root { Needs::Root } else { Needs::Anyone }, |world| {
        let scene = Scene::brief(world, "daemon", Way { root, foreground: false, jail });
        let before = Machine::look(&scene);
        let always = scene.served_once(&before);
        let calls = scene.traced(None).calls;
        let found = cleaned_up(&scene, &always, &before);
        assert!(found.is_empty(), "a good start: {found:?}");
        scene.clear();
        let places = ["lockPIDFile", "runtimeDirectories", "openLog", "bindSockets"];
        let there = |made: &&Made| places.contains(&made.phase.as_str());
        let makes = calls.iter().filter(there).filter(|m| m.changes && MAKES.contains(&m.point.call));
        let mut tally = Tally::default();
        for made in makes.skip(usize::from(jail)).step_by(if jail { 3 } else { 2 }) {
            one_call(&scene, [&before, &always], &made.point, Deed::Kill, &mut tally);
        }
        let looks = |made: &&Made| made.phase == "openLog" && made.point.call == "SYS_newfstatat";
        for made in calls.iter().filter(looks) {
            one_call(&scene, [&before, &always], &made.point, Deed::Fail(5), &mut tally);
        }
        assert!(tally.wrong.is_empty(), "{} are wrong:\n{}", tally.wrong.len(), tally.wrong.join("\n"));
        let killed = tally.ended.get(UNDONE).copied().unwrap_or(0);
        assert!(killed >= 6, "{:?}", tally.ended);
    });
}

#[test]
fn names_that_a_killed_start_has_made_in_a_jail() {
    names("names_that_a_killed_start_has_made_in_a_jail", JAIL);
}

#[test]
fn names_that_a_killed_start_has_made_by_a_user() {
    names("names_that_a_killed_start_has_made_by_a_user", USER);
}

fn matrix(name: &'static str, spec: &'static str, [root, jail]: [bool; 2], deeds: &str) {
    if let Err(why) = crate::tracer::possible() {
        return crate::sandbox::skip(name, why);
    }
    diverging(&format!("calls::{name}"), if root { Needs::Root } else { Needs::Anyone }, |world| {
        let (mut wrong, mut rows) = (Vec::new(), Vec::new());
        // A usual run has no time for all of them.
        let most = if crate::one_of(0) == 0 { 1 } else { usize::MAX };
        let only = std::env::var("RSD_NOTHING_LOST_WAY").ok();
        let asked = |way: &Way| only.as_ref().is_none_or(|only| (only == "foreground") == way.foreground);
        let scenes =
            |way: &Way| way.root == root && way.jail == jail && !(way.foreground && way.jail) && asked(way);
        for (number, way) in ways(world).into_iter().filter(scenes).enumerate().take(most) {
            rows.push(every_call(&Scene::brief(world, spec, way), number, deeds, &mut wrong));
        }
        keep(&only.map_or_else(|| name.to_owned(), |only| format!("{name}_{only}")), &rows);
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    });
}

macro_rules! matrices {
    ($($(#[$long:meta])? $name:ident $spec:literal $who:expr, $deed:literal)*) => {
        $(#[test]
        $(#[$long])?
        fn $name() {
            matrix(stringify!($name), $spec, $who, $deed);
        })*
    };
}
/// As whom, and whether in a jail.
const ROOT: [bool; 2] = [true, false];
const JAIL: [bool; 2] = [true, true];
const USER: [bool; 2] = [false, false];
matrices! {
    #[ignore = "long: tests/nothing-lost"] that_fail_in_daemon_by_root "daemon" ROOT, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_daemon_in_a_jail "daemon" JAIL, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_daemon_by_a_user "daemon" USER, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_systemd_order_by_root "systemd-order" ROOT, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_systemd_order_in_a_jail "systemd-order" JAIL, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_systemd_order_by_a_user "systemd-order" USER, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_by_root "twistd" ROOT, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_in_a_jail "twistd" JAIL, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_by_a_user "twistd" USER, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_safe_by_root "twistd-safe" ROOT, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_safe_in_a_jail "twistd-safe" JAIL, "call"
    #[ignore = "long: tests/nothing-lost"] that_fail_in_twistd_safe_by_a_user "twistd-safe" USER, "call"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_daemon_by_root "daemon" ROOT, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_daemon_in_a_jail "daemon" JAIL, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_daemon_by_a_user "daemon" USER, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_systemd_order_by_root "systemd-order" ROOT, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_systemd_order_in_a_jail "systemd-order" JAIL, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_systemd_order_by_a_user "systemd-order" USER, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_by_root "twistd" ROOT, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_in_a_jail "twistd" JAIL, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_by_a_user "twistd" USER, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_safe_by_root "twistd-safe" ROOT, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_safe_in_a_jail "twistd-safe" JAIL, "kill"
    #[ignore = "long: tests/nothing-lost"] that_are_the_last_in_twistd_safe_by_a_user "twistd-safe" USER, "kill"
}
