//! The environment that a program gets.

use super::SystemError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

const EFBIG: i32 = 27;

/// What stays of the caller's environment, and what is put in its place. Later ones win: what is kept,
/// then the files, then what is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// names that are kept; one that ends in `*` stands for all that begin so
    pub keep: Vec<String>,
    /// files of `NAME=VALUE` lines, read by whoever runs the phase
    pub files: Vec<PathBuf>,
    /// names with their values
    pub set: Vec<(String, String)>,
}

/// What keeps a file of variables from being taken. It says nothing of what is in the file: that may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flaw {
    /// this line, from 1, is no `NAME=VALUE`
    Line(usize),
    /// this line, from 1, is not UTF-8 text
    Text(usize),
    /// it has so many bytes, more than [`Flaw::LARGEST`]
    Large(u64),
}

impl Flaw {
    /// A file of variables may have so many bytes: arguments and variables together may have 2 MiB (execve(2)).
    pub const LARGEST: u64 = 4 << 20;

    /// The error of the start that is to read the file.
    pub fn of(self, path: &Path) -> SystemError {
        let what = format!("read the environment file {}", path.display());
        match self {
            Flaw::Line(n) => SystemError::new(format!("{what}: line {n} is no NAME=VALUE"))
                .help("write one NAME=VALUE a line; `#` begins a comment"),
            Flaw::Text(n) => SystemError::new(format!("{what}: line {n} is not UTF-8 text"))
                .help("write it as UTF-8 text, one NAME=VALUE a line"),
            Flaw::Large(bytes) => SystemError::errno(EFBIG, what)
                .why(format!("it has {bytes} bytes, and such a file may have {}", Flaw::LARGEST))
                .help("name a file of NAME=VALUE lines"),
        }
    }
}

/// The variables of such a file, as systemd's `EnvironmentFile=` has the simple ones.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(text: &[u8]) -> Result<Vec<(String, String)>, Flaw> {
    let whole = std::str::from_utf8(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut all = Vec::new();
    let good = whole.map_or_else(|e| text.get(..e.valid_up_to()).unwrap_or_default(), str::as_bytes);
    let good = std::str::from_utf8(good).unwrap_or_default();
    let broken = whole.is_err().then(|| good.bytes().filter(|b| *b == b'\n').count());
    for (n, line) in good.lines().enumerate() {
        // Of that line only the beginning is text.
        if broken == Some(n) {
            break;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(Flaw::Line(n + 1))?;
        let (name, value) = (name.trim_end(), value.trim());
        let named =
            !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit());
        if !named || value.contains('\0') {
            return Err(Flaw::Line(n + 1));
        }
        let inner = ['"', '\''].into_iter().find_map(|q| value.strip_prefix(q)?.strip_suffix(q));
        all.push((name.to_owned(), inner.unwrap_or(value).to_owned()));
    }
    match broken {
        Some(n) => Err(Flaw::Text(n + 1)),
        None => Ok(all),
    }
}

/// Whether a name is meant by a pattern of [`Environment::keep`].
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

impl fmt::Display for Environment {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("environment:")?;
        let mut said = false;
        let mut part = |f: &mut fmt::Formatter<'_>, word: &str, names: Vec<String>| {
            if names.is_empty() {
                return Ok(());
            }
            let comma = if std::mem::replace(&mut said, true) { "," } else { "" };
            write!(f, "{comma} {word} {}", names.join(" "))
        };
        part(f, "keep", self.keep.clone())?;
        part(f, "read", self.files.iter().map(|p| p.display().to_string()).collect())?;
        part(f, "set", self.set.iter().map(|(name, _)| name.clone()).collect())?;
        if said { Ok(()) } else { f.write_str(" empty") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_said() {
        let environment = Environment {
            keep: vec!["LC_*".into()],
            files: vec!["/etc/app.env".into()],
            set: vec![("TOKEN".into(), "secret".into())],
        };
        assert_eq!(environment.to_string(), "environment: keep LC_*, read /etc/app.env, set TOKEN");
        assert_eq!(Environment::default().to_string(), "environment: empty");
    }

    #[test]
    fn lines_of_a_file() {
        let text = "# what it needs\n\nA=1\n B = two words \nC=\"quoted # no comment\"\nD=''\n;E=x\nF=a=b\n";
        let wanted = [("A", "1"), ("B", "two words"), ("C", "quoted # no comment"), ("D", ""), ("F", "a=b")];
        let wanted: Vec<_> = wanted.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(parse(text.as_bytes()), Ok(wanted));
        for (text, line) in
            [("A=1\nexport B\n", 2), ("A B=1", 1), ("=x", 1), ("1A=x", 1), ("A=1\r\nB", 2), ("A=\0", 1)]
        {
            assert_eq!(parse(text.as_bytes()), Err(Flaw::Line(line)), "{text:?}");
        }
        for (text, flaw) in [
            (&b"A=\xff"[..], Flaw::Text(1)),
            (b"A=1\nB=\xc3", Flaw::Text(2)),
            (b"A=1\n\xff\nB", Flaw::Text(2)),
            (b"B\n\xff", Flaw::Line(1)),
        ] {
            assert_eq!(parse(text), Err(flaw), "{text:?}");
        }
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_star_stands_for_what_follows() {
        assert!(matches("LC_*", "LC_ALL") && !matches("LC_*", "LANG") && matches("LANG", "LANG"));
        assert!(!matches("LANG", "LANGUAGE"));
    }
}
