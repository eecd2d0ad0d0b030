//! One job from its beginning to its outcome.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde_json::json;
use serde_json::value::RawValue;

use super::object::{self, failed};
use super::{Hands, Judged, Open, wanted};
use crate::api::policy::Redaction as Wanted;
use crate::api::reasons::{KeepReason, LocationReason};
use crate::api::workflow::Secs;
use crate::archive::canonical::{NotArchivable, canonical};
use crate::archive::catalogue::Row;
use crate::archive::catalogue::row::Deletion;
use crate::archive::digest::Digest;
use crate::archive::facts::RunFacts;
use crate::archive::keep::{KeepError, KeepOptions, keep};
use crate::archive::redaction::Redaction;
use crate::archive::store::{Fingerprint, StoreError};
use crate::archive::verify::{Hint, VerifyError, verify_for_delete};
use crate::watchdog::instant;
use crate::watchdog::janitor::job::{Job, Kept, Live, Needed, Outcome, Permit, Target, Task};
use crate::watchdog::janitor::run::{ARCHIVED, Mark};

/// How long a job may take in all; what hangs longer is tried again.
const LONGEST: Duration = Duration::from_secs(300);

impl Hands {
    /// Carries out a job, which was judged on what had been heard by then.
    pub async fn perform(&self, job: Job, judged: Judged) -> Outcome {
        let Job { target, task, .. } = job;
        let location = match &task {
            Task::Archive { location, .. }
            | Task::Confirm { location, .. }
            | Task::Examine { needed: Needed::Proof(location, ..) } => Some(location.clone()),
            Task::Examine { .. } | Task::Delete { .. } | Task::Record => None,
        };
        let deletes = matches!(task, Task::Delete { .. });
        let outcome = match tokio::time::timeout(LONGEST, self.work(&target, task, judged)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) if deletes => Outcome::Unanswered(format!("no end within {} s", LONGEST.as_secs())),
            Err(_) => Outcome::Failed(format!("no end within {} s", LONGEST.as_secs())),
        };
        if matches!(outcome, Outcome::Store(..))
            && let Some(place) = location.and_then(|name| self.place(&name))
        {
            place.trouble.notify_one();
        }
        outcome
    }

    async fn work(&self, target: &Target, task: Task, judged: Judged) -> Result<Outcome, Outcome> {
        match task {
            Task::Archive { location, redaction, events, stuck_seconds } => {
                self.archive(target, &location, &redaction, events, stuck_seconds).await
            }
            Task::Confirm { location, mark } => self.confirm(target, &location, &mark).await,
            Task::Examine { needed: Needed::Nothing } => {
                let (_, live) = object::read(&self.client, target).await?;
                Ok(Outcome::Examined(Box::new(live), None))
            }
            Task::Examine { needed: Needed::Facts(redaction) } => {
                let rules = rules(&redaction)?;
                let (text, mut live) = object::read(&self.client, target).await?;
                let desk = self.desks.take(&text, "").await;
                let text = if desk.is_ok() { text.as_str() } else { "" };
                live.facts = Some(Box::new(facts(target, text, &live, &rules)));
                Ok(Outcome::Examined(Box::new(live), None))
            }
            Task::Examine { needed: Needed::Proof(location, redaction, mark) } => {
                let place = self.opened(&location)?;
                let rules = rules(&redaction)?;
                let (text, live) = object::read(&self.client, target).await?;
                let hint = mark.and_then(|m| hint(&m));
                let (desk, location) = (self.desks.take(&text, "").await?, place.location.clone());
                let found = desk.work(Arc::clone(&place.store), move |store| async move {
                    verify_for_delete(&*store, &location, &text, &rules, hint.as_ref()).await
                });
                match found.await? {
                    Ok(proof) => Ok(Outcome::Examined(Box::new(live), Some(Box::new(proof)))),
                    Err(VerifyError::Store(error)) => Ok(store(&error)),
                    Err(VerifyError::NotArchivable(why)) => Ok(not_archivable(&why)),
                    Err(other) => Ok(Outcome::NotVerified(other.to_string())),
                }
            }
            Task::Delete { resource_version, permit, policy, told } => {
                let told = self.deletion(&permit, &policy, told.as_ref());
                // Should the answer get lost, it waits for what the watch says.
                self.unanswered(&target.uid, told.clone());
                let look = (&self.look, judged);
                let outcome = super::delete::delete(self.client.clone(), target, &resource_version, permit, look).await;
                if !matches!(outcome, Outcome::Unanswered(_)) {
                    self.unanswered(&target.uid, None);
                }
                if let (Outcome::Deleted, Some((place, row))) = (&outcome, told) {
                    place.rows.add(row);
                }
                Ok(outcome)
            }
            Task::Record => {
                if let Some((place, row)) = self.unanswered(&target.uid, None) {
                    place.rows.add(row);
                }
                Ok(Outcome::Gone)
            }
        }
    }

    async fn archive(
        &self,
        target: &Target,
        location: &str,
        redaction: &Wanted,
        events: bool,
        stuck_seconds: Option<i64>,
    ) -> Result<Outcome, Outcome> {
        let place = self.opened(location)?;
        let rules = rules(redaction)?;
        let (text, live) = object::read(&self.client, target).await?;
        let events = if events { Some(self.events(target).await?) } else { None };
        let desk = self.desks.take(&text, events.as_deref().map_or("", RawValue::get)).await?;
        let (location_of, now) = (place.location.clone(), self.clock.now().into());
        let kept = desk.work(Arc::clone(&place.store), move |store| async move {
            let options = KeepOptions { rules: &rules, events: events.as_deref(), now, stuck_seconds };
            keep(&*store, &location_of, &text, &options).await
        });
        let kept = match kept.await? {
            Ok(kept) => kept,
            Err(KeepError::NotArchivable(why)) => return Ok(not_archivable(&why)),
            Err(KeepError::Store(error)) => return Ok(store(&error)),
            Err(other) => {
                let reason = LocationReason::parse(other.reason()).unwrap_or(LocationReason::StoreFailed);
                return Ok(Outcome::Store(reason, other.to_string()));
            }
        };
        place.rows.add(kept.row.clone());
        let mark = Mark {
            location: location.to_owned(),
            fingerprint: kept.fingerprint.to_string(),
            key: kept.key,
            digest: kept.digest.to_string(),
        };
        // A hint for people and for after a restart: without it the archive is as good.
        if let Err(error) = self.mark(target, &live.resource_version, &mark).await {
            tracing::debug!(workflow = target.name, %error, "archived, but not marked");
        }
        Ok(Outcome::Kept(Kept { mark, stored_bytes: kept.stored_bytes, already: kept.already }))
    }

    /// Asks the store whether a mark says the truth.
    async fn confirm(&self, target: &Target, location: &str, mark: &Mark) -> Result<Outcome, Outcome> {
        let place = self.opened(location)?;
        let Some(hint) = hint(mark).filter(|h| h.fingerprint == place.location.fingerprint) else {
            return Ok(Outcome::Unconfirmed);
        };
        match place.names(target, &hint).await {
            Ok(Some(stored_bytes)) => Ok(Outcome::Kept(Kept {
                mark: Mark { location: location.to_owned(), ..mark.clone() },
                stored_bytes,
                already: true,
            })),
            Ok(None) => Ok(Outcome::Unconfirmed),
            Err(error) => Ok(store(&error)),
        }
    }

    /// Writes the mark if the object is still the one that was archived.
    async fn mark(&self, target: &Target, resource_version: &str, mark: &Mark) -> kube::Result<()> {
        let text = serde_json::to_string(mark).map_err(kube::Error::SerdeError)?;
        let patch = json!({"metadata": {"resourceVersion": resource_version, "annotations": {ARCHIVED: text}}});
        let request = Request::patch(object::path(target))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.client.request_text(request).await.map(drop)
    }

    async fn events(&self, target: &Target) -> Result<Box<RawValue>, Outcome> {
        wanted::events(&self.client, &target.namespace, &target.uid).await.map_err(|error| match error {
            kube::Error::SerdeError(error) => Outcome::Failed(format!("its events: {error}")),
            other => failed(&other),
        })
    }

    /// What the catalogue is to say of a deletion.
    fn deletion(
        &self,
        permit: &Permit,
        policy: &str,
        told: Option<&(String, Box<RunFacts>)>,
    ) -> Option<(Arc<Open>, Row)> {
        let proven = permit.archive();
        let (place, facts) = match (proven, told) {
            (Some(archive), _) => (self.place_of(archive.fingerprint())?, archive.facts()),
            (None, Some((location, facts))) => (self.place(location)?, &**facts),
            (None, None) => return None,
        };
        let row = Row::deletion(&Deletion {
            facts,
            cluster: &place.location.cluster,
            fingerprint: &place.location.fingerprint,
            archive: proven.map(|archive| (archive.key(), archive.digest())),
            deleted_at: self.clock.now().into(),
            policy,
            reason: "TimeToLive",
        });
        Some((place, row))
    }

    fn opened(&self, location: &str) -> Result<Arc<Open>, Outcome> {
        self.place(location).ok_or_else(|| {
            Outcome::Store(LocationReason::Probing, format!("ArchiveLocation {location:?} is not open yet"))
        })
    }
}

