//! Properties of every plan and of every run of it: random specs, and a world that does what it is
//! told and fails where it is told to.

mod support;

use engine::diagnostic::Diagnostic;
use engine::effect::{
    Done, Effect, Identity, News, Performed, Standing, System, SystemError, Undo, Undoer, Verdict,
};
use engine::kind::{Args, Catalogue, Context, Kind, Param, Type, Unfit, Value};
use engine::options::Launch;
use engine::plan::{Approved, Plan};
use engine::run::{Ending, Header, How, Report};
use engine::snapshot::Snapshot;
use engine::state::Phase;
use engine::timeline::{Event, What};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

/// One `chdir` for each path: what the world below writes down.
fn act(args: &Args, _: &Context) -> Result<Vec<Effect>, Unfit> {
    let paths = match args.get("do") {
        Some(Value::List(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    Ok(paths
        .into_iter()
        .filter_map(|v| if let Value::Path(path) = v { Some(Effect::Chdir { path }) } else { None })
        .collect())
}

const ACT: Kind = Kind {
    name: "act",
    about: "",
    details: "",
    params: &[Param { name: "do", ty: Type::Path, list: true, required: false, default: None, help: "" }],
    learns: None,
    effects: act,
};
const SERVE: Kind = Kind {
    name: "serve",
    about: "",
    details: "",
    params: &[],
    learns: None,
    effects: |_, _| Ok(vec![Effect::Serve]),
};
const CATALOGUE: Catalogue = Catalogue(&[&ACT, &SERVE]);

fn planned(text: &str) -> (Option<Plan>, Vec<Diagnostic>) {
    let launch = Launch { cwd: "/".into(), root: false, name: "t".into(), uid: 1000, gid: 1000 };
    let identity = Identity { uid: [1000; 3], gid: [1000; 3], ..Identity::default() };
    support::planned(text, CATALOGUE, &launch, &Snapshot { identity, ..Snapshot::default() })
}

fn plan_of(phases: &str) -> Plan {
    let (plan, findings) = planned(&format!("rsd: 1\nname: t\nphases:\n{phases}"));
    plan.unwrap_or_else(|| panic!("{findings:?}\n{phases}"))
}

/// Numbers to decide by; `0` once they are used up, so that less of them is a smaller spec.
struct Dice<'a>(std::slice::Iter<'a, u16>);

impl Dice<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % n.max(1)
    }
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = i - self.below(i + 1);
            items.swap(i, j);
        }
    }
}

/// A spec whose needs hold, and what they are.
struct Made {
    text: String,
    /// for each phase, the phases it needs, its groups' and those within a needed group among them
    needs: Vec<BTreeSet<usize>>,
    order: Vec<usize>,
}

