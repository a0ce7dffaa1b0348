//! One line of text for a terminal: coloured parts that know how wide they are. Whatever is put
//! here is made harmless first, so no view can forget it.

use super::TextStyle;
use crate::text::clean;
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// A colour of the terminal's own theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(pub(super) &'static str);
pub(super) const PLAIN: Paint = Paint("");
pub(super) const BOLD: Paint = Paint("1");
pub(super) const DIM: Paint = Paint("90");
pub(super) const GOOD: Paint = Paint("32");
pub(super) const GOOD_BOLD: Paint = Paint("1;32");
pub(super) const BAD: Paint = Paint("31");
pub(super) const BAD_BOLD: Paint = Paint("1;31");
pub(super) const ROOT: Paint = Paint("33");
pub(super) const USER: Paint = Paint("34");
pub(super) const KEPT: Paint = Paint("35");

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text` harmless, and in ASCII where that is asked for.
pub(super) fn plain<'a>(text: &'a str, style: &TextStyle) -> Cow<'a, str> {
    let text = clean(text);
    if !style.ascii || text.is_ascii() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let ascii = match c {
            '║' | '╔' | '╟' | '╚' | '█' => "#",
            '│' | '┌' | '├' | '└' => "|",
            '┃' | '┏' | '┣' | '┗' => "%",
            '═' | '─' | '━' | '▉' | '▊' | '▋' | '▌' => "=",
            '▍' | '▎' | '▏' => "-",
            '┊' => ":",
            '✓' => "v",
            '✗' | '×' => "x",
            '·' => "-",
            '↶' => "<",
            '●' => "o",
            '▸' | '▶' => ">",
            '◆' => "*",
            '▪' => "+",
            '→' => "->",
            'µ' => "u",
            '…' => "...",
            '≥' => ">=",
            c if c.is_ascii() => {
                out.push(c);
                continue;
            }
            c => {
                out.extend(c.escape_unicode());
                continue;
            }
        };
        out.push_str(ascii);
    }
    Cow::Owned(out)
}

/// The beginning of a harmless text that fits, with `…` if it is not all.
pub(super) fn cut(text: &str, max: usize, style: &TextStyle) -> String {
    // nothing is narrower than a column except marks on a letter, of which a few are enough
    let bounded: String = text.chars().take(max.saturating_mul(4).saturating_add(16)).collect();
    if bounded.len() == text.len() && width(text) <= max {
        return bounded;
    }
    let sign = if style.ascii { "..." } else { "…" };
    let sign = &sign[..if max < width(sign) { 0 } else { sign.len() }];
    let room = max - width(sign);
    let mut end = 0;
    for (i, c) in bounded.char_indices() {
        let next = i + c.len_utf8();
        if width(&bounded[..next]) > room {
            break;
        }
        end = next;
    }
    format!("{}{sign}", bounded[..end].trim_end())
}

/// `text` in lines of at most `max` columns, broken between words where that is possible.
pub(super) fn wrap(text: &str, max: usize, style: &TextStyle) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines().filter(|l| !l.trim().is_empty()).take(20) {
        let paragraph: String = paragraph.chars().take(4_000).collect();
        let paragraph = plain(&paragraph, style);
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let space = usize::from(!line.is_empty());
            if width(&line) + space + width(word) <= max {
                line.push_str(&" "[..space]);
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                line.push(c);
                if width(&line) > max {
                    line.pop();
                    lines.push(std::mem::take(&mut line));
                    line.push(c);
                }
            }
        }
        lines.push(line);
    }
    lines
}

/// A line that grows to the right.
pub(super) struct Line<'s> {
    style: &'s TextStyle,
    parts: Vec<(Paint, String)>,
    width: usize,
}

impl<'s> Line<'s> {
    pub(super) fn new(style: &'s TextStyle) -> Self {
        Line { style, parts: Vec::new(), width: 0 }
    }

    /// Columns so far.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Appends as much of it as fits the width of the page.
    pub(super) fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        self.put_in(paint, text, usize::MAX)
    }

    /// Appends as much of it as fits `max` columns and the page.
    pub(super) fn put_in(&mut self, paint: Paint, text: &str, max: usize) -> &mut Self {
        let max = max.min(self.style.width.saturating_sub(self.width));
        let text = cut(&plain(text, self.style), max, self.style);
        self.width += width(&text);
        if !text.is_empty() {
            self.parts.push((paint, text));
        }
        self
    }

    /// Spaces up to that column.
    pub(super) fn to(&mut self, column: usize) -> &mut Self {
        let spaces = column.min(self.style.width).saturating_sub(self.width);
        if spaces > 0 {
            self.width += spaces;
            self.parts.push((PLAIN, " ".repeat(spaces)));
        }
        self
    }

    /// Appends it so that it ends at that column, or behind what is there.
    pub(super) fn right(&mut self, paint: Paint, text: &str, column: usize) -> &mut Self {
        let text = plain(text, self.style).into_owned();
        self.to(column.saturating_sub(width(&text))).put(paint, &text)
    }

    /// Fills up to that column with a sign of one column.
    pub(super) fn fill(&mut self, paint: Paint, sign: &str, column: usize) -> &mut Self {
        let n = column.min(self.style.width).saturating_sub(self.width);
        self.put(paint, &sign.repeat(n))
    }

    pub(super) fn finish(&self, out: &mut String) {
        let last = self.parts.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (i, (Paint(code), text)) in self.parts.iter().enumerate().take(last.map_or(0, |l| l + 1)) {
            let text = if Some(i) == last { text.trim_end() } else { text };
            if self.style.color && !code.is_empty() && !text.trim().is_empty() {
                out.extend(["\x1b[", code, "m", text, "\x1b[0m"]);
            } else {
                out.push_str(text);
            }
        }
        out.push('\n');
    }
}
