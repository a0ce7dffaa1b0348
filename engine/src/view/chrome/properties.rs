//! What holds for any timeline, also one that no run can have made.

use super::tests::events;
use super::*;
use crate::effect::{CapabilitySet, Identity};
use crate::state::Phase;
use crate::timeline::{Failure, PhaseHeader};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..40,
        4 => 0u64..5_000_000,
        1 => 0u64..20 * 365 * 86_400 * 1_000_000_000,
        1 => Just(u64::MAX),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "a",
        "\u{1b}[31m",
        "\"",
        "\\",
        "</script>",
        "\u{202e}",
        "\n",
        "\0",
        "ä",
        "✗ ",
        "\u{2028}",
        "{}",
        "\\u0041",
    ]);
    prop::collection::vec(nasty, 0..4).prop_map(|parts| parts.concat())
}

fn pid() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1u32..5, 1 => Just(0), 1 => (LOGICAL_PID - 1)..(FIRST_EXTRA + 3), 1 => any::<u32>()]
}

fn identity() -> impl Strategy<Value = Identity> {
    (0u32..3, 0u64..3, name()).prop_map(|(uid, caps, root)| Identity {
        uid: [uid; 3],
        caps: CapabilitySet(caps),
        root: root.into(),
        ..Default::default()
    })
}

fn state() -> impl Strategy<Value = Phase> {
    use Phase::*;
    prop::sample::select(vec![Pending, Running, Done, Failed, Skipped, Undoing, Undone, Stuck])
}

prop_compose! {
    fn span()(
        name in name(), groups in prop::collection::vec(name(), 0..3), state in state(),
        start in prop::option::weighted(0.8, time()), took in prop::option::weighted(0.8, time()),
        pids in (pid(), prop::option::of(pid())), undo in prop::option::of((time(), prop::option::of(time()))),
        by in prop::option::of(pid()), who in prop::option::of((identity(), prop::option::of(identity()))),
        failed in any::<bool>(), needs in prop::collection::vec(0usize..12, 0..3), why in name(),
    ) -> (Span, Vec<usize>) {
        let error = failed.then(|| Failure { message: why.clone(), ..Default::default() });
        let (before, after) = who.unzip();
        (Span {
            phase: PhaseHeader { name, groups, detail: why, ..Default::default() },
            state,
            start_ns: start,
            end_ns: start.zip(took).map(|(s, d)| s.saturating_add(d)),
            pid_start: start.map(|_| pids.0),
            pid_end: pids.1,
            identity_before: before.map(Into::into),
            identity_after: after.flatten().map(Into::into),
            error: error.map(Box::new),
            undo_ns: undo.map(|u| u.0),
            undone_ns: undo.and_then(|u| u.1),
            undone_by: by,
            ..Default::default()
        }, needs)
    }
}

prop_compose! {
    fn timeline()(
        spans in prop::collection::vec(span(), 0..12), unique in any::<bool>(), end in time(),
        ready in prop::option::of(time()), run in name(), pid in pid(),
        forks in prop::collection::vec((time(), pid(), pid(), name()), 0..6),
        signals in prop::collection::vec((time(), name(), name()), 0..3),
    ) -> Timeline {
        let names: Vec<String> = spans.iter().enumerate().map(|(i, (s, _))| match unique {
            true => format!("{i}{}", s.phase.name),
            false => s.phase.name.clone(),
        }).collect();
        let spans = spans.into_iter().enumerate().map(|(i, (mut span, needs))| {
            span.phase.name.clone_from(&names[i]);
            span.phase.needs = needs.into_iter().filter_map(|n| names.get(n).cloned()).collect();
            span
        });
        Timeline { run, pid, ready_ns: ready, end_ns: end, spans: spans.collect(), forks, signals, ..Default::default() }
    }
}

