//! `rsd trace`: the timeline of a run.

use crate::{exit, instance, output};
use clap::ArgMatches;
use engine::timeline::Timeline;
use engine::view;
use engine::view::list::{self, ListRow};
use engine::view::text::{self, TextStyle};
use phases::journal;
use std::path::{Path, PathBuf};

/// Runs the subcommand.
pub fn command(matches: &ArgMatches) -> i32 {
    let run = matches.get_one::<String>("run").map(String::as_str);
    let spec = matches.get_one::<String>("spec").map(|s| name_of(s));
    if run == Some("list") {
        return list_runs(spec.as_deref());
    }
    let path = match find(run, spec.as_deref()) {
        Ok(path) => path,
        Err(why) => {
            output::complain(&format!("error: {}\n", engine::text::clean(&why)));
            return exit::NOT_RUNNING;
        }
    };
    let timeline = match read(&path) {
        Ok(timeline) => timeline,
        Err(error) => {
            output::complain(&format!(
                "error: {} cannot be read: {error}\n",
                engine::text::clean(&path.display().to_string())
            ));
            return exit::FAILED;
        }
    };
    if timeline.run.is_empty() && timeline.spans.is_empty() {
        let path = path.display().to_string();
        output::complain(&format!("error: {} holds no record of a run\n", engine::text::clean(&path)));
        return exit::FAILED;
    }
    let json = matches.get_one::<String>("format").is_some_and(|f| f == "json");
    if json && matches.get_one::<String>("output").is_none() {
        output::print_json(&view::json::Document(&timeline));
        return exit::FINE;
    }
    let text = match json {
        true => serde_json::to_string_pretty(&view::json::Document(&timeline)).unwrap_or_default() + "\n",
        false => text::render(&timeline, &style(matches)),
    };
    match matches.get_one::<String>("output") {
        None => output::print(&text),
        Some(file) => {
            if let Err(error) = std::fs::write(file, text) {
                output::complain(&format!(
                    "error: {} cannot be written: {error}\n",
                    engine::text::clean(file)
                ));
                return exit::FAILED;
            }
        }
    }
    exit::FINE
}

fn style(matches: &ArgMatches) -> TextStyle {
    let to_file = matches.get_one::<String>("output").is_some();
    let color = match matches.get_one::<String>("color").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => !to_file && output::colour_out(),
    };
    let c_locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|v| !v.is_empty()))
        .is_some_and(|v| v == "C" || v == "POSIX");
    let rows = if matches.get_flag("all") { usize::MAX } else { TextStyle::default().rows };
    TextStyle { width: output::width(), color, ascii: matches.get_flag("ascii") || c_locale, rows }
}

/// `specs/twistd.yaml` and `twistd` both mean the runs of that name.
fn name_of(spec: &str) -> String {
    let path = Path::new(spec);
    path.file_stem().map_or_else(|| spec.to_owned(), |s| s.to_string_lossy().into_owned())
}

fn read(path: &Path) -> std::io::Result<Timeline> {
    use std::io::Read;
    // Asked before reading: whoever lets go in between has written its end by then.
    let held = journal::is_held(path);
    let mut bytes = Vec::new();
    phases::sys::process::open_to_read(path)?.read_to_end(&mut bytes)?;
    let mut timeline = Timeline::read(&bytes);
    if !held {
        timeline.vanished();
    }
    Ok(timeline)
}

/// Every journal that is kept for this user, oldest first.
fn journals(spec: Option<&str>) -> Vec<PathBuf> {
    let Some(top) = instance::all_journals() else { return Vec::new() };
    let mut all: Vec<PathBuf> = match spec {
        Some(name) => journal::list(&top.join(name)),
        None => std::fs::read_dir(top)
            .map(|dirs| dirs.filter_map(Result::ok).flat_map(|d| journal::list(&d.path())).collect())
            .unwrap_or_default(),
    };
    all.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    all
}

fn find(run: Option<&str>, spec: Option<&str>) -> Result<PathBuf, String> {
    if let Some(run) = run
        && (run.contains('/') || Path::new(run).is_file())
    {
        return Ok(PathBuf::from(run));
    }
    let all = journals(spec);
    let named = |path: &&PathBuf| match run {
        None => true,
        Some(run) => path
            .file_stem()
            .and_then(|s| s.to_str())
            .and_then(|s| s.rsplit_once('-'))
            .is_some_and(|(_, name)| name.starts_with(run)),
    };
    all.iter().rev().find(named).cloned().ok_or_else(|| match run {
        Some(run) => format!(
            "there is no run `{run}`, and no such file; `rsd trace list` lists the runs that are kept"
        ),
        None => "no run is kept yet; `rsd run` records one".to_owned(),
    })
}

fn list_runs(spec: Option<&str>) -> i32 {
    let rows: Vec<ListRow> =
        journals(spec).into_iter().rev().filter_map(|p| Some(ListRow::of(&read(&p).ok()?, p))).collect();
    output::print(&list::render(&rows));
    exit::FINE
}
