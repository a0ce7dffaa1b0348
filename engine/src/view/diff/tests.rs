use super::*;
use crate::effect::{Capability, CapabilitySet, Identity};
use crate::timeline::samples::*;
use crate::timeline::{Event, What};
use crate::view::text::TextStyle;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

fn compared(old: &[Event], new: &[Event], history: &History, style: &TextStyle) -> String {
    let (old, new) = (Timeline::from_events(old), Timeline::from_events(new));
    text(&Diff::new(&old, &new, history), style)
}

fn texts(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|c| c.text.as_str()).collect()
}

/// So many runs like [`served`], each a little longer or shorter in every phase.
fn history(runs: u64) -> History {
    let mut history = History::default();
    for k in 0..runs {
        let mut events = served();
        for (i, e) in events.iter_mut().enumerate() {
            e.t += i as u64 * k * 1_000;
        }
        history.add(&Timeline::from_events(&events));
    }
    history
}

/// Everything from that event on is later.
fn later(events: &mut [Event], phase: &str, ns: u64) {
    let end = |e: &Event| matches!(&e.what, What::Exit { phase: p, .. } if p == phase);
    let at = events.iter().position(end).expect("it ends");
    events[at..].iter_mut().for_each(|e| e.t += ns);
}

fn drop_keeps(events: &mut [Event], caps: CapabilitySet) {
    for e in events {
        if let What::Identity { identity } = &mut e.what
            && identity.uid[1] != 0
        {
            (identity.caps, identity.permitted) = (caps, caps);
        }
    }
}

#[test]
fn a_run_is_the_same_as_itself_in_one_line() {
    for events in [served(), unwound(), stuck(), foreground(), guarded(), running(), many(300), vec![]] {
        let text = compared(&events, &events, &History::default(), &TextStyle::default());
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("no difference"), "{text}");
    }
}

#[test]
fn a_kept_capability_is_told_once_where_it_begins() {
    let mut new = served();
    drop_keeps(&mut new, CapabilitySet(1 << Capability::NetBindService as u8));
    let (old, new) = (Timeline::from_events(&served()), Timeline::from_events(&new));
    let diff = Diff::new(&old, &new, &History::default());
    assert_eq!(texts(&diff.identity), ["after switchUidGid: keeps cap_net_bind_service (was: none)"]);
    assert_eq!(diff.identity[0].also, ["startApplication", "startReactor", "removePIDFile"]);
    assert_eq!((diff.identity[0].sense, diff.identity[0].field), (Sense::Worse, "caps"));
    assert!(diff.state.is_empty() && diff.order.is_empty() && diff.detail.is_empty());
    let back = Diff::new(&new, &old, &History::default());
    assert_eq!(texts(&back.identity), ["after switchUidGid: lacks cap_net_bind_service"]);
    assert_eq!(back.identity[0].sense, Sense::Better);
}

#[test]
fn a_phase_that_moved_and_runs_as_somebody_else() {
    let mut moved = served();
    // openPIDFile behind the drop, as `order: [switchUidGid, openPIDFile]` has it
    let part = |events: &[Event], phase: &str| {
        let of = |e: &Event| matches!(&e.what, What::Enter { phase: p } | What::Exit { phase: p, .. } if p == phase);
        events.iter().position(of).expect("it is there")
    };
    let at = part(&moved, "openPIDFile");
    let mut own: Vec<Event> = moved.drain(at..at + 2).collect();
    let to = part(&moved, "switchUidGid") + 3;
    let t = moved[to - 1].t;
    own.iter_mut().enumerate().for_each(|(i, e)| e.t = t + 1 + i as u64);
    moved.splice(to..to, own);
    for e in &mut moved {
        if let What::Run { phases, .. } = &mut e.what {
            let from = phases.iter().position(|p| p.name == "openPIDFile").expect("planned");
            let phase = phases.remove(from);
            let to = phases.iter().position(|p| p.name == "switchUidGid").expect("planned");
            phases.insert(to + 1, phase);
        }
    }
    let (old, new) = (Timeline::from_events(&moved), Timeline::from_events(&served()));
    let diff = Diff::new(&old, &new, &History::default());
    assert!(
        texts(&diff.identity).contains(&"openPIDFile now runs as root 0:0 (was user 1000:1000)"),
        "{:?}",
        texts(&diff.identity)
    );
    assert_eq!(texts(&diff.order), ["openPIDFile moved before privilegedStartService"]);
    let diff = Diff::new(&new, &old, &History::default());
    assert_eq!(texts(&diff.order), ["openPIDFile moved behind switchUidGid"]);
}

