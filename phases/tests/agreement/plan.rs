//! A list of effects as a plan, with a catalogue of one kind: what the snapshot and the host are given.

use engine::effect::{Effect, Identity};
use engine::kind::{Args, Catalogue, Context, Kind, Param, Type, Unfit, Value};
use engine::options::{Launch, Settings};
use engine::plan::{Plan, Request};
use engine::snapshot::Snapshot;
use std::fmt::Write;

fn effect(args: &Args, _: &Context) -> Result<Vec<Effect>, Unfit> {
    match args.get("is") {
        Some(Value::String(json)) => Ok(vec![serde_json::from_str(json).expect("an effect")]),
        _ => Ok(Vec::new()),
    }
}

const EFFECT: Kind = Kind {
    name: "effect",
    about: "",
    details: "",
    params: &[Param { name: "is", ty: Type::String, list: false, required: true, default: None, help: "" }],
    learns: None,
    effects: effect,
};

/// One phase for each effect, in their order, for a process with that effective user id.
pub fn of(effects: &[Effect], uid: u32) -> Plan {
    let mut text = "rsd: 1\nname: drawn\nphases:\n".to_owned();
    let mut order = Vec::new();
    let serve = effects.iter().position(|e| *e == Effect::Serve);
    for (i, effect) in effects.iter().enumerate() {
        let json = serde_json::to_string(effect).expect("an effect is JSON").replace('\'', "''");
        let needs = match serve {
            Some(serve) if i > serve => format!(", needs: p{serve}"),
            _ => String::new(),
        };
        let _ = writeln!(text, "  p{i}: {{ kind: effect{needs}, with: {{ is: '{json}' }} }}");
        order.push(format!("p{i}"));
    }
    let _ = writeln!(text, "order: [{}]", order.join(", "));
    let mut fetch = |name: &str, _: Option<&str>| Ok((name.to_owned(), text.clone()));
    let (loaded, findings) = engine::spec::load("t.yaml", &mut fetch);
    let spec = loaded.spec.unwrap_or_else(|| panic!("{findings:?}\n{text}"));
    let launch = Launch { cwd: "/".into(), root: uid == 0, name: "drawn".into(), uid, gid: uid };
    let (settings, _) = Settings::resolve(&spec, &[], &launch);
    let identity = Identity { uid: [uid; 3], ..Identity::default() };
    let snapshot = Snapshot { identity, ..Snapshot::default() };
    let (plan, findings) = engine::plan::plan(&Request {
        spec: &spec,
        settings: &settings,
        catalogue: Catalogue(&[&EFFECT]),
        snapshot: &snapshot,
        launch: &launch,
        order: &[],
        skip: &[],
        unchecked: true,
        brought: None,
    });
    let plan = plan.unwrap_or_else(|| panic!("{findings:?}\n{text}"));
    let planned: Vec<&Effect> = plan.effects().map(|(_, e)| e).collect();
    assert!(planned.iter().copied().eq(effects.iter()), "the plan keeps the order: {planned:?}");
    plan
}
