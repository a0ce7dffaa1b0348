use super::*;
use std::os::unix::fs::symlink;
use std::process::Command;

fn debian() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/bin/python3");
    path.exists().then_some(path)
}

#[test]
fn versions_are_read_from_names() {
    let of = |name: &str| Version::of_library(name).map(|v| v.text());
    assert_eq!(of("libpython3.11.so.1.0"), Some("3.11".to_owned()));
    assert_eq!(of("libpython3.13t.so.1.0"), Some("3.13t".to_owned()));
    assert_eq!(of("libc.so.6"), None);
    assert_eq!(Version::of_program(Path::new("/usr/bin/python3")), None);
    assert_eq!(Version::of_program(Path::new("/usr/bin/python3.9")).map(|v| v.number), Some((3, 9)));
}

#[test]
fn old_and_free_threaded_are_refused_by_name() {
    let check = |text: &str| Version::parse(text).expect("version").check(Path::new("/p/python"));
    assert!(check("3.9").is_ok());
    let old = check("3.8").expect_err("old");
    assert_eq!(old.message, "host Python /p/python: version 3.8 is too old");
    assert!(check("3.13t").expect_err("t").message.contains("global interpreter lock"));
}

/// What is found without running it is what the interpreter says of itself when it is run.
#[test]
fn the_same_as_the_interpreter_says() {
    let mut found = Vec::new();
    for version in ["2.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"] {
        let versions = std::fs::read_dir(format!("{}/.pyenv/versions", env::var("HOME").unwrap_or_default()));
        let of = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with(&format!("{version}."));
        found.extend(versions.into_iter().flatten().flatten().find(of).map(|e| e.path().join("bin/python")));
    }
    found.extend(debian());
    for program in found {
        let script =
            "import sys, os; print('%d.%d' % sys.version_info[:2]); print(os.path.dirname(os.__file__))";
        let said = Command::new(&program).args(["-c", script]).output().expect("run");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = Version::parse(said.lines().next().expect("version")).expect("version");
        match find(program.to_str()) {
            Ok(interpreter) => {
                assert_eq!(interpreter.version, version.number, "{}", program.display());
                assert_eq!(interpreter.stdlib.to_str(), said.lines().nth(1), "{}", program.display());
                assert!(interpreter.library.is_file());
            }
            Err(error) => {
                let known = version.number < OLDEST || error.message.contains("was not found");
                assert!(known, "{}: {error:?}", program.display());
            }
        }
    }
}

#[test]
fn an_environment_is_known_by_where_the_program_is() {
    let Some(python) = debian().filter(|p| find(p.to_str()).is_ok()) else {
        return eprintln!("skipped: no Python of the system with a shared library");
    };
    let dir = tempfile::tempdir().expect("dir");
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).expect("bin");
    symlink(&python, bin.join("python3")).expect("link");
    std::fs::write(dir.path().join("pyvenv.cfg"), "home = /usr/bin\nversion = 3.11.2\n").expect("cfg");
    let by_directory = find(dir.path().to_str()).expect("directory");
    assert_eq!(by_directory.program, bin.join("python3"));
    assert_eq!(by_directory.environment.as_deref(), Some(dir.path()));
    assert_eq!(by_directory.stdlib, find(python.to_str()).expect("python").stdlib);
}

#[test]
fn what_is_no_interpreter_is_said_so() {
    let dir = tempfile::tempdir().expect("dir");
    let text = |name: &str| find(dir.path().join(name).to_str()).expect_err(name).message;
    assert!(text("missing").contains("No such file"), "{}", text("missing"));
    std::fs::write(dir.path().join("plain"), "hello").expect("write");
    assert!(text("plain").ends_with("it is not executable"));
    let run = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path().join("plain"), run.clone()).expect("mode");
    assert!(text("plain").ends_with("it is not a Python interpreter"));
    std::fs::write(dir.path().join("python"), "#!/bin/sh\nexit 3\n").expect("write");
    std::fs::set_permissions(dir.path().join("python"), run).expect("mode");
    assert!(text("python").ends_with("it cannot be run"), "{}", text("python"));
    symlink(dir.path().join("gone"), dir.path().join("link")).expect("link");
    assert!(find(dir.path().join("link").to_str()).expect_err("link").why.expect("why").contains("link"));
    let word = find(Some("python-of-nobody")).expect_err("word");
    assert_eq!(word.message, "find Python: there is no python-of-nobody on PATH");
}

#[test]
fn a_shell_is_not_python() {
    let error = find(Some("/bin/sh")).expect_err("sh");
    assert!(error.message.contains("not a Python") || error.message.contains("cannot be run"), "{error:?}");
}

/// A static program and a library are one build only if the version and the moment of the build are
/// the same.
#[test]
fn another_build_is_told() {
    let Some(found) = debian().and_then(|p| find(p.to_str()).ok()).filter(|f| !f.shared) else {
        return eprintln!("skipped: no static Python of the system with a shared library");
    };
    assert!(!found.is_build("3.11.7 (main, May  9 2026, 11:22:33) [GCC 12.2.0]"));
}