/// A printed number of microseconds as the nanoseconds that it was made of.
fn ns(event: &str, key: &str) -> Option<u64> {
    let from = event.find(&format!("\"{key}\":"))? + key.len() + 3;
    let number: String = event[from..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let (whole, rest) = number.split_once('.').unwrap_or((&number, ""));
    Some(whole.parse::<u64>().ok()? * 1_000 + format!("{rest:0<3}").parse::<u64>().ok()?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_reader_can_draw_it(timeline in timeline(), all in any::<bool>(), now in prop::option::of(time())) {
        let options = ChromeOptions { window: if all { Window::All } else { Window::Startup }, now_ns: now };
        let text = render(&timeline, &options);
        let raw = text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
        prop_assert!(!raw);
        let parsed = events(&timeline, &options);
        // One event a line, so that what a float would lose can be read from the text.
        let lines: Vec<&str> = text.lines().filter(|l| l.starts_with('{')).collect();
        prop_assert_eq!(lines.len(), parsed.len());

        let mut slices: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        let (mut arrows, mut last) = (BTreeMap::<u64, Vec<(&str, u64, u64)>>::new(), 0);
        let mut named = BTreeSet::new();
        for (event, line) in parsed.iter().zip(&lines) {
            let track = (event["pid"].as_u64().expect("pid"), event["tid"].as_u64().expect("tid"));
            prop_assert!(track.0 > 0 && track.0 < 1 << 32 && track.1 < 1 << 32);
            prop_assert!(event["cat"].is_string());
            let ph = event["ph"].as_str().expect("ph");
            if ph == "M" {
                if event["name"] == "thread_name" {
                    prop_assert!(named.insert(track), "two names for {:?}", track);
                }
                continue;
            }
            let ts = ns(line, "ts").expect("ts");
            prop_assert!(ts >= last, "not in order of time");
            last = ts;
            match ph {
                "X" => slices.entry(track).or_default().push((ts, ts + ns(line, "dur").expect("dur"))),
                "s" | "f" => {
                    let id = event["id"].as_u64().expect("id");
                    arrows.entry(id).or_default().push((ph, ts, track.1));
                    let open = slices.get(&track).and_then(|list| {
                        list.iter().rev().find(|(from, to)| *from <= ts && (ts < *to || from == to))
                    });
                    prop_assert!(open.is_some(), "{} in no slice", line);
                }
                "i" => prop_assert!(event["s"] == "t" || event["s"] == "p"),
                other => prop_assert!(false, "{}", other),
            }
            prop_assert!(event["s"] == "p" || named.contains(&track), "no name for {:?}", track);
        }
        for (id, ends) in &arrows {
            let [(a, from, _), (b, to, _)] = ends[..] else { panic!("arrow {id} has {} ends", ends.len()) };
            prop_assert!(a == "s" && b == "f" && from < to);
        }
        for (track, list) in &slices {
            for (i, a) in list.iter().enumerate() {
                for b in &list[i + 1..] {
                    let apart = a.1 <= b.0 || b.1 <= a.0;
                    let inside = a.0 <= b.0 && b.1 <= a.1;
                    prop_assert!(apart || inside, "{:?}: {:?} and {:?}", track, a, b);
                }
            }
        }
        // A double holds it, in microseconds and in nanoseconds.
        for (from, to) in slices.values().flatten() {
            for ns in [*from, to - from] {
                let micros: f64 = format!("{}.{:03}", ns / 1_000, ns % 1_000).parse().expect("a number");
                prop_assert_eq!((micros * 1e3).round() as u64, ns);
                prop_assert!(ns <= EXACT_NS || micros as u64 * 1_000 == ns);
            }
        }
        // Phases are all there, and no two of them share a moment of a track.
        let phases: Vec<(&Value, &&str)> = parsed.iter().zip(&lines).filter(|(e, _)| e["cat"] == "phase").collect();
        prop_assert_eq!(phases.len(), timeline.spans.len());
        for (i, (a, la)) in phases.iter().enumerate() {
            for (b, lb) in phases[i + 1..].iter().filter(|(b, _)| a["tid"] == b["tid"]) {
                let end = |e: &Value, l: &str| if e["ph"] == "X" { ns(l, "ts").zip(ns(l, "dur")).map(|(t, d)| t + d) } else { ns(l, "ts") };
                let (a, b) = ((ns(la, "ts"), end(a, la)), (ns(lb, "ts"), end(b, lb)));
                prop_assert!(a.0 != b.0 && (a.1 <= b.0 || b.1 <= a.0), "{:?} {:?}", a, b);
            }
        }
    }
}
