//! What became of an archive that isn't there: the bucket's lifecycle takes archives when their time is over, and their
//! lines in the catalogue may outlive them, since a reindex writes these anew. That is no loss, and must not be told as one.

use std::time::Duration;

use jiff::Timestamp;

use super::place::{Place, told};
use crate::api::time::Time;
use crate::archive::store::{Head, Listed};
use crate::cli::words::{minute, threshold};

/// Days that deploy/aws/lifecycle.json keeps archives.
const DAYS: u64 = 2555;

/// How long a bucket keeps archives unless it is said; a folder deletes nothing by itself.
pub const OF_A_BUCKET: Duration = Duration::from_hours(DAYS * 24);

/// Why a body isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its time was over.
    Expired { archived_at: Time, after: Duration },
    /// Before that, or nobody knows when it was put.
    Missing,
}

/// What became of a body that isn't there.
pub fn gone(place: &Place, archived_at: Option<Time>) -> Gone {
    match (archived_at, place.expires_after) {
        (Some(archived_at), Some(after)) if is_over(archived_at, after) => Gone::Expired { archived_at, after },
        _ => Gone::Missing,
    }
}

fn is_over(archived_at: Time, after: Duration) -> bool {
    archived_at.get().checked_add(after).is_ok_and(|end| end <= Timestamp::now())
}

impl Gone {
    /// Without the key.
    pub fn why(self) -> String {
        match self {
            Self::Expired { archived_at, after } => format!(
                "expired by the bucket's lifecycle: archived {}, kept {}",
                minute(archived_at.get()),
                threshold(i64::try_from(after.as_secs()).unwrap_or(i64::MAX))
            ),
            Self::Missing => "it is not there any more".to_owned(),
        }
    }

    /// With the key, and what can be done.
    pub fn told(self, key: &str) -> String {
        match self {
            Self::Expired { .. } => format!("{key} has {}", self.why()),
            Self::Missing => format!(
                "{key} is not there: it was deleted, or is lost. In a bucket with versions an older one may be left; \
                 where the bucket's lifecycle is shorter than here, say so with --expires-after"
            ),
        }
    }
}

/// What is known of a body without reading it, if it is there.
pub async fn head(place: &Place, key: &str) -> anyhow::Result<Option<Listed>> {
    let found = place.store.head(key).await.map_err(|e| told(&e))?;
    let listed = |Head { size, storage_class, .. }| Listed { key: key.to_owned(), size, storage_class };
    Ok(found.map(listed))
}

/// Whether a body that should have gone by now has.
pub async fn has_expired(place: &Place, key: &str, archived_at: Option<Time>) -> anyhow::Result<bool> {
    Ok(gone(place, archived_at) != Gone::Missing && head(place, key).await?.is_none())
}
