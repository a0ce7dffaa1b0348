//! A journal is never unreadable: whatever happened to it, every view shows what there is and says
//! what is missing. The journals are of real runs.

use engine::state::Phase;
use engine::timeline::history::History;
use engine::timeline::{Outcome, Reader, Timeline};
use engine::view::chrome::{self, ChromeOptions};
use engine::view::diff::{self, Diff};
use engine::view::follow::{Against, Follow};
use engine::view::html::{self, HtmlStyle};
use engine::view::list::{self, ListRow};
use engine::view::svg::{self, SvgStyle};
use engine::view::text::{self, Shown, TextStyle};
use engine::view::zones::Window;
use engine::view::{dot, otlp};
use proptest::prelude::*;

const JOURNALS: &[(&str, &str)] = &[
    ("foreground", include_str!("journals/foreground.jsonl")),
    ("drop", include_str!("journals/drop.jsonl")),
    ("unwound", include_str!("journals/unwound.jsonl")),
    ("vanished", include_str!("journals/vanished.jsonl")),
];

/// Who reads a view.
#[derive(Clone, Copy, PartialEq)]
enum For {
    People,
    /// no control character either, but lines may be of any form
    Programs,
    Json,
}
use For::{Json, People, Programs};

/// A view: its name, how it is made, who reads it, and whether it says what is wrong with the record.
type View = (&'static str, fn(&Timeline) -> String, For, bool);

/// The views that are looked at wherever a journal is cut.
const VIEWS: &[View] = &[
    ("text", |t| text::render(t, &TextStyle::default()), People, true),
    (
        "narrow",
        |t| text::render(t, &TextStyle { width: 60, ascii: true, ..Default::default() }),
        People,
        true,
    ),
    ("json", |t| engine::view::json::render(t).to_string(), Json, true),
    ("list", |t| list::render(&[ListRow::of(t, "j.jsonl")]), People, false),
    ("diff", |t| diff_with(t).0, People, true),
    ("diff json", |t| diff_with(t).1, Json, true),
    ("follow", followed, People, false),
    ("blame", |t| told(t, Shown::Blame), People, true),
    ("critical chain", |t| told(t, Shown::Chain), People, true),
    ("dot", dot::render, Programs, true),
];

/// Those that take longer; of every so many cuts one.
const LARGE: &[View] = &[
    ("html", |t| html::render(t, &HtmlStyle::default()), Programs, true),
    (
        "html, start-up",
        |t| html::render(t, &HtmlStyle { window: Window::Startup, ..Default::default() }),
        Programs,
        true,
    ),
    ("svg", |t| svg::render(t, &SvgStyle::default()), Programs, true),
    ("chrome", |t| chrome::render(t, &ChromeOptions::default()), Json, true),
    (
        "chrome, all",
        |t| chrome::render(t, &ChromeOptions { window: Window::All, now_ns: Some(1) }),
        Json,
        true,
    ),
    ("otlp", |t| otlp::render(t, None), Json, true),
];
const OF_LARGE: usize = 7;

fn told(t: &Timeline, shown: Shown) -> String {
    text::render(t, &TextStyle { shown, ..Default::default() })
}

fn diff_with(t: &Timeline) -> (String, String) {
    let other = Timeline::read(JOURNALS[1].1.as_bytes());
    let mut history = History::default();
    history.add(t);
    let diff = Diff::new(&other, t, &history);
    let back = Diff::new(t, &other, &history);
    diff::text(&back, &TextStyle::default());
    (diff::text(&diff, &TextStyle::default()), diff::json(&diff, &[]).to_string())
}

fn followed(t: &Timeline) -> String {
    let mut history = History::default();
    history.add(t);
    let style = TextStyle::default();
    let against = Against { history: &history, style: &style };
    let mut follow = Follow::default();
    let lines = follow.lines(t, t.end_ns, &against);
    follow.wakes(t, u64::MAX, &against);
    lines + &follow.status(t, u64::MAX, &against)
}

/// Shows it in every view; `missing` is a part of what must be said.
fn shown_everywhere(t: &Timeline, missing: &str) {
    shown_in(VIEWS, t, missing);
    shown_in(LARGE, t, missing);
}

fn shown_in(views: &[View], t: &Timeline, missing: &str) {
    for (name, view, reader, says) in views {
        let page = view(t);
        if *reader == Json {
            assert!(serde_json::from_str::<serde_json::Value>(&page).is_ok(), "{name}: {page}");
        } else {
            assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{name}: {page:?}");
        }
        // lines are broken between words
        let words = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!says || words(&page).contains(missing), "{name} does not say `{missing}`: {page}");
    }
}

