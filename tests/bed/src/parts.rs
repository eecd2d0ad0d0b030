//! The real programs: built once from their registries into the cache, or taken from `KUBEBUILDER_ASSETS`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::golang::Module;

/// A program and the arguments that make it the part we want.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
}

impl Program {
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args);
        command
    }
}

/// etcd, kube-apiserver and a kubectl that speaks with it.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    pub etcd: Program,
    pub apiserver: Program,
    /// A single executable file, fit for PATH.
    pub kubectl: PathBuf,
    /// For the one line that says what runs.
    pub version: String,
}

/// The workflow-controller and the CRDs of the same version.
#[derive(Clone, Debug)]
pub struct ArgoFiles {
    pub controller: PathBuf,
    /// Folder of YAML files, the minimal CRDs.
    pub crds: PathBuf,
    pub version: String,
}

/// `$KUBEBUILDER_ASSETS` if set, else built (about 6 minutes the first time on 2 cores). Blocks.
pub fn control_plane() -> Result<ControlPlane> {
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|v| !v.is_empty()) {
        return from_assets(Path::new(&folder));
    }
    let module = Module::open("controlplane")?;
    let version = module.version_of("k8s.io/kubernetes")?;
    let etcd = module.version_of("go.etcd.io/etcd/server/v3")?;
    let home = cache::folder()?.join(module.key("controlplane", version)?);
    ensure(
        &home,
        "controlplane",
        &format!("building kube-apiserver {version} and etcd {etcd} (once, about 6 minutes)"),
        |dir| {
            let mut numbers = version.split('.');
            let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
            let base = "k8s.io/component-base/version";
            let flags = format!(
                "-s -w -X {base}.gitVersion=v{version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} -X {base}.gitTreeState=clean"
            );
            module.build(".", &flags, &dir.join("controlplane"))?;
            script(&dir.join("kubectl"), "exec \"$(dirname \"$0\")/controlplane\" kubectl \"$@\"\n")
        },
    )?;
    let part = |name: &str| Program { path: home.join("controlplane"), args: vec![name.into()] };
    Ok(ControlPlane {
        etcd: part("etcd"),
        apiserver: part("kube-apiserver"),
        kubectl: on_path("kubectl").unwrap_or_else(|| home.join("kubectl")),
        version: format!("kube-apiserver {version}, etcd {etcd}"),
    })
}

/// Argo's workflow-controller, built (about 4 minutes the first time on 2 cores). Blocks.
pub fn argo() -> Result<ArgoFiles> {
    const ARGO: &str = "github.com/argoproj/argo-workflows/v3";
    let module = Module::open("argo")?;
    let version = module.version_of(ARGO)?;
    let home = cache::folder()?.join(module.key("argo", version)?);
    ensure(&home, "argo", &format!("building Argo's workflow-controller {version} (once, about 4 minutes)"), |dir| {
        module.build(
            &format!("{ARGO}/cmd/workflow-controller"),
            &format!("-s -w -X {ARGO}.version=v{version}"),
            &dir.join("workflow-controller"),
        )?;
        let crds = module.source_of(ARGO)?.join("manifests/base/crds/minimal");
        copy_crds(&crds, &dir.join("crds"))
    })?;
    Ok(ArgoFiles { controller: home.join("workflow-controller"), crds: home.join("crds"), version: version.to_owned() })
}

/// Builds what isn't there, one process at a time.
pub(crate) fn ensure(home: &Path, name: &str, saying: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if home.exists() {
        return Ok(());
    }
    let _lock = cache::lock(&format!("build-{name}.lock"))?;
    if home.exists() {
        return Ok(());
    }
    eprintln!("bed: {saying}");
    cache::fill(home, build)
}

fn from_assets(folder: &Path) -> Result<ControlPlane> {
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        if !folder.join(name).is_file() {
            bail!(
                "KUBEBUILDER_ASSETS={} has no `{name}`: it must hold etcd, kube-apiserver and kubectl; unset it to have the bed build them",
                folder.display()
            );
        }
    }
    let part = |name: &str| Program { path: folder.join(name), args: Vec::new() };
    Ok(ControlPlane {
        etcd: part("etcd"),
        apiserver: part("kube-apiserver"),
        kubectl: folder.join("kubectl"),
        version: format!("from KUBEBUILDER_ASSETS={}", folder.display()),
    })
}

fn copy_crds(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    let entries = std::fs::read_dir(from).with_context(|| format!("no CRDs in {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("argoproj.io_") && name.ends_with(".yaml") {
            // Not fs::copy: files of the module cache are read-only and must not stay so here.
            std::fs::write(to.join(&*name), std::fs::read(&path)?)?;
        }
    }
    Ok(())
}

fn script(path: &Path, body: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{body}"))?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_that_lack_a_program_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("etcd"), "").unwrap();
        let said = from_assets(folder.path()).unwrap_err().to_string();
        assert!(said.contains("has no `kube-apiserver`") && said.contains("unset it"), "{said}");
    }
}
