//! The folder of something that runs: gone with it, unless somebody wants to look.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A temporary folder that is removed when dropped, unless `keep` or `UNSTICK_BED_KEEP=1`.
pub(crate) struct Folder {
    pub path: PathBuf,
    pub keep: bool,
}

impl Folder {
    pub fn new(prefix: &str, keep: bool) -> Result<Self> {
        let path = tempfile::Builder::new().prefix(prefix).tempdir().context("no temporary folder")?.keep();
        Ok(Self { path, keep: keep || std::env::var_os("UNSTICK_BED_KEEP").is_some_and(|v| v == "1") })
    }

    /// What a guardian removes should we die.
    pub fn to_remove(&self) -> Option<&Path> {
        (!self.keep).then_some(self.path.as_path())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("bed: logs and data are kept in {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
