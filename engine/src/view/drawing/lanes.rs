//! Who the process was over time: a track for each line of processes, and the lanes that show them.

use super::ink::{Who, identity, place};
use crate::effect::Identity;
use crate::timeline::{Process, Timeline};
use std::collections::HashMap;

/// No drawing shows more processes at once.
const TRACKS: usize = 5;

/// A line of processes: one that goes on as another after a fork is one track.
#[derive(Clone, Debug, Default)]
struct Track<'a> {
    /// (since, process, identity), ascending
    points: Vec<(u64, u32, Option<&'a Identity>)>,
    until: u64,
}

/// A stretch of a lane.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) text: String,
    /// what of the text says most, where there is no room for all
    pub(super) short: String,
    /// for the lane of identity: which sort
    pub(super) who: Option<Who>,
}

/// One of the four lanes, with a row for each track that is not like the first.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Vec<Stretch>>,
}

/// The uids of a run, to tell a second ordinary user from the first.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::view) struct People {
    first: Option<u32>,
}

impl People {
    /// From whoever the spans tell of.
    pub(in crate::view) fn new(timeline: &Timeline) -> People {
        let all =
            timeline.spans.iter().flat_map(|s| [s.identity_before.as_deref(), s.identity_after.as_deref()]);
        let plain = |i: &&Identity| i.uid[1] != 0 && i.caps.is_empty() && i.permitted.is_empty();
        People { first: all.flatten().find(plain).map(|i| i.uid[1]) }
    }

    /// Which sort an identity is.
    pub(in crate::view) fn who(self, identity: Option<&Identity>) -> Who {
        match identity {
            None => Who::Unknown,
            Some(i) if i.uid[1] == 0 => Who::Root,
            Some(i) if !i.caps.is_empty() || !i.permitted.is_empty() => Who::Kept,
            Some(i) if Some(i.uid[1]) == self.first || self.first.is_none() => Who::User,
            Some(_) => Who::Other,
        }
    }
}

/// What is known of a process at a moment.
enum Seen<'a> {
    Fork { parent: u32, role: &'a str },
    Is(Option<&'a Identity>),
}

fn tracks(timeline: &Timeline) -> Vec<Track<'_>> {
    let mut seen: Vec<(u64, u32, Seen)> = Vec::new();
    for (t, parent, child, role) in &timeline.forks {
        seen.push((*t, *child, Seen::Fork { parent: *parent, role }));
    }
    let mut last: HashMap<u32, &Identity> = HashMap::new();
    for span in &timeline.spans {
        for (t, pid, identity) in [
            (span.start_ns, span.pid_start, span.identity_before.as_deref()),
            (span.end_ns, span.pid_end, span.identity_after.as_deref()),
        ] {
            let (Some(t), Some(pid)) = (t, pid) else { continue };
            seen.push((t, pid, Seen::Is(identity)));
            last.extend(identity.map(|i| (pid, i)));
        }
    }
    for span in &timeline.spans {
        if let (Some(t), Some(pid)) = (span.undo_ns, span.undone_by) {
            seen.push((t, pid, Seen::Is(last.get(&pid).copied())));
            seen.push((span.undone_ns.unwrap_or(t), pid, Seen::Is(last.get(&pid).copied())));
        }
    }
    seen.sort_by_key(|(t, ..)| *t);

    let mut tracks: Vec<Track> = Vec::new();
    let mut of: HashMap<u32, usize> = HashMap::new();
    for (t, pid, what) in seen {
        let known = of.get(&pid).copied();
        let parent = match &what {
            Seen::Fork { parent, .. } => of.get(parent).copied(),
            Seen::Is(_) => None,
        };
        let inherited = parent.and_then(|p| tracks.get(p)?.points.last()?.2);
        let goes_on = matches!(what, Seen::Fork { role: "session leader" | "daemon", .. });
        let at = match (known, parent) {
            (Some(at), _) => at,
            (None, Some(at)) if goes_on => at,
            _ => {
                tracks.push(Track::default());
                tracks.len() - 1
            }
        };
        of.insert(pid, at);
        let track = &mut tracks[at];
        let who = match what {
            Seen::Fork { .. } => inherited,
            Seen::Is(identity) => identity.or(track.points.last().and_then(|p| p.2)),
        };
        track.until = track.until.max(t);
        if track.points.last().is_none_or(|(_, p, i)| *p != pid || *i != who) {
            track.points.push((t, pid, who));
        }
    }
    finish(timeline, &mut tracks);
    tracks
}

