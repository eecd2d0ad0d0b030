//! One cell of the table before a real S3 server.

use std::sync::Arc;
use std::time::Duration;

use unstick::archive::key::Layout;
use unstick::archive::store::s3::{Limits, S3, S3Credentials, S3Settings};
use unstick::archive::store::{Location, LocationKind, Store};
use unstick_bed::S3Server;
use unstick_bed::faultproxy::{AwsError, FaultProxy, Hold, Phase, Rule, Script, Which};

use crate::acts::{Said, Story};
use crate::run::{Run, other, plain_words};
use crate::site::Site;
use crate::table::{Gone, Outcome, Outcomes, Wrong};
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
    pub store: Arc<dyn Store>,
    pub story: Story,
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
        let store: Arc<dyn Store> = Arc::new(S3::connect(settings.clone()).await.unwrap());
        let location = Location {
            name: "main".into(),
            kind: LocationKind::S3,
            layout: Layout::new(&prefix).unwrap(),
            fingerprint: store.fingerprint().clone(),
            cluster: "default".into(),
            conditional_put: true,
        };
        Self {
            server,
            bucket,
            script,
            settings,
            store,
            story: Story::new(Run::new(name, location)),
            proxy,
            certificates,
        }
    }

    fn which(&self, site: Site) -> Which {
        site.which(self.bucket, &self.story.run.location.layout)
    }

    /// Where a probe is about, only the calls that can be answered so are.
    fn add(&self, site: Site, wrong: &Wrong, outcomes: &Outcomes) -> Vec<Rule> {
        let impossible = |site| matches!(outcomes.at(site), Outcome::Impossible(_));
        match wrong {
            Wrong::Call(fault) => {
                let which = match site {
                    Site::Probe if impossible(Site::Put) => Which::get("*").without_query("list-type"),
                    Site::Probe if impossible(Site::ReadBack) => Which::put("*"),
                    site => self.which(site),
                };
                vec![self.script.add(which, fault.clone())]
            }
            Wrong::ColdAndGone(what) => {
                let layout = &self.story.run.location.layout;
                let gone = match what {
                    Gone::Body => Which::head(&format!("/{}/{}*", self.bucket, layout.bodies())),
                    Gone::Manifest => Which::get(&format!("/{}/{}*", self.bucket, layout.manifests())),
                };
                vec![
                    self.script.add(self.which(site), AwsError::InvalidObjectState),
                    self.script.add(gone, AwsError::NoSuchKey),
                ]
            }
            Wrong::FromHereOn(fault) => vec![self.script.add(Which::any(), fault.clone())],
            Wrong::Planted | Wrong::Certificate(_) => Vec::new(),
        }
    }

    /// Does what the site does, and `turns` things right before the site's first call.
    pub async fn turning<T>(&self, site: Site, turn: impl AsyncFnOnce() -> T) -> (Said, T) {
        let Some(before) = site.before(self.bucket, &self.story.run.location.layout) else {
            let turned = turn().await;
            return (self.story.act(site, &self.store).await, turned);
        };
        let mut hold = self.script.hold(before.first(1), Phase::Committed);
        let turning = async {
            let standing = hold.reached(Duration::from_secs(10)).await.unwrap();
            let turned = turn().await;
            standing.proceed().unwrap();
            turned
        };
        tokio::join!(self.story.act(site, &self.store), turning)
    }

    /// The whole story of a cell: it goes wrong, nothing false is said, it ends, all is well.
    pub async fn play(&self, site: Site, wrong: &Wrong, outcomes: &Outcomes) -> Result<String, String> {
        self.story.prepare(site, &self.store).await?;
        let (mut rules, mut planted) = (Vec::new(), None);
        let said = match wrong {
            Wrong::FromHereOn(_) => {
                let (said, added) = self.turning(site, async || self.add(site, wrong, outcomes)).await;
                rules = added;
                said
            }
            Wrong::Planted => {
                let which = if site == Site::Probe { Which::put("*") } else { self.which(site) };
                let hold = self.script.hold(which.first(1), Phase::BeforeForward);
                let (said, there) = tokio::join!(self.story.act(site, &self.store), self.plant(hold));
                planted = Some(there);
                said
            }
            _ => {
                rules = self.add(site, wrong, outcomes);
                self.story.act(site, &self.store).await
            }
        };
        let shown = judged(outcomes.at(site), &said)?;
        // Whoever looks now, with the fault still there: what is called verified is what the judge finds.
        let is_about_a_run = site.is_in(Site::KEEPS) || matches!(site, Site::Verify | Site::OtherRules);
        if is_about_a_run && let Ok(proof) = self.story.run.verify(&*self.store).await {
            self.judge(proof.key()).await.map_err(|e| format!("false proof: {e}"))?;
        }
        if let Some(planted) = planted {
            self.take_away(planted).await?;
        }
        over(rules)?;
        if let Some(key) = self.story.is_well(site, &self.store, &said).await? {
            self.judge(&key).await?;
        }
        Ok(shown)
    }

    /// Right before the server hears of a call, something else lies under its key; what was there.
    async fn plant(&self, mut hold: Hold) -> (String, Option<Vec<u8>>) {
        let standing = hold.reached(Duration::from_secs(10)).await.unwrap();
        let key = standing.call.path.split('/').skip(2).collect::<Vec<_>>().join("/");
        let there = self.server.read(self.bucket, &key).await.unwrap().map(|object| object.bytes);
        self.server.plant(self.bucket, &key, &other()).await.unwrap();
        standing.proceed().unwrap();
        (key, there)
    }

    /// What a person does about it.
    async fn take_away(&self, (key, there): (String, Option<Vec<u8>>)) -> Result<(), String> {
        match there {
            Some(bytes) => self.server.plant(self.bucket, &key, &bytes).await.map_err(|e| e.to_string()),
            None => self.server.remove(self.bucket, &key).await.map_err(|e| e.to_string()),
        }
    }

    /// The key at which a site works, learnt from a keep in another place of the same layout.
    pub async fn keys(&self, site: Site) -> Result<Vec<String>, String> {
        let learnt = tempfile::tempdir().unwrap();
        let run = &self.story.run;
        let store = unstick::archive::store::filesystem::Filesystem::new(learnt.path(), run.location.layout.prefix());
        let location = Location { fingerprint: store.fingerprint().clone(), ..run.location.clone() };
        let run = Run { live: run.live.clone(), whole: run.whole.clone(), location };
        let kept = run.keep(&store).await.map_err(|e| e.to_string())?;
        Ok(vec![if site == Site::Manifest { kept.row.manifest_key } else { kept.key }])
    }

    /// Straight from the server: the copy is whole, and no version of it was ever another.
    pub async fn judge(&self, key: &str) -> Result<(), String> {
        let object = self.server.read(self.bucket, key).await.map_err(|e| e.to_string())?;
        self.story.run.judge(&object.ok_or("the judge finds nothing under the key")?.bytes)?;
        if self.bucket == BUCKET {
            let prefix = self.story.run.location.layout.prefix();
            let own = self.server.versions_below(BUCKET, prefix).await.map_err(|e| e.to_string())?;
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
pub fn judged(outcome: Outcome, said: &Said) -> Result<String, String> {
    match (outcome, said) {
        (Outcome::Fails(wanted), Err((reason, message))) if wanted == *reason => {
            plain_words(message)?;
            Ok((*reason).to_owned())
        }
        (Outcome::Holds, Ok("kept" | "verified" | "confirmed" | "written" | "reindexed" | "ready")) => {
            Ok("it is there".to_owned())
        }
        (Outcome::Cold, Ok("cold")) => Ok("by its manifest".to_owned()),
        (Outcome::Unconfirmed, Ok("unconfirmed")) => Ok("not believed".to_owned()),
        (Outcome::Told, Ok("told")) => Ok("told".to_owned()),
        (wanted, said) => Err(format!("wanted {wanted:?}, it was {said:?}")),
    }
}
