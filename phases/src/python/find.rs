//! Which Python is meant, and the shared library that is the same build.
//!
//! The interpreter is not run: a symbolic link, `pyvenv.cfg` and the ELF headers tell it all in well
//! under a millisecond. Only a wrapper script that is not pyenv's has to be asked.

mod binary;
mod places;
mod wrapper;

use crate::sys::io_failed;
use binary::Binary;
use engine::effect::SystemError;
use engine::text::clean;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The oldest Python that is hosted.
pub const OLDEST: (u8, u8) = (3, 9);

/// An interpreter that can be hosted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// the program that would be run: absolute, its last links not followed, because a virtual
    /// environment is known by where that name is
    pub program: PathBuf,
    /// the file behind it
    pub file: PathBuf,
    /// the shared library
    pub library: PathBuf,
    /// the program itself loads that very library, so the two cannot be different builds
    pub shared: bool,
    /// major and minor version
    pub version: (u8, u8),
    /// the standard library: the directory that `os.py` is in
    pub stdlib: PathBuf,
    /// the virtual environment it belongs to
    pub environment: Option<PathBuf>,
}

impl Interpreter {
    /// Whether `text`, which the library answered to `Py_GetVersion`, is of the build that the
    /// program is: a static program holds the same version, and the same date and time of the build.
    pub fn is_build(&self, text: &str) -> bool {
        // "3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]"
        let version = text.split(' ').next().unwrap_or_default();
        let build = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(b, _)| b);
        let mut literals = vec![format!("{version}\0")];
        literals.extend(build.split(", ").skip(1).map(|part| format!("{part}\0")));
        self.shared || Binary::open(&self.file).is_ok_and(|mut b| b.holds(&literals))
    }
}

/// The interpreter that `asked` names (a path, or a word to be looked for along `PATH`), or that of
/// the virtual environment in `VIRTUAL_ENV`, or `python3`.
///
/// Errors name the interpreter, what is wrong with it and what to install.
pub fn find(asked: Option<&str>) -> Result<Interpreter, SystemError> {
    let asked = asked.filter(|a| !a.is_empty());
    let program = match (asked, env::var_os("VIRTUAL_ENV").filter(|v| !v.is_empty())) {
        (Some(path), _) if path.contains('/') => named(Path::new(path))?,
        (Some(word), _) => places::along_path(word, None)?,
        (None, Some(environment)) => of_environment(Path::new(&environment))?,
        (None, None) => places::along_path("python3", None)?,
    };
    at(program)
}

/// What is known of the interpreter at that path.
fn at(program: PathBuf) -> Result<Interpreter, SystemError> {
    let (program, binary) = match Binary::open(&program) {
        Ok(binary) => (program, binary),
        Err(binary::Refused::NotElf) => {
            let real = wrapper::behind(&program)?;
            let binary = Binary::open(&real).map_err(|r| r.about(&real))?;
            (real, binary)
        }
        Err(refused) => return Err(refused.about(&program)),
    };
    let file = fs::canonicalize(&program).map_err(|e| io_failed(&e, what(&program)))?;
    let environment = Environment::of(&program);
    let needed = binary.needed();
    let version = needed
        .as_ref()
        .and_then(|name| Version::of_library(name))
        .or_else(|| Version::of_program(&file))
        .or_else(|| environment.as_ref().and_then(|e| e.version.clone()))
        .map_or_else(|| wrapper::version(&program), Ok)?;
    version.check(&program)?;
    let home = environment.as_ref().and_then(|e| e.home.clone());
    let home = home.or_else(|| file.parent().map(Path::to_owned)).unwrap_or_default();
    let (library, shared) = match &needed {
        Some(name) => (places::needed(name, &binary, &file), true),
        None => (places::beside(&version.soname(), &home), false),
    };
    let library = library.ok_or_else(|| no_library(&program, &version, needed.is_some()))?;
    let stdlib = places::stdlib(version.number, &home, &file).ok_or_else(|| {
        SystemError::new(format!("{}: its standard library is not there", what(&program)))
            .why(format!("no lib/python{} with os.py beside {}", version.text(), home.display()))
            .help("install Python anew, or name another one with --interpreter")
    })?;
    let environment = environment.map(|e| e.path);
    Ok(Interpreter { program, file, library, shared, version: version.number, stdlib, environment })
}

fn what(program: &Path) -> String {
    format!("host Python {}", clean(&program.display().to_string()))
}

fn named(path: &Path) -> Result<PathBuf, SystemError> {
    let path = std::path::absolute(path).map_err(|e| io_failed(&e, what(path)))?;
    let path = match path.is_dir() {
        true => return of_environment(&path),
        false => path,
    };
    executable(&path)?;
    Ok(path)
}

