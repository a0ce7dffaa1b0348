//! RSD0310 against all orders, one by one: a plan that has none comes out the same in every order that it
//! allows, or better by a finding that it has, and what it warns of is found in one of them. And what is said
//! of every order at once, class by class, against the check of each.

use engine::diagnostic::{At, Diagnostic, Place, Severity};
use engine::effect::{Capability, CapabilitySet, Identity};
use engine::options::{Launch, Settings};
use engine::plan::classes::Part;
use engine::plan::{Plan, Reason, Request};
use engine::rules::Orders;
use engine::snapshot::{FileFact, FileKind, Snapshot, User};
use engine::spec::Spec;
use phases::kinds::CATALOGUE;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};

/// What a phase can be: its text, and whether a spec can have it only once.
const PHASES: &[(&str, bool)] = &[
    ("kind: umask, with: { mask: '077' }", false),
    ("kind: umask, with: { mask: '022' }", false),
    ("kind: chdir, with: { path: / }", false),
    ("kind: chdir, with: { path: /log }", false),
    ("kind: chdir, with: { path: /private }", false),
    ("kind: chroot, with: { path: /jail }", false),
    ("kind: start-logger, with: { path: /log/a.log }", false),
    ("kind: start-logger, with: { path: /run/b.log, owner: dropped, rotate-at: 10k }", false),
    ("kind: check-pid-file, with: { path: /run/t.pid }", false),
    ("kind: create-pid-file, with: { path: /run/t.pid }", false),
    ("kind: create-pid-file, with: { path: /link/t.pid, owner: dropped }", false),
    ("kind: remove-pid-file, with: { path: /run/t.pid }", false),
    ("kind: switch-user, with: { uid: u }", true),
    ("kind: switch-user, with: { uid: u, effective: true }", true),
    ("kind: daemonize", true),
    ("kind: keep-guard", true),
    ("kind: load-application", true),
    ("kind: privileged-start, with: { listen: 'tcp:127.0.0.1:80' }", false),
    ("kind: privileged-start, with: { listen: 'tcp:127.0.0.1:8080' }", false),
    ("kind: privileged-start, with: { listen: 'unix:/log/s' }", false),
    ("kind: nice, with: { value: 5 }", false),
    ("kind: nice, with: { value: -5 }", false),
    ("kind: no-new-privileges", true),
    ("kind: limits, with: { nofile: '100' }", false),
    ("kind: start-application", true),
    ("kind: serve", true),
];

struct World {
    spec: Spec,
    settings: Settings,
    launch: Launch,
    snapshot: Snapshot,
}

impl World {
    fn new(text: &str) -> World {
        let mut fetch = |name: &str, _: Option<&str>| Ok((name.to_owned(), text.to_owned()));
        let (loaded, findings) = engine::spec::load("t.yaml", &mut fetch);
        assert!(findings.is_empty(), "{findings:?}\n{text}");
        let launch = Launch { cwd: "/".into(), root: true, name: "t".into(), uid: 0, gid: 0 };
        let spec = loaded.spec.expect("a spec");
        let (settings, findings) = Settings::resolve(&spec, &[], &launch);
        assert!(findings.is_empty(), "{findings:?}");
        let caps = CapabilitySet(Capability::ALL.iter().fold(0, |bits, c| bits | 1u64 << *c as u8));
        let mut snapshot = Snapshot {
            identity: Identity {
                caps,
                permitted: caps,
                bounding: caps,
                root: "/".into(),
                cwd: "/".into(),
                umask: 0o22,
                ..Identity::default()
            },
            unprivileged_port: 1024,
            cwd: "/".into(),
            ..Snapshot::default()
        };
        let user = User {
            name: "u".into(),
            uid: 5,
            gid: Some(5),
            groups: vec![5],
            home: "/".into(),
            shell: "".into(),
        };
        snapshot.users.insert("u".into(), Some(user));
        let directories = [
            ("/", 0, 0o755),
            ("/run", 0, 0o755),
            ("/log", 5, 0o755),
            ("/private", 0, 0o700),
            ("/jail", 0, 0o755),
            ("/jail/run", 0, 0o755),
            ("/jail/log", 5, 0o755),
        ];
        let mut add = |path: &str, kind, uid, mode| {
            snapshot.files.insert(path.into(), Some(FileFact { kind, uid, gid: uid, mode }));
        };
        for (path, uid, mode) in directories {
            add(path, FileKind::Directory, uid, mode);
        }
        add("/link", FileKind::Symlink("run".into()), 0, 0o777);
        add("/run/t.pid", FileKind::File, 0, 0o644);
        World { spec, settings, launch, snapshot }
    }

