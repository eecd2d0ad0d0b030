//! What is done at a site, in a bucket or in a folder: what goes before it, the act itself, and how it is when all is over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use unstick::archive::catalogue::reindex::{Terms, reindex};
use unstick::archive::catalogue::search::{self, Scope};
use unstick::archive::catalogue::{Deletion, Row};
use unstick::archive::keep::Kept;
use unstick::archive::store::probe::probe;
use unstick::archive::store::{Location, Store};
use unstick::archive::verify::Hint;
use unstick::shell::janitor::{Open, Shelf};

use crate::run::{Run, at, now};
use crate::site::Site;

/// What was said: a word, or a reason and its message.
pub type Said = Result<&'static str, (&'static str, String)>;

/// A run and what waits for its catalogue, over all the stores that a cell opens at its place.
pub struct Story {
    pub run: Run,
    shelf: Shelf,
    kept: Mutex<Option<Kept>>,
    lines: Mutex<Vec<Row>>,
}

/// Lines that are appended while it goes wrong.
const LINES: usize = 3;

impl Story {
    pub fn new(run: Run) -> Self {
        Self { run, shelf: Shelf::default(), kept: Mutex::default(), lines: Mutex::default() }
    }

    fn open(&self, store: &Arc<dyn Store>) -> Open {
        Open::new(Arc::clone(store), self.run.location.clone(), &self.shelf)
    }

    fn kept(&self) -> Kept {
        self.kept.lock().unwrap().clone().unwrap()
    }

    /// A line about the deletion of some run.
    fn line(&self, uid: &str) -> Row {
        let facts = self.run.facts();
        let Location { cluster, fingerprint, .. } = &self.run.location;
        let (deleted_at, policy) = (now(), "WorkflowPolicy/argo/default");
        let told =
            Deletion { facts: &facts, cluster, fingerprint, archive: None, deleted_at, policy, reason: "TimeToLive" };
        let mut row = Row::deletion(&told);
        uid.clone_into(&mut row.summary.uid);
        row
    }

    /// Writes lines, and remembers that they have to be there from now on.
    async fn lines(&self, open: &Open, rows: Vec<Row>, seconds: i64) -> Result<(), String> {
        for row in rows {
            self.lines.lock().unwrap().push(row.clone());
            open.rows.add(row);
        }
        open.write_lines(at(seconds)).await.map_err(|e| format!("no lines without a fault: {e}"))
    }

    /// What has to have happened before.
    pub async fn prepare(&self, site: Site, store: &Arc<dyn Store>) -> Result<(), String> {
        use Site::{Begin, Confirm, ManifestBack, OtherRules, Verify};
        let open = self.open(store);
        if site.is_in(&[ManifestBack, Verify, OtherRules, Confirm]) || site.is_in(Site::REINDEXES) {
            let kept = self.run.keep(&**store).await.map_err(|e| format!("not kept without a fault: {e}"))?;
            *self.kept.lock().unwrap() = Some(kept);
        }
        if site.is_in(Site::REINDEXES) {
            self.lines(&open, vec![self.kept().row, self.line("gone")], 0).await?;
        } else if site.is_in(Site::APPENDS) && site != Begin {
            self.lines(&open, vec![self.line("gone")], 0).await?;
        }
        Ok(())
    }

    /// Does it.
    pub async fn act(&self, site: Site, store: &Arc<dyn Store>) -> Said {
        let fault = |e: unstick::archive::store::StoreError| (e.kind.reason(), e.to_string());
        match site {
            Site::Probe => probe(&**store, &self.run.location, None, now()).await.map(|_| "ready").map_err(fault),
            Site::Verify | Site::OtherRules => {
                let verified = if site == Site::Verify {
                    self.run.verify(&**store).await
                } else {
                    self.run.verify_by_other_rules(&**store, &self.hint()).await
                };
                match verified {
                    Ok(proof) if proof.is_cold() => Ok("cold"),
                    Ok(_) => Ok("verified"),
                    Err(e) => Err((e.reason(), e.to_string())),
                }
            }
            Site::Confirm => match self.open(store).names(&self.run.target(), &self.hint()).await {
                Ok(Some(_)) => Ok("confirmed"),
                Ok(None) => Ok("unconfirmed"),
                Err(e) => Err(fault(e)),
            },
            site if site.is_in(Site::APPENDS) => {
                let open = self.open(store);
                for n in 0..LINES {
                    let row = self.line(&format!("line-{n}"));
                    self.lines.lock().unwrap().push(row.clone());
                    open.rows.add(row);
                }
                let said = open.write_lines(at(10)).await;
                match (said, open.rows.len()) {
                    (Ok(()), 0) => Ok("written"),
                    (Err(e), LINES) => Err(fault(e)),
                    (said, waiting) => Err(("lines lost", format!("{waiting} lines wait, it said {said:?}"))),
                }
            }
            site if site.is_in(Site::REINDEXES) => {
                let made = reindex(&**store, &self.run.location.layout, terms(20), &mut |_| {}).await.map_err(fault)?;
                Ok(if made.damaged.is_empty() { "reindexed" } else { "told" })
            }
            _ => {
                let events = site.is_in(&[Site::EventsPut, Site::EventsBack]);
                let kept =
                    if events { self.run.keep_with_events(&**store).await } else { self.run.keep(&**store).await };
                kept.map(|_| "kept").map_err(|e| (e.reason(), e.to_string()))
            }
        }
    }

