//! Hashes of the style sheet and of the script, as the page's policy names them. A test computes them.

/// Of the style sheet.
pub(super) const STYLE: &str = "sha256-OI/qT0SqaU6zio7sEqvivj5uRpAXlE/6bx6bQ7Q5k8M=";
/// Of the script.
pub(super) const SCRIPT: &str = "sha256-kHoHybGzO8obVawNLLg9KUn7ZqikBXHTQY6hDehdStw=";
