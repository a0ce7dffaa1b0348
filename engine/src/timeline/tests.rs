use super::samples::*;
use super::*;
use crate::state::Phase;
use proptest::prelude::*;

fn span<'a>(t: &'a Timeline, name: &str) -> &'a Span {
    t.spans.iter().find(|s| s.phase.name == name).expect("a span of that name")
}

#[test]
fn a_phase_may_begin_in_one_process_and_end_in_another() {
    let t = Timeline::from_events(&served());
    let s = span(&t, "daemonize");
    assert_eq!((s.pid_start, s.pid_end), (Some(3798), Some(3850)));
    assert_eq!(s.identity_before, s.identity_after, "the child inherits");
    let drop = span(&t, "switchUidGid");
    assert_eq!(drop.identity_before.as_ref().map(|i| i.uid[1]), Some(0));
    assert_eq!(drop.identity_after.as_ref().map(|i| i.uid[1]), Some(1000));
    assert_eq!(span(&t, "chroot").identity_after.as_ref().map(|i| i.root.as_path()), Some("/jail".as_ref()));
    assert_eq!((t.outcome, t.code), (Outcome::Failed, Some(1)));
    assert_eq!(t.role(3798), Some(Process::Launcher));
    assert_eq!(t.role(3849), None);
    assert_eq!(t.role(3850), Some(Process::Daemon));
    assert_eq!(Timeline::from_events(&guarded()).role(3851), Some(Process::Guard));
}

#[test]
fn undo_retry_skip_and_foreign() {
    let t = Timeline::from_events(&unwound());
    let pid_file = span(&t, "openPIDFile");
    assert_eq!((pid_file.state, pid_file.undone_by), (Phase::Undone, Some(3798)));
    assert_eq!(pid_file.undo, [("remove /run/d.pid".to_owned(), None)]);
    assert!(pid_file.undone_ns > pid_file.end_ns);
    assert_eq!(span(&t, "switchUidGid").state, Phase::Pending);

    let t = Timeline::from_events(&stuck());
    assert_eq!(span(&t, "openPIDFile").state, Phase::Stuck);
    assert_eq!(span(&t, "openPIDFile").undone_ns, None);

    let t = Timeline::from_events(&foreground());
    let retried = span(&t, "startApplication");
    assert_eq!((retried.state, &retried.error), (Phase::Done, &None));
    assert!(retried.notes.contains(&"tried 2 times".to_owned()) && retried.undo.is_empty());
    assert_eq!(span(&t, "chroot").state, Phase::Skipped);
    assert_eq!(t.outcome, Outcome::Running);

    let mut events = running();
    events.push(event(MS, 3850, enter("not in the plan")));
    assert_eq!(
        Timeline::from_events(&events).spans.last().map(|s| s.phase.name.as_str()),
        Some("not in the plan")
    );
}

#[test]
fn order_in_the_file_does_not_matter_across_processes() {
    let mut events = served();
    let straight = Timeline::from_events(&events);
    // all the launcher wrote, then all the others did, as buffers might have it
    events.sort_by_key(|e| e.pid != 3850);
    assert_eq!(Timeline::from_events(&events), straight);
}

#[test]
fn the_critical_path_is_what_the_loop_waited_for() {
    let t = Timeline::from_events(&served());
    let path = critical(&t);
    let names: Vec<_> = path.iter().map(|(i, _)| t.spans[*i].phase.name.as_str()).collect();
    assert_eq!(names.first().zip(names.last()), Some((&"checkPID", &"startApplication")));
    assert!(names.contains(&"daemonize"), "needed by nobody on the way, and waited for by all: {names:?}");
    let sum: f64 = path.iter().map(|(_, share)| share).sum();
    assert!((0.97..=1.0).contains(&sum), "{sum}");
    let t = Timeline::from_events(&unwound());
    assert_eq!(critical(&t).last().map(|(i, _)| *i), Some(8), "a failed end is an end");
    assert!(critical(&Timeline::default()).is_empty());
}

