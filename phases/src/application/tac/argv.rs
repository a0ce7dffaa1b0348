//! The command line, as twistd's own would be.

use crate::python::Interpreter;
use engine::effect::Program;
use std::env;
use std::ffi::OsString;
use std::path::Path;

/// The words of this process's command line that are twistd's, if it was started as one.
fn of_twistd() -> Option<Vec<OsString>> {
    let words: Vec<OsString> = env::args_os().collect();
    let called = words.first().and_then(|w| Path::new(w).file_name()).is_some_and(|n| n == "twistd");
    match called {
        true => Some(words.into_iter().skip(1).collect()),
        false if words.get(1).is_some_and(|w| w == "twistd") => Some(words.into_iter().skip(2).collect()),
        false => None,
    }
}

/// The interpreter, and what `sys.argv` is to be: twistd's script in that environment, and its words.
pub(super) fn line(program: &Program, interpreter: &Interpreter) -> Vec<OsString> {
    let script = interpreter.program.with_file_name("twistd");
    let script = if script.exists() { script.into_os_string() } else { "twistd".into() };
    let mut line = vec![interpreter.program.clone().into_os_string(), script];
    match of_twistd() {
        Some(words) => line.extend(words),
        None => {
            if let Some(tac) = &program.tac {
                line.extend(["-y".into(), as_typed(tac).into()]);
            }
            line.extend(program.twisted.words.iter().map(OsString::from));
        }
    }
    line
}

/// The path as it was typed, where it still leads there: `__file__` of a TAC is that.
pub(super) fn as_typed(tac: &Path) -> String {
    let whole = tac.to_string_lossy().into_owned();
    let Ok(cwd) = env::current_dir() else { return whole };
    let same =
        |typed: &str| !typed.is_empty() && std::path::absolute(cwd.join(typed)).is_ok_and(|p| p == tac);
    env::args()
        .skip(1)
        .flat_map(|word| {
            // `-y FILE`, `--python=FILE`, `-noyFILE`
            let value = word.split_once('=').map(|(_, v)| v.to_owned());
            let behind = word.strip_prefix('-').and_then(|w| w.split_once('y')).map(|(_, v)| v.to_owned());
            [Some(word), value, behind]
        })
        .flatten()
        .find(|typed| same(typed))
        .unwrap_or(whole)
}
