//! Reading a journal that may be cut, mixed with other lines, or newer than this rsd.

use super::reduce::reduce_written;
use super::store::Store;
use super::{Event, PhaseHeader, SCHEMA, Timeline, What};
use crate::effect::Identity;
use crate::state;
use crate::text::clean;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A line that begins no record is not kept further than this.
const FOREIGN: usize = 4_096;

/// The events of a journal, one JSON object a line, and sentences about what could not be read.
/// With several runs in one file the last is kept.
pub fn read(text: &[u8]) -> (Vec<Event>, Vec<String>) {
    let mut reader = Reader::default();
    reader.feed(text);
    reader.last_line();
    let problems = reader.problems();
    reader.store.keep_last_run();
    (reader.store.events(), problems)
}

/// Reads a journal piece by piece, while it is written or because it is large.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// the beginning of a line whose end has not come yet
    begun: Vec<u8>,
    /// the rest of this line is not wanted
    skipping: bool,
    bytes: u64,
    lines: usize,
    store: Store,
    schema: Option<(u64, String)>,
    cut: bool,
    nul: u64,
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
    /// Takes the next bytes; they may begin and end anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.lines += 1;
            if std::mem::take(&mut self.skipping) {
                self.begun.clear();
                count(&mut self.foreign, self.lines);
            } else if self.begun.is_empty() {
                self.line(line, true);
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.line(&whole, true);
                // its room is kept, unless it is that of a large plan
                if whole.capacity() < 1 << 20 {
                    whole.clear();
                    self.begun = whole;
                }
            }
        }
        if self.begun.is_empty() {
            // zeroes without end are counted and not kept
            let nuls = rest.iter().take_while(|b| **b == 0).count();
            self.nul += nuls as u64;
            rest = &rest[nuls..];
        }
        if !self.skipping {
            self.begun.extend_from_slice(rest);
            let start = self.begun.iter().find(|b| !b.is_ascii_whitespace());
            self.skipping = self.begun.len() > FOREIGN && start != Some(&b'{');
        }
    }

    /// When the last run in it began, on the clock that it is written by.
    pub fn began(&self) -> Option<u64> {
        let run = *self.store.runs.last()?;
        Some(self.store.records.get(run)?.t)
    }

    /// What the journal says so far; a line that is being written is waited for.
    pub fn so_far(&self) -> Timeline {
        let mut timeline = reduce_written(self.store.clone());
        timeline.problems.splice(0..0, self.problems());
        timeline
    }

    /// What the journal says, now that no more comes.
    pub fn end(mut self) -> Timeline {
        self.last_line();
        let problems = self.problems();
        let mut timeline = reduce_written(self.store);
        timeline.problems.splice(0..0, problems);
        timeline
    }

    fn last_line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        if !line.is_empty() {
            self.lines += 1;
            self.cut = true;
            if !self.skipping {
                self.line(&line, false);
            }
        }
    }

    fn line(&mut self, line: &[u8], whole: bool) {
        // what a file system leaves where it lost what was written last
        let nuls = line.iter().take_while(|b| **b == 0).count();
        self.nul += nuls as u64;
        let line = &line[nuls..];
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
        let foreign = self.foreign;
        match self.usual(text) {
            Some(()) => {}
            None => match serde_json::from_str(text) {
                Ok(event) => self.event(event),
                Err(_) if !whole => return,
                Err(_) => self.odd(text),
            },
        }
        // Of a line that is left out nothing is shown; a long one of them is not even kept.
        if self.foreign == foreign && text.as_bytes() != line {
            self.not_utf8 += 1;
        }
    }

    fn event(&mut self, event: Event) {
        if let What::Run { schema, version, .. } = &event.what {
            self.schema = Some((u64::from(*schema), version.clone()));
        }
        self.store.push(event);
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
                    let short: String = kind.chars().take(30).collect();
                    self.unknown_kinds.insert(clean(&short).into_owned());
                }
            }
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |sentence: String| problems.push(sentence);
        if self.bytes == 0 {
            say("the journal is empty".into());
            return problems;
        }
        if let Some((schema, version)) = &self.schema
            && *schema > u64::from(SCHEMA)
        {
            say(format!(
                "the journal is of format {schema} (rsd {}); this rsd knows format {SCHEMA}, so something may be missing",
                clean(version)
            ));
        }
        match self.store.runs.len() {
            0 => say("the record of the run itself is missing: spec, plan and date are not known".into()),
            1 => {}
            n => say(format!("the journal holds {n} runs; the last is shown")),
        }
        let lines = |n: usize, one: &str, many: &str| {
            format!("{} {}", crate::text::count(n, "line"), if n == 1 { one } else { many })
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
        if self.nul > 0 {
            say(format!("the journal holds NUL bytes ({}): what was written there is lost", self.nul));
        }
        if self.cut {
            say(format!("the journal is cut in line {}: what came after is missing", self.lines));
        }
        problems
    }
}

/// The records that make up nearly all of a journal, read without the buffer that a tagged enum
/// needs: the record of a large run would be held twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Usual<'a> {
    t: u64,
    pid: u32,
    #[serde(borrow)]
    ev: Cow<'a, str>,
    #[serde(borrow)]
    phase: Option<Name<'a>>,
    state: Option<state::Phase>,
    identity: Option<Who>,
    schema: Option<u32>,
    spec: Option<String>,
    name: Option<String>,
    run: Option<String>,
    version: Option<String>,
    wall_ns: Option<u64>,
    phases: Option<Vec<PhaseHeader>>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Who(#[serde(with = "super::compact")] Box<Identity>);

impl Reader {
    /// Takes the event, if it is one of those; `None` says nothing about the line.
    fn usual(&mut self, text: &str) -> Option<()> {
        let u: Usual = serde_json::from_str(text).ok()?;
        match &*u.ev {
            "enter" => self.store.enter(u.t, u.pid, &u.phase?.0),
            "exit" => self.store.exit(u.t, u.pid, &u.phase?.0, u.state?),
            "identity" => {
                let what = What::Identity { identity: u.identity?.0 };
                self.event(Event { t: u.t, pid: u.pid, what });
            }
            "run" => {
                let what = What::Run {
                    schema: u.schema?,
                    spec: u.spec?,
                    name: u.name.unwrap_or_default(),
                    run: u.run?,
                    version: u.version?,
                    wall_ns: u.wall_ns?,
                    phases: u.phases?,
                };
                self.event(Event { t: u.t, pid: u.pid, what });
            }
            _ => return None,
        }
        Some(())
    }
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
        name: text("name"),
        run: text("run"),
        version: text("version"),
        wall_ns: value["wall_ns"].as_u64().unwrap_or_default(),
        phases: phases.filter_map(header).collect(),
    }
}
