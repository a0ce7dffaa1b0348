//! How long a journal of many phases takes to read and show, and how much memory:
//! `large write FILE [PHASES]`, then `large FILE`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use engine::effect::{CapabilitySet, Identity};
use engine::state::Phase;
use engine::timeline::{Event, PhaseHeader, Reader, SCHEMA, What};
use engine::view::text::{TextStyle, render};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [verb, file, rest @ ..] if verb == "write" => {
            let n = rest.first().and_then(|n| n.parse().ok()).unwrap_or(100_000);
            std::fs::write(file, journal(n)).expect("the file can be written");
        }
        [file] => show(std::fs::File::open(file).expect("the file can be read")),
        _ => eprintln!("large write FILE [PHASES] | large FILE"),
    }
}

/// Groups in groups, needs far back, an identity that changes a hundred times, and two forks.
fn journal(n: u64) -> String {
    let all = CapabilitySet((1 << 41) - 1);
    let mut who = Identity {
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
        groups: vec![format!("part{}", i * 4 / n), format!("group{}", i * 40 / n)],
        kind: "chdir".into(),
        needs: if i > 0 { vec![name(i / 2)] } else { vec![] },
        ..Default::default()
    });
    let run = What::Run {
        schema: SCHEMA,
        spec: "big".into(),
        name: String::new(),
        run: "b166".into(),
        version: "0".into(),
        wall_ns: 1,
        phases: phases.collect(),
    };
    let is = |who: &Identity| What::Identity { identity: Box::new(who.clone()) };
    let mut pid = 7;
    let mut events = vec![(pid, run), (pid, is(&who))];
    for i in 0..n {
        events.push((pid, What::Enter { phase: name(i) }));
        if i > 0 && i % (n / 3).max(1) == 0 {
            pid += 1;
            events.push((pid, What::Fork { parent: pid - 1, role: "daemon".into(), child: None }));
        }
        if i % (n / 100).max(1) == 0 {
            who.umask ^= 0o022;
            who.cwd = format!("/srv/{i}").into();
            if i > n / 2 {
                (who.uid, who.gid) = ([1000; 3], [1000; 3]);
                (who.caps, who.permitted) = (CapabilitySet::EMPTY, CapabilitySet::EMPTY);
            }
            events.push((pid, is(&who)));
        }
        events.push((pid, What::Exit { phase: name(i), state: Phase::Done, error: None, why: None }));
    }
    events.push((pid, What::Ready {}));
    events
        .into_iter()
        .enumerate()
        .map(|(i, (pid, what))| Event { t: i as u64 * 1000 + (i as u64 * 7919) % 900, pid, what })
        .filter_map(|e| serde_json::to_string(&e).ok())
        .flat_map(|line| [line, "\n".into()])
        .collect()
}

fn show(mut file: std::fs::File) {
    use std::io::Read;
    let begin = Instant::now();
    let (mut reader, mut piece) = (Reader::default(), vec![0; 256 << 10]);
    let mut bytes = 0;
    while let Ok(n @ 1..) = file.read(&mut piece) {
        reader.feed(&piece[..n]);
        bytes += n;
    }
    let timeline = reader.end();
    let read = begin.elapsed();
    let page = render(&timeline, &TextStyle::default());
    let shown = begin.elapsed() - read;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    println!("{page}\njournal {bytes} bytes, read {read:?}, shown {shown:?}, {peak}");
}
