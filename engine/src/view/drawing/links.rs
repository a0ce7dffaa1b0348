//! Lines between bars: needs, and the critical path.

use super::rows::{Kind, PHASE, Row};
use super::ruler::{Bars, Xs};
use super::{Drawing, QUIET, percent};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

impl Drawing<'_> {
    /// Lines from what ended to what could begin then.
    pub(super) fn links(&mut self, rows: &[Row], out: &mut String) {
        let mut of: HashMap<usize, (u32, Bars)> = HashMap::new();
        for row in rows {
            let Kind::Phase(i) = row.kind else { continue };
            let Some((span, start)) = self.timeline.spans.get(i).and_then(|s| Some((s, s.start_ns?))) else {
                continue;
            };
            let end = span.end_ns.unwrap_or(self.timeline.end_ns).max(start);
            of.insert(i, (row.y, self.ruler.bar(self.ruler.slot_of(i), start, end)));
        }
        let quiet = of.len() > QUIET;
        // folded phases are passed over: the line goes on at the next that is drawn
        let critical: Vec<usize> = self.path.iter().map(|l| l.span).filter(|i| of.contains_key(i)).collect();
        let chained: Vec<(usize, usize)> =
            critical.windows(2).filter_map(|w| Some((*w.first()?, *w.get(1)?))).collect();
        let critical: HashSet<(usize, usize)> = chained.iter().copied().collect();
        let mut needs: Vec<(usize, usize)> = Vec::new();
        let names: HashMap<&str, usize> =
            of.keys().filter_map(|i| Some((self.timeline.spans.get(*i)?.phase.name.as_str(), *i))).collect();
        let mut drawn: Vec<usize> = of.keys().copied().collect();
        drawn.sort_unstable();
        for to in drawn {
            for need in self.timeline.spans.get(to).into_iter().flat_map(|s| &s.phase.needs) {
                if let Some(from) = names.get(need.as_str()).filter(|from| !critical.contains(&(**from, to)))
                {
                    needs.push((*from, to));
                }
            }
        }
        let _ = write!(out, "<g class=\"needs{}\">", if quiet { " quiet" } else { "" });
        for (from, to) in needs.into_iter().take(5_000) {
            self.elbow(&of, from, to, out);
        }
        out.push_str("</g><g class=\"critical\">");
        for (from, to) in chained {
            self.elbow(&of, from, to, out);
        }
        out.push_str("</g>");
    }

    fn elbow(&mut self, of: &HashMap<usize, (u32, Bars)>, from: usize, to: usize, out: &mut String) {
        let (Some((y1, a)), Some((y2, b))) = (of.get(&from), of.get(&to)) else { return };
        let down = y2 > y1;
        // from the edge of one bar to the edge of the other, along the border of the first row
        let (begin, turn, end) =
            if down { (y1 + PHASE - 5, y1 + PHASE, y2 + 5) } else { (y1 + 5, *y1, y2 + PHASE - 5) };
        let (x1, x2): (Xs, Xs) = (a.map(|b| b.to), b.map(|b| b.from));
        let (here, there) = (self.x(x1), self.x(x2));
        let (n1, n2) = (self.places.of(x1), self.places.of(x2));
        let turn_to = i64::from(turn) - i64::from(begin);
        let rest = i64::from(end) - i64::from(turn);
        let _ = write!(
            out,
            "<g data-from=\"{from}\" data-to=\"{to}\"><svg class=\"over\"{here} y=\"{begin}\"><path d=\"M-3,0v{turn_to}h3\"/></svg>\
             <line x1=\"{}\" x2=\"{}\" y1=\"{turn}\" y2=\"{turn}\" data-x1=\"{n1}\" data-x2=\"{n2}\"/>\
             <svg class=\"over\"{there} y=\"{turn}\"><path d=\"M0,0h3v{rest}\"/></svg></g>",
            percent(x1[self.scale]),
            percent(x2[self.scale]),
        );
    }
}
