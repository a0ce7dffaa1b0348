//! The holder of the undo: the launcher, or in the foreground a child that is forked for it.

use super::orphans;
use super::protocol::{Held, HeldAs, Message};
use super::{Host, Role, say};
use crate::notify::Manager;
use crate::sys::channel::{self, Channel};
use crate::sys::{failed, process};
use engine::effect::{
    Done, Effect, End, ErrorKind, Manner, News, Performed, SystemError, Undo, Undoer, Verdict,
};
use engine::plan::DropStep;
use engine::timeline::{Divergence, Failure, What};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long a daemon that was told to end has before it is killed.
const PATIENCE_MS: i32 = 1_000;
/// How many differences from the prediction the daemon can have shown.
const MOST_SHOWN: u32 = 50;
/// What the daemon names to be undone may have so many bytes in all: thousands of times what a start makes, and
/// so little that this process can hold it.
const MOST_HELD: usize = 16 << 20;

/// Takes the status of the holder, which ends as soon as it hears of ready: an application that waits
/// for any child of its own must not meet this one.
fn dismiss(holder: Pid) {
    const STEP: Duration = Duration::from_micros(200);
    for _ in 0..(PATIENCE_MS as u128 * 1_000 / STEP.as_micros()) {
        match waitpid(holder, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(STEP),
            _ => return,
        }
    }
}

impl Host {
    /// In the foreground nobody stays behind by itself: a child is forked that holds the undo until
    /// ready, so that it is done even if this process is killed.
    pub(super) fn fork_holder(&mut self) -> Result<Performed, SystemError> {
        let (ours, theirs) = channel::pair().map_err(|e| failed(e, "make the status channel"))?;
        let peer = nix::unistd::getpid();
        match process::fork().map_err(|e| failed(e, "fork the holder of the undo"))? {
            ForkResult::Child => {
                drop(ours);
                self.manager = Manager::default();
                say(What::Fork {
                    parent: peer.as_raw() as u32,
                    role: "guard until ready".to_owned(),
                    child: None,
                });
                self.role = Role::Holder { peer, channel: theirs, ours: false };
                self.speaks = false;
                Ok(Performed::Parent)
            }
            ForkResult::Parent { child } => {
                drop(theirs);
                self.role = Role::Runner { channel: ours, holder: Some(child) };
                Ok(Performed::Done(Done::with(Undo::Nothing)))
            }
        }
    }

    fn send(&self, message: &Message, fds: &[BorrowedFd]) -> bool {
        matches!(self.try_send(message, fds), Ok(true))
    }

