use super::*;
use crate::timeline::samples::*;
use crate::timeline::{Event, Failure, PhaseHeader, What};
use unicode_width::UnicodeWidthStr;

fn show(events: &[Event], style: &TextStyle) -> String {
    render(&Timeline::from_events(events), style)
}

/// Every line that begins like this, without the frame's place.
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("no row with {name:?} in\n{text}"))
}

fn samples() -> Vec<Vec<Event>> {
    vec![served(), unwound(), stuck(), running(), foreground(), guarded(), many(90), hostile(), vec![]]
}

/// Names that try to get out, are too long, or are wide.
fn hostile() -> Vec<Event> {
    let evil = "\x1b[31mred\u{202e}\u{9b}2J</script>\nnext";
    let wide = "漢字".repeat(30);
    let combining = "e\u{301}".repeat(400);
    let phases = [evil, &wide, &combining].map(|n| PhaseHeader {
        needs: vec![evil.into()],
        groups: vec![evil.into()],
        skipped: (n == wide).then(|| evil.to_owned()),
        ..header(n, &[], evil)
    });
    let mut who = root();
    who.cwd = evil.into();
    let error = Failure {
        errno: None,
        message: evil.repeat(20),
        why: Some(evil.to_owned() + &"x".repeat(500)),
        help: Some(wide.clone()),
        ..Failure::default()
    };
    let note = What::Note { phase: evil.into(), note: evil.into() };
    vec![
        event(0, 1, run(evil, evil, phases.into())),
        event(0, 1, is(&who)),
        event(1, 1, enter(evil)),
        event(2, 1, note),
        event(3, 1, fails(evil, error)),
        event(4, 1, enter(&combining)),
        event(5, 1, done(&combining)),
        event(6, 1, What::Signal { signal: evil.into(), then: evil.into() }),
        event(7, 1, What::End { outcome: Outcome::Failed, code: -1 }),
    ]
}

#[test]
fn look() {
    println!("{}", show(&served(), &TextStyle::default()));
    println!("{}", show(&unwound(), &TextStyle::default()));
}

#[test]
fn a_run_that_served() {
    let text = show(&served(), &TextStyle::default());
    let line = |n: usize| text.lines().nth(n).unwrap_or_default();
    assert!(line(0).starts_with("twistd  ready in 488 ms · removePIDFile failed "), "{text}");
    assert!(line(0).ends_with("run 7f3a  2026-11-22 05:26:50Z"), "{text}");
    assert_eq!(line(3), "╔ root 0:0 · all capabilities · pid 3798 (launcher) · / · umask 022");
    assert!(text.contains("\n╟ pid 3798 → 3849 → 3850 · root /jail · cwd /srv · umask 027\n║ ✓ openPIDFile"));
    assert!(text.contains(
        "\n╚══ privileges dropped: uid 0 → 1000, gid 0 → 1000, capabilities 41 → 0 ════════\n│ ✓ startApp"
    ));
    assert!(
        row(&text, "readTacFile").contains("443 ms ◆   ███") && row(&text, "readTacFile").contains("91%")
    );
    assert!(row(&text, "✓ startReactor").ends_with("┊▶▶"), "{text}");
    assert!(row(&text, "✗ removePIDFile").ends_with("EACCES Permission denied             ┊  ✗"), "{text}");
    assert!(row(&text, "● ready").ends_with('●'));
    assert!(text.contains("why   removePIDFile: remove /run/d.pid: Permission denied\n"));
    assert_eq!(text.matches("╟").count(), 1, "one band for all that changed");
}

#[test]
fn a_start_that_failed() {
    let text = show(&unwound(), &TextStyle { width: 110, ..Default::default() });
    assert!(
        text.contains("failed at privilegedStartService, 455 ms · unwound, nothing left behind"),
        "{text}"
    );
    assert!(text.contains("✗ privilegedStartService   340 µs    EADDRINUSE bind tcp:127.0.0.1:807: Address"));
    assert!(row(&text, "· switchUidGid").contains("needs privilegedStartService"));
    let (first, second) = (text.find("↶ openPIDFile"), text.find("↶ startLogger"));
    assert!(first.is_some() && first < second, "newest first");
    assert!(text.contains("╚══ exit 1 · nothing left behind ═"));
    let text = show(&stuck(), &TextStyle::default());
    assert!(text.contains("╚══ exit 7 · left behind by openPIDFile ═"), "{text}");
    assert!(text.contains("\nleft  openPIDFile: could not remove /run/d.pid: "), "{text}");
}

