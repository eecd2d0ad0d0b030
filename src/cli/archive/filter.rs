//! What all commands on archives choose by: the same flags, with the same meaning.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use crate::api::selector::Selector;
use crate::archive::key::Stem;
use crate::archive::query::{Query, is_date};
use crate::cli::args::duration;

/// What they stand under in help texts.
pub const FILTERS: &str = "Filters";

/// Which archives; all of them must fit.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Namespace; default: all
    #[arg(help_heading = FILTERS, short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Workflows of this name; * stands for any text
    #[arg(help_heading = FILTERS, long, value_name = "NAME")]
    pub name: Option<String>,
    /// The workflow of this uid
    #[arg(help_heading = FILTERS, long, value_name = "UID")]
    pub uid: Option<String>,
    /// Runs of this template or `CronWorkflow`; * stands for any text
    #[arg(help_heading = FILTERS, long, value_name = "NAME")]
    pub template: Option<String>,
    /// Runs that ended so: Succeeded, Failed or Error, separated by commas; archived unfinished: Running, Pending
    #[arg(help_heading = FILTERS, long, value_name = "PHASE", value_delimiter = ',', value_parser = phase)]
    pub phase: Vec<String>,
    /// Workflows with these labels, as in kubectl
    #[arg(help_heading = FILTERS, short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Runs with this parameter; * stands for any text; may be given several times
    #[arg(help_heading = FILTERS, short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Finished at this time or later: RFC 3339, or so long ago, such as 7d
    #[arg(help_heading = FILTERS, long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Finished before this time
    #[arg(help_heading = FILTERS, long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// When it finished, or the beginning of that: 20261121, `20261121_1015`; or all of the name that its key ends
    /// with, `20261121_101500_3f9a1c04be12`
    #[arg(help_heading = FILTERS, long, value_name = "DATE", value_parser = date)]
    pub date: Option<String>,
    /// Took at least so long, such as 90m
    #[arg(help_heading = FILTERS, long, value_name = "DURATION", value_parser = duration)]
    pub longer: Option<Duration>,
    /// Took at most so long
    #[arg(help_heading = FILTERS, long, value_name = "DURATION", value_parser = duration)]
    pub shorter: Option<Duration>,
    /// Runs of this cluster
    #[arg(help_heading = FILTERS, long, value_name = "NAME")]
    pub cluster: Option<String>,
}

/// A time that was named, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let wrong = |_| "must be RFC 3339, such as 2026-11-21T10:00:00Z, or so long ago, such as 36h or 7d".to_owned();
    duration(text).map(Moment::Ago).map_err(wrong)
}

/// One that Argo has, whatever the case.
fn phase(text: &str) -> Result<String, String> {
    let known = ["Succeeded", "Failed", "Error", "Running", "Pending"];
    let found = known.into_iter().find(|phase| phase.eq_ignore_ascii_case(text));
    found.map(str::to_owned).ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

/// Reads `NAME=VALUE`.
pub fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads the beginning of a time as keys have it, or the whole of what a key has behind the name: it names one archive
/// also where two have one time.
fn date(text: &str) -> Result<String, String> {
    let (namespace, name, stem) = (String::new(), String::new(), text.to_owned());
    if is_date(text) || (Stem { namespace, name, stem }).parts().is_some() {
        Ok(text.to_owned())
    } else {
        Err("must be such as 20261121 or 20261121_101500".to_owned())
    }
}

impl FilterArgs {
    /// What is asked for, as of `now`.
    pub fn query(&self, now: Timestamp) -> anyhow::Result<Query> {
        let labels = self.selector.as_deref().map(Selector::parse).transpose().context("--selector")?;
        let seconds = |d: Option<Duration>| d.map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        Ok(Query {
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            template: self.template.clone(),
            phases: self.phase.clone(),
            labels,
            parameters: self.parameters.clone(),
            since: self.since.map(|m| m.at(now)),
            until: self.until.map(|m| m.at(now)),
            shortest: seconds(self.longer),
            longest: seconds(self.shorter),
            date: self.date.clone(),
        })
    }
}
