//! `load-application`: find what is to be run.

use super::optional;
use engine::effect::{Application, Effect, Program, Twisted};
use engine::kind::{Kind, Param, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "load-application",
    about: "Finds the program, reads the Twisted application, or takes the built-in `whoami`.",
    details: "A `command` is looked up on the caller's PATH, inside `root` if that is given, and must be an \
              executable file. Nothing of it runs yet. A `tac` is evaluated, with the privilege that this phase \
              has, by a Python that is loaded into this very process; `twistd` holds words of twistd's own \
              command line that are for Twisted: options such as `--reactor=asyncio`, or a plug-in and its \
              arguments in place of a `tac`. What a Twisted application names for itself (a user, a group, a \
              logger) is taken into the plan once it is read; what the spec says comes before it. With nothing \
              to run the built-in `whoami` is taken: a small HTTP service that answers with its own identity.",
    params: &[
        optional("command", Type::Command, None, "the program and its arguments"),
        optional("tac", Type::Path, None, "a Twisted application configuration file"),
        optional("root", Type::Path, None, "the root directory the program will run in"),
        optional("interpreter", Type::String, None, "the Python to host a Twisted application with"),
        Param {
            name: "twistd",
            ty: Type::String,
            list: true,
            required: false,
            default: None,
            help: "words of twistd's own command line for Twisted itself",
        },
    ],
    learns: None,
    effects: |args, _| {
        let command = args.command("command").unwrap_or_default();
        let (tac, words) = (args.path("tac"), args.strings("twistd"));
        if let Some(program) = command.first() {
            let other = match (&tac, words.first()) {
                (Some(tac), _) => Some(format!("the TAC {}", tac.display())),
                (None, Some(word)) => Some(format!("a Twisted application (`{word}`)")),
                (None, None) => None,
            };
            if let Some(other) = other {
                return Err(Unfit::new(
                    format!("both the command `{program}` and {other} are to be run"),
                    "give one of them",
                ));
            }
        }
        let twisted = Twisted { interpreter: args.string("interpreter"), words };
        let program = Program { command, tac, root: args.path("root"), twisted };
        Ok(vec![Effect::Application(Application::Load(program))])
    },
};
