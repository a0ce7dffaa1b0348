//! The parts of a run by meaning: START-UP until it is ready, RUN, STOP; or START-UP and UNDO.

use crate::timeline::{Outcome, Span, Timeline};

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// from the begin until it is ready, or until the start is given up
    Start,
    /// the daemon serves
    Run,
    /// from the moment it is told to stop, or its serving ends
    Stop,
    /// what a failed start had done is undone
    Undo,
}

impl Zone {
    /// The word above it.
    pub fn title(self) -> &'static str {
        match self {
            Zone::Start => "START-UP",
            Zone::Run => "RUN",
            Zone::Stop => "STOP",
            Zone::Undo => "UNDO",
        }
    }
}

/// Which part of a run a view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// START-UP only, and the undo of one that failed
    Startup,
    /// all of it
    #[default]
    All,
}

impl Window {
    /// The window of that name, as on the command line.
    pub fn by_name(name: &str) -> Option<Window> {
        match name {
            "startup" => Some(Window::Startup),
            "all" => Some(Window::All),
            _ => None,
        }
    }

    /// True if that part is in it.
    pub fn shows(self, zone: Zone) -> bool {
        self == Window::All || matches!(zone, Zone::Start | Zone::Undo)
    }
}

/// One part with its bounds, in nanoseconds since the begin of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// which
    pub zone: Zone,
    /// where it begins
    pub from: u64,
    /// where it ends: now, if it is not over
    pub to: u64,
}

impl Part {
    /// How long it is.
    pub fn took(&self) -> u64 {
        self.to - self.from
    }
}

/// The parts of a run, in the order of time; they touch, and the first begins at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    /// one or more; RUN only if something served, STOP only if it came to that
    pub parts: Vec<Part>,
    /// for each span, the part it belongs to: by its start; where it never ran, by its place in the plan
    pub of: Vec<Zone>,
}

impl Zones {
    /// The parts of that run.
    pub fn new(timeline: &Timeline) -> Zones {
        let spans = &timeline.spans;
        let serving = serving(timeline);
        let undo = spans.iter().filter_map(|s| s.undo_ns).min().filter(|_| timeline.ready_ns.is_none());
        let last_end = || {
            let ends = spans.iter().filter(|s| s.start_ns < Some(undo.unwrap_or(u64::MAX)));
            ends.filter_map(|s| s.end_ns).max().unwrap_or(timeline.end_ns)
        };
        let ready = match (timeline.ready_ns, serving.and_then(|i| spans[i].start_ns)) {
            (Some(ready), _) => ready,
            (None, Some(served)) => served,
            (None, None) => match timeline.outcome {
                _ if undo.is_some() => last_end().min(undo.unwrap_or(u64::MAX)),
                Outcome::Running | Outcome::Vanished => timeline.end_ns,
                _ => last_end(),
            },
        };
        let end = timeline.end_ns.max(ready);
        let mut parts = vec![Part { zone: Zone::Start, from: 0, to: ready }];
        let stop = serving.and_then(|i| stop(timeline, &spans[i], ready));
        if undo.is_some() {
            parts.push(Part { zone: Zone::Undo, from: ready, to: end });
        } else if serving.is_some_and(|i| spans[i].start_ns.is_some()) {
            parts.push(Part { zone: Zone::Run, from: ready, to: stop.unwrap_or(end) });
            parts.extend(stop.map(|from| Part { zone: Zone::Stop, from, to: end.max(from) }));
        } else if spans.iter().any(|s| s.start_ns > Some(ready)) {
            parts.push(Part { zone: Zone::Stop, from: ready, to: end });
        }
        let (start, rest) = (parts[0], &parts[1..]);
        let of = spans.iter().enumerate().map(|(i, span)| match span.start_ns {
            // what begins at the very moment of ready and does not serve was before it
            Some(t) if t < undo.unwrap_or(start.to) || (t == start.to && Some(i) < serving) => Zone::Start,
            Some(_) if serving == Some(i) => Zone::Run,
            Some(t) => rest.iter().rev().find(|p| p.from <= t).map_or(Zone::Start, |p| p.zone),
            None => match serving {
                Some(served) if i == served => Zone::Run,
                Some(served) if i > served => Zone::Stop,
                _ => Zone::Start,
            },
        });
        let of = of.collect();
        Zones { parts, of }
    }

