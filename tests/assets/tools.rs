//! promtool and amtool, built once per version into the cache of the test bed.
//!
//! To be replaced by the test bed's own "build a Go part once".

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{read, repo};

const PACKAGES: [&str; 2] =
    ["github.com/prometheus/prometheus/cmd/promtool", "github.com/prometheus/alertmanager/cmd/amtool"];

/// promtool; `PROMTOOL` names another one, e.g. of an older version.
pub fn promtool() -> PathBuf {
    std::env::var_os("PROMTOOL").map_or_else(|| built().join("promtool"), PathBuf::from)
}

/// amtool; `AMTOOL` names another one.
pub fn amtool() -> PathBuf {
    std::env::var_os("AMTOOL").map_or_else(|| built().join("amtool"), PathBuf::from)
}

/// Runs a tool; its output in both streams, and whether it succeeded.
pub fn run(tool: &Path, dir: &Path, args: &[&str]) -> (bool, String) {
    let out =
        Command::new(tool).args(args).current_dir(dir).output().unwrap_or_else(|e| panic!("{}: {e}", tool.display()));
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.success(), text)
}

fn built() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(build)
}

fn build() -> PathBuf {
    let module = repo("tests/bed/go/prometheus");
    let dir = cache().join(version(&module));
    if dir.join("promtool").exists() && dir.join("amtool").exists() {
        return dir;
    }
    fs::create_dir_all(&dir).unwrap();
    // One build at a time, also across processes.
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    for package in PACKAGES {
        let name = package.rsplit('/').next().unwrap();
        if dir.join(name).exists() {
            continue;
        }
        // Not eprintln: a test's own words are held back, and these minutes would be silent.
        let _ = writeln!(std::io::stderr(), "building {name} once, about two minutes");
        let unfinished = dir.join(format!("{name}.unfinished"));
        let built = Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&unfinished)
            .arg(package)
            .current_dir(&module)
            .status()
            .unwrap_or_else(|e| {
                panic!("go build: {e}; Go of the version in {} is needed", module.join("go.mod").display())
            });
        assert!(built.success(), "go build {package} failed");
        fs::rename(&unfinished, dir.join(name)).unwrap();
    }
    dir
}

fn cache() -> PathBuf {
    std::env::var_os("UNSTICK_BED_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME or UNSTICK_BED_CACHE")).join(".cache/unstick-bed"),
        PathBuf::from,
    )
}

/// `prometheus-v0.315.0-alertmanager-v0.34.2`, from go.mod.
fn version(module: &Path) -> String {
    let go_mod = read(module.join("go.mod"));
    let of = |path: &str| {
        let line =
            go_mod.lines().find(|l| l.trim_start().trim_start_matches("require ").starts_with(&format!("{path} ")));
        line.and_then(|l| l.split_whitespace().find(|w| w.starts_with('v')))
            .unwrap_or_else(|| panic!("{path} in go.mod"))
            .to_owned()
    };
    format!(
        "prometheus-{}-alertmanager-{}",
        of("github.com/prometheus/prometheus"),
        of("github.com/prometheus/alertmanager")
    )
}
