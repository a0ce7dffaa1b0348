//! Fenced blocks of a Markdown text.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// what stands behind the three backquotes
    pub info: String,
    /// its lines
    pub lines: Vec<String>,
    /// number of its first line in the file, from 0
    pub first: usize,
}

impl Block {
    /// Its first word: `console`, `yaml`.
    pub fn language(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }

    /// `# NAME.yaml` as its first line names a file.
    pub fn file_name(&self) -> Option<&str> {
        let name = self.lines.first()?.strip_prefix("# ")?;
        (name.ends_with(".yaml") && !name.contains([' ', '/'])).then_some(name)
    }

    /// The lines as a text.
    pub fn text(&self) -> String {
        self.lines.iter().map(|l| format!("{l}\n")).collect()
    }
}

/// The blocks of a text, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (n, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.to_owned(), lines: Vec::new(), first: n + 1 });
            }
            (Some(block), None) => block.lines.push(line.to_owned()),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, None) => {}
        }
    }
    found
}

/// The top directory of the source.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// README.md and everything in docs/.
pub fn documents() -> Vec<PathBuf> {
    let mut all = vec![top().join("README.md")];
    let docs = std::fs::read_dir(top().join("docs")).unwrap();
    all.extend(docs.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    all.sort();
    all
}

/// Whether the documents are to be rewritten.
pub fn updating() -> bool {
    std::env::var_os("RSD_UPDATE").is_some()
}
