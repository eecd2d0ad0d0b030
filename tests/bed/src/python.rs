//! A Python with boto3 and `DuckDB`: readers of archives that nobody here wrote. Installed once into a virtual environment in
//! the cache, at the versions of python/requirements.txt, or taken from `UNSTICK_BED_PYTHON`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::parts::ensure;

/// The interpreter. Blocks; half a minute the first time.
pub fn interpreter() -> Result<PathBuf> {
    if let Some(own) = std::env::var_os("UNSTICK_BED_PYTHON").filter(|v| !v.is_empty()) {
        return Ok(own.into());
    }
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let home = cache::folder()?.join(format!("python-{}", cache::digest(std::slice::from_ref(&requirements))?));
    ensure(&home, "python", "installing boto3 and DuckDB into a virtual environment (once)", |dir| {
        let hint = "it needs Python 3 with its venv module (Debian: python3-venv); UNSTICK_BED_PYTHON names another interpreter";
        run(Command::new("python3").args(["-m", "venv"]).arg(dir)).context(hint)?;
        // By module: the scripts in bin name the folder they were made in.
        let mut pip = Command::new(dir.join("bin/python"));
        run(pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "-r"]).arg(&requirements)).context(hint)
    })?;
    Ok(home.join("bin/python"))
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !out.status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
