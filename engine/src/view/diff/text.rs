//! The comparison for a terminal.

use super::{Diff, Sense, Times, Verdict, some};
use crate::text::{count, duration};
use crate::timeline::Timeline;
use crate::timeline::history::ENOUGH;
use crate::view::text::TextStyle;
use crate::view::text::line::{
    BAD, BAD_BOLD, BOLD, DIM, GOOD, GOOD_BOLD, Line, PLAIN, Paint, plain, width, wrap,
};

/// So many changes of a kind are told, and so many phases have a row, unless all are asked for.
const MANY: usize = 12;
/// Where the sentences about changes begin.
const INDENT: usize = 12;

/// The whole page, every line at most as wide as asked.
pub fn render(diff: &Diff, style: &TextStyle) -> String {
    let style = &TextStyle { width: style.width.clamp(60, 1_000), ..style.clone() };
    let many = if style.rows == usize::MAX { usize::MAX } else { MANY };
    let mut out = String::new();
    let page = Page { diff, style, many };
    if diff.same() {
        page.same(&mut out);
    } else {
        page.header(&mut out);
        page.times(&mut out);
        page.changes(&mut out);
    }
    page.problems(&mut out);
    out
}

struct Page<'a> {
    diff: &'a Diff<'a>,
    style: &'a TextStyle,
    many: usize,
}

fn signed(change: i128) -> String {
    let size = u64::try_from(change.unsigned_abs()).unwrap_or(u64::MAX);
    match change {
        0 => "0".to_owned(),
        1.. => format!("+{}", duration(size)),
        _ => format!("-{}", duration(size)),
    }
}

fn name(t: &Timeline) -> &str {
    if t.run.is_empty() { "?" } else { &t.run }
}

fn paints(times: &Times) -> (Paint, Paint) {
    match times.verdict {
        Verdict::Slower => (BAD, BAD_BOLD),
        Verdict::Faster => (GOOD, GOOD_BOLD),
        Verdict::Noise => (DIM, PLAIN),
        Verdict::Unknown => (PLAIN, BOLD),
    }
}

