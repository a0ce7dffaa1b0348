//! Text made harmless, and words for who a process is: what every drawing shares.

use crate::effect::Identity;
use crate::text::clean;
use crate::view::text::TextStyle;
use crate::view::text::line::cut_path;
pub(in crate::view) use crate::view::words::{capabilities, ids, user};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Harmless in HTML and SVG, as text and as an attribute; control and bidi characters are shown as escapes.
pub(in crate::view) fn escape(text: &str) -> String {
    let text = clean(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no place for these, escaped or not
            '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// So much of a text as one page can bear.
pub(in crate::view) fn clip(text: &str) -> &str {
    match text.char_indices().nth(4_000) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// The beginning of a text, at most so many columns wide.
pub(in crate::view) fn shorten(text: &str, columns: usize) -> String {
    let text: String = clean(text).chars().take(columns.saturating_mul(2).saturating_add(8)).collect();
    if text.width() <= columns {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if out.as_str().width() + 1 > columns {
            out.pop();
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// The same, of a path by its end, which tells paths apart.
pub(in crate::view) fn shorten_path(text: &str, columns: usize) -> String {
    match text.starts_with('/') {
        true => {
            let style = TextStyle::default();
            cut_path(&clean(text), columns, &style)
        }
        false => shorten(text, columns),
    }
}

/// About how wide a text is in pixels, in a proportional font of that size: rather more than less.
pub(super) fn pixels(text: &str, size: f64) -> f64 {
    text.width() as f64 * size * 0.6
}

/// Sorts of identity that are told apart by colour and by shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::view) enum Who {
    /// effective uid 0
    Root,
    /// not uid 0, but with capabilities
    Kept,
    /// the first ordinary user of the run
    User,
    /// any other ordinary user
    Other,
    /// nobody knows
    Unknown,
}

impl Who {
    /// Its name in the style sheet.
    pub(in crate::view) fn class(self) -> &'static str {
        ["root", "kept", "user", "other", "unknown"][self as usize]
    }
}

/// "root 0:0 · all capabilities".
pub(in crate::view) fn identity(identity: &Identity) -> String {
    let name = if identity.uid[1] == 0 { "root " } else { "" };
    format!("{name}{}:{} · {}", ids(identity.uid), ids(identity.gid), capabilities(identity.caps))
}

/// "/jail · /srv", or "/" where both are the same.
pub(in crate::view) fn place(identity: &Identity) -> String {
    let (root, cwd) = (identity.root.to_string_lossy(), identity.cwd.to_string_lossy());
    match (&*root, &*cwd) {
        ("/" | "", cwd) => if cwd.is_empty() { "/" } else { cwd }.to_owned(),
        (root, cwd) => format!("{root} · {cwd}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_controls_become_text() {
        assert_eq!(
            escape("</script>'\"&\x1b[0m\u{202e}"),
            "&lt;/script&gt;&#39;&quot;&amp;\\u{1b}[0m\\u{202e}"
        );
        assert_eq!(escape("a\u{ffff}b\0"), "a\\u{ffff}b\\u{0}");
    }

    #[test]
    fn a_short_text_is_never_wider_than_asked() {
        for columns in 1..12 {
            for text in ["abc", "abcdefghijklmnop", "日本語日本語日本語", "\x1b\x1b\x1b"] {
                assert!(shorten(text, columns).width() <= columns.max(1), "{columns} {text}");
            }
        }
    }
}
