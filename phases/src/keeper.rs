//! Staying with a program while it serves: its signals, its children, its output.
//!
//! One poll(2) over the signalfd, the program's pidfd and its output. Nothing wakes it while
//! nothing happens.

mod others;
mod rest;
mod voice;

use crate::application::{Around, Served};
use crate::log::{Log, Shared};
use crate::notify::{Effort, Message, Tree};
use crate::sys::process::{self, monotonic};
use crate::sys::shed::shed;
use engine::effect::{Ended, ErrorKind, SystemError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
pub use voice::Voice;

/// What the program leaves running when it ends has so long, in nanoseconds, to end when it is told.
const FOR_THE_REST: u64 = 3_000_000_000;
/// Its parent may take so long, in nanoseconds, to take the status of a main process that has ended: only then the
/// kernel tells it to others.
const TAKEN_BY_ITS_PARENT: u64 = 1_000_000_000;
/// After the program's end no more than this is read of what others still write into its output.
const DRAIN: usize = 1 << 20;

/// The program that is kept.
#[derive(Debug)]
pub struct Kept {
    /// its number
    pub pid: Pid,
    /// its handle, to signal and to watch
    pub pidfd: OwnedFd,
    /// what to call it
    pub name: String,
    /// where its output comes from, nonblocking
    pub output: Option<OwnedFd>,
    /// signals that came while it was started
    pub early: Vec<Taken>,
    /// where it speaks, if it was given such a place
    pub voice: Option<Voice>,
    /// signals that are the program's alone
    others: Option<SignalFd>,
    tree: Rc<Tree>,
    /// children that this process has beside it, such as the guard
    pub beside: Vec<i32>,
    /// the end of its output, until it serves
    tail: Option<Vec<u8>>,
    /// its end was seen and could not be taken yet: a tracer has it
    held_back: bool,
    /// it ended before it served, and was reaped
    pub over: Option<Ended>,
    buffer: Vec<u8>,
}

/// A program that was woken and does nothing is killed after this.
const AFTER_WAKING: u64 = 10_000_000_000;
/// How much of the end of the output is remembered while it starts.
const TAIL: usize = 4096;
/// How many of the last lines are shown of a program that ended: what went wrong is often said before the last.
const LAST_LINES: usize = 8;

impl Kept {
    /// A child that became the program, and the other children that are `beside` it. From here on this process takes
    /// the signals that are the program's.
    pub fn new(
        (pid, pidfd): (Pid, OwnedFd),
        name: String,
        output: Option<OwnedFd>,
        (tree, beside): (Rc<Tree>, Vec<i32>),
    ) -> Kept {
        Kept {
            pid,
            pidfd,
            name,
            output,
            early: Vec::new(),
            voice: None,
            others: others::take_over().ok(),
            tree,
            beside,
            tail: Some(Vec::new()),
            held_back: false,
            over: None,
            buffer: vec![0; 16 * 1024],
        }
    }

    /// Whether it is on its way out already.
    pub fn is_ending(&self) -> bool {
        self.tree.is_ending(self.pid.as_raw())
    }

    /// What it and all below it, and whoever it has left, have worked so far; `None` where that cannot be seen.
    pub fn effort(&self) -> Option<Effort> {
        self.tree.effort(self.pid.as_raw(), &self.beside)
    }

    /// Whether that process is the program, or below it, or was left by it.
    fn descends(&self, pid: i32) -> bool {
        self.tree.descends(pid, self.pid.as_raw(), &self.beside)
    }

    /// The last lines of its output that say something, where that is captured, in their order.
    pub fn last_lines(&self) -> Vec<String> {
        let tail = self.tail.as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(tail);
        // The first one of a full buffer may lack its beginning.
        let whole = text.lines().skip(usize::from(tail.len() == TAIL && text.lines().nth(1).is_some()));
        let said: Vec<String> =
            whole.map(|line| line.trim_end().to_owned()).filter(|line| !line.trim().is_empty()).collect();
        said.get(said.len().saturating_sub(LAST_LINES)..).unwrap_or_default().to_vec()
    }

    /// It is another process from now on (`MAINPID=`), if that is one of its own.
    fn becomes(&mut self, pid: i32) {
        if pid == self.pid.as_raw() || !self.descends(pid) {
            return;
        }
        let Ok(pidfd) = process::pidfd(Pid::from_raw(pid)) else { return };
        // The number may have become another's between the look and the handle.
        if self.descends(pid) {
            (self.pid, self.pidfd, self.held_back) = (Pid::from_raw(pid), pidfd, false);
        }
    }
}

/// A signal that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// which
    pub signal: Signal,
    /// the kernel made it, as it does for a key pressed on a terminal
    pub from_kernel: bool,
}

