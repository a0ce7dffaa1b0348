//! Any bytes as a journal: read at once and in pieces, shown in every form.

use super::machine::number;
use super::{harmless, is_json};
use engine::timeline::history::History;
use engine::timeline::{Reader, SCHEMA, Timeline, What, glance, read};
use engine::view::chrome::{self, ChromeOptions};
use engine::view::diff::{self, Diff};
use engine::view::follow::{Against, Follow};
use engine::view::html::{self, HtmlStyle};
use engine::view::svg::{self, SvgStyle};
use engine::view::text::{self, Shown, TextStyle};
use engine::view::zones::Window;
use engine::view::{dot, json, list, otlp};

/// It is read the same however it comes, what was read can be written and read, and every form of it is
/// well made.
pub fn holds(data: &[u8]) {
    let timeline = Timeline::read(data);
    let mut pieces = Reader::default();
    for piece in data.chunks(7) {
        pieces.feed(piece);
        pieces.began();
    }
    let so_far = pieces.so_far();
    assert_eq!(pieces.end(), timeline, "in pieces it is the same");

    let (events, problems) = read(data);
    for problem in &problems {
        harmless("a problem", problem);
    }
    let mut written = Vec::new();
    for event in &events {
        serde_json::to_writer(&mut written, event).expect("an event can be written");
        written.push(b'\n');
    }
    let (again, problems) = read(&written);
    assert_eq!(again, events, "events come back as they were");
    if matches!(events.first().map(|e| &e.what), Some(What::Run { schema: SCHEMA, .. })) {
        assert!(problems.is_empty(), "what rsd writes it reads: {problems:?}");
    }
    let end = data.len().min(2_000);
    glance(&data[..end], &data[data.len() - end..]);
    forms(&timeline, &so_far, number(data));
}

/// Every form, some of them with a style that depends on the bytes.
fn forms(timeline: &Timeline, earlier: &Timeline, chance: u64) {
    let pick = |n: u64, of: usize| (chance >> n) as usize % of;
    let shown = [Shown::Timeline, Shown::Blame, Shown::Chain][pick(0, 3)];
    let window = [Window::All, Window::Startup][pick(2, 2)];
    let style = TextStyle {
        shown,
        window,
        width: [20, 80, 133][pick(4, 3)],
        ascii: pick(6, 2) == 1,
        rows: [2, 24, usize::MAX][pick(7, 3)],
        ..TextStyle::default()
    };
    harmless("text", &text::render(timeline, &style));
    text::render(timeline, &TextStyle { color: true, ..style.clone() });
    match pick(9, 4) {
        0 => {
            harmless("html", &html::render(timeline, &HtmlStyle { window, ..HtmlStyle::default() }));
        }
        1 => harmless("svg", &svg::render(timeline, &SvgStyle { window, ..SvgStyle::default() })),
        2 => {
            let now_ns = (pick(11, 2) == 1).then_some(chance);
            let text = chrome::render(timeline, &ChromeOptions { window, now_ns });
            assert!(is_json("chrome", &text).as_array().is_some_and(|events| !events.is_empty()));
        }
        _ => {
            is_json("otlp", &otlp::render(timeline, (pick(11, 2) == 1).then_some(chance)));
            harmless("dot", &dot::render(timeline));
        }
    }
    json::render(timeline);
    harmless("list", &list::render(&[list::ListRow::of(timeline, "/a/journal")]));
    let mut history = History::default();
    (0..6).for_each(|_| history.add(earlier));
    let against = Against { history: &history, style: &style };
    let mut follow = Follow::default();
    harmless("follow", &follow.lines(earlier, earlier.end_ns, &against));
    harmless("follow", &follow.lines(timeline, timeline.end_ns, &against));
    harmless("follow", &follow.status(timeline, timeline.end_ns, &against));
    follow.wakes(timeline, timeline.end_ns, &against);
    let diff = Diff::new(earlier, timeline, &history);
    harmless("diff", &diff::text(&diff, &style));
    diff::json(&diff, &[]);
}
