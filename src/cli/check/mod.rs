//! `unstick check`: what the operator needs, line by line, each failure with its remedy.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::args::Plain;
use super::columns::wrap;
use super::screen::{Screen, Tone};
use super::source::cluster::Impersonate;

mod leases;
mod locations;
pub mod probe;
pub mod rights;

/// Flags of `unstick check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Check for an operator that watches this namespace only
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Check the rights of this service account (NAMESPACE:NAME) instead of your own; needs the right to impersonate it
    #[arg(long, value_name = "NS:NAME", value_parser = account)]
    pub serviceaccount: Option<Account>,
    /// Short for --serviceaccount with the lease's namespace and the name unstick
    #[arg(long, conflicts_with = "serviceaccount")]
    pub as_operator: bool,
    /// Namespace of the operator and its Lease
    #[arg(long, env = "UNSTICK_LEASE_NAMESPACE", value_name = "NS", default_value = "unstick-system")]
    pub lease_namespace: String,
    /// Name of the operator's Lease
    #[arg(long, env = "UNSTICK_LEASE_NAME", value_name = "NAME", default_value = "unstick")]
    pub lease_name: String,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
    /// Exit with 0 also when a check fails
    #[arg(long)]
    pub exit_zero: bool,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub namespace: String,
    pub name: String,
}

impl Account {
    /// As the API server knows it.
    pub fn impersonate(&self) -> Impersonate {
        Impersonate {
            user: format!("system:serviceaccount:{}:{}", self.namespace, self.name),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", self.namespace),
                "system:authenticated".to_owned(),
            ],
        }
    }
}

fn account(text: &str) -> Result<Account, String> {
    match text.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("must be NAMESPACE:NAME".to_owned()),
    }
}

impl CheckArgs {
    /// Whose rights are checked; `None` = the user's own.
    pub fn account(&self) -> Option<Account> {
        let operator = || Account { namespace: self.lease_namespace.clone(), name: "unstick".to_owned() };
        self.serviceaccount.clone().or_else(|| self.as_operator.then(operator))
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line of `check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub name: String,
    pub level: Level,
    pub message: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

impl Line {
    pub fn ok(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), level: Level::Ok, message: message.into(), remedy: String::new() }
    }

    pub fn warn(name: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.to_owned(), level: Level::Warn, message: message.into(), remedy: remedy.into() }
    }

    pub fn fail(name: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.to_owned(), level: Level::Fail, message: message.into(), remedy: remedy.into() }
    }
}

/// Whether nothing failed.
pub fn passed(lines: &[Line]) -> bool {
    lines.iter().all(|l| l.level != Level::Fail)
}

/// The lines as text, with a summary at the end.
pub fn render(lines: &[Line], screen: Screen) -> String {
    const MARK: usize = 6;
    let widest = lines.iter().map(|l| l.name.len()).max().unwrap_or(0);
    let indent = MARK + widest + 2;
    let mut out = String::new();
    for line in lines {
        let (mark, tone) = match line.level {
            Level::Ok => ("ok", Tone::Good),
            Level::Warn => ("warn", Tone::Waiting),
            Level::Fail => ("FAIL", Tone::Bad),
        };
        out.push_str(&screen.paint(tone, mark));
        out.push_str(&" ".repeat(MARK - mark.len()));
        let _ = writeln!(out, "{:<widest$}  {}", line.name, wrap(&line.message, indent, indent, screen.width));
        if !line.remedy.is_empty() {
            let text = wrap(&line.remedy, indent + 3, indent + 3, screen.width);
            let _ = writeln!(out, "{}{} {text}", " ".repeat(indent), screen.paint(Tone::Heading, "->"));
        }
    }
    let of = |level| lines.iter().filter(|l| l.level == level).count();
    let _ = writeln!(out, "{} ok, {} to look at, {} failed", of(Level::Ok), of(Level::Warn), of(Level::Fail));
    out
}
