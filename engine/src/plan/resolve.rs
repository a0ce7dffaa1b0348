//! From a phase as written to a node: its needs as phases, its condition decided, its effects.

use super::Request;
use crate::diagnostic::{At, Diagnostic, Place};
use crate::effect::{Application, Brought, Effect, Owner};
use crate::kind::{Args, Context, Kind, Learns, Type};
use crate::options;
use crate::spec::{Given, OnFailure, Phase, Spec};
use std::collections::HashMap;

/// A phase, resolved.
#[derive(Debug, Default)]
pub struct Node {
    /// phases it needs (its own and its groups'), and where that is written
    pub needs: Vec<(usize, Place)>,
    /// why it is skipped
    pub skipped: Option<String>,
    /// what it does
    pub effects: Vec<Effect>,
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
    let mut findings = Vec::new();
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

struct Names<'a> {
    phases: HashMap<&'a str, usize>,
    groups: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    fn new(spec: &'a Spec) -> Self {
        let phases = spec.phases.iter().enumerate().map(|(i, p)| (p.name.v.as_str(), i)).collect();
        let mut groups: HashMap<&str, Vec<usize>> =
            spec.groups.iter().map(|g| (g.name.v.as_str(), Vec::new())).collect();
        for (i, phase) in spec.phases.iter().enumerate() {
            for group in spec.group_path(phase.group) {
                if let Some(leaves) = groups.get_mut(group) {
                    leaves.push(i);
                }
            }
        }
        Names { phases, groups }
    }

