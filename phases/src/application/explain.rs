//! Why execve(2) refused, in facts: read after it failed, by the process that would have run it.

use crate::snapshot::interpreter;
use engine::effect::SystemError;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::stat;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, faccessat, getegid, geteuid};
use std::path::{Path, PathBuf};

/// What is executed besides.
fn loader(path: &Path) -> Option<PathBuf> {
    interpreter::of(path).ok().flatten().map(|needs| needs.path)
}

/// The error for a failed execve of `path`, as seen in the present root.
pub fn exec(errno: Errno, path: &Path) -> SystemError {
    let error = SystemError::errno(errno as i32, format!("run {}", path.display()));
    match errno {
        Errno::ENOENT => match (stat(path).is_ok(), loader(path)) {
            (true, Some(loader)) => error
                .why(format!(
                    "the file is there, but what runs it, {}, is not in this root",
                    loader.display()
                ))
                .help(format!(
                    "put {} and the libraries it loads here too, or use a static program",
                    loader.display()
                )),
            (true, None) => error.why("the file is there, but its interpreter or loader is not in this root"),
            (false, _) => error
                .why("it was there when it was loaded and is not seen from here")
                .help("if the root was changed in between, or something was mounted over it, put it there, or load after that"),
        },
        Errno::EACCES | Errno::EPERM => match denied(path) {
            Some((why, help)) => error.why(why).help(help),
            None => error.why(format!("this process is {}:{}", geteuid(), getegid())),
        },
        Errno::EAGAIN => limit(error),
        Errno::ENOEXEC => error
            .why("it is neither a program of this machine nor a script that starts with #!")
            .help("name its interpreter before it, or add a #! line"),
        Errno::ETXTBSY => error.why("someone has the file open for writing"),
        Errno::E2BIG => error.why("arguments and environment together are larger than the kernel allows"),
        Errno::ELOOP => error.why("too many links, or scripts that name scripts as their interpreter"),
        _ => error,
    }
}

/// EAGAIN of fork or execve: the limit on processes of a user, which root does not feel and the
/// dropped user does.
pub fn limit(error: SystemError) -> SystemError {
    let limit = match getrlimit(Resource::RLIMIT_NPROC) {
        Ok((soft, _)) if soft != nix::sys::resource::RLIM_INFINITY => format!(" of {soft}"),
        _ => String::new(),
    };
    error
        .why(format!("the limit{limit} on the processes of user {} is reached (RLIMIT_NPROC)", geteuid()))
        .help("raise the limit (ulimit -u), or end processes of that user")
}

/// EMFILE of any call: the limit that was set for the program is that of this process, too.
pub fn too_many_files(error: SystemError) -> SystemError {
    if error.errno != Some(Errno::EMFILE as i32) || error.why.is_some() {
        return error;
    }
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => error
            .why(format!("the limit of open files is {soft}, for the start as for the program (RLIMIT_NOFILE)"))
            .help("raise it: in the phase that sets it (`--limit-nofile`), or where this is started from (ulimit -n)"),
        Err(_) => error,
    }
}

fn denied(path: &Path) -> Option<(String, String)> {
    let who = format!("{}:{}", geteuid(), getegid());
    let may = |p: &Path, how| faccessat(AT_FDCWD, p, how, AtFlags::AT_EACCESS).is_ok();
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let closed = above.into_iter().find(|d| !d.as_os_str().is_empty() && !may(d, AccessFlags::X_OK));
    let shown = |p: &Path| match stat(p) {
        Ok(s) => format!("{} is {}:{} {:04o}", p.display(), s.st_uid, s.st_gid, s.st_mode & 0o7777),
        Err(e) => format!("{} cannot be looked at ({e})", p.display()),
    };
    if let Some(directory) = closed {
        let why = format!("{} and this process is {who}", shown(directory));
        return Some((why, format!("let {who} enter {}", directory.display())));
    }
    if !may(path, AccessFlags::X_OK) {
        if statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC)) {
            let why = format!("{} is on a filesystem mounted noexec", path.display());
            return Some((why, "move it, or remount without noexec".into()));
        }
        let why = format!("{} and this process is {who}", shown(path));
        return Some((why, format!("let {who} execute {}", path.display())));
    }
    let Some(loader) = loader(path).filter(|loader| !may(loader, AccessFlags::X_OK)) else {
        let why = format!(
            "modes and mounts let {who} execute it: what is left to it is less (Landlock, another security module)"
        );
        return Some((why, "list the program, its interpreter and its loader there".into()));
    };
    let why =
        format!("its interpreter or loader cannot be run: {}, and this process is {who}", shown(&loader));
    Some((why, format!("let {who} execute {}", loader.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_loader_of_programs_and_scripts_is_found() {
        let own = loader(Path::new("/bin/sh")).expect("sh is dynamic on this machine");
        assert!(own.to_string_lossy().contains("ld-"), "{own:?}");
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("s");
        std::fs::write(&script, "#! /no/such/interp -x\n").unwrap();
        assert_eq!(super::loader(&script), Some(PathBuf::from("/no/such/interp")));
        let error = exec(Errno::ENOENT, &script);
        assert!(error.why.unwrap().contains("/no/such/interp"));
    }
}
