//! What an application that is loaded brings, and what of it a phase can still learn.

use super::effects::{context, effects, skipped_drop};
use super::{NOTHING, Node, mark_drop};
use crate::diagnostic::{At, Diagnostic};
use crate::effect::{Brought, Effect};
use crate::kind::Learns;
use crate::plan::Request;
use crate::spec::Phase;

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
