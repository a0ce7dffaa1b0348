use super::*;
use crate::timeline::samples;
use serde_json::Value;

pub(super) fn events(timeline: &Timeline, options: &ChromeOptions) -> Vec<Value> {
    let text = render(timeline, options);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
    all.as_array().expect("the array form").clone()
}

const ALL: ChromeOptions = ChromeOptions { window: Window::All, now_ns: None };

fn named<'a>(events: &'a [Value], cat: &str, name: &str) -> &'a Value {
    let mut found = events.iter().filter(|e| e["cat"] == cat && e["name"] == name);
    let event = found.next().unwrap_or_else(|| panic!("no {cat} {name}"));
    assert!(found.next().is_none(), "two of {cat} {name}");
    event
}

#[test]
fn a_start_is_shown_and_the_rest_is_cut() {
    let timeline = Timeline::from_events(&samples::served());
    let shown = events(&timeline, &ChromeOptions::default());
    let reactor = named(&shown, "phase", "startReactor");
    assert_eq!(reactor["ph"], "X");
    let cut = reactor["args"]["clipped_ns"].as_u64().expect("a number");
    assert!(cut > 273_000_000 * samples::MS && cut < 273_600_001 * samples::MS);
    let removal = named(&shown, "phase", "✗ removePIDFile");
    assert_eq!((&removal["ph"], &removal["s"]), (&"i".into(), &"t".into()));
    assert_eq!(removal["args"]["took_ns"], 51_000);
    assert_eq!(removal["args"]["error"]["errno"], "EACCES");

    let shown = events(&timeline, &ALL);
    assert_eq!(named(&shown, "phase", "startReactor")["args"]["clipped_ns"], Value::Null);
    assert_eq!(named(&shown, "phase", "✗ removePIDFile")["dur"], 51.0);
    assert_eq!(named(&shown, "run", "SIGTERM")["s"], "p");
}

#[test]
fn one_phase_goes_on_over_three_processes() {
    let timeline = Timeline::from_events(&samples::served());
    let shown = events(&timeline, &ChromeOptions::default());
    let parts: Vec<_> = shown.iter().filter(|e| e["cat"] == "part" && e["name"] == "daemonize").collect();
    let pids: Vec<_> = parts.iter().map(|e| (e["pid"].as_u64(), e["args"]["goes_on_in"].as_u64())).collect();
    assert_eq!(
        pids,
        [(Some(3798), Some(3849)), (Some(3849), Some(3850)), (Some(3850), None)],
        "from the launcher over the session leader to the daemon"
    );
    assert_eq!(shown.iter().filter(|e| e["name"] == "fork()").count(), 2);
    assert_eq!(shown.iter().filter(|e| e["cat"] == "fork" && e["ph"] == "f").count(), 2);
    let whole = named(&shown, "phase", "daemonize");
    assert_eq!((&whole["args"]["pid_start"], &whole["args"]["pid_end"]), (&3798.into(), &3850.into()));
}

#[test]
fn identity_is_a_track() {
    let timeline = Timeline::from_events(&samples::served());
    let shown = events(&timeline, &ChromeOptions::default());
    let who: Vec<_> = shown.iter().filter(|e| e["cat"] == "identity").map(|e| e["name"].clone()).collect();
    assert_eq!(who, ["root 0:0 · all capabilities", "1000:1000 · no capabilities"]);
    assert_eq!(shown.iter().find(|e| e["cat"] == "identity").map(|e| e["ts"].clone()), Some(0.into()));
    let places = shown.iter().filter(|e| e["cat"] == "place").count();
    assert_eq!(places, 4, "at first, in the new root, in its directory, with the umask");
}

#[test]
fn what_failed_was_undone_and_what_never_ran_stays_visible() {
    let timeline = Timeline::from_events(&samples::unwound());
    let shown = events(&timeline, &ChromeOptions::default());
    assert_eq!(named(&shown, "phase", "✗ privilegedStartService")["args"]["error"]["errno"], "EADDRINUSE");
    assert_eq!(named(&shown, "phase", "startReactor")["ph"], "i");
    let undone: Vec<_> = shown.iter().filter(|e| e["name"] == "undo openPIDFile").collect();
    assert_eq!(undone.len(), 2, "in the story and in the process that did it");
    assert_eq!(undone[1]["pid"], 3798);
    assert_eq!(undone[0]["args"]["undo"][0]["what"], "remove /run/d.pid");

    let timeline = Timeline::from_events(&samples::stuck());
    let shown = events(&timeline, &ChromeOptions::default());
    assert!(shown.iter().any(|e| e["name"] == "✗ undo openPIDFile"));
}

#[test]
fn what_runs_goes_on_until_now() {
    let timeline = Timeline::from_events(&samples::running());
    let now = timeline.end_ns + 5_000;
    let shown = events(&timeline, &ChromeOptions { window: Window::All, now_ns: Some(now) });
    let reactor = named(&shown, "phase", "startReactor");
    assert_eq!(reactor["args"]["running"], true);
    let end = reactor["ts"].as_f64().zip(reactor["dur"].as_f64()).map(|(ts, dur)| ts + dur);
    assert!(end.is_some_and(|end| (end - now as f64 / 1e3).abs() < 0.01), "{end:?} for {now}");

    let mut gone = timeline.clone();
    gone.vanished();
    let shown = events(&gone, &ChromeOptions { window: Window::All, now_ns: Some(now) });
    assert_eq!(named(&shown, "phase", "startReactor")["args"]["unfinished"], true);
}

#[test]
fn every_sample_has_all_its_phases() {
    use samples::*;
    for run in [served(), unwound(), stuck(), guarded(), running(), foreground(), many(50), vec![]] {
        let timeline = Timeline::from_events(&run);
        for options in [ALL, ChromeOptions::default()] {
            let shown = events(&timeline, &options);
            assert!(!shown.is_empty());
            let phases: Vec<_> = shown.iter().filter(|e| e["cat"] == "phase").collect();
            assert_eq!(phases.len(), timeline.spans.len());
        }
    }
}

#[test]
fn more_than_a_hundred_days_are_written_in_microseconds() {
    let mut timeline = Timeline::from_events(&samples::served());
    let far = 200 * 86_400 * 1_000_000_000 + 123;
    for span in &mut timeline.spans {
        span.start_ns = span.start_ns.map(|t| t + far);
        span.end_ns = span.end_ns.map(|t| t + far);
    }
    timeline.ready_ns = timeline.ready_ns.map(|t| t + far);
    let text = render(&timeline, &ALL);
    for line in text.lines().filter(|l| l.contains("\"X\"") && !l.contains("fork()")) {
        let event: Value = serde_json::from_str(line.trim_end_matches(',')).expect("an event a line");
        for key in ["ts", "dur"] {
            assert!(event[key].is_u64(), "{key} in {line}");
        }
    }
}
