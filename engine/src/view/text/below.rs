//! What is said below the table: where the time went, why it failed, what to do.

use super::line::{BAD_BOLD, BOLD, DIM, PLAIN, Paint, plain, width, wrap};
use super::{Page, Shown, percent};
use crate::text::{clean, count, duration};
use crate::timeline::Outcome;
use crate::view::fold::failed;

/// At most so many failures, and so many notes, are told in full.
const MANY: usize = 12;
const INDENT: usize = 6;

impl Page<'_> {
    pub(super) fn below(&self, out: &mut String) {
        let mut said = String::new();
        if self.style.shown == Shown::Timeline {
            self.time(&mut said);
        }
        self.why(&mut said);
        self.differences(&mut said);
        self.notes(&mut said);
        if !said.is_empty() {
            out.push('\n');
            out.push_str(&said);
        }
    }

    fn time(&self, out: &mut String) {
        let spans = &self.timeline.spans;
        let mut slowest: Vec<_> = self.path.clone();
        slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
        slowest.truncate(5);
        slowest.sort_by_key(|(i, _)| (spans[*i].start_ns, *i));
        let told: Vec<_> = slowest
            .iter()
            .filter_map(|(i, share)| {
                let took = duration(spans[*i].took()?);
                Some(format!("{} {took} ({})", clean(&spans[*i].phase.name), percent(*share)))
            })
            .collect();
        let mut text = String::new();
        if told.len() > 1 {
            text = format!("◆ critical: {}", told.join(", "));
        }
        let gap = self.gaps.sum;
        let share = gap as f64 / self.zone.max(1) as f64;
        if share >= 0.01 && self.zone > 0 {
            let sep = if text.is_empty() { "" } else { " · " };
            let sign = if self.gaps.drawn.get() { "░ " } else { "" };
            text.push_str(&format!("{sep}{sign}between phases {} ({})", duration(gap), percent(share)));
            if let Some((i, ns)) = self.gaps.longest().filter(|(_, ns)| *ns < gap && *ns > gap / 2) {
                text.push_str(&format!(", {} of it before {}", duration(ns), clean(&spans[i].phase.name)));
            }
        }
        self.say("time", PLAIN, "", &[&text], out);
    }

    fn why(&self, out: &mut String) {
        let all: Vec<_> = self.timeline.spans.iter().enumerate().filter(|(_, s)| failed(s)).collect();
        for (i, span) in all.iter().take(MANY) {
            let Some(error) = &span.error else { continue };
            let mut why = Vec::new();
            if error.why.is_none() || !self.fits(*i, error) {
                why.push(error.message.as_str());
            }
            why.extend(error.why_lines());
            self.say("why", BAD_BOLD, &span.phase.name, &why, out);
            self.say("fix", PLAIN, "", &[error.help.as_deref().unwrap_or_default()], out);
        }
        if all.len() > MANY {
            self.say("why", PLAIN, "", &[&format!("{} failed", count(all.len() - MANY, "more phase"))], out);
        }
        if self.timeline.outcome == Outcome::Vanished {
            let of = self.timeline.stayed();
            let seen = duration(self.timeline.end_ns);
            let text = format!(
                "process {of} is gone and left no record of its end; its last one is of {seen}. It was killed \
                 (SIGKILL, want of memory), or the machine went down"
            );
            self.say("why", BAD_BOLD, "", &[&text], out);
        }
        let stuck = self.timeline.spans.iter().flat_map(|s| s.undo.iter().map(move |(what, e)| (s, what, e)));
        for (span, what, error) in stuck.filter_map(|(s, w, e)| Some((s, w, e.as_ref()?))).take(MANY) {
            let head = format!("could not {what}: {}", error.message);
            let why = [head.as_str(), error.why.as_deref().unwrap_or_default()];
            self.say("left", BAD_BOLD, &span.phase.name, &why, out);
            self.say("fix", PLAIN, "", &[error.help.as_deref().unwrap_or_default()], out);
        }
    }

    /// Where the machine was not as predicted, and what that may mean.
    fn differences(&self, out: &mut String) {
        let all = &self.timeline.divergences;
        for d in all.iter().take(MANY) {
            let meaning = format!("it may mean that {}", d.meaning());
            self.say("diff", BAD_BOLD, &d.phase, &[&d.sentence(), &meaning], out);
        }
        if all.len() > MANY {
            self.say("diff", PLAIN, "", &[&count(all.len() - MANY, "more difference")], out);
        }
    }

    fn notes(&self, out: &mut String) {
        let mut notes: Vec<(String, String)> = Vec::new();
        let t = self.timeline;
        for span in &t.spans {
            notes.extend(span.notes.iter().map(|n| (span.phase.name.clone(), n.clone())));
        }
        for (at, signal, then) in t.signals.iter().rev().take(3).rev() {
            notes.push((format!("{signal} after {}", duration(*at)), then.clone()));
        }
        if let Some(said) = self.folds.said() {
            notes.push((String::new(), format!("{said}; --all shows them one by one")));
        }
        let all = notes.len();
        for (head, note) in notes.iter().take(MANY) {
            self.say("note", BOLD, head, &[note], out);
        }
        if all > MANY {
            self.say("note", PLAIN, "", &[&count(all - MANY, "more note")], out);
        }
        for problem in &t.problems {
            self.say("note", PLAIN, "", &[problem], out);
        }
    }

    /// A labelled paragraph that begins with `head:`; nothing if there is nothing to say.
    fn say(&self, label: &str, paint: Paint, head: &str, text: &[&str], out: &mut String) {
        let room = self.style.width - INDENT;
        let head = match head {
            "" => String::new(),
            head => format!("{}: ", super::line::cut(&plain(head, self.style), room / 2, self.style)),
        };
        // the head is wrapped with the text, as one word, and painted afterwards
        let stand_in = "x".repeat(width(&head).saturating_sub(1));
        let mut lines = Vec::new();
        for part in text.iter().filter(|p| !p.trim().is_empty()) {
            match lines.is_empty() && !head.is_empty() {
                true => lines = wrap(&format!("{stand_in} {part}"), room, self.style),
                false => lines.extend(wrap(part, room, self.style)),
            }
        }
        for (i, text) in lines.iter().enumerate() {
            let mut line = self.line();
            line.put(DIM, if i == 0 { label } else { "" }).to(INDENT);
            let rest = match text.strip_prefix(&stand_in) {
                Some(rest) if i == 0 && !head.is_empty() => {
                    line.put(paint, head.trim_end().trim_end_matches(':')).put(PLAIN, ":");
                    rest
                }
                _ => text,
            };
            line.put(PLAIN, rest).finish(out);
        }
    }
}
