//! A store whose certificate turns bad: nothing is told to who can't prove that it is the store, and nothing it says counts.

use std::time::Duration;

use unstick::archive::store::Store;
use unstick::archive::store::probe::probe;
use unstick::archive::store::s3::{S3, S3Settings};
use unstick_bed::SelfSigned;
use unstick_bed::faultproxy::Phase;

use crate::bucket::{Cell, judged};
use crate::run::now;
use crate::table::{Bad, Outcome, Site};

const YEARS: [&str; 2] = ["260101000000Z", "360101000000Z"];

/// What a store may show, each its own authority.
pub struct Certificates {
    pub good: SelfSigned,
    untrusted: SelfSigned,
    other_host: SelfSigned,
    expired: SelfSigned,
}

impl Certificates {
    pub fn make() -> Self {
        Self {
            good: SelfSigned::for_loopback("store", YEARS).unwrap(),
            untrusted: SelfSigned::for_loopback("somebody", YEARS).unwrap(),
            other_host: SelfSigned::for_host("store.example", YEARS).unwrap(),
            expired: SelfSigned::for_loopback("old-store", ["250101000000Z", "260101000000Z"]).unwrap(),
        }
    }

    /// The bundle of the location: all but the one that is not trusted.
    pub fn trusted(&self) -> Vec<u8> {
        [&self.good, &self.other_host, &self.expired].map(SelfSigned::pem).concat().into_bytes()
    }

    fn of(&self, bad: Bad) -> &SelfSigned {
        match bad {
            Bad::Untrusted => &self.untrusted,
            Bad::OtherHost => &self.other_host,
            Bad::Expired => &self.expired,
        }
    }
}

impl Cell<'_> {
    /// The certificate turns bad at a call; a person gives the right authority, or the store shows a good one again.
    pub async fn play_certificate(&self, site: Site, bad: Bad, outcome: Outcome) -> Result<String, String> {
        let all = self.certificates.as_ref().ok_or("no TLS")?;
        let turn = || self.proxy.show(all.of(bad)).unwrap();
        if matches!(site, Site::Verify | Site::Probe) {
            let kept = self.run.keep(&self.store).await;
            kept.map_err(|e| format!("not kept with a good certificate: {e}"))?;
        }
        // The call before the site is answered; its certificate is the last good one.
        let before = match site {
            Site::ReadBack => Some(Site::Put),
            Site::Manifest => Some(Site::ReadBack),
            _ => None,
        };
        let calls = self.script.calls().len();
        let said = if let Some(before) = before {
            let mut hold = self.script.hold(self.which(before), Phase::Committed);
            let turning = async {
                let standing = hold.reached(Duration::from_secs(5)).await.unwrap();
                turn();
                standing.proceed().unwrap();
            };
            let (kept, ()) = tokio::join!(self.run.keep(&self.store), turning);
            kept.map(|_| "kept").map_err(|e| (e.reason(), e.to_string()))
        } else {
            turn();
            match site {
                Site::Verify => {
                    let verified = self.run.verify(&self.store).await;
                    verified.map(|_| "verified").map_err(|e| (e.reason(), e.to_string()))
                }
                Site::Probe => {
                    let probed = probe(&self.store, &self.run.location, None, now()).await;
                    probed.map(|_| "ready").map_err(|e| (e.kind.reason(), e.to_string()))
                }
                _ => self.run.keep(&self.store).await.map(|_| "kept").map_err(|e| (e.reason(), e.to_string())),
            }
        };
        let shown = judged(outcome, said)?;
        // Nothing was told to whom it couldn't trust: only the calls before the turn have come through.
        let told = self.script.calls().len() - calls;
        let expected = usize::from(before.is_some()) + usize::from(site == Site::Manifest);
        if told != expected {
            return Err(format!("{told} calls came through, {expected} should:\n{}", self.script.tail(8)));
        }
        if self.run.verify(&self.store).await.is_ok() {
            return Err("a proof from who is not the store".to_owned());
        }
        let fixed = self.fixed(all, bad).await?;
        self.recovered(&fixed).await?;
        Ok(shown)
    }

    /// What a person does about it.
    async fn fixed(&self, all: &Certificates, bad: Bad) -> Result<S3, String> {
        if bad != Bad::Untrusted {
            self.proxy.show(&all.good).map_err(|e| e.to_string())?;
            return Ok(self.store.clone());
        }
        let ca_bundle = Some(all.untrusted.pem().into_bytes());
        let settings = S3Settings { ca_bundle, ..self.settings.clone() };
        S3::connect(settings).await.map_err(|e| e.to_string())
    }

    async fn recovered(&self, store: &dyn Store) -> Result<(), String> {
        let ready =
            probe(store, &self.run.location, None, now()).await.map_err(|e| format!("not ready afterwards: {e}"))?;
        if !ready.capabilities.conditional_put {
            return Err("it forgot that the store honours conditional puts".to_owned());
        }
        let kept = self.run.keep(store).await.map_err(|e| format!("not kept afterwards: {e}"))?;
        let proof = self.run.verify(store).await.map_err(|e| format!("not verified afterwards: {e}"))?;
        if proof.key() != kept.key || proof.is_cold() {
            return Err("the proof is of another archive".to_owned());
        }
        self.judge(&kept.key).await
    }
}
