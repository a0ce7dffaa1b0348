//! An identity in the journal: capability sets as the hexadecimal masks of /proc/PID/status, a tenth
//! of the size of their names.

use crate::effect::{CapabilitySet, Identity, NamespaceSet, SecureBits};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Written<'a> {
    uid: [u32; 3],
    gid: [u32; 3],
    groups: &'a [u32],
    /// effective, permitted, inheritable, ambient, bounding
    caps: [String; 5],
    root: &'a Path,
    cwd: &'a Path,
    umask: String,
    #[serde(skip_serializing_if = "is_false")]
    no_new_privs: bool,
    #[serde(skip_serializing_if = "is_none")]
    securebits: u32,
    #[serde(skip_serializing_if = "is_false")]
    seccomp: bool,
    #[serde(skip_serializing_if = "NamespaceSet::is_empty")]
    namespaces: NamespaceSet,
}

#[derive(Deserialize)]
struct Read {
    uid: [u32; 3],
    gid: [u32; 3],
    groups: Vec<u32>,
    caps: [String; 5],
    root: PathBuf,
    cwd: PathBuf,
    umask: String,
    #[serde(default)]
    no_new_privs: bool,
    #[serde(default)]
    securebits: u32,
    #[serde(default)]
    seccomp: bool,
    #[serde(default)]
    namespaces: NamespaceSet,
}

fn is_false(bit: &bool) -> bool {
    !bit
}

fn is_none(bits: &u32) -> bool {
    *bits == 0
}

pub fn serialize<S: Serializer>(id: &Identity, s: S) -> Result<S::Ok, S::Error> {
    let sets = [id.caps, id.permitted, id.inheritable, id.ambient, id.bounding];
    Written {
        uid: id.uid,
        gid: id.gid,
        groups: &id.groups,
        caps: sets.map(|set| format!("{:x}", set.0)),
        root: &id.root,
        cwd: &id.cwd,
        umask: format!("{:03o}", id.umask),
        no_new_privs: id.no_new_privs,
        securebits: id.securebits.0,
        seccomp: id.seccomp,
        namespaces: id.namespaces,
    }
    .serialize(s)
}

pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Box<Identity>, D::Error> {
    let read = Read::deserialize(d)?;
    let mut sets = [CapabilitySet::EMPTY; 5];
    for (set, text) in sets.iter_mut().zip(&read.caps) {
        *set = CapabilitySet(u64::from_str_radix(text, 16).map_err(D::Error::custom)?);
    }
    let [caps, permitted, inheritable, ambient, bounding] = sets;
    let umask = u32::from_str_radix(&read.umask, 8).map_err(D::Error::custom)?;
    let Read { uid, gid, groups, root, cwd, no_new_privs, securebits, seccomp, namespaces, .. } = read;
    Ok(Box::new(Identity {
        uid,
        gid,
        groups,
        caps,
        permitted,
        inheritable,
        ambient,
        bounding,
        root,
        cwd,
        umask,
        no_new_privs,
        securebits: SecureBits(securebits),
        seccomp,
        landlock: Default::default(),
        namespaces,
    }))
}
