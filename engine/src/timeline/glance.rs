//! What a list says of a run, from the two ends of its journal.

use super::{Outcome, SCHEMA, Timeline};
use serde::Deserialize;

#[derive(Deserialize)]
struct Head {
    t: u64,
    pid: u32,
    ev: String,
    schema: u32,
    spec: String,
    #[serde(default)]
    name: String,
    run: String,
    version: String,
    wall_ns: u64,
}

#[derive(Deserialize)]
struct Line {
    t: u64,
    ev: String,
    outcome: Option<Outcome>,
    code: Option<i32>,
}

/// The timeline without its phases, from the first bytes of a journal and its last. `None` where
/// they do not tell enough: then it has to be read whole.
pub fn glance(head: &[u8], tail: &[u8]) -> Option<Timeline> {
    const PHASES: &[u8] = b",\"phases\":";
    // a quotation mark inside a text is escaped, so this is the key
    let plan = head.windows(PHASES.len()).position(|w| w == PHASES)?;
    let first = [&head[..plan], b"}"].concat();
    let head: Head = serde_json::from_slice(&first).ok()?;
    if head.ev != "run" || head.schema > SCHEMA {
        return None;
    }
    let mut timeline = Timeline {
        spec: head.spec,
        name: head.name,
        run: head.run,
        version: head.version,
        pid: head.pid,
        wall_ns: head.wall_ns,
        ..Timeline::default()
    };
    let begin = tail.iter().position(|b| *b == b'\n')? + 1;
    let lines = tail[begin..].strip_suffix(b"\n")?;
    for line in lines.split(|b| *b == b'\n') {
        let line: Line = serde_json::from_slice(line).ok()?;
        let t = line.t.checked_sub(head.t)?;
        timeline.end_ns = timeline.end_ns.max(t);
        match line.ev.as_str() {
            "run" => return None,
            "ready" => timeline.ready_ns = timeline.ready_ns.or(Some(t)),
            "end" => (timeline.outcome, timeline.code) = (line.outcome?, line.code),
            _ => {}
        }
    }
    let never_ready = matches!(timeline.outcome, Outcome::Unwound | Outcome::Stuck);
    (timeline.ready_ns.is_some() || never_ready).then_some(timeline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;
    use crate::view::list::ListRow;

    #[test]
    fn a_glance_says_what_reading_says() {
        for events in [served(), unwound(), stuck(), guarded(), running(), many(500)] {
            let text = journal(&events);
            let whole = Timeline::read(text.as_bytes());
            let tail = &text.as_bytes()[text.len().saturating_sub(2_000)..];
            let row = |t: &Timeline| ListRow::of(t, "");
            let seen = glance(&text.as_bytes()[..400], tail);
            assert_eq!(seen.as_ref().map(row), Some(row(&whole)));
        }
        let text = journal(&foreground());
        let seen = |n: usize| glance(text.as_bytes(), &text.as_bytes()[text.len() - n..]);
        assert!(seen(40).is_none(), "whether it was ready is not in sight");
        assert!(seen(600).is_some());
        assert!(glance(text.as_bytes(), &text.as_bytes()[..text.len() - 1]).is_none(), "cut");
        assert!(glance(b"", b"").is_none() && glance(b"{}\n", b"{}\n").is_none());
        let newer = text.replace("\"schema\":1", "\"schema\":2");
        assert!(glance(newer.as_bytes(), newer.as_bytes()).is_none());
        let twice = text.clone() + &text;
        assert!(glance(twice.as_bytes(), twice.as_bytes()).is_none());
    }
}
