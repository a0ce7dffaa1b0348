//! The drop: setgroups, setresgid, setresuid, read back, and the way back refused.

use super::Host;
use crate::sys::{failed, process, settings};
use engine::effect::{Capability, CapabilitySet, Done, Handle, SecureBits, SystemError, Undo};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, setgroups, setresgid, setresuid};
use std::os::fd::OwnedFd;

/// What the three ids are to become: all of them, or only the effective one.
fn wanted_ids(now: [u32; 3], id: u32, effective: bool) -> [u32; 3] {
    if effective { [now[0], id, now[2]] } else { [id; 3] }
}

/// "leave it as it is" for setresuid(2) and setresgid(2).
const SAME: u32 = u32::MAX;

impl Host {
    pub(super) fn set_credential(
        &mut self,
        uid: Option<u32>,
        gid: Option<u32>,
        groups: Option<&[u32]>,
        effective: bool,
        keep: CapabilitySet,
    ) -> Result<Done, SystemError> {
        let before = self.read_identity()?;
        let denied = |error: Errno, what: String, capability| {
            let error_text = failed(error, what);
            if error == Errno::EPERM {
                error_text.lacks(capability).help("start it as root, or leave the user and group away")
            } else {
                error_text
            }
        };
        let mut wanted = groups.map(<[u32]>::to_vec);
        if let Some(wanted) = &mut wanted {
            wanted.sort_unstable();
            wanted.dedup();
        }
        let kind = if effective { "e" } else { "res" };
        let uids = uid.map_or(before.uid, |id| wanted_ids(before.uid, id, effective));
        let gids = gid.map_or(before.gid, |id| wanted_ids(before.gid, id, effective));
        let left_root = before.uid.contains(&0) && !uids.contains(&0);
        let keeps = !keep.is_empty() && left_root && !before.securebits.has(SecureBits::KEEP_CAPS);
        if keeps {
            settings::keep_capabilities(true).map_err(|e| failed(e, "keep capabilities over setresuid"))?;
        }
        let change = || {
            if let Some(wanted) = wanted.as_ref().filter(|w| **w != before.groups) {
                let list: Vec<Gid> = wanted.iter().map(|g| Gid::from_raw(*g)).collect();
                setgroups(&list)
                    .map_err(|e| denied(e, format!("setgroups {wanted:?}"), Capability::Setgid))?;
            }
            let others = |id: u32| if effective { SAME } else { id };
            if let Some(id) = gid.filter(|_| before.gid != gids) {
                let (gid, other) = (Gid::from_raw(id), Gid::from_raw(others(id)));
                setresgid(other, gid, other)
                    .map_err(|e| denied(e, format!("set{kind}gid {id}"), Capability::Setgid))?;
            }
            if let Some(id) = uid.filter(|_| before.uid != uids) {
                let (uid, other) = (Uid::from_raw(id), Uid::from_raw(others(id)));
                setresuid(other, uid, other)
                    .map_err(|e| denied(e, format!("set{kind}uid {id}"), Capability::Setuid))?;
            }
            Ok(())
        };
        let changed = change();
        if keeps {
            settings::keep_capabilities(false).map_err(|e| failed(e, "keep capabilities no longer"))?;
        }
        changed?;
        // The kernel leaves inheritable ones, which would come back with a file that has them too
        // (CVE-2022-24769), and with some securebits all of them.
        if !keep.is_empty() || left_root {
            self.keep_capabilities(keep, left_root)?;
        }
        self.verify(uids, gids, wanted.as_deref(), left_root.then_some(keep), before.gid)?;
        Ok(Done::with(Undo::EndsWithProcess))
    }

    /// These capabilities and no other, in every set but the bounding one. Behind setresuid, which clears
    /// the ambient set (capabilities(7)). Where they cannot be kept by somebody who has left root, none is.
    fn keep_capabilities(&mut self, keep: CapabilitySet, left_root: bool) -> Result<(), SystemError> {
        let names: Vec<_> = keep.iter().map(Capability::name).collect();
        let what = match names.is_empty() {
            true => "clear the capabilities".to_owned(),
            false => format!("keep {}", names.join(" ")),
        };
        let kept =
            settings::set_capabilities(keep, keep, keep).map_err(|e| failed(e, &what)).and_then(|()| {
                let ambient = self.read_identity()?.ambient;
                settings::set_ambient(ambient, keep).map_err(|e| failed(e, &what))
            });
        if kept.is_err() && left_root {
            let none = CapabilitySet::EMPTY;
            settings::set_capabilities(none, none, none).map_err(|e| failed(e, "clear the capabilities"))?;
        }
        kept
    }