#[test]
fn states_outcomes_and_phases_that_come_and_go() {
    let (fails, works) = (Timeline::from_events(&served()), Timeline::from_events(&guarded()));
    let diff = Diff::new(&fails, &works, &History::default());
    assert_eq!(texts(&diff.state), ["the run: failed → completed", "removePIDFile: failed → done"]);
    assert!(diff.state.iter().all(|c| c.sense == Sense::Better));
    let gone = Timeline::from_events(&unwound());
    let diff = Diff::new(&works, &gone, &History::default());
    let said = texts(&diff.state).join("\n");
    for part in
        ["completed → unwound", "never became ready", "privilegedStartService: done → failed: bind tcp"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(said.matches("→ not run").count(), 1, "those that never ran are told together: {said}");
    // while it runs nothing is missing yet
    let up = Timeline::from_events(&running());
    let diff = Diff::new(&works, &up, &History::default());
    assert!(diff.state.is_empty(), "{:?}", diff.state);

    let mut other = foreground();
    if let What::Run { phases, .. } = &mut other[0].what {
        phases.retain(|p| p.name != "umask");
        phases.push(header("brandNew", &[], ""));
        phases[0].needs = vec!["brandNew".into()];
        phases[3].detail = "/prison".into();
        phases[1].skipped = Some("never wanted".into());
    }
    let diff_of = (Timeline::from_events(&foreground()), Timeline::from_events(&other));
    let diff = Diff::new(&diff_of.0, &diff_of.1, &History::default());
    assert_eq!(texts(&diff.order), ["brandNew is new", "umask is gone", "checkPID now needs brandNew"]);
    assert_eq!(texts(&diff.detail), ["chroot: /jail → /prison"]);
}

#[test]
fn no_history_no_verdict() {
    let mut slow = served();
    later(&mut slow, "readTacFile", 306 * MS);
    let (old, new) = (Timeline::from_events(&served()), Timeline::from_events(&slow));
    let diff = Diff::new(&old, &new, &history(2));
    assert_eq!(diff.ready.map(|r| r.verdict), Some(Verdict::Unknown));
    let said = text(&diff, &TextStyle::default());
    assert!(said.contains("only 2 earlier runs kept"), "{said}");

    let diff = Diff::new(&old, &new, &history(9));
    assert_eq!(diff.ready.map(|r| r.verdict), Some(Verdict::Slower));
    assert_eq!(diff.times[0].0, "readTacFile");
    assert_eq!(diff.times[0].1.change(), 306 * i128::from(MS));
    assert!(diff.times[1..].iter().all(|(_, t)| t.verdict == Verdict::Noise));
    assert!(!diff.times.iter().any(|(n, _)| n == "startReactor"));
    let said = text(&diff, &TextStyle::default());
    assert!(said.contains("+306 ms") && said.contains("10 more") && said.contains("in noise"), "{said}");

    let back = Diff::new(&new, &old, &history(9));
    assert_eq!(back.times[0].1.verdict, Verdict::Faster);
    let mut little = served();
    later(&mut little, "readTacFile", 1_000);
    let little = Timeline::from_events(&little);
    let diff = Diff::new(&old, &little, &history(9));
    assert!(diff.same() && text(&diff, &TextStyle::default()).lines().count() == 1);
}

#[test]
fn gates() {
    for (text, gate) in [
        ("slower=10%", Gate::Slower(Limit::Share(0.1))),
        ("slower=1.5ms", Gate::Slower(Limit::Time(1_500_000))),
        ("slower=2s", Gate::Slower(Limit::Time(2_000_000_000))),
        ("identity", Gate::Identity),
        ("state", Gate::State),
        ("order", Gate::Order),
    ] {
        assert_eq!(Gate::parse(text), Ok(gate));
    }
    for wrong in
        ["", "slower", "slower=", "slower=10", "slower=-1%", "slower=nan%", "slower=infs", "identity=1"]
    {
        assert!(Gate::parse(wrong).is_err(), "{wrong}");
    }
    assert!(Gate::parse("identty").is_err_and(|why| why.contains("did you mean `identity`?")));

    let mut slow = served();
    later(&mut slow, "readTacFile", 306 * MS);
    drop_keeps(&mut slow, CapabilitySet(1));
    let (old, new) = (Timeline::from_events(&served()), Timeline::from_events(&slow));
    let diff = Diff::new(&old, &new, &History::default());
    let slower = |percent: f64| diff.failing(&[Gate::Slower(Limit::Share(percent / 100.0))]);
    assert_eq!((slower(60.0).len(), slower(100.0).len()), (1, 0), "306 of 487 ms are 63%");
    let all = [Gate::Identity, Gate::State, Gate::Order];
    assert_eq!(diff.failing(&all), ["identity: after switchUidGid: keeps cap_chown (was: none)"]);
    let unready = Timeline::from_events(&unwound());
    let diff = Diff::new(&old, &unready, &History::default());
    assert_eq!(diff.failing(&[Gate::Slower(Limit::Share(9.0))]), ["slower: the new run never became ready"]);
    assert_eq!(json(&diff, &all)["failing"].as_array().map(Vec::len), Some(1));
}

#[test]
fn identities_differ_in_many_ways() {
    let ordinary = Identity {
        uid: [1000; 3],
        gid: [1000; 3],
        root: "/j".into(),
        cwd: "/".into(),
        umask: 0o027,
        ..Default::default()
    };
    let mut events = [served(), served()];
    let odd = Identity {
        uid: [1000, 1000, 0],
        groups: vec![27],
        root: "/".into(),
        cwd: "/srv".into(),
        umask: 0o022,
        ..ordinary.clone()
    };
    for (events, who) in events.iter_mut().zip([ordinary, odd]) {
        for e in events.iter_mut() {
            if let What::Identity { identity } = &mut e.what
                && identity.uid[1] != 0
            {
                **identity = who.clone();
            }
        }
    }
    let [old, new] = events.map(|e| Timeline::from_events(&e));
    let diff = Diff::new(&old, &new, &History::default());
    assert_eq!(
        texts(&diff.identity),
        [
            "after switchUidGid: runs as user 1000/1000/0:1000 and can become root again (was user 1000:1000)",
            "after switchUidGid: is in group 27",
            "after switchUidGid: has umask 022 (was 027)",
            "after switchUidGid: has root / (was /j)",
            "after switchUidGid: has working directory /srv (was /)",
        ]
    );
    let senses: Vec<_> = diff.identity.iter().map(|c| c.sense).collect();
    assert_eq!(senses, [Sense::Worse, Sense::Worse, Sense::Worse, Sense::Worse, Sense::Other]);
}

#[test]
fn every_line_fits_and_nothing_escapes() {
    let mut evil = foreground();
    if let What::Run { phases, spec, .. } = &mut evil[0].what {
        *spec = "sp\x1b[31mec\u{202e}".into();
        for p in phases.iter_mut() {
            p.detail = "漢字\x07\n</script>".repeat(30);
        }
    }
    let all = [served(), unwound(), stuck(), guarded(), evil, many(400), running()];
    for old in &all {
        for new in &all {
            for (width, ascii) in [(60, false), (80, false), (80, true), (133, false)] {
                let style = TextStyle { width, ascii, ..Default::default() };
                let text = compared(old, new, &history(6), &style);
                for line in text.lines() {
                    assert!(line.width() <= width, "{width}: {line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
                assert!(!ascii || text.is_ascii(), "{text}");
            }
        }
    }
    let coloured =
        compared(&served(), &guarded(), &history(6), &TextStyle { color: true, ..Default::default() });
    assert!(coloured.contains("\x1b[32m"), "{coloured:?}");
}

proptest! {
    #[test]
    fn any_two_mixtures_can_be_compared(
        picks in proptest::collection::vec((0usize..60, any::<u64>(), any::<bool>(), any::<bool>()), 0..80)
    ) {
        let known = [stuck(), served()].concat();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (i, t, own, first) in picks {
            let mut e = known[i % known.len()].clone();
            if own { e.t = t; }
            if first { old.push(e) } else { new.push(e) }
        }
        let (old, new) = (Timeline::from_events(&old), Timeline::from_events(&new));
        let diff = Diff::new(&old, &new, &history(5));
        text(&diff, &TextStyle::default());
        let value = json(&diff, &[Gate::Identity, Gate::Slower(Limit::Time(1))]);
        prop_assert_eq!(value["schema"].as_u64(), Some(1));
        prop_assert!(Diff::new(&new, &new, &History::default()).same());
    }
}