/// The first track begins with the run and ends with it; one of which nothing more was heard goes on too.
fn finish(timeline: &Timeline, tracks: &mut [Track]) {
    let served = timeline.spans.iter().filter(|s| s.start_ns >= timeline.ready_ns).filter_map(|s| s.end_ns);
    let stopped = served.min().unwrap_or(timeline.end_ns);
    for (k, track) in tracks.iter_mut().enumerate() {
        let Some(first) = track.points.first_mut() else { continue };
        if k == 0 {
            first.0 = 0;
            track.until = timeline.end_ns;
        } else if track.points.len() == 1 && track.until == track.points[0].0 {
            // forked, and no phase was its own: a program, or a guard that was not needed
            let role = timeline.forks.iter().rev().find(|f| f.2 == track.points[0].1).map(|f| f.3.as_str());
            track.until = match (role, timeline.ready_ns) {
                (Some("guard until ready"), Some(ready)) => ready,
                _ if timeline.ready_ns.is_some() => stopped,
                _ => taken_back(timeline, track.until).unwrap_or(timeline.end_ns),
            };
        }
    }
}

/// When what a failed start had forked at that moment was gone: the phase that had forked it was undone.
fn taken_back(timeline: &Timeline, forked: u64) -> Option<u64> {
    let before = timeline.spans.iter().filter(|s| s.start_ns.is_some_and(|start| start <= forked));
    before.max_by_key(|s| s.start_ns)?.undone_ns.filter(|gone| *gone >= forked)
}

/// "3850 daemon".
pub(super) fn process(timeline: &Timeline, pid: u32) -> String {
    let forked = timeline.forks.iter().rev().find(|f| f.2 == pid).map(|f| f.3.as_str());
    let role = match timeline.role(pid) {
        Some(Process::Daemon) if forked.is_none() => None,
        Some(role) if !timeline.forks.is_empty() => Some(role.name()),
        _ => forked,
    };
    role.map_or_else(|| pid.to_string(), |role| format!("{pid} {role}"))
}

/// The four lanes.
pub(super) fn lanes(timeline: &Timeline, people: People) -> Vec<Lane> {
    let mut tracks = tracks(timeline);
    tracks.retain(|t| t.points.first().is_some_and(|p| p.0 <= t.until));
    tracks.truncate(TRACKS);
    type Say<'s> = &'s dyn Fn(u32, Option<&Identity>) -> String;
    let of = |i: Option<&Identity>, say: &dyn Fn(&Identity) -> String| i.map_or("unknown".into(), say);
    let umask = |i: &Identity| format!("{:03o}", i.umask);
    let say: [(&'static str, Say); 4] = [
        ("identity", &|_, i| of(i, &identity)),
        ("process", &|pid, _| process(timeline, pid)),
        ("root · cwd", &|_, i| of(i, &place)),
        ("umask", &|_, i| of(i, &umask)),
    ];
    say.into_iter()
        .map(|(title, say)| {
            let mut rows: Vec<Vec<Stretch>> = Vec::new();
            for track in &tracks {
                let row = stretches(track, say, |i| (title == "identity").then(|| people.who(i)));
                if rows.first().is_none_or(|first| title == "process" || differs(first, &row)) {
                    rows.push(row);
                }
            }
            Lane { title, rows }
        })
        .collect()
}

fn stretches(
    track: &Track,
    say: &dyn Fn(u32, Option<&Identity>) -> String,
    who: impl Fn(Option<&Identity>) -> Option<Who>,
) -> Vec<Stretch> {
    let mut row: Vec<Stretch> = Vec::new();
    for (k, (from, pid, identity)) in track.points.iter().enumerate() {
        let to = track.points.get(k + 1).map_or(track.until, |next| next.0);
        let text = say(*pid, *identity);
        match row.last_mut() {
            Some(last) if last.text == text => last.to = to,
            _ => row.push(Stretch { from: *from, to, short: short(&text), text, who: who(*identity) }),
        }
    }
    row
}

/// "3850" of "3850 daemon", "/jail" of "/jail · /srv", "root" of "root 0:0 · all capabilities".
fn short(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// True if a row says something at some moment that the first does not say then.
fn differs(first: &[Stretch], row: &[Stretch]) -> bool {
    row.iter().any(|s| {
        let overlapping = |f: &&Stretch| f.from < s.to && s.from < f.to;
        first.iter().filter(overlapping).any(|f| f.text != s.text)
    })
}