fn named(t: &Timeline, path: &[Link]) -> Vec<String> {
    path.iter().map(|l| t.spans[l.span].phase.name.clone()).collect()
}

#[test]
fn branches_at_once_have_one_critical_path_and_slack() {
    let t = Timeline::from_events(&parallel());
    let path = chain(&t);
    assert_eq!(named(&t, &path), ["readConfig", "fork", "connect", "migrate", "join"]);
    let waits: Vec<_> = path.iter().map(|l| l.wait_ns / MS).collect();
    assert_eq!(waits, [1, 0, 1, 0, 1]);
    let slack = slack(&t);
    let of = |name: &str| slack[t.spans.iter().position(|s| s.phase.name == name).expect("a phase")];
    assert_eq!((of("migrate"), of("warmCache"), of("bind443")), (Some(0), Some(90 * MS), Some(150 * MS)));
    assert_eq!((of("bind80"), of("becomeNobody")), (Some(150 * MS), Some(90 * MS)));
    assert_eq!(of("serve"), None, "ready did not wait for it");

    let own = own(&t, 216 * MS);
    assert_eq!(own.own_ns.iter().sum::<u64>() + own.gap_ns, 216 * MS);
    assert_eq!(own.gap_ns, 4 * MS, "before the first, after the fork, before and after join");
    let of = |name: &str| own.own_ns[t.spans.iter().position(|s| s.phase.name == name).expect("a phase")];
    assert_eq!(of("join"), 4 * MS);
    assert_eq!(of("migrate") / MS, 10 + 30 + 90, "a third, a half, all of it");
}

#[test]
fn what_runs_inside_a_phase_is_not_its_own() {
    let events = [
        event(0, 1, run("s", "r", vec![header("outer", &[], ""), header("inner", &[], "")])),
        event(0, 1, enter("outer")),
        event(10, 1, enter("inner")),
        event(40, 1, done("inner")),
        event(100, 1, done("outer")),
    ];
    let t = Timeline::from_events(&events);
    assert_eq!(own(&t, 120), Own { own_ns: vec![70, 30], gap_ns: 20 });
    assert_eq!(own(&t, 20), Own { own_ns: vec![10, 10], gap_ns: 0 });
}

#[test]
fn a_start_under_way_waits_for_what_runs() {
    let mut events = served();
    events.truncate(4);
    events.push(event(900 * MS, 3798, What::Note { phase: "checkPID".into(), note: "slow".into() }));
    let t = Timeline::from_events(&events[..]);
    assert_eq!(named(&t, &chain(&t)), ["checkPID"]);
}

