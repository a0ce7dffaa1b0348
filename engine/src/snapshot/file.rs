//! A snapshot as a file: what `--snapshot` writes, so that a check can be made again elsewhere.
//!
//! ```json
//! { "snapshot": "rsd", "schema": 1, "rsd": "0.1.0", "host": { … }, "facts": { … } }
//! ```
//!
//! It is read strictly: a check on half of the facts, or on facts whose meaning is not known, would
//! be a verdict on no machine at all. It holds no contents of files and nothing of the environment.

use super::Snapshot;
use serde::{Deserialize, Serialize};

/// Version of the form. A build reads its own.
pub const SCHEMA: u32 = 1;
/// What marks the file.
const MARK: &str = "rsd";

/// Where and when facts were taken, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// when, as `2026-11-22 05:26:50Z`
    pub taken: String,
    /// the kernel: its name, release and machine
    pub kernel: String,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    snapshot: String,
    schema: u32,
    /// the version of rsd that wrote it
    pub rsd: String,
    /// where and when
    pub host: Host,
    /// the facts
    pub facts: Snapshot,
}

/// The little that every version of the file has.
#[derive(Deserialize)]
struct Header {
    snapshot: Option<serde_json::Value>,
    schema: Option<serde_json::Value>,
    rsd: Option<serde_json::Value>,
}

/// The text of the file.
pub fn write(facts: &Snapshot, host: Host, version: &str) -> Result<String, String> {
    let document = Document {
        snapshot: MARK.to_owned(),
        schema: SCHEMA,
        rsd: version.to_owned(),
        host,
        facts: facts.clone(),
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|e| e.to_string())
}

/// Reads the text of such a file; `version` is that of this build. Answers why it cannot be used: a
/// lowercase fragment with the place.
pub fn read(text: &[u8], version: &str) -> Result<Document, String> {
    let text = std::str::from_utf8(text).map_err(|e| {
        let (line, column) = position(text, e.valid_up_to());
        format!("line {line}, column {column}: this is not UTF-8 text")
    })?;
    if text.trim_start().is_empty() {
        return Err("it is empty".to_owned());
    }
    let header: Header = serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Data if !e.to_string().starts_with("duplicate") => {
            "it is no snapshot of rsd: it is not one JSON object".to_owned()
        }
        _ => why(&e),
    })?;
    if header.snapshot != Some(MARK.into()) {
        return Err("it is no snapshot of rsd: `\"snapshot\": \"rsd\"` is not in it".to_owned());
    }
    let writer = header.rsd.as_ref().and_then(|v| v.as_str()).filter(|v| v.len() < 40).unwrap_or("?");
    match header.schema {
        Some(schema) if schema == SCHEMA => {}
        Some(serde_json::Value::Number(schema)) => {
            return Err(format!(
                "rsd {writer} wrote it in form {schema}, and this is rsd {version}, which reads form {SCHEMA}"
            ));
        }
        _ => return Err("its form is not told: `\"schema\"` is to be a number".to_owned()),
    }
    let document: Document = serde_json::from_str(text).map_err(|e| match writer == version {
        true => why(&e),
        false => format!("{}; rsd {writer} wrote it, and this is rsd {version}", why(&e)),
    })?;
    let facts = &document.facts;
    for (what, path) in
        [("cwd", &facts.cwd), ("identity.root", &facts.identity.root), ("identity.cwd", &facts.identity.cwd)]
    {
        // What getcwd(2) could not tell is in parentheses.
        if !path.is_absolute() && !path.starts_with("(unreachable)") && !path.starts_with("(deleted)") {
            return Err(format!("facts.{what} is no absolute path"));
        }
    }
    Ok(document)
}

/// Line and column, from 1, of a byte.
fn position(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    (line, before.iter().rev().take_while(|b| **b != b'\n').count() + 1)
}

fn why(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    match error.classify() {
        serde_json::error::Category::Eof => {
            format!("line {line}, column {column}: it ends in the middle, so it was cut")
        }
        serde_json::error::Category::Syntax => {
            format!("line {line}, column {column}: it is not JSON: {text}")
        }
        _ => format!("line {line}, column {column}: {text}"),
    }
}
