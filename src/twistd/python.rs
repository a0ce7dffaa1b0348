//! What only Twisted can answer: its reactors, its plug-ins, the help of a plug-in.

use super::installed;
use crate::{exit, output};
use engine::text::clean;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the scripts say that there is no Twisted to ask.
const NO_TWISTED: i32 = 114;

/// Twisted's own parser is given the words. Where it ends with 0 it has answered; 113 is a start.
const ASK: &str = "\
import sys
try:
    from twisted.scripts.twistd import ServerOptions
except Exception as e:
    sys.stderr.write('%s: %s' % (type(e).__name__, e))
    sys.exit(114)
from twisted.python import usage
sys.argv[0] = 'twistd'
try:
    ServerOptions().parseOptions(sys.argv[1:])
except usage.UsageError:
    pass
sys.exit(113)
";

/// The same for the list of plug-ins.
const COMMANDS: &str = "\
import sys
try:
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins
except Exception as e:
    sys.stderr.write('%s: %s' % (type(e).__name__, e))
    sys.exit(114)
found = sorted((p.tapname, p.description) for p in getPlugins(IServiceMaker))
for name, about in found:
    print('    %-16s %s' % (name, ' '.join(about.split())))
";

/// `--help-reactors`.
pub fn reactors(interpreter: Option<&Path>) -> i32 {
    ask(interpreter, ASK, &["--help-reactors".to_owned()])
}

/// `--help-commands`.
pub fn commands(interpreter: Option<&Path>) -> i32 {
    ask(interpreter, COMMANDS, &[])
}

/// The help or the version of a plug-in, where its words ask for that; `None` where they are a start.
pub fn plugin(interpreter: Option<&Path>, words: &[String]) -> Option<i32> {
    let asks = |word: &String| {
        word.starts_with("--help")
            || word.len() > 3
                && ("--help".starts_with(word.as_str()) || "--version".starts_with(word.as_str()))
    };
    words.iter().skip(1).any(asks).then_some(())?;
    // A Python that cannot answer is the start's to refuse.
    let python =
        phases::python::find(interpreter.map(|path| path.to_string_lossy()).as_deref()).ok()?.program;
    let done = Command::new(python).arg("-c").arg(ASK).args(words).output().ok()?;
    let code = done.status.code().filter(|code| *code == exit::FINE)?;
    output::print(&String::from_utf8_lossy(&done.stdout));
    output::complain(&String::from_utf8_lossy(&done.stderr));
    Some(code)
}

/// The version of Twisted by its own word: slow, for a Python whose packages stand in an unknown place.
pub fn version(python: &Path) -> Option<String> {
    let script = "from importlib.metadata import version; print(version('Twisted'))";
    let done =
        Command::new(python).arg("-c").arg(script).output().ok().filter(|done| done.status.success())?;
    let text = String::from_utf8(done.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The Python that is named, or else the usual one; said where there is none.
///
/// One that cannot be hosted, for want of its shared library, can still be asked.
pub fn found(named: Option<&Path>) -> Option<PathBuf> {
    let text = named.map(|path| path.to_string_lossy());
    let error = match phases::python::find(text.as_deref()) {
        Ok(interpreter) => return Some(interpreter.program),
        Err(error) => error,
    };
    let other = named.map(Path::to_owned).or_else(installed::usual);
    if let Some(python) = other.filter(|python| installed::runs(python)) {
        return Some(python);
    }
    let mut said = format!("error: {}\n", clean(&error.to_string()));
    if let Some(why) = &error.why {
        said.push_str(&format!("  why: {}\n", clean(why)));
    }
    let help = error.help.as_deref().unwrap_or("name a Python that has Twisted with --interpreter");
    said.push_str(&format!("  do: {}\n", clean(help)));
    output::complain(&said);
    None
}

/// Says that this Python has no Twisted.
pub fn without_twisted(python: &Path, why: &str) -> i32 {
    let shown = clean(&python.to_string_lossy()).into_owned();
    output::complain(&format!(
        "error: {shown} has no Twisted{}{}\n  do: install it (`{shown} -m pip install twisted`), or name another Python with --interpreter\n",
        if why.is_empty() { "" } else { ": " },
        clean(why)
    ));
    exit::FAILED
}

fn ask(interpreter: Option<&Path>, script: &str, words: &[String]) -> i32 {
    let Some(python) = found(interpreter) else { return exit::FAILED };
    let done = match Command::new(&python).arg("-c").arg(script).args(words).output() {
        Ok(done) => done,
        Err(error) => {
            let shown = python.to_string_lossy();
            output::complain(&format!("error: {} cannot be run: {error}\n", clean(&shown)));
            return exit::FAILED;
        }
    };
    output::print(&String::from_utf8_lossy(&done.stdout));
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.code() {
        Some(exit::FINE) => exit::FINE,
        Some(NO_TWISTED) => without_twisted(&python, said.trim()),
        _ => {
            output::complain(&said);
            output::complain(&format!(
                "error: the Twisted of {} gave no answer\n",
                clean(&python.to_string_lossy())
            ));
            exit::FAILED
        }
    }
}
