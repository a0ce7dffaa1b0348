//! The drawing alone, as one SVG file that follows the reader's theme and fits any width.

mod names;

use super::axis::Scale;
use super::drawing::ink::{escape, shorten};
use super::drawing::{Drawing, definitions, flat, flat_of, folds};
use super::utc;
use super::zones::Window;
use crate::timeline::Timeline;
use std::fmt::Write;

/// How it is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvgStyle {
    /// rows before unremarkable ones are folded
    pub rows: usize,
    /// how width is given to time
    pub scale: Scale,
    /// which part of the run is drawn
    pub window: Window,
}

impl Default for SvgStyle {
    fn default() -> Self {
        SvgStyle { rows: 200, scale: Scale::Balanced, window: Window::All }
    }
}

/// Pixels of the whole, of the column of names, and of the space around.
const WIDTH: u32 = 1_160;
const NAMES: u32 = 278;
const MARGIN: u32 = 20;
/// Above the drawing: name, verdicts, the story.
const HEAD: u32 = 78;
/// A line of what is wrong with the record, below it.
const LINE: u32 = 18;

/// The document.
pub fn render(timeline: &Timeline, style: &SvgStyle) -> String {
    let folds = folds(timeline, style.rows);
    let mut drawing = Drawing::new(timeline, &folds, style.scale, style.window);
    let plot = drawing.plot();
    let foot: Vec<String> = timeline.problems.iter().take(20).map(|p| shorten(p, 170)).collect();
    let inner = WIDTH - NAMES - 2 * MARGIN;
    let below = drawing.height + HEAD + MARGIN;
    let height = below + foot.len() as u32 * LINE;
    let words = drawing.story();
    let told: String = words.iter().map(|(_, w)| w.as_str()).collect();
    let mut out = String::with_capacity(plot.len() + 8_192);
    let name = escape(&timeline.title());
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title desc\" data-scale=\"{}\">\n\
         <title id=\"title\">{name}: timeline of run {}</title>\n<desc id=\"desc\">{}</desc>\n<style>\n{}{}</style>\n{}\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
        style.scale.name(),
        escape(&timeline.run),
        escape(told.trim()),
        flat(),
        flat_of(include_str!("svg/names.css")),
        definitions(),
    );
    head(&mut out, timeline, &drawing, &words);
    let _ = write!(
        out,
        "<g transform=\"translate({MARGIN},{HEAD})\">\n<svg class=\"over\" width=\"{NAMES}\" height=\"{h}\">{}</svg>\n\
         <svg class=\"over\" x=\"{NAMES}\" width=\"{inner}\" height=\"{h}\">\n{plot}\n</svg>\n</g>\n",
        names::column(&drawing),
        h = drawing.height
    );
    for (problem, n) in foot.iter().zip(0..) {
        let y = below + n * LINE;
        let _ = writeln!(out, "<text class=\"dim\" x=\"{MARGIN}\" y=\"{y}\">! {}</text>", escape(problem));
    }
    out.push_str("</svg>\n");
    out
}

fn head(out: &mut String, timeline: &Timeline, drawing: &Drawing, words: &[(bool, String)]) {
    let when = if timeline.wall_ns == 0 { String::new() } else { format!(" · {}", utc(timeline.wall_ns)) };
    let _ = write!(
        out,
        "<text x=\"{MARGIN}\" y=\"30\"><tspan class=\"name\">{}</tspan>\
         <tspan class=\"dim\" dx=\"12\">run {}{when}</tspan>",
        escape(&shorten(&timeline.title(), 40)),
        escape(&shorten(&timeline.run, 20)),
    );
    for v in drawing.verdicts() {
        let _ = write!(
            out,
            "<tspan class=\"verdict {}\" dx=\"16\">{}</tspan>",
            v.class,
            escape(&shorten(&v.text, 48))
        );
    }
    out.push_str("</text>\n");
    // two lines of story, broken between words
    let (mut line, mut room, mut y) = (String::new(), 150usize, 52);
    let mut lines = Vec::new();
    for (bold, text) in words {
        for word in text.split_inclusive(' ') {
            let word = shorten(word, 60);
            let size = word.chars().count();
            if size > room && lines.is_empty() {
                lines.push(std::mem::take(&mut line));
                room = 150;
            }
            if size > room {
                break;
            }
            room -= size;
            let class = if *bold { " class=\"strong\"" } else { "" };
            let _ = write!(line, "<tspan{class}>{}</tspan>", escape(&word));
        }
    }
    lines.push(line);
    for line in lines {
        let _ = writeln!(out, "<text class=\"story\" x=\"{MARGIN}\" y=\"{y}\">{line}</text>");
        y += 18;
    }
}
