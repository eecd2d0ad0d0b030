//! Questions to the catalogue: what is asked for, and whether a line fits.

use jiff::Timestamp;

use super::catalogue::Row;
use super::catalogue::search::Scope;
use super::key::{Stem, read_stamp, stamp};
use super::manifest::Summary;
use crate::api::selector::Selector;

/// What is asked for; what is `None` or empty fits everything.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub cluster: Option<String>,
    pub namespace: Option<String>,
    /// A name; `*` stands for any text.
    pub name: Option<String>,
    pub uid: Option<String>,
    pub template: Option<String>,
    /// Phases, without regard to case.
    pub phases: Vec<String>,
    pub labels: Option<Selector>,
    /// Names and values of parameters; `*` in a value stands for any text.
    pub parameters: Vec<(String, String)>,
    /// When it finished: from, and before.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub shortest: Option<i64>,
    pub longest: Option<i64>,
    /// The beginning of what a key has behind the name: `20261121`, `20261121_1015`, or all of it.
    pub date: Option<String>,
}

/// Whether text is the beginning of a stamp, at least a day.
pub fn is_date(text: &str) -> bool {
    let whole = format!("{text}{}", "00000000_000000".get(text.len()..).unwrap_or_default());
    // A day or month of 0 is none.
    text.len() >= 8 && text.len() <= 15 && read_stamp(&whole).is_some()
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    let mut rest = rest;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

impl Query {
    /// Whether only what keys tell is asked for: namespace, name and date.
    pub fn is_answered_by_keys(&self) -> bool {
        self.cluster.is_none()
            && self.uid.is_none()
            && self.template.is_none()
            && self.phases.is_empty()
            && self.labels.is_none()
            && self.parameters.is_empty()
            && self.shortest.is_none()
            && self.longest.is_none()
    }

    /// Whether nothing but namespace and name is asked for.
    pub fn is_of_a_name_only(&self) -> bool {
        self.is_answered_by_keys() && self.date.is_none() && self.since.is_none() && self.until.is_none()
    }

    /// What the name must be, where it is no pattern.
    pub fn exact_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.contains('*'))
    }

    /// The partitions that may have an answer.
    pub fn scope(&self) -> Scope {
        let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
        // Of what was archived unfinished the key tells no day.
        let dated = self.date.as_deref().and_then(|d| d.get(..8)).filter(|d| is_date(d)).map(|d| {
            let part = |range| d.get(range).unwrap_or_default();
            format!("{}-{}-{}", part(0..4), part(4..6), part(6..8))
        });
        Scope {
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            from: dated.clone().or_else(|| self.since.map(day)),
            to: dated.or_else(|| self.until.map(day)),
        }
    }

    /// Whether a line of the catalogue is asked for.
    pub fn asks_for(&self, row: &Row) -> bool {
        let at = row.summary.finished_at.or(row.archived_at).or(row.deleted_at).map(crate::api::time::Time::get);
        let stem = row.key.rsplit('/').next().unwrap_or_default();
        self.asks_for_run(&row.summary)
            && at.is_none_or(|at| self.asks_for_time(at))
            && self
                .date
                .as_ref()
                .is_none_or(|date| stem.starts_with(date) || at.is_some_and(|at| stamp(at).starts_with(date)))
    }

    /// Whether an archive is asked for, as far as its key tells; `None` = the key doesn't tell.
    pub fn asks_for_key(&self, stem: &Stem) -> Option<bool> {
        if !self.asks_for_name(&stem.namespace, &stem.name) {
            return Some(false);
        }
        let own = self.date.as_ref().is_none_or(|date| stem.stem.starts_with(date.as_str()));
        match stem.parts().and_then(|parts| parts.finished) {
            Some(at) if !own || !self.asks_for_time(at) => Some(false),
            // Of what was archived unfinished the time of the archive counts.
            None if !own || self.since.is_some() || self.until.is_some() => None,
            _ => self.is_answered_by_keys().then_some(true),
        }
    }

    fn asks_for_time(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    fn asks_for_name(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
            && self.name.as_ref().is_none_or(|pattern| fits(pattern, name))
    }

    fn asks_for_run(&self, run: &Summary) -> bool {
        let is = |asked: &Option<String>, own: &str| asked.as_ref().is_none_or(|asked| asked == own);
        let of = run.template.as_deref().or(run.cron_workflow.as_deref());
        let template = self.template.as_ref().is_none_or(|asked| {
            of.is_some_and(|of| fits(asked, of)) || run.cron_workflow.as_ref().is_some_and(|cron| fits(asked, cron))
        });
        let phase = self.phases.is_empty() || self.phases.iter().any(|phase| phase.eq_ignore_ascii_case(&run.phase));
        let labels = self.labels.as_ref().is_none_or(|labels| labels.matches_map(&run.labels));
        let parameter = |(name, value): &(String, String)| run.parameters.get(name).is_some_and(|v| fits(value, v));
        let lasted = run.duration_seconds;
        is(&self.cluster, &run.cluster)
            && self.asks_for_name(&run.namespace, &run.name)
            && is(&self.uid, &run.uid)
            && template
            && phase
            && labels
            && self.parameters.iter().all(parameter)
            && self.shortest.is_none_or(|least| lasted.is_some_and(|l| l >= least))
            && self.longest.is_none_or(|most| lasted.is_some_and(|l| l <= most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("a*", "abc"),
            ("*", ""),
            ("*c", "abc"),
            ("a*c", "abbc"),
            ("*b*", "abc"),
            ("a*b*c", "axbyc"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "ba"), ("*c", "cb"), ("a*a", "a"), ("a*b*c", "acb"), ("", "a")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_date_is_the_beginning_of_a_stamp() {
        for good in ["20261121", "20261121_", "20261121_10", "20261121_1015", "20261121_101500"] {
            assert!(is_date(good), "{good}");
        }
        for bad in ["", "2026", "20261", "20261321", "20261121_101500_", "2026-11-21", "yesterday", "20261121x"] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn a_day_is_one_partition() {
        let scope = Query { date: Some("20261121_10".into()), ..Query::default() }.scope();
        assert_eq!((scope.from.as_deref(), scope.to.as_deref()), (Some("2026-11-21"), Some("2026-11-21")));
        let since = Query { since: "2026-11-20T23:59:59Z".parse().ok(), ..Query::default() }.scope();
        assert_eq!((since.from.as_deref(), since.to), (Some("2026-11-20"), None));
    }
}
