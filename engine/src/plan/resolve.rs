//! From a phase as written to a node: its needs as phases, its condition decided, its effects.

mod aliases;
mod effects;
mod learn;
mod names;

pub use learn::{learn, learn_nothing};

use super::{Request, Written};
use crate::diagnostic::{Diagnostic, Place};
use crate::effect::{Application, Effect};
use crate::kind::Learns;
use crate::spec::{OnFailure, Phase};
use effects::fill_effects;
use names::Names;

const NOTHING: &str = "nothing to do";

/// A phase, resolved.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// phases it needs (its own and its groups'), and where that is written
    pub needs: Vec<(usize, Place)>,
    /// why it is skipped
    pub skipped: Option<String>,
    /// what it does
    pub effects: Vec<Effect>,
    /// what it was given and only the machine can tell to be wrong
    pub given: Vec<Written>,
    /// it needs the phase that serves
    pub down: bool,
    /// it changes the uid away from the starting one
    pub drop: bool,
    /// what it may still learn from the application that is to be loaded
    pub learns: Option<Learns>,
    /// it was found to have nothing to do, which it may have once the application is known
    idle: bool,
}

impl Node {
    /// True where it is ordered as a drop: it is one, or the application may make it one.
    pub fn drops_perhaps(&self) -> bool {
        self.drop || self.learns == Some(Learns::Credential)
    }

    /// True where it loads a Twisted application, which may bring something.
    pub fn loads_twisted(&self) -> bool {
        let twisted = |e: &Effect| matches!(e, Effect::Application(Application::Load(p)) if p.is_twisted());
        self.effects.iter().any(twisted)
    }
}

/// Resolves every phase, in the order of the file.
pub fn resolve(request: &Request) -> (Vec<Node>, Vec<Diagnostic>) {
    let spec = request.spec;
    let mut findings = aliases::contradictions(request);
    let mut nodes: Vec<Node> = (0..spec.phases.len()).map(|_| Node::default()).collect();
    let names = Names::new(spec);
    for (i, phase) in spec.phases.iter().enumerate() {
        nodes[i].needs = names.needs_of(spec, i, phase, &mut findings);
    }
    for (n, name) in request.order.iter().enumerate() {
        if names.phases.contains_key(name.v.as_str())
            && let Some(first) = request.order[..n].iter().find(|o| o.v == name.v)
        {
            findings.push(
                Diagnostic::error("RSD0208", format!("`--order` names `{}` twice", name.v))
                    .at(name.at, "and again here")
                    .with(first.at, "first here")
                    .phase(&name.v),
            );
        }
    }
    for name in request.order.iter().chain(request.skip) {
        if let Some(leaves) = names.groups.get(name.v.as_str()) {
            let leaves: Vec<_> = leaves.iter().map(|n| format!("`{}`", spec.phases[*n].name.v)).collect();
            findings.push(
                Diagnostic::error("RSD0208", format!("`{}` is a group", name.v))
                    .at(name.at, "phases are named here")
                    .help(format!("name the phases in it: {}", crate::text::list(&leaves))),
            );
        } else if !names.phases.contains_key(name.v.as_str()) {
            findings.push(
                Diagnostic::error("RSD0208", format!("there is no phase `{}`", name.v))
                    .at(name.at, "not a phase of this spec")
                    .suggest(name.at, &name.v, names.phases.keys().copied()),
            );
        }
    }
    decide(request, &mut nodes, &mut findings);
    fill_effects(request, &mut nodes, &mut findings);
    mark_drop_and_down(request, &mut nodes, &mut findings);
    (nodes, findings)
}

/// Which phases are skipped by a condition or by `--skip`.
fn decide(request: &Request, nodes: &mut [Node], findings: &mut Vec<Diagnostic>) {
    let spec = request.spec;
    let groups: Vec<Result<(), String>> = spec
        .groups
        .iter()
        .map(|g| {
            let mut verdict = request.settings.holds(&g.when);
            let mut parent = g.parent;
            while let (Ok(()), Some(p)) = (&verdict, parent) {
                verdict = request.settings.holds(&spec.groups[p].when);
                parent = spec.groups[p].parent;
            }
            verdict
        })
        .collect();
    for (phase, node) in spec.phases.iter().zip(nodes) {
        let by_group = phase.group.map_or(Ok(()), |g| groups[g].clone());
        node.skipped = by_group.and_then(|()| request.settings.holds(&phase.when)).err();
        if request.skip.iter().any(|s| s.v == phase.name.v) {
            node.skipped = Some("--skip".to_owned());
        }
        if request.catalogue.get(&phase.kind.v).is_none() {
            findings.push(
                Diagnostic::error("RSD0202", format!("there is no kind `{}`", phase.kind.v))
                    .at(phase.kind.at, "not a kind")
                    .phase(&phase.name.v)
                    .help("`rsd kinds` lists them")
                    .suggest(phase.kind.at, &phase.kind.v, request.catalogue.names()),
            );
        }
    }
}

fn mark_drop_and_down(request: &Request, nodes: &mut [Node], findings: &mut Vec<Diagnostic>) {
    let spec = request.spec;
    let one_of_a_kind = |effect: &Effect, what: &str, findings: &mut Vec<Diagnostic>| {
        let all: Vec<usize> = (0..nodes.len()).filter(|n| nodes[*n].effects.contains(effect)).collect();
        if let [first, second, ..] = all[..] {
            let (first, second) = (&spec.phases[first], &spec.phases[second]);
            findings.push(
                Diagnostic::error("RSD0212", format!("two phases {what}"))
                    .at(second.name.at, "this one too")
                    .with(first.name.at, "the first")
                    .phase(&first.name.v)
                    .phase(&second.name.v)
                    .help("give them conditions (`when`) that exclude each other, or remove one"),
            );
        }
        all.first().copied()
    };
    let serve = one_of_a_kind(&Effect::Serve, "serve", findings);
    one_of_a_kind(&Effect::Daemonize, "daemonize", findings);
    one_of_a_kind(&Effect::KeepGuard, "keep a guard", findings);
    if let Some(serve) = serve {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            for (need, _) in &node.needs {
                dependents[*need].push(i);
            }
        }
        let mut stack = dependents[serve].clone();
        while let Some(n) = stack.pop() {
            if !std::mem::replace(&mut nodes[n].down, true) {
                stack.extend(&dependents[n]);
            }
        }
    }
    for (node, phase) in nodes.iter_mut().zip(&spec.phases) {
        mark_drop(request, phase, node, findings);
    }
}

fn mark_drop(request: &Request, phase: &Phase, node: &mut Node, findings: &mut Vec<Diagnostic>) {
    let start = request.snapshot.identity.uid[1];
    node.drop = node
        .effects
        .iter()
        .any(|e| matches!(e, Effect::SetCredential { uid: Some(uid), .. } if *uid != start));
    if node.drops_perhaps() && phase.on_failure.v == OnFailure::Continue {
        findings.push(
            Diagnostic::error(
                "RSD0305",
                format!("`{}` drops privileges and would go on if that failed", phase.name.v),
            )
            .at(phase.on_failure.at, "refused on a drop")
            .with(phase.name.at, "this phase gives up the starting uid")
            .phase(&phase.name.v)
            .help("remove `on-failure: continue`: a failed drop must end the start"),
        );
    }
}
