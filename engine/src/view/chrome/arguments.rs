//! What a reader shows when an event is selected.

use crate::effect::{CapabilitySet, Identity};
use crate::state::Phase;
use crate::text::{clean, errno_name};
use crate::timeline::{Failure, Outcome, Span, Timeline};
use serde::{Serialize, Serializer};
use std::fmt;

/// What goes into `args`; made into JSON only when it is written.
pub enum Arguments<'a> {
    None,
    /// all that is known of a phase, by its number
    Phase(usize),
    /// the part of a phase that one process did
    Part {
        phase: usize,
        /// the process it went on in
        next: Option<u32>,
    },
    Undo(usize),
    /// text by name
    Text(Vec<(&'static str, String)>),
    /// of the run as a whole
    Run,
    /// who the process is, in full
    Identity(&'a Identity),
}

/// Text that is harmless in a terminal too: readers do not decode escapes inside `args`.
struct Clean<'a>(&'a str);

impl Serialize for Clean<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&clean(self.0))
    }
}

fn some(text: &str) -> Option<Clean<'_>> {
    (!text.is_empty()).then_some(Clean(text))
}

/// "root 0:0 · all capabilities".
pub fn credential(identity: &Identity) -> String {
    let caps = match identity.caps.len() {
        0 if !identity.permitted.is_empty() => {
            format!("{} kept", crate::text::count(identity.permitted.len(), "capability"))
        }
        0 => "no capabilities".to_owned(),
        n if n >= 37 && identity.caps.0.trailing_ones() == n => "all capabilities".to_owned(),
        1..=3 => names(identity.caps),
        n => format!("{n} capabilities"),
    };
    let [real, effective, saved] = identity.uid;
    let name = if effective == 0 { "root " } else { "" };
    let ids = match real == effective && saved == effective {
        true => format!("{effective}"),
        false => format!("{real}/{effective}/{saved}"),
    };
    format!("{name}{ids}:{} · {caps}", identity.gid[1])
}

fn names(caps: CapabilitySet) -> String {
    caps.iter().map(|c| c.name()).collect::<Vec<_>>().join(" ")
}

/// "root /jail · cwd /srv · umask 027".
pub fn place(identity: &Identity) -> String {
    let (root, cwd) = (identity.root.display(), identity.cwd.display());
    format!("root {root} · cwd {cwd} · umask {:03o}", identity.umask)
}

fn who(identity: &Identity) -> String {
    clean(&format!("{} · {}", credential(identity), place(identity))).into_owned()
}

#[derive(Serialize)]
struct FailureArgs<'a> {
    message: Clean<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Clean<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Clean<'a>>,
}

impl<'a> FailureArgs<'a> {
    fn of(failure: &'a Failure) -> FailureArgs<'a> {
        FailureArgs {
            message: Clean(if failure.message.is_empty() {
                "no reason was recorded"
            } else {
                &failure.message
            }),
            errno: failure.errno.and_then(errno_name),
            why: failure.why.as_deref().map(Clean),
            fix: failure.help.as_deref().map(Clean),
        }
    }
}

#[derive(Serialize)]
struct UndoArgs<'a> {
    what: Clean<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureArgs<'a>>,
}

impl<'a> UndoArgs<'a> {
    fn of((what, error): &'a (String, Option<Failure>)) -> UndoArgs<'a> {
        UndoArgs { what: Clean(what), error: error.as_ref().map(FailureArgs::of) }
    }
}

#[derive(Serialize)]
struct PhaseArgs<'a> {
    state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Clean<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Clean<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Clean<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Clean<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<Clean<'a>>,
    process: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_start: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_end: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureArgs<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Clean<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undo: Vec<UndoArgs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clipped_ns: Option<Big>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begins_ns: Option<Big>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ns: Option<Big>,
}

/// A number that a double may not hold goes as text.
struct Big(u64);

impl Serialize for Big {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 > 1 << 53 {
            true => s.collect_str(&self.0),
            false => s.serialize_u64(self.0),
        }
    }
}