/// Phases are numbered so that each needs only lower ones; the file has them in any order.
/// `wild`: the order may contradict the needs.
fn made(numbers: &[u16], wild: bool) -> Made {
    let mut dice = Dice(numbers.iter());
    let n = 1 + dice.below(14);
    // Blocks of neighbours are groups, every second one inside another group.
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    for i in 0..n {
        if i == 0 || dice.below(3) == 0 {
            blocks.push(Vec::new());
        }
        blocks.last_mut().expect("a block").push(i);
    }
    let mut needs = vec![BTreeSet::new(); n];
    let mut written = vec![Vec::new(); n];
    let mut of_groups = vec![Vec::new(); blocks.len()];
    for (b, block) in blocks.iter().enumerate() {
        if b > 0 && dice.below(3) == 0 {
            let other = dice.below(b);
            of_groups[b].push(format!("g{other}"));
            for i in block {
                needs[*i].extend(blocks[other].iter().copied());
            }
        }
        for i in block {
            for _ in 0..dice.below(3).min(*i) {
                let need = dice.below(*i);
                if needs[*i].insert(need) {
                    written[*i].push(format!("p{need}"));
                }
            }
            if b > 0 && dice.below(4) == 0 {
                let other = dice.below(b);
                written[*i].push(format!("g{other}"));
                needs[*i].extend(blocks[other].iter().copied());
            }
        }
    }
    let mut order: Vec<usize> = (0..n).filter(|_| dice.below(2) == 1).collect();
    if wild {
        dice.shuffle(&mut order);
    }
    let mut text = String::from("rsd: 1\nname: t\nphases:\n");
    let mut shown: Vec<usize> = (0..blocks.len()).collect();
    dice.shuffle(&mut shown);
    for b in shown {
        let outer = dice.below(2) == 1;
        let pad = if outer { "    " } else { "" };
        if outer {
            let _ = writeln!(text, "  o{b}:\n    phases:");
        }
        let _ =
            writeln!(text, "  {pad}g{b}:\n  {pad}  needs: [{}]\n  {pad}  phases:", of_groups[b].join(", "));
        let mut block = blocks[b].clone();
        dice.shuffle(&mut block);
        for i in block {
            let effects: Vec<String> = (0..1 + dice.below(3)).map(|e| format!("/p{i}/{e}")).collect();
            let _ = writeln!(
                text,
                "  {pad}    p{i}: {{ kind: act, needs: [{}], with: {{ do: [{}] }} }}",
                written[i].join(", "),
                effects.join(", ")
            );
        }
    }
    if !order.is_empty() {
        let names: Vec<_> = order.iter().map(|i| format!("p{i}")).collect();
        let _ = writeln!(text, "order: [{}]", names.join(", "));
    }
    Made { text, needs, order }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.steps().iter().map(|s| s.phase.clone()).collect()
}

