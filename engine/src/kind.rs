//! A phase kind: a name, a sentence, parameters, and a pure function from them to effects.
//!
//! The engine knows no kind by name; `phases::kinds` has the catalogue.

use crate::effect::{Brought, Capability, CapabilitySet, Effect, Listen, Owner, Ready};
use crate::snapshot::{Group, User};
use std::path::PathBuf;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    /// a file name; made absolute against the directory the command was started in
    Path,
    /// a login name or a number
    User,
    /// a group name or a number
    Group,
    /// permission bits, always octal: `022`, `"022"`, `0o22`
    Mode,
    /// true or false
    Flag,
    /// any text
    String,
    /// a whole number
    Integer,
    /// a number with `ns`, `us`, `ms`, `s`, `m` or `h`
    Duration,
    /// a number of bytes, with `k`, `M` or `G` (1000s) or `KiB`, `MiB`, `GiB`
    Size,
    /// `tcp:HOST:PORT`, `udp:HOST:PORT`, `unix:PATH` or `inherit:NAME`, and options behind commas
    Socket,
    /// a program and its arguments
    Command,
    /// a Linux capability: `cap_net_bind_service`
    Capability,
    /// for parameters of kinds only: `dropped`, `USER` or `USER:GROUP`
    Owner,
    /// `exec`, `notify`, `fd:N`, `tcp:HOST:PORT`, `unix:PATH`, `idle:DURATION` or `alive:DURATION`
    Readiness,
}

impl Type {
    /// The types an option of a spec may have.
    pub const OPTIONS: &'static [Type] = &[
        Type::Path,
        Type::User,
        Type::Group,
        Type::Mode,
        Type::Flag,
        Type::String,
        Type::Integer,
        Type::Duration,
        Type::Size,
        Type::Socket,
        Type::Command,
        Type::Capability,
        Type::Readiness,
    ];

    /// The word for it in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Type::Path => "path",
            Type::User => "user",
            Type::Group => "group",
            Type::Mode => "mode",
            Type::Flag => "flag",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Duration => "duration",
            Type::Size => "size",
            Type::Socket => "socket",
            Type::Command => "command",
            Type::Capability => "capability",
            Type::Owner => "owner",
            Type::Readiness => "readiness",
        }
    }

    /// The type of that name.
    pub fn by_name(name: &str) -> Option<Type> {
        Type::OPTIONS.iter().copied().find(|t| t.name() == name)
    }
}

/// A value of a [`Type`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value {
    Path(PathBuf),
    User(User),
    Group(Group),
    Mode(u32),
    Flag(bool),
    String(String),
    Integer(i64),
    /// nanoseconds
    Duration(u64),
    /// bytes
    Size(u64),
    Socket(Listen),
    Command(Vec<String>),
    Capability(Capability),
    Owner(Owner),
    Ready(Ready),
    List(Vec<Value>),
}

/// A parameter of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// its key under `with`
    pub name: &'static str,
    /// what it must look like
    pub ty: Type,
    /// takes a list
    pub list: bool,
    /// the spec must write it; its value may still be an unset option
    pub required: bool,
    /// as it would be written, where it is absent
    pub default: Option<&'static str>,
    /// one sentence
    pub help: &'static str,
}

/// What a kind may know besides its parameters.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// the identity the drop will set, if there is a drop
    pub dropped: Option<Owner>,
    /// user id the run starts with
    pub start_uid: u32,
    /// group id the run starts with
    pub start_gid: u32,
    /// what the loaded application brings, once that is known
    pub brought: Option<Brought>,
}

/// What a kind may still learn from an application once it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    /// the user and the group it names for itself
    Credential,
    /// that it has a logger of its own
    Log,
}

impl Learns {
    /// What is not known yet, for people.
    pub fn open(self) -> &'static str {
        match self {
            Learns::Credential => "what the application names, if it does",
            Learns::Log => "unless the application logs by itself",
        }
    }
}

