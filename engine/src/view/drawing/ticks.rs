//! Labels of the axis: few, and none on another.

use super::ink::pixels;
use super::ruler::{Ruler, WIDTH};
use crate::text::duration;
use crate::timeline::Timeline;

/// No drawing has more.
const MOST: usize = 8;

/// One label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// where, in units
    pub(super) x: u32,
    pub(super) text: String,
    /// there is room for it in a wide drawing only
    pub(super) wide: bool,
}

/// The labels of START-UP in a scale, from left to right.
pub(super) fn ticks(timeline: &Timeline, ruler: &Ruler, drawn: &[usize], scale: usize) -> Vec<Tick> {
    let Some(slot) = ruler.slots.first() else { return Vec::new() };
    let end = slot.part.to;
    let mut moments: Vec<(u64, u64)> = Vec::new();
    if scale == 0 {
        let step = round(end / 5);
        moments.extend((1..12).map(|k| k * step).take_while(|t| *t < end).map(|t| (t, 1)));
    } else {
        // the begins of what took long, and of what comes behind it, say most
        let spans = drawn.iter().filter_map(|i| timeline.spans.get(*i));
        for (from, to) in spans.filter_map(|s| Some((s.start_ns?, s.end_ns?))).filter(|(_, to)| *to < end) {
            let took = to - from.min(to);
            moments.extend([(from, took), (to, took)]);
        }
        moments.sort_by_key(|(t, weight)| (std::cmp::Reverse(*weight), *t));
        moments.dedup_by_key(|(t, _)| *t);
    }
    let (narrow, wide) = (430.0, 850.0);
    let zero = Tick { x: 0, text: "0".into(), wide: false };
    // taken: (centre in units, half of the width in pixels, wide only)
    let ready = label(end, end, timeline.ready_ns.is_some());
    let border = slot.right;
    let mut taken = vec![(0u32, 10.0, false), (border.saturating_sub(0), pixels(&ready, 11.0) + 8.0, false)];
    let mut found = vec![zero];
    for is_wide in [false, true] {
        let room = if is_wide { wide } else { narrow };
        for (t, _) in moments.iter().take(400) {
            let x = ruler.at(*t)[scale];
            let text = label(*t, end, false);
            let half = pixels(&text, 11.0) / 2.0 + 6.0;
            let clear = taken
                .iter()
                .all(|(other, its, _)| f64::from(x.abs_diff(*other)) / f64::from(WIDTH) * room >= half + its);
            if clear && found.len() < MOST && x + 60 < border {
                taken.push((x, half, is_wide));
                found.push(Tick { x, text, wide: is_wide });
            }
        }
    }
    found.sort_by_key(|t| t.x);
    found
}

/// 1, 2 or 5 times a power of ten, not less than `ns`.
fn round(ns: u64) -> u64 {
    let mut power = 1u64;
    while let Some(next) = power.checked_mul(10).filter(|p| *p <= ns) {
        power = next;
    }
    [1, 2, 5, 10].into_iter().map(|k| power.saturating_mul(k)).find(|s| *s >= ns).unwrap_or(u64::MAX).max(1)
}

/// A moment with the unit and grain of the whole.
pub(super) fn label(t: u64, whole: u64, ready: bool) -> String {
    if ready {
        return format!("ready {}", duration(t));
    }
    let (unit, name) = match whole {
        0..10_000 => return format!("{t} ns"),
        10_000..10_000_000 => (1e3, "µs"),
        10_000_000..10_000_000_000 => (1e6, "ms"),
        10_000_000_000..120_000_000_000 => (1e9, "s"),
        _ => return duration(t),
    };
    let value = t as f64 / unit;
    let digits = usize::from(whole as f64 / unit < 1000.0 && value.fract() > 0.04 && value.fract() < 0.96);
    format!("{value:.digits$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;
    use crate::view::zones::Window;

    #[test]
    fn few_and_apart() {
        for events in [served(), unwound(), foreground(), many(300)] {
            let t = Timeline::from_events(&events);
            let drawn: Vec<usize> = (0..t.spans.len()).collect();
            let ruler = Ruler::new(&t, &drawn, Window::All);
            for scale in 0..3 {
                let ticks = ticks(&t, &ruler, &drawn, scale);
                assert!((1..=MOST).contains(&ticks.len()), "{ticks:?}");
                for pair in ticks.windows(2) {
                    let apart = f64::from(pair[1].x - pair[0].x) / f64::from(WIDTH) * 850.0;
                    let need = (pixels(&pair[0].text, 11.0) + pixels(&pair[1].text, 11.0)) / 2.0;
                    assert!(apart >= need, "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0, 1, 3, 97_000_000, 240].map(round), [1, 1, 5, 100_000_000, 500]);
        assert_eq!(label(443_800_000, 487_000_000, false), "443.8 ms");
        assert_eq!(label(400_000_000, 487_000_000, false), "400 ms");
    }
}
