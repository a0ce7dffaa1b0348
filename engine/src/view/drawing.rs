//! The drawing of a run, shared by the HTML and the SVG view: lanes, rows, bars, lines.
//!
//! Across, every position is a part of the width (in hundredths of a per cent, printed as per cent),
//! so that a drawing fits any width and is zoomed by widening it. Down, positions are pixels.

mod bars;
pub(super) mod ink;
pub(super) mod label;
mod lanes;
mod links;
mod palette;
mod plot;
pub(super) mod rows;
mod ruler;
pub(super) mod story;
mod ticks;

use super::axis::Scale;
use super::fold::Folds;
use super::zones::Window;
use crate::timeline::{Link, Timeline, chain};
use ink::Who;
use lanes::Lane;
pub(super) use lanes::People;
pub(super) use palette::{RULES, flat, flat_of, properties};
pub(super) use plot::definitions;
use rows::Row;
use ruler::{Ruler, Xs};
use std::collections::HashMap;

/// Parts of the time to ready below this are not drawn as critical.
pub(super) const CRITICAL: f64 = 0.05;
/// Above the lanes: titles of the parts, and ticks.
const HEAD: u32 = 48;
/// A row of a lane.
const LANE: u32 = 21;
/// Below the lanes.
const BELOW_LANES: u32 = 12;
/// With more rows, only the lines of the critical path and of the selected row are drawn.
const QUIET: usize = 40;

/// What is folded so that about so many rows are left; what took most of the time is not.
pub(super) fn folds(timeline: &Timeline, rows: usize) -> Folds {
    let path = if timeline.spans.len() > rows { chain(timeline) } else { Vec::new() };
    Folds::new(timeline, path.iter().filter(|l| l.share >= CRITICAL).map(|l| l.span), rows)
}

/// What is drawn, and where.
pub(super) struct Drawing<'a> {
    pub(super) timeline: &'a Timeline,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) height: u32,
    /// where the rows begin
    top: u32,
    pub(super) path: Vec<Link>,
    /// of each span on the path that is worth a mark
    shares: HashMap<usize, f64>,
    pub(super) people: People,
    lanes: Vec<Lane>,
    ruler: Ruler,
    /// the scale that is drawn first, a number in [`Scale::ALL`]
    scale: usize,
    /// positions that are not the same in every scale
    places: Places,
}

/// Positions in every scale, each kept once.
#[derive(Default)]
struct Places {
    list: Vec<Xs>,
    by: HashMap<Xs, usize>,
}

impl Places {
    fn of(&mut self, xs: Xs) -> usize {
        let next = self.list.len();
        let at = *self.by.entry(xs).or_insert(next);
        if at == next {
            self.list.push(xs);
        }
        at
    }
}

impl<'a> Drawing<'a> {
    pub(super) fn new(timeline: &'a Timeline, folds: &'a Folds, scale: Scale, window: Window) -> Drawing<'a> {
        let people = People::new(timeline);
        let lanes = lanes::lanes(timeline, people);
        let of_lanes: usize = lanes.iter().map(|l| l.rows.len().max(1)).sum();
        let top = HEAD + LANE * u32::try_from(of_lanes).unwrap_or(4) + BELOW_LANES;
        let drawn: Vec<usize> = (0..timeline.spans.len()).filter(|i| !folds.hides(*i)).collect();
        let ruler = Ruler::new(timeline, &drawn, window);
        let rows = rows::rows(timeline, folds, people, (&ruler.zones, window), top);
        let height = rows.last().map_or(top, |r| r.y + r.height) + 10;
        let path = chain(timeline);
        let shares = path.iter().filter(|l| l.share >= CRITICAL).map(|l| (l.span, l.share)).collect();
        let scale = Scale::ALL.iter().position(|(s, _)| *s == scale).unwrap_or(1);
        Drawing {
            timeline,
            rows,
            height,
            top,
            path,
            shares,
            people,
            lanes,
            ruler,
            scale,
            places: Places::default(),
        }
    }

    /// The lanes: title, upper edge, height.
    pub(super) fn lane_titles(&self) -> Vec<(&'static str, u32, u32)> {
        let mut y = HEAD;
        let titles = self.lanes.iter().map(|lane| {
            let height = LANE * lane.rows.len().max(1) as u32;
            y += height;
            (lane.title, y - height, height)
        });
        titles.collect()
    }

    /// Every identity of the run with words for it, in the order of their sorts; one of each sort.
    pub(super) fn legend(&self) -> Vec<(Who, String)> {
        let mut found: Vec<(Who, String)> = Vec::new();
        for span in &self.timeline.spans {
            for identity in [&span.identity_before, &span.identity_after].into_iter().flatten() {
                let who = self.people.who(Some(identity));
                if !found.iter().any(|(w, _)| *w == who) {
                    let user = match who {
                        Who::Other => "another user".to_owned(),
                        _ => ink::user(identity),
                    };
                    found.push((who, format!("{user}, {}", ink::capabilities(identity.caps))));
                }
            }
        }
        found.sort();
        found
    }

    /// The share of a span in the critical path, where it is worth a mark.
    pub(super) fn share(&self, span: usize) -> Option<f64> {
        self.shares.get(&span).copied()
    }

    /// "3850 daemon".
    pub(super) fn process(&self, pid: u32) -> String {
        lanes::process(self.timeline, pid)
    }

    /// Positions as JSON: for each scale, all of them in hundredths of a per cent.
    pub(super) fn positions(&self) -> String {
        let scale = |k: usize| {
            let all: Vec<String> = self.places.list.iter().map(|xs| xs[k].to_string()).collect();
            format!("[{}]", all.join(","))
        };
        format!("[{},{},{}]", scale(0), scale(1), scale(2))
    }
}

/// "12.34%".
fn percent(units: u32) -> String {
    match (units / 100, units % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, part) if part % 10 == 0 => format!("{whole}.{}%", part / 10),
        (whole, part) => format!("{whole}.{part:02}%"),
    }
}
