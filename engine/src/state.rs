//! The state machine: the only list of legal transitions.
//!
//! # A phase
//!
//! A phase is *pending* until its turn. It is *skipped* if its condition does not hold, if it has
//! nothing to do, or if something it needs did not happen. Otherwise it is *running*, and then
//! *done* or *failed*. A failed phase may be tried again: what it had begun is undone first, so the
//! way back to running leads through *undone*.
//!
//! When a start is given up, what was done is undone, newest first: a done or failed phase is
//! *undoing*, then *undone*; or *stuck*, if its undo failed. Stuck is an end with a name, because
//! something of the phase is still on the machine and a person has to look.
//!
//! # A run
//!
//! A run is *starting* until every phase before serve is done, then *ready*, then (told to stop, or
//! left by its application) *stopping* while the down phases run, and at last *completed*, or
//! *failed* if the application or a down phase failed. A start that fails never becomes ready: it
//! is *unwound* if everything was undone, *stuck* if not. Nothing leads out of an end: a run that
//! once was ready is never unwound, and one that was undone never becomes ready.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a phase is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Done,
    Failed,
    Skipped,
    Undoing,
    Undone,
    Stuck,
}

/// What happens to a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PhaseMark {
    Start,
    Finish,
    Fail,
    Skip,
    Undo,
    UndoFinish,
    UndoFail,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Run {
    #[default]
    Starting,
    Ready,
    Stopping,
    Completed,
    Failed,
    Unwound,
    Stuck,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum RunMark {
    Ready,
    Stop,
    Complete,
    Fail,
    Unwind,
    Stick,
}

/// A mark that the state does not allow: a fault of the engine, never of a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal<S, M> {
    /// the state it was in
    pub state: S,
    /// what was to happen
    pub mark: M,
}

impl<S: fmt::Debug, M: fmt::Debug> fmt::Display for Illegal<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not possible in state {:?}", self.mark, self.state)
    }
}

/// A state that knows what may happen to it.
pub trait State: Copy + fmt::Debug {
    /// What can happen.
    type Mark: Copy + fmt::Debug;
    /// The state after the mark; everything that is not listed is refused.
    fn next(self, mark: Self::Mark) -> Result<Self, Illegal<Self, Self::Mark>>;
}

impl State for Phase {
    type Mark = PhaseMark;
    fn next(self, mark: PhaseMark) -> Result<Self, Illegal<Self, PhaseMark>> {
        use Phase::*;
        Ok(match (self, mark) {
            (Pending, PhaseMark::Start) => Running,
            (Pending, PhaseMark::Skip) => Skipped,
            (Running, PhaseMark::Finish) => Done,
            (Running, PhaseMark::Fail) => Failed,
            (Done | Failed, PhaseMark::Undo) => Undoing,
            (Undoing, PhaseMark::UndoFinish) => Undone,
            (Undoing, PhaseMark::UndoFail) => Stuck,
            (Undone, PhaseMark::Start) => Running,
            (state, mark) => return Err(Illegal { state, mark }),
        })
    }
}

impl State for Run {
    type Mark = RunMark;
    fn next(self, mark: RunMark) -> Result<Self, Illegal<Self, RunMark>> {
        use Run::*;
        Ok(match (self, mark) {
            (Starting, RunMark::Ready) => Ready,
            (Starting, RunMark::Unwind) => Unwound,
            (Starting, RunMark::Stick) => Stuck,
            (Ready, RunMark::Stop) => Stopping,
            (Stopping, RunMark::Complete) => Completed,
            (Stopping, RunMark::Fail) => Failed,
            (state, mark) => return Err(Illegal { state, mark }),
        })
    }
}

impl Phase {
    /// True where the phase counts as met for those that need it.
    pub fn meets_need(self) -> bool {
        matches!(self, Phase::Done | Phase::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair that is legal, written out a second time: the test fails if either list changes alone.
    #[test]
    fn phases_exhaustively() {
        use Phase::*;
        use PhaseMark::*;
        let states = [Pending, Running, Done, Failed, Skipped, Undoing, Undone, Stuck];
        let marks = [Start, Finish, Fail, Skip, Undo, UndoFinish, UndoFail];
        let legal = [
            (Pending, Start, Running),
            (Pending, Skip, Skipped),
            (Running, Finish, Done),
            (Running, Fail, Failed),
            (Done, Undo, Undoing),
            (Failed, Undo, Undoing),
            (Undoing, UndoFinish, Undone),
            (Undoing, UndoFail, Stuck),
            (Undone, Start, Running),
        ];
        for state in states {
            for mark in marks {
                let expected = legal.iter().find(|(s, m, _)| (*s, *m) == (state, mark)).map(|(_, _, to)| *to);
                assert_eq!(state.next(mark).ok(), expected, "{state:?} {mark:?}");
            }
        }
        for end in [Skipped, Stuck] {
            assert!(marks.iter().all(|m| end.next(*m).is_err()), "{end:?} is an end");
        }
    }

    #[test]
    fn runs_exhaustively() {
        use RunMark as M;
        let states =
            [Run::Starting, Run::Ready, Run::Stopping, Run::Completed, Run::Failed, Run::Unwound, Run::Stuck];
        let marks = [M::Ready, M::Stop, M::Complete, M::Fail, M::Unwind, M::Stick];
        let legal = [
            (Run::Starting, M::Ready, Run::Ready),
            (Run::Starting, M::Unwind, Run::Unwound),
            (Run::Starting, M::Stick, Run::Stuck),
            (Run::Ready, M::Stop, Run::Stopping),
            (Run::Stopping, M::Complete, Run::Completed),
            (Run::Stopping, M::Fail, Run::Failed),
        ];
        for state in states {
            for mark in marks {
                let expected = legal.iter().find(|(s, m, _)| (*s, *m) == (state, mark)).map(|(_, _, to)| *to);
                assert_eq!(state.next(mark).ok(), expected, "{state:?} {mark:?}");
            }
        }
    }
}
