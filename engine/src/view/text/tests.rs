use super::*;
use crate::timeline::samples::*;
use crate::timeline::{Event, Failure, Outcome, PhaseHeader, What};
use unicode_width::UnicodeWidthStr;

fn show(events: &[Event], style: &TextStyle) -> String {
    render(&Timeline::from_events(events), style)
}

/// Every line that begins like this, without the frame's place.
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("no row with {name:?} in\n{text}"))
}

fn samples() -> Vec<Vec<Event>> {
    vec![
        served(),
        unwound(),
        stuck(),
        running(),
        foreground(),
        guarded(),
        parallel(),
        parallel_failed(),
        many(90),
        hostile(),
        vec![],
    ]
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
fn a_run_that_served() {
    let text = show(&served(), &TextStyle::default());
    let line = |n: usize| text.lines().nth(n).unwrap_or_default();
    assert!(line(0).starts_with("twistd  ready in 488 ms · removePIDFile failed "), "{text}");
    assert!(line(0).ends_with("run 7f3a  2026-11-22 05:26:50Z"), "{text}");
    assert_eq!(line(1), "91% of the time to ready was readTacFile. Root for 455 ms, then uid 1000.");
    assert!(line(3).ends_with("0 START-UP  ▪ widened     488 ms┊RUN┊STOP"), "{text}");
    assert_eq!(line(4), "╔ root 0:0 · all capabilities · pid 3798 (launcher) · / · umask 022");
    assert!(text.contains("\n╟ pid 3798 → 3849 → 3850 · root /jail · cwd /srv · umask 027\n║ ✓ openPIDFile"));
    assert!(text.contains(
        "\n╚══ privileges dropped: uid 0 → 1000, gid 0 → 1000, capabilities 41 → 0 ════════\n│ ✓ startApp"
    ));
    assert!(
        row(&text, "✓ readTacFile").contains("443 ms ◆   ███") && row(&text, "✓ readTacFile").contains("91%")
    );
    assert!(row(&text, "✓ startReactor").ends_with("┊▶▶▶┊"), "{text}");
    assert!(row(&text, "✗ removePIDFile").ends_with("EACCES Permission denied        ┊   ┊ ✗"), "{text}");
    assert!(row(&text, "● ready").ends_with("●   ┊"));
    let wide = show(&served(), &TextStyle { width: 132, ..Default::default() });
    assert!(row(&wide, "START-UP").contains("┊RUN 3 d 4 h┊STOP 53 µs"), "{wide}");
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
fn branches_at_once_have_a_frame_each_and_three_signs() {
    let text = show(&parallel(), &TextStyle::default());
    let has = |what: &str| assert!(text.contains(what), "no {what:?} in\n{text}");
    has("Branches at once, as root, uid 65534 and\nuid 1000 with cap_net_bind_service.");
    has("\n╔ root 0:0 · all capabilities · pid 501 (database) · / · umask 022\n║ ✓ connect");
    has("\n╔ root 0:0 · all capabilities · pid 502 (cache) · / · umask 022\n║ ✓ becomeNobody");
    has("capabilities 41 → 0 ══════\n│ ✓ warmCache");
    has("capabilities 41 → 1 ════════\n┃ ✓ bind80");
    has("\n╔ root 0:0 · all capabilities · pid 500 (daemon) · / · umask 022\n║ ✓ join");
    let order: Vec<_> = ["fork", "connect", "migrate", "becomeNobody", "warmCache", "bind443", "join"]
        .iter()
        .map(|name| text.find(&format!("✓ {name}")))
        .collect();
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{text}");
    let text = show(&parallel_failed(), &TextStyle::default());
    assert!(row(&text, "! migrate").contains("no end"), "{text}");
    assert!(text.contains("┃ · join                       not run    needs bind443"), "{text}");
}

#[test]
fn interleaved_branches_are_grouped_by_process() {
    let mut events = parallel();
    if let What::Run { phases, .. } = &mut events[0].what {
        // as a plan may have them: one of each branch in turn
        phases.swap(3, 4);
        phases.swap(5, 7);
    }
    let text = show(&events, &TextStyle::default());
    assert_eq!(text.matches("(database)").count(), 1, "{text}");
    assert_eq!(text.matches("(cache)").count(), 1, "{text}");
    assert_eq!(text.matches("(net)").count(), 1, "{text}");
}

#[test]
fn nothing_known_of_the_identity_is_no_drop() {
    let mut events = served();
    events.retain(|e| !matches!(e.what, What::Identity { .. }));
    let text = show(&events, &TextStyle::default());
    assert!(text.contains("\n┆ ✓ checkPID") && !text.contains(['│', '║']), "{text}");
    assert!(!text.contains("Root"), "{text}");
}

#[test]
fn blame_is_the_whole_time() {
    let style = TextStyle { shown: Shown::Blame, ..Default::default() };
    let text = show(&served(), &style);
    let rows: Vec<_> = text.lines().skip_while(|l| !l.contains("own time")).skip(1).collect();
    assert!(rows[0].starts_with("║     443 ms    91%  readTacFile"), "{text}");
    assert!(rows[1].starts_with("│      31 ms     6%  startApplication"), "{text}");
    assert!(text.contains("\n·     2.5 ms   0.5%  between phases, when none ran\n"), "{text}");
    assert!(text.contains("\n=     488 ms   100%  together: the time to ready\n"), "{text}");
    assert!(!text.contains("startReactor"), "what served is no part of the start\n{text}");
    assert!(text.contains("why   removePIDFile"), "{text}");
    let text = show(&parallel(), &style);
    assert!(text.contains("║     130 ms    60%  migrate of 180 ms "), "{text}");
    assert!(show(&unwound(), &style).contains("✗ privilegedStartService"));
    assert!(show(&many(5000), &style).contains("4940 more phases (--all shows them)"));
    let start = events_of(&served(), 4);
    assert!(show(&start, &style).contains("together: the start so far"), "{}", show(&start, &style));
}

fn events_of(events: &[Event], n: usize) -> Vec<Event> {
    events[..n].to_vec()
}

#[test]
fn the_chain_is_in_the_order_of_time() {
    let style = TextStyle { shown: Shown::Chain, ..Default::default() };
    let text = show(&served(), &style);
    let has = |text: &str, what: &str| assert!(text.contains(what), "no {what:?} in\n{text}");
    has(&text, "\n║     399 µs   443 ms    91%  readTacFile\n");
    has(&text, "  startLogger → chroot → chdir → umask\n");
    has(&text, "\n│     457 ms    31 ms     6%  startApplication\n●     488 ms                  ready\n");
    has(&text, "2.5 ms   0.5%  in shorter waits, together\n");
    has(&text, "none had time to spare");
    let all = show(&served(), &TextStyle { rows: usize::MAX, ..style.clone() });
    has(&all, "  chroot /jail\n");
    let text = show(&parallel(), &style);
    has(&text, "\n│     120 ms    90 ms         warmCache 12 000 keys\n");
    has(&text, "\n┃      60 ms   150 ms         bind443 :443\n");
    has(&show(&unwound(), &style), "✗ privilegedStartService");
    assert!(show(&many(5000), &style).lines().count() < 100);
}

#[test]
fn time_between_phases_is_drawn_and_told() {
    let mut events = served();
    let from = events.iter().position(|e| matches!(&e.what, What::Enter { phase } if phase == "openPIDFile"));
    for e in &mut events[from.unwrap_or(0)..] {
        e.t += 400 * MS;
    }
    let text = show(&events, &TextStyle::default());
    assert!(row(&text, "✓ openPIDFile").contains("░░░░▪"), "{text}");
    assert!(text.contains("45% lay between phases"), "{text}");
    assert!(text.contains("░ between phases 403 ms (45%), 400 ms of it before openPIDFile"), "{text}");
    assert!(!row(&text, "✓ chroot").contains('░'), "{text}");
    // too short for a column of its own: the sign is explained only where it stands
    for e in &mut events[from.unwrap_or(0)..] {
        e.t -= 394 * MS;
    }
    let text = show(&events, &TextStyle::default());
    assert!(text.contains(" between phases 8.5 ms (2%)") && !text.contains('░'), "{text}");
}

#[test]
fn a_process_that_vanished_says_where() {
    let mut events = served();
    events.truncate(10);
    let mut t = Timeline::from_events(&events);
    t.vanished();
    let open = t.spans.iter().find(|s| s.start_ns.is_some() && s.end_ns.is_none()).map(|s| &s.phase.name);
    assert_eq!(open.map(String::as_str), Some("chroot"));
    let text = render(&t, &TextStyle::default());
    assert!(text.starts_with("twistd  not ready · vanished in chroot"), "{text}");
    assert!(text.contains("\n99.2% of the time was readTacFile."), "{text}");
    assert!(row(&text, "! chroot").contains("no end"), "{text}");
    assert!(row(&text, "· chdir").contains("the process vanished before"), "{text}");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("why process 3798 is gone and left no record of its end; its last one is of"),
        "{text}"
    );
    let text = render(&t, &TextStyle { shown: Shown::Chain, ..Default::default() });
    assert!(text.contains("  ! chroot /jail\n"), "{text}");
}

#[test]
fn scales_say_what_they_are() {
    let head = |scale| row(&show(&served(), &TextStyle { scale, ..Default::default() }), "phase").to_owned();
    assert!(head(Scale::Time).contains("to scale"), "{}", head(Scale::Time));
    assert!(head(Scale::Balanced).contains("▪ widened"));
    assert!(head(Scale::Steps).contains("equal steps"));
    let text = show(&served(), &TextStyle { window: Window::Startup, ..Default::default() });
    assert!(text.contains("● ready") && !text.contains("✗ removePIDFile"), "{text}");
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
            let looks = [(false, false), (false, true), (true, false)];
            let views = [Shown::Timeline, Shown::Blame, Shown::Chain];
            for ((color, ascii), shown) in looks.iter().flat_map(|l| views.map(|v| (*l, v))) {
                let scale = [Scale::Time, Scale::Balanced, Scale::Steps][width % 3];
                let text =
                    show(&events, &TextStyle { width, color, ascii, shown, scale, ..Default::default() });
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
    assert!(row(&text, "phases of group3").contains('▁'), "{text}");
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
