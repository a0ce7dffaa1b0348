//! The help of twistd's command line, from the table.

use super::table::{Goes, Opt, TABLE};

/// What is said behind the options.
const LAST: [&str; 2] = [
    "Starts a Twisted application in the order that twistd does, with the order checked before anything is \
     touched and recorded as it happens: `rsd trace` shows how it went.",
    "Commands are plug-ins of Twisted: `--help-commands` lists them.",
];

/// The whole help, at that width.
pub fn text(width: usize) -> String {
    let width = width.clamp(50, 100);
    let mut text = String::from("Usage: twistd [options] [command …]\nOptions:\n");
    let column = TABLE.iter().map(|o| name(o).len()).max().unwrap_or(0) + 2;
    let part = |own: bool| TABLE.iter().filter(move |o| (o.goes == Goes::Own) == own);
    part(false).for_each(|option| text.push_str(&row(option, column, width)));
    text.push_str("\nOptions of rsd, to be written whole:\n");
    part(true).for_each(|option| text.push_str(&row(option, column, width)));
    text.push('\n');
    for sentence in LAST {
        for line in wrap(sentence, width) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// `  -l, --logfile=`, as twistd writes it.
fn name(option: &Opt) -> String {
    let short = option.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let equals = if option.value.is_some() { "=" } else { "" };
    format!("  {short}--{}{equals}", option.long)
}

fn row(option: &Opt, column: usize, width: usize) -> String {
    let mut text = String::new();
    for (n, line) in wrap(option.help, width.saturating_sub(column)).iter().enumerate() {
        let left = if n == 0 { name(option) } else { String::new() };
        text.push_str(&format!("{left:column$}{line}\n"));
    }
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_line_fits() {
        for width in [50, 80, 100] {
            let text = super::text(width);
            let longest = text.lines().map(|l| l.chars().count()).max();
            assert!(longest.is_some_and(|l| l <= width), "{longest:?} of {width}\n{text}");
        }
    }
}
