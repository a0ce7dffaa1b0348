//! The first lines: how it went, in a word and in a sentence.

use super::frame::Frame;
use super::line::{BAD_BOLD, BOLD, DIM, GOOD_BOLD, PLAIN, Paint, plain, width, wrap};
use super::{Page, percent};
use crate::effect::Identity;
use crate::text::{clean, duration, list};
use crate::timeline::Outcome;
use crate::view::fold::failed;
use crate::view::utc;
use crate::view::zones::Zone;
use std::borrow::Cow;

impl Page<'_> {
    /// Name, how it went, which run and when.
    pub(super) fn header(&self, out: &mut String) {
        let t = self.timeline;
        let said = self.outcome();
        let title = t.title();
        let title = if title.is_empty() { "unknown spec" } else { &title };
        let date = if t.wall_ns == 0 { String::new() } else { utc(t.wall_ns) };
        let run = if t.run.is_empty() { String::new() } else { format!("run {}", t.run) };
        let right = [format!("{run}  {date}"), run];

        let mut line = self.line();
        line.put_in(BOLD, title, self.style.width / 3).put(PLAIN, "  ");
        for (i, (paint, text)) in said.iter().enumerate() {
            line.put(DIM, if i > 0 { " · " } else { "" }).put(*paint, text);
        }
        let left = format!(", {} left behind", t.left());
        if t.outcome == Outcome::Unwound
            && line.width() + left.len() + 2 + width(&right[1]) <= self.style.width
        {
            line.put(PLAIN, &left);
        }
        let fitting = right.iter().map(|r| r.trim()).find(|r| {
            let text = plain(r, self.style);
            line.width() + 2 + width(&text) <= self.style.width
        });
        match fitting {
            Some(text) => {
                line.right(DIM, text, self.style.width).finish(out);
            }
            None => {
                line.finish(out);
                self.line().right(DIM, right[0].trim(), self.style.width).finish(out);
            }
        }
        for text in wrap(&self.sentence(), self.style.width, self.style) {
            self.line().put(PLAIN, &text).finish(out);
        }
    }

    fn outcome(&self) -> Vec<(Paint, String)> {
        let t = self.timeline;
        let mut said: Vec<(Paint, String)> = Vec::new();
        let failed: Vec<_> = t.spans.iter().filter(|s| failed(s)).collect();
        match (t.ready_ns, t.outcome) {
            (Some(ready), _) => said.push((GOOD_BOLD, format!("ready in {}", duration(ready)))),
            (None, Outcome::Running) => {
                said.push((GOOD_BOLD, format!("starting, {} so far", duration(t.end_ns))))
            }
            (None, Outcome::Completed) => said.push((BOLD, "completed".into())),
            // what may fail goes on: the last that failed before the undo is what it was given up for
            (None, outcome) => said.push(match failed.iter().rfind(|s| s.start_ns <= Some(self.zone)) {
                Some(s) => {
                    let at = s.end_ns.map_or(String::new(), |end| format!(", {}", duration(end)));
                    (BAD_BOLD, format!("failed at {}{at}", s.phase.name))
                }
                None if outcome == Outcome::Vanished => (BAD_BOLD, "not ready".into()),
                None => (BAD_BOLD, "failed".into()),
            }),
        }
        match (t.ready_ns, failed.as_slice()) {
            (Some(_), [one]) => said.push((BAD_BOLD, format!("{} failed", one.phase.name))),
            (Some(_), [_, ..]) => said.push((BAD_BOLD, format!("{} phases failed", failed.len()))),
            _ => {}
        }
        match t.outcome {
            Outcome::Running if t.ready_ns.is_some() => said.push((PLAIN, "running".into())),
            Outcome::Completed if t.ready_ns.is_some() && failed.is_empty() => {
                said.push((PLAIN, "completed".into()));
            }
            Outcome::Failed if failed.is_empty() && t.ready_ns.is_some() => {
                said.push((BAD_BOLD, "failed".into()));
            }
            Outcome::Unwound => said.push((PLAIN, "unwound".into())),
            Outcome::Stuck => said.push((BAD_BOLD, "stuck".into())),
            Outcome::Vanished => {
                let mut open = t.spans.iter().filter(|s| s.start_ns.is_some() && s.end_ns.is_none());
                let last = open.rfind(|s| s.start_ns < t.ready_ns.or(Some(u64::MAX)));
                let at = last.map_or(String::new(), |s| format!(" in {}", clean(&s.phase.name)));
                said.push((BAD_BOLD, format!("vanished{at}")));
            }
            _ => {}
        }
        said
    }

    /// What took the time, and who the process was: what a reader would look for first.
    fn sentence(&self) -> String {
        let mut said: Vec<String> = [self.spent(), self.who()].into_iter().flatten().collect();
        for part in &mut said {
            let mut letters = part.chars();
            *part = letters
                .next()
                .map_or(String::new(), |first| format!("{}{}.", first.to_uppercase(), letters.as_str()));
        }
        said.join(" ")
    }

    fn spent(&self) -> Option<String> {
        let spans = &self.timeline.spans;
        let goal = if self.timeline.ready_ns.is_some() { "time to ready" } else { "time" };
        let mut most: Vec<_> = self.path.iter().filter(|(_, share)| *share >= 0.2).collect();
        most.sort_by(|a, b| b.1.total_cmp(&a.1));
        // one line, whatever the name holds
        let name = |i: usize| spans.get(i).map_or(Cow::default(), |s| clean(&s.phase.name));
        let gaps = self.gaps.sum as f64 / self.zone.max(1) as f64;
        // what went on after the failure is no part of the way to it
        let gaps = if gaps + most.iter().map(|(_, s)| s).sum::<f64>() > 1.0 { 0.0 } else { gaps };
        match most.as_slice() {
            [] if gaps >= 0.2 => Some(format!("{} of the {goal} lay between phases", percent(gaps))),
            [] => None,
            [(i, share), rest @ ..] => {
                let mut text = format!("{} of the {goal} was {}", percent(*share), name(*i));
                for (i, share) in rest.iter().take(2) {
                    text.push_str(&format!(", {} {}", percent(*share), name(*i)));
                }
                if gaps >= 0.2 {
                    text.push_str(&format!("; {} lay between phases", percent(gaps)));
                }
                Some(text)
            }
        }
    }

    /// The identities of the start, in the order of time.
    fn who(&self) -> Option<String> {
        let spans = &self.timeline.spans;
        let mut ran: Vec<usize> =
            self.zones.spans(Zone::Start).filter(|i| spans[*i].start_ns.is_some()).collect();
        ran.sort_by_key(|i| (spans[*i].start_ns, *i));
        let first = ran.iter().find_map(|i| spans[*i].identity_before.as_deref())?;
        if self.parallel() {
            let mut all: Vec<String> = Vec::new();
            for i in &ran {
                for identity in [&spans[*i].identity_before, &spans[*i].identity_after].into_iter().flatten()
                {
                    let name = name(identity);
                    if all.len() < 5 && !all.contains(&name) {
                        all.push(name);
                    }
                }
            }
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            return Some(match all.as_slice() {
                [one] => format!("{one} in every process"),
                all => format!("Branches at once, as {}", list(all)),
            });
        }
        let mut parts = vec![(name(first), 0)];
        for span in ran.iter().map(|i| &spans[*i]) {
            let (Some(before), Some(after), Some(end)) =
                (&span.identity_before, &span.identity_after, span.end_ns)
            else {
                continue;
            };
            if before.uid != after.uid || Frame::of(Some(before)) != Frame::of(Some(after)) {
                parts.push((name(after), end));
            }
        }
        let mut text = String::new();
        for (i, (name, from)) in parts.iter().enumerate().take(4) {
            if i > 0 {
                text.push_str(", then ");
            }
            text.push_str(name);
            match parts.get(i + 1) {
                Some((_, until)) => text.push_str(&format!(" for {}", duration(until.saturating_sub(*from)))),
                None if i == 0 => text.push_str(" all the time"),
                None => {}
            }
        }
        Some(text)
    }
}

/// "root", "uid 1000", "uid 1000 with cap_net_bind_service".
fn name(identity: &Identity) -> String {
    let [real, effective, saved] = identity.uid;
    let who = match effective {
        0 => "root".to_owned(),
        uid => format!("uid {uid}"),
    };
    if effective == 0 {
        return who;
    }
    let held = identity.permitted;
    match held.len() {
        _ if real == 0 || saved == 0 => format!("{who}, which may become root again"),
        0 => who,
        1..=2 => format!("{who} with {}", list(&held.iter().map(|c| c.name()).collect::<Vec<_>>())),
        n => format!("{who} with {n} capabilities"),
    }
}
