//! Text to people and to programs: a broken pipe is no error, colour only where it is wanted.

use engine::diagnostic::{Diagnostic, Severity, Sources, Style, render};
use std::io::{IsTerminal, Write};

/// Writes to standard output; a reader that went away is fine.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a document to standard output as it is made: a large one is never held whole.
pub fn print_json(document: &impl serde::Serialize) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let _ = serde_json::to_writer_pretty(&mut out, document);
    let _ = out.write_all(b"\n").and_then(|()| out.flush());
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

/// The width of the terminal, 80 where there is none.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let tty = || {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        phases::sys::process::window_size(&mut size).then_some(usize::from(size.ws_col)).filter(|c| *c > 0)
    };
    if std::io::stdout().is_terminal() { tty().or(columns).unwrap_or(80) } else { 80 }
}

/// How many findings a person reads.
const MOST: usize = 50;

/// Draws the findings on standard error.
pub fn findings(findings: &[Diagnostic], sources: &Sources) {
    let style = if colour_err() { Style::Colour } else { Style::Plain };
    let mut text = String::new();
    for finding in findings.iter().take(MOST) {
        text.push_str(&render(finding, sources, style));
        text.push('\n');
    }
    if findings.len() > MOST {
        text.push_str(&format!("{} more are not shown\n\n", findings.len() - MOST));
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
                1 => Some(format!("1 {word}")),
                n => Some(format!("{n} {word}s")),
            })
            .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

/// Runs something with the engine's own profile recorded, where `--profile FILE` asks for it.
///
/// tracing-chrome writes from a thread, so this is for commands that never fork.
pub fn profiled<T>(argv: &[String], work: impl FnOnce() -> T) -> T {
    use tracing_subscriber::layer::SubscriberExt;
    let mut args = argv.iter().take_while(|a| *a != "--");
    let file = args.find_map(|a| match a.strip_prefix("--profile=") {
        Some(file) => Some(file.to_owned()),
        None if a == "--profile" => Some(String::new()),
        None => None,
    });
    let file = match file {
        Some(name) if name.is_empty() => args.next().cloned(),
        other => other,
    };
    let Some(file) = file else { return work() };
    let made = std::fs::File::create(&file);
    let Ok(made) = made else {
        complain(&format!("warning: no profile is written: {file} cannot be made\n"));
        return work();
    };
    let (layer, guard) = tracing_chrome::ChromeLayerBuilder::new().writer(made).include_args(true).build();
    let subscriber = tracing_subscriber::registry().with(layer);
    let result = tracing::subscriber::with_default(subscriber, work);
    drop(guard);
    result
}
