use super::*;
use crate::timeline::samples::*;
use crate::timeline::{Event, What};
use crate::view::svg::{self, SvgStyle};
use proptest::prelude::*;

fn page(events: &[Event]) -> String {
    render(&Timeline::from_events(events), &HtmlStyle::default())
}

fn picture(events: &[Event]) -> String {
    svg::render(&Timeline::from_events(events), &SvgStyle::default())
}

fn all() -> Vec<Vec<Event>> {
    vec![
        served(),
        unwound(),
        stuck(),
        guarded(),
        running(),
        foreground(),
        parallel(),
        parallel_failed(),
        many(300),
        vec![],
    ]
}

/// As a policy names a text: base64 of its SHA-256.
fn hash(text: &str) -> String {
    use sha2::Digest;
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = sha2::Sha256::digest(text.as_bytes());
    let mut out = String::from("sha256-");
    for three in digest.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |n, (k, b)| n | u32::from(*b) << (16 - 8 * k));
        for k in 0..4 {
            match k <= three.len() {
                true => out.push(SIGNS[(bits >> (18 - 6 * k)) as usize & 63] as char),
                false => out.push('='),
            }
        }
    }
    out
}

#[test]
fn the_policy_names_what_the_page_holds() {
    assert_eq!(policy::STYLE, hash(&style_sheet()), "copy the right side to html/policy.rs");
    assert_eq!(policy::SCRIPT, hash(SCRIPT), "copy the right side to html/policy.rs");
    let html = page(&served());
    assert!(html.contains(&format!("<style>{}</style>", style_sheet())));
    assert!(html.contains(&format!("<script>{SCRIPT}</script>")));
    // nothing that the policy would refuse, nothing from elsewhere
    for bad in [" style=\"", " onclick", " src=", "url(http", "@import", "javascript:"] {
        assert!(!html.contains(bad), "{bad}");
    }
}

