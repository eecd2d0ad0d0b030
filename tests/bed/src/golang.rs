//! Runs the Go tool on one of the wrapper modules under `go/`, and says what to do when it can't.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

/// What `-s` would strip need not be made in the first place. With [`LAZY_COLLECTOR`] it saves a tenth of the CPU time.
const NO_DEBUG_INFO: &str = "-gcflags=all=-dwarf=false";

/// `GOGC` for compiler and linker, which live for seconds.
const LAZY_COLLECTOR: &str = "400";

/// A wrapper module: a go.mod that pins the real part, and nothing of our own beyond a few lines.
pub struct Module {
    dir: PathBuf,
    text: String,
}

impl Module {
    /// The module in `tests/bed/go/<name>`.
    pub fn open(name: &str) -> Result<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(name);
        let file = dir.join("go.mod");
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}: the bed builds its parts from its source tree, is that still in place?",
                file.display()
            )
        })?;
        Ok(Self { dir, text })
    }

    /// The version the module requires of `path`, without the leading `v`.
    pub fn version_of(&self, path: &str) -> Result<&str> {
        self.text
            .lines()
            .find_map(|line| line.trim().trim_start_matches("require ").strip_prefix(path)?.trim().strip_prefix('v'))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or_else(|| anyhow!("{}/go.mod does not require {path}", self.dir.display()))
    }

    /// The folder name for what is built from this module: changes with version and content.
    pub fn key(&self, name: &str, version: &str) -> Result<String> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.dir)?
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "go" || e == "mod" || e == "sum"))
            .collect();
        files.sort();
        Ok(format!("{name}-{version}-{}", crate::cache::digest(&files)?))
    }

    /// `go build -o <out> <flags> <package>`, with the tail of Go's own words when it fails.
    pub fn build(&self, package: &str, ldflags: &str, out: &Path) -> Result<()> {
        let begun = Instant::now();
        let out_path = out.to_string_lossy();
        self.go(&["build", "-trimpath", NO_DEBUG_INFO, "-ldflags", ldflags, "-o", &out_path, package])?;
        eprintln!("bed: built {} in {} s", out.file_name().unwrap_or_default().display(), begun.elapsed().as_secs());
        Ok(())
    }

    /// The folder that holds the source of a required module, fetched if need be.
    pub fn source_of(&self, path: &str) -> Result<PathBuf> {
        self.go(&["mod", "download", path])?;
        let dir = self.go(&["list", "-m", "-f", "{{.Dir}}", path])?;
        Ok(PathBuf::from(dir.trim()))
    }

    fn go(&self, args: &[&str]) -> Result<String> {
        self.check_go()?;
        let done = Command::new("go")
            .args(args)
            .current_dir(&self.dir)
            .env("GOWORK", "off")
            .env("GOGC", LAZY_COLLECTOR)
            // As their own projects ship these programs. Argo would otherwise have sqlite's C compiled, for a minute.
            .env("CGO_ENABLED", "0")
            .output()
            .context("cannot start `go`")?;
        if !done.status.success() {
            let words = String::from_utf8_lossy(&done.stderr);
            let tail: Vec<&str> = words.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!(
                "`go {}` failed in {} ({}):\n  {}",
                args.join(" "),
                self.dir.display(),
                done.status,
                tail.join("\n  ")
            );
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Refuses a missing or too old Go with the version to install.
    fn check_go(&self) -> Result<()> {
        let needed = self.text.lines().find_map(|l| l.strip_prefix("go ")).unwrap_or("1.24.0").trim();
        let found = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
        judge_go(needed, found.ok().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).as_deref())
    }
}

/// `found` is what `go env GOVERSION` printed; `None` when there is no Go.
fn judge_go(needed: &str, found: Option<&str>) -> Result<()> {
    let Some(found) = found.map(str::trim) else {
        bail!(
            "Go is not installed (no `go` on PATH): install Go {needed} or newer from https://go.dev/dl/ or your package \
             manager; it builds the real API server, Argo and S3 servers for the test bed"
        );
    };
    let numbers = |text: &str| -> Vec<u32> {
        let digits = text.trim_start_matches("go");
        digits.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).take(3).collect()
    };
    if numbers(found) < numbers(needed) {
        bail!(
            "Go {needed} or newer is needed to build the test bed, found {found}: install it from https://go.dev/dl/"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_judged_by_number_not_by_text() {
        assert!(judge_go("1.24.10", Some("go1.26.8\n")).is_ok());
        assert!(judge_go("1.24.10", Some("go1.24.10")).is_ok());
        assert!(judge_go("1.24.0", Some("go1.24rc1")).is_err());
        let old = judge_go("1.24.10", Some("go1.24.9")).unwrap_err().to_string();
        assert!(old.contains("1.24.10 or newer") && old.contains("go1.24.9"), "{old}");
        let none = judge_go("1.24.10", None).unwrap_err().to_string();
        assert!(none.contains("install Go 1.24.10"), "{none}");
    }

    #[test]
    fn versions_come_from_the_wrapper_modules() {
        assert_eq!(Module::open("controlplane").unwrap().version_of("k8s.io/kubernetes").unwrap(), "1.34.4");
        assert_eq!(Module::open("argo").unwrap().version_of("github.com/argoproj/argo-workflows/v3").unwrap(), "3.7.4");
        assert!(Module::open("nothing").err().unwrap().to_string().contains("source tree"));
    }
}
