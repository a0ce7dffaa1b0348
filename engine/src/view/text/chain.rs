//! What ready waited for, in the order of time, and what had time to spare.

use super::frame::Frame;
use super::line::{BAD_BOLD, BOLD, DIM, GOOD_BOLD, PLAIN, width};
use super::{Page, percent};
use crate::text::duration;
use crate::timeline::{Link, Outcome, chain, slack};
use crate::view::fold::failed;

/// Where starts end, durations end, shares end, names begin.
const STARTS: usize = 12;
const TOOK: usize = 21;
const SHARE: usize = 28;
const NAME: usize = 30;
/// Links and waits with a smaller share are told together.
const SMALL: f64 = 0.01;
/// At most so many phases with time to spare are told.
const SPARE: usize = 10;

impl Page<'_> {
    /// The chain, and below it the slack of the others.
    pub(super) fn chain(&self, out: &mut String) {
        let path = chain(self.timeline);
        let mut head = self.line();
        head.right(DIM, "starts at", STARTS).right(DIM, "took", TOOK).right(DIM, "share", SHARE);
        head.to(NAME).put(DIM, "phase").finish(out);

        let whole = self.whole(&path).max(1) as f64;
        let mut small_waits = 0;
        let mut at = 0;
        while let Some(link) = path.get(at) {
            if link.wait_ns as f64 / whole >= SMALL {
                let said = match at {
                    0 => "before the first phase began",
                    _ => "between phases: nothing it needs ran",
                };
                self.wait(link.wait_ns, whole, said, out);
            } else {
                small_waits += link.wait_ns;
            }
            let run = self.alike(&path[at..], whole);
            // their own waits are told with the others, so that no time is told twice
            small_waits += path[at..at + run].iter().skip(1).map(|l| l.wait_ns).sum::<u64>();
            self.links(&path[at..at + run], out);
            at += run;
        }
        let end: u64 = path.iter().map(|l| l.own_ns + l.wait_ns).sum();
        if let Some(ready) = self.timeline.ready_ns {
            small_waits += ready.saturating_sub(end);
            let mut line = self.line();
            line.put(GOOD_BOLD, "●").right(GOOD_BOLD, &duration(ready), STARTS).to(NAME);
            line.put(GOOD_BOLD, "ready").finish(out);
        }
        if small_waits > 0 {
            self.wait(small_waits, whole, "in shorter waits, together", out);
        }
        self.spare(out);
    }

    /// The time that the shares are of.
    fn whole(&self, path: &[Link]) -> u64 {
        self.timeline.ready_ns.unwrap_or_else(|| path.iter().map(|l| l.own_ns + l.wait_ns).sum())
    }

    /// How many links from the first on are told in one row: small ones of one identity, none failed.
    fn alike(&self, path: &[Link], whole: f64) -> usize {
        let frame = |l: &Link| Frame::of(self.timeline.spans[l.span].identity_before.as_deref());
        let whole_span = |l: &Link| {
            let span = &self.timeline.spans[l.span];
            !failed(span) && span.end_ns.is_some()
        };
        let small = |l: &Link| l.share < SMALL && whole_span(l);
        let Some(first) = path.first().filter(|l| small(l) && self.style.rows < usize::MAX) else { return 1 };
        let fits = |l: &&Link| small(l) && frame(l) == frame(first) && (l.wait_ns as f64 / whole) < SMALL;
        1 + path[1..].iter().take_while(fits).count()
    }

    fn links(&self, links: &[Link], out: &mut String) {
        let spans = &self.timeline.spans;
        let Some(span) = links.first().and_then(|l| spans.get(l.span)) else { return };
        let frame = Frame::of(span.identity_before.as_deref());
        let own: u64 = links.iter().map(|l| l.own_ns).sum();
        let share: f64 = links.iter().map(|l| l.share).sum();
        let bad = failed(span);
        let big = share >= super::CRITICAL;
        let mut line = self.line();
        line.put(frame.paint(), frame.side());
        line.right(PLAIN, &duration(span.start_ns.unwrap_or(0)), STARTS);
        line.right(if big { BOLD } else { PLAIN }, &duration(own), TOOK);
        if share >= SMALL {
            line.right(if big { BOLD } else { DIM }, &percent(share), SHARE);
        }
        line.to(NAME);
        match links {
            [_] => {
                match span.end_ns {
                    _ if bad => line.put(BAD_BOLD, "✗ "),
                    Some(_) => &mut line,
                    None if self.timeline.outcome == Outcome::Running => line.put(BOLD, "▸ "),
                    None => line.put(BAD_BOLD, "! "),
                };
                line.put(
                    if bad {
                        BAD_BOLD
                    } else if big {
                        BOLD
                    } else {
                        PLAIN
                    },
                    &span.phase.name,
                );
                if !span.phase.detail.is_empty() {
                    line.put(PLAIN, " ").put_detail(DIM, &span.phase.detail, usize::MAX);
                }
            }
            many => {
                let names = many.iter().map(|l| spans[l.span].phase.name.as_str());
                line.put(PLAIN, &self.way(names, many.len(), self.style.width.saturating_sub(NAME)));
            }
        }
        line.finish(out);
    }

    /// "a → b → c", or "a → … 8 phases … → c" where that is too long.
    fn way<'n>(
        &self,
        mut names: impl DoubleEndedIterator<Item = &'n str> + Clone,
        n: usize,
        room: usize,
    ) -> String {
        if n <= 12 {
            let all = names.clone().collect::<Vec<_>>().join(" → ");
            if width(&all) <= room {
                return all;
            }
        }
        let (first, last) = (names.next().unwrap_or_default(), names.next_back().unwrap_or_default());
        match n {
            2 => format!("{first} → {last}"),
            n => format!("{first} → … {} more … → {last}", n - 2),
        }
    }

    fn wait(&self, ns: u64, whole: f64, said: &str, out: &mut String) {
        let mut line = self.line();
        line.put(DIM, "·").right(DIM, &duration(ns), TOOK);
        let share = ns as f64 / whole;
        if share >= 0.001 {
            line.right(DIM, &percent(share), SHARE);
        }
        line.to(NAME).put(DIM, said).finish(out);
    }

    /// The phases that could have ended later, those with the least to spare first.
    fn spare(&self, out: &mut String) {
        let spans = &self.timeline.spans;
        let mut spare: Vec<(u64, usize)> = slack(self.timeline)
            .into_iter()
            .enumerate()
            .filter_map(|(i, s)| Some((s.filter(|s| *s > 0)?, i)))
            .collect();
        spare.sort_unstable();
        let goal = if self.timeline.ready_ns.is_some() { "ready" } else { "the end" };
        out.push('\n');
        if spare.is_empty() {
            let said =
                format!("every phase that ended before {goal} was on the way to it: none had time to spare");
            for text in super::line::wrap(&said, self.style.width, self.style) {
                self.line().put(DIM, &text).finish(out);
            }
            return;
        }
        let mut head = self.line();
        head.right(DIM, "ended at", STARTS).right(DIM, "to spare", TOOK).to(NAME);
        head.put(DIM, &format!("before it would have delayed {goal}")).finish(out);
        for (ns, i) in spare.iter().take(if self.style.rows == usize::MAX { usize::MAX } else { SPARE }) {
            let span = &spans[*i];
            let frame = Frame::of(span.identity_before.as_deref());
            let mut line = self.line();
            line.put(frame.paint(), frame.side());
            line.right(PLAIN, &duration(span.end_ns.unwrap_or(0)), STARTS).right(PLAIN, &duration(*ns), TOOK);
            line.to(NAME).put(PLAIN, &span.phase.name);
            if !span.phase.detail.is_empty() {
                line.put(PLAIN, " ").put_detail(DIM, &span.phase.detail, usize::MAX);
            }
            line.finish(out);
        }
        if spare.len() > SPARE && self.style.rows < usize::MAX {
            let said = format!("{} more (--all shows them)", spare.len() - SPARE);
            self.line().put(DIM, "…").to(NAME).put(DIM, &said).finish(out);
        }
    }
}
