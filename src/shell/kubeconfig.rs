//! Which cluster is meant, and how it is reached: a kubeconfig, or the service account of the pod.

use std::error::Error as _;
use std::path::PathBuf;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

/// Where the cluster is.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// Why there is no cluster to talk to. Never shows what a kubeconfig has in it: there are keys.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoCluster {
    /// What was named can't be used.
    #[error("{0}")]
    Unusable(String),
    /// Nothing was named, and nothing is found in the usual places.
    #[error("no cluster: {0}; name one with --kubeconfig or $KUBECONFIG, or run in a pod with a service account")]
    NotFound(String),
}

impl Target {
    /// # Errors
    /// Once with its cause.
    pub async fn config(&self) -> Result<Config, NoCluster> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        if let Some(path) = &self.kubeconfig {
            let file = Kubeconfig::read_from(path).map_err(|error| NoCluster::Unusable(said(&error)))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            return config
                .map_err(|error| NoCluster::Unusable(format!("can't use {}: {}", path.display(), said(&error))));
        }
        if options.context.is_some() {
            let config = Config::from_kubeconfig(&options).await;
            return config.map_err(|error| NoCluster::Unusable(format!("can't use the kubeconfig: {}", said(&error))));
        }
        Config::infer().await.map_err(|error| {
            let cause = error.source().and_then(|e| e.downcast_ref::<KubeconfigError>());
            NoCluster::NotFound(cause.map_or_else(|| error.to_string(), said))
        })
    }
}

/// Once: kube's own texts have their cause in them, and name it as a cause besides.
fn said(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(cause, path) => format!("can't read {}: {cause}", path.display()),
        // What follows shows lines of the file.
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn why(path: PathBuf) -> String {
        Target { kubeconfig: Some(path), context: None }.config().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_file_that_can_not_be_used_is_named_once_and_nothing_of_it_shown() {
        let missing = why("/nowhere/kubeconfig".into()).await;
        assert_eq!(missing, "can't read /nowhere/kubeconfig: No such file or directory (os error 2)");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for text in ["users:\n- name: me\n  user: {token: hunter2\n", "token: hunter2\nusers: 5\n", "- hunter2\n"] {
            std::fs::write(&path, text).unwrap();
            let said = why(path.clone()).await;
            assert!(!said.contains("hunter2") && said.lines().count() == 1, "{said}");
        }
    }
}