/// All that must come before, through others too.
fn closure(needs: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let mut all: Vec<BTreeSet<usize>> = Vec::new();
    for direct in needs {
        let through: BTreeSet<usize> = direct.iter().flat_map(|n| all[*n].clone()).collect();
        all.push(&through | direct);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_has_every_phase_once_and_keeps_needs_and_order(numbers in proptest::collection::vec(any::<u16>(), 0..160)) {
        let made = made(&numbers, false);
        let (plan, findings) = planned(&made.text);
        prop_assert!(findings.is_empty(), "{:?}\n{}", findings, made.text);
        let plan = plan.expect("nothing is in its way");
        let names = names(&plan);
        let place: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        prop_assert_eq!(names.len(), made.needs.len());
        prop_assert_eq!(place.len(), made.needs.len());
        let place = |i: usize| place[format!("p{i}").as_str()];
        for (i, needs) in made.needs.iter().enumerate() {
            let step = &plan.steps()[place(i)];
            let needed: BTreeSet<usize> = needs.iter().map(|n| place(*n)).collect();
            prop_assert_eq!(&step.needed().collect::<BTreeSet<_>>(), &needed);
            prop_assert!(needed.iter().all(|n| *n < place(i)), "{}\n{:?}", made.text, names);
            prop_assert!(step.because.iter().all(|b| b.step() < place(i)));
        }
        for pair in made.order.windows(2) {
            prop_assert!(place(pair[0]) < place(pair[1]), "{}\n{:?}", made.text, names);
        }
        // Read again, it is the same; said as an order, it is the same.
        let again = planned(&made.text).0.expect("a plan");
        prop_assert_eq!(&self::names(&again), &names);
        let text = made.text.split("order:").next().expect("a text");
        let fixed = planned(&format!("{text}order: [{}]\n", names.join(", "))).0.expect("a plan");
        prop_assert_eq!(&self::names(&fixed), &names);
    }

    #[test]
    fn an_order_is_refused_exactly_where_it_contradicts_needs(numbers in proptest::collection::vec(any::<u16>(), 0..160)) {
        let made = made(&numbers, true);
        let before = closure(&made.needs);
        let contradicts = made.order.iter().enumerate().any(|(p, first)| {
            made.order[p + 1..].iter().any(|second| before[*first].contains(second))
        });
        let (plan, findings) = planned(&made.text);
        prop_assert_eq!(plan.is_none(), contradicts, "{}\n{:?}", made.text, findings);
        prop_assert_eq!(findings.iter().any(|f| f.code == "RSD0209"), contradicts);
        for finding in findings {
            prop_assert!(finding.labels.len() >= 3, "both places and a need: {finding:?}");
        }
    }

    #[test]
    fn what_was_done_is_undone_newest_first(
        numbers in proptest::collection::vec(any::<u16>(), 0..160),
        at in any::<prop::sample::Index>(),
        stuck in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let plan = plan_of(made(&numbers, false).text.split_once("phases:\n").expect("phases").1);
        let effects: Vec<String> = plan.effects().map(|(_, e)| path(e)).collect();
        let fail = at.index(effects.len());
        let stuck = stuck.filter(|_| fail > 0).map(|s| effects[s.index(fail)].clone());
        let mut world = World::failing(&[(&effects[fail], 1)]);
        world.stuck.extend(stuck.clone());
        let (report, states) = run(plan.clone(), &mut world);
        let mut expected: Vec<String> = effects[..=fail].iter().map(|e| format!("do {e}")).collect();
        expected.push("tell failed".to_owned());
        expected.extend(effects[..fail].iter().rev().map(|e| format!("undo {e}")));
        prop_assert_eq!(&world.log, &expected);
        prop_assert_eq!(report.ending, if stuck.is_some() { Ending::Stuck } else { Ending::Unwound });
        prop_assert_eq!(report.exit_code(), if stuck.is_some() { 7 } else { 1 });
        prop_assert_eq!(report.left.len(), usize::from(stuck.is_some()));
        prop_assert_eq!(report.undone.len() + report.left.len(), fail);
        let failed = plan.effects().nth(fail).expect("an effect").0;
        for (i, step) in plan.steps().iter().enumerate() {
            let own: Vec<String> = step.effects.iter().map(path).collect();
            let state = states.get(&step.phase).copied().unwrap_or_default();
            let wanted = if i > failed {
                Phase::Pending
            } else if stuck.as_ref().is_some_and(|s| own.contains(s)) {
                Phase::Stuck
            } else if i < failed || own[0] != effects[fail] {
                Phase::Undone
            } else {
                Phase::Failed
            };
            prop_assert_eq!(state, wanted, "{} of {:?}", step.phase, names(&plan));
        }
    }
}

/// The path an effect is about.
fn path(effect: &Effect) -> String {
    match effect {
        Effect::Chdir { path } => path.display().to_string(),
        other => other.to_string(),
    }
}

/// A world that writes down what is done in it, and fails where it was told to.
#[derive(Default)]
struct World {
    log: Vec<String>,
    /// how often each still fails
    failing: BTreeMap<String, u32>,
    /// what cannot be undone
    stuck: BTreeSet<String>,
    time: u64,
}

impl World {
    fn failing(what: &[(&str, u32)]) -> World {
        World { failing: what.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect(), ..World::default() }
    }
}

impl System for World {
    fn open(&mut self, _: &Plan) -> Result<Performed, SystemError> {
        Ok(Performed::Done(Done::with(Undo::Nothing)))
    }
    fn perform(&mut self, effect: &Effect) -> Result<Performed, SystemError> {
        let what = path(effect);
        if let Some(done) = what.strip_prefix("/undo") {
            self.log.push(format!("undo {done}"));
            if self.stuck.contains(done) {
                return Err(SystemError::errno(1, what));
            }
            return Ok(Performed::Done(Done::with(Undo::Nothing)));
        }
        self.log.push(format!("do {what}"));
        if let Some(left) = self.failing.get_mut(&what).filter(|left| **left > 0) {
            *left -= 1;
            return Err(SystemError::errno(13, what));
        }
        let undo = match effect {
            Effect::Chdir { .. } => {
                Undo::Effect(Box::new(Effect::Chdir { path: PathBuf::from(format!("/undo{what}")) }))
            }
            _ => Undo::Nothing,
        };
        Ok(Performed::Done(Done::with(undo)))
    }
    fn identity(&mut self) -> Result<Identity, SystemError> {
        Ok(Identity::default())
    }
    fn standing(&mut self) -> Result<Standing, SystemError> {
        Ok(Standing { pid: 1, sid: 1 })
    }
    fn now(&mut self) -> u64 {
        self.time += 1;
        self.time
    }
    fn pid(&self) -> u32 {
        1
    }
    fn begin(&mut self, _: usize, _: Option<u64>) {}
    fn interrupted(&mut self) -> Option<SystemError> {
        None
    }
    fn hold(&mut self, _: usize, _: &Undo) -> Result<(), SystemError> {
        Ok(())
    }
    fn tell(&mut self, news: &News) -> Undoer {
        self.log.push(match news {
            News::Ready => "tell ready".to_owned(),
            News::Failed { .. } => "tell failed".to_owned(),
        });
        Undoer::Me
    }
    fn wait(&mut self) -> Verdict {
        unreachable!("nobody stays behind here")
    }
    fn wait_as_guard(&mut self) -> bool {
        false
    }
    fn sleep(&mut self, duration: u64) {
        self.log.push(format!("sleep {duration}"));
        self.time += duration;
    }
}

/// Runs it and gives the last state that the record says of each phase.
fn run(plan: Plan, world: &mut World) -> (Report, BTreeMap<String, Phase>) {
    let approved = Approved::new(plan, &[]).expect("nothing refuses it");
    let mut events: Vec<Event> = Vec::new();
    let how = How { header: Header::default(), ..How::default() };
    let report = engine::run::run(&approved, world, &mut |e| events.push(e), &how);
    let mut states = BTreeMap::new();
    for event in &events {
        match &event.what {
            What::Enter { phase } => states.insert(phase.clone(), Phase::Running),
            What::Exit { phase, state, .. } => states.insert(phase.clone(), *state),
            // Of several undos of one phase the worst is its state.
            What::Undo { phase, state, .. } => match states.get(phase) {
                Some(Phase::Stuck) => None,
                _ => states.insert(phase.clone(), *state),
            },
            _ => None,
        };
    }
    assert!(events.windows(2).all(|p| p[0].t <= p[1].t), "time goes on");
    assert!(
        matches!(events.first().map(|e| &e.what), Some(What::Run { .. })),
        "a record begins with its header"
    );
    (report, states)
}

fn state(states: &BTreeMap<String, Phase>, phase: &str) -> Phase {
    states.get(phase).copied().unwrap_or_default()
}

#[test]
fn always_phases_run_after_the_undo_if_their_needs_were_done() {
    let plan = plan_of(
        "  a: { kind: act, with: { do: /a } }
  b: { kind: act, needs: [a], with: { do: /b } }
  c: { kind: act, needs: [b], with: { do: /c } }
  say: { kind: act, always: true, needs: [a], with: { do: /say } }
  never: { kind: act, always: true, needs: [c], with: { do: /never } }
order: [a, b, c]
",
    );
    let mut world = World::failing(&[("/b", 1)]);
    let (report, states) = run(plan, &mut world);
    assert_eq!(world.log, ["do /a", "do /b", "tell failed", "undo /a", "do /say"]);
    assert_eq!(report.ending, Ending::Unwound);
    assert_eq!(state(&states, "a"), Phase::Undone);
    assert_eq!(state(&states, "b"), Phase::Failed);
    assert_eq!(state(&states, "c"), Phase::Pending);
    assert_eq!(state(&states, "say"), Phase::Done);
    assert_eq!(state(&states, "never"), Phase::Pending);
}

#[test]
fn continue_lets_dependents_run() {
    let plan = plan_of(
        "  a: { kind: act, on-failure: continue, with: { do: [/a/0, /a/1] } }
  b: { kind: act, needs: [a], with: { do: /b } }
",
    );
    let mut world = World::failing(&[("/a/1", 1)]);
    let (report, states) = run(plan, &mut world);
    assert_eq!(world.log, ["do /a/0", "do /a/1", "do /b", "tell ready"]);
    assert_eq!(report.failures.len(), 1);
    assert_eq!(state(&states, "a"), Phase::Failed);
    assert_eq!(state(&states, "b"), Phase::Done);
}

#[test]
fn retry_undoes_first_and_gives_up_in_the_end() {
    let plan = || {
        plan_of(
            "  a: { kind: act, with: { do: /a } }
  b: { kind: act, needs: [a], on-failure: { retry: { times: 2, delay: 3s } }, with: { do: [/b/0, /b/1] } }
",
        )
    };
    let mut world = World::failing(&[("/b/1", 2)]);
    let (report, states) = run(plan(), &mut world);
    let again = ["do /b/0", "do /b/1", "undo /b/0", "sleep 3000000000"];
    let expected: Vec<&str> =
        [&["do /a"][..], &again, &again, &["do /b/0", "do /b/1", "tell ready"]].concat();
    assert_eq!(world.log, expected);
    assert_eq!((report.ending, report.failures.len()), (Ending::Completed, 0));
    assert_eq!(state(&states, "b"), Phase::Done);

    let mut world = World::failing(&[("/b/1", 3)]);
    let (report, states) = run(plan(), &mut world);
    let expected: Vec<&str> =
        [&["do /a"][..], &again, &again, &["do /b/0", "do /b/1", "tell failed", "undo /b/0", "undo /a"]]
            .concat();
    assert_eq!(world.log, expected);
    assert_eq!((report.ending, report.failures.len()), (Ending::Unwound, 1));
    assert_eq!(state(&states, "b"), Phase::Undone);

    // What it had begun cannot be undone: it is not tried again.
    let mut world = World::failing(&[("/b/1", 1)]);
    world.stuck.insert("/b/0".to_owned());
    let (report, states) = run(plan(), &mut world);
    assert_eq!(world.log, ["do /a", "do /b/0", "do /b/1", "undo /b/0", "tell failed", "undo /a"]);
    assert_eq!(report.ending, Ending::Stuck);
    assert_eq!((state(&states, "a"), state(&states, "b")), (Phase::Undone, Phase::Stuck));
}

const SERVING: &str = "  a: { kind: act, with: { do: /a } }
  serve: { kind: serve, needs: [a] }
  x: { kind: act, needs: [serve], with: { do: /x } }
  y: { kind: act, needs: [x], with: { do: /y } }
  z: { kind: act, needs: [serve], with: { do: /z } }
";

#[test]
fn down_phases_run_after_serve_and_one_that_fails_stops_only_what_needs_it() {
    let mut world = World::default();
    let (report, states) = run(plan_of(SERVING), &mut world);
    assert_eq!(world.log, ["do /a", "tell ready", "do serve", "do /x", "do /y", "do /z"]);
    assert_eq!((report.ending, report.exit_code()), (Ending::Completed, 0));
    assert!(states.values().all(|s| *s == Phase::Done), "{states:?}");

    let mut world = World::failing(&[("/x", 1)]);
    let (report, states) = run(plan_of(SERVING), &mut world);
    assert_eq!(world.log, ["do /a", "tell ready", "do serve", "do /x", "do /z"]);
    assert_eq!(report.ending, Ending::Failed);
    assert_eq!(state(&states, "y"), Phase::Skipped);
    assert_eq!(state(&states, "z"), Phase::Done);
}

#[test]
fn a_serve_that_fails_is_never_unwound_and_down_phases_run() {
    let mut world = World::failing(&[("serve", 1)]);
    let (report, states) = run(plan_of(SERVING), &mut world);
    assert_eq!(world.log, ["do /a", "tell ready", "do serve", "do /x", "do /y", "do /z"]);
    assert_eq!(report.ending, Ending::Failed);
    assert_eq!(state(&states, "serve"), Phase::Failed);
    assert!(report.undone.is_empty());
}

#[test]
fn nothing_of_a_failed_start_is_served() {
    let mut world = World::failing(&[("/a", 1)]);
    let (report, states) = run(plan_of(SERVING), &mut world);
    assert_eq!(world.log, ["do /a", "tell failed"]);
    assert_eq!(report.ending, Ending::Unwound);
    assert_eq!(state(&states, "serve"), Phase::Pending);
    assert_eq!(state(&states, "x"), Phase::Pending);
}
