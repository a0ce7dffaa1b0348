//! `rsd trace --follow`: a run while it goes on.
//!
//! Nothing wakes it but the journal, a signal, and what is due by the clock. On a terminal only the
//! last line is drawn anew: what is done scrolls away as lines of its own, so nothing has to be
//! restored but that line.

use super::{runs, style};
use crate::{exit, output};
use clap::ArgMatches;
use engine::text::clean;
use engine::timeline::history::History;
use engine::timeline::{Outcome, Reader, Timeline};
use engine::view::follow::{Against, Follow};
use engine::view::text::TextStyle;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use phases::journal;
use phases::sys::process;
use phases::sys::watch::Watch;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IsTerminal, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// How often the line of a running phase is drawn, in milliseconds.
const DRAW: u64 = 100;
/// The same once it serves: it counts seconds.
const SERVING: u64 = 1_000;
/// How often it is asked whether the run is still there: its death writes nothing.
const ALIVE: u64 = 500;
/// How often a run that is waited for is looked for.
const LOOK: i32 = 100;

/// Why following ended before the run did.
enum Stop {
    /// a signal said so
    Signal(Signal),
    /// an exit code and a sentence
    Error(i32, String),
    /// nobody reads what is written
    Unread,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Stop {
        Stop::Unread
    }
}

/// Follows the run that is meant; its exit code says how the run ended.
pub fn command(matches: &ArgMatches) -> i32 {
    let signals = match process::take_signals() {
        Ok(signals) => signals,
        Err(error) => {
            output::complain(&format!("error: signals cannot be taken: {error}\n"));
            return exit::FAILED;
        }
    };
    let ended = find(matches, &signals).and_then(|path| {
        let mut screen = Screen::new(matches);
        let ended = follow(&path, &signals, &mut screen);
        screen.clear().map_err(Stop::from).and(ended)
    });
    match ended {
        Ok(Outcome::Completed) => exit::FINE,
        Ok(_) => exit::FAILED,
        Err(Stop::Unread) => exit::FINE,
        Err(Stop::Signal(signal)) => {
            process::end_by_signal(signal as i32);
            128 + signal as i32
        }
        Err(Stop::Error(code, why)) => {
            output::complain(&format!("error: {why}\n"));
            code
        }
    }
}

/// The run of that name; else one that goes on; else the next one to begin.
fn find(matches: &ArgMatches, signals: &SignalFd) -> Result<PathBuf, Stop> {
    let run = matches.get_one::<String>("run").map(String::as_str);
    let spec = matches.get_one::<String>("spec").map(|s| runs::name_of(s));
    if run.is_some() {
        return runs::find(run, spec.as_deref())
            .map_err(|why| Stop::Error(exit::NOT_RUNNING, clean(&why).into_owned()));
    }
    let all = runs::journals(None);
    let meant = |path: &PathBuf| spec.as_deref().is_none_or(|spec| runs::is_of(path, spec));
    if let Some(running) = all.iter().rev().find(|path| journal::is_held(path) && meant(path)) {
        return Ok(running.clone());
    }
    let of = spec.as_deref().map_or(String::new(), |s| format!(" of {}", clean(s)));
    output::complain(&format!("no run{of} goes on; waiting for the next one (Ctrl-C ends)\n"));
    let known: HashSet<PathBuf> = all.into_iter().collect();
    loop {
        let next = runs::journals(None).into_iter().find(|path| !known.contains(path) && meant(path));
        if let Some(path) = next {
            return Ok(path);
        }
        process::wait_readable([signals.as_fd()], LOOK).map_err(broken)?;
        resized_or_stopped(signals)?;
    }
}

fn broken(error: nix::errno::Errno) -> Stop {
    Stop::Error(exit::FAILED, format!("waiting failed: {error}"))
}

/// True if the terminal has another size by now.
fn resized_or_stopped(signals: &SignalFd) -> Result<bool, Stop> {
    let mut resized = false;
    while let Ok(Some(info)) = signals.read_signal() {
        match Signal::try_from(info.ssi_signo as i32) {
            Ok(Signal::SIGWINCH) => resized = true,
            Ok(signal @ (Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)) => {
                return Err(Stop::Signal(signal));
            }
            _ => {}
        }
    }
    Ok(resized)
}