#[test]
fn cut_at_every_byte() {
    for (name, journal) in JOURNALS {
        let bytes = journal.as_bytes();
        let (mut before, mut seen) = (None, 0);
        let mut reader = Reader::default();
        for n in 0..=bytes.len() {
            let t = reader.clone().end();
            reader.feed(bytes.get(n..=n).unwrap_or_default());
            assert!(n % 97 > 0 || t == Timeline::read(&bytes[..n]), "{name} {n}: the same in one go");
            let whole = n > 0 && bytes[n - 1] == b'\n';
            assert_eq!(t.problems.is_empty(), whole, "{name} {n}: {:?}", t.problems);
            if before.as_ref() != Some(&t) {
                let missing = if whole {
                    ""
                } else if n == 0 {
                    "empty"
                } else {
                    "is cut in line"
                };
                shown_in(VIEWS, &t, missing);
                // the first, then by turns at every place in a line
                if seen % OF_LARGE == 0 {
                    shown_in(LARGE, &t, missing);
                }
                seen += 1;
                before = Some(t);
            }
        }
        assert!(seen > 20, "{name}: {seen} different timelines");
    }
}

#[test]
fn fed_in_pieces_of_any_size_it_is_the_same() {
    for (name, journal) in JOURNALS {
        let whole = Timeline::read(journal.as_bytes());
        for size in [1, 2, 7, 64, 1_000] {
            let mut reader = Reader::default();
            for piece in journal.as_bytes().chunks(size) {
                reader.feed(piece);
            }
            assert_eq!(reader.so_far(), whole, "{name}");
            assert_eq!(reader.end(), whole, "{name}");
        }
    }
}

#[test]
fn from_a_newer_version() {
    for (name, journal) in JOURNALS {
        let whole = Timeline::read(journal.as_bytes());
        // every record knows one thing more, and there are records of a new kind
        let more = journal.replace("{\"t\":", "{\"mood\":{\"a\":[1]},\"t\":");
        let t = Timeline::read(more.as_bytes());
        assert_eq!(t, whole, "{name}: what is unknown inside a record changes nothing");
        let newer = more.replace("\"schema\":1", "\"schema\":2")
            + "{\"t\":9999999999999999,\"pid\":1,\"ev\":\"metamorphosis\",\"phase\":3}\n";
        let t = Timeline::read(newer.as_bytes());
        assert_eq!(t.spans, whole.spans, "{name}");
        shown_everywhere(&t, "the journal is of format 2");
        shown_everywhere(&t, "does not know: metamorphosis");
        let odd = journal.replace("\"process\":\"daemon\"", "\"process\":\"satellite\"");
        let t = Timeline::read(odd.as_bytes());
        assert_eq!((t.spans.len(), t.outcome), (whole.spans.len(), whole.outcome), "{name}");
        assert!(!t.problems.is_empty());
    }
}

#[test]
fn two_runs_and_foreign_lines_and_bytes() {
    let (drop, unwound) = (JOURNALS[1].1, JOURNALS[2].1);
    let t = Timeline::read([drop, unwound].concat().as_bytes());
    assert_eq!(t.outcome, Outcome::Unwound);
    shown_everywhere(&t, "the journal holds 2 runs");
    // a daemon that died with the machine leaves zeroes
    let mut zeroes = drop.as_bytes().to_vec();
    zeroes.extend([0; 5_000]);
    let t = Timeline::read(&zeroes);
    assert_eq!(t.outcome, Outcome::Failed);
    shown_everywhere(&t, "NUL bytes (5000)");
    let mut lost = vec![0; 700];
    lost.extend(drop.as_bytes());
    assert_eq!(Timeline::read(&lost).spans, Timeline::read(drop.as_bytes()).spans);
    // one line without an end, longer than any memory should hold
    let long =
        [drop.as_bytes(), &b"x".repeat(3 << 20), b"\n", b"{\"t\":1,\"pid\":1,\"ev\":\"ready\"}"].concat();
    shown_everywhere(&Timeline::read(&long), "1 line is not of this format");
    let deep = [drop.as_bytes(), b"{\"t\":1,\"pid\":1,\"ev\":", &b"[".repeat(100_000), b"\n"].concat();
    shown_everywhere(&Timeline::read(&deep), "1 line is not of this format");
}

