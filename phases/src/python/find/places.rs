//! Where programs and libraries are looked for.

use super::binary::Binary;
use super::executable;
use engine::effect::SystemError;
use engine::text::clean;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where programs are looked for if the environment does not say.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first program of that name along `PATH`, not in the directory `but`.
pub(super) fn along_path(word: &str, but: Option<&Path>) -> Result<PathBuf, SystemError> {
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from(USUAL));
    // A relative entry would be anyone's directory for a privileged process.
    let directories = || env::split_paths(&path).filter(|d| d.is_absolute() && Some(d.as_path()) != but);
    let near = directories().map(|d| d.join(word)).find(|candidate| candidate.exists());
    directories().map(|d| d.join(word)).find(|c| executable(c).is_ok()).ok_or_else(|| {
        let word = clean(word);
        let error = SystemError::new(format!("find Python: there is no {word} on PATH"));
        let help = "install it (`apt install python3`), or name the interpreter with --interpreter";
        match near.map(|n| executable(&n)) {
            Some(Err(why)) => error.why(why.message).help(help),
            _ => error.why(format!("searched {}", clean(&path.to_string_lossy()))).help(help),
        }
    })
}

/// The library that the program loads, as ld.so(8) would find it.
pub(super) fn needed(name: &str, binary: &Binary, file: &Path) -> Option<PathBuf> {
    let origin = file.parent().unwrap_or(Path::new("/"));
    let own = |list: Option<&str>| -> Vec<PathBuf> {
        let text = list.unwrap_or_default();
        let text = text.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", &origin.to_string_lossy());
        text.split(':').filter(|d| d.starts_with('/')).map(PathBuf::from).collect()
    };
    let mut directories = own(binary.rpath());
    directories.extend(loader());
    directories.splice(..0, own(binary.runpath()));
    directories.iter().map(|d| d.join(name)).find(|p| p.is_file())
}

/// A library that lies beside a program that does not load it.
pub(super) fn beside(name: &str, home: &Path) -> Option<PathBuf> {
    let prefix = home.parent().unwrap_or(Path::new("/"));
    let mut directories = vec![prefix.join("lib"), prefix.join("lib64")];
    directories.extend(loader());
    directories.iter().map(|d| d.join(name)).find(|p| p.is_file())
}

/// Where ld.so(8) looks: LD_LIBRARY_PATH, what ld.so.conf names, and the usual places.
fn loader() -> Vec<PathBuf> {
    let given = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&given).filter(|d| d.is_absolute()).collect();
    let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
    if let Ok(entries) = fs::read_dir("/etc/ld.so.conf.d") {
        let mut more: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_default();
        directories.extend(text.lines().map(str::trim).filter(|l| l.starts_with('/')).map(PathBuf::from));
    }
    let machine = env::consts::ARCH;
    for root in ["/usr/local", "/usr", ""] {
        directories.push(PathBuf::from(format!("{root}/lib/{machine}-linux-gnu")));
        directories.push(PathBuf::from(format!("{root}/lib64")));
        directories.push(PathBuf::from(format!("{root}/lib")));
    }
    directories
}

/// The directory of the standard library.
pub(super) fn stdlib(version: (u8, u8), home: &Path, file: &Path) -> Option<PathBuf> {
    let name = format!("python{}.{}", version.0, version.1);
    [home.parent(), file.parent().and_then(Path::parent)]
        .into_iter()
        .flatten()
        .flat_map(|prefix| [prefix.join("lib").join(&name), prefix.join("lib64").join(&name)])
        .find(|dir| dir.join("os.py").is_file() || dir.join("os.pyc").is_file())
}
