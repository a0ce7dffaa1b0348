//! Where the two worlds differ.

use super::case::Case;
use super::observe::Tree;
use super::seen::{Outcome, Seen, State};
use engine::effect::{Capability, Effect, Identity};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// which sort: while a case is shrunk it must stay the same
    pub sort: String,
    pub place: String,
    pub model: String,
    pub host: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n    model: {}\n    host:  {}", self.place, self.model, self.host)
    }
}

const AFTER: &str = "after the undo";

struct Found(Vec<Difference>);

impl Found {
    fn compare(&mut self, sort: &str, place: &str, model: &str, host: &str) {
        if model != host {
            let (sort, place) = (sort.to_owned(), place.to_owned());
            self.0.push(Difference { sort, place, model: model.to_owned(), host: host.to_owned() });
        }
    }

    fn outcomes(&mut self, sort: &str, place: &str, model: &Outcome, host: &Outcome) {
        if (&model.result, &model.undo) != (&host.result, &host.undo) {
            let text = |o: &Outcome| format!("{}; undo: {}; {}", o.result, o.undo, o.message);
            // The numbers belong to the sort: another pair of them is another disagreement.
            let sort = format!("{sort}: {} / {}", model.result, host.result);
            self.compare(&sort, place, &text(model), &text(host));
        }
    }

    fn identities(&mut self, sort: &str, place: &str, model: Option<&Identity>, host: Option<&Identity>) {
        match (model, host) {
            (Some(model), Some(host)) => {
                for (field, model, host) in model.differences(host) {
                    self.compare(&format!("{sort} {field}"), &format!("{place}: {field}"), &model, &host);
                }
            }
            (None, None) => {}
            _ => self.compare(sort, place, &format!("{model:?}"), &format!("{host:?}")),
        }
    }

    fn states(&mut self, moment: &str, model: &State, host: &State) {
        self.trees("files", moment, &model.tree, &host.tree);
        if moment != AFTER {
            self.trees("files as it finds them", moment, &model.view, &host.view);
        }
        let lists = [
            ("listening", &model.listening, &host.listening),
            ("processes", &model.processes, &host.processes),
        ];
        // What is left behind after all has what was handed to it.
        let from = usize::from(moment == AFTER && !model.processes.is_empty());
        for (what, model, host) in &lists[from..] {
            let sort = format!("{what} {moment}");
            self.compare(&sort, &format!("{what}, {moment}"), &model.join("; "), &host.join("; "));
        }
    }

    fn trees(&mut self, what: &str, moment: &str, model: &Tree, host: &Tree) {
        let mut paths: Vec<_> = model.keys().chain(host.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let text = |tree: &Tree| tree.get(path).cloned().unwrap_or_else(|| "nothing".to_owned());
            let place = format!("{}, {what} {moment}", path.display());
            self.compare(&format!("{what} {moment}"), &place, &text(model), &text(host));
        }
    }
}

/// Whether all is as it was foreseen for the moment after the undo.
pub fn same_after(model: Option<&State>, host: &State) -> bool {
    let mut found = Found(Vec::new());
    if let Some(model) = model {
        found.states(AFTER, model, host);
    }
    found.0.is_empty()
}

/// Every difference, in the order of what happened.
pub fn both(case: &Case, model: &Seen, host: &Seen) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    for (i, effect) in case.effects.iter().enumerate() {
        let (Some(model), Some(host)) = (model.steps.get(i), host.steps.get(i)) else { continue };
        let kind = serde_json::to_value(effect).ok().and_then(|v| match v {
            serde_json::Value::String(name) => Some(name),
            serde_json::Value::Object(o) => o.keys().next().cloned(),
            _ => None,
        });
        let kind = kind.unwrap_or_default();
        let mut shown = effect.to_string();
        if shown.chars().count() > 200 {
            shown = shown.chars().take(200).chain("…".chars()).collect();
        }
        let place = format!("effect {i}, {shown}");
        // What is in a file that only a later user may read the model does not know, nor what the list itself
        // has written.
        let caps = case.start.effective;
        let reads = case.start.uid[1] == 0
            && [Capability::DacOverride, Capability::DacReadSearch].iter().any(|c| caps.has(*c));
        let written = case.effects.iter().any(|e| matches!(e, Effect::CreatePidFile { .. }));
        let content = host.outcome.message.contains("is no NAME=VALUE") && (!reads || written);
        if !content {
            found.outcomes(&format!("outcome of {kind}"), &place, &model.outcome, &host.outcome);
        }
        let sort = format!("identity after {kind}:");
        found.identities(&sort, &place, model.identity.as_ref(), host.identity.as_ref());
        let (sort, place) = (format!("told after {kind}:"), format!("{place}, as it says itself"));
        // Where it stands in a directory that was removed, it has no path any more.
        let theirs = host.told.clone().map(|id| match (&model.told, id.cwd == Path::new("(deleted)")) {
            (Some(ours), true) => Identity { cwd: ours.cwd.clone(), ..id },
            _ => id,
        });
        found.identities(&sort, &place, model.told.as_ref(), theirs.as_ref());
        for (name, value) in &model.settings {
            let theirs = host.settings.get(name).map_or("nothing", |v| v);
            found.compare(&format!("{name} after {kind}"), &format!("{place} {name}"), value, theirs);
        }
    }
    found.states("at the end", &model.end, &host.end);
    let (undone, done) = (&model.undone, &host.undone);
    found.compare(
        "number undone",
        "how much is taken back",
        &undone.len().to_string(),
        &done.len().to_string(),
    );
    for (model, host) in undone.iter().zip(done) {
        found.outcomes("undo", &format!("undo: {}", host.undo), model, host);
    }
    if let (Some(model), Some(host)) = (&model.after, &host.after) {
        found.states(AFTER, model, host);
    }
    found.0
}