#[test]
fn clocks_that_cannot_be() {
    let whole = Timeline::read(JOURNALS[1].1.as_bytes());
    let lines: Vec<&str> = JOURNALS[1].1.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        for wrong in ["0", "1", "18446744073709551615"] {
            let rest = line.split_once(',').expect("a record has parts").1;
            let odd = format!("{{\"t\":{wrong},{rest}");
            let all: Vec<&str> =
                lines.iter().enumerate().map(|(k, l)| if k == i { &odd } else { *l }).collect();
            let t = Timeline::read((all.join("\n") + "\n").as_bytes());
            let states = |t: &Timeline| t.spans.iter().map(|s| (s.state, s.took())).collect::<Vec<_>>();
            let differing = states(&t).iter().zip(states(&whole)).filter(|(a, b)| **a != *b).count();
            assert!(differing <= 2, "one wrong time changes the phase it is of, and a neighbour: {line}");
            let ended = |t: &Timeline| t.spans.iter().map(|s| s.state).collect::<Vec<_>>();
            let other = ended(&t) != ended(&whole);
            assert!(!other, "{line}: {:?}", ended(&t));
            // a run that says it began early contradicts nothing
            let early = i == 0 && wrong.len() == 1;
            assert_eq!(t.problems.len(), usize::from(!early), "{line}: {:?}", t.problems);
            if i % 5 == 0 && !early {
                shown_everywhere(&t, "cannot be right");
            }
        }
    }
    assert_eq!(
        whole.spans.iter().filter(|s| s.state == Phase::Done).count(),
        11,
        "the journal is what it was"
    );
}

/// What can happen to the lines of a journal.
#[derive(Clone, Debug)]
enum Harm {
    Lose(usize),
    Double(usize),
    Swap(usize, usize),
    Byte(usize, u8),
    Insert(usize, Vec<u8>),
    Time(usize, u64),
    Pid(usize, u32),
    OfAnother(usize, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0usize..10_000;
    prop_oneof![
        at.clone().prop_map(Harm::Lose),
        at.clone().prop_map(Harm::Double),
        (at.clone(), at.clone()).prop_map(|(a, b)| Harm::Swap(a, b)),
        (at.clone(), any::<u8>()).prop_map(|(a, b)| Harm::Byte(a, b)),
        (at.clone(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(a, b)| Harm::Insert(a, b)),
        (at.clone(), prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]).prop_map(|(a, b)| Harm::Time(a, b)),
        (at.clone(), any::<u32>()).prop_map(|(a, b)| Harm::Pid(a, b)),
        (at.clone(), at).prop_map(|(a, b)| Harm::OfAnother(a, b)),
    ]
}

fn harmed(journal: &str, harms: Vec<Harm>) -> Vec<u8> {
    let split = |text: &str| text.lines().map(|l| l.as_bytes().to_vec()).collect::<Vec<_>>();
    let (mut lines, other) = (split(journal), split(JOURNALS[2].1));
    let set = |line: &mut Vec<u8>, key: &str, value: u64| {
        let text = String::from_utf8_lossy(line).into_owned();
        if let Some((before, after)) = text.split_once(key) {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            *line = format!("{before}{key}{value}{rest}").into_bytes();
        }
    };
    for harm in harms {
        let n = lines.len().max(1);
        if lines.is_empty() {
            break;
        }
        match harm {
            Harm::Lose(i) => drop(lines.remove(i % n)),
            Harm::Double(i) => lines.insert(i % n, lines[i % n].clone()),
            Harm::Swap(i, k) => lines.swap(i % n, k % n),
            Harm::Byte(i, byte) => {
                let line = &mut lines[i % n];
                let at = i % line.len().max(1);
                line.get_mut(at).into_iter().for_each(|b| *b = byte);
            }
            Harm::Insert(i, bytes) => lines.insert(i % n, bytes),
            Harm::Time(i, t) => set(&mut lines[i % n], "\"t\":", t),
            Harm::Pid(i, pid) => set(&mut lines[i % n], "\"pid\":", u64::from(pid)),
            Harm::OfAnother(i, k) => lines.insert(i % n, other[k % other.len()].clone()),
        }
    }
    lines.join(&b'\n')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn harmed_in_any_way(which in 0..JOURNALS.len(), harms in proptest::collection::vec(harm(), 0..12)) {
        let bytes = harmed(JOURNALS[which].1, harms);
        shown_everywhere(&Timeline::read(&bytes), "");
    }
}
