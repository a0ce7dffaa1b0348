//! The environment that a program gets.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

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
    fn a_star_stands_for_what_follows() {
        assert!(matches("LC_*", "LC_ALL") && !matches("LC_*", "LANG") && matches("LANG", "LANG"));
        assert!(!matches("LANG", "LANGUAGE"));
    }
}