    fn needs_of(
        &self,
        spec: &Spec,
        i: usize,
        phase: &Phase,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<(usize, Place)> {
        let mut needs = Vec::new();
        for need in &phase.needs {
            self.need(need, &phase.name, i, true, &mut needs, findings);
        }
        let mut group = phase.group;
        while let Some(g) = group {
            let first =
                self.groups.get(spec.groups[g].name.v.as_str()).is_some_and(|l| l.first() == Some(&i));
            for need in &spec.groups[g].needs {
                self.need(need, &spec.groups[g].name, i, first, &mut needs, findings);
            }
            group = spec.groups[g].parent;
        }
        needs.sort_unstable();
        needs.dedup_by_key(|(n, _)| *n);
        needs
    }

    /// `say`: report what is wrong here (a group's needs are looked at once for each of its leaves).
    fn need(
        &self,
        need: &At<String>,
        owner: &At<String>,
        i: usize,
        say: bool,
        needs: &mut Vec<(usize, Place)>,
        findings: &mut Vec<Diagnostic>,
    ) {
        let leaves: &[usize] = match (self.phases.get(need.v.as_str()), self.groups.get(need.v.as_str())) {
            (Some(one), _) => &[*one],
            (None, Some(leaves)) => leaves,
            (None, None) => {
                if say {
                    let known = self.phases.keys().chain(self.groups.keys()).copied();
                    findings.push(
                        Diagnostic::error(
                            "RSD0201",
                            format!("`{}` needs `{}`, and there is no such phase or group", owner.v, need.v),
                        )
                        .at(need.at, "no phase or group of this name")
                        .with(owner.at, "this needs it")
                        .phase(&owner.v)
                        .suggest(need.at, &need.v, known),
                    );
                }
                return;
            }
        };
        if leaves.contains(&i) {
            if say {
                findings.push(
                    Diagnostic::error("RSD0205", format!("`{}` needs itself", owner.v))
                        .at(
                            need.at,
                            if need.v == owner.v {
                                "its own name".to_owned()
                            } else {
                                format!("`{}` holds `{}`", need.v, owner.v)
                            },
                        )
                        .with(owner.at, "this needs it")
                        .phase(&owner.v)
                        .help("remove the need; a phase that must run twice is two phases"),
                );
            }
            return;
        }
        needs.extend(leaves.iter().map(|n| (*n, need.at)));
    }
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

fn fill_effects(request: &Request, nodes: &mut [Node], findings: &mut Vec<Diagnostic>) {
    let context = context(request, nodes, None);
    for (phase, node) in request.spec.phases.iter().zip(nodes.iter_mut()) {
        let Some(kind) = request.catalogue.get(&phase.kind.v) else { continue };
        check_parameters(phase, kind, findings);
        if node.skipped.is_some() {
            skipped_drop(request, phase, kind, &context, findings);
            continue;
        }
        match effects(request, phase, kind, &context) {
            Ok(effects) => node.effects = effects,
            Err(found) => findings.extend(found),
        }
    }
    let twisted = nodes.iter().any(Node::loads_twisted);
    for (phase, node) in request.spec.phases.iter().zip(nodes).filter(|(_, n)| n.skipped.is_none()) {
        let learns = request.catalogue.get(&phase.kind.v).and_then(|k| k.learns);
        node.learns = learns.filter(|_| twisted);
        node.idle = node.effects.is_empty();
        if node.idle && node.learns != Some(Learns::Credential) {
            node.skipped = Some(NOTHING.to_owned());
        }
    }
}

const NOTHING: &str = "nothing to do";

fn context(request: &Request, nodes: &[Node], brought: Option<&Brought>) -> Context {
    let mut context = Context {
        dropped: None,
        start_uid: request.snapshot.identity.uid[1],
        start_gid: request.snapshot.identity.gid[1],
        brought: brought.cloned(),
    };
    // Twice: the owner `dropped` is what the first reading finds.
    context.dropped = dropped(request, nodes, &context);
    context
}

/// The application is to be loaded at this place of the order: what stands before it learns nothing.
pub fn learn_nothing(request: &Request, nodes: &mut [Node], order: &[usize], findings: &mut Vec<Diagnostic>) {
    let Some(load) = order.iter().position(|n| nodes[*n].loads_twisted()) else { return };
    let loads = &request.spec.phases[order[load]].name;
    for n in &order[..load] {
        let (node, phase) = (&mut nodes[*n], &request.spec.phases[*n]);
        let learnt = node.learns.take();
        if node.idle && learnt == Some(Learns::Credential) {
            node.skipped = Some(format!("nothing to do: `{}` comes later", loads.v));
            findings.push(too_early(phase, loads, Diagnostic::note_finding));
        }
    }
}

fn too_early(
    phase: &Phase,
    loads: &At<String>,
    make: impl Fn(&'static str, String) -> Diagnostic,
) -> Diagnostic {
    make(
        "RSD0309",
        format!("a user that the application names cannot be set: `{}` comes first", phase.name.v),
    )
    .at(phase.name.at, "would set it")
    .with(loads.at, "the application is read only here")
    .phase(&phase.name.v)
    .phase(&loads.v)
    .note("an application that names another user than the starting one is refused when it is read")
    .help(format!("put `{}` behind `{}`, or say the user in the spec", phase.name.v, loads.v))
}

/// The effects once more, now that it is known what the application brings. The order stays.
pub fn learn(
    request: &Request,
    nodes: &mut [Node],
    order: &[usize],
    brought: &Brought,
    findings: &mut Vec<Diagnostic>,
) {
    let Some(load) = order.iter().position(|n| nodes[*n].loads_twisted()) else { return };
    let context = context(request, nodes, Some(brought));
    for n in &order[load + 1..] {
        let (phase, node) = (&request.spec.phases[*n], &mut nodes[*n]);
        let Some(kind) = request.catalogue.get(&phase.kind.v) else { continue };
        if node.skipped.as_deref().is_some_and(|_| !node.idle) {
            skipped_drop(request, phase, kind, &context, findings);
            continue;
        }
        node.skipped = None;
        match (node.learns.take(), &brought.logger) {
            (Some(Learns::Log), Some(logger)) => {
                node.effects.clear();
                node.skipped = Some(format!("the application logs by itself: {logger}"));
            }
            (learns, _) => match effects(request, phase, kind, &context) {
                Ok(effects) if effects.is_empty() => {
                    node.effects = effects;
                    node.skipped = Some(match learns {
                        Some(Learns::Credential) => "the application names no user either".to_owned(),
                        _ => NOTHING.to_owned(),
                    });
                }
                Ok(effects) => node.effects = effects,
                Err(found) => findings.extend(found),
            },
        }
        mark_drop(request, phase, node, findings);
    }
    // A group that it names and nobody sets.
    let groups = |e: &Effect| matches!(e, Effect::SetCredential { gid: Some(_), .. });
    if let Some(gid) = brought.gid.filter(|gid| *gid != context.start_gid)
        && brought.user.is_none()
        && !nodes.iter().any(|n| n.effects.iter().any(groups))
        && !findings.iter().any(Diagnostic::is_error)
    {
        let loads = &request.spec.phases[order[load]].name;
        findings.push(
            Diagnostic::error(
                "RSD0309",
                format!("the application names group {gid}, and no phase sets a group"),
            )
            .at(loads.at, "the application is read here")
            .phase(&loads.v)
            .note(format!("it would run with gid {}", context.start_gid))
            .help("add a phase that switches the group behind it, or move the one there is"),
        );
    }
    // A user that it names and nobody sets: it would run as the starting one.
    let sets = |e: &Effect| matches!(e, Effect::SetCredential { uid: Some(_), .. });
    if let Some(user) = brought.user.as_ref().filter(|u| u.uid != context.start_uid)
        && !nodes.iter().any(|n| n.effects.iter().any(sets))
        && !findings.iter().any(Diagnostic::is_error)
    {
        let loads = &request.spec.phases[order[load]].name;
        let early = order[..load]
            .iter()
            .map(|n| &request.spec.phases[*n])
            .find(|p| request.catalogue.get(&p.kind.v).is_some_and(|k| k.learns == Some(Learns::Credential)));
        findings.push(match early {
            Some(phase) => too_early(phase, loads, Diagnostic::error),
            None => Diagnostic::error(
                "RSD0309",
                format!("the application names user {}, and no phase sets a user", user.name),
            )
            .at(loads.at, "the application is read here")
            .phase(&loads.v)
            .note(format!("it would run as uid {}", context.start_uid))
            .help("add a phase that switches the user behind it"),
        });
    }
}

fn dropped(request: &Request, nodes: &[Node], context: &Context) -> Option<Owner> {
    for (phase, _) in request.spec.phases.iter().zip(nodes).filter(|(_, n)| n.skipped.is_none()) {
        let Some(kind) = request.catalogue.get(&phase.kind.v) else { continue };
        if !kind.params.iter().any(|p| matches!(p.ty, Type::User)) {
            continue;
        }
        for effect in effects(request, phase, kind, context).unwrap_or_default() {
            if let Effect::SetCredential { uid: Some(uid), gid, .. } = effect {
                return Some(Owner { uid, gid: gid.unwrap_or(context.start_gid) });
            }
        }
    }
    None
}

/// `--skip` on the phase that would drop privileges, where a user was asked for.
fn skipped_drop(
    request: &Request,
    phase: &Phase,
    kind: &Kind,
    context: &Context,
    findings: &mut Vec<Diagnostic>,
) {
    let Some(skip) = request.skip.iter().find(|s| s.v == phase.name.v) else { return };
    let drops =
        |e: &Effect| matches!(e, Effect::SetCredential { uid: Some(uid), .. } if *uid != context.start_uid);
    if request.settings.holds(&phase.when).is_ok()
        && effects(request, phase, kind, context).unwrap_or_default().iter().any(drops)
    {
        findings.push(
            Diagnostic::error(
                "RSD0307",
                format!("`{}` would drop privileges, and it is skipped", phase.name.v),
            )
            .at(skip.at, "skipped here")
            .with(phase.name.at, "another user is asked for here")
            .phase(&phase.name.v)
            .note(format!("everything after it would run as uid {}", context.start_uid))
            .help("leave the user and group away if the daemon is meant to keep the starting credential"),
        );
    }
}

fn check_parameters(phase: &Phase, kind: &Kind, findings: &mut Vec<Diagnostic>) {
    for (key, _) in &phase.with {
        if !kind.params.iter().any(|p| p.name == key.v) {
            findings.push(
                Diagnostic::error("RSD0203", format!("kind `{}` has no parameter `{}`", kind.name, key.v))
                    .at(key.at, "unknown parameter")
                    .with(
                        phase.kind.at,
                        format!("of this kind; `rsd kinds {}` shows its parameters", kind.name),
                    )
                    .phase(&phase.name.v)
                    .suggest(key.at, &key.v, kind.params.iter().map(|p| p.name)),
            );
        }
    }
    // A parameter that was written with a slip is not missing as well.
    let slip = |name: &str| {
        let unknown = phase.with.iter().filter(|(k, _)| !kind.params.iter().any(|p| p.name == k.v));
        unknown
            .into_iter()
            .any(|(k, _)| crate::text::did_you_mean(&k.v, kind.params.iter().map(|p| p.name)) == Some(name))
    };
    for param in kind.params.iter().filter(|p| p.required && !slip(p.name)) {
        if !phase.with.iter().any(|(k, _)| k.v == param.name) {
            findings.push(
                Diagnostic::error(
                    "RSD0204",
                    format!("`{}` needs the parameter `{}`", phase.name.v, param.name),
                )
                .at(phase.kind.at, format!("kind `{}` needs `{}`: {}", kind.name, param.name, param.help))
                .phase(&phase.name.v)
                .help(format!("write `with: {{ {}: … }}`", param.name)),
            );
        }
    }
}

fn effects(
    request: &Request,
    phase: &Phase,
    kind: &Kind,
    context: &Context,
) -> Result<Vec<Effect>, Vec<Diagnostic>> {
    let mut args = Args::default();
    let mut found = Vec::new();
    for param in kind.params {
        let written = phase.with.iter().find(|(k, _)| k.v == param.name).map(|(_, given)| given.clone());
        let default = || param.default.map(|d| Given::One(At::new(d.to_owned(), phase.kind.at)));
        let given = match written.or_else(default) {
            Some(given) => given,
            None => continue,
        };
        let given = match options::substitute(&given, request.settings) {
            Ok(Some(given)) => given,
            Ok(None) => continue,
            Err(more) => {
                found.extend(more);
                continue;
            }
        };
        let parsed = options::parse_given(
            param.ty,
            param.list,
            &given,
            request.launch,
            request.snapshot,
            context.dropped,
        );
        match parsed {
            Ok(value) => args.0.push((param.name, value)),
            Err(more) => found.extend(more.into_iter().map(|d| d.phase(&phase.name.v))),
        }
    }
    if !found.is_empty() {
        return Err(found);
    }
    (kind.effects)(&args, context).map_err(|unfit| {
        vec![
            Diagnostic::error("RSD0113", format!("`{}`: {}", phase.name.v, unfit.why))
                .at(phase.name.at, "this phase")
                .phase(&phase.name.v)
                .help(unfit.help),
        ]
    })
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
