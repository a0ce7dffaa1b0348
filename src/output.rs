//! Text to people and to programs: a broken pipe is no error, colour only where it is wanted.

use engine::diagnostic::{Diagnostic, Severity, Sources, Style, render_in};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes to standard output; a reader that went away is fine, what else goes wrong is said.
pub fn print(text: &str) {
    printed(text);
}

/// The same; true if nothing went wrong.
pub fn printed(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Something that was to be printed could not be.
static LOST: AtomicBool = AtomicBool::new(false);

/// True where something that was to be printed could not be.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// The exit code of a command whose whole work is what it prints.
pub fn exit_code(code: i32) -> i32 {
    if code == crate::exit::FINE && lost() { crate::exit::FAILED } else { code }
}

fn written(done: std::io::Result<()>) -> bool {
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            if !LOST.swap(true, Ordering::Relaxed) {
                complain(&format!("error: standard output cannot be written: {error}\n"));
            }
            false
        }
        _ => true,
    }
}

/// Writes a document to standard output as it is made: a large one is never held whole.
/// Answers as [`printed`] does.
pub fn print_json(document: &impl serde::Serialize) -> bool {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let made = crate::json::write(document, &mut out);
    written(made.and_then(|()| out.flush()))
}

/// Writes to standard error.
pub fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Whether standard output is to have colours (NO_COLOR, CLICOLOR, TERM are heeded).
pub fn colour_out() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

fn colour_err() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// The width of the terminal; where there is none what COLUMNS says, else 80.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let tty = || {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        phases::sys::process::window_size(&mut size).then_some(usize::from(size.ws_col)).filter(|c| *c > 0)
    };
    let shown = if std::io::stdout().is_terminal() { tty() } else { None };
    shown.or(columns).unwrap_or(80)
}

/// Longer lines than this are hard to read.
const WIDEST: usize = 110;

/// How many findings a person reads.
const MOST: usize = 50;

/// Draws the findings on standard error.
pub fn findings(findings: &[Diagnostic], sources: &Sources) {
    let style = if colour_err() { Style::Colour } else { Style::Plain };
    let terminal = std::io::stderr().is_terminal();
    let width = terminal.then(|| width().min(WIDEST));
    let mut text = String::new();
    for finding in findings.iter().take(MOST) {
        text.push_str(&render_in(finding, sources, style, width));
        text.push('\n');
    }
    if findings.len() > MOST {
        text.push_str(&format!("{} more are not shown\n\n", findings.len() - MOST));
    }
    if let Some(first) = findings.first().filter(|_| terminal) {
        text.push_str(&format!("the story behind a finding, and what to do: rsd explain {}\n", first.code));
    }
    complain(&text);
}

/// "2 errors, 1 warning".
pub fn count(findings: &[Diagnostic]) -> String {
    let parts: Vec<String> =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
            .into_iter()
            .filter_map(|(severity, word)| match findings.iter().filter(|f| f.severity == severity).count() {
                0 => None,
                n => Some(engine::text::count(n, word)),
            })
            .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}
