//! An interpreter that is a script: pyenv's are read, any other is asked.

use super::{Version, executable, places, what};
use crate::sys::process::wait_readable;
use crate::sys::{io_failed, writers};
use engine::effect::SystemError;
use std::env;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a script may take to say which interpreter it runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// More of its answer is not read, in bytes.
const LONGEST: usize = 4096;

/// The program that a script runs.
pub(super) fn behind(script: &Path) -> Result<PathBuf, SystemError> {
    let name = script.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut begin = [0u8; 2];
    let is_script =
        fs::File::open(script).and_then(|mut f| f.read_exact(&mut begin)).is_ok() && begin == *b"#!";
    if !is_script || !name.starts_with("python") {
        return Err(SystemError::new(format!("{}: it is not a Python interpreter", what(script)))
            .why("it is neither a program nor a script that is called python")
            .help("name a Python interpreter with --interpreter"));
    }
    if let Some(program) = of_pyenv(script, &name) {
        return Ok(program);
    }
    let answer = ask(script, "import sys; print(sys.executable)")?;
    let program = PathBuf::from(answer.trim_end_matches('\n'));
    executable(&program)?;
    Ok(program)
}

/// The version, of a program whose name and surroundings do not tell it.
pub(super) fn version(program: &Path) -> Result<Version, SystemError> {
    if !program.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python")) {
        return Err(SystemError::new(format!("{}: it is not a Python interpreter", what(program)))
            .help("name a Python interpreter with --interpreter"));
    }
    let answer =
        ask(program, "import sys; print('%d.%d' % sys.version_info[:2] + getattr(sys, 'abiflags', ''))")?;
    Version::parse(answer.trim()).ok_or_else(|| not_python(program, &answer))
}

/// pyenv's rules where they are simple: PYENV_VERSION, `.python-version` here or above, the global
/// `version` file; the first version named that is installed. `None` where pyenv must be asked.
fn of_pyenv(script: &Path, name: &str) -> Option<PathBuf> {
    let shims = script.parent().filter(|d| d.ends_with("shims"))?;
    let root = shims.parent()?;
    let chosen = match env::var("PYENV_VERSION") {
        Ok(given) if !given.is_empty() => given,
        _ => {
            let here = env::current_dir().ok()?;
            let local = here.ancestors().find_map(|d| fs::read_to_string(d.join(".python-version")).ok());
            local.or_else(|| fs::read_to_string(root.join("version")).ok())?
        }
    };
    let first = chosen.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))?;
    let first = first.split([':', ' ']).next()?;
    if first == "system" {
        return places::along_path(name, Some(shims)).ok();
    }
    // No way out of that directory: CVE-2022-35861.
    let plain = !first.starts_with('.')
        && first.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let program = root.join("versions").join(first).join("bin").join(name);
    (plain && first.contains('.') && executable(&program).is_ok()).then_some(program)
}

fn not_python(program: &Path, answer: &str) -> SystemError {
    SystemError::new(format!("{}: it is not a Python interpreter", what(program)))
        .why(format!("asked with -c it answered `{}`", engine::text::clean(answer.trim())))
        .help("name a Python interpreter with --interpreter")
}

/// Runs it. Root does so only with what nobody else can have written: `rsd check` looks and changes nothing.
fn ask(program: &Path, script: &str) -> Result<String, SystemError> {
    if nix::unistd::geteuid().is_root()
        && let Some(open) = writers::of(program).map_err(|e| io_failed(&e, what(program)))?
    {
        return Err(SystemError::new(format!(
            "{}: root does not ask it which interpreter it runs",
            what(program)
        ))
        .why(format!("{open}, so others may have written what would be run as root"))
        .help("name the interpreter itself with --interpreter, or let root own it and the way there"));
    }
    let mut child = Command::new(program)
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| io_failed(&e, what(program)))?;
    let mut out = child.stdout.take();
    let mut answer = Vec::new();
    let begin = Instant::now();
    let status = loop {
        let status = child.try_wait().map_err(|e| io_failed(&e, what(program)))?;
        // What is there and no more: another process may keep the pipe open.
        while let Some(pipe) = out.as_mut().filter(|_| answer.len() < LONGEST) {
            let [ready] =
                wait_readable([pipe.as_fd()], 0).map_err(|e| io_failed(&e.into(), what(program)))?;
            let mut some = [0u8; LONGEST];
            match if ready { pipe.read(&mut some) } else { break } {
                Ok(n @ 1..) => answer.extend_from_slice(some.get(..n).unwrap_or_default()),
                _ => out = None,
            }
        }
        match status {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SystemError::new(format!("{}: it does not answer", what(program)))
                    .help("name the interpreter itself with --interpreter"));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match status.success() {
        true => Ok(answer),
        false => Err(SystemError::new(format!("{}: it cannot be run", what(program)))
            .why(format!("it ended with {status}"))
            .help("name the interpreter itself with --interpreter")),
    }
}
