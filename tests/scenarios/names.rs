//! How stories name things: kinds of writes, states, keys, and times relative to the start.

#![allow(unused_imports)] // each file that includes the world uses its own part of them

use jiff::Timestamp;
use serde_json::Value;
use unstick::api::incident::{IncidentState, WorkflowIncident};
use unstick::api::workflow::Secs;
use unstick::watchdog::effect::{Note, Op};
use unstick::watchdog::instant;

use super::{Name, T0};

pub fn kind_of(op: &Op) -> &'static str {
    match op {
        Op::OpenIncident(_) => "open",
        Op::IncidentStatus { .. } => "status",
        Op::DeleteIncident { .. } => "delete",
        Op::Event(_) => "event",
        Op::PolicyStatus { .. } => "policy",
        Op::WatchdogStatus(_) => "watchdog",
    }
}

pub fn state(object: &WorkflowIncident) -> Option<IncidentState> {
    object.status.as_ref()?.state
}

pub fn key_of(object: &Value) -> Name {
    let text = |k: &str| object["metadata"][k].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

pub fn incident_key(object: &WorkflowIncident) -> Name {
    (object.metadata.namespace.clone().unwrap(), object.metadata.name.clone().unwrap())
}

/// An instant as a story says it, exactly: `+48h` after its start, `-1h30m` before.
pub fn rel(at: Secs) -> String {
    let (sign, n) = if at >= T0 { ('+', at - T0) } else { ('-', T0 - at) };
    let mut text = String::from(sign);
    for (unit, n) in [("h", n / 3600), ("m", n % 3600 / 60), ("s", n % 60)] {
        if n > 0 {
            text += &format!("{n}{unit}");
        }
    }
    if n == 0 { "+0s".to_owned() } else { text }
}

/// Reads what [`rel`] writes; days too.
pub fn unrel(text: &str) -> Option<Secs> {
    let (sign, mut rest) = (text.get(..1)?, text.get(1..)?);
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|d| *d > 0)?;
        let n: Secs = rest[..digits].parse().ok()?;
        let unit = match rest.get(digits..=digits)? {
            "d" => 86_400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total += n * unit;
        rest = &rest[digits + 1..];
    }
    match sign {
        "+" if text.len() > 1 => Some(T0 + total),
        "-" if text.len() > 1 => Some(T0 - total),
        _ => None,
    }
}
