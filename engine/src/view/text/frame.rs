//! Who the process is, as a frame down the left side and bands across.

use super::Page;
use super::line::{BOLD, DIM, KEPT, Line, PLAIN, Paint, ROOT, USER, plain, width};
use crate::effect::Identity;
use crate::timeline::{Span, Timeline};
use crate::view::words::{capabilities, ids};

/// The three identities that are told apart by sign and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// effective uid 0
    Root,
    /// an ordinary user
    User,
    /// not uid 0, but with capabilities
    Kept,
    /// nothing was recorded
    Unknown,
}

impl Frame {
    pub(super) fn of(identity: Option<&Identity>) -> Frame {
        match identity {
            Some(i) if i.uid[1] == 0 => Frame::Root,
            Some(i) if !i.caps.is_empty() || !i.permitted.is_empty() => Frame::Kept,
            Some(_) => Frame::User,
            None => Frame::Unknown,
        }
    }
    pub(super) fn paint(self) -> Paint {
        match self {
            Frame::Root => ROOT,
            Frame::User => USER,
            Frame::Kept => KEPT,
            Frame::Unknown => DIM,
        }
    }
    pub(super) fn side(self) -> &'static str {
        ["║", "│", "┃", "┆"][self as usize]
    }
    fn first(self) -> &'static str {
        ["╔", "┌", "┏", "┆"][self as usize]
    }
    pub(super) fn next(self) -> &'static str {
        ["╟", "├", "┣", "┆"][self as usize]
    }
    fn last(self) -> &'static str {
        ["╚══", "└──", "┗━━", "└──"][self as usize]
    }
    fn across(self) -> &'static str {
        ["═", "─", "━", "─"][self as usize]
    }
}

/// The identity that the reader was told of.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) identity: Option<&'a Identity>,
    pid: Option<u32>,
}

impl<'a> Told<'a> {
    pub(super) fn frame(&self) -> Frame {
        Frame::of(self.identity)
    }
}

fn process(timeline: &Timeline, pid: u32) -> String {
    let forked = timeline.forks.iter().rev().find(|(_, _, child, _)| *child == pid);
    match (timeline.role(pid), forked) {
        (Some(role), _) if !timeline.forks.is_empty() => format!("pid {pid} ({})", role.name()),
        (None, Some((.., role))) => format!("pid {pid} ({role})"),
        _ => format!("pid {pid}"),
    }
}

/// The forks that lead from one process to another: "pid 3798 → 3849 → 3850".
fn way(timeline: &Timeline, from: u32, to: u32) -> String {
    let mut chain = vec![to];
    while let Some((_, parent, ..)) =
        timeline.forks.iter().rev().find(|(_, _, child, _)| Some(child) == chain.last())
        && chain.len() < 8
    {
        chain.push(*parent);
        if *parent == from {
            let pids: Vec<_> = chain.iter().rev().map(u32::to_string).collect();
            return format!("pid {}", pids.join(" → "));
        }
    }
    process(timeline, to)
}

/// Everything about an identity.
fn whole(timeline: &Timeline, identity: &Identity, pid: Option<u32>) -> Vec<String> {
    let who = match identity.uid[1] {
        0 => format!("root {}:{}", ids(identity.uid), ids(identity.gid)),
        _ => format!("user {}:{}", ids(identity.uid), ids(identity.gid)),
    };
    let mut parts = vec![who, capabilities(identity.caps)];
    parts.extend(pid.map(|pid| process(timeline, pid)));
    let (root, cwd) = (identity.root.to_string_lossy(), identity.cwd.to_string_lossy());
    match (&*root, &*cwd) {
        ("/" | "", "/" | "") => parts.push("/".into()),
        ("/" | "", cwd) => parts.push(format!("cwd {cwd}")),
        (root, cwd) => parts.extend([format!("root {root}"), format!("cwd {cwd}")]),
    }
    parts.push(format!("umask {:03o}", identity.umask));
    parts
}

/// What of an identity changed, apart from the drop of the uid.
fn changes(timeline: &Timeline, told: &Told, identity: &Identity, pid: Option<u32>) -> Vec<String> {
    let Some(old) = told.identity else { return Vec::new() };
    let mut parts = Vec::new();
    match (told.pid, pid) {
        (Some(from), Some(to)) if from != to => parts.push(way(timeline, from, to)),
        _ => {}
    }
    if old.uid != identity.uid {
        parts.push(format!("uid {} → {}", ids(old.uid), ids(identity.uid)));
    }
    if old.gid != identity.gid {
        parts.push(format!("gid {} → {}", ids(old.gid), ids(identity.gid)));
    }
    if old.caps != identity.caps {
        parts.push(format!("capabilities {} → {}", old.caps.len(), identity.caps.len()));
    }
    if old.root != identity.root {
        parts.push(format!("root {}", identity.root.display()));
    }
    if old.cwd != identity.cwd {
        parts.push(format!("cwd {}", identity.cwd.display()));
    }
    if old.umask != identity.umask {
        parts.push(format!("umask {:03o}", identity.umask));
    }
    parts
}

