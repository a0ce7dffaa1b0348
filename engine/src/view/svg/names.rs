//! The left column: lanes and rows by name.

use crate::text::duration;
use crate::view::drawing::Drawing;
use crate::view::drawing::ink::{escape, shorten, shorten_path};
use crate::view::drawing::label::Label;
use std::fmt::Write;

/// Names end here, in pixels; then comes a little space.
const END: u32 = 266;

/// The column, as parts of an `<svg>`.
pub(super) fn column(drawing: &Drawing) -> String {
    let mut out = String::new();
    for (title, y, _) in drawing.lane_titles() {
        let _ = write!(out, "<text class=\"dim end\" x=\"{END}\" y=\"{}\">{title}</text>", y + 13);
    }
    for row in &drawing.rows {
        let y = row.y + row.height / 2 + 4;
        match drawing.label(row) {
            Label::Group { path, took } => {
                let _ = write!(
                    out,
                    "<line class=\"rule\" x1=\"0\" x2=\"100%\" y1=\"{0}.5\" y2=\"{0}.5\"/>",
                    row.y
                );
                let _ = write!(
                    out,
                    "<text class=\"group\" y=\"{y}\">{}</text>",
                    escape(&shorten(&path, if took > 0 { 34 } else { 40 }))
                );
                if took > 0 {
                    let _ = write!(
                        out,
                        "<text class=\"group end\" x=\"{END}\" y=\"{y}\">{}</text>",
                        duration(took)
                    );
                }
            }
            Label::Row { sign, who, name, detail, tone, .. } => {
                if tone == "bad" {
                    let (y, h) = (row.y, row.height);
                    let _ = write!(
                        out,
                        "<rect class=\"row bad\" x=\"-8\" y=\"{y}\" width=\"{}\" height=\"{h}\"/>",
                        END + 20
                    );
                }
                if sign == "▼" {
                    let (y, who) = (row.y + row.height - 1, who.map_or("", |w| w.class()));
                    let _ = write!(
                        out,
                        "<line class=\"cross c-{who}\" x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>"
                    );
                }
                let mark = match tone {
                    "bad" => "bad",
                    "good" => "good",
                    _ => "",
                };
                let _ = write!(out, "<text class=\"mark {mark}\" x=\"4\" y=\"{y}\">{sign}</text>");
                if let Some(who) = who {
                    stripe(&mut out, who.class(), row.y + 5, row.height - 10);
                }
                let room = if detail.is_empty() { 32 } else { 22 };
                let name = shorten(&name, room);
                let left = 36usize.saturating_sub(name.chars().count()).min(20);
                let _ =
                    write!(out, "<text class=\"label {tone}\" x=\"34\" y=\"{y}\">{}</text>", escape(&name));
                if !detail.is_empty() && left > 3 {
                    let detail = escape(&shorten_path(&detail, left));
                    let _ = write!(out, "<text class=\"detail end\" x=\"{END}\" y=\"{y}\">{detail}</text>");
                }
            }
        }
    }
    out
}

/// Root is a double line, kept capabilities a thick one, a user a thin one, another user a broken one.
fn stripe(out: &mut String, class: &str, y: u32, height: u32) {
    let bars: &[(u32, u32, u32, u32)] = match class {
        "root" => &[(20, y, 2, height), (24, y, 2, height)],
        "kept" => &[(20, y, 6, height)],
        "other" => &[(21, y, 4, 4), (21, y + 5, 4, 4), (21, y + 10, 4, 4)],
        _ => &[(22, y, 3, height)],
    };
    for (x, y, w, h) in bars {
        let _ = write!(
            out,
            "<rect class=\"stripe w-{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        );
    }
}