fn phase<'a>(span: &'a Span, timeline: &Timeline, limit: u64) -> PhaseArgs<'a> {
    let header = &span.phase;
    let open = span.start_ns.is_some() && span.end_ns.is_none();
    let live = timeline.outcome == Outcome::Running;
    let later = span.start_ns.filter(|s| *s > limit);
    PhaseArgs {
        state: span.state,
        skipped: span.skipped.as_deref().and_then(some),
        kind: some(&header.kind),
        detail: some(&header.detail),
        groups: header.groups.iter().map(|g| Clean(g)).collect(),
        needs: header.needs.iter().map(|n| Clean(n)).collect(),
        process: header.process.name(),
        pid_start: span.pid_start,
        pid_end: span.pid_end.filter(|_| span.pid_end != span.pid_start),
        identity_before: span.identity_before.as_deref().map(who),
        identity_after: span
            .identity_after
            .as_deref()
            .filter(|_| span.identity_after != span.identity_before)
            .map(who),
        error: span.error.as_deref().map(FailureArgs::of),
        notes: span.notes.iter().map(|n| Clean(n)).collect(),
        undo: undone(span),
        running: (open && live).then_some(true),
        unfinished: (open && !live).then_some(true),
        clipped_ns: match later {
            Some(_) => None,
            None => span.end_ns.filter(|e| *e > limit).map(|e| Big(e - limit)),
        },
        begins_ns: later.map(Big),
        took_ns: later.and(span.took()).map(Big),
    }
}

fn undone(span: &Span) -> Vec<UndoArgs<'_>> {
    span.undo.iter().map(UndoArgs::of).collect()
}

#[derive(Serialize)]
struct PartArgs<'a> {
    state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_on_in: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureArgs<'a>>,
}

#[derive(Serialize)]
struct UndoneArgs<'a> {
    state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<u32>,
    undo: Vec<UndoArgs<'a>>,
}

#[derive(Serialize)]
struct RunArgs<'a> {
    spec: Clean<'a>,
    run: Clean<'a>,
    began: String,
    /// a double does not hold it
    wall_ns: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_ns: Option<Big>,
    rsd: Clean<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    divergences: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Clean<'a>>,
}

fn run(timeline: &Timeline) -> RunArgs<'_> {
    let divergences = timeline.divergences.iter().map(|d| {
        let text = format!("{}: {}: {} was {}, not {}", d.phase, d.effect, d.field, d.observed, d.predicted);
        clean(&text).into_owned()
    });
    RunArgs {
        spec: Clean(&timeline.spec),
        run: Clean(&timeline.run),
        began: crate::view::utc(timeline.wall_ns),
        wall_ns: timeline.wall_ns.to_string(),
        outcome: timeline.outcome.name(),
        code: timeline.code,
        ready_ns: timeline.ready_ns.map(Big),
        rsd: Clean(&timeline.version),
        divergences: divergences.collect(),
        problems: timeline.problems.iter().map(|p| Clean(p)).collect(),
    }
}

#[derive(Serialize)]
struct IdentityArgs<'a> {
    uid: String,
    gid: String,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    groups: &'a [u32],
    effective: String,
    permitted: String,
    bounding: String,
}

fn identity(identity: &Identity) -> IdentityArgs<'_> {
    let ids =
        |[real, effective, saved]: [u32; 3]| format!("real {real}, effective {effective}, saved {saved}");
    IdentityArgs {
        uid: ids(identity.uid),
        gid: ids(identity.gid),
        groups: &identity.groups,
        effective: names(identity.caps),
        permitted: names(identity.permitted),
        bounding: names(identity.bounding),
    }
}

impl Arguments<'_> {
    /// As JSON, behind what `line` has.
    pub fn write(&self, timeline: &Timeline, limit: u64, line: &mut Vec<u8>) -> fmt::Result {
        fn json(value: &impl Serialize, line: &mut Vec<u8>) -> fmt::Result {
            serde_json::to_writer(line, value).map_err(|_| fmt::Error)
        }
        let span = |i: usize| timeline.spans.get(i).ok_or(fmt::Error);
        match self {
            Arguments::None => json(&serde_json::Map::new(), line),
            Arguments::Phase(i) => json(&phase(span(*i)?, timeline, limit), line),
            Arguments::Part { phase, next } => {
                let span = span(*phase)?;
                let error = span.error.as_deref().filter(|_| next.is_none()).map(FailureArgs::of);
                json(&PartArgs { state: span.state, goes_on_in: *next, error }, line)
            }
            Arguments::Undo(i) => {
                let span = span(*i)?;
                json(&UndoneArgs { state: span.state, by: span.undone_by, undo: undone(span) }, line)
            }
            Arguments::Text(pairs) => {
                let map: serde_json::Map<_, _> =
                    pairs.iter().map(|(k, v)| ((*k).to_owned(), clean(v).into_owned().into())).collect();
                json(&map, line)
            }
            Arguments::Run => json(&run(timeline), line),
            Arguments::Identity(who) => json(&identity(who), line),
        }
    }
}
