//! What the model's findings mean: codes, places, what will happen, what to do.
//!
//! Every rule is one row of `RULES`; each family has a room of its own.

mod application;
mod confine;
mod control;
mod declared;
mod drop;
mod fail;
mod failures;
mod files;
mod machine;
mod namespaces;
mod network;
mod orders;
pub mod pages;
mod place;
mod privilege;
mod process;
mod program;
mod root;
mod settings;
mod ties;
mod touched;

pub use orders::{Judged, Orders};

use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Identity, Namespace};
use crate::model::Files;
use crate::plan::{Plan, Step};
use crate::simulate::{Simulation, simulate};
use crate::snapshot::{Snapshot, User};
use crate::timeline::Failure;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// Looks at a plan that was simulated, and says what it finds.
type Rule = fn(&Judge) -> Vec<Diagnostic>;

/// All rules, in the order in which their findings are shown (within one severity), with the codes they give.
const RULES: &[(&[&str], Rule)] = &[
    (&["RSD0301", "RSD0302", "RSD0303"], |judge| judge.declared_privileges()),
    (
        &[
            "RSD0301", "RSD0302", "RSD0317", "RSD0318", "RSD0402", "RSD0403", "RSD0410", "RSD0412",
            "RSD0413", "RSD0414", "RSD0415", "RSD0416", "RSD0601", "RSD0602", "RSD0604", "RSD0606",
            "RSD0607",
        ],
        |judge| judge.failures(),
    ),
    (&["RSD0413"], |judge| judge.set_id_on_nosuid()),
    (&["RSD0522"], |judge| judge.already_running()),
    (&["RSD0306"], |judge| judge.unguarded_down_phases()),
    (&["RSD0501"], |judge| judge.pid_file_of_a_process_that_exits()),
    (&["RSD0507"], |judge| judge.down_phases_of_a_replaced_process()),
    (&["RSD0508"], |judge| judge.nothing_to_do()),
    (&["RSD0502"], |judge| judge.chroot_without_chdir()),
    (&["RSD0401"], |judge| judge.log_rotation()),
    (&["RSD0404"], |judge| judge.made_before_the_umask()),
    (&["RSD0308"], |judge| judge.drop_that_can_be_taken_back()),
    (&["RSD0311", "RSD0312"], |judge| judge.declared_and_needed()),
    (&["RSD0313"], |judge| judge.drop_that_keeps_something()),
    (&["RSD0314", "RSD0315"], |judge| judge.nothing_drops_root()),
    (&["RSD0505"], |judge| judge.fork_behind_the_application()),
    (&["RSD0405"], |judge| judge.log_outside_the_root()),
    (&["RSD0406"], |judge| judge.pid_file_checked_elsewhere()),
    (&["RSD0407"], |judge| judge.made_where_others_rule()),
    (&["RSD0408"], |judge| judge.pid_file_of_the_daemons_user()),
    (&["RSD0409"], |judge| judge.closed_working_directory()),
    (&["RSD0411"], |judge| judge.made_for_everybody()),
    (&["RSD0503"], |judge| judge.code_read_as_root()),
    (&["RSD0504"], |judge| judge.library_out_of_reach()),
    (&["RSD0316"], |judge| judge.capabilities_cleared_by_the_drop()),
    (&["RSD0509"], |judge| judge.environment_behind_the_application()),
    (&["RSD0510"], |judge| judge.set_behind_the_start()),
    (&["RSD0511"], |judge| judge.set_id_without_effect()),
    (&["RSD0512"], |judge| judge.fails_on_purpose()),
    (&["RSD0603"], |judge| judge.bound_for_nobody()),
    (&["RSD0605"], |judge| judge.sockets_left_behind()),
    (&["RSD0402"], |judge| judge.pid_file_unknown_to_the_guard()),
    (&["RSD0415"], |judge| judge.bound_in_its_own_network()),
    (&["RSD0417"], |judge| judge.made_where_nobody_sees_it()),
    (&["RSD0520"], |judge| judge.started_as_another()),
    (&["RSD0521"], |judge| judge.started_before_the_log()),
];

/// Judges a plan on the machine that the snapshot shows.
pub fn judge(plan: &Plan, snapshot: &Snapshot) -> (Simulation, Vec<Diagnostic>) {
    let stage = tracing::info_span!(target: "rsd", "simulate").entered();
    let simulation = simulate(plan, snapshot);
    drop(stage);
    let _stage = tracing::info_span!(target: "rsd", "rules").entered();
    let judge = Judge::new(plan, snapshot, &simulation);
    let mut findings = judge.found();
    findings.extend(judge.ties(&findings));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    (simulation, findings)
}

/// Whether `/` is another directory behind it.
fn changes_root(effect: &Effect) -> bool {
    matches!(effect, Effect::Chroot { .. } | Effect::PivotRoot { .. })
}

/// Whether the network is another behind it.
fn leaves_the_network(effect: &Effect) -> bool {
    matches!(effect, Effect::Unshare { namespaces } if namespaces.has(Namespace::Network))
}