fn follow(path: &Path, signals: &SignalFd, screen: &mut Screen) -> Result<Outcome, Stop> {
    let unreadable = |error: io::Error| {
        Stop::Error(exit::FAILED, format!("{} cannot be read: {error}", super::shown(path)))
    };
    let mut file = process::open_to_read(path).map_err(unreadable)?;
    let watch = Watch::new(path).ok();
    let (mut reader, mut told) = (Reader::default(), Follow::default());
    let mut history: Option<History> = None;
    loop {
        // Asked before reading: whoever lets go in between has written its end by then.
        let held = journal::is_held(path);
        // What has not ended in what is read now was under way at this moment.
        let moment = process::monotonic();
        if truncated(&mut file) {
            screen.say("the journal was begun anew\n")?;
            (reader, told, history) = (Reader::default(), Follow::default(), None);
        }
        runs::feed(&mut file, &mut reader).map_err(unreadable)?;
        let mut timeline = if held { reader.so_far() } else { reader.clone().end() };
        let began = reader.began();
        if !held && began.is_none() && timeline.spans.is_empty() {
            let what = format!("{} holds no record of a run", super::shown(path));
            return Err(Stop::Error(exit::FAILED, what));
        }
        if !held {
            timeline.vanished();
        }
        if began.is_some() || !timeline.spans.is_empty() {
            let history = history.get_or_insert_with(|| runs::history(&timeline, path));
            let now = match (held, began) {
                (true, Some(began)) => moment.saturating_sub(began).max(timeline.end_ns),
                _ => timeline.end_ns,
            };
            let style = screen.style.clone();
            let against = Against { history, style: &style };
            screen.say(&told.lines(&timeline, now, &against))?;
            if timeline.outcome != Outcome::Running {
                for problem in &timeline.problems {
                    screen.say(&format!("note  {}\n", clean(problem)))?;
                }
                return Ok(timeline.outcome);
            }
            screen.draw(&told.status(&timeline, now, &against))?;
            let due = told.wakes(&timeline, now, &against).map(|ns| ns / 1_000_000 + 1);
            wait(&watch, signals, screen, sleep(&timeline, screen.live, due, watch.is_some()))?;
        } else {
            wait(&watch, signals, screen, ALIVE)?;
        }
    }
}

/// How long nothing has to be done, in milliseconds.
fn sleep(timeline: &Timeline, live: bool, due: Option<u64>, watched: bool) -> u64 {
    let draw = match (live, timeline.ready_ns) {
        (true, None) => DRAW,
        (true, Some(_)) => SERVING,
        (false, _) => ALIVE,
    };
    let unwatched = if watched { u64::MAX } else { DRAW };
    draw.min(ALIVE).min(unwatched).min(due.unwrap_or(u64::MAX)).max(1)
}

/// Until the journal grows, a signal comes, or that many milliseconds are over. What is written fast
/// is read in one go.
fn wait(watch: &Option<Watch>, signals: &SignalFd, screen: &mut Screen, ms: u64) -> Result<(), Stop> {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    let written = match watch {
        Some(watch) => process::wait_readable([signals.as_fd(), watch.as_fd()], ms).map_err(broken)?[1],
        None => process::wait_readable([signals.as_fd()], ms).map_err(broken)?[0],
    };
    if written && let Some(watch) = watch {
        process::wait_readable([signals.as_fd()], 10).map_err(broken)?;
        watch.clear();
    }
    if resized_or_stopped(signals)? {
        screen.resized()?;
    }
    Ok(())
}

/// True if the file is shorter than what was read of it; it is read from its begin then.
fn truncated(file: &mut File) -> bool {
    let (Ok(at), Ok(length)) = (file.stream_position(), file.metadata().map(|m| m.len())) else {
        return false;
    };
    length < at && file.rewind().is_ok()
}

/// Where it is shown.
struct Screen {
    style: TextStyle,
    /// the last line is drawn anew while something is under way
    live: bool,
    /// the line that stands there now, and how wide it is
    drawn: Option<(String, usize)>,
}

impl Screen {
    fn new(matches: &ArgMatches) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Screen { style: style(matches, false), live: io::stdout().is_terminal() && !dumb, drawn: None }
    }

    /// Lines that stay.
    fn say(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let erased = self.erase();
        write(&format!("{erased}{lines}"))
    }

    /// The line that is drawn anew.
    fn draw(&mut self, line: &str) -> io::Result<()> {
        if !self.live || self.drawn.as_ref().is_some_and(|(drawn, _)| drawn == line) {
            return Ok(());
        }
        let erased = self.erase();
        if !line.is_empty() {
            self.drawn = Some((line.to_owned(), self.style.width));
        }
        write(&format!("{erased}{line}"))
    }

    /// Goes back to the begin of the line that is drawn anew, which a narrower terminal has broken.
    fn erase(&mut self) -> String {
        let Some((_, width)) = self.drawn.take() else { return String::new() };
        let up = width.div_ceil(self.style.width.max(1)).saturating_sub(1);
        let up = if up > 0 { format!("\x1b[{up}A") } else { String::new() };
        format!("\r{up}\x1b[J")
    }

    fn resized(&mut self) -> io::Result<()> {
        self.style.width = output::width();
        self.clear()
    }

    fn clear(&mut self) -> io::Result<()> {
        let erased = self.erase();
        write(&erased)
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