#[test]
fn a_guard_and_a_kept_capability() {
    let text = show(&guarded(), &TextStyle::default());
    assert!(text.contains("╔ root 0:0 · all capabilities · pid 3851 (guard)"), "{text}");
    assert!(text.contains("\n║ ✓ removePIDFile"), "{text}");
    let mut kept = served();
    for e in &mut kept {
        if let What::Identity { identity } = &mut e.what
            && identity.uid[1] != 0
        {
            identity.permitted = crate::effect::CapabilitySet(1 << 10);
            identity.uid[2] = 0;
        }
    }
    let text = show(&kept, &TextStyle::default());
    assert!(text.contains("\n┃ ✓ startApplication"), "{text}");
    assert!(text.contains("not for good: uid 0 → 1000/1000/0"), "{text}");
}

#[test]
fn nothing_ran() {
    let phases = vec![
        PhaseHeader { skipped: Some("nodaemon is set".into()), ..header("a", &[], "") },
        PhaseHeader { skipped: Some("uid is not set".into()), ..header("b", &["a"], "") },
    ];
    let events = [
        event(0, 1, run("s", "0001", phases)),
        event(9, 1, What::Ready {}),
        event(9, 1, What::End { outcome: Outcome::Completed, code: 0 }),
    ];
    let text = show(&events, &TextStyle::default());
    assert!(row(&text, "· a").contains("skipped    nodaemon is set"), "{text}");
    assert!(show(&[], &TextStyle::default()).starts_with("unknown spec  starting"));
    assert!(render(&Timeline::read(b""), &TextStyle::default()).contains("note  the journal is empty"));
}

#[test]
fn every_line_fits_and_nothing_escapes() {
    for events in samples() {
        for width in (60..=120).filter(|w| w % 3 == 0 || *w < 82) {
            for (color, ascii) in [(false, false), (false, true), (true, false)] {
                let text = show(&events, &TextStyle { width, color, ascii, rows: 60 });
                let plain = strip(&text);
                assert!(color || plain == text, "an ESC without colour");
                for line in plain.lines() {
                    assert!(line.width() <= width, "{} > {width}: {line}", line.width());
                    assert!(!line.ends_with(' '), "{line:?}");
                }
                assert!(!plain.contains(['\x1b', '\u{202e}', '\u{9b}']), "{plain:?}");
                assert!(!ascii || text.is_ascii(), "{text}");
            }
        }
    }
}

/// Without the escapes that are ours.
fn strip(text: &str) -> String {
    let codes = ["0", "1", "90", "32", "1;32", "31", "1;31", "33", "34", "35"];
    codes.iter().fold(text.to_owned(), |t, code| t.replace(&format!("\x1b[{code}m"), ""))
}

#[test]
fn colour_changes_nothing_but_colour() {
    for events in samples() {
        let plain = show(&events, &TextStyle::default());
        assert_eq!(strip(&show(&events, &TextStyle { color: true, ..Default::default() })), plain);
    }
}

#[test]
fn many_phases_are_folded_and_said_so() {
    let mut events = many(5000);
    let error = Failure { message: "broke".into(), ..Default::default() };
    if let Some(e) =
        events.iter_mut().find(|e| matches!(&e.what, What::Exit { phase, .. } if phase == "phase2500"))
    {
        e.what = fails("phase2500", error);
    }
    let text = show(&events, &TextStyle::default());
    assert!(text.lines().count() < 80, "{text}");
    assert!(text.contains("✗ phase2500"), "{text}");
    assert!(text.contains("phases of group3"), "{text}");
    assert!(text.contains("of 5000 phases are folded"), "{text}");
    let all = show(&events, &TextStyle { rows: usize::MAX, ..Default::default() });
    assert!(all.lines().count() > 5000);
}

#[test]
fn any_cut_of_a_run_can_be_shown() {
    for events in samples() {
        for n in 0..events.len().min(60) {
            let mut t = Timeline::from_events(&events[..n]);
            render(&t, &TextStyle::default());
            t.vanished();
            render(&t, &TextStyle { width: 0, ascii: true, ..Default::default() });
            t = Timeline::from_events(&events[n..]);
            render(&t, &TextStyle::default());
        }
    }
}
