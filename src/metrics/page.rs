//! The text format 0.0.4, written straight from the catalogue: a family that is not there can't be written.
//!
//! Plain text rather than a metrics library's structures: a scrape of 5,000 series is one string, and nothing is
//! registered, kept or locked between scrapes.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::catalogue::{Exported, Family, catalogue};
use crate::watchdog::tally::{Histogram, Key};

pub struct Page {
    text: String,
    leading: bool,
    /// Label sets left out, by family.
    dropped: BTreeMap<&'static str, usize>,
}

/// The samples of one family.
pub struct Series<'p> {
    text: &'p mut String,
    family: &'static Family,
    /// Whether HELP and TYPE have been written: a family without samples isn't mentioned.
    open: bool,
}

impl Page {
    pub fn new(leading: bool) -> Self {
        Self { text: String::with_capacity(64 * 1024), leading, dropped: BTreeMap::new() }
    }

    /// Opens a family; `None` when this replica doesn't export it. Each family is opened once.
    pub fn family(&mut self, name: &str) -> Option<Series<'_>> {
        let family = catalogue().family(name)?;
        let exported = self.leading || family.exported == Exported::Always;
        exported.then_some(Series { text: &mut self.text, family, open: false })
    }

    /// A family without labels.
    pub fn value(&mut self, name: &str, value: impl Display) {
        if let Some(mut series) = self.family(name) {
            series.put(&[], value);
        }
    }

    /// Notes how many label sets of a family were left out.
    pub fn dropped(&mut self, name: &'static str, sets: usize) {
        if sets > 0 {
            self.dropped.insert(name, sets);
        }
    }

    /// The text, with what was left out.
    pub fn finish(mut self) -> String {
        let dropped = std::mem::take(&mut self.dropped);
        if let Some(mut series) = self.family("unstick_series_dropped") {
            for (family, sets) in dropped {
                series.put(&[family], sets);
            }
        }
        self.text
    }
}

impl Series<'_> {
    /// Writes one sample; label values in the order of the catalogue.
    pub fn put(&mut self, labels: &[&str], value: impl Display) {
        self.sample("", labels.iter().copied(), None, value);
    }

    pub fn put_key(&mut self, labels: &Key, value: impl Display) {
        self.sample("", labels.iter().map(String::as_str), None, value);
    }

    pub fn histogram(&mut self, labels: &Key, histogram: &Histogram) {
        let values = || labels.iter().map(String::as_str);
        let mut below = 0;
        for (bound, n) in self.family.buckets.iter().zip(&histogram.buckets) {
            below += n;
            self.sample("_bucket", values(), Some(bound), below);
        }
        self.sample("_bucket", values(), Some(&f64::INFINITY), histogram.count);
        self.sample("_sum", values(), None, histogram.sum);
        self.sample("_count", values(), None, histogram.count);
    }

    fn sample<'v>(
        &mut self,
        suffix: &str,
        values: impl Iterator<Item = &'v str>,
        le: Option<&f64>,
        value: impl Display,
    ) {
        let f = self.family;
        if !self.open {
            self.open = true;
            let help = f.help.replace('\\', "\\\\");
            let _ = writeln!(self.text, "# HELP {} {help}\n# TYPE {} {}", f.name, f.name, f.kind.as_str());
        }
        self.text.push_str(&f.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in f.labels.iter().zip(values) {
            self.text.push(separator);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(self.text, value);
            self.text.push('"');
            separator = ',';
        }
        match le {
            Some(bound) if bound.is_infinite() => {
                let _ = write!(self.text, "{separator}le=\"+Inf\"");
                separator = ',';
            }
            Some(bound) => {
                let _ = write!(self.text, "{separator}le=\"{bound}\"");
                separator = ',';
            }
            None => {}
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    if memchr::memchr3(b'\\', b'"', b'\n', value.as_bytes()).is_none() {
        text.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}
