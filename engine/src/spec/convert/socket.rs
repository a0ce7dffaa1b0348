//! A socket that is written as a mapping, `{ unix: /run/app.sock, mode: 0660 }`: put into the notation of the
//! command line, where it gets its type.

use super::reader::Reader;
use crate::diagnostic::{At, Place};
use crate::spec::tree::{Key, Node};

/// What an address begins with.
const ADDRESSES: [&str; 4] = ["tcp", "udp", "unix", "inherit"];

/// Whether a mapping begins as one of a socket does.
pub(super) fn is_one(entries: &[(Key<'_>, Node<'_>)]) -> bool {
    entries.first().is_some_and(|(key, _)| ADDRESSES.contains(&key.v.as_ref()))
}

/// `unix:/run/app.sock,mode=0660`, found where the mapping begins.
pub(super) fn compact(
    reader: &mut Reader,
    at: Place,
    entries: Vec<(Key<'_>, Node<'_>)>,
) -> Option<At<String>> {
    let mut compact = String::new();
    for (n, (key, node)) in entries.into_iter().enumerate() {
        let value = reader.text(&key.v, key.at, node)?;
        let (before, between) = if n == 0 { ("", ":") } else { (",", "=") };
        for part in [before, &doubled(&key.v), between, &doubled(&value.v)] {
            compact.push_str(part);
        }
    }
    Some(At::new(compact, at))
}

/// A comma of a part itself is written twice.
fn doubled(text: &str) -> String {
    text.replace(',', ",,")
}
