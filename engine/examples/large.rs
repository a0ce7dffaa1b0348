//! How long a journal of many phases takes to read and show, and how much memory:
//! `large write FILE [PHASES]`, then `large FILE`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use engine::effect::{CapabilitySet, Identity};
use engine::state::Phase;
use engine::timeline::{Event, PhaseHeader, SCHEMA, Timeline, What};
use engine::view::text::{TextStyle, render};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [verb, file, rest @ ..] if verb == "write" => {
            let n = rest.first().and_then(|n| n.parse().ok()).unwrap_or(100_000);
            std::fs::write(file, journal(n)).expect("the file can be written");
        }
        [file] => show(&std::fs::read(file).expect("the file can be read")),
        _ => eprintln!("large write FILE [PHASES] | large FILE"),
    }
}

fn journal(n: u64) -> String {
    let all = CapabilitySet((1 << 41) - 1);
    let who = Identity {
        caps: all,
        permitted: all,
        bounding: all,
        root: "/".into(),
        cwd: "/".into(),
        ..Default::default()
    };
    let name = |i: u64| format!("phase{i}");
    let phases = (0..n).map(|i| PhaseHeader {
        name: name(i),
        groups: vec![format!("group{}", i * 40 / n)],
        kind: "chdir".into(),
        needs: if i > 0 { vec![name(i / 2)] } else { vec![] },
        ..Default::default()
    });
    let mut events = vec![
        What::Run {
            schema: SCHEMA,
            spec: "big".into(),
            run: "b166".into(),
            version: "0".into(),
            wall_ns: 1,
            phases: phases.collect(),
        },
        What::Identity { identity: Box::new(who) },
    ];
    for i in 0..n {
        events.push(What::Enter { phase: name(i) });
        events.push(What::Exit { phase: name(i), state: Phase::Done, error: None, why: None });
    }
    events.push(What::Ready {});
    events
        .into_iter()
        .enumerate()
        .map(|(i, what)| Event { t: i as u64 * 1000 + (i as u64 * 7919) % 900, pid: 7, what })
        .filter_map(|e| serde_json::to_string(&e).ok())
        .flat_map(|line| [line, "\n".into()])
        .collect()
}

fn show(text: &[u8]) {
    let begin = Instant::now();
    let timeline = Timeline::read(text);
    let read = begin.elapsed();
    let page = render(&timeline, &TextStyle::default());
    let shown = begin.elapsed() - read;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    println!("{page}\njournal {} bytes, read {read:?}, shown {shown:?}, {peak}", text.len());
}