/// The next signal that waits, if any. Signals without a name are passed over.
pub fn take(signals: &SignalFd) -> Result<Option<Taken>, SystemError> {
    loop {
        match signals.read_signal() {
            Ok(None) => return Ok(None),
            Ok(Some(info)) => {
                if let Ok(signal) = Signal::try_from(info.ssi_signo as i32) {
                    return Ok(Some(Taken { signal, from_kernel: info.ssi_code == libc::SI_KERNEL }));
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(SystemError::errno(e as i32, "read a signal")),
        }
    }
}

/// HUP: the log anew. Gives the words for it.
pub fn reopen(log: Option<&Shared>) -> String {
    match log.and_then(|l| l.with(Log::reopen)) {
        None => "no log to reopen".into(),
        Some(Ok(())) => "log reopened".into(),
        Some(Err(why)) => why,
    }
}

/// USR1: the log rotated. `None` where there is no log.
pub fn rotate(log: Option<&Shared>) -> Option<String> {
    match log?.with(Log::rotate)? {
        Ok(()) => Some("log rotated".into()),
        Err(why) => Some(why),
    }
}

/// What is waited for besides the program itself.
pub struct Wanted<'a> {
    /// one more descriptor, and what of it
    pub extra: Option<(BorrowedFd<'a>, PollFlags)>,
    /// at the latest until then, on CLOCK_MONOTONIC
    pub until: Option<u64>,
    /// every child that ended is reaped, not the program alone
    pub all: bool,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Turn {
    /// the program ended
    pub ended: Option<Ended>,
    /// these signals came
    pub taken: Vec<Taken>,
    /// it said this, or a process below it did
    pub said: Vec<Message>,
    /// the one more descriptor is ready
    pub extra: bool,
}

/// Wait once, and take what came. What the program says is heard, its output goes to the log.
pub fn turn(kept: &mut Kept, around: &mut Around, wanted: &Wanted) -> Result<Turn, SystemError> {
    let input = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut watched = vec![input(around.signals.as_fd())];
    // A child whose end only its tracer has seen stays readable: SIGCHLD comes when it is ours.
    let pidfd = (!kept.held_back).then(|| watched.push(input(kept.pidfd.as_fd()))).map(|()| 1);
    let output = kept.output.as_ref().map(|fd| {
        watched.push(input(fd.as_fd()));
        watched.len() - 1
    });
    let voice = kept.voice.as_ref().map(|voice| {
        watched.push(input(voice.socket.as_fd()));
        watched.len() - 1
    });
    let others = kept.others.as_ref().map(|fd| {
        watched.push(input(fd.as_fd()));
        watched.len() - 1
    });
    let extra = wanted.extra.map(|(fd, flags)| {
        watched.push(PollFd::new(fd, flags));
        watched.len() - 1
    });
    match poll(&mut watched, left(wanted.until)) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Turn::default()),
        Err(e) => return Err(SystemError::errno(e as i32, format!("keep {}", kept.name))),
    }
    let happened: Vec<bool> = watched.iter().map(|w| w.any().unwrap_or(true)).collect();
    drop(watched);
    let did = |at: Option<usize>| at.and_then(|i| happened.get(i).copied()).unwrap_or(false);

    let mut turned = Turn { extra: did(extra), ..Turn::default() };
    if did(output) {
        // one bufferful, so that signals are not kept waiting by a program that talks a lot
        copy(kept, around.log);
    }
    if did(voice) {
        hear(kept, around, &mut turned.said);
    }
    if did(others) {
        others::pass_on(kept, &mut *around.on_signal);
    }
    let signalled = did(Some(0));
    if signalled {
        while let Some(taken) = take(around.signals)? {
            turned.taken.push(taken);
        }
    }
    if signalled || did(pidfd) {
        let children = signalled && turned.taken.iter().any(|t| t.signal == Signal::SIGCHLD);
        if let Some(log) = around.log.filter(|_| children) {
            log.with(Log::settle);
        }
        if let Some(voice) = kept.voice.as_mut().filter(|_| children) {
            voice.socket.settle();
        }
        turned.ended = reap(kept, wanted.all)?;
        kept.held_back = turned.ended.is_none() && (kept.held_back || did(pidfd));
        if turned.ended.is_some() {
            drain(kept, around.log);
        }
    }
    Ok(turned)
}

/// What is left until a moment on CLOCK_MONOTONIC, rounded up so that it is not polled too early.
pub(crate) fn left(until: Option<u64>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    let ms = until.saturating_sub(monotonic()).div_ceil(1_000_000);
    PollTimeout::try_from(ms.min(i32::MAX as u64)).unwrap_or(PollTimeout::MAX)
}

/// Takes what was said; what comes from a stranger is said once in the log and counted.
fn hear(kept: &mut Kept, around: &mut Around, said: &mut Vec<Message>) {
    // A bounded number at a time: whoever floods the socket must not keep the keeper from its work.
    for _ in 0..16 {
        let Some(voice) = &mut kept.voice else { return };
        let Ok(Some(heard)) = voice.socket.receive() else { return };
        if !kept.tree.descends(heard.pid, kept.pid.as_raw(), &kept.beside) {
            voice.strangers += 1;
            if voice.strangers == 1
                && let Some(log) = around.log
            {
                let text = format!(
                    "a message to NOTIFY_SOCKET came from process {}, which is not of {} or gone already; such messages are not heeded",
                    heard.pid, kept.name
                );
                log.with(|log| log.say(&text));
            }
            continue;
        }
        let Some(message) = heard.message else { continue };
        if let (Some(watchdog), Some(usec)) = (&mut voice.watchdog, message.watchdog) {
            watchdog.every = usec.saturating_mul(1_000).max(1_000_000);
        }
        if message.alive || message.watchdog.is_some() {
            voice.push_due();
        }
        if message.trigger && voice.watchdog.is_some() && voice.due.is_some() && !voice.woken {
            voice.due = Some(0);
        }
        if let Some(words) = voice.words(&message)
            && voice.tells(&words)
        {
            (around.on_status)(&words);
        }
        around.manager.pass_on(&message);
        if let Some(pid) = message.main_pid {
            kept.becomes(pid);
        }
        said.push(message);
    }
}

/// How long after something was done what it needed is given back, in nanoseconds.
const SHED_AFTER: u64 = 100_000_000;

/// Stay until the program ends.
pub fn keep(mut kept: Kept, around: &mut Around) -> Result<Served, SystemError> {
    let mut asked = false;
    kept.tail = None;
    for taken in std::mem::take(&mut kept.early) {
        handle(taken, &kept, around, &mut asked);
    }
    if let Some(ended) = kept.over {
        rest::end(&mut kept, FOR_THE_REST, around, Some(asked));
        return Ok(Served { ended: Some(ended), asked });
    }
    if let Some(voice) = &mut kept.voice {
        voice.due = voice.watchdog.map(|w| monotonic().saturating_add(w.every));
    }
    shed();
    let (mut sheds, mut lets_stop_by) = (None, 0);
    loop {
        let until = kept.voice.as_ref().and_then(|voice| voice.due);
        let late = kept.voice.as_ref().and_then(Voice::late_at);
        let wakes = [until, sheds, late].into_iter().flatten().min();
        let turned = turn(&mut kept, around, &Wanted { extra: None, until: wakes, all: true })?;
        for taken in turned.taken {
            handle(taken, &kept, around, &mut asked);
        }
        let longer = turned.said.iter().filter(|_| asked).filter_map(|message| message.extend).next_back();
        if let (Some(usec), Some(voice)) = (longer, &mut kept.voice) {
            lets_stop_by = stops_later(usec, lets_stop_by, voice, around);
        }
        if let Some(ended) = turned.ended {
            (around.on_end)();
            rest::end(&mut kept, FOR_THE_REST, around, Some(asked));
            return Ok(Served { ended: Some(ended), asked });
        }
        if until.is_some_and(|due| monotonic() >= due) {
            no_sign_of_life(&mut kept, around);
        }
        if let Some(words) = kept.voice.as_mut().and_then(Voice::late_words) {
            (around.on_status)(&words);
        }
        // What was done needed memory, which is given back once before it is idle again.
        sheds = match sheds {
            Some(at) if monotonic() < at => Some(at),
            Some(_) => {
                shed();
                None
            }
            None => Some(monotonic().saturating_add(SHED_AFTER)),
        };
    }
}

/// Told to stop, the program needs so many microseconds more: that is handed on, if it is more than `before`.
fn stops_later(usec: u64, before: u64, voice: &mut Voice, around: &mut Around) -> u64 {
    let ns = usec.saturating_mul(1_000);
    let until = monotonic().saturating_add(ns);
    if until <= before {
        return before;
    }
    (around.on_longer_stop)(until);
    let words = format!("needs {} more to stop", engine::text::duration(ns));
    if voice.tells(&words) {
        (around.on_status)(&words);
    }
    until
}

/// A start that failed after all: the program is ended, politely where there is time, and reaped.
pub fn end(kept: &mut Kept, because: &SystemError, around: &mut Around) {
    let patience = match because.kind {
        // Whoever called the start off waits a second for all of it.
        ErrorKind::Interrupted => 600,
        _ => {
            (around.on_extend)(monotonic().saturating_add(5_000_000_000));
            2_000
        }
    };
    for (signal, ms) in [(Signal::SIGTERM, patience), (Signal::SIGKILL, 2_000)] {
        let there = process::signal(&kept.pidfd, signal).unwrap_or(false);
        if !there || process::wait_readable([kept.pidfd.as_fd()], ms).is_ok_and(|[gone]| gone) {
            break;
        }
    }
    let _ = waitpid(kept.pid, Some(WaitPidFlag::WNOHANG));
    // Signals are for whoever gives the start up.
    rest::end(kept, u64::from(patience.unsigned_abs()) * 1_000_000, around, None);
}

/// The sign of life is overdue: it is woken, and killed if that does not help.
fn no_sign_of_life(kept: &mut Kept, around: &mut Around) {
    let Some(voice) = &mut kept.voice else { return };
    let now = monotonic();
    if voice.due.is_none_or(|due| due > now) {
        return;
    }
    let signal = match voice.watchdog {
        Some(watchdog) if !voice.woken => Signal::try_from(watchdog.signal).unwrap_or(Signal::SIGABRT),
        _ => Signal::SIGKILL,
    };
    voice.due = (!voice.woken).then(|| now.saturating_add(AFTER_WAKING));
    voice.woken = true;
    let then = send(kept, signal as i32, "sent");
    let text = format!("{} gave no sign of life: {signal} {then}", kept.name);
    if let Some(log) = around.log {
        log.with(|log| log.say(&text));
    }
    (around.on_status)(&text);
}

fn handle(taken: Taken, kept: &Kept, around: &mut Around, asked: &mut bool) {
    let log = around.log;
    let then = match taken.signal {
        Signal::SIGCHLD => return,
        Signal::SIGTERM | Signal::SIGINT if *asked => send(kept, Signal::SIGKILL as i32, "killed"),
        Signal::SIGTERM | Signal::SIGINT => {
            *asked = true;
            forward(kept, taken.signal as i32, taken.from_kernel)
        }
        Signal::SIGHUP => {
            // One that speaks tells itself what it does.
            let silent = kept.voice.is_none();
            if silent {
                around.manager.reloading();
            }
            let then = format!("{}, {}", reopen(log), forward(kept, taken.signal as i32, taken.from_kernel));
            if silent {
                around.manager.reloaded();
            }
            then
        }
        Signal::SIGUSR1 => match rotate(log) {
            Some(text) => text,
            None => forward(kept, taken.signal as i32, taken.from_kernel),
        },
        _ => forward(kept, taken.signal as i32, taken.from_kernel),
    };
    (around.on_signal)(taken.signal.as_str(), &then);
}

/// Pass a signal on, unless the terminal gave it to the program as well.
fn forward(kept: &Kept, number: i32, from_kernel: bool) -> String {
    if from_kernel && getpgid(Some(kept.pid)).is_ok_and(|group| group == getpgrp()) {
        return format!("{} has it from the terminal", kept.name);
    }
    send(kept, number, "forwarded")
}

fn send(kept: &Kept, number: i32, done: &str) -> String {
    match process::signal_by_number(&kept.pidfd, number) {
        Ok(true) => match done {
            "killed" => format!("{} killed", kept.name),
            "sent" => "was sent".to_owned(),
            _ => format!("{done} to {}", kept.name),
        },
        Ok(false) => format!("{} has ended already", kept.name),
        Err(error) => {
            let why = engine::text::errno_message(error as i32);
            format!("{}be sent to {}: {why}", crate::log::CANNOT, kept.name)
        }
    }
}

/// Reap the program, and with `all` every other child that ended; tells how the program did.
fn reap(kept: &mut Kept, all: bool) -> Result<Option<Ended>, SystemError> {
    let ours = loop {
        match process::reap(Some(kept.pid)) {
            Ok(Some((_, ended))) => break ended,
            Ok(None) => break None,
            Err(Errno::EINTR) => {}
            // A main process that it named itself may be the child of another: its status goes there.
            Err(Errno::ECHILD) if kept.voice.is_some() => {
                let gone = process::wait_readable([kept.pidfd.as_fd()], 0).is_ok_and(|[gone]| gone);
                break gone
                    .then(|| process::ended(&kept.pidfd, TAKEN_BY_ITS_PARENT).unwrap_or(Ended::Unknown));
            }
            Err(e) => {
                return Err(SystemError::errno(e as i32, format!("learn how {} ended", kept.name))
                    .why("it is the child of another process, its status was taken by someone else, or SIGCHLD is ignored"));
            }
        }
    };
    if all {
        while let Ok(Some((pid, _))) = process::reap(None) {
            // Its number may become that of something the program leaves.
            kept.beside.retain(|child| *child != pid);
        }
    }
    Ok(ours)
}

/// One bufferful of its output to the log: how much that was, 0 where there is no more for now.
fn copy(kept: &mut Kept, log: Option<&Shared>) -> usize {
    let Some(fd) = &kept.output else { return 0 };
    match read(fd, &mut kept.buffer) {
        Ok(n) if n > 0 => {
            let data = kept.buffer.get(..n).unwrap_or_default();
            if let Some(log) = log {
                log.write(data);
            }
            if let Some(tail) = &mut kept.tail {
                tail.extend_from_slice(data);
                let old = tail.len().saturating_sub(TAIL);
                tail.drain(..old);
            }
            n
        }
        Err(Errno::EAGAIN | Errno::EINTR) => 0,
        _ => {
            kept.output = None;
            0
        }
    }
}

/// What is in the pipe. A grandchild may hold it open for ever: that is not waited for.
fn drain(kept: &mut Kept, log: Option<&Shared>) {
    let mut total = 0;
    loop {
        match copy(kept, log) {
            0 => return,
            n => total += n,
        }
        if total >= DRAIN {
            return;
        }
    }
}
