//! The forms a timeline is written in.

use engine::timeline::Timeline;
use engine::view;
use engine::view::chrome::ChromeOptions;
use engine::view::html::{self, HtmlStyle};
use engine::view::svg::{self, SvgStyle};
use engine::view::text::{self, TextStyle};
use engine::view::zones::Window;
use std::io::{self, Write};

/// What was asked for on the command line; a form takes what it can use.
pub struct Asked {
    /// for people: width, scale, rows before folding (no limit with `--all`)
    pub style: TextStyle,
    /// which part of the run; `None` leaves it to the form
    pub window: Option<Window>,
}

/// A form a timeline is written in.
pub struct Form {
    /// its name, for `--format`
    pub name: &'static str,
    /// the ending of its files, without the dot; a file of this ending is written in this form
    pub ending: &'static str,
    /// how a file of this form is looked at, `FILE` being its name; `None` where it may be read as it is
    pub open: Option<&'static str>,
    /// writes it
    pub write: fn(&Timeline, &Asked, &mut dyn Write) -> io::Result<()>,
}

/// Every form, one a line. What is not here is not offered.
pub const FORMS: &[Form] = &[
    Form { name: "text", ending: "txt", open: None, write: as_text },
    Form { name: "json", ending: "json", open: None, write: as_json },
    Form { name: "html", ending: "html", open: Some("open FILE in a browser"), write: as_html },
    Form { name: "svg", ending: "svg", open: Some("open FILE in a browser"), write: as_svg },
    Form { name: "chrome", ending: "trace.json", open: Some(SEE_CHROME), write: as_chrome },
    Form { name: "otlp", ending: "otlp.json", open: Some(SEE_OTLP), write: as_otlp },
    Form { name: "dot", ending: "dot", open: None, write: as_dot },
];

const SEE_CHROME: &str = "open FILE in ui.perfetto.dev (it stays on your machine) or with `speedscope FILE`";

const SEE_OTLP: &str = "give it to a collector: curl -H 'Content-Type: application/json' -d @FILE \
http://127.0.0.1:4318/v1/traces";

fn as_text(timeline: &Timeline, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(text::render(timeline, &asked.style).as_bytes())
}

fn as_html(timeline: &Timeline, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    let style = HtmlStyle { scale: asked.style.scale, window: asked.style.window, ..Default::default() };
    let rows = if asked.style.rows == usize::MAX { usize::MAX } else { style.rows };
    out.write_all(html::render(timeline, &HtmlStyle { rows, ..style }).as_bytes())
}

fn as_svg(timeline: &Timeline, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    let style = SvgStyle { scale: asked.style.scale, window: asked.style.window, ..Default::default() };
    let rows = if asked.style.rows == usize::MAX { usize::MAX } else { style.rows };
    out.write_all(svg::render(timeline, &SvgStyle { rows, ..style }).as_bytes())
}

fn as_json(timeline: &Timeline, _: &Asked, out: &mut dyn Write) -> io::Result<()> {
    crate::json::write(&view::json::Document(timeline), out)
}

fn as_chrome(timeline: &Timeline, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    // A run of days would leave nothing of the start to be seen.
    let short = timeline.ready_ns.is_none_or(|ready| timeline.end_ns / 20 < ready);
    let window = asked.window.unwrap_or(if short { Window::All } else { Window::Startup });
    let options = ChromeOptions { window, now_ns: now(timeline) };
    text_to(out, |text| view::chrome::write(timeline, &options, text))
}

fn as_otlp(timeline: &Timeline, _: &Asked, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &view::otlp::Document::new(timeline, now(timeline)))?;
    out.write_all(b"\n")
}

fn as_dot(timeline: &Timeline, _: &Asked, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(view::dot::render(timeline).as_bytes())
}

/// Nanoseconds since the run began, by the clock on the wall: for what is still under way.
fn now(timeline: &Timeline) -> Option<u64> {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(wall.as_nanos()).ok()?.checked_sub(timeline.wall_ns)
}

/// Gives text to whoever writes bytes, and the error of that back.
fn text_to(out: &mut dyn Write, make: impl FnOnce(&mut Text) -> std::fmt::Result) -> io::Result<()> {
    let mut text = Text { out, error: None };
    match (make(&mut text), text.error) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(error)) => Err(error),
        (Err(_), None) => Err(io::Error::other("it cannot be written in this form")),
    }
}

struct Text<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            std::fmt::Error
        })
    }
}
