//! Finding a program: by path or along PATH, in this root or in one that is not entered yet.

use crate::sys::walk;
use engine::effect::{Program, SystemError};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::env;
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Where programs are looked for if the environment does not say.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// its path as seen inside the root it will run in
    pub path: PathBuf,
    /// the same for execve(2)
    pub c_path: CString,
    /// sentences for the timeline
    pub notes: Vec<String>,
}

/// Find what `program` names. It must be a regular file that someone may execute.
pub fn find(program: &Program) -> Result<Found, SystemError> {
    let Some(name) = program.command.first() else {
        return Err(SystemError::new("there is no command to run"));
    };
    let what = format!("find program {}", engine::text::clean(name));
    if name.is_empty() {
        return Err(SystemError::new("find program: its name is empty").help("name a program after `--`"));
    }
    let root = Root::open(program.root.as_deref(), &what)?;
    let mut notes = Vec::new();
    let path = if name.contains('/') {
        let path = root.seen_inside(Path::new(name), &what)?;
        root.executable(&path).map_err(|refused| refused.error(&what, &root.describe(&path)))?;
        path
    } else {
        let (path, found_notes) = search(name, &root, &what)?;
        notes = found_notes;
        path
    };
    if Path::new(name) != path {
        notes.push(format!("{} is {}", engine::text::clean(name), root.describe(&path)));
    }
    let c_path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SystemError::new(format!("{what}: its path holds a NUL")))?;
    Ok(Found { path, c_path, notes })
}

fn search(name: &str, root: &Root, what: &str) -> Result<(PathBuf, Vec<String>), SystemError> {
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from(USUAL));
    let mut notes = Vec::new();
    let mut searched = Vec::new();
    let mut near: Option<String> = None;
    for directory in env::split_paths(&path) {
        if !directory.is_absolute() {
            // it would mean another directory after chdir, and anyone's for a privileged process
            notes.push(format!(
                "PATH entry `{}` is not absolute and was not searched",
                engine::text::clean(&directory.to_string_lossy())
            ));
            continue;
        }
        let candidate = directory.join(name);
        match root.executable(&candidate) {
            Ok(()) => return Ok((candidate, notes)),
            Err(Refusal::Errno(Errno::ENOENT | Errno::ENOTDIR)) => {}
            Err(refused) => {
                near.get_or_insert_with(|| format!("{} {}", root.describe(&candidate), refused.text()));
            }
        }
        searched.push(directory.display().to_string());
    }
    let mut why = match searched.is_empty() {
        true => "PATH holds no absolute directory".to_owned(),
        false => format!("searched {}", engine::text::clean(&searched.join(":"))),
    };
    if let Some(path) = &root.path {
        why += &format!(" inside {}", path.display());
    }
    if let Some(near) = near {
        why += &format!("; {near}");
    }
    let help = match &root.path {
        Some(path) => format!(
            "put the program and what it loads into {}, or give its path as seen there",
            path.display()
        ),
        None => "install it, or give its whole path".to_owned(),
    };
    Err(SystemError {
        errno: Some(Errno::ENOENT as i32),
        ..SystemError::new(format!("{what}: no such program"))
    }
    .why(why)
    .help(help))
}

/// The root directory in which a program is looked for.
struct Root {
    path: Option<PathBuf>,
    fd: OwnedFd,
}

enum Refusal {
    Errno(Errno),
    NotFile,
    NotExecutable(u32),
}

impl Root {
    fn open(path: Option<&Path>, what: &str) -> Result<Root, SystemError> {
        let path = path.filter(|p| *p != Path::new("/"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(path.unwrap_or(Path::new("/")), flags, Mode::empty()).map_err(|e| {
            let root = path.unwrap_or(Path::new("/")).display();
            SystemError::errno(e as i32, format!("{what} in {root}"))
                .help("make the new root directory first")
        })?;
        Ok(Root { path: path.map(Path::to_owned), fd })
    }

    /// `given`, which has a slash, as an absolute path inside this root.
    fn seen_inside(&self, given: &Path, what: &str) -> Result<PathBuf, SystemError> {
        if given.is_absolute() {
            return Ok(given.to_owned());
        }
        let cwd = env::current_dir().map_err(|e| {
            SystemError::new(format!("{what}: the working directory has no path here: {e}"))
                .help("give the program's whole path")
        })?;
        let whole: PathBuf =
            cwd.join(given).components().filter(|c| !matches!(c, Component::CurDir)).collect();
        match &self.path {
            None => Ok(whole),
            Some(root) => match whole.strip_prefix(root) {
                Ok(inside) => Ok(Path::new("/").join(inside)),
                Err(_) => Err(SystemError::new(format!(
                    "{what}: {} is outside {}",
                    whole.display(),
                    root.display()
                ))
                .why("the program is run after chroot, where only what is inside the new root can be reached")
                .help("give the program's path as seen inside the new root")),
            },
        }
    }

    /// Ok if that path leads to a regular file with an execute bit, links resolved inside the root.
    fn executable(&self, path: &Path) -> Result<(), Refusal> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let found = match &self.path {
            None => open(path, flags, Mode::empty()),
            Some(root) => {
                match walk::open_in_root(&self.fd, path, flags) {
                    // a kernel or a filter without openat2: links are then resolved in our root
                    Err(Errno::ENOSYS | Errno::EPERM) => {
                        let mut outside = root.clone().into_os_string().into_vec();
                        outside.extend(path.as_os_str().as_bytes());
                        open(Path::new(&OsString::from_vec(outside)), flags, Mode::empty())
                    }
                    other => other,
                }
            }
        };
        let stat = found.and_then(fstat).map_err(Refusal::Errno)?;
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Err(Refusal::NotFile);
        }
        match stat.st_mode & 0o111 {
            0 => Err(Refusal::NotExecutable(stat.st_mode & 0o7777)),
            _ => Ok(()),
        }
    }

    fn describe(&self, path: &Path) -> String {
        let shown = path.display().to_string();
        let shown = engine::text::clean(&shown);
        match &self.path {
            Some(root) => format!("{shown} inside {}", root.display()),
            None => shown.into_owned(),
        }
    }
}

impl Refusal {
    fn text(&self) -> String {
        match self {
            Refusal::Errno(e) => format!("cannot be looked at: {}", engine::text::errno_message(*e as i32)),
            Refusal::NotFile => "is not a regular file".into(),
            Refusal::NotExecutable(mode) => format!("is not executable: its mode is {mode:04o}"),
        }
    }

    fn error(self, what: &str, shown: &str) -> SystemError {
        match self {
            Refusal::Errno(e) => {
                let error = SystemError::errno(e as i32, what);
                match e {
                    Errno::ENOENT => {
                        error.why(format!("there is no {shown}")).help("check the path, or install it")
                    }
                    _ => error,
                }
            }
            Refusal::NotExecutable(_) => SystemError {
                errno: Some(Errno::EACCES as i32),
                ..SystemError::new(format!("{what}: {shown} {}", self.text()))
            }
            .help("chmod +x it, or name the interpreter before it"),
            Refusal::NotFile => SystemError::new(format!("{what}: {shown} {}", self.text())),
        }
    }
}
