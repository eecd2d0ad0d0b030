//! Which families of the catalogue have had a value in some scrape of some operator while the trials ran.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use unstick::metrics::catalogue::catalogue;
use unstick::metrics::scrape::{check_scrape, families_seen};
use unstick_bed::Operator;

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Families that can't have a value unless something is broken that the trials can't break, each with why.
const NEVER: &[(&str, &str)] = &[];

/// `/metrics` of an operator; what it shows is remembered.
pub async fn scrape(operator: &Operator) -> Result<String> {
    let text = operator.scrape().await?;
    let problems = check_scrape(&text);
    ensure!(problems.is_empty(), "{problems:?}");
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).append(&mut families_seen(&text));
    Ok(text)
}

/// Holds after a run of all trials only.
pub fn every_family_of_the_catalogue_has_had_a_value() -> Result<()> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let never = |name: &str| NEVER.iter().any(|(n, _)| *n == name);
    let families = || catalogue().families.iter().map(|f| f.name.as_str());
    let unseen: Vec<_> = families().filter(|name| !seen.contains(*name) && !never(name)).collect();
    ensure!(unseen.is_empty(), "no live scrape had a value of {unseen:?}");
    let after_all: Vec<_> = NEVER.iter().filter(|(n, _)| seen.contains(*n) || !families().any(|f| f == *n)).collect();
    ensure!(after_all.is_empty(), "not to be seen, and seen or unknown after all: {after_all:?}");
    Ok(())
}