    /// The same with the parts that a window shows.
    pub fn within(mut self, window: Window) -> Zones {
        self.parts.retain(|part| window.shows(part.zone));
        self
    }

    /// That part, if the run has it.
    pub fn part(&self, zone: Zone) -> Option<Part> {
        self.parts.iter().copied().find(|p| p.zone == zone)
    }

    /// The end of START-UP.
    pub fn ready(&self) -> u64 {
        self.parts.first().map_or(0, |p| p.to)
    }

    /// The numbers of the spans of that part, in the order of the plan.
    pub fn spans(&self, zone: Zone) -> impl Iterator<Item = usize> {
        self.of.iter().enumerate().filter(move |(_, z)| **z == zone).map(|(i, _)| i)
    }
}

/// The span in which the daemon lives; an old record does not say, then it is what began after ready.
fn serving(timeline: &Timeline) -> Option<usize> {
    let spans = &timeline.spans;
    let ready = timeline.ready_ns;
    spans.iter().position(|s| s.phase.serves).or_else(|| {
        let after = spans.iter().enumerate().filter(|(_, s)| ready.is_some() && s.start_ns >= ready);
        after.min_by_key(|(i, s)| (s.start_ns, *i)).map(|(i, _)| i)
    })
}

/// When it was told to stop, or its serving ended.
fn stop(timeline: &Timeline, served: &Span, ready: u64) -> Option<u64> {
    let told = timeline.signals.iter().filter(|(t, name, _)| *t >= ready && is_stop(name)).map(|(t, ..)| *t);
    told.chain(served.end_ns).min().map(|t| t.max(ready))
}

fn is_stop(signal: &str) -> bool {
    matches!(signal, "SIGTERM" | "SIGINT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;
    use proptest::prelude::*;

    fn shape(z: &Zones) -> Vec<Zone> {
        z.parts.iter().map(|p| p.zone).collect()
    }

    #[test]
    fn by_meaning() {
        let t = Timeline::from_events(&served());
        let z = Zones::new(&t);
        assert_eq!(shape(&z), [Zone::Start, Zone::Run, Zone::Stop]);
        assert_eq!(Some(z.ready()), t.ready_ns);
        assert_eq!((z.of[10], z.of[11], z.of[12]), (Zone::Start, Zone::Run, Zone::Stop));
        assert!(z.part(Zone::Run).is_some_and(|p| p.took() > 273_600_000 * MS));

        let t = Timeline::from_events(&unwound());
        let z = Zones::new(&t);
        assert_eq!(shape(&z), [Zone::Start, Zone::Undo]);
        assert!(z.of.iter().all(|z| *z == Zone::Start), "what never ran was to start");
        assert_eq!(shape(&Zones::new(&Timeline::from_events(&running()))), [Zone::Start, Zone::Run]);
        let z = Zones::new(&Timeline::from_events(&many(9)));
        assert_eq!((shape(&z), z.spans(Zone::Start).count()), (vec![Zone::Start], 9));
        assert_eq!(shape(&Zones::new(&Timeline::default())), [Zone::Start]);
    }

    proptest! {
        #[test]
        fn parts_touch(picks in proptest::collection::vec((0usize..80, 0u64..1000, any::<bool>()), 0..60)) {
            let known: Vec<_> = served().into_iter().chain(unwound()).collect();
            let events: Vec<_> = picks.into_iter().map(|(i, t, own)| {
                let mut e = known[i % known.len()].clone();
                if own { e.t = t; }
                e
            }).collect();
            let t = Timeline::from_events(&events);
            let z = Zones::new(&t);
            prop_assert_eq!(z.of.len(), t.spans.len());
            prop_assert_eq!(z.parts[0].from, 0);
            prop_assert!(z.parts.iter().all(|p| p.from <= p.to), "{:?}", z);
            prop_assert!(z.parts.windows(2).all(|w| w[0].to == w[1].from && w[0].zone < w[1].zone), "{:?}", z);
        }
    }
}
