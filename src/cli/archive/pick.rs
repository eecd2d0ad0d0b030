//! Choosing one archive of a workflow.

use anyhow::bail;

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
    // What was archived unfinished is older than what finished.
    found.sort_by_key(|picked| (picked.stem.parts().and_then(|p| p.finished), picked.stem.stem.clone()));
    let dated = args.date.as_ref().map(|date| format!(" of {date}")).unwrap_or_default();
    if found.len() > 1 {
        let latest = found.last().map(|p| p.stem.stem.as_str()).unwrap_or_default();
        writeln!(io.err, "note: {} archives{dated}; this is the latest, {latest}: --date names another", found.len())?;
    }
    match found.pop() {
        Some(picked) => Ok(picked),
        None => bail!("no archive{dated} of {namespace}/{name} below {prefix}"),
    }
}

/// The manifest of an archive; none for those of other programs.
pub async fn manifest(place: &Place, stem: &Stem) -> anyhow::Result<Option<Manifest>> {
    let found = place.store.get(&place.layout.manifest(stem), manifest::LARGEST).await.map_err(|e| told(&e))?;
    Ok(found.and_then(|object| Manifest::read(&object.bytes)))
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
    let wanted = manifest(place, &picked.stem).await?.map(|manifest| manifest.digest.to_string());
    match wanted.or_else(|| picked.stem.parts().and_then(|parts| parts.digest)) {
        Some(wanted) if !own.to_string().starts_with(&wanted) => {
            bail!("{} is damaged: its digest is {own}, not {wanted}", picked.key)
        }
        Some(_) => {}
        None => writeln!(io.err, "note: {} was written by another program: it has no digest to check", picked.key)?,
    }
    Ok((object, plain))
}