fn dropped(before: &Identity, after: &Identity, capabilities: &str) -> String {
    let mut parts = vec![format!("uid {} → {}", ids(before.uid), ids(after.uid))];
    if before.gid != after.gid {
        parts.push(format!("gid {} → {}", ids(before.gid), ids(after.gid)));
    }
    if before.caps != after.caps {
        parts.push(format!("{capabilities} {} → {}", before.caps.len(), after.caps.len()));
    }
    parts.join(", ")
}

impl<'a> Page<'a> {
    /// What must be said before the row of a span: who runs it, if that is news. Changes are saved
    /// up while one phase after the other makes them, for their rows say it themselves.
    pub(super) fn band(&self, told: &mut Told<'a>, i: usize, span: &'a Span, out: &mut String) {
        let Some(identity) = span.identity_before.as_deref() else { return };
        let pid = span.pid_start;
        let frame = Frame::of(Some(identity));
        let new_frame = match told.identity {
            None => true,
            // processes that ran at once have a frame each
            Some(_) if self.order.at_once(i) && told.pid != pid => true,
            Some(old) => old.uid[1] != identity.uid[1] || Frame::of(Some(old)) != frame,
        };
        let uid_changes = span.identity_after.as_deref().is_some_and(|after| after.uid != identity.uid);
        let (sign, parts) = if new_frame {
            (frame.first(), whole(self.timeline, identity, pid))
        } else {
            let changes = changes(self.timeline, told, identity, pid);
            if changes.is_empty() || (span.changed_identity() && !uid_changes) {
                return;
            }
            (frame.next(), changes)
        };
        *told = Told { identity: Some(identity), pid };
        let mut line = self.line();
        line.put(frame.paint(), sign).put(PLAIN, " ");
        for (i, part) in parts.iter().enumerate() {
            let part = plain(part, self.style);
            if i > 0 && line.width() + 3 + width(&part) > self.style.width {
                line.finish(out);
                line = self.line();
                line.put(frame.paint(), frame.side()).put(PLAIN, " ");
            } else if i > 0 {
                line.put(frame.paint(), " · ");
            }
            line.put(frame.paint(), &part);
        }
        line.finish(out);
    }

    /// The line that is crossed where a phase changed the uid.
    pub(super) fn crossing(&self, told: &mut Told<'a>, span: &'a Span, out: &mut String) {
        let (Some(before), Some(after)) = (&span.identity_before, &span.identity_after) else { return };
        if before.uid[1] == after.uid[1] {
            return;
        }
        let (word, short) = match before.uid[1] {
            0 if after.uid.contains(&0) => ("privileges dropped, but not for good", "dropped, not for good"),
            0 => ("privileges dropped", "dropped"),
            _ => ("became another user", "became another"),
        };
        let frame = Frame::of(Some(before));
        let mut text = format!("{word}: {}", dropped(before, after, "capabilities"));
        if width(&plain(&text, self.style)) > self.style.width.saturating_sub(8) {
            text = format!("{short}: {}", dropped(before, after, "caps"));
        }
        self.rule(frame, BOLD, &text, out);
        *told = Told { identity: Some(after), pid: span.pid_end };
    }

    /// A full-width line that ends a frame.
    pub(super) fn rule(&self, frame: Frame, paint: Paint, text: &str, out: &mut String) {
        let mut line = self.line();
        line.put(frame.paint(), frame.last()).put(PLAIN, " ");
        line.put_in(paint, text, self.style.width.saturating_sub(8)).put(PLAIN, " ");
        line.fill(frame.paint(), frame.across(), self.style.width).finish(out);
    }

    /// Who that process last was, as far as the spans tell.
    pub(super) fn identity_of(&self, pid: u32) -> Option<&'a Identity> {
        self.timeline.spans.iter().rev().find_map(|s| match (s.pid_start, s.pid_end) {
            (_, Some(end)) if end == pid => s.identity_after.as_deref(),
            (Some(start), _) if start == pid => s.identity_before.as_deref(),
            _ => None,
        })
    }

    /// Begins a line with the frame.
    pub(super) fn framed(&self, told: &Told) -> Line<'a> {
        let mut line = self.line();
        line.put(told.frame().paint(), told.frame().side()).put(PLAIN, " ");
        line
    }
}