#[test]
fn a_journal_reads_as_it_was_written() {
    for events in
        [served(), unwound(), stuck(), foreground(), guarded(), parallel(), parallel_failed(), many(50)]
    {
        let (read, problems) = read(journal(&events).as_bytes());
        assert_eq!(read, events);
        assert!(problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn a_journal_may_be_cut_at_every_byte() {
    let mut events = stuck();
    for e in &mut events {
        if let What::Identity { identity } = &mut e.what {
            // thousands of bytes of capability names would be thousands of the same cuts
            let few = crate::effect::CapabilitySet(1);
            (identity.caps, identity.permitted, identity.bounding) = (few, few, few);
        }
    }
    let text = journal(&events);
    let bytes = text.as_bytes();
    for n in 0..bytes.len() {
        let (events, problems) = read(&bytes[..n]);
        let whole = n > 0 && bytes[n - 1] == b'\n';
        assert_eq!(problems.is_empty(), whole, "{n}: {problems:?}");
        assert!(events.len() >= bytes[..n].iter().filter(|b| **b == b'\n').count(), "{n}");
        Timeline::from_events(&events);
        if n % 5 == 0 {
            read(&bytes[n..]);
        }
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let said = |text: &[u8]| read(text).1.join("; ");
    let good = journal(&served());
    let first = good.find('\n').map_or(0, |i| i + 1);
    let mixed = format!("{}hello\n[1]\n\n{{\"ev\":3}}\n{}", &good[..first], &good[first..]);
    assert_eq!(read(mixed.as_bytes()).0, served());
    assert_eq!(said(mixed.as_bytes()), "3 lines are not of this format and were left out (line 2 and later)");
    assert_eq!(
        said(&good.as_bytes()[first..]),
        "the record of the run itself is missing: spec, plan and date are not known"
    );
    let newer = good.replace("\"schema\":1", "\"schema\":9").replace("\"ev\":\"ready\"", "\"ev\":\"redy\"");
    assert!(said(newer.as_bytes()).contains("format 9 (rsd 0.1.0); this rsd knows format 1"));
    assert!(said(newer.as_bytes()).contains("1 event is of a kind that this rsd does not know: redy"));
    let odd_run = br#"{"t":1,"pid":2,"ev":"run","schema":9,"spec":"s","phases":[{"name":"a","new":1},7]}"#;
    let t = Timeline::read(&[odd_run, &b"\n"[..]].concat());
    assert_eq!((t.spec.as_str(), t.spans.len(), t.pid), ("s", 1, 2));
    let wrong = good.replace("\"phase\":\"umask\"", "\"phase\":7");
    assert!(
        said(wrong.as_bytes()).contains("2 lines lack something or have it wrong"),
        "{}",
        said(wrong.as_bytes())
    );
    let mut latin = good.replace("SIGTERM", "SIG@").into_bytes();
    for b in latin.iter_mut().filter(|b| **b == b'@') {
        *b = 0xe9;
    }
    assert_eq!(said(&latin), "1 line is not valid UTF-8; what cannot be read is shown as \u{fffd}");
    assert_eq!(read(&latin).0.len(), served().len());
    let twice = good.clone() + &journal(&unwound()).replace("3798", "4001").replace("3850", "4003");
    let t = Timeline::read(twice.as_bytes());
    assert_eq!((t.run.as_str(), t.outcome), ("c2d8", Outcome::Unwound));
    assert_eq!(t.problems, ["the journal holds 2 runs; the last is shown"]);
    assert_eq!(
        said(b"\0\0\0"),
        "the record of the run itself is missing: spec, plan and date are not known; the journal holds NUL bytes (3): what was written there is lost"
    );
}

#[test]
fn a_run_without_an_end_may_have_vanished() {
    let mut t = Timeline::from_events(&running());
    t.vanished();
    assert_eq!(t.outcome, Outcome::Vanished);
    let mut t = Timeline::from_events(&served());
    t.vanished();
    assert_eq!(t.outcome, Outcome::Failed);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let t = Timeline::read(&bytes);
        prop_assert!(!t.problems.is_empty());
    }

    #[test]
    fn any_mixture_of_events_makes_a_timeline(picks in proptest::collection::vec((0usize..40, any::<u64>(), any::<bool>()), 0..60)) {
        let known = stuck();
        let events: Vec<Event> = picks.into_iter().map(|(i, t, own)| {
            let mut e = known[i % known.len()].clone();
            if own { e.t = t; }
            e
        }).collect();
        let t = Timeline::from_events(&events);
        let path = chain(&t);
        let spare = slack(&t);
        for link in &path {
            prop_assert!(link.span < t.spans.len() && link.share >= 0.0);
            prop_assert_eq!(spare[link.span], Some(0));
        }
        if let Some(last) = path.last() {
            let end = t.spans[last.span].end_ns.unwrap_or(t.end_ns);
            let sum: u64 = path.iter().map(|l| l.own_ns + l.wait_ns).sum();
            prop_assert_eq!(sum, end, "the chain accounts for all the time to its end");
        }
        for until in [0, t.end_ns / 2, t.end_ns] {
            let own = own(&t, until);
            prop_assert_eq!(own.own_ns.iter().sum::<u64>() + own.gap_ns, until);
        }
        crate::view::text::render(&t, &crate::view::text::TextStyle::default());
        crate::view::json::render(&t);
    }
}
