//! OpenTelemetry's OTLP in JSON: one `ExportTraceServiceRequest` that a collector takes as it is.
//!
//! A run is one trace. Its root span is the run, under it are the groups, in them the phases; what a
//! phase needs is a link, for a span has one parent only. A phase that never ran is a span without
//! length where it would have stood, so that none is missing. Undo is spans under the run, each linked
//! to its phase.
//!
//! Ids are made from the run and the place in its plan: the same run gives the same ids again.
//! As the protocol demands ids are hexadecimal, 64-bit numbers are strings and enums are numbers.

mod attribute;
mod ids;
#[cfg(test)]
mod tests;

use crate::effect::Identity;
use crate::state::Phase;
use crate::text::{clean, errno_name};
use crate::timeline::{Failure, Outcome, Span, Timeline};
use attribute::{Attribute, Value};
use ids::Ids;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::borrow::Cow;
use std::collections::HashMap;

/// A span that is part of no distributed call.
const INTERNAL: u32 = 1;
const ERROR: u32 = 2;

/// The request as a string.
pub fn render(timeline: &Timeline, now_ns: Option<u64>) -> String {
    serde_json::to_string(&Document::new(timeline, now_ns)).unwrap_or_default()
}

/// The request, to be written without being built first.
pub struct Document<'a> {
    timeline: &'a Timeline,
    /// the end of what is still running, nanoseconds since the begin of the run
    now: u64,
    ids: Ids,
    groups: Vec<Group<'a>>,
    /// the group that each phase stands in
    group_of: Vec<Option<usize>>,
    by_name: HashMap<&'a str, usize>,
    /// when each phase ran; one that did not has no length
    times: Vec<(u64, u64)>,
}

struct Group<'a> {
    name: &'a str,
    parent: Option<usize>,
    /// from the first begin to the last end of its phases
    time: Option<(u64, u64)>,
}

impl<'a> Document<'a> {
    /// The request for that run. What is still running ends at `now_ns`, nanoseconds since the begin
    /// of the run, or else with the last event.
    pub fn new(timeline: &'a Timeline, now_ns: Option<u64>) -> Document<'a> {
        let ends = timeline.spans.iter().filter_map(|s| s.end_ns.or(s.start_ns));
        let end = ends.max().unwrap_or(0).max(timeline.end_ns);
        let now = match timeline.outcome {
            Outcome::Running => end.max(now_ns.unwrap_or(0)),
            _ => end,
        };
        let mut times = Vec::with_capacity(timeline.spans.len());
        let mut at = 0;
        for span in &timeline.spans {
            let time = span.start_ns.map(|start| (start, span.end_ns.unwrap_or(now).max(start)));
            at = at.max(time.map_or(0, |(_, end)| end));
            times.push(time.unwrap_or((at, at)));
        }
        let mut document = Document {
            timeline,
            now,
            ids: Ids::new(timeline),
            groups: Vec::new(),
            group_of: Vec::with_capacity(timeline.spans.len()),
            by_name: HashMap::with_capacity(timeline.spans.len()),
            times,
        };
        document.group();
        document
    }

    fn group(&mut self) {
        let mut known: HashMap<&[String], usize> = HashMap::new();
        for (i, span) in self.timeline.spans.iter().enumerate() {
            self.by_name.entry(&span.phase.name).or_insert(i);
            let path = &span.phase.groups;
            let mut parent = None;
            for depth in 1..=path.len() {
                let (Some(path), Some(name)) = (path.get(..depth), path.get(depth - 1)) else { break };
                let number = *known.entry(path).or_insert_with(|| {
                    self.groups.push(Group { name, parent, time: None });
                    self.groups.len() - 1
                });
                if span.start_ns.is_some() {
                    let (start, end) = self.times[i];
                    let time = &mut self.groups[number].time;
                    *time = Some(time.map_or((start, end), |(s, e)| (s.min(start), e.max(end))));
                }
                parent = Some(number);
            }
            self.group_of.push(parent);
        }
    }

    fn wall(&self, ns: u64) -> String {
        self.timeline.wall_ns.saturating_add(ns).to_string()
    }

    fn run(&self) -> SpanJson<'a> {
        let t = self.timeline;
        let mut events = Vec::new();
        if let Some(ready) = t.ready_ns {
            events.push(Event { time_unix_nano: self.wall(ready), name: "ready".into(), attributes: vec![] });
        }
        events.extend(t.forks.iter().map(|(at, parent, child, role)| Event {
            time_unix_nano: self.wall(*at),
            name: "fork".into(),
            attributes: vec![
                Attribute::int("process.pid", *child),
                Attribute::int("process.parent_pid", *parent),
                Attribute::text("rsd.role", role),
            ],
        }));
        events.extend(t.signals.iter().map(|(at, signal, then)| Event {
            time_unix_nano: self.wall(*at),
            name: clean(signal),
            attributes: vec![Attribute::text("rsd.then", then)],
        }));
        let mut attributes = vec![
            Attribute::text("rsd.run", &t.run),
            Attribute::text("rsd.outcome", t.outcome.name()),
            Attribute::texts("rsd.problems", &t.problems),
        ];
        attributes.extend(t.code.map(|code| Attribute::int("process.exit.code", code)));
        attributes.extend(t.ready_ns.map(|ns| Attribute::int("rsd.ready_ns", ns)));
        let differ = t.divergences.iter().map(|d| {
            format!("{}: {}: {} was {}, not {}", d.phase, d.effect, d.field, d.observed, d.predicted)
        });
        attributes.push(Attribute::texts("rsd.divergences", &differ.collect::<Vec<_>>()));
        let status = match t.outcome {
            Outcome::Failed | Outcome::Unwound | Outcome::Stuck | Outcome::Vanished => {
                let error = t.spans.iter().find_map(|s| s.error.as_ref());
                Status::error(error.map_or(t.outcome.name(), |e| e.message.as_str()))
            }
            Outcome::Running | Outcome::Completed => None,
        };
        SpanJson {
            events,
            status,
            ..self.span(self.ids.root(), None, format!("run {}", t.spec).into(), (0, self.now), attributes)
        }
    }