    /// True where it has arrived, false where nobody is there to receive it.
    fn try_send(&self, message: &Message, fds: &[BorrowedFd]) -> Result<bool, SystemError> {
        const WHAT: &str = "tell the holder of the undo what was done";
        let Role::Runner { channel, .. } = &self.role else { return Ok(false) };
        let data = serde_json::to_vec(message).map_err(|e| SystemError::new(format!("{WHAT}: {e}")))?;
        match channel.send(&data, fds) {
            Ok(()) => Ok(true),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN | Errno::ECONNREFUSED) => Ok(false),
            Err(error) => Err(failed(error, WHAT)),
        }
    }

    /// Tells the holder who will drop, and when: it distrusts what comes behind that step. It must
    /// have arrived, unless nobody is there any more.
    pub(super) fn tell_drop(&self) -> Result<(), SystemError> {
        self.try_send(&Message::Learned(self.drop.clone()), &[]).map(drop)
    }

    pub(super) fn tell_step(&self, step: usize, timeout: Option<u64>) {
        self.send(&Message::Step(step, timeout), &[]);
    }

    pub(super) fn tell_pid(&self) {
        self.send(&Message::Pid(crate::sys::process::id() as i32), &[]);
    }

    /// Shows people what differs, or has the launcher do it. Once the launcher is gone, and in the guard,
    /// there is nobody: the journal has it.
    pub(super) fn show_or_send(&self, divergence: &Divergence) {
        match &self.role {
            Role::Runner { holder: None, .. } => {
                self.send(&Message::Diverged(short_divergence(divergence)), &[]);
            }
            Role::Alone | Role::Runner { .. } if self.speaks => self.show(divergence),
            _ => {}
        }
    }

    fn show(&self, divergence: &Divergence) {
        if let Some(show) = &self.show {
            show(divergence);
        }
    }

    pub(super) fn send_undo(&mut self, step: usize, undo: &Undo) -> Result<(), SystemError> {
        // What ends with this process needs nobody to undo it.
        if matches!(undo, Undo::Nothing | Undo::EndsWithProcess) {
            return Ok(());
        }
        let number = match undo {
            Undo::Effect(effect) => match **effect {
                Effect::Remove { handle, .. }
                | Effect::GiveBack { handle, .. }
                | Effect::End { handle, .. } => Some(handle.0),
                _ => None,
            },
            _ => None,
        };
        let held = number.and_then(|n| Some((n, self.held.get(&n)?)));
        let (handle, fds): (_, Vec<BorrowedFd>) = match held {
            Some((n, Held::File { dir, name, dev, ino })) => {
                (Some((n, HeldAs::File { name: name.clone(), dev: *dev, ino: *ino })), vec![dir.as_fd()])
            }
            Some((n, Held::Process { pid, pidfd, alive })) => {
                let fds = [Some(pidfd.as_fd()), alive.as_ref().map(|a| a.as_fd())];
                (Some((n, HeldAs::Process { pid: *pid })), fds.into_iter().flatten().collect())
            }
            None => (None, Vec::new()),
        };
        self.try_send(&Message::Done { step, undo: undo.clone(), handle }, &fds)?;
        // Only the holder keeps the guard waiting.
        for held in self.held.values_mut() {
            if let Held::Process { alive, .. } = held {
                *alive = None;
            }
        }
        Ok(())
    }

    pub(super) fn tell_holder(&mut self, news: &News) -> Undoer {
        // Known when it is the program: see `tell_replacing`. In the foreground nobody waits for it, and a
        // holder would be left to the program as a child that nobody buries.
        if matches!(news, News::Ready)
            && self.replace
            && matches!(self.role, Role::Runner { holder: None, .. })
        {
            return Undoer::Me;
        }
        let sent = match news {
            News::Ready => self.send(&Message::Ready(process::monotonic()), &[]),
            News::Failed { step, failure } => {
                // Its lock must be free for the one that takes an empty log back.
                self.close_log();
                self.send(&Message::Failed { step: *step, failure: short(failure) }, &[])
            }
        };
        if matches!(news, News::Ready) {
            match &self.role {
                // It says so itself, if it wants to.
                _ if self.replace => {}
                Role::Runner { holder: None, .. } => self.manager.leave_ready_to_another(),
                _ => self.manager.ready(None),
            }
        }
        let Role::Runner { holder, .. } = &self.role else { return Undoer::Me };
        let holder = *holder;
        if matches!(news, News::Ready) {
            self.role = Role::Alone;
            if let Some(child) = holder {
                dismiss(child);
            }
            return Undoer::Me;
        }
        if !sent {
            self.role = Role::Alone;
            return Undoer::Me;
        }
        match holder {
            // In the foreground it is our child, and waits for no more than this.
            Some(child) => self.let_it_speak(child),
            None => Undoer::Other { stuck: false },
        }
    }

    pub(super) fn tell_replacing(&self) {
        self.send(&Message::Replacing(process::monotonic()), &[]);
    }

    /// The holder undoes, and says why.
    pub(super) fn tell_not_replaced(&mut self, error: &SystemError) {
        let failure = short(&Failure::from(error.clone()));
        self.close_log();
        if self.send(&Message::Failed { step: self.step, failure }, &[]) {
            self.speaks = false;
        }
    }

    fn let_it_speak(&mut self, child: Pid) -> Undoer {
        self.speaks = false;
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => Undoer::Other { stuck: code == 7 },
            _ => Undoer::Other { stuck: true },
        }
    }

    /// The holder's wait: collects undo until the other process is ready, fails or is gone.
    pub(super) fn wait_for_the_start(&mut self) -> Verdict {
        let Role::Holder { peer, channel, ours } = std::mem::replace(&mut self.role, Role::Alone) else {
            return Verdict {
                held: Vec::new(),
                end: gone(None, "there is no process to wait for".to_owned()),
            };
        };
        let mut watch = Watch {
            peer,
            ours,
            pidfd: None,
            step: None,
            dropped: false,
            deadline: None,
            called_off: None,
            replacing: None,
            shown: 0,
            held: 0,
        };
        if !ours {
            watch.pidfd = process::pidfd(peer).ok();
        }
        let mut held = Vec::new();
        let end = loop {
            let ms = watch.deadline.map_or(-1, |d| {
                (d.saturating_sub(process::monotonic()) / 1_000_000 + 1).min(i32::MAX as u64) as i32
            });
            // A child of the daemon may have the channel open for longer than the daemon lives.
            let life = watch.pidfd.as_ref().map_or(channel.as_fd(), |pidfd| pidfd.as_fd());
            let ready = process::wait_readable([channel.as_fd(), self.signals.as_fd(), life], ms);
            let [news, signal, over] = match ready {
                Ok(ready) => ready,
                Err(error) => break gone(watch.step, format!("waiting for the daemon: {error}")),
            };
            if watch.deadline.is_some_and(|d| process::monotonic() >= d) && !news {
                watch.end(Signal::SIGKILL);
                // In the foreground the one that would have spoken was killed.
                self.speaks = true;
                break match watch.called_off {
                    Some(signal) => called_off(watch.step, signal),
                    None => gone_by_time(watch.step),
                };
            }
            if signal && ours {
                self.read_signals(&mut watch);
            } else if signal {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            let over = over && watch.pidfd.is_some();
            // What it sent before its end is read first, also what came while we looked.
            let news = news || over && process::wait_readable([channel.as_fd()], 0).is_ok_and(|[news]| news);
            let received = match (news, over) {
                (true, _) => channel.receive(),
                (false, true) => Ok(None),
                (false, false) => continue,
            };
            match received {
                Ok(Some((data, fds))) => {
                    if let Some(end) = self.take(&data, fds, &mut watch, &mut held) {
                        break match watch.called_off {
                            // The request and the word that it is ready crossed: it goes down again.
                            Some(signal) if end == End::Ready => called_off(watch.step, signal),
                            Some(signal) => named(end, signal),
                            None => end,
                        };
                    }
                }
                Ok(None) | Err(_) if watch.has_become_the_program() => {
                    self.ready_at = watch.replacing;
                    break match watch.called_off {
                        Some(signal) => called_off(watch.step, signal),
                        None => End::Ready,
                    };
                }
                Ok(None) | Err(_) => {
                    self.speaks = true;
                    let how = watch.how_it_ended();
                    break match watch.called_off {
                        Some(signal) => called_off(watch.step, signal),
                        None => End::Gone { step: watch.step, failure: how },
                    };
                }
            }
        };
        // It knows what was undone, so it tells.
        self.speaks |= end != End::Ready;
        if end != End::Ready && ours {
            watch.end(Signal::SIGTERM);
        } else if matches!(end, End::Gone { .. }) {
            // It may live all the same, where this process could not hear it.
            watch.end(Signal::SIGKILL);
        }
        if matches!(end, End::Gone { .. }) {
            self.gone = Some(watch.peer.as_raw());
        }
        if end != End::Ready {
            self.hear_the_rest(&channel, &mut watch, &mut held);
        }
        if matches!(end, End::Gone { .. }) && ours {
            let known = self.held.values().filter_map(|held| match held {
                Held::Process { pid, .. } => Some(*pid),
                Held::File { .. } => None,
            });
            orphans::end_those_that_came(&known.chain([watch.peer.as_raw()]).collect::<Vec<_>>());
        }
        if end == End::Ready && ours {
            self.manager.ready(Some(watch.peer.as_raw()));
        }
        Verdict { held, end }
    }

    /// What it had done and said before it was ended.
    fn hear_the_rest(&mut self, channel: &Channel, watch: &mut Watch, held: &mut Vec<(usize, Undo)>) {
        while process::wait_readable([channel.as_fd()], 0).is_ok_and(|[news]| news) {
            let Ok(Some((data, fds))) = channel.receive() else { return };
            let _ = self.take(&data, fds, watch, held);
        }
    }

    fn take(
        &mut self,
        data: &[u8],
        fds: Vec<OwnedFd>,
        watch: &mut Watch,
        held: &mut Vec<(usize, Undo)>,
    ) -> Option<End> {
        match serde_json::from_slice(data) {
            // Said once, by the fork itself: a later one could name any process.
            Ok(Message::Pid(_)) if !watch.ours || self.daemon.is_some() => {}
            Ok(Message::Pid(pid)) => {
                watch.peer = Pid::from_raw(pid);
                self.daemon = Some(watch.peer);
                watch.pidfd = process::pidfd(watch.peer).ok();
                if watch.called_off.is_some() {
                    watch.signal(Signal::SIGTERM);
                }
            }
            Ok(Message::Step(step, timeout)) => {
                watch.step = Some(step);
                watch.dropped |= self.drop.as_ref().is_some_and(|drop| step > drop.step);
                // The runner notices by itself where it can; this is for where it cannot.
                if watch.called_off.is_none() {
                    watch.deadline =
                        timeout.map(|t| process::monotonic().saturating_add(t).saturating_add(200_000_000));
                }
            }
            // Behind the drop the application's own code may be speaking: it cannot have anything
            // done here but undo, and that only with what it could do itself.
            Ok(Message::Done { undo: Undo::Effect(effect), .. })
                if !takes_back(&effect) || watch.dropped && self.gives_what_was_before(&effect) =>
            {
                return Some(gone(watch.step, format!("the daemon asked for what is no undo: {effect}")));
            }
            Ok(Message::Done { .. }) if watch.held.saturating_add(data.len()) > MOST_HELD => {
                return Some(gone(
                    watch.step,
                    "the daemon named more to be undone than a start makes".to_owned(),
                ));
            }
            Ok(Message::Done { step, undo, handle }) => {
                watch.held += data.len();
                if let Some((number, held_as)) = handle
                    && !self.held.contains_key(&number)
                    && let Some(thing) = held_as.with(fds)
                {
                    if watch.dropped {
                        self.distrusted.insert(number);
                    }
                    self.next_handle = self.next_handle.max(number.saturating_add(1));
                    self.held.insert(number, thing);
                }
                held.push((step, undo));
            }
            // Who has dropped cannot name another user to be trusted as.
            Ok(Message::Learned(drop)) => {
                let begun = |d: &DropStep| watch.step.is_some_and(|step| step >= d.step);
                if watch.dropped || self.drop.as_ref().is_some_and(begun) || drop.as_ref().is_some_and(begun)
                {
                    return Some(gone(watch.step, "the daemon named its user after the drop".to_owned()));
                }
                self.drop = drop;
            }
            // It may be the application's own code that speaks: people are told so much and no more.
            Ok(Message::Diverged(_)) if watch.shown >= MOST_SHOWN => {}
            Ok(Message::Diverged(divergence)) => {
                watch.shown += 1;
                self.show(&short_divergence(&divergence));
            }
            Ok(Message::Ready(at)) => {
                self.ready_at = Some(at);
                return Some(End::Ready);
            }
            Ok(Message::Replacing(at)) => watch.replacing = Some(at),
            Ok(Message::Failed { step, failure }) => return Some(End::Failed { step, failure }),
            Err(error) => {
                return Some(gone(watch.step, format!("the daemon's message cannot be read: {error}")));
            }
        }
        None
    }

    /// True where a file that was made or opened before the drop would be given to somebody.
    fn gives_what_was_before(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::GiveBack { handle, .. }
            if self.held.contains_key(&handle.0) && !self.distrusted.contains(&handle.0))
    }

    /// TERM or INT to the launcher calls the start off.
    fn read_signals(&mut self, watch: &mut Watch) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)
                && watch.called_off.is_none()
            {
                say(What::Signal { signal: signal.to_string(), then: "the start is called off".to_owned() });
                watch.called_off = Some(signal);
                watch.deadline = Some(process::monotonic() + PATIENCE_MS as u64 * 1_000_000);
                watch.signal(Signal::SIGTERM);
            }
        }
    }
}

