//! Who may talk to the server: static tokens for the bed's own parts, `ServiceAccount` tokens for what is under test.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::{Bed, FaultProxy};

/// The bed's own users, each with all rights and a name of its own in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Admin,
    Argo,
    Kubelet,
}

impl Identity {
    pub const ALL: [Self; 3] = [Self::Admin, Self::Argo, Self::Kubelet];

    /// User name; also the token, for the server only listens on 127.0.0.1.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Argo => "argo-controller",
            Self::Kubelet => "bed-kubelet",
        }
    }
}

impl Bed {
    /// Makes a namespace with a `default` `ServiceAccount`; one that is there already is fine.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let client = self.admin()?;
        let apply = PatchParams::apply("bed").force();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Api::<Namespace>::all(client).patch(name, &apply, &Patch::Apply(namespace)).await?;
        self.service_account(name, "default").await
    }

    /// Makes a `ServiceAccount`; one that is there already is fine.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let api: Api<ServiceAccount> = Api::namespaced(self.admin()?, namespace);
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
        api.patch(name, &PatchParams::apply("bed").force(), &Patch::Apply(account)).await?;
        Ok(())
    }

    /// A kubeconfig with a fresh token (24 h) of a `ServiceAccount`, which must exist.
    /// In the audit log its user is `system:serviceaccount:<namespace>:<account>`.
    pub async fn kubeconfig_for(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.token_for(namespace, account).await?;
        let ca = std::fs::read(self.folder().join("certs/apiserver.crt"))?;
        let path = self.folder().join(format!("{namespace}.{account}.kubeconfig"));
        std::fs::write(&path, kubeconfig(self.url(), &ca, account, &token, namespace))?;
        Ok(path)
    }

    /// The same by way of a proxy before this bed.
    pub async fn kubeconfig_through(&self, proxy: &FaultProxy, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.token_for(namespace, account).await?;
        let ca = proxy.certificate().ok_or_else(|| anyhow!("{} is not before an API server", proxy.url()))?;
        let url = proxy.url();
        let port = url.rsplit(':').next().unwrap_or_default();
        let path = self.folder().join(format!("{namespace}.{account}.{port}.kubeconfig"));
        std::fs::write(&path, kubeconfig(&url, ca.as_bytes(), account, &token, namespace))?;
        Ok(path)
    }

    /// A fresh token (24 h) of a `ServiceAccount`.
    pub async fn token_for(&self, namespace: &str, account: &str) -> Result<String> {
        let api: Api<ServiceAccount> = Api::namespaced(self.admin()?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for ServiceAccount {namespace}/{account}; was it created?"))?;
        Ok(answer.status.ok_or_else(|| anyhow!("the server gave no token"))?.token)
    }
}

/// Text of a kubeconfig with one cluster, one user and one context.
pub(crate) fn kubeconfig(url: &str, ca: &[u8], user: &str, token: &str, namespace: &str) -> String {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(ca)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": user, "namespace": namespace}}],
    });
    format!("{text:#}\n")
}

/// Key pair for `ServiceAccount` tokens, static tokens and the audit policy.
pub(crate) fn write_server_files(dir: &Path) -> Result<()> {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    let pair =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| anyhow!("cannot make a key pair"))?;
    let private = pair.to_pkcs8v1().map_err(|_| anyhow!("cannot write a private key"))?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| anyhow!("cannot write a public key"))?;
    std::fs::write(dir.join("sa.key"), pem("PRIVATE KEY", private.as_ref()))?;
    std::fs::write(dir.join("sa.pub"), pem("PUBLIC KEY", public.as_ref()))?;
    let tokens: Vec<String> =
        Identity::ALL.iter().map(|i| format!("{0},{0},{0},\"system:masters\"\n", i.user())).collect();
    std::fs::write(dir.join("tokens.csv"), tokens.concat())?;
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "omitManagedFields": true,
        "rules": [{"level": "Metadata"}],
    });
    std::fs::write(dir.join("audit-policy.yaml"), format!("{policy:#}"))?;
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
