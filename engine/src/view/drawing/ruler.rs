//! Where time lies across a drawing: each part of the run by its meaning, with an axis of its own.

use super::super::axis::{Axis, Bar, Scale};
use super::super::zones::{Part, Window, Zone, Zones};
use crate::text::duration;
use crate::timeline::{Span, Timeline};

/// The width of every drawing, in units: a hundredth of a per cent each.
pub(super) const WIDTH: u32 = 10_000;
/// A bar is at least this wide: 17 of 850 pixels.
const LEAST: u32 = 200;
/// A pause in which nothing ran is at least this wide.
const PAUSE: u32 = 40;
/// A character above the axis: 5.6 of 430 pixels.
const CHARACTER: u32 = 130;
/// Between two parts.
const BETWEEN: u32 = 90;

/// One part of the run, and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) part: Part,
    pub(super) left: u32,
    pub(super) right: u32,
    /// one for each scale, in the order of [`Scale::ALL`]
    axes: Vec<Axis>,
}

/// Where moments lie.
#[derive(Clone, Debug)]
pub(super) struct Ruler {
    pub(super) slots: Vec<Slot>,
    pub(super) zones: Zones,
}

/// One place in every scale, in units.
pub(super) type Xs = [u32; 3];

/// One bar in every scale.
pub(super) type Bars = [Bar; 3];

impl Ruler {
    /// Cut at the begins and ends of the spans that are drawn.
    pub(super) fn new(timeline: &Timeline, drawn: &[usize], window: Window) -> Ruler {
        let zones = Zones::new(timeline).within(window);
        let share = |part: &Part| match part.zone {
            Zone::Start => 0,
            // how long it was stands above it, and must not reach the next part
            Zone::Run => (duration(part.took()).chars().count() as u32 * CHARACTER + CHARACTER).max(1_100),
            Zone::Stop => 1_500,
            Zone::Undo => 3_000,
        };
        let taken: u32 = zones.parts.iter().skip(1).map(|p| share(p) + BETWEEN).sum();
        let mut left = 0;
        let mut slots = Vec::new();
        for part in &zones.parts {
            let width = if part.zone == Zone::Start { WIDTH - taken } else { share(part) };
            let intervals = intervals(timeline, drawn, part);
            let axis = |(scale, _): &(Scale, &str)| {
                // RUN has one long bar and no scale
                let scale = if part.zone == Zone::Run { Scale::Steps } else { *scale };
                let least = if scale == Scale::Time { 24 } else { LEAST };
                let full = |n: usize| n as u64 * u64::from(least) > u64::from(width);
                let least = if scale == Scale::Steps && full(intervals.len()) { 24 } else { least };
                // what is short beside START-UP is not drawn as if it were long
                let whole = zones.parts.first().map_or(0, |p| p.took());
                let like = u128::from(whole) * u128::from(width) / u128::from(WIDTH - taken).max(1);
                let end = match part.zone {
                    Zone::Stop | Zone::Undo => part.took().max(u64::try_from(like).unwrap_or(u64::MAX)),
                    _ => part.took(),
                };
                Axis::with_scale(scale, &intervals, end, width, least, PAUSE)
            };
            let axes = Scale::ALL.iter().map(axis).collect();
            slots.push(Slot { part: *part, left, right: left + width, axes });
            left += width + BETWEEN;
        }
        Ruler { slots, zones }
    }

    /// The last moment that is drawn.
    pub(super) fn end(&self) -> u64 {
        self.slots.last().map_or(0, |s| s.part.to)
    }

    /// Where a moment lies. At the border of two parts: in the later one.
    pub(super) fn at(&self, t: u64) -> Xs {
        let slot = self.slots.iter().rposition(|s| s.part.from <= t).unwrap_or(0);
        self.within(slot, t)
    }

    /// Where the end of something lies: at a border, in the earlier part.
    pub(super) fn until(&self, t: u64) -> Xs {
        let slot = self.slots.iter().rposition(|s| s.part.from < t).unwrap_or(0);
        self.within(slot, t)
    }

    fn within(&self, slot: usize, t: u64) -> Xs {
        let Some(slot) = self.slots.get(slot) else { return [0; 3] };
        let t = t.saturating_sub(slot.part.from);
        std::array::from_fn(|k| slot.left + slot.axes.get(k).map_or(0, |axis| axis.at(t)))
    }

    /// The part that a span begins in.
    pub(super) fn slot_of(&self, span: usize) -> usize {
        let zone = self.zones.of.get(span).copied().unwrap_or(Zone::Start);
        self.slots.iter().position(|s| s.part.zone == zone).unwrap_or(0)
    }

    /// The bar of a span that began in that part.
    pub(super) fn bar(&self, slot: usize, from: u64, to: u64) -> Bars {
        let nowhere = Bar { from: 0, to: 0, widened: false };
        let Some(s) = self.slots.get(slot) else { return [nowhere; 3] };
        if s.part.zone == Zone::Run && to >= s.part.to {
            // what serves fills its part, however long that was
            return [Bar { from: s.left, to: s.right, widened: false }; 3];
        }
        if to <= s.part.to {
            let (a, b) = (from.saturating_sub(s.part.from), to.saturating_sub(s.part.from));
            return std::array::from_fn(|k| {
                let bar = s.axes.get(k).map_or(nowhere, |axis| axis.place(a, b));
                Bar { from: bar.from + s.left, to: bar.to + s.left, ..bar }
            });
        }
        let (left, right) = (self.within(slot, from), self.until(to));
        std::array::from_fn(|k| Bar {
            from: left[k],
            to: right[k].max(left[k] + 24).min(WIDTH),
            widened: false,
        })
    }

    /// What stands beside the title of the first part in each scale.
    pub(super) fn heading(&self, scale: usize) -> &'static str {
        let axis = self.slots.first().and_then(|s| s.axes.get(scale));
        match (axis.map(Axis::scale), axis.is_some_and(Axis::widens)) {
            (Some(Scale::Steps), _) => "every step as wide as the other, not to scale",
            (Some(Scale::Balanced), true) => "to scale, short steps widened (paler)",
            _ => "to scale",
        }
    }
}

/// What ran in a part, relative to its begin.
fn intervals(timeline: &Timeline, drawn: &[usize], part: &Part) -> Vec<(u64, u64)> {
    let cut = |from: u64, to: u64| {
        let (from, to) = (from.max(part.from), to.min(part.to));
        (from < to || (from == to && from < part.to)).then(|| (from - part.from, to - part.from))
    };
    let of = |span: &Span| {
        let ran = span.start_ns.and_then(|from| cut(from, span.end_ns.unwrap_or(timeline.end_ns)));
        let undone = span.undo_ns.filter(|_| part.zone == Zone::Undo);
        let undone = undone.and_then(|from| cut(from, span.undone_ns.unwrap_or(timeline.end_ns)));
        [ran.filter(|_| part.zone != Zone::Run), undone]
    };
    drawn.iter().filter_map(|i| timeline.spans.get(*i)).flat_map(of).flatten().collect()
}
