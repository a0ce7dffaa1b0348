//! `load-application`: find what is to be run.

use super::optional;
use engine::effect::{Application, Effect, Program};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "load-application",
    about: "Finds the program, reads the Twisted application, or takes the built-in `whoami`.",
    details: "A `command` is looked up on the caller's PATH, inside `root` if that is given, and must be an \
              executable file. Nothing of it runs yet. With neither `command` nor `tac` the built-in \
              `whoami` is taken: a small HTTP service that answers with its own identity.",
    params: &[
        optional("command", Type::Command, None, "the program and its arguments"),
        optional("tac", Type::Path, None, "a Twisted application configuration file"),
        optional("root", Type::Path, None, "the root directory the program will run in"),
    ],
    effects: |args, _| {
        if let Some(tac) = args.path("tac") {
            return Err(format!(
                "Twisted applications are not in this build yet, so {} cannot be read; until then run twistd itself as the program: `-- twistd -n --pidfile= -y {}`",
                tac.display(),
                tac.display()
            ));
        }
        let program = Program {
            command: args.command("command").unwrap_or_default(),
            tac: args.path("tac"),
            root: args.path("root"),
        };
        Ok(vec![Effect::Application(Application::Load(program))])
    },
};
