//! The real control plane: etcd and kube-apiserver in a temporary folder, on free ports, with an audit log.
//!
//! There is no controller-manager: no garbage collection by owner, no default `ServiceAccounts` (so [`Bed::namespace`] makes
//! one), namespaces don't finish deleting.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use crate::access::{self, Identity};
use crate::audit::Audit;
use crate::folder::Folder;
use crate::parts::{self, ControlPlane};
use crate::process::{Part, free_port, tail};

/// How to start a bed; `Options::default()` is right for tests.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further flags for kube-apiserver.
    pub apiserver_flags: Vec<String>,
    /// Keep the folder with logs and data when the bed stops (`UNSTICK_BED_KEEP=1` does the same).
    pub keep: bool,
}

/// A running control plane. Dropped: its processes are gone and its folder is removed.
///
/// Not bound to a tokio runtime: a bed in a `static` serves the tests of many runtimes, each with clients of its own.
pub struct Bed {
    // Order matters: the server goes before its storage, both before their folder.
    apiserver: Mutex<Part>,
    etcd: Mutex<Part>,
    folder: Folder,
    url: String,
    config: Config,
    kubectl: PathBuf,
    clients: Mutex<HashMap<tokio::runtime::Id, Client>>,
    pub(crate) kinds: tokio::sync::Mutex<HashMap<String, (kube::discovery::ApiResource, bool)>>,
}

impl Bed {
    /// Starts the control plane and waits until it is ready (seconds, once its programs are built).
    pub async fn start(options: Options) -> Result<Self> {
        let parts = tokio::task::spawn_blocking(parts::control_plane).await??;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_once(&parts, &options).await {
                // Somebody took a port between our look and the start.
                Err(e) if tries < 3 && format!("{e:#}").contains("address already in use") => {}
                done => return done,
            }
        }
    }

    async fn start_once(parts: &ControlPlane, options: &Options) -> Result<Self> {
        let folder = Folder::new("unstick-bed-", options.keep)?;
        let dir = folder.path.clone();
        let remove = folder.to_remove();
        let (client, peer, secure) = (free_port()?, free_port()?, free_port()?);

        let storage = format!("http://127.0.0.1:{client}");
        let mut command = parts.etcd.command();
        command.arg("--data-dir").arg(dir.join("etcd")).args([
            &format!("--listen-client-urls={storage}"),
            &format!("--advertise-client-urls={storage}"),
            &format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--quota-backend-bytes=8589934592",
        ]);
        let etcd = Part::start("etcd", &mut command, &dir.join("etcd.log"), remove)?;

        access::write_server_files(&dir)?;
        let mut command = parts.apiserver.command();
        let file = |name: &str| dir.join(name).display().to_string();
        command
            .arg(format!("--etcd-servers={storage}"))
            .arg(format!("--secure-port={secure}"))
            .args(["--bind-address=127.0.0.1", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"])
            .args([
                "--disable-admission-plugins=ServiceAccount",
                "--service-account-issuer=https://kubernetes.default.svc",
            ])
            .arg(format!("--cert-dir={}", file("certs")))
            .arg(format!("--service-account-key-file={}", file("sa.pub")))
            .arg(format!("--service-account-signing-key-file={}", file("sa.key")))
            .arg(format!("--token-auth-file={}", file("tokens.csv")))
            .arg(format!("--audit-policy-file={}", file("audit-policy.yaml")))
            .arg(format!("--audit-log-path={}", file("audit.log")))
            .args(&options.apiserver_flags);
        let apiserver = Part::start("kube-apiserver", &mut command, &dir.join("kube-apiserver.log"), remove)?;

        let url = format!("https://127.0.0.1:{secure}");
        let mut starting = (etcd, apiserver);
        let config = ready(&mut starting, &dir, &url).await?;
        let (etcd, apiserver) = starting;
        Ok(Self {
            apiserver: Mutex::new(apiserver),
            etcd: Mutex::new(etcd),
            folder,
            url,
            config,
            kubectl: parts.kubectl.clone(),
            clients: Mutex::default(),
            kinds: tokio::sync::Mutex::default(),
        })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder with logs, kubeconfigs and data.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// A kubectl that fits the server.
    pub fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// A client with all rights, for the tokio runtime it is called in (a client lives no longer than its runtime).
    pub fn admin(&self) -> Result<Client> {
        let runtime = tokio::runtime::Handle::current().id();
        let mut clients = self.clients.lock().map_err(|_| anyhow!("a test panicked while it held the bed"))?;
        if let Some(client) = clients.get(&runtime) {
            return Ok(client.clone());
        }
        let client = Client::try_from(self.config.clone())?;
        clients.insert(runtime, client.clone());
        Ok(client)
    }

    /// Kubeconfig with all rights, user `admin`.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of(Identity::Admin)
    }

    pub(crate) fn kubeconfig_of(&self, identity: Identity) -> PathBuf {
        self.folder().join(format!("{}.kubeconfig", identity.user()))
    }

    /// Every request the server answered.
    pub fn audit(&self) -> Audit {
        Audit::new(self.folder().join("audit.log"))
    }

    /// What kube-apiserver and etcd say of themselves if one has ended; call it when a request fails oddly.
    pub fn check(&self) -> Result<()> {
        for part in [&self.etcd, &self.apiserver] {
            part.lock().map_err(|_| anyhow!("a test panicked while it held the bed"))?.expect_alive()?;
        }
        Ok(())
    }

    /// The pids of the processes that make up the control plane.
    pub fn pids(&self) -> Vec<u32> {
        [&self.etcd, &self.apiserver].iter().filter_map(|p| Some(p.lock().ok()?.pid())).collect()
    }
}

/// Waits for `/readyz`; an error holds the log of the part that failed.
async fn ready(parts: &mut (Part, Part), dir: &Path, url: &str) -> Result<Config> {
    const LIMIT: Duration = Duration::from_mins(2);
    let until = Instant::now() + LIMIT;
    let mut config = None;
    loop {
        parts.0.expect_alive()?;
        parts.1.expect_alive()?;
        let seen = match &config {
            // The server writes its certificate early on; it is its own authority.
            None => match std::fs::read(dir.join("certs/apiserver.crt")) {
                Ok(ca) if ca.ends_with(b"-----END CERTIFICATE-----\n") => {
                    let mut admin = None;
                    for identity in Identity::ALL {
                        let text = access::kubeconfig(url, &ca, identity.user(), identity.user(), "default");
                        std::fs::write(dir.join(format!("{}.kubeconfig", identity.user())), &text)?;
                        if identity == Identity::Admin {
                            admin = Some(text);
                        }
                    }
                    let parsed = Kubeconfig::from_yaml(&admin.unwrap_or_default())?;
                    config = Some(Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?);
                    "no answer yet".to_owned()
                }
                _ => "no certificate yet".to_owned(),
            },
            Some(config) => {
                let request = http::Request::get("/readyz").body(Vec::new())?;
                match Client::try_from(config.clone())?.request_text(request).await {
                    Ok(_) => return Ok(config.clone()),
                    Err(e) => e.to_string(),
                }
            }
        };
        if Instant::now() > until {
            bail!(
                "kube-apiserver is not ready after {LIMIT:?} ({seen}); the end of its log:\n{}",
                tail(&dir.join("kube-apiserver.log"), 15)
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
