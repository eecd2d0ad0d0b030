//! `bed build`: builds parts into the cache and says where they are.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use unstick_bed::{S3Kind, parts, s3};

#[derive(Clone, Copy, ValueEnum)]
pub enum Name {
    /// API server, etcd and kubectl.
    Controlplane,
    /// Argo's workflow-controller and its CRDs.
    Argo,
    Versitygw,
    Minio,
}

/// All of them if none is named. Blocks, for minutes the first time.
pub fn run(names: &[Name]) -> Result<()> {
    for name in if names.is_empty() { Name::value_variants() } else { names } {
        match name {
            Name::Controlplane => {
                let plane = parts::control_plane()?;
                for (part, program) in [("etcd", &plane.etcd), ("kube-apiserver", &plane.apiserver)] {
                    let args: Vec<_> = program.args.iter().map(|a| format!(" {}", a.display())).collect();
                    println!("{part:<21}{}{}", program.path.display(), args.concat());
                }
                say("kubectl", &plane.kubectl);
            }
            Name::Argo => {
                let argo = parts::argo()?;
                say("workflow-controller", &argo.controller);
                say("Argo CRDs", &argo.crds);
            }
            Name::Versitygw => say("versitygw", &s3::parts::program(S3Kind::Versitygw)?.path),
            Name::Minio => say("minio", &s3::parts::program(S3Kind::Minio)?.path),
        }
    }
    Ok(())
}

fn say(part: &str, path: &Path) {
    println!("{part:<21}{}", path.display());
}
