//! A run in a few sentences: what took the time, who it was when, how it ended.

use super::ink::user;
use super::{CRITICAL, Drawing};
use crate::effect::Identity;
use crate::text::{duration, list};
use crate::timeline::{Outcome, Process, Span};
use crate::view::fold::failed;
use crate::view::zones::{Zone, Zones};
use std::collections::HashSet;

/// Words; the weighty ones marked.
pub(in crate::view) type Words = Vec<(bool, String)>;

/// How a run went, in a word or two, and whether that is good, bad or neither.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::view) struct Verdict {
    pub(in crate::view) class: &'static str,
    pub(in crate::view) text: String,
}

fn verdict(class: &'static str, text: impl Into<String>) -> Verdict {
    Verdict { class, text: text.into() }
}

/// "uid 1000 with 1 capability".
fn with_capabilities(identity: &Identity) -> String {
    match identity.caps.len() {
        n if n > 0 && identity.uid[1] != 0 => {
            format!("{} with {}", user(identity), crate::text::count(n, "capability"))
        }
        _ => user(identity),
    }
}

impl Drawing<'_> {
    /// The verdicts, the most important first.
    pub(in crate::view) fn verdicts(&self) -> Vec<Verdict> {
        let t = self.timeline;
        let mut said = Vec::new();
        match t.ready_ns {
            Some(ready) => said.push(verdict("good", format!("Ready in {}", duration(ready)))),
            None if t.outcome == Outcome::Running => {
                said.push(verdict("", format!("Starting, {} so far", duration(t.end_ns))));
            }
            None => {}
        }
        let bad: Vec<&Span> = t.spans.iter().filter(|s| failed(s)).collect();
        match bad.as_slice() {
            [] => {}
            [one] => said.push(verdict("bad", format!("✗ {} failed", one.phase.name))),
            [one, rest @ ..] => {
                said.push(verdict("bad", format!("✗ {} and {} more failed", one.phase.name, rest.len())));
            }
        }
        said.extend(match t.outcome {
            Outcome::Running if t.ready_ns.is_some() => Some(verdict("", "Running")),
            Outcome::Completed => Some(verdict("", "Completed")),
            Outcome::Failed if bad.is_empty() => Some(verdict("bad", "✗ Failed")),
            Outcome::Unwound => Some(verdict("", "↶ All undone")),
            Outcome::Stuck => Some(verdict("bad", "! Stuck: an undo failed")),
            Outcome::Vanished => Some(verdict("bad", "! Vanished")),
            _ => None,
        });
        said
    }

    /// The sentences.
    pub(in crate::view) fn story(&self) -> Words {
        let mut words = Words::new();
        if self.timeline.spans.is_empty() {
            return vec![(false, "The record names no phase.".into())];
        }
        self.time(&mut words);
        self.identities(&mut words);
        self.end(&mut words);
        words
    }

    fn time(&self, words: &mut Words) {
        let t = self.timeline;
        let mut most: Vec<_> = self.path.iter().filter(|l| l.share >= CRITICAL).collect();
        most.sort_by(|a, b| b.share.total_cmp(&a.share));
        let goal = match (t.ready_ns, t.spans.iter().find(|s| failed(s))) {
            (Some(_), _) => "of the time to ready was ".to_owned(),
            (None, Some(bad)) => {
                let at = bad.end_ns.map_or(String::new(), |end| format!(" after {}", duration(end)));
                words.push((true, bad.phase.name.clone()));
                words.push((false, format!(" failed{at}: ")));
                let message = bad.error.as_ref().map(|e| e.message.lines().next().unwrap_or_default());
                let message = message.filter(|m| !m.is_empty()).unwrap_or("it did not say why");
                words.push((true, message.to_owned()));
                words.push((false, ". ".into()));
                return;
            }
            (None, None) => "of the time so far was ".to_owned(),
        };
        let Some(first) = most.first() else {
            if let Some(ready) = t.ready_ns {
                words.push((false, "It was ready in ".into()));
                words.push((true, duration(ready)));
                words.push((false, ", and no single phase took much of that. ".into()));
            }
            return;
        };
        let name = |span: usize| t.spans.get(span).map_or("", |s| s.phase.name.as_str());
        words.push((true, format!("{:.0}%", first.share * 100.0)));
        words.push((false, format!(" {goal}")));
        words.push((true, name(first.span).to_owned()));
        words.push((false, format!(" ({})", duration(first.own_ns))));
        if let Some(second) = most.get(1).filter(|s| s.share >= 0.15 || first.share < 0.6) {
            words.push((false, format!(", {:.0}% ", second.share * 100.0)));
            words.push((true, name(second.span).to_owned()));
        }
        words.push((false, ". ".into()));
    }

    fn identities(&self, words: &mut Words) {
        let t = self.timeline;
        let pids = t.forks.iter().map(|(_, _, child, _)| *child);
        let guards: HashSet<u32> = pids.filter(|p| t.role(*p) == Some(Process::Guard)).collect();
        let mut spans: Vec<&Span> = t.spans.iter().filter(|s| s.start_ns.is_some()).collect();
        spans.sort_by_key(|s| s.start_ns);
        let mut met: Vec<(u64, String)> = Vec::new();
        let (mut returned, mut guard) = (false, None);
        for span in spans {
            let (begin, end) = (span.identity_before.as_deref(), span.identity_after.as_deref());
            if span.pid_start.is_some_and(|p| guards.contains(&p)) {
                guard = begin.map(with_capabilities);
                continue;
            }
            for (t, identity) in [(span.start_ns, begin), (span.end_ns.or(span.start_ns), end)] {
                let (Some(t), Some(identity)) = (t, identity) else { continue };
                let who = with_capabilities(identity);
                match met.iter().position(|(_, known)| *known == who) {
                    None => met.push((t, who)),
                    Some(k) => returned |= k + 1 < met.len(),
                }
            }
        }
        let all: Vec<&str> = met.iter().take(5).map(|(_, who)| who.as_str()).collect();
        match met.as_slice() {
            [] => return,
            [(_, one)] => {
                words.push((false, "All of it ran as ".into()));
                words.push((true, one.clone()));
            }
            // processes side by side, or one that went back
            _ if returned => {
                words.push((false, "It ran as ".into()));
                words.push((true, list(&all)));
            }
            [(_, first), rest @ ..] => {
                let dropped = rest.first().map_or(0, |(t, _)| *t);
                words.push((false, format!("It was {first} for ")));
                words.push((true, duration(dropped)));
                words.push((false, format!(", then {}", list(all.get(1..).unwrap_or_default()))));
            }
        }
        let stayed = guard.filter(|g| met.last().is_some_and(|(_, last)| last != g));
        words.push((false, stayed.map_or(". ".into(), |g| format!("; its guard stayed {g}. "))));
    }

    fn end(&self, words: &mut Words) {
        let t = self.timeline;
        let bad = t.spans.iter().find(|s| failed(s)).filter(|_| t.ready_ns.is_some());
        let ran = Zones::new(t).part(Zone::Run).filter(|_| t.ready_ns.is_some()).map(|p| duration(p.took()));
        let ran = ran.unwrap_or_else(|| "no time".into());
        match (t.outcome, bad) {
            (Outcome::Running, _) if t.ready_ns.is_some() => {
                words.push((false, format!("When this was recorded it had been running for {ran}.")));
            }
            (Outcome::Completed, _) => words.push((false, format!("It ran for {ran} and ended well."))),
            (Outcome::Failed, Some(span)) => {
                words.push((false, format!("It ran for {ran}; on the way down ")));
                words.push((true, format!("{} failed", span.phase.name)));
                words.push((false, ".".into()));
            }
            (Outcome::Unwound, _) => {
                words.push((false, format!("All it had done was undone; {} is left behind.", t.left())))
            }
            (Outcome::Stuck, _) => {
                let left = t.spans.iter().filter(|s| s.undo.iter().any(|(_, e)| e.is_some()));
                let names: Vec<&str> = left.map(|s| s.phase.name.as_str()).take(3).collect();
                words.push((true, "Something is left behind".into()));
                let by = if names.is_empty() { String::new() } else { format!(" by {}", list(&names)) };
                words.push((false, format!("{by}: an undo failed.")));
            }
            (Outcome::Vanished, _) => {
                words.push((true, "The process vanished".into()));
                let last = duration(t.end_ns);
                words.push((false, format!(" and left no record of its end; its last one is of {last}.")));
            }
            _ => {}
        }
    }
}