/// Tags opened and closed in order; `void` ones need no end.
fn balanced(markup: &str, void: &[&str]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').ok_or("a tag without an end")?;
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        if tag.starts_with('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> ends {last:?}"));
            }
        } else if !void.contains(&name) {
            open.push(name);
            if matches!(name, "script" | "style") {
                rest = &rest[rest.find(&format!("</{name}>")).ok_or("raw text without an end")?..];
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}

#[test]
fn tags_are_closed_and_colours_named() {
    for events in all() {
        assert_eq!(balanced(&page(&events), &["meta", "input", "br", "link"]), Ok(()));
        let svg = picture(&events);
        assert_eq!(balanced(&svg, &[]), Ok(()));
        assert!(!svg.contains("var(--") && !svg.contains("NaN"));
    }
}

#[test]
fn what_a_reader_needs_is_there() {
    let html = page(&served());
    for part in [
        "<b>91%</b> of the time to ready was <b>readTacFile</b>",
        "then uid 1000",
        "Ready in 488 ms",
        "✗ removePIDFile failed",
        "privileges dropped: uid 1000",
        "uid 0 → 1000 · gid 0 → 1000 · capabilities 41 → 0",
        "fill=\"url(#root-user)\"",
        "/run/d.pid was made as root (openPIDFile)",
        "51 µs · EACCES",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let html = page(&unwound());
    for part in [
        "undone by the launcher, newest first",
        "All it had done was undone",
        "did not run: it needs startApplication",
        ">UNDO<",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(page(&stuck()).contains("Could not remove /run/d.pid"));
    assert!(page(&guarded()).contains("its guard stayed root"));
    assert!(page(&foreground()).contains("skipped: nodaemon is set"));
    let html = page(&parallel());
    assert!(html.contains("w-kept") && html.contains("w-user") && html.contains("w-root"));
    assert!(html.contains("It ran as <b>root, uid 65534 and uid 1000 with 1 capability</b>"));
}

#[test]
fn of_a_window_only_that_part_is_drawn() {
    let draw = |events: &[Event], window| {
        let t = Timeline::from_events(events);
        let html = render(&t, &HtmlStyle { window, ..Default::default() });
        (html, svg::render(&t, &SvgStyle { window, ..Default::default() }))
    };
    for (window, there) in [(Window::Startup, false), (Window::All, true)] {
        let (html, svg) = draw(&served(), window);
        for page in [&html, &svg] {
            for part in [">RUN<", ">STOP<", ">startReactor<", ">removePIDFile<"] {
                assert_eq!(page.contains(part), there, "{window:?}: {part}");
            }
            assert!(page.contains(">startApplication<") && page.contains(">START-UP"));
        }
        assert_eq!(html.contains("href=\"#c12\""), there);
        assert_eq!(html.contains("<code>--window all</code>"), !there);
        // what a failed start undid belongs to it
        let (html, svg) = draw(&unwound(), window);
        assert!(html.contains(">UNDO<") && svg.contains(">UNDO<"));
    }
}

#[test]
fn a_large_run_is_folded() {
    let events = many(2_500);
    let html = page(&events);
    assert!(html.matches("<article").count() < 200 && html.len() < 700_000, "{}", html.len());
    assert!(html.contains("of 2500 phases are folded") && html.contains("class=\"fold\""));
    let whole =
        render(&Timeline::from_events(&events), &HtmlStyle { rows: usize::MAX, ..Default::default() });
    assert_eq!(whole.matches("<article").count(), 2_500);
    assert!(picture(&events).len() < 300_000);
}

/// The data of the folded phases.
fn folded(html: &str) -> serde_json::Value {
    let data = html.split_once("id=\"folded\">").and_then(|(_, rest)| rest.split_once("</script>"));
    serde_json::from_str(data.expect("a run that is folded").0).expect("JSON")
}

#[test]
fn what_is_folded_is_in_the_page_all_the_same() {
    let t = Timeline::from_events(&many(2_500));
    let html = render(&t, &HtmlStyle::default());
    let data = folded(&html);
    let rows = data["folds"].as_array().expect("folds");
    assert_eq!(html.matches("class=\"r more\" data-fold=").count(), rows.len());
    assert_eq!(data["all"], 2_500);
    let (mut seen, drawn) = (0, html.matches("<article").count());
    for fold in rows {
        let names = fold["name"].as_array().expect("names");
        let mut start = 0;
        for (k, name) in names.iter().enumerate() {
            let span = t.spans.iter().find(|s| s.phase.name == name.as_str().unwrap_or_default());
            let span = span.expect("a phase of the run");
            start += fold["start"][k].as_i64().expect("it ran");
            assert_eq!(span.start_ns, u64::try_from(start).ok(), "{name}");
            assert_eq!(span.took(), fold["took"][k].as_u64(), "{name}");
            assert!(!html.contains(&format!("<th scope=\"row\">{}</th>", span.phase.name)));
        }
        seen += names.len();
    }
    assert_eq!(seen + drawn, 2_500, "each has a card, or is folded");
    assert!(!page(&many(300)).contains("id=\"folded\""), "nothing is folded there");
}

#[test]
fn names_of_folded_phases_cannot_leave_their_place() {
    let bad = "</script><script>x()</script><!--\x1b[31m\u{202e}";
    let mut events = many(2_100);
    for e in &mut events {
        match &mut e.what {
            What::Run { phases, .. } => {
                for p in phases.iter_mut() {
                    (p.name, p.kind) = (format!("{}{bad}", p.name), bad.into());
                    p.groups = vec![bad.into()];
                }
            }
            What::Enter { phase, .. } | What::Exit { phase, .. } => *phase = format!("{phase}{bad}"),
            _ => {}
        }
    }
    let html = page(&events);
    assert!(html.contains("\\u003c/script>"));
    assert_eq!((html.matches("<script").count(), html.matches("</script").count()), (3, 3));
    assert!(!html.contains("<!--"));
    assert!(!html.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')));
    assert!(!folded(&html)["folds"][0]["name"].as_array().expect("names").is_empty());
}

#[test]
fn names_and_errors_cannot_leave_their_place() {
    let bad = "</script><script>x()</script>\"'<!--\x1b[31m\u{202e}\u{2066}]]>\0\u{ffff}";
    let mut events = unwound();
    for e in &mut events {
        match &mut e.what {
            What::Run { spec, run, phases, .. } => {
                (*spec, *run) = (bad.into(), bad.into());
                for p in phases {
                    (p.kind, p.detail) = (bad.into(), bad.into());
                    p.groups = vec![bad.into()];
                }
            }
            What::Exit { error: Some(error), .. } => {
                error.message = bad.into();
                (error.why, error.help) = (Some(bad.into()), Some(bad.into()));
            }
            What::Undo { what, .. } => *what = bad.into(),
            What::Fork { role, .. } => *role = bad.into(),
            _ => {}
        }
    }
    for (text, scripts) in [(page(&events), 2), (picture(&events), 0)] {
        assert_eq!(text.matches("<script").count(), scripts);
        assert_eq!(text.matches("</script").count(), scripts);
        assert!(!text.contains("<!--") && !text.contains("]]>"));
        assert!(
            !text.chars().any(|c| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{ffff}".contains(c)))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_events_can_be_drawn(
        picks in proptest::collection::vec((0usize..200, 0u64..3_000, any::<bool>()), 0..50), k in 0usize..3,
        all in any::<bool>(),
    ) {
        let known: Vec<_> = served().into_iter().chain(stuck()).chain(parallel()).chain(guarded()).collect();
        let events: Vec<_> = picks.into_iter().map(|(i, t, own)| {
            let mut e = known[i % known.len()].clone();
            if own { e.t = t; }
            e
        }).collect();
        let t = Timeline::from_events(&events);
        let scale = Scale::ALL[k].0;
        let window = if all { Window::All } else { Window::Startup };
        let html = render(&t, &HtmlStyle { scale, rows: 5, window });
        prop_assert_eq!(balanced(&html, &["meta", "input", "br", "link"]), Ok(()));
        // every position lies in the drawing
        let drawn = svg::render(&t, &SvgStyle { scale, rows: 200, window });
        for part in drawn.split(['"', '%']).filter(|p| p.parse::<f64>().is_ok()) {
            let value: f64 = part.parse().unwrap_or(-1.0);
            prop_assert!(value >= -20.0, "{}", part);
        }
        for x in drawn.split(" x=\"").skip(1).filter_map(|p| p.split_once('%')).filter_map(|(n, _)| n.parse::<f64>().ok()) {
            prop_assert!((0.0..=100.0).contains(&x), "{}", x);
        }
    }
}