/// The values given to a phase of a kind.
#[derive(Clone, Debug, Default)]
pub struct Args(pub Vec<(&'static str, Value)>);

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $ty:ty),* $(,)?) => {
        $($(#[$doc])* pub fn $name(&self, name: &str) -> Option<$ty> {
            match self.get(name) { Some(Value::$variant(v)) => Some(v.clone()), _ => None }
        })*
    };
}
impl Args {
    /// The value of that parameter, if it has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
    getters! {
        /// The path, if given.
        path: Path -> PathBuf,
        /// The user, if given.
        user: User -> User,
        /// The group, if given.
        group: Group -> Group,
        /// The permission bits, if given.
        mode: Mode -> u32,
        /// The size in bytes, if given.
        size: Size -> u64,
        /// The owner, if given.
        owner: Owner -> Owner,
        /// The program and its arguments, if given.
        command: Command -> Vec<String>,
        /// The text, if given.
        string: String -> String,
        /// True or false, if given.
        flag: Flag -> bool,
        /// The whole number, if given.
        integer: Integer -> i64,
        /// The duration in nanoseconds, if given.
        duration: Duration -> u64,
        /// When it counts as ready, if given.
        ready: Ready -> Ready,
    }

    /// The capabilities of a list, none if not given.
    pub fn capabilities(&self, name: &str) -> CapabilitySet {
        match self.get(name) {
            Some(Value::List(list)) => list
                .iter()
                .filter_map(|v| if let Value::Capability(c) = v { Some(*c) } else { None })
                .collect(),
            Some(Value::Capability(one)) => [*one].into_iter().collect(),
            _ => CapabilitySet::EMPTY,
        }
    }

    /// The paths of a list, none if not given.
    pub fn paths(&self, name: &str) -> Vec<PathBuf> {
        match self.get(name) {
            Some(Value::List(list)) => list
                .iter()
                .filter_map(|v| if let Value::Path(p) = v { Some(p.clone()) } else { None })
                .collect(),
            Some(Value::Path(path)) => vec![path.clone()],
            _ => Vec::new(),
        }
    }

    /// The groups of a list, none if not given.
    pub fn groups(&self, name: &str) -> Vec<u32> {
        match self.get(name) {
            Some(Value::List(list)) => {
                list.iter().filter_map(|v| if let Value::Group(g) = v { Some(g.gid) } else { None }).collect()
            }
            Some(Value::Group(group)) => vec![group.gid],
            _ => Vec::new(),
        }
    }

    /// The texts of a list, none if not given.
    pub fn strings(&self, name: &str) -> Vec<String> {
        let text = |v: &Value| if let Value::String(s) = v { Some(s.clone()) } else { None };
        match self.get(name) {
            Some(Value::List(list)) => list.iter().filter_map(text).collect(),
            Some(one) => text(one).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The sockets, none if not given.
    pub fn sockets(&self, name: &str) -> Vec<Listen> {
        match self.get(name) {
            Some(Value::List(list)) => list
                .iter()
                .filter_map(|v| if let Value::Socket(s) = v { Some(s.clone()) } else { None })
                .collect(),
            Some(Value::Socket(s)) => vec![s.clone()],
            _ => Vec::new(),
        }
    }
}

/// Parameters that no effects can be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// why not, as a fragment
    pub why: String,
    /// what to write instead
    pub help: String,
    /// the parameter that it is about, where it is about one
    pub param: Option<&'static str>,
    /// of a list the value that it is about
    pub value: Option<String>,
}

impl Unfit {
    /// Why, and what to write instead.
    pub fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Unfit { why: why.into(), help: help.into(), param: None, value: None }
    }

    /// Names the parameter that it is about: its value is pointed at.
    pub fn of(self, param: &'static str) -> Self {
        Unfit { param: Some(param), ..self }
    }

    /// The same for one value of a list.
    pub fn in_list(self, param: &'static str, value: impl Into<String>) -> Self {
        Unfit { value: Some(value.into()), ..self.of(param) }
    }
}

/// A reusable definition of what a phase does.
pub struct Kind {
    /// its name in a spec
    pub name: &'static str,
    /// one sentence
    pub about: &'static str,
    /// more, for the reference: which system calls, what is undone, sources of rules
    pub details: &'static str,
    /// its parameters
    pub params: &'static [Param],
    /// what it may still learn when a Twisted application is loaded; its effects are then asked for
    /// again with [`Context::brought`]
    pub learns: Option<Learns>,
    /// From parameters to effects. Pure. An empty list: there is nothing to do, the phase is skipped.
    pub effects: fn(&Args, &Context) -> Result<Vec<Effect>, Unfit>,
}

/// Every kind that specs may name.
#[derive(Clone, Copy)]
pub struct Catalogue(pub &'static [&'static Kind]);

impl Catalogue {
    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&'static Kind> {
        self.0.iter().copied().find(|k| k.name == name)
    }
    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|k| k.name)
    }
}
