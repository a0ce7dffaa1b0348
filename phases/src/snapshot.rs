//! Facts of this machine, taken read-only, for the model.

pub mod file;
mod held;
pub mod interpreter;
mod machine;
mod network;
mod process;

pub use held::{Held, held};
pub use machine::This;
pub use process::{Credential, Process, credential, has_guard, heeds, process};

use crate::sys::{failed, identity, namespace, settings};
use engine::effect::SystemError;
use engine::plan::Plan;
use engine::snapshot::{Group, Restrictions, Snapshot, User};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who we are, and the users and groups that a spec names: all that a plan needs.
pub fn people(users: &[String], groups: &[String], cwd: &Path) -> Result<Snapshot, SystemError> {
    let identity = identity::root_inode()
        .and_then(|root| identity::read(Path::new("/"), root, identity::bounding()))
        .map_err(|e| failed(e, "read the identity"))?;
    Ok(Snapshot {
        identity,
        settings: settings::read(),
        users: users.iter().map(|text| Ok((text.clone(), user(text)?))).collect::<Result<_, _>>()?,
        groups: groups.iter().map(|text| Ok((text.clone(), group(text)?))).collect::<Result<_, _>>()?,
        restrictions: Restrictions { namespace: namespace::own() },
        unprivileged_port: 1024,
        cwd: cwd.to_owned(),
        ..Snapshot::default()
    })
}

/// The id in a text; the last one means "leave it as it is" to the kernel, and is nobody's.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// Looks into a database of users or groups. That nothing is there has as many numbers as libraries that
/// look (getpwnam(3)); all others mean that nobody knows.
fn entry<T>(
    what: &str,
    text: &str,
    look: impl Fn() -> Result<Option<T>, Errno>,
) -> Result<Option<T>, SystemError> {
    loop {
        match look() {
            Ok(entry) => return Ok(entry),
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(failed(error, format!("look the {what} `{}` up", engine::text::clean(text))));
            }
        }
    }
}

/// The entry of a user; `None` if there is none. A number is a number first, then a name: as twistd reads it.
///
/// # Errors
/// The database cannot be asked.
pub fn user(text: &str) -> Result<Option<User>, SystemError> {
    let number = id(text);
    let found = entry("user", text, || match number {
        Some(uid) => nix::unistd::User::from_uid(Uid::from_raw(uid)),
        None => nix::unistd::User::from_name(text),
    })?;
    Ok(match (found, number) {
        (Some(entry), _) => {
            let mut groups = member_of(&entry.name, entry.gid);
            groups.sort_unstable();
            groups.dedup();
            Some(User {
                uid: entry.uid.as_raw(),
                gid: Some(entry.gid.as_raw()),
                groups,
                home: entry.dir,
                shell: entry.shell,
                name: entry.name,
            })
        }
        (None, Some(uid)) => Some(User {
            name: text.to_owned(),
            uid,
            gid: None,
            groups: Vec::new(),
            home: PathBuf::from("/"),
            shell: Default::default(),
        }),
        (None, None) => None,
    })
}

fn member_of(name: &str, gid: Gid) -> Vec<u32> {
    let name = CString::new(name).unwrap_or_default();
    match nix::unistd::getgrouplist(&name, gid) {
        Ok(groups) => groups.into_iter().map(|g| g.as_raw()).collect(),
        Err(_) => vec![gid.as_raw()],
    }
}

fn group(text: &str) -> Result<Option<Group>, SystemError> {
    let number = id(text);
    let found = entry("group", text, || match number {
        Some(gid) => nix::unistd::Group::from_gid(Gid::from_raw(gid)),
        None => nix::unistd::Group::from_name(text),
    })?;
    Ok(match (found, number) {
        (Some(entry), _) => Some(Group { name: entry.name, gid: entry.gid.as_raw() }),
        (None, Some(gid)) => Some(Group { name: text.to_owned(), gid }),
        (None, None) => None,
    })
}

/// All that the plan will meet: files, programs, interpreters, ports. `hosted`: for whoever is to judge or
/// to run it; a wrapper script of an interpreter may have to be asked, which takes its time.
pub fn take(snapshot: &mut Snapshot, plan: &Plan, hosted: bool) {
    engine::snapshot::survey(snapshot, plan, Some(&mut This::default()), hosted);
}

/// Why a file in the working directory may be another's than ours: its owner, its mode, or those of
/// the directory.
pub fn others_may_write(path: &Path) -> Option<String> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let me = nix::unistd::geteuid().as_raw();
    [path, dir].into_iter().find_map(|place| {
        let meta = std::fs::metadata(place).ok()?;
        let theirs = meta.uid() != me && meta.uid() != 0;
        (theirs || meta.mode() & 0o022 != 0).then(|| {
            let mode = meta.mode() & 0o7777;
            format!("{} is {}:{} {mode:04o}, so others may write it", place.display(), meta.uid(), meta.gid())
        })
    })
}
