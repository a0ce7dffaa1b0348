//! `rsd trace`: the timeline of a run.

mod diff;
mod follow;
pub mod forms;
mod list;
pub mod runs;

use crate::profile::stage;
use crate::{exit, output};
use clap::{ArgMatches, Command};
use engine::text::clean;
use engine::view::axis::Scale;
use engine::view::text::{Shown, TextStyle};
use engine::view::zones::Window;
use flate2::Compression;
use flate2::write::GzEncoder;
use forms::{Asked, FORMS, Form};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// A subcommand of `trace`: how its arguments are made, and what runs it.
type Room = (fn() -> Command, fn(&ArgMatches) -> i32);

/// Every subcommand of `trace`, one a line.
const ROOMS: &[Room] = &[(diff::arguments, diff::command), (list::arguments, list::command)];

/// The subcommands, for the command line.
pub fn subcommands() -> impl Iterator<Item = Command> {
    ROOMS.iter().map(|(arguments, _)| arguments())
}

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    if let Some((name, matches)) = matches.subcommand()
        && let Some((_, run)) = ROOMS.iter().find(|(arguments, _)| arguments().get_name() == name)
    {
        return run(matches);
    }
    if matches.get_one::<String>("run").is_some_and(|run| run == "list") {
        return list::command(matches);
    }
    if matches.get_flag("follow") {
        return follow::command(matches);
    }
    match show(matches) {
        Ok(()) => exit::FINE,
        Err((code, why)) => {
            output::complain(&format!("error: {why}\n"));
            code
        }
    }
}

fn show(matches: &ArgMatches) -> Result<(), (i32, String)> {
    let run = matches.get_one::<String>("run").map(String::as_str);
    let spec = matches.get_one::<String>("spec").map(|s| runs::name_of(s));
    let file = matches.get_one::<String>("output").filter(|f| *f != "-").map(PathBuf::from);
    let form = form(matches, file.as_deref()).map_err(|why| (exit::USAGE, why))?;
    let (_, timeline) = runs::of(run, spec.as_deref())?;

    let to_terminal = matches.get_one::<String>("output").is_none() && io::stdout().is_terminal();
    let asked = asked(matches, file.is_some());
    let _stage = stage!("view");
    let mut write = |out: &mut dyn Write| (form.write)(&timeline, &asked, out);
    let Some(file) = file else {
        if to_terminal && form.open.is_some() {
            return beside(form, timeline.instance(), &timeline.run, &mut write);
        }
        let mut out = BufWriter::new(io::stdout().lock());
        return match write(&mut out).and_then(|()| out.flush()) {
            // a reader that went away is fine
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err((exit::FAILED, format!("standard output cannot be written: {error}")))
            }
            _ => Ok(()),
        };
    };
    let packed = file.extension().is_some_and(|e| e == "gz");
    let made = File::create(&file).and_then(|made| match packed {
        true => pack(made, &mut write),
        false => whole(made, &mut write),
    });
    made.map_err(|error| (exit::FAILED, format!("{} cannot be written: {error}", shown(&file))))
}

fn whole(file: File, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}

/// As gzip packs it: a timeline in JSON becomes a tenth.
fn pack(file: File, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // The encoder takes what it is given at once, however little that is.
    let encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
    let mut out = BufWriter::with_capacity(1 << 16, encoder);
    write(&mut out)?;
    let encoder = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    encoder.finish()?.flush()
}

/// Writes what no terminal can show to a new file named after the run, and says how to see it.
fn beside(
    form: &Form,
    spec: &str,
    run: &str,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<(), (i32, String)> {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let stem: String = format!("{spec}-{run}").chars().map(harmless).take(100).collect();
    // Never over what is there, and never through a link that somebody laid out.
    for n in 1..100 {
        let count = if n == 1 { String::new() } else { format!("-{n}") };
        let name = format!("{stem}{count}.{}", form.ending);
        match File::create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => {
                made.and_then(|made| whole(made, write)).map_err(|error| {
                    let help = format!("give a file with -o, or pipe it: `--format {} | …`", form.name);
                    (exit::FAILED, format!("{name} cannot be written here: {error}; {help}"))
                })?;
                let open = form.open.unwrap_or_default().replace("FILE", &name);
                output::complain(&format!("wrote {name}: {open}\n"));
                return Ok(());
            }
        }
    }
    Err((exit::FAILED, format!("{stem}.{} and 98 more are there already; give a file with -o", form.ending)))
}

/// The form that was asked for: by name, else by the ending of the file.
fn form(matches: &ArgMatches, file: Option<&Path>) -> Result<&'static Form, String> {
    let named = matches.get_one::<String>("format").map(String::as_str);
    let by_name = |name: &str| FORMS.iter().find(|f| f.name == name);
    let by_ending = || {
        let file = file?.file_name()?.to_str()?.trim_end_matches(".gz");
        let fits = |f: &&Form| file.ends_with(&format!(".{}", f.ending));
        FORMS.iter().filter(fits).max_by_key(|f| f.ending.len())
    };
    let form = match named {
        Some(name) => by_name(name),
        None => by_ending().or_else(|| by_name("text")),
    };
    let form = form.ok_or("no such format")?;
    for flag in ["blame", "critical-chain"] {
        if matches.get_flag(flag) && form.name != "text" {
            return Err(format!("`--{flag}` is text; it cannot be written as {}", form.name));
        }
    }
    Ok(form)
}

fn asked(matches: &ArgMatches, to_file: bool) -> Asked {
    let text = |id: &str| matches.get_one::<String>(id).map(String::as_str).unwrap_or_default();
    let scale = Scale::by_name(text("scale")).unwrap_or_default();
    let window = Window::by_name(text("window"));
    let shown = match (matches.get_flag("blame"), matches.get_flag("critical-chain")) {
        (true, _) => Shown::Blame,
        (_, true) => Shown::Chain,
        _ => Shown::Timeline,
    };
    let rows = if matches.get_flag("all") { usize::MAX } else { TextStyle::default().rows };
    let whole = window.unwrap_or(Window::All);
    let style = TextStyle { shown, scale, rows, window: whole, ..style(matches, to_file) };
    Asked { style, window }
}

/// How text looks where it goes: width, colours and characters.
pub fn style(matches: &ArgMatches, to_file: bool) -> TextStyle {
    let color = match matches.get_one::<String>("color").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => !to_file && output::colour_out(),
    };
    let c_locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|v| !v.is_empty()))
        .is_some_and(|v| v == "C" || v == "POSIX");
    let width = if to_file { TextStyle::default().width } else { output::width() };
    TextStyle { width, color, ascii: matches.get_flag("ascii") || c_locale, ..Default::default() }
}

/// A path as it may be shown.
pub fn shown(path: &Path) -> String {
    clean(&path.display().to_string()).into_owned()
}
