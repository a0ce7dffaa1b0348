//! Words for people: made harmless, suggested, or looked up.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character moves the cursor, or reorders or hides text.
pub fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` with control characters, and characters that reorder or hide text, shown as escapes:
/// names, paths and errors come from specs and daemons, which are not trusted with a terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if harmful(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The one of `known` that `given` was probably meant to be.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.is_empty() || given.len() > 64 {
        return None;
    }
    let lower = given.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            let known = k.to_lowercase();
            // What was begun rightly and left unfinished is nearer than any slip.
            let begun = lower.len() >= 3 && known.starts_with(&lower);
            let score = strsim::jaro_winkler(&lower, &known);
            (if begun { 1.0 + score } else { score }, k)
        })
        .filter(|(score, k)| *score > 0.84 || k.eq_ignore_ascii_case(given))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// `"a, b and c"`.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [init @ .., last] => {
            let init: Vec<_> = init.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", init.join(", "), last.as_ref())
        }
    }
}

/// So many of something, "1 capability", "2 processes", "0 phases": `one` is the word for one of them.
pub fn count<N: std::fmt::Display + PartialEq + From<u8>>(n: N, one: &str) -> String {
    let vowel = |c: char| matches!(c, 'a' | 'e' | 'i' | 'o' | 'u');
    match one.strip_suffix('y') {
        _ if n == N::from(1) => format!("{n} {one}"),
        Some(stem) if !stem.ends_with(vowel) => format!("{n} {stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end)) => format!("{n} {one}es"),
        _ => format!("{n} {one}s"),
    }
}

/// Numbers that are sorted, "0-3 8".
pub fn ranges(numbers: &[u32]) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for n in numbers.iter().copied() {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => found.push((n, n)),
        }
    }
    let text = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    found.iter().map(text).collect::<Vec<_>>().join(" ")
}

macro_rules! errnos {
    ($($number:literal $name:literal $message:literal),* $(,)?) => {
        /// The symbol of an errno on Linux: `EACCES`.
        pub fn errno_name(errno: i32) -> Option<&'static str> {
            match errno { $($number => Some($name),)* _ => None }
        }
        /// The number of a symbol on Linux: 13 for `EACCES`.
        pub fn errno_by_name(name: &str) -> Option<i32> {
            match name { $($name => Some($number),)* _ => None }
        }
        /// Every symbol that is known, in the order of the numbers.
        pub const ERRNO_NAMES: &[&str] = &[$($name),*];
        fn errno_text(errno: i32) -> Option<&'static str> {
            match errno { $($number => Some($message),)* _ => None }
        }
    };
}
errnos! {
    1 "EPERM" "Operation not permitted", 2 "ENOENT" "No such file or directory", 3 "ESRCH" "No such process",
    4 "EINTR" "Interrupted system call", 5 "EIO" "Input/output error",
    6 "ENXIO" "No such device or address", 7 "E2BIG" "Argument list too long",
    8 "ENOEXEC" "Exec format error", 9 "EBADF" "Bad file descriptor", 10 "ECHILD" "No child processes",
    11 "EAGAIN" "Resource temporarily unavailable", 12 "ENOMEM" "Cannot allocate memory",
    13 "EACCES" "Permission denied", 16 "EBUSY" "Device or resource busy", 17 "EEXIST" "File exists",
    18 "EXDEV" "Invalid cross-device link", 20 "ENOTDIR" "Not a directory", 21 "EISDIR" "Is a directory",
    22 "EINVAL" "Invalid argument", 23 "ENFILE" "Too many open files in system", 24 "EMFILE" "Too many open files",
    25 "ENOTTY" "Inappropriate ioctl for device", 26 "ETXTBSY" "Text file busy", 27 "EFBIG" "File too large", 28 "ENOSPC" "No space left on device",
    29 "ESPIPE" "Illegal seek", 30 "EROFS" "Read-only file system", 31 "EMLINK" "Too many links", 32 "EPIPE" "Broken pipe",
    35 "EDEADLK" "Resource deadlock avoided", 36 "ENAMETOOLONG" "File name too long",
    37 "ENOLCK" "No locks available", 38 "ENOSYS" "Function not implemented",
    39 "ENOTEMPTY" "Directory not empty", 40 "ELOOP" "Too many levels of symbolic links",
    95 "EOPNOTSUPP" "Operation not supported", 97 "EAFNOSUPPORT" "Address family not supported by protocol",
    98 "EADDRINUSE" "Address already in use", 99 "EADDRNOTAVAIL" "Cannot assign requested address",
    101 "ENETUNREACH" "Network is unreachable", 103 "ECONNABORTED" "Software caused connection abort",
    104 "ECONNRESET" "Connection reset by peer", 105 "ENOBUFS" "No buffer space available",
    107 "ENOTCONN" "Transport endpoint is not connected", 110 "ETIMEDOUT" "Connection timed out",
    111 "ECONNREFUSED" "Connection refused", 113 "EHOSTUNREACH" "No route to host", 116 "ESTALE" "Stale file handle",
    122 "EDQUOT" "Disk quota exceeded",
}

/// What an errno means: `Permission denied`.
pub fn errno_message(errno: i32) -> Cow<'static, str> {
    errno_text(errno).map_or_else(|| Cow::Owned(format!("error {errno}")), Cow::Borrowed)
}

/// Nanoseconds for people, three significant digits: `59 µs`, `443 ms`, `3 d 4 h`.
pub fn duration(ns: u64) -> String {
    const S: u64 = 1_000_000_000;
    let scaled = |value: f64, unit: &str| {
        let digits = usize::from(value < 9.95);
        format!("{value:.digits$} {unit}")
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..999_500 => scaled(ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => scaled(ns as f64 / 1e6, "ms"),
        _ => match ns / S {
            0..60 => scaled(ns as f64 / 1e9, "s"),
            s @ 60..3_600 => format!("{} min {} s", s / 60, s % 60),
            s @ 3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
            s => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_become_visible() {
        assert_eq!(clean("plain äöü"), "plain äöü");
        assert_eq!(clean("a\x1b[31mb\u{202e}c\n"), "a\\u{1b}[31mb\\u{202e}c\\n");
    }

    #[test]
    fn one_and_many() {
        for (word, many) in [
            ("capability", "2 capabilities"),
            ("process", "2 processes"),
            ("key", "2 keys"),
            ("more phase", "2 more phases"),
            ("exchange", "2 exchanges"),
        ] {
            assert_eq!(count(2, word), many);
            assert_eq!(count(1usize, word), format!("1 {word}"));
        }
        assert_eq!(count(0u64, "byte"), "0 bytes");
    }

    #[test]
    fn suggestions_are_near_or_none() {
        assert_eq!(did_you_mean("need", ["needs", "name"]), Some("needs"));
        assert_eq!(did_you_mean("zzz", ["needs", "name"]), None);
        let capabilities = ["cap_net_admin", "cap_net_bind_service"];
        assert_eq!(did_you_mean("cap_net_bind", capabilities), Some("cap_net_bind_service"));
    }

    #[test]
    fn durations_read_well() {
        for (ns, text) in [
            (17, "17 ns"),
            (1_800, "1.8 µs"),
            (59_000, "59 µs"),
            (443_000_000, "443 ms"),
            (1_100_000, "1.1 ms"),
            (273_600_000_000_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
