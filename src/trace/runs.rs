//! The runs that are kept: found by name, read, in the order they began.

use super::shown;
use crate::profile::stage;
use crate::{exit, instance};
use engine::text::clean;
use engine::timeline::history::{self, History};
use engine::timeline::{self, Reader, Timeline};
use phases::journal;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The timeline of a run and the journal it is from: of that name or file, else the newest. The error
/// is an exit code and a sentence.
pub fn of(run: Option<&str>, spec: Option<&str>) -> Result<(PathBuf, Timeline), (i32, String)> {
    if run == Some("") {
        return Err((exit::USAGE, "the name of the run is empty".to_owned()));
    }
    whole(find(run, spec).map_err(|why| (exit::NOT_RUNNING, clean(&why).into_owned()))?)
}

/// The newest run of the same spec under the same name, and its journal.
pub fn newest_like(timeline: &Timeline) -> Result<(PathBuf, Timeline), (i32, String)> {
    let like = |path: &PathBuf| {
        glance(path).is_ok_and(|t| (&t.spec, t.instance()) == (&timeline.spec, timeline.instance()))
    };
    let newest = journals(None).into_iter().rev().find(like);
    whole(newest.ok_or_else(|| {
        let why = format!("no other run of {} is kept", clean(&timeline.title()));
        (exit::NOT_RUNNING, why)
    })?)
}

fn whole(path: PathBuf) -> Result<(PathBuf, Timeline), (i32, String)> {
    let timeline =
        read(&path).map_err(|error| (exit::FAILED, format!("{} cannot be read: {error}", shown(&path))))?;
    if timeline.run.is_empty() && timeline.spans.is_empty() {
        return Err((exit::FAILED, format!("{} holds no record of a run", shown(&path))));
    }
    Ok((path, timeline))
}

/// `specs/twistd.yaml` and `twistd` both mean the runs of that name.
pub fn name_of(spec: &str) -> String {
    let path = Path::new(spec);
    path.file_stem().map_or_else(|| spec.to_owned(), |s| s.to_string_lossy().into_owned())
}

/// The timeline of a journal; `vanished` where no process holds it any more and it has no end.
pub fn read(path: &Path) -> std::io::Result<Timeline> {
    // Asked before reading: whoever lets go in between has written its end by then.
    let held = journal::is_held(path);
    let stage = stage!("read journal");
    let mut file = open(path)?;
    let mut reader = Reader::default();
    feed(&mut file, &mut reader)?;
    let mut timeline = reader.end();
    drop(stage);
    if !held {
        timeline.vanished();
    }
    Ok(timeline)
}

/// A journal to read: a file, or a pipe that somebody writes one to. A device has no end.
fn open(path: &Path) -> std::io::Result<File> {
    let file = phases::sys::process::open_to_read(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(std::io::Error::other("it is a device, not a journal"));
    }
    Ok(file)
}

