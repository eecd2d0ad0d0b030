//! Metrics: one machine-readable catalogue, and nothing outside it.
//!
//! `catalogue.json` says name, type, labels, bound and help of every family; registration, docs/metrics.md, alert rules,
//! dashboards and the scrape check all read it.

pub mod catalogue;
pub mod scrape;
