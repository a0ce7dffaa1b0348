//! A run as one page: complete without a script, printable, and no request but itself.
//!
//! The drawing, the cards and the table are made here; the script moves what is there. Nothing but
//! this style and this script may run: the page's own policy names both by their hashes.

mod card;
mod folded;
mod names;
mod policy;
mod table;
#[cfg(test)]
mod tests;

use super::axis::Scale;
use super::drawing::ink::escape;
use super::drawing::story::Words;
use super::drawing::{Drawing, RULES, definitions, folds, properties};
use super::utc;
use super::zones::{Window, Zones};
use crate::timeline::Timeline;
use std::fmt::Write;

/// How it is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtmlStyle {
    /// rows before unremarkable ones are folded
    pub rows: usize,
    /// how width is given to time at first
    pub scale: Scale,
    /// which part of the run is drawn
    pub window: Window,
}

/// So many rows are drawn one by one.
const ROWS: usize = 2_000;
/// With more phases than that, so many are left when the others are folded.
const FOLDED: usize = 150;

impl Default for HtmlStyle {
    fn default() -> Self {
        HtmlStyle { rows: ROWS, scale: Scale::Balanced, window: Window::All }
    }
}

const SCRIPT: &str = include_str!("html/script.js");

fn style_sheet() -> String {
    format!("{}{RULES}{}", properties(), include_str!("html/page.css"))
}

/// The page.
pub fn render(timeline: &Timeline, style: &HtmlStyle) -> String {
    let rows = if timeline.spans.len() > style.rows { style.rows.min(FOLDED) } else { style.rows };
    let folds = folds(timeline, rows);
    let mut drawing = Drawing::new(timeline, &folds, style.scale, style.window);
    let plot = drawing.plot();
    let mut out = String::with_capacity(plot.len() * 3 + 40_000);
    head(&mut out, timeline);
    title(&mut out, timeline, &drawing);
    tools(&mut out, style.scale);
    legend(&mut out, &drawing);
    let _ = write!(
        out,
        "<section class=\"chart\" data-scale=\"{}\" aria-label=\"Timeline\">\n\
         <nav class=\"names\" aria-label=\"Phases in order\">\n{}</nav>\n\
         <div class=\"scroll\"><svg class=\"plot\" width=\"100%\" height=\"{}\" role=\"img\" aria-labelledby=\"story\">{}{plot}</svg></div>\n\
         </section>\n",
        style.scale.name(),
        names::column(&drawing),
        drawing.height,
        definitions(),
    );
    if let Some(said) = folds.said() {
        folded::panel(&mut out);
        let _ = writeln!(
            out,
            "<p class=\"aside\">{said}<span class=\"scripted\">: open one of them, or search</span>; \
             <code>--format json</code> has every one.</p>"
        );
    }
    if style.window == Window::Startup
        && Zones::new(timeline).parts.iter().any(|p| !style.window.shows(p.zone))
    {
        out.push_str("<p class=\"aside\">This is the start only; <code>--window all</code> has what came after it.</p>\n");
    }
    card::cards(&mut out, &drawing);
    aside(&mut out, timeline);
    table::table(&mut out, &drawing);
    out.push_str("</main>\n");
    if folds.count() > 0 {
        folded::data(&mut out, &drawing);
    }
    let _ = write!(
        out,
        "<script type=\"application/json\" id=\"positions\">{}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        drawing.positions()
    );
    out
}

fn head(out: &mut String, timeline: &Timeline) {
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}: timeline of run {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
        policy::STYLE,
        policy::SCRIPT,
        escape(&timeline.title()),
        escape(&timeline.run),
        style_sheet(),
    );
}

/// Words as HTML.
fn words(words: &Words) -> String {
    let one = |(strong, text): &(bool, String)| match strong {
        true => format!("<b>{}</b>", escape(text)),
        false => escape(text),
    };
    words.iter().map(one).collect()
}

fn title(out: &mut String, timeline: &Timeline, drawing: &Drawing) {
    let when = if timeline.wall_ns == 0 { String::new() } else { format!(" · {}", utc(timeline.wall_ns)) };
    let _ = write!(
        out,
        "<header>\n<h1>{}</h1>\n<p class=\"meta\">run {}{when}</p>\n<ul class=\"verdicts\">",
        escape(&timeline.title()),
        escape(&timeline.run),
    );
    for v in drawing.verdicts() {
        let _ = write!(out, "<li class=\"{}\">{}</li>", v.class, escape(&v.text));
    }
    let _ =
        write!(out, "</ul>\n</header>\n<p class=\"story\" id=\"story\">{}</p>\n", words(&drawing.story()));
}

