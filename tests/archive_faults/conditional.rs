//! Stores that don't honour `If-None-Match`: the probe finds it out, and from then on it is looked first. Whatever is
//! there stays.

use std::fmt;
use std::sync::Arc;

use unstick::archive::catalogue::generation::append;
use unstick::archive::store::probe::probe;
use unstick::archive::store::{Location, Store};
use unstick_bed::S3Server;
use unstick_bed::faultproxy::{Answer, AwsError, Fault, Owner, Which};

use crate::bucket::{BUCKET, Cell};
use crate::run::{Run, now, other};
use crate::site::Site;
use crate::table::Wrong;

/// What a store does with a put that has the condition.
#[derive(Clone, Copy, Debug)]
pub enum How {
    NotImplemented,
    InvalidArgument,
    Ignores,
}

impl How {
    pub const ALL: [Self; 3] = [Self::NotImplemented, Self::InvalidArgument, Self::Ignores];

    fn fault(self, server: &S3Server) -> Fault {
        match self {
            Self::NotImplemented => AwsError::NotImplemented.into(),
            Self::InvalidArgument => {
                let xml =
                    "<Error><Code>InvalidArgument</Code><Message>If-None-Match is not supported</Message></Error>";
                Fault::Answer(Answer::Plain(400, "application/xml".to_owned(), xml.as_bytes().to_vec().into()))
            }
            Self::Ignores => Fault::Unconditional(Owner::of(server)),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotImplemented => "answers 501 to conditional puts",
            Self::InvalidArgument => "answers 400 to conditional puts",
            Self::Ignores => "ignores the condition of puts",
        })
    }
}

/// The whole way before such a store, and back to normal when it has learnt the condition.
pub async fn is_looked_at_first(server: &S3Server, how: How) -> Result<(), String> {
    let name = format!("conditional-{how:?}").to_ascii_lowercase();
    let fault = how.fault(server);
    let mut cell = Cell::new(server, &name, &Wrong::Call(fault.clone())).await;
    let rule = cell.script.add(Which::put("*").with_header("if-none-match"), fault);
    let honoured = |cell: &Cell, known: bool| {
        let (store, location) = (cell.store.clone(), cell.story.run.location.clone());
        let location = Location { conditional_put: known, ..location };
        async move {
            let probed = probe(&*store, &location, None, now()).await.map_err(|e| format!("not ready: {e}"))?;
            Ok::<_, String>(probed.capabilities.conditional_put)
        }
    };
    if honoured(&cell, true).await? {
        return Err("the probe takes it for a store that honours the condition".to_owned());
    }
    // Now there is the object of the day.
    if honoured(&cell, false).await? {
        return Err("the second probe takes it for a store that honours the condition".to_owned());
    }
    let asked = rule.struck();
    let store = cell.store.without_condition().ok_or("it can't be used without the condition")?;
    let location = Location { conditional_put: false, ..cell.story.run.location.clone() };
    cell.story.run.location = location.clone();

    let kept = cell.story.run.keep(&*store).await.map_err(|e| format!("not kept: {e}"))?;
    let proof = cell.story.run.verify(&*store).await.map_err(|e| format!("not verified: {e}"))?;
    if proof.key() != kept.key {
        return Err("the proof is of another archive".to_owned());
    }
    cell.script.forget();
    let again = cell.story.run.keep(&*store).await.map_err(|e| format!("not kept again: {e}"))?;
    let puts = cell.script.calls().iter().filter(|call| call.method == "PUT").count();
    if !again.already || puts > 0 {
        return Err(format!("what is there was put again: {puts} puts"));
    }
    append(&*store, &location.layout, &[kept.row], now()).await.map_err(|e| format!("no catalogue: {e}"))?;

    for (site, name) in [(Site::Put, format!("{name}-body")), (Site::Manifest, format!("{name}-manifest"))] {
        collides(&mut cell, &store, site, &name).await?;
    }
    if rule.remove() != asked {
        return Err("the condition was sent to a store that is known not to honour it".to_owned());
    }
    if !honoured(&cell, false).await? {
        return Err("it isn't noticed that the store honours the condition by now".to_owned());
    }
    let layout = &cell.story.run.location.layout;
    let versions = server.versions(BUCKET).await.map_err(|e| e.to_string())?;
    let own: Vec<_> = versions
        .iter()
        .map(|version| version.key.as_str())
        .filter(|key| key.starts_with(&layout.bodies()) || key.starts_with(&layout.manifests()))
        .collect();
    match own.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} was replaced", pair[0])),
        None if own.len() == 5 => Ok(()),
        None => Err(format!("two of the first run, two of which one was planted, and a body: {own:?}")),
    }
}

/// Something else under a key of another run is neither replaced nor taken for an archive.
async fn collides(cell: &mut Cell<'_>, store: &Arc<dyn Store>, site: Site, name: &str) -> Result<(), String> {
    cell.story.run = Run::new(name, cell.story.run.location.clone());
    let keys = cell.keys(site).await?;
    for key in &keys {
        cell.server.plant(BUCKET, key, &other()).await.map_err(|e| e.to_string())?;
    }
    match cell.story.run.keep(&**store).await {
        Err(error) if error.reason() == "Collision" => {}
        other => return Err(format!("{site:?}: what is another's was taken for ours: {other:?}")),
    }
    for key in &keys {
        let there = cell.server.read(BUCKET, key).await.map_err(|e| e.to_string())?;
        if there.is_none_or(|object| object.bytes != other()) {
            return Err(format!("{key} was replaced"));
        }
    }
    Ok(())
}