    fn hint(&self) -> Hint {
        let kept = self.kept();
        Hint { fingerprint: kept.fingerprint, key: kept.key, digest: kept.digest }
    }

    /// Whether all is well by itself, now that the fault is over. The key of the archive, if it is about one.
    pub async fn is_well(&self, site: Site, store: &Arc<dyn Store>, said: &Said) -> Result<Option<String>, String> {
        if site == Site::Probe {
            let ready = probe(&**store, &self.run.location, None, now()).await;
            let ready = ready.map_err(|e| format!("not ready when it was over: {e}"))?;
            return if ready.capabilities.conditional_put {
                Ok(None)
            } else {
                Err("it forgot what puts do".to_owned())
            };
        }
        if site.is_in(Site::APPENDS) {
            let open = self.open(store);
            open.write_lines(at(30)).await.map_err(|e| format!("no lines when it was over: {e}"))?;
            if open.rows.len() > 0 {
                return Err("lines wait for ever".to_owned());
            }
        }
        if site.is_in(Site::REINDEXES) && *said != Ok("told") {
            // One that failed leaves what was there.
            self.catalogue(store).await.map_err(|e| format!("after a reindex that said {said:?}: {e}"))?;
        }
        if site.is_in(Site::REINDEXES) {
            let again = reindex(&**store, &self.run.location.layout, terms(40), &mut |_| {}).await;
            let again = again.map_err(|e| format!("not reindexed when it was over: {e}"))?;
            if !again.damaged.is_empty() {
                return Err(format!("still damaged when it was over: {:?}", again.damaged));
            }
        }
        if site.is_in(Site::APPENDS) || site.is_in(Site::REINDEXES) {
            self.catalogue(store).await?;
            return Ok(None);
        }
        if site.is_in(&[Site::OtherRules, Site::Confirm]) {
            let again = self.act(site, store).await;
            if !matches!(again, Ok("verified" | "confirmed")) {
                return Err(format!("when it was over it said {again:?}"));
            }
        }
        let kept = if site.is_in(&[Site::EventsPut, Site::EventsBack]) {
            self.run.keep_with_events(&**store).await
        } else {
            self.run.keep(&**store).await
        };
        let kept = kept.map_err(|e| format!("not kept when it was over: {e}"))?;
        let proof = self.run.verify(&**store).await.map_err(|e| format!("not verified when it was over: {e}"))?;
        if proof.key() != kept.key || proof.is_cold() {
            return Err("the proof is of another archive".to_owned());
        }
        Ok(Some(kept.key))
    }

    /// The current generation tells of all lines, and of nothing else.
    async fn catalogue(&self, store: &Arc<dyn Store>) -> Result<(), String> {
        let found = search::batches(&**store, &self.run.location.layout, &Scope::default()).await;
        let found = found.map_err(|e| e.to_string())?.ok_or("there is no catalogue")?;
        let mut told = BTreeSet::new();
        for batch in found {
            let read = search::read(&**store, &batch.key).await.map_err(|e| e.to_string())?;
            told.extend(read.rows.iter().map(|row| serde_json::to_string(row).unwrap()));
        }
        let wanted: BTreeSet<String> =
            self.lines.lock().unwrap().iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        if told == wanted { Ok(()) } else { Err(format!("{} lines are told, not {}", told.len(), wanted.len())) }
    }
}

fn terms(seconds: i64) -> Terms {
    Terms { now: at(seconds), expires_after: None }
}