/// Reads what there is by now, piece by piece: a large journal is never held whole. How many bytes.
pub fn feed(file: &mut File, reader: &mut Reader) -> std::io::Result<usize> {
    let mut piece = vec![0; 256 * 1_024];
    let mut fed = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(fed),
            Ok(n) => {
                reader.feed(&piece[..n]);
                fed += n;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Of a journal longer than this only the ends are looked at for a list.
const LONG: u64 = 1 << 20;
/// So much of each end.
const END: usize = 64 << 10;

/// The same without the phases, where a large journal need not be read whole for that.
pub fn glance(path: &Path) -> std::io::Result<Timeline> {
    let held = journal::is_held(path);
    let mut file = phases::sys::process::open_to_read(path)?;
    let length = file.metadata()?.len();
    if length > LONG {
        let (mut head, mut tail) = (vec![0; END], vec![0; END]);
        file.read_exact(&mut head)?;
        file.seek(SeekFrom::Start(length - END as u64))?;
        file.read_exact(&mut tail)?;
        if let Some(mut timeline) = timeline::glance(&head, &tail) {
            if !held {
                timeline.vanished();
            }
            return Ok(timeline);
        }
    }
    read(path)
}

/// So many bytes of earlier journals are read to learn what is usual.
const HISTORY: u64 = 64 << 20;

/// What earlier runs of its spec that did the same took: those kept beside its journal, and in the
/// place of its name.
pub fn history(timeline: &Timeline, path: &Path) -> History {
    let mut history = History::default();
    let beside = path.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let kept = instance::journals(timeline.instance());
    let mut seen = HashSet::from([timeline.run.clone()]);
    let mut left = HISTORY;
    for dir in beside.into_iter().chain(kept.as_deref()) {
        for journal in journal::list(dir).iter().rev().take(2 * journal::KEPT) {
            let Ok(bytes) = std::fs::metadata(journal).map(|m| m.len()) else { continue };
            if bytes > left || !is_journal(journal) {
                continue;
            }
            let Ok(earlier) = read(journal) else { continue };
            left -= bytes;
            let before = earlier.wall_ns < timeline.wall_ns || timeline.wall_ns == 0;
            let like = earlier.spec == timeline.spec && history::alike(timeline, &earlier);
            if like && before && seen.insert(earlier.run.clone()) {
                history.add(&earlier);
            }
        }
    }
    history
}

/// Whether a file begins as a journal does: others beside it are not read whole.
fn is_journal(path: &Path) -> bool {
    let mut start = [0; 5];
    phases::sys::process::open_to_read(path).and_then(|mut f| f.read_exact(&mut start)).is_ok()
        && start == *br#"{"t":"#
}

/// Whether a journal is of a spec, or of an instance, of that name. The place that the runs of a name have says so at
/// once; what else runs the spec, under other names, says so itself.
pub fn is_of(path: &Path, name: &str) -> bool {
    let place = instance::journals(name);
    path.parent().is_some_and(|dir| place.as_deref() == Some(dir))
        || glance(path).is_ok_and(|t| t.spec == name || t.name == name)
}

/// Every journal that is kept for this user, oldest first: all, or those of a spec or an instance.
pub fn journals(name: Option<&str>) -> Vec<PathBuf> {
    let Some(top) = instance::all_journals() else { return Vec::new() };
    let mut all: Vec<PathBuf> = std::fs::read_dir(top)
        .map(|dirs| dirs.filter_map(Result::ok).flat_map(|d| journal::list(&d.path())).collect())
        .unwrap_or_default();
    if let Some(name) = name {
        all.retain(|path| is_of(path, name));
    }
    all.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    all
}

/// The name of the run that a journal is of, as its file has it.
fn run_of(path: &Path) -> Option<&str> {
    Some(path.file_stem()?.to_str()?.rsplit_once('-')?.1)
}

/// The journal that is meant: a file, the run of that name, the newest run of the daemon or spec of that name, the
/// one run whose name begins so, or the newest of all.
pub fn find(run: Option<&str>, spec: Option<&str>) -> Result<PathBuf, String> {
    if let Some(run) = run
        && (run.contains('/') || Path::new(run).is_file())
    {
        return Ok(PathBuf::from(run));
    }
    let all = journals(None);
    // The newest first, so that no more journals are looked into than must be.
    let newest = |meant: &dyn Fn(&Path) -> bool| {
        all.iter().rev().find(|path| meant(path) && spec.is_none_or(|spec| is_of(path, spec))).cloned()
    };
    let Some(run) = run else { return newest(&|_| true).ok_or_else(|| none_kept(spec)) };
    let place = instance::journals(run);
    let named = newest(&|path| run_of(path) == Some(run))
        .or_else(|| newest(&|path| path.parent().is_some_and(|dir| place.as_deref() == Some(dir))));
    if let Some(path) = named {
        return Ok(path);
    }
    let begins = |path: &Path| run_of(path).is_some_and(|name| name.starts_with(run));
    let of = spec.map_or_else(String::new, |spec| format!(" of `{spec}`"));
    let list = "`rsd trace list` lists the runs that are kept";
    match newest(&begins) {
        Some(path) if newest(&|other| begins(other) && other != path).is_none() => Ok(path),
        Some(_) => Err(format!("the names of several runs{of} begin with `{run}`; {list}")),
        None => Err(format!("there is no run `{run}`{of}, no daemon and no file of that name; {list}")),
    }
}

fn none_kept(spec: Option<&str>) -> String {
    match spec {
        _ if instance::all_journals().is_none() => {
            "no run is kept, as neither XDG_STATE_HOME nor HOME is set; name a journal by its path".to_owned()
        }
        Some(spec) if !journals(None).is_empty() => format!(
            "no run of a spec or an instance called `{spec}` is kept; `rsd trace list` lists the runs that are"
        ),
        _ => "no run is kept yet; `rsd run` records one".to_owned(),
    }
}