    fn span(
        &self,
        id: String,
        parent: Option<String>,
        name: Cow<'a, str>,
        (start, end): (u64, u64),
        mut attributes: Vec<Attribute<'a>>,
    ) -> SpanJson<'a> {
        attributes.retain(|a| !a.is_empty());
        SpanJson {
            trace_id: self.ids.trace(),
            span_id: id,
            parent_span_id: parent,
            name: clean(&name).into_owned(),
            kind: INTERNAL,
            start_time_unix_nano: self.wall(start),
            end_time_unix_nano: self.wall(end),
            attributes,
            events: Vec::new(),
            links: Vec::new(),
            status: None,
        }
    }

    fn group_span(&self, number: usize) -> Option<SpanJson<'a>> {
        let group = self.groups.get(number)?;
        let parent = group.parent.map_or_else(|| self.ids.root(), |p| self.ids.group(p));
        let attributes = vec![Attribute::text("rsd.group", group.name)];
        Some(self.span(self.ids.group(number), Some(parent), group.name.into(), group.time?, attributes))
    }

    fn phase(&self, i: usize, span: &'a Span) -> SpanJson<'a> {
        let header = &span.phase;
        let ran_in = self.group_of.get(i).copied().flatten().filter(|g| self.groups[*g].time.is_some());
        let parent = ran_in.map_or_else(|| self.ids.root(), |g| self.ids.group(g));
        let mut attributes = vec![
            Attribute::text("rsd.phase", &header.name),
            Attribute::text("rsd.kind", &header.kind),
            Attribute::text("rsd.state", state(span.state)),
            Attribute::text("rsd.detail", &header.detail),
            Attribute::text("rsd.process", header.process.name()),
            Attribute::text("rsd.skipped", span.skipped.as_deref().unwrap_or_default()),
            Attribute::texts("rsd.needs", &header.needs),
        ];
        attributes.extend(span.pid_start.map(|pid| Attribute::int("process.pid", pid)));
        attributes.extend(
            span.pid_end
                .filter(|_| span.pid_end != span.pid_start)
                .map(|pid| Attribute::int("rsd.pid_end", pid)),
        );
        if span.start_ns.is_some() && span.end_ns.is_none() {
            let live = self.timeline.outcome == Outcome::Running;
            attributes.push(Attribute::flag(if live { "rsd.running" } else { "rsd.unfinished" }));
        }
        if let Some(identity) = span.identity_before.as_deref() {
            attributes.extend(who("before", identity));
        }
        if let Some(identity) =
            span.identity_after.as_deref().filter(|_| span.identity_after != span.identity_before)
        {
            attributes.extend(who("after", identity));
        }
        let time = self.times.get(i).copied().unwrap_or_default();
        let mut events: Vec<Event> = span
            .notes
            .iter()
            .map(|note| Event { time_unix_nano: self.wall(time.1), name: clean(note), attributes: vec![] })
            .collect();
        events.extend(span.error.as_ref().map(|e| self.failure(e, time.1)));
        let needs = header.needs.iter().filter_map(|need| self.by_name.get(need.as_str()));
        SpanJson {
            events,
            links: needs.map(|need| self.link(*need, "needs")).collect(),
            status: span.error.as_ref().and_then(|e| Status::error(&e.message)),
            ..self.span(self.ids.phase(i), Some(parent), header.name.as_str().into(), time, attributes)
        }
    }

    fn link(&self, phase: usize, why: &'a str) -> Link<'a> {
        let attributes = vec![Attribute::text("rsd.link", why)];
        Link { trace_id: self.ids.trace(), span_id: self.ids.phase(phase), attributes }
    }

    /// As OpenTelemetry's conventions have an exception, so that viewers know it as one.
    fn failure(&self, failure: &'a Failure, at: u64) -> Event<'a> {
        let mut attributes = vec![
            Attribute::text("exception.type", failure.errno.and_then(errno_name).unwrap_or("failure")),
            Attribute::text("exception.message", &failure.message),
            Attribute::text("rsd.why", failure.why.as_deref().unwrap_or_default()),
            Attribute::text("rsd.fix", failure.help.as_deref().unwrap_or_default()),
        ];
        attributes.retain(|a| !a.is_empty());
        Event { time_unix_nano: self.wall(at), name: "exception".into(), attributes }
    }

    fn undo(&self, i: usize, span: &'a Span) -> Option<SpanJson<'a>> {
        let start = span.undo_ns?;
        let end = match span.state {
            Phase::Undoing => self.now,
            // When it was given up is not recorded.
            _ => span.undone_ns.unwrap_or(start),
        };
        let what: Vec<String> = span.undo.iter().map(|(what, _)| what.clone()).collect();
        let mut attributes =
            vec![Attribute::text("rsd.state", state(span.state)), Attribute::texts("rsd.undo", &what)];
        attributes.extend(span.undone_by.map(|pid| Attribute::int("process.pid", pid)));
        let failed = span.undo.iter().find_map(|(_, error)| error.as_ref());
        Some(SpanJson {
            events: failed.map(|e| self.failure(e, end.max(start))).into_iter().collect(),
            links: vec![self.link(i, "undoes")],
            status: failed.and_then(|e| Status::error(&e.message)),
            ..self.span(
                self.ids.undo(i),
                Some(self.ids.root()),
                format!("undo {}", span.phase.name).into(),
                (start, end.max(start)),
                attributes,
            )
        })
    }
}

fn state(state: Phase) -> &'static str {
    match state {
        Phase::Pending => "pending",
        Phase::Running => "running",
        Phase::Done => "done",
        Phase::Failed => "failed",
        Phase::Skipped => "skipped",
        Phase::Undoing => "undoing",
        Phase::Undone => "undone",
        Phase::Stuck => "stuck",
    }
}

/// Who the process is; real, effective and saved ids in this order.
fn who<'a>(when: &str, identity: &Identity) -> Vec<Attribute<'a>> {
    let key = |what: &str| format!("rsd.{when}.{what}");
    let caps = identity.caps.iter().map(|c| Value::of(c.name())).collect();
    vec![
        Attribute::new(key("uid"), Value::ints(&identity.uid)),
        Attribute::new(key("gid"), Value::ints(&identity.gid)),
        Attribute::new(key("groups"), Value::ints(&identity.groups)),
        Attribute::new(key("caps"), Value::Array(caps)),
        Attribute::new(key("root"), Value::of(&identity.root.to_string_lossy())),
        Attribute::new(key("cwd"), Value::of(&identity.cwd.to_string_lossy())),
        Attribute::new(key("umask"), Value::of(&format!("{:03o}", identity.umask))),
    ]
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Resource<'a> {
            attributes: Vec<Attribute<'a>>,
        }
        #[derive(Serialize)]
        struct Scope<'a> {
            name: &'static str,
            version: Cow<'a, str>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ScopeSpans<'a, 'b> {
            scope: Scope<'a>,
            spans: Spans<'a, 'b>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ResourceSpans<'a, 'b> {
            resource: Resource<'a>,
            scope_spans: [ScopeSpans<'a, 'b>; 1],
        }
        let t = self.timeline;
        let mut attributes = vec![
            Attribute::text("service.name", if t.spec.is_empty() { "unknown_service" } else { &t.spec }),
            Attribute::text("service.instance.id", &t.run),
            Attribute::int("process.pid", t.pid),
        ];
        attributes.retain(|a| !a.is_empty());
        let mut request = serializer.serialize_struct("ExportTraceServiceRequest", 1)?;
        request.serialize_field(
            "resourceSpans",
            &[ResourceSpans {
                resource: Resource { attributes },
                scope_spans: [ScopeSpans {
                    scope: Scope { name: "rsd", version: clean(&t.version) },
                    spans: Spans(self),
                }],
            }],
        )?;
        request.end()
    }
}

struct Spans<'a, 'b>(&'b Document<'a>);

impl Serialize for Spans<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = self.0;
        let spans = || document.timeline.spans.iter().enumerate();
        let groups = (0..document.groups.len()).filter_map(|g| document.group_span(g));
        let phases = spans().map(|(i, span)| document.phase(i, span));
        let undone = spans().filter_map(|(i, span)| document.undo(i, span));
        serializer.collect_seq(std::iter::once(document.run()).chain(groups).chain(phases).chain(undone))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: String,
    kind: u32,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    time_unix_nano: String,
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    trace_id: String,
    span_id: String,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct Status {
    code: u32,
    message: String,
}

impl Status {
    fn error(message: &str) -> Option<Status> {
        Some(Status { code: ERROR, message: clean(message).into_owned() })
    }
}
