//! `--profile FILE` and the forms of `rsd trace` as a user gets them: files, endings, packing.

mod support;

use serde_json::Value;
use std::fs;
use support::{Ran, Who, World};

fn rsd(world: &World, args: &[&str]) -> Ran {
    world.rsd(&args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
}

/// (name, microseconds) of every stage, in the order in which they began; each is inside of the one before
/// it that is open, and all have ended.
fn stages(profile: &str) -> Vec<(String, f64)> {
    let events: Vec<Value> = serde_json::from_str(profile).unwrap_or_else(|e| panic!("{e} in {profile}"));
    let (mut open, mut all) = (Vec::<usize>::new(), Vec::<(String, f64, f64)>::new());
    for event in &events {
        let ts = event["ts"].as_f64().unwrap_or_default();
        match event["ph"].as_str() {
            Some("B") => {
                open.push(all.len());
                all.push((event["name"].as_str().expect("a name").to_owned(), ts, f64::NAN));
            }
            Some("E") => {
                let i = open.pop().expect("what ends has begun");
                assert_eq!(event["name"], all[i].0);
                all[i].2 = ts - all[i].1;
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "{profile}");
    assert!(all.iter().all(|(.., took)| *took >= 0.0), "{all:?}");
    all.into_iter().map(|(name, _, took)| (name, took)).collect()
}

fn names(world: &World, file: &str) -> Vec<String> {
    let profile = fs::read_to_string(world.dir().join(file)).expect("the profile");
    let stages = stages(&profile);
    let whole = stages.first().expect("the whole").1;
    assert!(stages.iter().all(|(_, took)| *took <= whole), "{stages:?}");
    let mut names: Vec<String> = stages.into_iter().map(|(name, _)| name).collect();
    // One for each phase that the simulation runs.
    assert!(!names.iter().any(|n| n == "simulate") || names.iter().any(|n| n == "phase"));
    names.retain(|n| n != "phase");
    names
}

#[test]
fn check_and_plan_tell_what_their_stages_took() {
    let world = World::empty(Who::Me);
    for command in ["check", "plan"] {
        let ran = rsd(&world, &[command, "--nodaemon", "--pidfile=", "--profile", "p.json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(
            names(&world, "p.json"),
            [
                "rsd", "parse", "options", "snapshot", "resolve", "edges", "order", "snapshot", "simulate",
                "rules", "view"
            ]
        );
        assert!(!ran.stdout.is_empty());
    }
    // What is refused early has a profile too.
    let ran = rsd(&world, &["check", "--spec", "./none.yaml", "--profile=p.json"]);
    assert_eq!((ran.code, names(&world, "p.json")), (6, vec!["rsd".to_owned(), "parse".to_owned()]));
}

#[test]
fn trace_tells_what_reading_took() {
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("run.jsonl"), JOURNAL).expect("a journal");
    let ran = rsd(&world, &["trace", "./run.jsonl", "--profile", "p.json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(names(&world, "p.json"), ["rsd", "read journal", "view"]);
}

#[test]
fn a_profile_that_cannot_be_written_is_an_error() {
    let world = World::empty(Who::Me);
    let ran = rsd(&world, &["check", "--profile", "no/such/p.json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("no/such/p.json cannot be written: No such file"), "{}", ran.stderr);
}

#[test]
fn the_ending_of_a_file_says_its_form() {
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("run.jsonl"), JOURNAL).expect("a journal");
    for (file, begins) in [
        ("a.trace.json", "[\n{\"ph\":\"M\""),
        ("a.otlp.json", "{\"resourceSpans\""),
        ("a.dot", "digraph \"demo\""),
        ("a.json", "{\n  \"schema\": 1"),
    ] {
        let ran = rsd(&world, &["trace", "./run.jsonl", "-o", file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        let text = fs::read_to_string(world.dir().join(file)).expect("it was written");
        assert!(text.starts_with(begins), "{file}: {text}");

        let packed = format!("{file}.gz");
        assert_eq!(rsd(&world, &["trace", "./run.jsonl", "-o", &packed]).code, 0);
        let bytes = fs::read(world.dir().join(&packed)).expect("it was packed");
        let mut unpacked = String::new();
        use std::io::Read;
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, text, "{packed}");
    }
    for form in ["chrome", "otlp", "dot"] {
        let ran = rsd(&world, &["trace", "./run.jsonl", "--format", form]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("one") && ran.stdout.contains("two"), "{form}: {}", ran.stdout);
    }
}

#[test]
fn a_disk_that_is_full_is_told() {
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("run.jsonl"), JOURNAL).expect("a journal");
    for form in ["chrome", "otlp", "dot"] {
        let ran = rsd(&world, &["trace", "./run.jsonl", "--format", form, "-o", "/dev/full"]);
        assert_eq!(ran.code, 1, "{form}");
        assert!(ran.stderr.contains("/dev/full cannot be written: No space left"), "{form}: {}", ran.stderr);
    }
}

const JOURNAL: &str = concat!(
    r#"{"t":5000,"pid":7,"ev":"run","schema":1,"spec":"demo","run":"abcd","version":"0.1.0","#,
    r#""wall_ns":1795325210000000000,"phases":[{"name":"one","groups":["g"],"kind":"k","process":"daemon","#,
    r#""needs":[],"skipped":null,"detail":""},{"name":"two","groups":["g"],"kind":"k","process":"daemon","#,
    r#""needs":["one"],"skipped":null,"detail":""}]}"#,
    "\n",
    r#"{"t":6000,"pid":7,"ev":"enter","phase":"one"}"#,
    "\n",
    r#"{"t":7000,"pid":7,"ev":"exit","phase":"one","state":"done"}"#,
    "\n",
    r#"{"t":8000,"pid":7,"ev":"enter","phase":"two"}"#,
    "\n",
    r#"{"t":9000,"pid":7,"ev":"exit","phase":"two","state":"done"}"#,
    "\n",
    r#"{"t":9500,"pid":7,"ev":"end","outcome":"completed","code":0}"#,
    "\n",
);
