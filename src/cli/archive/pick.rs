//! Choosing one archive of a workflow.

use anyhow::{anyhow, bail};

use super::PickArgs;
use super::place::{Place, told};
use crate::archive::canonical::LARGEST;
use crate::archive::digest::Digest;
use crate::archive::gzip;
use crate::archive::key::{Kind, Stem};
use crate::archive::manifest::{self, Manifest};
use crate::archive::query::is_date;
use crate::archive::store::{Fault, List, Object};
use crate::cli::Io;

/// Reads the beginning of a time as keys have it.
pub fn date(text: &str) -> Result<String, String> {
    if is_date(text) { Ok(text.to_owned()) } else { Err("must be such as 20261121 or 20261121_101500".to_owned()) }
}

/// The same, or the whole of what a key has behind the name: it names one archive also where two have one time.
pub fn date_or_stem(text: &str) -> Result<String, String> {
    let (namespace, name, stem) = (String::new(), String::new(), text.to_owned());
    if (Stem { namespace, name, stem }).parts().is_some() { Ok(text.to_owned()) } else { date(text) }
}

/// One that was chosen.
#[derive(Clone, Debug)]
pub struct Picked {
    pub stem: Stem,
    pub key: String,
    pub size: u64,
    pub storage_class: Option<String>,
}

/// Finds the archive that is asked for: the latest of those that fit.
pub async fn pick(place: &Place, args: &PickArgs, io: &mut Io<'_>) -> anyhow::Result<Picked> {
    let (namespace, name) = match (args.workflow.split_once('/'), &args.namespace) {
        (Some((namespace, name)), _) => (namespace, name),
        (None, Some(namespace)) => (namespace.as_str(), args.workflow.as_str()),
        (None, None) => bail!("which namespace? name it with -n, or write NAMESPACE/{}", args.workflow),
    };
    let prefix = format!("{}{namespace}/{name}/", place.layout.bodies());
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let asked = List { prefix: &prefix, token: token.as_deref(), ..List::default() };
        let page = place.store.list(&asked).await.map_err(|e| told(&e))?;
        for object in page.objects {
            let Some(Kind::Body(stem)) = place.layout.read(&object.key) else { continue };
            if args.date.as_ref().is_none_or(|date| stem.stem.starts_with(date.as_str())) {
                found.push(Picked { stem, key: object.key, size: object.size, storage_class: object.storage_class });
            }
        }
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    if let Some(cluster) = &args.cluster {
        let mut own = Vec::new();
        for picked in found {
            let about = about(place, &picked.stem).await?;
            if about.manifest().is_some_and(|manifest| manifest.summary.cluster == *cluster) {
                own.push(picked);
            }
        }
        found = own;
    }
    let found = in_order(place, found).await?;
    let dated = args.date.as_ref().map(|date| format!(" of {date}")).unwrap_or_default();
    let of = args.cluster.as_ref().map(|cluster| format!(" of cluster {cluster}")).unwrap_or_default();
    match found.as_slice() {
        [] => bail!("no archive{dated}{of} of {namespace}/{name} below {prefix}"),
        [.., other, latest] => writeln!(
            io.err,
            "note: {} archives{dated}{of}; this is the latest, {}: --date names another, such as {}",
            found.len(),
            latest.stem.stem,
            other.stem.stem
        )?,
        [_] => {}
    }
    found.into_iter().next_back().ok_or_else(|| anyhow!("no archive"))
}

/// The latest last. What was archived unfinished is older than what finished; of two that finished at one time (an object
/// that was changed and archived again, or two clusters) the one that was archived later, as its manifest says.
async fn in_order(place: &Place, mut found: Vec<Picked>) -> anyhow::Result<Vec<Picked>> {
    let finished = |picked: &Picked| picked.stem.parts().and_then(|parts| parts.finished);
    found.sort_by_key(|picked| (finished(picked), picked.stem.stem.clone()));
    let latest = found.last().and_then(finished);
    let at = found.partition_point(|picked| finished(picked) < latest);
    let tied = found.split_off(at);
    if tied.len() < 2 {
        found.extend(tied);
        return Ok(found);
    }
    let mut dated = Vec::new();
    for picked in tied {
        let about = about(place, &picked.stem).await?;
        dated.push((about.manifest().map(|manifest| manifest.archived_at), picked));
    }
    dated.sort_by_key(|(archived_at, picked)| (*archived_at, picked.stem.stem.clone()));
    found.extend(dated.into_iter().map(|(_, picked)| picked));
    Ok(found)
}

/// What is there of a manifest.
#[derive(Clone, Debug)]
pub enum About {
    Manifest(Box<Manifest>),
    /// There is none, and unstick would have written one.
    NotYet,
    /// There is none, and there never was to be: another program wrote the archive.
    Foreign,
    /// What lies there is none.
    Damaged(String),
}

impl About {
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Manifest(manifest) => Some(manifest),
            Self::NotYet | Self::Foreign | Self::Damaged(_) => None,
        }
    }

    /// Why there is none.
    pub fn why_none(&self) -> Option<String> {
        Some(match self {
            Self::Manifest(_) => return None,
            Self::NotYet => "none yet: it is being archived now, or that was interrupted".to_owned(),
            Self::Foreign => "none: it was written by another program".to_owned(),
            Self::Damaged(key) => format!("damaged: {key} is no manifest"),
        })
    }
}

/// The manifest of an archive, or why there is none.
pub async fn about(place: &Place, stem: &Stem) -> anyhow::Result<About> {
    let key = place.layout.manifest(stem);
    let found = place.store.get(&key, manifest::LARGEST).await.map_err(|e| told(&e))?;
    Ok(match found.map(|object| Manifest::read(&object.bytes)) {
        Some(Some(manifest)) => About::Manifest(Box::new(manifest)),
        Some(None) => About::Damaged(key),
        None if stem.parts().is_some_and(|parts| parts.digest.is_some()) => About::NotYet,
        None => About::Foreign,
    })
}

/// The content of an archive, checked against the digest in its manifest, else in its key.
pub async fn content(place: &Place, picked: &Picked, io: &mut Io<'_>) -> anyhow::Result<(Object, Vec<u8>)> {
    let object = match place.store.get(&picked.key, LARGEST).await {
        Ok(Some(object)) => object,
        Ok(None) => bail!("{} is not there any more", picked.key),
        Err(error) if error.kind == Fault::Unreadable => bail!(
            "{} is there, in a storage class that has to be restored first ({}): request that with\n  {}\nand come \
             back when it is done, after hours",
            picked.key,
            picked.storage_class.as_deref().unwrap_or("archived"),
            place.thaw(&picked.key)
        ),
        Err(error) => return Err(told(&error)),
    };
    let plain = match gzip::unpack(&object.bytes, LARGEST) {
        Ok(plain) => plain,
        Err(error) => bail!("{} is damaged: {error}", picked.key),
    };
    let own = Digest::of(&plain);
    let about = about(place, &picked.stem).await?;
    if let About::Damaged(key) = &about {
        writeln!(io.err, "warning: {key} is no manifest: the digest is compared with the name only")?;
    }
    let wanted = about.manifest().map(|manifest| manifest.digest.to_string());
    match wanted.or_else(|| picked.stem.parts().and_then(|parts| parts.digest)) {
        Some(wanted) if !own.to_string().starts_with(&wanted) => {
            bail!("{} is damaged: its digest is {own}, not {wanted}", picked.key)
        }
        Some(_) => {}
        None => writeln!(io.err, "note: {} was written by another program: it has no digest to check", picked.key)?,
    }
    Ok((object, plain))
}
