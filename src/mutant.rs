//! Guards that a test build may switch off one at a time, to see that the tests notice.
//!
//! Without the feature `mutants` this is a constant, and nothing of it is left in the program.

/// Every guard that can be switched off, by the name in `UNSTICK_MUTANT`.
pub const ARCHIVE: &[&str] = &[
    "no-read-back",
    "digest-with-itself",
    "exists-is-success",
    "raced-is-success",
    "lost-reply-is-success",
    "fingerprint-ignored",
    "annotation-trusted",
    "cold-without-manifest",
    "cold-without-head",
    "offloaded-accepted",
    "compressed-dropped",
    "redaction-off",
    "manifest-first",
    "file-replaces",
    "put-unlooked",
    "mount-unnoticed",
    "batch-exists-is-success",
    "stale-generation",
];

/// The same of the janitor and of the delete itself.
pub const JANITOR: &[&str] = &[
    "fingerprint-ignored",
    "offloaded-accepted",
    "ttl-from-creation",
    "hold-ignored",
    "pause-ignored",
    "skew-ignored",
    "archiving-status-ignored",
    "budget-unspent-after-restart",
    "dry-run-acts",
    "no-uid",
    "no-resource-version",
    "no-last-look",
    "labels-of-the-watch",
    "deaf-ignored",
];

/// Whether the guard of this name is switched off.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn on(_name: &str) -> bool {
    false
}

/// Whether the guard of this name is switched off.
#[cfg(feature = "mutants")]
#[allow(clippy::disallowed_methods, reason = "a test build is told by its environment which guard to leave out")]
pub fn on(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("UNSTICK_MUTANT").ok()).as_deref() == Some(name)
}