    fn request<'a>(&'a self, order: &'a [At<String>]) -> Request<'a> {
        Request {
            spec: &self.spec,
            settings: &self.settings,
            catalogue: CATALOGUE,
            snapshot: &self.snapshot,
            launch: &self.launch,
            order,
            skip: &[],
            unchecked: false,
            brought: None,
        }
    }

    fn judged(&self, order: &[&str]) -> Option<(Plan, Vec<Diagnostic>)> {
        let order: Vec<_> = order.iter().map(|n| At::new((*n).to_owned(), Place::default())).collect();
        let (plan, mut findings) = engine::plan::plan(&self.request(&order));
        let plan = plan?;
        findings.extend(engine::rules::judge(&plan, &self.snapshot).1);
        Some((plan, findings))
    }
}

type Verdict = BTreeSet<(Severity, &'static str, Vec<String>)>;

fn verdict(findings: &[Diagnostic]) -> Verdict {
    let others = findings.iter().filter(|f| f.code != "RSD0310");
    others
        .map(|f| {
            let mut phases = f.phases.clone();
            phases.sort_unstable();
            (f.severity, f.code, phases)
        })
        .collect()
}

/// Every order that the direct edges allow, the file's among them.
fn extensions(plan: &Plan) -> Vec<Vec<usize>> {
    fn go(plan: &Plan, done: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        let steps = plan.steps();
        if done.len() == steps.len() {
            return all.push(done.clone());
        }
        for (next, step) in steps.iter().enumerate() {
            let mut edges = step.because.iter().filter(|b| b.reason != Reason::File);
            if !done.contains(&next) && edges.all(|b| done.contains(&b.step())) {
                done.push(next);
                go(plan, done, all);
                done.pop();
            }
        }
    }
    let mut all = Vec::new();
    go(plan, &mut Vec::new(), &mut all);
    all
}

/// What a random spec came to.
#[derive(Default, Debug)]
struct Seen {
    /// refused, so that other orders were not looked at
    refused: u32,
    /// no finding, and every order was compared
    same: u32,
    /// orders compared
    orders: u32,
    /// warnings that an order made true
    warned: u32,
}

fn holds(text: &str, seen: &mut Seen) -> Result<(), TestCaseError> {
    let world = World::new(text);
    let Some((plan, findings)) = world.judged(&[]) else {
        seen.refused += 1;
        return Ok(());
    };
    if findings.iter().any(Diagnostic::is_error) {
        seen.refused += 1;
        prop_assert!(findings.iter().all(|f| f.code != "RSD0310"));
        return Ok(());
    }
    let ties: Vec<_> = findings.iter().filter(|f| f.code == "RSD0310").collect();
    prop_assert!(ties.iter().all(|f| f.phases.len() == 2), "the bound is far away:\n{text}");
    let mut warned: Vec<_> = ties.iter().filter(|f| f.severity == Severity::Warning).collect();
    if warned.is_empty() && !ties.is_empty() {
        return Ok(());
    }
    let here = verdict(&findings);
    seen.same += u32::from(ties.is_empty());
    for order in extensions(&plan) {
        let names: Vec<&str> = order.iter().map(|i| plan.steps()[*i].phase.as_str()).collect();
        let judged = world.judged(&names);
        prop_assert!(judged.is_some(), "{names:?} is refused\n{text}");
        let Some((other, findings)) = judged else { continue };
        let got: Vec<&str> = other.steps().iter().map(|s| s.phase.as_str()).collect();
        prop_assert_eq!(&got, &names);
        let there = verdict(&findings);
        seen.orders += 1;
        // An order that mends a finding is no tie: the finding speaks of it.
        if ties.is_empty() {
            prop_assert!(there.is_subset(&here), "{there:?} and not {here:?} in {names:?} of\n{text}");
        }
        let worse = there.iter().any(|f| f.0 > Severity::Note && !here.contains(f));
        let place = |phase: &String| names.iter().position(|n| n == phase);
        warned.retain(|f| {
            let comes_true = worse && place(&f.phases[1]) < place(&f.phases[0]);
            seen.warned += u32::from(comes_true);
            !comes_true
        });
    }
    prop_assert!(warned.is_empty(), "no order makes it true: {:?}\n{}", warned, text);
    Ok(())
}

/// A phase of the table, the numbers of earlier phases it may need, a privilege.
type Written = (usize, Vec<bool>, u8);

fn spec(written: &[Written]) -> String {
    let mut text = "rsd: 1\nname: t\nphases:\n".to_owned();
    let mut had = BTreeSet::new();
    for (i, (kind, needs, privilege)) in written.iter().enumerate() {
        let (kind, once) = PHASES[*kind];
        let name = kind.split([' ', ',']).nth(1).unwrap_or_default();
        if once && !had.insert(name) {
            continue;
        }
        let down = name == "remove-pid-file";
        let mut needed: Vec<String> = Vec::new();
        for (n, wanted) in needs.iter().enumerate().take(i) {
            let there = text.contains(&format!("  p{n}: "));
            if there && *wanted {
                needed.push(format!("p{n}"));
            }
        }
        let privilege = match privilege {
            0 if !once || down => ", privilege: privileged",
            1 if !once => ", privilege: user",
            _ => "",
        };
        text.push_str(&format!("  p{i}: {{ {kind}{privilege}, needs: [{}] }}\n", needed.join(", ")));
    }
    text
}

#[test]
fn without_a_finding_every_order_comes_out_the_same() {
    let cases = std::env::var("RSD_TIES").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[10; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let phase = (0..PHASES.len(), prop::collection::vec(prop::bool::weighted(0.35), 5), 0..8u8);
    let specs = prop::collection::vec(phase, 2..=6);
    let seen = std::cell::RefCell::new(Seen::default());
    let result = runner.run(&specs, |written| holds(&spec(&written), &mut seen.borrow_mut()));
    let seen = seen.into_inner();
    println!("{seen:?}");
    if let Err(error) = result {
        panic!("{error}");
    }
    // The test says something only if it has seen both.
    assert!(seen.same > cases / 20 && seen.warned > cases / 100, "{seen:?}");
}

/// What became of the orders that were compared with their classes.
#[derive(Default, Debug)]
struct Classed {
    /// specs that have orders at all
    specs: u32,
    orders: u32,
    /// orders for which another one stands
    others: u32,
    rules: u32,
}

fn as_its_class(text: &str, seen: &mut Classed) -> Result<(), TestCaseError> {
    let world = World::new(text);
    let names: Vec<String> = world.spec.phases.iter().map(|p| p.name.v.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let request = world.request(&[]);
    let Ok(orders) = Orders::new(&request, &names, 0..names.len()) else {
        prop_assert!(world.judged(&names).is_none(), "{text}");
        return Ok(());
    };
    seen.specs += 1;
    let mut said: BTreeMap<Vec<String>, (u128, Option<Verdict>)> = BTreeMap::new();
    let mut told = 0;
    orders.judge(Part::WHOLE, &mut |class| {
        told += class.orders;
        let steps = class.plan.iter().flat_map(Plan::steps).map(|s| s.phase.clone()).collect();
        let verdict = class.plan.as_ref().map(|_| verdict(&class.findings));
        said.insert(steps, (class.orders, verdict));
    });
    prop_assert_eq!(told + orders.refused_by_rule(), orders.all());
    let mut rules = 0;
    for order in permutations(&names) {
        seen.orders += 1;
        let alone = world.judged(&order).map(|(_, findings)| verdict(&findings));
        let Some(least) = orders.stands_for(&order) else {
            prop_assert!(alone.is_none(), "{order:?} is refused by no rule\n{text}");
            rules += 1;
            continue;
        };
        seen.others += u32::from(least != order);
        let least: Vec<String> = least.iter().map(|name| (*name).to_owned()).collect();
        let class = said.get_mut(&least);
        prop_assert!(class.is_some(), "{least:?} was not visited\n{text}");
        let Some((left, class)) = class else { continue };
        *left -= 1;
        prop_assert_eq!(&alone, class, "{:?} is not as {:?} in\n{}", order, least, text);
    }
    seen.rules += rules;
    prop_assert_eq!(u128::from(rules), orders.refused_by_rule());
    prop_assert!(said.values().all(|(left, _)| *left == 0), "a class has other orders than it says:\n{text}");
    Ok(())
}

fn permutations<'a>(names: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut all = vec![Vec::new()];
    for _ in names {
        let longer = |order: Vec<&'a str>| {
            let free: Vec<&str> = names.iter().copied().filter(|n| !order.contains(n)).collect();
            free.into_iter().map(move |next| [order.clone(), vec![next]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

#[test]
fn what_is_said_of_a_class_is_what_the_check_says_of_each_of_its_orders() {
    let cases = std::env::var("RSD_TIES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let phase = (0..PHASES.len(), prop::collection::vec(prop::bool::weighted(0.1), 4), 0..8u8);
    let specs = prop::collection::vec(phase, 2..=5);
    let seen = std::cell::RefCell::new(Classed::default());
    let result = runner.run(&specs, |written| as_its_class(&spec(&written), &mut seen.borrow_mut()));
    let seen = seen.into_inner();
    println!("{seen:?}");
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(seen.specs > cases / 2 && seen.others > cases && seen.rules > cases, "{seen:?}");
}
