//! One line of text for a terminal: coloured parts that know how wide they are. Whatever is put
//! here is made harmless first, so no view can forget it.

use super::TextStyle;
use crate::text::clean;
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// A colour of the terminal's own theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::view) struct Paint(pub(in crate::view) &'static str);
pub(in crate::view) const PLAIN: Paint = Paint("");
pub(in crate::view) const BOLD: Paint = Paint("1");
pub(in crate::view) const DIM: Paint = Paint("90");
pub(in crate::view) const GOOD: Paint = Paint("32");
pub(in crate::view) const GOOD_BOLD: Paint = Paint("1;32");
pub(in crate::view) const BAD: Paint = Paint("31");
pub(in crate::view) const BAD_BOLD: Paint = Paint("1;31");
pub(in crate::view) const ROOT: Paint = Paint("33");
pub(in crate::view) const USER: Paint = Paint("34");
pub(in crate::view) const KEPT: Paint = Paint("35");

/// Columns that a text takes.
pub(in crate::view) fn width(text: &str) -> usize {
    text.width()
}

/// `text` harmless, and in ASCII where that is asked for.
pub(in crate::view) fn plain<'a>(text: &'a str, style: &TextStyle) -> Cow<'a, str> {
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
            '┆' => "?",
            '░' => ".",
            '▁' => ".",
            '▂' => ",",
            '▃' => "-",
            '▄' => "=",
            '▅' => "+",
            '▆' => "*",
            '▇' => "%",
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
pub(in crate::view) fn cut(text: &str, max: usize, style: &TextStyle) -> String {
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

/// A harmless path that fits by its end, which is what tells paths apart: `…/run/demo.pid`. Anything
/// else is cut as other text is.
pub(in crate::view) fn cut_path(text: &str, max: usize, style: &TextStyle) -> String {
    let sign = if style.ascii { "..." } else { "…" };
    if !text.starts_with('/') || width(text) <= max || max <= width(sign) {
        return cut(text, max, style);
    }
    let room = max - width(sign);
    let mut start = text.len();
    let mut slash = None;
    for (i, c) in text.char_indices().rev() {
        if width(&text[i..]) > room {
            break;
        }
        start = i;
        if c == '/' {
            slash = Some(i);
        }
    }
    format!("{sign}{}", &text[slash.unwrap_or(start)..])
}

/// `text` in lines of at most `max` columns, broken between words where that is possible.
pub(in crate::view) fn wrap(text: &str, max: usize, style: &TextStyle) -> Vec<String> {
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

/// Of what a phase is about at least so many columns are shown, or all of it, or nothing.
const LEAST: usize = 5;

/// A line that grows to the right.
pub(in crate::view) struct Line<'s> {
    style: &'s TextStyle,
    parts: Vec<(Paint, String)>,
    width: usize,
}

impl<'s> Line<'s> {
    pub(in crate::view) fn new(style: &'s TextStyle) -> Self {
        Line { style, parts: Vec::new(), width: 0 }
    }

    /// Columns so far.
    pub(in crate::view) fn width(&self) -> usize {
        self.width
    }

    /// Appends as much of it as fits the width of the page.
    pub(in crate::view) fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        self.put_in(paint, text, usize::MAX)
    }

    /// Appends as much of it as fits `max` columns and the page.
    pub(in crate::view) fn put_in(&mut self, paint: Paint, text: &str, max: usize) -> &mut Self {
        let max = max.min(self.style.width.saturating_sub(self.width));
        let text = cut(&plain(text, self.style), max, self.style);
        self.width += width(&text);
        if !text.is_empty() {
            self.parts.push((paint, text));
        }
        self
    }

    /// Appends what a phase is about, a path by its end, so that it fits `max` columns and the page.
    pub(in crate::view) fn put_detail(&mut self, paint: Paint, text: &str, max: usize) -> &mut Self {
        let max = max.min(self.style.width.saturating_sub(self.width));
        // of a path only the end can be shown: the rest need not be made harmless
        let skipped = text.len().saturating_sub(max.saturating_mul(16).saturating_add(64));
        let text = match (skipped..text.len()).find(|i| text.is_char_boundary(*i)) {
            Some(i) if i > 0 && text.starts_with('/') => {
                format!("/{}", plain(text[i..].trim_start_matches('/'), self.style))
            }
            _ => plain(text, self.style).into_owned(),
        };
        // so little of it says nothing
        if width(&text) > max && max < LEAST {
            return self;
        }
        let text = cut_path(&text, max, self.style);
        self.put(paint, &text)
    }

    /// Spaces up to that column.
    pub(in crate::view) fn to(&mut self, column: usize) -> &mut Self {
        let spaces = column.min(self.style.width).saturating_sub(self.width);
        if spaces > 0 {
            self.width += spaces;
            self.parts.push((PLAIN, " ".repeat(spaces)));
        }
        self
    }

    /// Appends it so that it ends at that column, or behind what is there.
    pub(in crate::view) fn right(&mut self, paint: Paint, text: &str, column: usize) -> &mut Self {
        let text = plain(text, self.style).into_owned();
        self.to(column.saturating_sub(width(&text))).put(paint, &text)
    }

    /// Fills up to that column with a sign of one column.
    pub(in crate::view) fn fill(&mut self, paint: Paint, sign: &str, column: usize) -> &mut Self {
        let n = column.min(self.style.width).saturating_sub(self.width);
        self.put(paint, &sign.repeat(n))
    }

    pub(in crate::view) fn finish(&self, out: &mut String) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_at_its_front() {
        let style = TextStyle::default();
        let cut = |text: &str, max| cut_path(text, max, &style);
        assert_eq!(cut("/srv/run/demo.pid", 40), "/srv/run/demo.pid");
        assert_eq!(cut("/srv/run/demo.pid", 15), "…/run/demo.pid");
        assert_eq!(cut("/srv/run/demo.pid", 12), "…/demo.pid");
        assert_eq!(cut("/srv/run/demo.pid", 6), "…o.pid", "not even the name fits");
        assert_eq!(cut("/漢字/漢字漢字", 10), "…/漢字漢字");
        assert_eq!(cut("/漢字漢字漢字", 6), "…漢字", "wide characters are not halved");
        assert_eq!(cut("tcp:127.0.0.1:80", 8), "tcp:127…", "no path");
        assert_eq!(
            cut_path("/srv/run/demo.pid", 12, &TextStyle { ascii: true, ..style.clone() }),
            ".../demo.pid"
        );
        for max in 0..20 {
            assert!(width(&cut("/srv/漢字/demo.pid", max)) <= max);
        }
    }

    #[test]
    fn a_detail_is_harmless_and_left_out_where_it_would_say_nothing() {
        let ascii = TextStyle { ascii: true, ..Default::default() };
        let shown = |text: &str, max, style: &TextStyle| {
            let mut out = String::new();
            Line::new(style).put_detail(PLAIN, text, max).finish(&mut out);
            out
        };
        assert_eq!(shown("tcp:127.0.0.1:80", 4, &ascii), "\n");
        assert_eq!(shown("022", 3, &ascii), "022\n");
        let long = format!("/{}\u{1b}[31m/demo.pid", "x/".repeat(10_000));
        assert_eq!(shown(&long, 20, &ascii), ".../demo.pid\n", "an escape is not cut in two");
        assert_eq!(shown(&long, 24, &ascii), ".../\\u{1b}[31m/demo.pid\n");
    }
}