impl<'a> Page<'a> {
    fn line(&self) -> Line<'a> {
        Line::new(self.style)
    }

    fn title(&self) -> String {
        let title = self.diff.new.title();
        if title.is_empty() { "unknown spec".to_owned() } else { title }
    }

    /// One line where nothing changed.
    fn same(&self, out: &mut String) {
        let (d, mut line) = (self.diff, self.line());
        line.put_in(BOLD, &self.title(), self.style.width / 3).put(PLAIN, "  ");
        let (old, new) = (name(d.old), name(d.new));
        let text = match (old == new, d.ready) {
            (true, _) => format!("{old} compared with itself: no difference"),
            (false, None) => format!("{old} and {new}: no difference in {}", count(d.common, "phase")),
            (false, Some(ready)) => format!(
                "{old} and {new}: no difference, ready in {} and {}",
                duration(ready.old_ns),
                duration(ready.new_ns)
            ),
        };
        line.put(GOOD, &text).finish(out);
    }

    fn header(&self, out: &mut String) {
        let (d, mut line) = (self.diff, self.line());
        line.put_in(BOLD, &self.title(), self.style.width / 3).put(PLAIN, "  ");
        match d.ready {
            Some(ready) => {
                let (_, bold) = paints(&ready);
                let times = format!("{} → {}", duration(ready.old_ns), duration(ready.new_ns));
                line.put(PLAIN, "ready ").put(bold, &times);
                line.put(PLAIN, "  ").put(bold, &signed(ready.change()));
                if ready.verdict == Verdict::Noise {
                    line.put(DIM, "  in the noise");
                }
            }
            None => {
                let ready = |t: &Timeline| match t.ready_ns {
                    Some(ready) => format!("ready in {}", duration(ready)),
                    None => "not ready".to_owned(),
                };
                line.put(BOLD, &format!("{} → {}", ready(d.old), ready(d.new)));
            }
        }
        let runs = format!("{} → {}", name(d.old), name(d.new));
        if line.width() + 2 + width(&plain(&runs, self.style)) <= self.style.width {
            line.right(DIM, &runs, self.style.width);
        }
        line.finish(out);
        self.line().put(DIM, &self.noise()).finish(out);
    }

    /// What can be said about noise.
    fn noise(&self) -> String {
        let kept = self.diff.history;
        let known = self.diff.ready.and_then(|r| r.noise_ns);
        let earlier = count(kept, "earlier run");
        match (known, kept) {
            (Some(noise), _) => {
                format!("noise ±{} to ready over {earlier} (3 times the median deviation)", duration(noise))
            }
            (None, 0) => "no earlier run that did the same is kept, so what is noise is not known".to_owned(),
            (None, n) if n < ENOUGH => {
                format!("only {earlier} kept, so what is noise is not known ({ENOUGH} are needed)")
            }
            (None, _) => format!("{earlier} kept; what is noise is known phase by phase"),
        }
    }

    fn times(&self, out: &mut String) {
        let all = &self.diff.times;
        let remarkable = |t: &Times| t.verdict != Verdict::Noise && t.old_ns != t.new_ns;
        // without a verdict, what is a hundredth of the time to ready or of the largest change
        let whole = self.diff.ready.map_or(0, |r| r.old_ns.max(r.new_ns));
        let least = whole.max(all.first().map_or(0, |(_, t)| t.size())) / 100;
        let worth = |t: &Times| remarkable(t) && (t.verdict != Verdict::Unknown || t.size() >= least);
        let shown: Vec<_> = all.iter().filter(|(_, t)| worth(t)).take(self.many).collect();
        let rest: Vec<_> =
            all.iter().filter(|(n, _)| !shown.iter().any(|(s, _)| std::ptr::eq(s, n))).collect();
        if all.is_empty() {
            return;
        }
        out.push('\n');
        let more = match (rest.len(), shown.len()) {
            (n, 0) => count(n, "phase"),
            (n, _) => format!("{n} more"),
        };
        let names = shown.iter().map(|(n, _)| width(&plain(n, self.style)));
        let name = 2 + names.chain([width(&more), 12]).max().unwrap_or(0).min(self.style.width * 2 / 5);
        let (old, new, change) = (name + 10, name + 20, name + 32);
        let bar = change + 2;
        let cells = self.style.width.saturating_sub(bar);
        let max = shown.iter().map(|(_, t)| t.size()).max().unwrap_or(0).max(1);
        let bars = cells >= 10 && !shown.is_empty();

        let mut line = self.line();
        line.to(2).put(DIM, "phase").right(DIM, "old", old).right(DIM, "new", new);
        line.right(DIM, "change", change);
        if bars {
            line.to(bar).put(DIM, "0").right(DIM, &duration(max), self.style.width);
        }
        line.finish(out);
        for (phase, t) in &shown {
            let (paint, bold) = paints(t);
            let mut line = self.line();
            line.to(2).put_in(PLAIN, phase, name.saturating_sub(2));
            line.right(PLAIN, &duration(t.old_ns), old).right(PLAIN, &duration(t.new_ns), new);
            line.right(bold, &signed(t.change()), change);
            if bars {
                let eighths = (u128::from(t.size()) * cells as u128 * 8 / u128::from(max)) as usize;
                let sign = if t.change() > 0 { "█" } else { "▒" };
                let part = if t.change() > 0 { EIGHTHS[eighths % 8] } else { "" };
                let part = if eighths < 8 { "▏" } else { part };
                line.to(bar).put(paint, &sign.repeat(eighths / 8)).put(paint, part);
            }
            line.finish(out);
        }
        if !rest.is_empty() {
            let sum = |f: fn(&Times) -> u64| rest.iter().fold(0u64, |n, (_, t)| n.saturating_add(f(t)));
            let all_noise = rest.iter().all(|(_, t)| !remarkable(t));
            let (was, is) = (sum(|t| t.old_ns), sum(|t| t.new_ns));
            let said =
                if all_noise { "in noise".to_owned() } else { signed(i128::from(is) - i128::from(was)) };
            let mut line = self.line();
            line.to(2).put(DIM, &more).right(DIM, &duration(was), old).right(DIM, &duration(is), new);
            line.right(DIM, &said, change).finish(out);
        }
    }

    fn changes(&self, out: &mut String) {
        out.push('\n');
        let phases = count(self.diff.common, "phase");
        for (class, changes) in self.diff.classes() {
            let same = match class {
                "identity" => format!("the same wherever {phases} ran"),
                "state" => "all ended as before".to_owned(),
                "order" => format!("same {phases}, same needs"),
                _ if changes.is_empty() => continue,
                _ => String::new(),
            };
            if changes.is_empty() {
                self.say("=", DIM, class, PLAIN, &same, out);
            }
            let mut label = class;
            for change in changes.iter().take(self.many) {
                let (sign, paint, text) = match change.sense {
                    Sense::Worse => ("!", BAD_BOLD, BOLD),
                    Sense::Better => ("✓", GOOD, PLAIN),
                    Sense::Other => ("~", BOLD, PLAIN),
                };
                let also = match change.also.as_slice() {
                    // they are in the sentence
                    _ if matches!(change.field, "added" | "removed") => String::new(),
                    [] => String::new(),
                    names => format!("; also {}", some(names)),
                };
                self.say(sign, paint, label, text, &format!("{}{also}", change.text), out);
                label = "";
            }
            if changes.len() > self.many {
                let more = format!("{} more", changes.len() - self.many);
                self.say("", PLAIN, "", DIM, &more, out);
            }
        }
    }

    /// A sentence behind its sign and class.
    fn say(&self, sign: &str, paint: Paint, class: &str, text: Paint, said: &str, out: &mut String) {
        for (i, part) in wrap(said, self.style.width - INDENT, self.style).iter().enumerate() {
            let mut line = self.line();
            if i == 0 {
                line.put(paint, sign).to(2).put(DIM, class);
            }
            line.to(INDENT).put(text, part).finish(out);
        }
    }

    fn problems(&self, out: &mut String) {
        for (word, t) in [("old", self.diff.old), ("new", self.diff.new)] {
            for problem in &t.problems {
                self.say("!", BOLD, "record", PLAIN, &format!("{word}: {problem}"), out);
            }
        }
    }
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
