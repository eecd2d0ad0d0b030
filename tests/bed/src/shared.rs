//! One bed for all tests of a process: what costs seconds to start is started once, and tests keep apart by namespace.

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::{Argo, ArgoOptions, Bed, Kubelet, Options};

/// A control plane with Argo and the kubelet stand-in.
pub struct Shared {
    pub bed: Bed,
    pub argo: Argo,
    pub kubelet: Kubelet,
}

impl Shared {
    /// Starts all three with their defaults.
    pub async fn start() -> Result<Self> {
        let bed = Bed::start(Options::default()).await?;
        let argo = Argo::start(&bed, &ArgoOptions::default()).await?;
        let kubelet = Kubelet::start(&bed).await?;
        Ok(Self { bed, argo, kubelet })
    }
}

/// The one of this process, started by whoever asks first. It ends with the process (a static is never dropped; the
/// guardians see to it). Tests that stop or restart Argo start a bed of their own.
pub async fn shared() -> Result<&'static Shared> {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED.get_or_try_init(Shared::start).await
}
