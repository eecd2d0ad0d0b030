//! A store whose certificate turns bad: nothing is told to who can't prove that it is the store, and nothing it says counts.

use std::sync::Arc;

use unstick::archive::store::Store;
use unstick::archive::store::s3::{S3, S3Settings};
use unstick_bed::SelfSigned;

use crate::bucket::{Cell, judged};
use crate::site::Site;
use crate::table::{Bad, Outcome};

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
        self.story.prepare(site, &self.store).await?;
        // The call before the site is answered; its certificate is the last good one.
        let (said, told) = self
            .turning(site, async || {
                self.proxy.show(all.of(bad)).unwrap();
                self.script.calls().len()
            })
            .await;
        let shown = judged(outcome, &said)?;
        // Nothing was told to whom it couldn't trust: only the calls before the turn have come through.
        let now = self.script.calls().len();
        if now != told {
            return Err(format!("{} calls came through after the turn:\n{}", now - told, self.script.tail(8)));
        }
        if self.story.run.verify(&*self.store).await.is_ok() {
            return Err("a proof from who is not the store".to_owned());
        }
        let fixed = self.fixed(all, bad).await?;
        if let Some(key) = self.story.is_well(site, &fixed, &said).await? {
            self.judge(&key).await?;
        }
        Ok(shown)
    }

    /// What a person does about it.
    async fn fixed(&self, all: &Certificates, bad: Bad) -> Result<Arc<dyn Store>, String> {
        if bad != Bad::Untrusted {
            self.proxy.show(&all.good).map_err(|e| e.to_string())?;
            return Ok(Arc::clone(&self.store));
        }
        let ca_bundle = Some(all.untrusted.pem().into_bytes());
        let settings = S3Settings { ca_bundle, ..self.settings.clone() };
        let store = S3::connect(settings).await.map_err(|e| e.to_string())?;
        Ok(Arc::new(store))
    }
}