    /// Removes a name as the user that its handle came from, where that is not us.
    ///
    /// The launcher and the guard keep the starting credential; what a dropped process made must not
    /// be undone with it (a directory descriptor of its choice, and root would unlink any file). Only
    /// the effective ids change: with its real or saved id that user could signal this process.
    pub(super) fn as_whoever_made<T>(
        &mut self,
        handle: Handle,
        act: impl FnOnce(&mut Self) -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        let Some(drop) = self.drop.clone().filter(|_| self.distrusted.contains(&handle.0)) else {
            return act(self);
        };
        let before = self.read_identity()?;
        if before.uid == [drop.uid; 3] {
            // Left behind after the drop: it is that user, and can become nobody else.
            return act(self);
        }
        let (same_uid, same_gid) = (Uid::from_raw(SAME), Gid::from_raw(SAME));
        let groups = |groups: &[u32]| {
            let list: Vec<Gid> = groups.iter().map(|g| Gid::from_raw(*g)).collect();
            setgroups(&list)
        };
        let become_it = groups(&drop.groups)
            .and_then(|()| setresgid(same_gid, Gid::from_raw(drop.gid), same_gid))
            .and_then(|()| setresuid(same_uid, Uid::from_raw(drop.uid), same_uid));
        let done = match become_it {
            Ok(()) => act(self),
            Err(error) => Err(failed(error, format!("become user {} for the undo", drop.uid))),
        };
        let back = setresuid(same_uid, Uid::from_raw(before.uid[1]), same_uid)
            .and_then(|()| setresgid(same_gid, Gid::from_raw(before.gid[1]), same_gid))
            .and_then(|()| groups(&before.groups));
        back.map_err(|e| failed(e, "become the starting user again after an undo"))?;
        done
    }

    /// Signals a process as the user that its handle came from, where that is not us: by a process
    /// that drops for good first, because kill(2) looks at the real id too.
    pub(super) fn signal_as_whoever_started(
        &self,
        handle: Handle,
        pidfd: &OwnedFd,
        signal: Signal,
    ) -> Result<bool, Errno> {
        let Some(drop) = self.drop.as_ref().filter(|_| self.distrusted.contains(&handle.0)) else {
            return process::signal(pidfd, signal);
        };
        let ids = nix::unistd::getresuid()?;
        if [ids.real, ids.effective, ids.saved].iter().all(|id| id.as_raw() == drop.uid) {
            return process::signal(pidfd, signal);
        }
        let forked = match self.application {
            // It holds what is its own and goes on; the child makes system calls only.
            Some(_) => process::fork_beside_threads(),
            None => process::fork(),
        };
        match forked? {
            ForkResult::Child => {
                let groups: Vec<Gid> = drop.groups.iter().map(|g| Gid::from_raw(*g)).collect();
                let (uid, gid) = (Uid::from_raw(drop.uid), Gid::from_raw(drop.gid));
                let dropped = setgroups(&groups)
                    .and_then(|()| setresgid(gid, gid, gid))
                    .and_then(|()| setresuid(uid, uid, uid));
                let sent = dropped.and_then(|()| process::signal(pidfd, signal));
                process::exit_now(match sent {
                    Ok(true) => 0,
                    Ok(false) => 1,
                    Err(_) => 2,
                })
            }
            ForkResult::Parent { child } => match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => Ok(true),
                WaitStatus::Exited(_, 1) => Ok(false),
                _ => Err(Errno::EPERM),
            },
        }
    }

    /// Reads everything back, and where root was left (`kept`) proves that the old ids are out of reach (PEERS.md 2.3, rule 4).
    fn verify(
        &self,
        uids: [u32; 3],
        gids: [u32; 3],
        groups: Option<&[u32]>,
        kept: Option<CapabilitySet>,
        old_gid: [u32; 3],
    ) -> Result<(), SystemError> {
        let now = self.read_identity()?;
        let wrong = |what: &str| {
            Err(SystemError::new(format!("the drop did not take: {what}"))
                .why(format!("the kernel says uid {:?} gid {:?} groups {:?}, {}", now.uid, now.gid, now.groups, engine::text::count(now.caps.len(), "capability")))
                .help("securebits, a user namespace or a security module may be in the way; nothing was started"))
        };
        if now.uid != uids {
            return wrong("the user ids differ from those asked for");
        }
        if now.gid != gids {
            return wrong("the group ids differ from those asked for");
        }
        if groups.is_some_and(|g| now.groups != g) {
            return wrong("the supplementary groups differ from those asked for");
        }
        if uids[1] != 0 && uids.contains(&0) && !now.caps.is_empty() {
            return wrong("effective capabilities are left");
        }
        let Some(kept) = kept else { return Ok(()) };
        if [now.caps, now.permitted, now.ambient, now.inheritable].iter().any(|set| *set != kept) {
            return wrong("capabilities are left, or those to be kept are not");
        }
        let (root, same) = (Uid::from_raw(0), Uid::from_raw(SAME));
        // Who keeps cap_setuid can be anybody: the check says so, and it was asked for.
        let regained = || setresuid(same, root, same).is_ok() || setresuid(root, same, same).is_ok();
        if !kept.has(Capability::Setuid) && regained() {
            return wrong("root could be regained");
        }
        let (same, back) = (Gid::from_raw(SAME), Gid::from_raw(old_gid[1]));
        let regained = || setresgid(same, back, same).is_ok();
        if !kept.has(Capability::Setgid) && !gids.contains(&old_gid[1]) && regained() {
            return wrong("the old group could be regained");
        }
        Ok(())
    }
}