fn tools(out: &mut String, scale: Scale) {
    out.push_str("<div class=\"tools\" role=\"toolbar\" aria-label=\"View\">\n<div class=\"group\" role=\"group\" aria-label=\"Scale\">");
    for (s, name) in Scale::ALL {
        let pressed = s == scale;
        let title = match s {
            Scale::Time => "to scale",
            Scale::Balanced => "to scale, but every step can be seen",
            Scale::Steps => "every step as wide as the other",
        };
        let label = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let _ = write!(
            out,
            "<button type=\"button\" data-set=\"{name}\" aria-pressed=\"{pressed}\" title=\"{title} (s)\">{label}</button>"
        );
    }
    out.push_str(
        "</div>\n<div class=\"group\" role=\"group\" aria-label=\"Zoom\">\
         <button type=\"button\" data-zoom=\"out\" aria-label=\"Zoom out\" title=\"zoom out (-)\">−</button>\
         <button type=\"button\" data-zoom=\"fit\" title=\"the whole run (0)\">Fit</button>\
         <button type=\"button\" data-zoom=\"in\" aria-label=\"Zoom in\" title=\"zoom in (+)\">+</button></div>\n\
         <button type=\"button\" data-do=\"critical\" aria-pressed=\"false\" title=\"only what ready waited for (c)\">Critical path</button>\n\
         <input type=\"search\" id=\"filter\" placeholder=\"Filter  /\" aria-label=\"Filter phases\" autocomplete=\"off\" spellcheck=\"false\">\n\
         <span class=\"found\" role=\"status\"></span>\n\
         <button type=\"button\" data-do=\"theme\" aria-label=\"Light or dark\" title=\"light or dark (t)\">◐</button>\n\
         <details class=\"keys\"><summary title=\"keys\">?</summary><dl>\
         <dt>↑ ↓</dt><dd>phase</dd><dt>Enter</dt><dd>its details, Esc back</dd><dt>+ − 0</dt><dd>zoom</dd>\
         <dt>← →</dt><dd>move</dd><dt>s</dt><dd>scale</dd><dt>c</dt><dd>critical path</dd><dt>/</dt><dd>filter</dd>\
         <dt>t</dt><dd>light or dark</dd></dl></details>\n</div>\n",
    );
}

fn legend(out: &mut String, drawing: &Drawing) {
    out.push_str("<ul class=\"legend\">");
    for (who, text) in drawing.legend() {
        let _ = write!(
            out,
            "<li><i class=\"stripe w-{0}\"></i><i class=\"swatch w-{0}\"></i>{1}</li>",
            who.class(),
            escape(&text)
        );
    }
    if drawing.timeline.spans.iter().any(super::fold::failed) {
        out.push_str("<li><svg class=\"swatch\" width=\"22\" height=\"11\"><rect class=\"bar bad\" x=\".5\" y=\".5\" width=\"21\" height=\"10\" rx=\"2\"/></svg>failed</li>");
    }
    if drawing.path.len() > 1 {
        out.push_str("<li><i class=\"stroke\"></i>critical path</li>");
    }
    out.push_str("</ul>\n");
}

/// What is wrong with the record, and where prediction and machine differ.
fn aside(out: &mut String, timeline: &Timeline) {
    let mut said: Vec<String> = timeline.problems.iter().take(20).cloned().collect();
    for d in timeline.divergences.iter().take(20) {
        said.push(format!("{}: {}; it may mean that {}", d.phase, d.sentence(), d.meaning()));
    }
    for (t, signal, then) in timeline.signals.iter().rev().take(3).rev() {
        said.push(format!("{signal} after {}: {then}", crate::text::duration(*t)));
    }
    if said.is_empty() {
        return;
    }
    out.push_str("<ul class=\"aside\">");
    for said in said {
        let _ = write!(out, "<li>{}</li>", escape(&said));
    }
    out.push_str("</ul>\n");
}
