//! Where built parts are kept between runs, and how two runs don't build the same part twice.
//!
//! `$UNSTICK_BED_CACHE`, else `$XDG_CACHE_HOME/unstick-bed`, else `~/.cache/unstick-bed`; never inside the source tree.

use std::fmt::Write;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

/// The folder for built parts; made if it isn't there.
pub fn folder() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = from("UNSTICK_BED_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|p| p.join("unstick-bed")))
        .or_else(|| from("HOME").map(|p| p.join(".cache/unstick-bed")))
        .ok_or_else(|| anyhow!("no place for built parts: set UNSTICK_BED_CACHE, XDG_CACHE_HOME or HOME"))?;
    std::fs::create_dir_all(&path).with_context(|| {
        format!("cannot make the folder for built parts {} (UNSTICK_BED_CACHE moves it)", path.display())
    })?;
    Ok(path)
}

/// The first 12 hex digits of the SHA-256 over names and contents of `files`, in the given order.
pub fn digest(files: &[PathBuf]) -> Result<String> {
    use aws_lc_rs::digest::{Context as Digest, SHA256};
    let mut digest = Digest::new(&SHA256);
    for file in files {
        let name = file.file_name().unwrap_or_default();
        let body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        digest.update(name.as_encoded_bytes());
        digest.update(&(body.len() as u64).to_le_bytes());
        digest.update(&body);
    }
    let digest = digest.finish();
    let mut hex = String::new();
    for byte in &digest.as_ref()[..6] {
        write!(hex, "{byte:02x}")?;
    }
    Ok(hex)
}

/// Holds a machine-wide lock until dropped; says on stderr whom it waits for.
pub fn lock(name: &str) -> Result<File> {
    let folder = folder()?.join("locks");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open the lock {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("bed: waiting for another process that holds {}", path.display()),
        Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Makes `target` by filling a fresh folder beside it and renaming that: nobody sees half a part. One call at a time per target.
pub fn fill(target: &Path, with: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = target.parent().ok_or_else(|| anyhow!("{} has no parent", target.display()))?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let prefix = format!(".building-{}-", target.file_name().unwrap_or_default().display());
    // What an interrupted build left behind; the caller holds the lock of this part.
    for entry in std::fs::read_dir(parent)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let fresh = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    with(fresh.path())?;
    std::fs::rename(fresh.keep(), target).with_context(|| format!("cannot put {} in place", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_appears_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("part");
        std::fs::create_dir(home.path().join(".building-part-interrupted")).unwrap();
        let broken = fill(&target, |dir| {
            std::fs::write(dir.join("half"), "x")?;
            anyhow::bail!("compiler fell over")
        });
        assert!(broken.unwrap_err().to_string().contains("compiler fell over"));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "leftovers of a failed build");
        fill(&target, |dir| Ok(std::fs::write(dir.join("whole"), "x")?)).unwrap();
        assert!(target.join("whole").exists());
    }

    #[test]
    fn the_digest_sees_names_and_contents() {
        let home = tempfile::tempdir().unwrap();
        let (a, b) = (home.path().join("a"), home.path().join("b"));
        std::fs::write(&a, "1").unwrap();
        std::fs::write(&b, "2").unwrap();
        let before = digest(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(before.len(), 12);
        assert_ne!(before, digest(&[b.clone(), a.clone()]).unwrap());
        std::fs::write(&b, "3").unwrap();
        assert_ne!(before, digest(&[a, b]).unwrap());
    }
}
