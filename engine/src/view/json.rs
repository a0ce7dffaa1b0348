//! The timeline for programs, `"schema": 1`: every key present, null where it did not happen.

use crate::effect::Identity;
use crate::timeline::{Failure, SCHEMA, Span, Timeline};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// The timeline as a value.
pub fn render(timeline: &Timeline) -> Value {
    serde_json::to_value(Document(timeline)).unwrap_or_default()
}

/// The same, to be written without being built first: for large runs.
pub struct Document<'a>(pub &'a Timeline);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let t = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("spec", &t.spec)?;
        map.serialize_entry("name", t.instance())?;
        map.serialize_entry("run", &t.run)?;
        map.serialize_entry("version", &t.version)?;
        map.serialize_entry("pid", &t.pid)?;
        map.serialize_entry("wall_ns", &t.wall_ns)?;
        map.serialize_entry("outcome", t.outcome.name())?;
        map.serialize_entry("code", &t.code)?;
        map.serialize_entry("ready_ns", &t.ready_ns)?;
        map.serialize_entry("end_ns", &t.end_ns)?;
        map.serialize_entry("spans", &Spans(t))?;
        map.serialize_entry("divergences", &t.divergences)?;
        let forks = t.forks.iter().map(|(t, parent, child, role)| Fork {
            t: *t,
            parent: *parent,
            child: *child,
            role,
        });
        map.serialize_entry("forks", &forks.collect::<Vec<_>>())?;
        let signals = t.signals.iter().map(|(t, signal, then)| Signal { t: *t, signal, then });
        map.serialize_entry("signals", &signals.collect::<Vec<_>>())?;
        map.serialize_entry("status", &t.status.as_ref().map(|(_, text)| text))?;
        map.serialize_entry("problems", &t.problems)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Fork<'a> {
    t: u64,
    parent: u32,
    child: u32,
    role: &'a str,
}

#[derive(Serialize)]
struct Signal<'a> {
    t: u64,
    signal: &'a str,
    then: &'a str,
}

struct Spans<'a>(&'a Timeline);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.spans.len()))?;
        for span in &self.0.spans {
            list.serialize_element(&One(self.0, span))?;
        }
        list.end()
    }
}

struct One<'a>(&'a Timeline, &'a Span);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let One(timeline, s) = *self;
        let by = s.undone_by.map(|pid| match timeline.role(pid) {
            Some(process) => process.name().to_owned(),
            None => pid.to_string(),
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("phase", &s.phase.name)?;
        map.serialize_entry("groups", &s.phase.groups)?;
        map.serialize_entry("kind", &s.phase.kind)?;
        map.serialize_entry("needs", &s.phase.needs)?;
        map.serialize_entry("detail", &s.phase.detail)?;
        map.serialize_entry("state", &s.state)?;
        map.serialize_entry("start_ns", &s.start_ns)?;
        map.serialize_entry("end_ns", &s.end_ns)?;
        map.serialize_entry("pid_start", &s.pid_start)?;
        map.serialize_entry("pid_end", &s.pid_end)?;
        map.serialize_entry("process", s.phase.process.name())?;
        map.serialize_entry("identity_before", &s.identity_before.as_deref().map(Who))?;
        map.serialize_entry("identity_after", &s.identity_after.as_deref().map(Who))?;
        map.serialize_entry("error", &s.error)?;
        map.serialize_entry("skipped", &s.skipped)?;
        map.serialize_entry("notes", &s.notes)?;
        map.serialize_entry("undone_ns", &s.undone_ns)?;
        map.serialize_entry("undone_by", &by)?;
        let undo = s.undo.iter().map(|(what, error)| Undo { what, error });
        map.serialize_entry("undo", &undo.collect::<Vec<_>>())?;
        map.end()
    }
}

#[derive(Serialize)]
struct Undo<'a> {
    what: &'a str,
    error: &'a Option<Failure>,
}

/// An identity; paths that are not UTF-8 are written as well as can be.
struct Who<'a>(&'a Identity);

impl Serialize for Who<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let identity = self.0;
        if identity.root.to_str().is_some() && identity.cwd.to_str().is_some() {
            return identity.serialize(serializer);
        }
        let root = identity.root.to_string_lossy().into_owned().into();
        let cwd = identity.cwd.to_string_lossy().into_owned().into();
        Identity { root, cwd, ..identity.clone() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;

    #[test]
    fn every_key_of_the_contract_is_there() {
        for events in [served(), unwound(), stuck(), foreground(), guarded(), many(3), vec![]] {
            let value = render(&Timeline::from_events(&events));
            for key in ["schema", "spec", "run", "outcome", "ready_ns", "spans", "divergences"] {
                assert!(value.get(key).is_some(), "{key}");
            }
            for span in value["spans"].as_array().into_iter().flatten() {
                for key in [
                    "phase",
                    "groups",
                    "kind",
                    "state",
                    "start_ns",
                    "end_ns",
                    "pid_start",
                    "pid_end",
                    "process",
                    "identity_before",
                    "identity_after",
                    "error",
                    "undone_ns",
                    "undone_by",
                ] {
                    assert!(span.get(key).is_some(), "{key} in {span}");
                }
            }
        }
    }

    #[test]
    fn values_are_those_of_the_contract() {
        let value = render(&Timeline::from_events(&unwound()));
        assert_eq!((value["schema"].as_u64(), value["outcome"].as_str()), (Some(1), Some("unwound")));
        assert!(value["ready_ns"].is_null());
        let spans = &value["spans"];
        assert_eq!(spans[7]["undone_by"], "launcher");
        assert_eq!(spans[7]["state"], "undone");
        assert_eq!(spans[7]["process"], "daemon");
        assert_eq!(spans[8]["error"]["errno"], 98);
        assert!(spans[8]["error"]["help"].is_string());
        assert!(spans[9]["start_ns"].is_null() && spans[9]["identity_before"].is_null());
        let before = &spans[5]["identity_before"];
        assert_eq!((&before["umask"], &before["root"]), (&"022".into(), &"/jail".into()));
        assert_eq!(before["uid"], serde_json::json!([0, 0, 0]));
        assert_eq!(before["caps"][0], "cap_chown");
        let text = serde_json::to_string(&Document(&Timeline::from_events(&unwound()))).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}
