//! Where the text of a spec comes from: a file, or one that is built in.

use std::io::Read;
use std::path::{Path, PathBuf};

/// The specs that are built in: (name, text).
pub const BUILTIN: &[(&str, &str)] = &[
    ("twistd", include_str!("../specs/twistd.yaml")),
    ("twistd-safe", include_str!("../specs/twistd-safe.yaml")),
    ("daemon", include_str!("../specs/daemon.yaml")),
    ("systemd-order", include_str!("../specs/systemd-order.yaml")),
];

/// A spec file may not be larger.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The built-in spec of that name, with or without `.yaml`.
pub fn builtin(name: &str) -> Option<&'static (&'static str, &'static str)> {
    let stem = name.strip_suffix(".yaml").unwrap_or(name);
    BUILTIN.iter().find(|(n, _)| *n == stem)
}

/// The text of a spec: a path, seen from the file that names it, or else a built-in.
pub fn fetch(name: &str, from: Option<&str>) -> Result<(String, String), String> {
    let path = match from.map(Path::new).and_then(Path::parent) {
        // As it would be written: one file has one name, or a loop could not be told.
        Some(dir) if from.is_some_and(|f| !f.starts_with("builtin:")) => plain(&dir.join(name)),
        _ => plain(Path::new(name)),
    };
    let by_name = !name.contains('/');
    if by_name && let Some((stem, text)) = builtin(name) {
        // What stands in the working directory may be another's: a bare name never means it, unless
        // it has the ending of a file and nobody else could have put it there.
        if !name.ends_with(".yaml") || !path.is_file() {
            return Ok((format!("builtin:{stem}"), (*text).to_owned()));
        }
        if let Some(owner) = phases::snapshot::others_may_write(&path) {
            // With root the path alone would be refused, too: RSD0116.
            let trust = if nix::unistd::geteuid().is_root() { " --trust-spec" } else { "" };
            return Err(format!(
                "{owner}; for the built-in spec say `--spec {stem}`, \
                 to take the file all the same `--spec ./{name}{trust}`"
            ));
        }
    }
    let text = read(&path).map_err(|why| {
        if !by_name || path.symlink_metadata().is_ok() {
            return why;
        }
        match engine::text::did_you_mean(name, BUILTIN.iter().map(|(n, _)| *n)) {
            Some(meant) => format!("{why}, and no built-in spec has that name; did you mean `{meant}`?"),
            None => format!("{why}, and no built-in spec has that name (there are {})", names()),
        }
    })?;
    Ok((path.display().to_string(), text))
}

/// The names of the built-in specs, for a sentence.
fn names() -> String {
    engine::text::list(&BUILTIN.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>())
}

/// The path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect();
    if plain.as_os_str().is_empty() { path.to_owned() } else { plain }
}

fn read(path: &Path) -> Result<String, String> {
    let sentence = |e: std::io::Error| match e.raw_os_error() {
        Some(errno) => engine::text::errno_message(errno).into_owned(),
        None => e.to_string(),
    };
    // Not to wait for a writer where the name is a FIFO.
    let file = phases::sys::process::open_to_read(path).map_err(sentence)?;
    let meta = file.metadata().map_err(sentence)?;
    if meta.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if meta.is_file() && meta.len() > LARGEST {
        return Err(format!("it has {} bytes, and a spec may have {LARGEST}", meta.len()));
    }
    let mut bytes = Vec::with_capacity(meta.len().min(LARGEST) as usize + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(sentence)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let (before, rest) = e.as_bytes().split_at(e.utf8_error().valid_up_to());
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        format!("it is not UTF-8 text: in line {line} stands the byte 0x{:02x}", rest[0])
    })
}
