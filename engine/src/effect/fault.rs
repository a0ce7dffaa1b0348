//! Failures that are asked for, so that a start-up can be seen to fail.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::{Done, Effect, SystemError, Undo};

/// How an effect that is there to fail does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// it answers with an error
    #[default]
    Error,
    /// it works, and answers with an error when it is taken back
    Undo,
    /// the process that performs it is gone in the middle of it, as with `kill -9`
    Kill,
    /// it does not come back, and no signal but SIGKILL ends it: a file system that does not answer
    Hang,
}

impl Manner {
    /// All of them.
    pub const ALL: &'static [Manner] = &[Manner::Error, Manner::Undo, Manner::Kill, Manner::Hang];

    /// The word for it in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Manner::Error => "error",
            Manner::Undo => "undo",
            Manner::Kill => "kill",
            Manner::Hang => "hang",
        }
    }
}

/// A failure that is asked for. It changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// how
    pub manner: Manner,
    /// the number it answers with, where it answers
    pub errno: i32,
    /// what it says instead of "fail"
    pub message: Option<String>,
}

impl Fault {
    /// The errno as people know it.
    pub fn errno_word(&self) -> String {
        crate::text::errno_name(self.errno).map_or_else(|| self.errno.to_string(), str::to_owned)
    }

    /// The error it answers with.
    pub fn error(&self) -> SystemError {
        let error = match &self.message {
            Some(message) => SystemError::errno(self.errno, message),
            None => SystemError::errno(self.errno, "fail"),
        };
        let help = "take the phase away, or `--skip` it, when you have seen enough";
        error.why("the phase is there to fail (kind `fail`)").help(help)
    }

    /// What comes of it, as far as the process lives to tell. What it would not tell is an error here too.
    pub fn answer(&self) -> Result<Done, SystemError> {
        match self.manner {
            Manner::Undo => {
                let undo = Fault { manner: Manner::Error, ..self.clone() };
                Ok(Done::with(Undo::Effect(Box::new(Effect::Fail(undo)))))
            }
            Manner::Error => Err(self.error()),
            Manner::Kill => Err(SystemError::new("fail: the process is killed here")),
            Manner::Hang => Err(SystemError::new("fail: the process hangs here")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.manner, &self.message) {
            (Manner::Error, None) => write!(f, "fail with {}", self.errno_word()),
            (Manner::Error, Some(message)) => write!(f, "fail with {}: {message}", self.errno_word()),
            (Manner::Undo, _) => write!(f, "nothing, whose undo fails with {}", self.errno_word()),
            (Manner::Kill, _) => f.write_str("kill this process"),
            (Manner::Hang, _) => f.write_str("hang"),
        }
    }
}
