//! Any text as a spec: read, its options resolved, planned, judged on a machine on paper, shown.
//!
//! Lines at its beginning stand for the command line: `#! NAME=VALUE` gives an option, `#!! order a,b`,
//! `#!! skip a`, `#!! unchecked`, `#!! user` the rest.

use super::machine::{Paper, people};
use super::{harmless, is_json};
use engine::diagnostic::{At, Diagnostic, Place, Sources, Style, json, render_in};
use engine::options::{self, Launch, Settings};
use engine::plan::{Plan, Request, plan};
use engine::rules;
use engine::snapshot::file::{Host, read, write};
use engine::snapshot::{Snapshot, survey, unknown_names};
use engine::spec::{Given, Spec};
use engine::view;
use phases::kinds::CATALOGUE;
use std::path::PathBuf;

/// The specs that are built in.
pub const BUILTIN: [(&str, &str); 4] = [
    ("twistd", include_str!("../../specs/twistd.yaml")),
    ("twistd-safe", include_str!("../../specs/twistd-safe.yaml")),
    ("daemon", include_str!("../../specs/daemon.yaml")),
    ("systemd-order", include_str!("../../specs/systemd-order.yaml")),
];

/// What stands for the command line.
#[derive(Default)]
pub struct Line {
    given: Vec<(String, Given)>,
    order: Vec<At<String>>,
    skip: Vec<At<String>>,
    unchecked: bool,
    user: bool,
}

impl Line {
    fn of(text: &str) -> Line {
        let mut line = Line::default();
        let at = |text: &str| At::new(text.to_owned(), Place::default());
        let names = |text: &str| text.split(',').map(at).collect::<Vec<_>>();
        for row in text.lines().take_while(|row| row.starts_with("#!")).take(32) {
            match row.strip_prefix("#!! ") {
                Some("unchecked") => line.unchecked = true,
                Some("user") => line.user = true,
                Some(rest) => match rest.split_once(' ') {
                    Some(("order", list)) => line.order = names(list),
                    Some(("skip", list)) => line.skip = names(list),
                    _ => {}
                },
                None => {
                    let Some((name, value)) = row[2..].trim_start().split_once('=') else { continue };
                    let given = match value.contains(',') {
                        true => Given::List(names(value)),
                        false => Given::One(at(value)),
                    };
                    line.given.push((name.to_owned(), given));
                }
            }
        }
        line
    }
}

/// Nothing panics, nothing is shown raw, and a check from the written snapshot is the check.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut fetch = |name: &str, _: Option<&str>| -> Result<(String, String), String> {
        let builtin =
            BUILTIN.iter().find(|(n, _)| *n == name).map(|(n, text)| (format!("builtin:{n}"), *text));
        match builtin {
            Some((name, builtin)) => Ok((name, builtin.to_owned())),
            None if name == "spec.yaml" => Ok((name.to_owned(), text.to_owned())),
            None => Err("No such file or directory".to_owned()),
        }
    };
    let (loaded, findings) = engine::spec::load("spec.yaml", &mut fetch);
    shown(&findings, &loaded.sources);
    let Some(spec) = loaded.spec.filter(|_| !findings.iter().any(Diagnostic::is_error)) else { return };
    let line = Line::of(text);
    let (launch, settings, findings) = settings(&spec, &line);
    shown(&findings, &loaded.sources);
    if findings.iter().any(Diagnostic::is_error) {
        return;
    }
    let (users, groups) = options::wanted_names(&spec, &settings, CATALOGUE);
    let mut snapshot = people(!line.user, &users, &groups);
    let (planned, findings) = planned(&spec, &settings, &launch, &snapshot, &line);
    shown(&findings, &loaded.sources);
    let Some(planned) = planned else { return };
    survey(&mut snapshot, &planned, Some(&mut Paper), true);
    let (simulation, findings) = rules::judge(&planned, &snapshot);
    shown(&findings, &loaded.sources);
    harmless("the plan", &view::plan::text(&planned, &simulation.timeline));
    harmless("the plan in dot", &view::plan::dot(&planned, &simulation.timeline));
    harmless("the plan in Mermaid", &view::plan::mermaid(&planned, &simulation.timeline));

    let text = write(&snapshot, Host::default(), "1").expect("a snapshot can be written");
    let mut back = read(text.as_bytes(), "1").expect("and read").facts;
    assert_eq!(back, snapshot, "a snapshot comes back as it was");
    assert!(unknown_names(&back, &users, &groups).is_empty(), "a name is lost");
    let unknown = survey(&mut back, &planned, None, true);
    assert!(unknown.is_empty(), "what was taken is enough, but {unknown:?}");
    assert_eq!(rules::judge(&planned, &back).1, findings, "the same facts, the same verdict");
}

fn settings(spec: &Spec, line: &Line) -> (Launch, Settings, Vec<Diagnostic>) {
    let id = if line.user { 1000 } else { 0 };
    let launch = Launch {
        cwd: PathBuf::from("/srv/here"),
        root: !line.user,
        name: spec.name.v.clone(),
        uid: id,
        gid: id,
    };
    let (settings, findings) = Settings::resolve(spec, &line.given, &launch);
    (launch, settings, findings)
}

fn planned(
    spec: &Spec,
    settings: &Settings,
    launch: &Launch,
    snapshot: &Snapshot,
    line: &Line,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let request = Request {
        spec,
        settings,
        catalogue: CATALOGUE,
        snapshot,
        launch,
        order: &line.order,
        skip: &line.skip,
        unchecked: line.unchecked,
        brought: None,
    };
    plan(&request)
}

/// A plan of a built-in spec, with these facts. `None` where it is refused before a plan.
pub fn built_in(name: &str, text: &str, facts: &Snapshot) -> Option<(Plan, Sources)> {
    let mut fetch = |name: &str, _: Option<&str>| {
        let found = BUILTIN.iter().find(|(n, _)| *n == name);
        found.map(|(n, text)| ((*n).to_owned(), (*text).to_owned())).ok_or_else(String::new)
    };
    let (loaded, _) = engine::spec::load(name, &mut fetch);
    let spec = loaded.spec?;
    let line = Line::of(text);
    let launch = Launch {
        cwd: facts.cwd.clone(),
        root: facts.identity.uid[1] == 0,
        name: name.to_owned(),
        uid: facts.identity.uid[1],
        gid: facts.identity.gid[1],
    };
    let (settings, findings) = Settings::resolve(&spec, &line.given, &launch);
    shown(&findings, &loaded.sources);
    let (users, groups) = options::wanted_names(&spec, &settings, CATALOGUE);
    if !unknown_names(facts, &users, &groups).is_empty() || findings.iter().any(Diagnostic::is_error) {
        return None;
    }
    let (plan, findings) = planned(&spec, &settings, &launch, facts, &line);
    shown(&findings, &loaded.sources);
    Some((plan?, loaded.sources))
}

/// Everything that would be said is harmless, and JSON.
pub fn shown(findings: &[Diagnostic], sources: &Sources) {
    for finding in findings {
        harmless("a finding", &render_in(finding, sources, Style::Plain, Some(80)));
        render_in(finding, sources, Style::Colour, None);
        let text = serde_json::to_string(&json(finding, sources)).expect("it can be written");
        is_json("a finding", &text);
        for place in &finding.labels {
            let (line, column) = sources.position(place.at);
            assert!(line > 0 && column > 0, "{finding:?}");
        }
    }
}
