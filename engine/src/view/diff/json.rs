//! The comparison for programs, `"schema": 1`.

use super::{Change, Diff, Gate, Sense, Times, Verdict};
use crate::timeline::{SCHEMA, Timeline};
use serde_json::{Value, json};

/// The comparison as a value; `failing` holds the reasons of the gates.
pub fn render(diff: &Diff, gates: &[Gate]) -> Value {
    let times = diff.times.iter().map(|(phase, t)| {
        let mut value = time(t);
        if let Value::Object(map) = &mut value {
            map.insert("phase".to_owned(), phase.as_str().into());
        }
        value
    });
    json!({
        "schema": SCHEMA,
        "old": run(diff.old),
        "new": run(diff.new),
        "same": diff.same(),
        "history": diff.history,
        "ready": diff.ready.as_ref().map(time),
        "phases": times.collect::<Vec<_>>(),
        "identity": changes(&diff.identity),
        "state": changes(&diff.state),
        "order": changes(&diff.order),
        "detail": changes(&diff.detail),
        "failing": diff.failing(gates),
    })
}

fn run(t: &Timeline) -> Value {
    json!({
        "spec": t.spec,
        "name": t.instance(),
        "run": t.run,
        "version": t.version,
        "wall_ns": t.wall_ns,
        "outcome": t.outcome.name(),
        "ready_ns": t.ready_ns,
        "problems": t.problems,
    })
}

fn time(t: &Times) -> Value {
    let verdict = match t.verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Noise => "noise",
        Verdict::Unknown => "unknown",
    };
    let change = i64::try_from(t.change()).unwrap_or(if t.change() < 0 { i64::MIN } else { i64::MAX });
    json!({
        "old_ns": t.old_ns,
        "new_ns": t.new_ns,
        "change_ns": change,
        "noise_ns": t.noise_ns,
        "verdict": verdict,
    })
}

fn changes(changes: &[Change]) -> Vec<Value> {
    let one = |c: &Change| {
        let sense = match c.sense {
            Sense::Worse => "worse",
            Sense::Better => "better",
            Sense::Other => "other",
        };
        json!({
            "phase": if c.phase.is_empty() { Value::Null } else { c.phase.as_str().into() },
            "field": c.field,
            "old": c.old,
            "new": c.new,
            "text": c.text,
            "also": c.also,
            "sense": sense,
        })
    };
    changes.iter().map(one).collect()
}