fn rules(wanted: &Wanted) -> Result<Redaction, Outcome> {
    wanted::redaction(wanted).map_err(|e| Outcome::NotArchivable(KeepReason::NotArchivable, e.to_string()))
}

/// For the catalogue; of a run that can't be archived, what is known of any.
fn facts(target: &Target, text: &str, live: &Live, rules: &Redaction) -> RunFacts {
    let time = |at: Secs| (at != 0).then(|| instant(at).into());
    canonical(text, rules).map_or_else(
        |_| RunFacts {
            uid: target.uid.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            resource_version: live.resource_version.clone(),
            phase: live.finished.as_ref().map(|f| f.phase.as_str().to_owned()).unwrap_or_default(),
            started: time(target.started),
            finished: time(target.finished),
            ..RunFacts::default()
        },
        |whole| whole.facts,
    )
}

fn hint(mark: &Mark) -> Option<Hint> {
    let digest: Digest = mark.digest.parse().ok()?;
    Some(Hint { fingerprint: Fingerprint::read(&mark.fingerprint), key: mark.key.clone(), digest })
}

fn not_archivable(why: &NotArchivable) -> Outcome {
    let reason = if *why == NotArchivable::Offloaded { KeepReason::Offloaded } else { KeepReason::NotArchivable };
    Outcome::NotArchivable(reason, why.to_string())
}

fn store(error: &StoreError) -> Outcome {
    let reason = LocationReason::parse(error.kind.reason()).unwrap_or(LocationReason::StoreFailed);
    Outcome::Store(reason, format!("{error}; {}", error.kind.remedy()))
}
