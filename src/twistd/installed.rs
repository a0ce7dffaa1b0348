//! Which Python, and which Twisted it has, without starting it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The environment that this program was called from: the Python beside it, where it is called as
/// `twistd` through a name in the `bin` of a virtual environment.
pub fn beside(program: &str) -> Option<PathBuf> {
    let called = if program.contains('/') { PathBuf::from(program) } else { on_path(program)? };
    let bin = called.parent()?;
    let bin = std::path::absolute(bin).ok()?;
    bin.parent()?.join("pyvenv.cfg").is_file().then_some(())?;
    ["python", "python3"].map(|name| bin.join(name)).into_iter().find(|path| runs(path))
}

/// The Python that would be taken where none is named.
pub fn usual() -> Option<PathBuf> {
    let environment = std::env::var_os("VIRTUAL_ENV").filter(|dir| !dir.is_empty());
    let inside = environment.map(|dir| Path::new(&dir).join("bin/python"));
    inside.filter(|path| runs(path)).or_else(|| on_path("python3"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // A relative entry would be anyone's directory for a privileged process.
    let mut directories = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    directories.find_map(|dir| Some(dir.join(name)).filter(|file| runs(file)))
}

/// Whether it is a file that may be executed.
pub fn runs(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The version of Twisted that this Python has, read from where packages note theirs.
pub fn twisted(interpreter: &Path) -> Option<String> {
    site_directories(interpreter).iter().find_map(|dir| noted(dir))
}

/// `Twisted-26.10.0.dist-info` says it in its name.
fn noted(dir: &Path) -> Option<String> {
    let names = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| version(name.as_bytes())).max()
}

fn version(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let (package, rest) = name.split_once('-')?;
    let version = rest.strip_suffix(".dist-info").or_else(|| rest.strip_suffix(".egg-info"))?;
    // An egg says for which Python: Twisted-22.4.0-py3.11.egg-info.
    let version = version.split('-').next()?;
    package.eq_ignore_ascii_case("twisted").then(|| version.to_owned())
}

/// Where this Python looks for packages, in its own order: PYTHONPATH, the user's, its own.
fn site_directories(interpreter: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        std::env::var_os("PYTHONPATH").iter().flat_map(|path| std::env::split_paths(path)).collect();
    let environment = interpreter.parent().and_then(Path::parent);
    let config = environment.and_then(|dir| fs::read_to_string(dir.join("pyvenv.cfg")).ok());
    if let (Some(dir), Some(config)) = (environment, &config) {
        dirs.extend(libraries(dir, "site-packages", None));
        if !setting(config, "include-system-site-packages").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return dirs;
        }
    }
    let Ok(real) = interpreter.canonicalize() else { return dirs };
    let line = real.file_name().and_then(OsStr::to_str).filter(|name| name.contains('.'));
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local"));
    dirs.extend(home.iter().flat_map(|home| libraries(home, "site-packages", line)));
    if let Some(prefix) = real.parent().and_then(Path::parent) {
        dirs.extend(libraries(prefix, "site-packages", line));
        // Debian keeps the packages of the system apart from those that its user installed.
        dirs.extend(libraries(&prefix.join("local"), "dist-packages", line));
        dirs.push(prefix.join("lib/python3/dist-packages"));
    }
    dirs
}

/// `lib/python3.X/NAME` under a prefix: of that Python, or of all where its name does not tell.
fn libraries(prefix: &Path, name: &str, line: Option<&str>) -> Vec<PathBuf> {
    let lib = prefix.join("lib");
    if let Some(line) = line {
        return vec![lib.join(line).join(name)];
    }
    let mut found: Vec<PathBuf> = fs::read_dir(lib)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_bytes().starts_with(b"python3."))
        .map(|entry| entry.path().join(name))
        .collect();
    found.sort();
    found
}

fn setting<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(k, _)| k.trim() == name)
        .map(|(_, v)| v.trim())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_in_a_name() {
        let cases = [
            ("twisted-26.10.0.dist-info", Some("26.10.0")),
            ("Twisted-22.4.0-py3.11.egg-info", Some("22.4.0")),
            ("twisted-26.10.0rc1.dist-info", Some("26.10.0rc1")),
            ("twisted_iocpsupport-1.0.dist-info", None),
            ("twisted", None),
            ("twisted-26.10.0.data", None),
        ];
        for (name, expected) in cases {
            assert_eq!(version(name.as_bytes()).as_deref(), expected, "{name}");
        }
    }
}