/// True for the effects that undo is made of.
fn takes_back(effect: &Effect) -> bool {
    match effect {
        Effect::Remove { .. } | Effect::GiveBack { .. } | Effect::Unbind { .. } | Effect::End { .. } => true,
        // Whoever speaks may have it say that something is left, and neither kill nor hang this process.
        Effect::Fail(fault) => fault.manner == Manner::Error,
        _ => false,
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn short_divergence(divergence: &Divergence) -> Divergence {
    let Divergence { phase, effect, field, predicted, observed } = divergence;
    let cut = |text: &str| cut(text, 1_000);
    Divergence {
        phase: cut(phase),
        effect: cut(effect),
        field: cut(field),
        predicted: cut(predicted),
        observed: cut(observed),
    }
}

/// A failure that fits into one message, whatever a long PATH or an odd name put into it.
fn short(failure: &Failure) -> Failure {
    let cut = |text: &str| cut(text, 4_000);
    Failure {
        message: cut(&failure.message),
        why: failure.why.as_deref().map(cut),
        help: failure.help.as_deref().map(cut),
        ..failure.clone()
    }
}

/// The process that is waited for.
struct Watch {
    peer: Pid,
    /// it is below us, so that its status can be had
    ours: bool,
    pidfd: Option<OwnedFd>,
    step: Option<usize>,
    /// a step behind the drop was begun
    dropped: bool,
    deadline: Option<u64>,
    called_off: Option<Signal>,
    /// it said that it becomes the program now
    replacing: Option<u64>,
    /// how many differences were shown
    shown: u32,
    /// how many bytes have named what is to be undone
    held: usize,
}

impl Watch {
    /// The channel has ended: with its exec, if it is still there.
    fn has_become_the_program(&self) -> bool {
        let lives = |pidfd: &OwnedFd| process::wait_readable([pidfd.as_fd()], 0).is_ok_and(|[gone]| !gone);
        self.replacing.is_some()
            && self.pidfd.as_ref().is_some_and(lives)
            && !crate::notify::Tree::open().is_ending(self.peer.as_raw())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pidfd) = &self.pidfd {
            let _ = process::signal(pidfd, signal);
        }
    }

    /// Sees to it that the process is gone: the undo must not race with it.
    fn end(&self, first: Signal) {
        let Some(pidfd) = &self.pidfd else { return };
        let gone = |ms| process::wait_readable([pidfd.as_fd()], ms).is_ok_and(|[gone]| gone);
        if !gone(if first == Signal::SIGTERM { 200 } else { 0 }) {
            let _ = process::signal(pidfd, first);
            if !gone(PATIENCE_MS) {
                let _ = process::signal(pidfd, Signal::SIGKILL);
                gone(PATIENCE_MS);
            }
        }
        if self.ours {
            let _ = waitpid(self.peer, Some(WaitPidFlag::WNOHANG));
        }
    }

    /// The channel was closed without a word.
    fn how_it_ended(&self) -> Failure {
        let failure = |message: String| Failure { message, ..Failure::default() };
        if !self.ours {
            return failure("the process that was starting was killed".to_owned());
        }
        if let Some(pidfd) = &self.pidfd {
            let _ = process::wait_readable([pidfd.as_fd()], PATIENCE_MS);
        }
        match waitpid(self.peer, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => {
                failure(format!("the daemon exited with status {code} before it was ready"))
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => Failure {
                help: cause_of(signal).map(str::to_owned),
                ..failure(format!("the daemon was ended by {signal} before it was ready"))
            },
            _ => failure("the daemon closed the status channel before it was ready".to_owned()),
        }
    }
}

/// What to look at where nobody else was told to send that signal.
fn cause_of(signal: Signal) -> Option<&'static str> {
    match signal {
        Signal::SIGABRT | Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE => Some(
            "it is how native code crashes: start it with `--nodaemon` and see where, or look at the end of its log",
        ),
        Signal::SIGKILL => Some("see whether memory ran out (`dmesg`), or who has killed it"),
        _ => None,
    }
}

fn gone(step: Option<usize>, message: String) -> End {
    End::Gone { step, failure: Failure { message, ..Failure::default() } }
}

fn called_off(step: Option<usize>, signal: Signal) -> End {
    let failure = Failure {
        message: format!("{signal} called the start off before it was complete"),
        kind: ErrorKind::Interrupted,
        ..Failure::default()
    };
    End::Gone { step, failure }
}

/// The daemon is always told with TERM; what asked the launcher may have been another signal.
fn named(mut end: End, signal: Signal) -> End {
    if let End::Failed { failure, .. } = &mut end
        && failure.kind == ErrorKind::Interrupted
    {
        failure.message = super::asked_to_stop(signal);
    }
    end
}

fn gone_by_time(step: Option<usize>) -> End {
    let failure = Failure {
        message: "the time of this phase is up; the daemon was killed".to_owned(),
        help: Some(
            "find out what it waits for, or give the phase a longer `timeout`, in a spec that `extends` this one"
                .to_owned(),
        ),
        kind: ErrorKind::Timeout,
        ..Failure::default()
    };
    End::Gone { step, failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::effect::{Handle, Identity, Owner};
    use nix::sys::signal::SigSet;
    use nix::sys::signalfd::SignalFd;

    fn holder() -> (Host, Watch) {
        let signals = SignalFd::new(&SigSet::empty()).expect("a signalfd");
        let mut host =
            Host::new(signals, None, |_| serde_json::Value::Null, &Identity::default()).expect("a host");
        host.drop = Some(DropStep { step: 3, uid: 1, gid: 1, groups: vec![1] });
        let peer = nix::unistd::getpid();
        let watch = Watch {
            peer,
            ours: false,
            pidfd: None,
            step: None,
            dropped: false,
            deadline: None,
            called_off: None,
            replacing: None,
            shown: 0,
            held: 0,
        };
        (host, watch)
    }

    fn says(host: &mut Host, watch: &mut Watch, message: &Message) -> (Option<End>, usize) {
        let mut held = Vec::new();
        let data = serde_json::to_vec(message).expect("JSON");
        let fds = vec![OwnedFd::from(std::fs::File::open("/").expect("the root directory"))];
        (host.take(&data, fds, watch, &mut held), held.len())
    }

    fn made(number: u32, ino: u64) -> Message {
        let effect = Effect::Remove { handle: Handle(number), path: "/x".into(), only_if_empty: false };
        let held = HeldAs::File { name: "x".into(), dev: 1, ino };
        Message::Done { step: 4, undo: Undo::Effect(Box::new(effect)), handle: Some((number, held)) }
    }

    #[test]
    fn nothing_but_undo_can_be_asked_for() {
        let (mut host, mut watch) = holder();
        for effect in [
            Effect::Chroot { path: "/".into() },
            Effect::RemovePidFile { path: "/etc/passwd".into() },
            Effect::OpenLog {
                path: "/etc/x".into(),
                owner: None,
                mode: 0o666,
                rotate_at: None,
                rotation: Default::default(),
            },
        ] {
            let message = Message::Done { step: 4, undo: Undo::Effect(Box::new(effect)), handle: None };
            let (end, held) = says(&mut host, &mut watch, &message);
            assert!(matches!(end, Some(End::Gone { .. })) && held == 0, "{message:?}");
        }
    }

    #[test]
    fn the_daemon_names_itself_once() {
        let (mut host, mut watch) = holder();
        watch.ours = true;
        let (first, second) = (watch.peer.as_raw(), nix::unistd::getppid().as_raw());
        says(&mut host, &mut watch, &Message::Pid(first));
        says(&mut host, &mut watch, &Message::Pid(second));
        assert_eq!((host.daemon, watch.peer), (Some(Pid::from_raw(first)), Pid::from_raw(first)));
    }

    #[test]
    fn the_drop_is_learned_until_it_was_begun() {
        let (mut host, mut watch) = holder();
        let drop = |uid| Message::Learned(Some(DropStep { step: 3, uid, gid: uid, groups: vec![uid] }));
        says(&mut host, &mut watch, &Message::Step(1, None));
        assert!(says(&mut host, &mut watch, &drop(7)).0.is_none());
        assert_eq!(host.drop.as_ref().map(|d| d.uid), Some(7));
        says(&mut host, &mut watch, &Message::Step(3, None));
        for late in [drop(0), Message::Learned(None)] {
            assert!(matches!(says(&mut host, &mut watch, &late).0, Some(End::Gone { .. })), "{late:?}");
            assert_eq!(host.drop.as_ref().map(|d| d.uid), Some(7));
        }
        // Nor by going back to an earlier step.
        says(&mut host, &mut watch, &Message::Step(4, None));
        says(&mut host, &mut watch, &Message::Step(1, None));
        assert!(matches!(says(&mut host, &mut watch, &drop(0)).0, Some(End::Gone { .. })));
        assert_eq!(host.drop.as_ref().map(|d| d.uid), Some(7));
    }

    #[test]
    fn a_handle_cannot_be_replaced_and_is_distrusted_behind_the_drop() {
        let (mut host, mut watch) = holder();
        says(&mut host, &mut watch, &Message::Step(2, None));
        says(&mut host, &mut watch, &made(7, 10));
        assert!(host.distrusted.is_empty());
        says(&mut host, &mut watch, &Message::Step(4, None));
        says(&mut host, &mut watch, &Message::Step(1, None));
        says(&mut host, &mut watch, &made(7, 11));
        says(&mut host, &mut watch, &made(8, 12));
        assert_eq!(host.distrusted.iter().copied().collect::<Vec<_>>(), [8]);
        assert!(matches!(host.held.get(&7), Some(Held::File { ino: 10, .. })));
    }

    /// Who speaks behind the drop would be given the PID file.
    #[test]
    fn what_was_made_before_the_drop_is_given_to_nobody_behind_it() {
        let (mut host, mut watch) = holder();
        says(&mut host, &mut watch, &Message::Step(2, None));
        says(&mut host, &mut watch, &made(7, 10));
        says(&mut host, &mut watch, &Message::Step(4, None));
        let owner = Owner { uid: 1000, gid: 1000 };
        let give = |number| {
            let effect = Effect::GiveBack { handle: Handle(number), path: "/x".into(), owner };
            Message::Done { step: 4, undo: Undo::Effect(Box::new(effect)), handle: None }
        };
        assert!(says(&mut host, &mut watch, &give(8)).0.is_none());
        assert!(says(&mut host, &mut watch, &give(7)).0.is_some());
    }

    /// Behind the drop, code of the application may be speaking.
    #[test]
    fn no_more_is_held_than_this_process_can_hold() {
        let (mut host, mut watch) = holder();
        let undo = || {
            let message = Some("x".repeat(100_000));
            Effect::Fail(engine::effect::Fault { message, ..Default::default() })
        };
        let mut ended = None;
        let mut heard = 0;
        while heard < 1_000 && ended.is_none() {
            let message = Message::Done { step: 4, undo: Undo::Effect(Box::new(undo())), handle: None };
            ended = says(&mut host, &mut watch, &message).0;
            heard += 1;
        }
        assert!(matches!(ended, Some(End::Gone { .. })) && (100..200).contains(&heard), "{heard}: {ended:?}");
    }

    /// `EXTEND_TIMEOUT_USEC=18446744073709551615`: for ever, and the holder waits on.
    #[test]
    fn a_start_may_ask_for_all_the_time_there_is() {
        let (mut host, _) = holder();
        let (ours, theirs) = channel::pair().expect("a channel");
        let peer = nix::unistd::getpid();
        for message in [Message::Step(0, Some(u64::MAX)), Message::Ready(7)] {
            theirs.send(&serde_json::to_vec(&message).expect("JSON"), &[]).expect("sent");
        }
        host.role = Role::Holder { peer, channel: ours, ours: false };
        assert_eq!((host.wait_for_the_start().end, host.ready_at), (End::Ready, Some(7)));
    }
}
