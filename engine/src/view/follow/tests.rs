use super::*;
use crate::timeline::samples::*;
use crate::timeline::{Event, What, samples};
use unicode_width::UnicodeWidthStr;

fn history() -> History {
    let mut history = History::default();
    for _ in 0..6 {
        history.add(&Timeline::from_events(&samples::served()));
    }
    history
}

/// What is told when the journal grows by so many events at a time.
fn told(events: &[Event], step: usize, style: &TextStyle) -> String {
    let (history, mut follow, mut out) = (history(), Follow::default(), String::new());
    let against = Against { history: &history, style };
    let cuts = (1..=events.len()).filter(|n| n % step == 0 || *n == events.len());
    for n in cuts {
        let t = Timeline::from_events(&events[..n]);
        out += &follow.lines(&t, t.end_ns, &against);
        follow.status(&t, t.end_ns, &against);
    }
    let t = Timeline::from_events(events);
    assert_eq!(follow.lines(&t, t.end_ns, &against), "", "nothing is told twice");
    out
}

#[test]
fn the_same_is_told_however_it_comes() {
    for events in [samples::served(), unwound(), stuck(), guarded(), many(40), running()] {
        let style = TextStyle::default();
        let whole = told(&events, events.len(), &style);
        for step in [1, 3, 7] {
            assert_eq!(told(&events, step, &style), whole);
        }
    }
}

#[test]
fn a_line_a_phase() {
    let text = told(&samples::served(), 1, &TextStyle::default());
    let line = |part: &str| text.lines().find(|l| l.contains(part)).unwrap_or_default().to_owned();
    assert!(line("readTacFile").ends_with("443 ms  usually 443 ms"), "{text}");
    assert!(line("● ready").contains("488 ms"), "{text}");
    assert!(line("removePIDFile").starts_with("✗"), "{text}");
    assert!(text.contains("✗ failed after 3 d 4 h · exit 1"), "{text}");
    assert!(text.contains("\nwhy   /run/d.pid was made as root"), "{text}");
    assert!(!text.contains("SLOW"), "{text}");
    let order = |a: &str, b: &str| assert!(text.find(a) < text.find(b), "{a} before {b}: {text}");
    order("startApplication", "● ready");
    order("● ready", "startReactor");

    let text = told(&stuck(), 1, &TextStyle::default());
    assert!(text.contains("! openPIDFile") && text.contains("↶ startLogger"), "{text}");
    let text = told(&foreground(), 1, &TextStyle::default());
    assert!(text.contains("· chroot") && text.contains("chroot is not set"), "{text}");
    assert_eq!(text.matches("startApplication").count(), 3, "both tries and the undo: {text}");
}

#[test]
fn slow_is_said_while_it_runs_at_once_twice_and_four_times_the_usual() {
    let history = history();
    let style = TextStyle::default();
    let against = Against { history: &history, style: &style };
    let events = samples::served();
    let at = events.iter().position(|e| *e == event(e.t - BASE, 3798, enter("readTacFile"))).expect("there");
    let t = Timeline::from_events(&events[..=at]);
    let mut follow = Follow::default();
    follow.lines(&t, t.end_ns, &against);
    let mut said = Vec::new();
    let mut now = t.end_ns;
    while let Some(wait) = follow.wakes(&t, now, &against).filter(|_| said.len() < 4) {
        now += wait;
        let text = follow.lines(&t, now, &against);
        assert!(text.contains("SLOW  so far; usually 443 ms"), "{text}");
        said.push((now - t.end_ns) / MS);
    }
    // six equal runs have no scatter: 10 ms must be lost
    assert_eq!(said, [453, 886, 1772, 3544]);
    assert!(follow.status(&t, now, &against).contains("SLOW"));
    assert!(!follow.status(&t, t.end_ns + 200 * MS, &against).contains("SLOW"));
}

#[test]
fn nothing_that_nobody_would_notice_is_slow() {
    let history = history();
    let style = TextStyle::default();
    let against = Against { history: &history, style: &style };
    let usual = Usual { median_ns: 59_000, noise_ns: Some(0), runs: 6 };
    assert!(!against.slow(&usual, 9 * MS));
    assert!(against.slow(&usual, 11 * MS));
    assert_eq!(against.called(&usual, 199 * MS), 0, "it may be over before a line is read");
    assert_eq!(against.marks(&usual, SOON).find(|m| *m > SOON), Some(59_000 << 12), "then it doubles");
}

#[test]
fn an_error_that_its_row_cuts_is_told_in_full() {
    let mut events = unwound();
    let long = format!("cannot bind {}:80: Permission denied", "x".repeat(60));
    for event in &mut events {
        if let What::Exit { error: Some(error), .. } = &mut event.what {
            error.message = long.clone();
        }
    }
    let text = told(&events, 1, &TextStyle::default());
    let said =
        text.split("\nwhy ").nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(":80: Permission denied"), "{text}");
}

#[test]
fn a_vanished_process_has_its_number() {
    let mut t = Timeline::from_events(&running());
    t.vanished();
    let (history, style) = (History::default(), TextStyle::default());
    let text = Follow::default().lines(&t, t.end_ns, &Against { history: &history, style: &style });
    assert!(text.contains("process 3850 vanished"), "{text}");
    assert!(text.contains("no earlier run"), "{text}");
}

#[test]
fn every_line_fits() {
    for events in [samples::served(), unwound(), stuck(), foreground(), many(30)] {
        for (width, ascii) in [(40, false), (60, false), (80, true)] {
            let style = TextStyle { width, ascii, ..Default::default() };
            let text = told(&events, 2, &style);
            assert!(text.lines().all(|l| l.width() <= width), "{text}");
            assert!(!ascii || text.is_ascii(), "{text}");
        }
    }
}