/// What every rule looks at.
struct Judge<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    simulation: &'a Simulation,
    /// the step that serves
    serves: Option<usize>,
    /// the steps that drop, in their order
    drops: Vec<usize>,
    /// the steps that mount something, in their order
    mounts: Vec<usize>,
    /// the steps after which the network is another, in their order
    leaves: Vec<usize>,
    /// what fails, in the order in which it does
    failed: Vec<(usize, &'a Failure)>,
    failing: HashSet<&'a str>,
    /// so many steps are still looked at for chains of reasons
    chains: Cell<usize>,
}

/// So many steps are looked at for chains of reasons, in all findings of one plan.
const CHAINS: usize = 4_000_000;

impl<'a> Judge<'a> {
    fn new(plan: &'a Plan, snapshot: &'a Snapshot, simulation: &'a Simulation) -> Self {
        let steps = || plan.steps().iter().enumerate().filter(|(_, s)| s.skipped.is_none());
        let serves = steps().find(|(_, s)| s.serves()).map(|(i, _)| i);
        let those = |of: fn(&Step) -> bool| steps().filter(|(_, s)| of(s)).map(|(i, _)| i).collect();
        let failures = &simulation.report.failures;
        let mut places: HashMap<&str, usize> = HashMap::new();
        if !failures.is_empty() {
            places.extend(plan.steps().iter().enumerate().map(|(i, s)| (s.phase.as_str(), i)));
        }
        let failed = failures.iter().filter_map(|(p, f)| Some((*places.get(p.as_str())?, f))).collect();
        let failing = failures.iter().map(|(phase, _)| phase.as_str()).collect();
        Judge {
            plan,
            snapshot,
            simulation,
            serves,
            drops: those(|s| s.drop),
            mounts: those(|s| s.effects.iter().any(|e| matches!(e, Effect::Mount { .. }))),
            leaves: those(|s| s.effects.iter().any(leaves_the_network)),
            failed,
            failing,
            chains: Cell::new(CHAINS),
        }
    }

    /// What the rules find in this one order.
    fn found(&self) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for (codes, rule) in RULES {
            let found = rule(self);
            debug_assert!(found.iter().all(|f| codes.contains(&f.code)), "a code that its row does not name");
            findings.extend(found);
        }
        findings
    }

    /// The steps that are not skipped, with their places in the plan.
    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.plan.steps().iter().enumerate().filter(|(_, s)| s.skipped.is_none())
    }

    /// Every effect of those steps.
    fn effects(&self) -> impl Iterator<Item = (usize, &Step, &Effect)> {
        self.steps().flat_map(|(i, s)| s.effects.iter().map(move |e| (i, s, e)))
    }

    /// A process to people: the name that was asked for, where one was, and its numbers.
    fn who(&self, identity: &Identity) -> String {
        let (uid, gid) = (identity.uid[1], identity.gid[1]);
        let named = |(asked, user): (&String, &Option<User>)| {
            let user = user.as_ref().filter(|u| u.uid == uid && asked.parse::<u32>().is_err())?;
            Some(format!("{} ({uid}:{gid})", user.name))
        };
        let name = match (uid, gid) {
            (0, 0) => "root".to_owned(),
            _ => self.snapshot.users.iter().find_map(named).unwrap_or(format!("{uid}:{gid}")),
        };
        match identity.caps.len() {
            0 if uid != 0 => name,
            0 => format!("{name} with no capabilities"),
            _ if uid == 0 && identity.caps == identity.bounding => name,
            n => format!("{name} with {}", crate::text::count(n, "capability")),
        }
    }

    /// The files as a step finds them: mounts of its own may cover some later.
    fn files_at(&self, step: usize) -> std::borrow::Cow<'_, Files> {
        self.simulation.model.files_at(step)
    }

    /// The files as whoever serves finds them.
    fn files_served(&self) -> std::borrow::Cow<'_, Files> {
        match self.serves {
            Some(i) => self.files_at(i),
            None => std::borrow::Cow::Borrowed(self.simulation.model.files()),
        }
    }

    /// Who runs a step, when it begins.
    fn before(&self, step: usize) -> Option<&Identity> {
        self.simulation.timeline.spans.get(step)?.identity_before.as_deref()
    }

    /// Who a step leaves behind.
    fn after(&self, step: usize) -> Option<&Identity> {
        self.simulation.timeline.spans.get(step)?.identity_after.as_deref()
    }

    /// Who serves; who is left at the end where nothing serves.
    fn serving(&self) -> Option<&Identity> {
        match self.serves {
            Some(i) => self.before(i),
            None => self.simulation.timeline.spans.iter().rev().find_map(|s| s.identity_after.as_deref()),
        }
    }

    /// True where the model says that the step fails: what it would have made is not there.
    fn fails(&self, step: &Step) -> bool {
        self.failing.contains(step.phase.as_str())
    }

    /// The last drop before a step.
    fn drop_before(&self, step: usize) -> Option<&Step> {
        let count = self.drops.partition_point(|d| *d < step);
        self.drops[..count].last().and_then(|d| self.plan.steps().get(*d))
    }
}
