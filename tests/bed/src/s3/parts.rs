//! The S3 servers as programs: built once from the Go proxy into the cache, or taken from `UNSTICK_BED_S3_BIN`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::S3Kind;
use crate::cache;
use crate::golang::Module;
use crate::parts::ensure;

/// A built server.
#[derive(Clone, Debug)]
pub struct S3Program {
    pub path: PathBuf,
    /// For the one line that says what runs.
    pub version: String,
}

/// `$UNSTICK_BED_S3_BIN/<name>` if that variable is set, else built (one to two minutes the first time on 2 cores). Blocks.
pub fn program(kind: S3Kind) -> Result<S3Program> {
    if let Some(folder) = std::env::var_os("UNSTICK_BED_S3_BIN").filter(|v| !v.is_empty()) {
        return ready_made(kind, Path::new(&folder));
    }
    let name = kind.name();
    let module = Module::open(name)?;
    let (package, required) = match kind {
        S3Kind::Versitygw => ("github.com/versity/versitygw/cmd/versitygw", "github.com/versity/versitygw"),
        S3Kind::Minio => ("github.com/minio/minio", "github.com/minio/minio"),
    };
    let version = module.version_of(required)?;
    let home = cache::folder()?.join(module.key(name, version)?);
    ensure(&home, name, &format!("building {name} {version} (once, one to two minutes)"), |dir| {
        let flags = match kind {
            S3Kind::Versitygw => format!("-s -w -X main.Version=v{version}"),
            S3Kind::Minio => "-s -w".to_owned(),
        };
        module.build(package, &flags, &dir.join(name))
    })?;
    Ok(S3Program { path: home.join(name), version: format!("{name} {version}") })
}

fn ready_made(kind: S3Kind, folder: &Path) -> Result<S3Program> {
    let path = folder.join(kind.name());
    if !path.is_file() {
        bail!(
            "UNSTICK_BED_S3_BIN={} has no `{}`: it must hold the S3 servers that are used; unset it to have the bed build them",
            folder.display(),
            kind.name()
        );
    }
    Ok(S3Program { version: format!("{} from UNSTICK_BED_S3_BIN={}", kind.name(), folder.display()), path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_server_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("minio"), "").unwrap();
        let said = ready_made(S3Kind::Versitygw, folder.path()).unwrap_err().to_string();
        assert!(said.contains("has no `versitygw`") && said.contains("unset it"), "{said}");
        assert_eq!(ready_made(S3Kind::Minio, folder.path()).unwrap().path, folder.path().join("minio"));
    }

    #[test]
    fn the_versions_are_pinned() {
        let of = |name: &str, path: &str| Module::open(name).unwrap().version_of(path).unwrap().to_owned();
        assert_eq!(of("versitygw", "github.com/versity/versitygw"), "1.8.0");
        assert!(of("minio", "github.com/minio/minio").starts_with("0.0.0-20260212"));
    }
}