/// The interpreter of a virtual environment.
fn of_environment(directory: &Path) -> Result<PathBuf, SystemError> {
    let directory = std::path::absolute(directory).map_err(|e| io_failed(&e, what(directory)))?;
    let candidates = ["bin/python3", "bin/python"].map(|name| directory.join(name));
    candidates.iter().find(|c| executable(c).is_ok()).cloned().ok_or_else(|| {
        let shown = directory.display();
        SystemError::new(format!("find Python: {shown} is not a virtual environment"))
            .why(format!("there is no {} that could be run", candidates[0].display()))
            .help("name the interpreter with --interpreter, or unset VIRTUAL_ENV")
    })
}

fn executable(path: &Path) -> Result<(), SystemError> {
    let meta = fs::metadata(path).map_err(|e| {
        let error = io_failed(&e, what(path));
        match e.kind() {
            std::io::ErrorKind::NotFound if path.is_symlink() => error
                .why("it is a symbolic link to a file that is gone: the Python it was made with was removed")
                .help("make the virtual environment anew"),
            std::io::ErrorKind::NotFound => error.help("check the path, or install Python there"),
            _ => error,
        }
    })?;
    if !meta.is_file() {
        return Err(SystemError::new(format!("{}: it is not a regular file", what(path))));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(SystemError::new(format!("{}: it is not executable", what(path)))
            .why(format!("its mode is {:04o}", meta.permissions().mode() & 0o7777))
            .help("name an interpreter with --interpreter"));
    }
    Ok(())
}

/// `3.11`, and what else is in the name of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    number: (u8, u8),
    /// `t` for a free-threaded build, `d` for a debug build
    flags: String,
}

impl Version {
    /// `libpython3.11.so.1.0`
    fn of_library(name: &str) -> Option<Version> {
        Version::parse(name.strip_prefix("libpython")?.split(".so").next()?)
    }

    /// `/usr/bin/python3.11`
    fn of_program(file: &Path) -> Option<Version> {
        Version::parse(file.file_name()?.to_str()?.strip_prefix("python")?)
    }

    /// `3.11`, `3.13t`, `3.11.2`
    fn parse(text: &str) -> Option<Version> {
        let (major, rest) = text.split_once('.')?;
        let minor = rest.split('.').next()?;
        let digits = minor.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let flags = minor[digits.len()..].to_owned();
        Some(Version { number: (major.parse().ok()?, digits.parse().ok()?), flags })
    }

    fn text(&self) -> String {
        format!("{}.{}{}", self.number.0, self.number.1, self.flags)
    }

    fn soname(&self) -> String {
        format!("libpython{}.so.1.0", self.text())
    }

    fn check(&self, program: &Path) -> Result<(), SystemError> {
        if self.number < OLDEST {
            return Err(SystemError::new(format!("{}: version {} is too old", what(program), self.text()))
                .why(format!("rsd hosts Python {}.{} and newer", OLDEST.0, OLDEST.1))
                .help("name a newer one with --interpreter, or make the virtual environment with one"));
        }
        if self.flags.contains('t') {
            return Err(SystemError::new(format!(
                "{}: a build without the global interpreter lock is not hosted",
                what(program)
            ))
            .why("rsd forks and logs under that lock")
            .help(format!("use the usual build, python{}.{}", self.number.0, self.number.1)));
        }
        Ok(())
    }
}

fn no_library(program: &Path, version: &Version, shared: bool) -> SystemError {
    let soname = version.soname();
    let error = SystemError::new(format!("{}: its library {soname} was not found", what(program)));
    if shared {
        return error
            .why("the program itself needs it: it cannot be run either")
            .help("install it anew, or set LD_LIBRARY_PATH to where the library is");
    }
    error.why("the program has no shared library in it, and rsd runs Python in its own process").help(
        format!(
            "install it: `apt install libpython{0}` (Debian, Ubuntu), `dnf install python{0}-libs` (Fedora); \
             with pyenv `PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {0}`",
            version.text()
        ),
    )
}

/// A virtual environment, by its `pyvenv.cfg`.
struct Environment {
    path: PathBuf,
    home: Option<PathBuf>,
    version: Option<Version>,
}

impl Environment {
    /// Looked for where Python looks: beside the program, and one directory up.
    fn of(program: &Path) -> Option<Environment> {
        let beside = program.parent()?;
        let (path, text) = [Some(beside), beside.parent()]
            .into_iter()
            .flatten()
            .find_map(|dir| Some((dir.to_owned(), fs::read_to_string(dir.join("pyvenv.cfg")).ok()?)))?;
        let value = |wanted: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim().eq_ignore_ascii_case(wanted)).then(|| value.trim().to_owned())
            })
        };
        let version = value("version").or_else(|| value("version_info"));
        Some(Environment {
            path,
            home: value("home").map(PathBuf::from),
            version: version.and_then(|v| Version::parse(&v)),
        })
    }
}

#[cfg(test)]
mod tests;
