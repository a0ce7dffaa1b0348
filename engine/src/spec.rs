//! A spec as it was written: parsed, with positions, overlays applied. Nothing is resolved yet.

mod convert;
mod finish;
mod merge;
mod order;
mod overlay;
#[cfg(test)]
mod tests;
mod tree;

pub use convert::name_problem;
pub use order::{check_order, edit_order};
pub use overlay::load;

use crate::diagnostic::{At, Sources};
use crate::effect::Capability;
use crate::kind::Type;

/// The version of the language this build reads.
pub const VERSION: &str = "1";

/// A spec, read and merged.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// its name: of journals, and of `${name}` where no other is given
    pub name: At<String>,
    /// a sentence
    pub about: Option<String>,
    /// options, in the order written
    pub options: Vec<OptionDef>,
    /// groups; a phase names those it stands in by number
    pub groups: Vec<Group>,
    /// leaves, in the order written
    pub phases: Vec<Phase>,
    /// the one sequence, if there is one
    pub order: Option<Vec<At<String>>>,
}

/// An option of a spec.
#[derive(Clone, Debug)]
pub struct OptionDef {
    /// its name: `--name` and `${name}`
    pub name: At<String>,
    /// what its value must look like
    pub ty: Type,
    /// may be given more than once
    pub list: bool,
    /// takes what follows `--`
    pub rest: bool,
    /// must be given
    pub required: bool,
    /// one letter
    pub short: Option<At<char>>,
    /// a sentence
    pub help: Option<String>,
    /// the first of these whose condition holds; a plain default is one without a condition
    pub defaults: Vec<Default_>,
}

/// One possible default of an option.
#[derive(Clone, Debug)]
pub struct Default_ {
    /// all must hold
    pub when: Vec<At<Condition>>,
    /// the value
    pub value: Given,
}

/// `nodaemon`, `not nodaemon`, `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// an option's name, or `root`
    pub option: String,
    /// must have no value
    pub not: bool,
}

/// A value as it was written: text, typed later by who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// one text
    One(At<String>),
    /// several
    List(Vec<At<String>>),
}

/// A group of phases.
#[derive(Clone, Debug)]
pub struct Group {
    /// its name
    pub name: At<String>,
    /// the group it stands in
    pub parent: Option<usize>,
    /// what all its leaves need
    pub needs: Vec<At<String>>,
    /// when its leaves run
    pub when: Vec<At<Condition>>,
    /// a sentence
    pub about: Option<String>,
}

/// What a phase asks of the credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Privilege {
    /// claims nothing
    #[default]
    Any,
    /// what the process was started with, before every drop
    Privileged,
    /// the same, and uid 0
    Root,
    /// after the drop, if there is one
    User,
    /// these must be effective
    Capabilities(Vec<Capability>),
}

impl std::fmt::Display for Privilege {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Privilege::Any => f.write_str("any"),
            Privilege::Privileged => f.write_str("privileged"),
            Privilege::Root => f.write_str("root"),
            Privilege::User => f.write_str("user"),
            Privilege::Capabilities(list) => {
                let names: Vec<_> = list.iter().map(|c| c.name()).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}

/// What happens when a phase fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// the start is given up and undone
    #[default]
    Abort,
    /// dependents run all the same
    Continue,
    /// what it had begun is undone and it is tried again
    Retry {
        /// how often more
        times: u32,
        /// nanoseconds between
        delay: u64,
    },
}

/// A phase as written.
#[derive(Clone, Debug)]
pub struct Phase {
    /// its name
    pub name: At<String>,
    /// the group it stands in
    pub group: Option<usize>,
    /// its kind
    pub kind: At<String>,
    /// a sentence
    pub about: Option<String>,
    /// parameters
    pub with: Vec<(At<String>, Given)>,
    /// phases or groups that must have been done
    pub needs: Vec<At<String>>,
    /// what it asks of the credential
    pub privilege: At<Privilege>,
    /// when it runs
    pub when: Vec<At<Condition>>,
    /// runs on the way down from a failed start too
    pub always: bool,
    /// nanoseconds it may take
    pub timeout: Option<At<u64>>,
    /// what happens when it fails
    pub on_failure: At<OnFailure>,
}

impl Spec {
    /// The names of the groups a group (and what is in it) stands in, outermost first, itself last.
    pub fn group_path(&self, group: Option<usize>) -> Vec<&str> {
        let mut path = Vec::new();
        let mut next = group;
        while let Some(g) = next {
            path.push(self.groups[g].name.v.as_str());
            next = self.groups[g].parent;
        }
        path.reverse();
        path
    }
}

/// Where [`load`] gets texts from: a path or the name of a built-in, and the text that named it.
/// The answer is a name for people and the text, or why it cannot be had.
pub type Fetch<'a> = dyn FnMut(&str, Option<&str>) -> Result<(String, String), String> + 'a;

/// Everything [`load`] brings back besides findings.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// the texts that findings point into
    pub sources: Sources,
    /// the spec, if it could be read at all
    pub spec: Option<Spec>,
}
