//! The left column: lanes and rows by name, each row a link to its card.

use crate::text::duration;
use crate::view::drawing::Drawing;
use crate::view::drawing::ink::{clip, escape};
use crate::view::drawing::label::Label;
use crate::view::drawing::rows::Kind;
use std::fmt::Write;

/// The column.
pub(super) fn column(drawing: &Drawing) -> String {
    let mut out = String::from("<div class=\"lanes\" aria-hidden=\"true\">");
    for (title, _, height) in drawing.lane_titles() {
        let more = "<p></p>".repeat((height / 21).saturating_sub(1) as usize);
        let _ = write!(out, "<p>{title}</p>{more}");
    }
    out.push_str("</div>\n<ol>\n");
    let mut folds = 0;
    for row in &drawing.rows {
        match drawing.label(row) {
            Label::Group { path, took } => {
                let sum = if took > 0 { duration(took) } else { String::new() };
                let path = escape(clip(&path));
                let _ = writeln!(
                    out,
                    "<li class=\"g\"><span class=\"label\" title=\"{path}\">{path}</span><span>{sum}</span></li>"
                );
            }
            Label::Row { span, sign, state, who, name, detail, tone } => {
                let (name, detail) = (escape(clip(&name)), about(clip(&detail)));
                let stripe = who.map_or("", |w| w.class());
                let inner = format!(
                    "<span class=\"mark {tone}\" aria-hidden=\"true\">{sign}</span><i class=\"stripe w-{stripe}\"></i>\
                     <span class=\"label {tone}\">{name}</span>{detail}"
                );
                let Some(i) = span else {
                    if let Kind::Fold(fold) = row.kind {
                        let about = escape(&fold.about());
                        let _ = writeln!(
                            out,
                            "<li><span class=\"r more\" data-fold=\"{folds}\" title=\"{name} · {about}\">{inner}\
                             <span class=\"unseen\">, {about}</span></span></li>"
                        );
                        folds += 1;
                        continue;
                    }
                    let class = if sign == "▼" { format!("x x-{stripe}") } else { "r".to_owned() };
                    let _ = writeln!(out, "<li class=\"{class}\" title=\"{name}\">{inner}</li>");
                    continue;
                };
                let took = drawing.timeline.spans.get(i).and_then(|s| s.took()).map(duration);
                let said = took.map_or(state.to_owned(), |took| format!("{state}, {took}"));
                let critical = if drawing.share(i).is_some() { " data-critical" } else { "" };
                let bad = if tone == "bad" { " bad" } else { "" };
                let _ = writeln!(
                    out,
                    "<li><a class=\"r{bad}\" href=\"#c{i}\" data-i=\"{i}\"{critical} title=\"{name}\">{inner}\
                     <span class=\"unseen\">, {said}</span></a></li>"
                );
            }
        }
    }
    out.push_str("</ol>\n");
    out
}

/// What a phase is about; of a path that has no room the end is shown, which tells paths apart.
fn about(detail: &str) -> String {
    match detail.starts_with('/') {
        true => {
            format!("<span class=\"detail\" dir=\"rtl\"><bdi dir=\"ltr\">{}</bdi></span>", escape(detail))
        }
        false => format!("<span class=\"detail\">{}</span>", escape(detail)),
    }
}
