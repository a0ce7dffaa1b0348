//! Who this process is right now, asked of the kernel: after chroot(2) there is no /proc to read.

use super::{Around, Listening};
use engine::effect::{CapabilitySet, Identity};
use nix::errno::Errno;
use nix::unistd::{getgroups, getpid, getppid, getresgid, getresuid, getsid};
use rustix::thread::{
    CapabilitySet as Bits, capabilities, capability_is_in_ambient_set, capability_is_in_bounding_set,
    no_new_privs,
};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// No more of a journal is read than this.
const JOURNAL_LIMIT: usize = 16 << 20;

/// The answer to "who are you".
pub fn whoami(around: &Around) -> Result<Value, Errno> {
    let (uid, gid) = (getresuid()?, getresgid()?);
    let mut groups: Vec<u32> = getgroups()?.iter().map(|g| g.as_raw()).collect();
    groups.sort_unstable();
    let sets = capabilities(None).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    let Identity { root, umask, .. } = around.identity;
    Ok(json!({
        "schema": 1,
        "name": "whoami",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": getpid().as_raw(),
        "ppid": getppid().as_raw(),
        "sid": getsid(None)?.as_raw(),
        "uid": [uid.real.as_raw(), uid.effective.as_raw(), uid.saved.as_raw()],
        "gid": [gid.real.as_raw(), gid.effective.as_raw(), gid.saved.as_raw()],
        "groups": groups,
        "capabilities": named(sets.effective),
        "permitted": named(sets.permitted),
        "inheritable": named(sets.inheritable),
        "ambient": each(|bit| capability_is_in_ambient_set(bit).unwrap_or(false)),
        "bounding": each(|bit| capability_is_in_bounding_set(bit).unwrap_or(false)),
        "no_new_privs": no_new_privs().ok(),
        "root": root.to_string_lossy(),
        "cwd": std::env::current_dir().ok().map(|p| p.to_string_lossy().into_owned()),
        "umask": format!("{umask:03o}"),
        "listening": around.listening.iter().map(Listening::address).collect::<Vec<_>>(),
    }))
}

fn named(bits: Bits) -> CapabilitySet {
    CapabilitySet(bits.bits())
}

/// The set of those that `has` says yes to; the kernel refuses the numbers it does not know.
fn each(has: impl Fn(Bits) -> bool) -> CapabilitySet {
    let held = (0..64).filter(|bit| has(Bits::from_bits_retain(1 << bit)));
    CapabilitySet(held.fold(0, |set, bit| set | 1 << bit))
}

/// The journal from its beginning, without moving the place where others append to it.
pub fn read_journal(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0u8; 64 * 1024];
    while bytes.len() < JOURNAL_LIMIT {
        match file.read_at(&mut chunk, bytes.len() as u64) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}
