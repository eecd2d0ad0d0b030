//! One cell of the table before a real S3 server.

use std::time::Duration;

use unstick::archive::key::Layout;
use unstick::archive::store::probe::probe;
use unstick::archive::store::s3::{Limits, S3, S3Credentials, S3Settings};
use unstick::archive::store::{Location, LocationKind, Store};
use unstick_bed::S3Server;
use unstick_bed::faultproxy::{AwsError, FaultProxy, Phase, Rule, Script, Which};

use crate::run::{Run, now, other, plain_words};
use crate::table::{Gone, Outcome, Site, Wrong};
use crate::tls::Certificates;

/// Keeps every version, so that what was overwritten is seen.
pub const BUCKET: &str = "versions";
/// For what is planted and taken away again.
pub const PLAIN: &str = "plain";

pub struct Cell<'a> {
    pub server: &'a S3Server,
    pub bucket: &'static str,
    pub script: Script,
    pub settings: S3Settings,
    pub store: S3,
    pub run: Run,
    pub proxy: FaultProxy,
    /// Where TLS is spoken.
    pub certificates: Option<Certificates>,
}

impl<'a> Cell<'a> {
    pub async fn new(server: &'a S3Server, name: &str, wrong: &Wrong) -> Self {
        let bucket = if matches!(wrong, Wrong::Planted) { PLAIN } else { BUCKET };
        let script = Script::new();
        let certificates = matches!(wrong, Wrong::Certificate(_)).then(Certificates::make);
        let proxy = match &certificates {
            Some(all) => FaultProxy::with_tls("s3", &server.endpoint, &script, &all.good).await,
            None => FaultProxy::start("s3", &server.endpoint, &script).await,
        };
        let proxy = proxy.unwrap();
        let prefix = format!("cells/{name}");
        let credentials = S3Credentials {
            access_key_id: server.access_key.clone(),
            secret_access_key: server.secret_key.clone(),
            session_token: None,
        };
        let settings = S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.clone(),
            endpoint: proxy.url(),
            force_path_style: true,
            credentials: Some(credentials),
            ca_bundle: certificates.as_ref().map(Certificates::trusted),
            limits: Limits {
                connect: Duration::from_millis(500),
                attempt: Duration::from_secs(2),
                call: Duration::from_secs(3),
                attempts: 2,
            },
            ..S3Settings::default()
        };
        let store = S3::connect(settings.clone()).await.unwrap();
        let location = Location {
            name: "main".into(),
            kind: LocationKind::S3,
            layout: Layout::new(&prefix).unwrap(),
            fingerprint: store.fingerprint().clone(),
            cluster: "default".into(),
            conditional_put: true,
        };
        Self { server, bucket, script, settings, store, run: Run::new(name, location), proxy, certificates }
    }

    pub fn which(&self, site: Site) -> Which {
        let layout = &self.run.location.layout;
        let bodies = format!("/{}/{}*.json.gz", self.bucket, layout.bodies());
        match site {
            Site::Put => Which::put(&bodies),
            Site::ReadBack | Site::Verify => Which::get(&bodies),
            Site::Manifest => Which::put(&format!("/{}/{}*", self.bucket, layout.manifests())),
            Site::Probe => Which::any(),
        }
    }

    /// Where a probe is about, only the calls that can be answered so are.
    fn add(&self, site: Site, wrong: &Wrong, outcomes: &[Outcome; 5]) -> Vec<Rule> {
        let impossible = |site: usize| matches!(outcomes[site], Outcome::Impossible(_));
        match wrong {
            Wrong::Call(fault) => {
                let which = match site {
                    Site::Probe if impossible(0) => Which::get("*").without_query("list-type"),
                    Site::Probe if impossible(1) => Which::put("*"),
                    site => self.which(site),
                };
                vec![self.script.add(which, fault.clone())]
            }
            Wrong::ColdAndGone(what) => {
                let layout = &self.run.location.layout;
                let gone = match what {
                    Gone::Body => Which::head(&format!("/{}/{}*", self.bucket, layout.bodies())),
                    Gone::Manifest => Which::get(&format!("/{}/{}*", self.bucket, layout.manifests())),
                };
                vec![
                    self.script.add(self.which(site), AwsError::InvalidObjectState),
                    self.script.add(gone, AwsError::NoSuchKey),
                ]
            }
            Wrong::FromHereOn(fault) => {
                let before = match site {
                    Site::ReadBack => 1,
                    Site::Manifest => 2,
                    _ => 0,
                };
                vec![self.script.add(Which::any().after(before), fault.clone())]
            }
            Wrong::Planted | Wrong::Certificate(_) => Vec::new(),
        }
    }

    /// The whole story of a cell: it goes wrong, nothing false is said, it ends, all is well.
    pub async fn play(&self, site: Site, wrong: &Wrong, outcomes: &[Outcome; 5]) -> Result<String, String> {
        let outcome = outcomes[site as usize];
        if site == Site::Probe {
            return self.play_probe(wrong, outcomes).await;
        }
        if site == Site::Verify {
            self.run.keep(&self.store).await.map_err(|e| format!("not kept without a fault: {e}"))?;
        }
        let rules = self.add(site, wrong, outcomes);
        let planted = if rules.is_empty() { Some(self.plant(site).await?) } else { None };
        let said = match (site, planted) {
            (Site::Verify, _) => match self.run.verify(&self.store).await {
                Ok(proof) if proof.is_cold() => Ok("cold"),
                Ok(_) => Ok("verified"),
                Err(e) => Err((e.reason(), e.to_string())),
            },
            (_, Some(Some(planting))) => {
                let (kept, ()) = tokio::join!(self.run.keep(&self.store), planting);
                kept.map(|_| "kept").map_err(|e| (e.reason(), e.to_string()))
            }
            _ => self.run.keep(&self.store).await.map(|_| "kept").map_err(|e| (e.reason(), e.to_string())),
        };
        let shown = judged(outcome, said)?;
        // Whoever looks now, with the fault still there: what is called verified is what the judge finds.
        if let Ok(proof) = self.run.verify(&self.store).await {
            self.judge(proof.key()).await.map_err(|e| format!("false proof: {e}"))?;
        }
        if rules.is_empty() {
            self.take_away(site).await?;
        }
        over(rules)?;
        let kept = self.run.keep(&self.store).await.map_err(|e| format!("not kept when it was over: {e}"))?;
        let proof = self.run.verify(&self.store).await.map_err(|e| format!("not verified when it was over: {e}"))?;
        self.judge(&kept.key).await?;
        if proof.key() != kept.key || proof.is_cold() {
            return Err("the proof is of another archive".to_owned());
        }
        Ok(shown)
    }

    async fn play_probe(&self, wrong: &Wrong, outcomes: &[Outcome; 5]) -> Result<String, String> {
        let location = &self.run.location;
        let rules = self.add(Site::Probe, wrong, outcomes);
        let key = location.layout.probe("2026-11-22");
        if rules.is_empty() {
            self.server.plant(self.bucket, &key, &other()).await.map_err(|e| e.to_string())?;
        }
        let said = probe(&self.store, location, None, now()).await;
        let said = said.map(|_| "ready").map_err(|e| (e.kind.reason(), e.to_string()));
        let shown = judged(outcomes[Site::Probe as usize], said)?;
        if rules.is_empty() {
            self.server.remove(self.bucket, &key).await.map_err(|e| e.to_string())?;
        }
        over(rules)?;
        let ready =
            probe(&self.store, location, None, now()).await.map_err(|e| format!("not ready when it was over: {e}"))?;
        if !ready.capabilities.conditional_put {
            return Err("it forgot that the store honours conditional puts".to_owned());
        }
        Ok(shown)
    }

    /// Plants something else; for the read-back that is between the put and the read.
    async fn plant(&self, site: Site) -> Result<Option<impl Future<Output = ()> + use<'_, 'a>>, String> {
        if site == Site::ReadBack {
            let mut hold = self.script.hold(self.which(Site::Put), Phase::Committed);
            return Ok(Some(async move {
                let standing = hold.reached(Duration::from_secs(5)).await.unwrap();
                let key = standing.call.path.split('/').skip(2).collect::<Vec<_>>().join("/");
                self.server.plant(self.bucket, &key, &other()).await.unwrap();
                standing.proceed().unwrap();
            }));
        }
        for key in self.keys(site).await? {
            self.server.plant(self.bucket, &key, &other()).await.map_err(|e| e.to_string())?;
        }
        Ok(None)
    }

    /// What a person does about it.
    async fn take_away(&self, site: Site) -> Result<(), String> {
        for key in self.keys(site).await? {
            self.server.remove(self.bucket, &key).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The key at which a site works, learnt from a keep in another place of the same layout.
    pub async fn keys(&self, site: Site) -> Result<Vec<String>, String> {
        let learnt = tempfile::tempdir().unwrap();
        let prefix = self.run.location.layout.prefix();
        let store = unstick::archive::store::filesystem::Filesystem::new(learnt.path(), prefix);
        let location = Location { fingerprint: store.fingerprint().clone(), ..self.run.location.clone() };
        let run = Run { live: self.run.live.clone(), location };
        let kept = run.keep(&store).await.map_err(|e| e.to_string())?;
        Ok(vec![if site == Site::Manifest { kept.row.manifest_key } else { kept.key }])
    }

    /// Straight from the server: the copy is whole, and no version of it was ever another.
    pub async fn judge(&self, key: &str) -> Result<(), String> {
        let object = self.server.read(self.bucket, key).await.map_err(|e| e.to_string())?;
        self.run.judge(&object.ok_or("the judge finds nothing under the key")?.bytes)?;
        if self.bucket == BUCKET {
            let versions = self.server.versions(BUCKET).await.map_err(|e| e.to_string())?;
            let prefix = self.run.location.layout.prefix();
            let own: Vec<_> = versions.iter().filter(|v| v.key.starts_with(prefix)).collect();
            if own.iter().any(|v| v.delete_marker || own.iter().filter(|w| w.key == v.key).count() > 1) {
                return Err(format!("something was replaced: {own:?}"));
            }
        }
        Ok(())
    }
}

/// The faults end. One that struck nothing shows nothing.
fn over(rules: Vec<Rule>) -> Result<(), String> {
    let idle = rules.into_iter().map(Rule::remove).filter(|struck| *struck == 0).count();
    if idle == 0 { Ok(()) } else { Err("the fault struck nothing".to_owned()) }
}

/// Whether what was said is what should be; in short for the line of the cell.
pub fn judged(outcome: Outcome, said: Result<&str, (&'static str, String)>) -> Result<String, String> {
    match (outcome, said) {
        (Outcome::Fails(wanted), Err((reason, message))) if wanted == reason => {
            plain_words(&message)?;
            Ok(reason.to_owned())
        }
        (Outcome::Holds, Ok("kept" | "verified")) => Ok("it is there".to_owned()),
        (Outcome::Cold, Ok("cold")) => Ok("by its manifest".to_owned()),
        (wanted, said) => Err(format!("wanted {wanted:?}, it was {said:?}")),
    }
}
