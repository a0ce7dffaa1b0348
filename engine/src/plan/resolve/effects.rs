//! What a phase does: its parameters read, its kind asked.

use super::{NOTHING, Node};
use crate::diagnostic::{At, Diagnostic};
use crate::effect::{Brought, Effect, Owner, Resource, Setting};
use crate::kind::{Args, Context, Kind, Learns, Type, Unfit};
use crate::options;
use crate::plan::{Request, Written};
use crate::spec::{Given, Phase};

/// The effects of every phase that is not skipped.
pub(super) fn fill_effects(request: &Request, nodes: &mut [Node], findings: &mut Vec<Diagnostic>) {
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
        if node.effects.iter().any(is_tried) {
            node.given = written(request, phase, kind);
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

/// What kinds may know besides their parameters.
pub(super) fn context(request: &Request, nodes: &[Node], brought: Option<&Brought>) -> Context {
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
pub(super) fn skipped_drop(
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

/// The effects of one phase, or what is wrong with its parameters.
pub(super) fn effects(
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
    (kind.effects)(&args, context).map_err(|unfit| vec![unfitting(request, phase, unfit)])
}

/// Whether a value of it may be found wrong when the start is played.
fn is_tried(effect: &Effect) -> bool {
    match effect {
        Effect::Environment(environment) => !environment.files.is_empty(),
        Effect::Process(Setting::Limit(resource, _)) => *resource == Resource::Nofile,
        _ => false,
    }
}

/// The values that a phase is given, one by one, and where they are written.
fn written(request: &Request, phase: &Phase, kind: &Kind) -> Vec<Written> {
    let mut all = Vec::new();
    for param in kind.params {
        let given = phase.with.iter().find(|(key, _)| key.v == param.name);
        let given = given.and_then(|(_, given)| options::substitute(given, request.settings).ok()?);
        let texts = match given {
            Some(Given::One(text)) => vec![text],
            Some(Given::List(texts)) => texts,
            None => continue,
        };
        for text in texts {
            let (at, one) = (text.at, Given::One(text));
            let value = options::parse_given(param.ty, false, &one, request.launch, request.snapshot, None);
            all.extend(value.ok().map(|value| Written { param: param.name, value, at }));
        }
    }
    all
}

/// Points at the value that no effects can be made of, else at the phase.
fn unfitting(request: &Request, phase: &Phase, unfit: Unfit) -> Diagnostic {
    let finding = Diagnostic::error("RSD0113", format!("`{}`: {}", phase.name.v, unfit.why))
        .phase(&phase.name.v)
        .help(unfit.help);
    let written = unfit.param.and_then(|param| phase.with.iter().find(|(key, _)| key.v == param));
    let given = written.and_then(|(_, given)| options::substitute(given, request.settings).ok()?);
    let place = given.and_then(|given| match given {
        Given::One(text) => Some(text.at),
        Given::List(texts) => {
            let meant = |text: &&At<String>| unfit.value.as_ref().is_none_or(|value| *value == text.v);
            Some(texts.iter().find(meant)?.at)
        }
    });
    match (place, unfit.param) {
        (Some(at), Some(param)) => {
            finding.at(at, format!("`{param}` of this phase")).with(phase.name.at, "this phase")
        }
        _ => finding.at(phase.name.at, "this phase"),
    }
}
