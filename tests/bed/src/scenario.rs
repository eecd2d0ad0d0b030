//! The workflows in `tests/bed/workflows/`, each named after the state it ends up in.

use std::path::Path;

use anyhow::{Context, Result};

/// YAML of one of them.
pub fn yaml(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows").join(format!("{name}.yaml"));
    std::fs::read_to_string(&path).with_context(|| format!("no such workflow: {}", path.display()))
}
