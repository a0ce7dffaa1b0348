//! Reading a journal that may be cut, mixed with other lines, or newer than this rsd.

use super::{Event, PhaseHeader, SCHEMA, What};
use crate::state;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

/// The events of a journal, one JSON object a line, and sentences about what could not be read.
/// With several runs in one file the last is kept.
pub fn read(text: &[u8]) -> (Vec<Event>, Vec<String>) {
    let mut reader = Reader::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, whole) = match rest.iter().position(|b| *b == b'\n') {
            Some(end) => (&rest[..end], true),
            None => (rest, false),
        };
        rest = rest.get(line.len() + 1..).unwrap_or_default();
        reader.lines += 1;
        reader.line(line, whole);
    }
    let problems = reader.problems(text);
    (reader.last_run(), problems)
}

#[derive(Default)]
struct Reader {
    lines: usize,
    events: Vec<Event>,
    /// where in `events` each run begins
    runs: Vec<usize>,
    schema: Option<(u64, String)>,
    cut: bool,
    /// lines that are no events: how many, and the first
    foreign: (usize, usize),
    /// events with something missing or wrong: how many, and the first
    malformed: (usize, usize),
    unknown: usize,
    unknown_kinds: BTreeSet<String>,
    not_utf8: usize,
}

fn count(counter: &mut (usize, usize), line: usize) {
    if counter.0 == 0 {
        counter.1 = line;
    }
    counter.0 += 1;
}

impl Reader {
    fn line(&mut self, line: &[u8], whole: bool) {
        self.cut |= !whole;
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let lossy;
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(_) => {
                lossy = String::from_utf8_lossy(line);
                &lossy
            }
        };
        match usual(text).map_or_else(|| serde_json::from_str(text), Ok) {
            Ok(event) => self.event(event),
            Err(_) if !whole => return,
            Err(_) => self.odd(text),
        }
        if text.len() != line.len() || text.as_bytes() != line {
            self.not_utf8 += 1;
        }
    }

    fn event(&mut self, event: Event) {
        if let What::Run { schema, version, .. } = &event.what {
            self.schema = Some((u64::from(*schema), version.clone()));
            self.runs.push(self.events.len());
        }
        self.events.push(event);
    }

    /// A line that is no event of this version.
    fn odd(&mut self, text: &str) {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let (Some(kind), Some(t)) = (value["ev"].as_str(), value["t"].as_u64()) else {
            return count(&mut self.foreign, self.lines);
        };
        match kind {
            "run" => {
                let run = lenient_run(&value);
                let schema = value["schema"].as_u64().unwrap_or_default();
                let pid = value["pid"].as_u64().and_then(|p| u32::try_from(p).ok()).unwrap_or_default();
                if schema <= u64::from(SCHEMA) {
                    count(&mut self.malformed, self.lines);
                }
                self.event(Event { t, pid, what: run });
                if let Some(last) = &mut self.schema {
                    last.0 = schema;
                }
            }
            "identity" | "enter" | "note" | "exit" | "fork" | "ready" | "signal" | "undo" | "divergence"
            | "end" => count(&mut self.malformed, self.lines),
            _ => {
                self.unknown += 1;
                if self.unknown_kinds.len() < 5 {
                    self.unknown_kinds.insert(kind.chars().take(30).collect());
                }
            }
        }
    }

    fn problems(&self, text: &[u8]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |sentence: String| problems.push(sentence);
        if text.is_empty() {
            say("the journal is empty".into());
            return problems;
        }
        if let Some((schema, version)) = &self.schema
            && *schema > u64::from(SCHEMA)
        {
            say(format!(
                "the journal is of format {schema} (rsd {version}); this rsd knows format {SCHEMA}, so something may be missing"
            ));
        }
        match self.runs.len() {
            0 => say("the record of the run itself is missing: spec, plan and date are not known".into()),
            1 => {}
            n => say(format!("the journal holds {n} runs; the last is shown")),
        }
        let lines = |n: usize, one: &str, many: &str| match n {
            1 => format!("1 line {one}"),
            n => format!("{n} lines {many}"),
        };
        if let (n @ 1.., first) = self.foreign {
            let what = lines(n, "is not of this format and was", "are not of this format and were");
            say(format!("{what} left out (line {first}{})", if n > 1 { " and later" } else { "" }));
        }
        if let (n @ 1.., first) = self.malformed {
            let what = lines(n, "lacks something or has", "lack something or have");
            say(format!("{what} it wrong (line {first}{})", if n > 1 { " and later" } else { "" }));
        }
        if self.unknown > 0 {
            let kinds: Vec<_> = self.unknown_kinds.iter().map(String::as_str).collect();
            let what = if self.unknown == 1 {
                "1 event is of a kind".to_owned()
            } else {
                format!("{} events are of kinds", self.unknown)
            };
            say(format!("{what} that this rsd does not know: {}", kinds.join(", ")));
        }
        if self.not_utf8 > 0 {
            let what = lines(self.not_utf8, "is", "are");
            say(format!("{what} not valid UTF-8; what cannot be read is shown as \u{fffd}"));
        }
        if self.cut {
            say(format!("the journal is cut in line {}: what came after is missing", self.lines));
        }
        problems
    }

    /// The events of the last run: an earlier run in the same file may still be writing.
    fn last_run(mut self) -> Vec<Event> {
        if let [.., last] = self.runs.as_slice()
            && self.runs.len() > 1
        {
            let events = self.events.split_off(*last);
            let own = events.first().map(|e| e.pid);
            let others: HashSet<u32> =
                self.events.iter().map(|e| e.pid).filter(|pid| Some(*pid) != own).collect();
            return events.into_iter().filter(|e| !others.contains(&e.pid)).collect();
        }
        self.events
    }
}

/// The three records that make up nearly all of a journal, read without the buffer that a tagged
/// enum needs: the record of a large run would be held twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Usual<'a> {
    t: u64,
    pid: u32,
    #[serde(borrow)]
    ev: Cow<'a, str>,
    phase: Option<String>,
    state: Option<state::Phase>,
    schema: Option<u32>,
    spec: Option<String>,
    run: Option<String>,
    version: Option<String>,
    wall_ns: Option<u64>,
    phases: Option<Vec<PhaseHeader>>,
}

/// The event, if it is one of those; `None` says nothing about the line.
fn usual(text: &str) -> Option<Event> {
    let u: Usual = serde_json::from_str(text).ok()?;
    let what = match &*u.ev {
        "enter" => What::Enter { phase: u.phase? },
        "exit" => What::Exit { phase: u.phase?, state: u.state?, error: None, why: None },
        "run" => What::Run {
            schema: u.schema?,
            spec: u.spec?,
            run: u.run?,
            version: u.version?,
            wall_ns: u.wall_ns?,
            phases: u.phases?,
        },
        _ => return None,
    };
    Some(Event { t: u.t, pid: u.pid, what })
}

/// As much of a run's record as is there.
fn lenient_run(value: &Value) -> What {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let phases = value["phases"].as_array().into_iter().flatten();
    let header = |v: &Value| {
        serde_json::from_value::<PhaseHeader>(v.clone()).ok().or_else(|| {
            let name = v["name"].as_str()?.to_owned();
            Some(PhaseHeader { name, ..Default::default() })
        })
    };
    What::Run {
        schema: value["schema"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        spec: text("spec"),
        run: text("run"),
        version: text("version"),
        wall_ns: value["wall_ns"].as_u64().unwrap_or_default(),
        phases: phases.filter_map(header).collect(),
    }
}
