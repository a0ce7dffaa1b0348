//! Facts as JSON: paths that are not UTF-8 survive, a key that is written twice is an error.

use crate::effect::Identity;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path as text: `\` is `\\`, and a byte that is no UTF-8 is `\xff`.
pub(super) fn escape(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The path that such a text means; `None` if it means none.
fn unescape(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match (first, rest) {
            (0, _) => return None,
            (b'\\', [b'\\', more @ ..]) => {
                bytes.push(b'\\');
                rest = more;
            }
            (b'\\', [b'x', a, b, more @ ..]) => {
                let digits = [*a, *b];
                let digits = std::str::from_utf8(&digits).ok().filter(|d| !d.starts_with('+'))?;
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|b| *b != 0)?);
                rest = more;
            }
            (b'\\', _) => return None,
            (byte, _) => bytes.push(*byte),
        }
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

/// A path on its way to JSON or from it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(PathBuf);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        unescape(&text).map(Text).ok_or_else(|| Error::custom(format!("`{text}` is no path")))
    }
}

/// A mapping in which no key stands twice.
struct Strict<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord + Serialize, V: Deserialize<'de>> Visitor<'de> for Strict<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<K>()? {
            if map.contains_key(&key) {
                let key = serde_json::to_string(&key).unwrap_or_default();
                return Err(A::Error::custom(format!("the key {key} stands there twice")));
            }
            map.insert(key, entries.next_value()?);
        }
        Ok(map)
    }
}

/// Reads a mapping in which no key stands twice.
pub(super) fn map<'de, D, K, V>(d: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + Serialize,
    V: Deserialize<'de>,
{
    d.deserialize_map(Strict(PhantomData))
}

/// An identity. Journals are read with what they lack or have besides, and show paths to people;
/// facts are exact.
pub(super) mod identity {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(identity: &Identity, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let paths = [("root", escape(&identity.root)), ("cwd", escape(&identity.cwd))];
        let plain = Identity { root: PathBuf::new(), cwd: PathBuf::new(), ..identity.clone() };
        let mut whole = serde_json::to_value(plain).map_err(S::Error::custom)?;
        for (key, path) in paths {
            whole[key] = path.into();
        }
        whole.serialize(s)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Identity, D::Error> {
        let mut given: BTreeMap<String, serde_json::Value> = map(d)?;
        // What stands there only where it is so may be absent.
        let known = serde_json::to_value(Identity { seccomp: true, ..Identity::default() });
        let known = known.map_err(Error::custom)?;
        if let Some(key) = given.keys().find(|key| known.get(key).is_none()) {
            return Err(Error::custom(format!("unknown field `{key}` of the identity")));
        }
        let missing = known
            .as_object()
            .and_then(|k| k.keys().find(|key| *key != "seccomp" && !given.contains_key(*key)));
        if let Some(key) = missing {
            return Err(Error::custom(format!("missing field `{key}` of the identity")));
        }
        let mut path = |key: &str| {
            let text = given.insert(key.to_owned(), "".into()).unwrap_or_default();
            Text::deserialize(text)
                .map(|t| t.0)
                .map_err(|e| Error::custom(format!("the identity's {key}: {e}")))
        };
        let (root, cwd) = (path("root")?, path("cwd")?);
        let whole = serde_json::Value::Object(given.into_iter().collect());
        let identity: Identity =
            serde_json::from_value(whole).map_err(|e| Error::custom(format!("the identity: {e}")))?;
        Ok(Identity { root, cwd, ..identity })
    }
}

pub(super) mod path {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&escape(path))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        Ok(Text::deserialize(d)?.0)
    }
}

pub(super) mod paths {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(paths: &[PathBuf], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(paths.iter().map(|p| escape(p)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Text>::deserialize(d)?.into_iter().map(|t| t.0).collect())
    }
}

pub(super) mod path_map {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer, V: Serialize>(
        map: &BTreeMap<PathBuf, V>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_map(map.iter().map(|(path, value)| (escape(path), value)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>, V: DeserializeOwned>(
        d: D,
    ) -> Result<BTreeMap<PathBuf, V>, D::Error> {
        let map: BTreeMap<Text, V> = map(d)?;
        map.into_iter()
            .map(|(Text(path), value)| match path.is_absolute() {
                true => Ok((path, value)),
                false => Err(Error::custom(format!("`{}` is no absolute path", escape(&path)))),
            })
            .collect()
    }
}

pub(super) mod programs {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        map: &BTreeMap<String, Option<PathBuf>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_map(map.iter().map(|(word, found)| (word, found.as_deref().map(escape))))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<String, Option<PathBuf>>, D::Error> {
        let map: BTreeMap<String, Option<Text>> = map(d)?;
        Ok(map.into_iter().map(|(word, found)| (word, found.map(|t| t.0))).collect())
    }
}

/// Permission bits, in octal as chmod(1) has them.
pub(super) mod mode {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(mode: &u32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{mode:04o}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
        let text = String::deserialize(d)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 && !text.starts_with('+') => Ok(mode),
            _ => Err(Error::custom(format!("`{text}` is no mode"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back() {
        for bytes in
            [&b"/plain"[..], b"/a\\b", b"/\xff\xfe", b"/\\xff", b"/new\nline", "/ü\\".as_bytes(), b""]
        {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            assert_eq!(unescape(&escape(&path)).as_deref(), Some(path.as_path()), "{}", escape(&path));
        }
        for text in ["\\", "\\x", "\\xf", "\\x+f", "\\x00", "a\\n", "\0", "\\xé"] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }
}
