//! What rsd's check says of an order, in this very process: the same functions that `rsd check` calls.

use crate::worlds::{START, World};
use engine::diagnostic::{At, Diagnostic, Place, Severity};
use engine::options::{Launch, Settings};
use engine::plan::{Plan, Request};
use engine::rules::Orders;
use engine::snapshot::Snapshot;
use engine::spec::{Given, Spec};
use phases::kinds::CATALOGUE;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the check says, as far as it counts here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// there is no plan: needs, order or a declaration refuse it
    pub rule: bool,
    /// codes of the errors
    pub errors: BTreeSet<String>,
    /// codes of the warnings
    pub warnings: BTreeSet<String>,
    /// codes of the notes
    pub notes: BTreeSet<String>,
}

impl Verdict {
    /// Of findings, each as severity and code.
    pub fn of<'a>(rule: bool, findings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Verdict {
        let mut verdict = Verdict { rule, ..Verdict::default() };
        for (severity, code) in findings {
            let list = match severity {
                "error" => &mut verdict.errors,
                "warning" => &mut verdict.warnings,
                _ => &mut verdict.notes,
            };
            list.insert(code.to_owned());
        }
        verdict
    }

    /// Of findings.
    pub fn said(rule: bool, findings: &[Diagnostic]) -> Verdict {
        Verdict::of(rule, findings.iter().map(|f| (severity(f.severity), f.code)))
    }

    /// True where it is refused.
    pub fn refuses(&self) -> bool {
        !self.errors.is_empty()
    }

    /// True where nothing is wrong with it.
    pub fn fine(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }
}

/// Codes of refusals before anything is simulated: they are rules of the language.
pub fn is_rule(code: &str) -> bool {
    code.starts_with("RSD01") || code.starts_with("RSD02")
}

/// A spec, its options and this machine, ready to judge any order.
pub struct Bench {
    spec: Spec,
    settings: Settings,
    launch: Launch,
    snapshot: Snapshot,
}

impl Bench {
    /// Of a world that this process is in.
    pub fn new(world: &World) -> Bench {
        let builtin = |name: &str| match name {
            "twistd" => include_str!("../../specs/twistd.yaml").to_owned(),
            "twistd-safe" => include_str!("../../specs/twistd-safe.yaml").to_owned(),
            _ => world.spec(),
        };
        let mut fetch = |name: &str, _: Option<&str>| Ok((format!("orders:{name}"), builtin(name)));
        let (loaded, findings) = engine::spec::load("world", &mut fetch);
        assert!(findings.is_empty(), "the spec of {}: {findings:#?}", world.name);
        let spec = loaded.spec.expect("a spec without findings");
        let one = |text: String| At::new(text, Place::default());
        let mut given: Vec<(String, Given)> = Vec::new();
        for (name, value) in world.options() {
            let value = match name {
                "listen" => Given::List(vec![one(value)]),
                _ => Given::One(one(value)),
            };
            given.push((name.to_owned(), value));
        }
        given.push(("command".to_owned(), Given::List(World::command().into_iter().map(one).collect())));
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let launch =
            Launch { cwd: PathBuf::from(START), root: uid == 0, name: "orders".to_owned(), uid, gid };
        let (settings, findings) = Settings::resolve(&spec, &given, &launch);
        assert!(findings.is_empty(), "the options of {}: {findings:#?}", world.name);
        let (users, groups) = engine::options::wanted_names(&spec, &settings, CATALOGUE);
        let snapshot = phases::snapshot::people(&users, &groups, &launch.cwd).expect("who we are");
        let mut bench = Bench { spec, settings, launch, snapshot };
        let (plan, findings) = bench.plan(&[]);
        let plan = plan.unwrap_or_else(|| panic!("the plan of {}: {findings:#?}", world.name));
        let mut snapshot = std::mem::take(&mut bench.snapshot);
        phases::snapshot::take(&mut snapshot, &plan, true);
        bench.snapshot = snapshot;
        bench
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

    /// The plan of an order, and what is in its way.
    pub fn plan(&self, order: &[&str]) -> (Option<Plan>, Vec<Diagnostic>) {
        let order: Vec<At<String>> =
            order.iter().map(|name| At::new((*name).to_owned(), Place::default())).collect();
        engine::plan::plan(&self.request(&order))
    }

    /// All orders of these phases, which stand together in `sequence`.
    pub fn orders<T>(&self, sequence: &[&str], every: &[String], ask: impl FnOnce(&Orders) -> T) -> T {
        let from = sequence.iter().position(|name| every.iter().any(|e| e == name)).unwrap_or_default();
        let range = from..from + every.len();
        assert!(sequence[range.clone()].iter().all(|name| every.iter().any(|e| e == name)), "{sequence:?}");
        let request = self.request(&[]);
        let orders = Orders::new(&request, sequence, range);
        ask(&orders.unwrap_or_else(|findings| panic!("{sequence:?}: {findings:#?}")))
    }

    /// What the check says of an order.
    pub fn judge(&self, order: &[&str]) -> Verdict {
        let (plan, mut findings) = self.plan(order);
        let rule = plan.is_none();
        if let Some(plan) = plan {
            findings.extend(engine::rules::judge(&plan, &self.snapshot).1);
        }
        Verdict::said(rule, &findings)
    }

    /// The model's steps for an order: how many there were.
    pub fn simulate(&self, plan: &Plan) -> usize {
        let simulation = engine::simulate::simulate(plan, &self.snapshot);
        simulation.timeline.spans.iter().filter(|s| s.start_ns.is_some()).count()
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
