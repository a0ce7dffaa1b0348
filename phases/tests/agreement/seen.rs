//! What came of a list, in one form for both worlds.

use super::observe::Tree;
use engine::effect::{Done, Effect, Identity, Performed, SystemError, Undo};
use engine::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What came of one effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `ok`, `errno N (EXXX)`, or `refused` where no call failed
    pub result: String,
    /// what takes it back
    pub undo: String,
    /// the message, for people; not compared
    pub message: String,
}

impl Outcome {
    pub fn of(performed: &Result<Performed, SystemError>) -> Outcome {
        match performed {
            Ok(Performed::Done(Done { undo, .. })) => {
                Outcome { result: "ok".into(), undo: undo_text(undo), message: String::new() }
            }
            Ok(other) => {
                Outcome { result: format!("{other:?}"), undo: String::new(), message: String::new() }
            }
            Err(error) => Outcome {
                result: match error.errno {
                    Some(n) => format!("errno {n} ({:?})", nix::errno::Errno::from_raw(n)),
                    None => "refused".to_owned(),
                },
                undo: String::new(),
                message: format!(
                    "{error}{}",
                    error.why.as_deref().map(|w| format!(" [{w}]")).unwrap_or_default()
                ),
            },
        }
    }
}

fn undo_text(undo: &Undo) -> String {
    match undo {
        Undo::Effect(effect) => match &**effect {
            Effect::Remove { path, only_if_empty, .. } => {
                format!("remove {}{}", path.display(), if *only_if_empty { " if empty" } else { "" })
            }
            Effect::Unbind { socket, .. } => format!("close {socket}"),
            Effect::End { .. } => "end a process".to_owned(),
            other => other.to_string(),
        },
        _ => "none".to_owned(),
    }
}

/// Everything after a step.
#[derive(Clone, Debug)]
pub struct Step {
    pub outcome: Outcome,
    /// as the observer sees it: root and cwd are where they really are
    pub identity: Option<Identity>,
    /// as the world itself tells it
    pub told: Option<Identity>,
    /// its settings that no identity shows
    pub settings: Settings,
}

/// Each setting in words: nice value, limits, who owns its files below /proc.
pub type Settings = BTreeMap<String, String>;

/// Everything at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub tree: Tree,
    /// what the process that goes on finds, where it has mounts of its own
    pub view: Tree,
    pub listening: Vec<String>,
    pub processes: Vec<String>,
}

/// Everything that came of a list.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub steps: Vec<Step>,
    pub end: State,
    /// what was taken back, newest first, and how it went
    pub undone: Vec<Outcome>,
    pub after: Option<State>,
}

/// What a process of the real world tells the observer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// the snapshot was taken, and the plan stands
    Begun(Box<Snapshot>),
    /// this process stays behind as the holder of the undo: launcher or holder
    Stayed { pid: u32, role: String },
    /// an effect was performed by this process
    Step { pid: u32, outcome: Outcome, told: Option<Identity> },
    /// an effect was taken back
    Undone(Outcome),
    /// all was taken back
    Over,
    /// it cannot go on
    Broken(String),
}
