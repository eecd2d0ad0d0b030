//! The catalogue of metric families: `catalogue.json`, read once.
//!
//! A family's *label set* is one combination of label values; it is one series, or buckets + 3 for a histogram.
//! `cap` bounds label sets. Beyond it a family either drops (and counts in `unstick_series_dropped`) or, where `fold`
//! names labels, gives these the value `other`, so that nothing is lost from a counter or a sum.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;

const TEXT: &str = include_str!("catalogue.json");

/// Value of a folded label.
pub const OTHER: &str = "other";

/// Type of a family, as in a `# TYPE` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Which replicas export a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exported {
    /// Only the leader: what is said of workflows.
    Leader,
    /// Every replica: what a process says of itself.
    Always,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    /// In the order of registration.
    pub labels: Vec<String>,
    /// Upper bounds of a histogram, `+Inf` left out.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// Closed values of a label where they differ from, or are narrower than, the label's own.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<String>>,
    /// Most label sets before dropping or folding.
    pub cap: Option<usize>,
    /// Labels that become [`OTHER`] beyond the cap; empty = drop.
    #[serde(default)]
    pub fold: Vec<String>,
    pub exported: Exported,
    pub bound: Bound,
    pub help: String,
}

/// How many series a family can have at [`Limits`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub sets: usize,
    pub series: usize,
    pub text: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// How many values it can have at [`Limits`]; open when absent and `values` is empty.
    pub domain: Option<usize>,
    /// Closed list, for every family that doesn't narrow it.
    #[serde(default)]
    pub values: Vec<String>,
    pub help: String,
}

/// The size for which the bounds are stated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub namespaces: usize,
    pub workflow_types: usize,
    pub policies: usize,
    /// Most series of one scrape, all families together.
    pub series: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    pub prefix: String,
    /// Families without the prefix.
    pub unprefixed: Vec<String>,
    pub limits: Limits,
    pub labels: BTreeMap<String, Label>,
    pub families: Vec<Family>,
    #[serde(skip)]
    index: HashMap<String, usize>,
}

/// The catalogue. A test proves that the embedded text parses.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        let mut c: Catalogue = serde_json::from_str(TEXT).unwrap_or_default();
        c.index = c.families.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        c
    });
    &CATALOGUE
}

impl Catalogue {
    /// Looks a family up by its full name, prefix included.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.index.get(name).and_then(|i| self.families.get(*i))
    }

    /// The family a sample belongs to, with the histogram suffix (`_bucket`, `_sum`, `_count`) or `""`.
    ///
    /// A histogram has no sample under its own name, so that name alone finds nothing.
    pub fn family_of_sample(&self, sample: &str) -> Option<(&Family, &'static str)> {
        if let Some(f) = self.family(sample) {
            return (f.kind != Kind::Histogram).then_some((f, ""));
        }
        ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| {
            let f = self.family(sample.strip_suffix(suffix)?)?;
            (f.kind == Kind::Histogram).then_some((f, suffix))
        })
    }

    /// The closed values of a label in a family; empty when it is open.
    pub fn closed_values<'a>(&'a self, family: &'a Family, label: &str) -> &'a [String] {
        match (family.values.get(label), self.labels.get(label)) {
            (Some(v), _) => v,
            (None, Some(l)) => &l.values,
            (None, None) => &[],
        }
    }

    /// Checks the labels of one sample (`le` left out): exactly the family's, each with an allowed value.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn check_labels(&self, family: &Family, labels: &[(String, String)]) -> Result<(), String> {
        for (name, value) in labels {
            if !family.labels.contains(name) {
                return Err(format!("{} has no label {name}", family.name));
            }
            let closed = self.closed_values(family, name);
            let folded = value == OTHER && family.fold.contains(name);
            if !closed.is_empty() && !folded && !closed.contains(value) {
                return Err(format!("{}: {name}={value:?} is not one of {closed:?}", family.name));
            }
        }
        match family.labels.iter().find(|l| !labels.iter().any(|(n, _)| n == *l)) {
            Some(missing) => Err(format!("{}: label {missing} is missing", family.name)),
            None => Ok(()),
        }
    }

    /// Series of all families together at the limits.
    pub fn series_at_limits(&self) -> usize {
        self.families.iter().map(|f| f.bound.series).sum()
    }

    /// docs/metrics.md.
    pub fn markdown(&self) -> String {
        let mut out = String::from(INTRODUCTION);
        let _ = write!(
            out,
            "At {} namespaces, {} workflow types and {} policies of every detection type, one scrape has at most {} series \
             ({} is the limit), however many workflows there are.\n\n",
            self.limits.namespaces,
            self.limits.workflow_types,
            self.limits.policies,
            self.series_at_limits(),
            self.limits.series
        );
        for (title, text, exported) in [
            ("What is said of workflows", "Exported by the leader only.", Exported::Leader),
            ("What a process says of itself", "Exported by every replica.", Exported::Always),
        ] {
            let _ = write!(out, "## {title}\n\n{text}\n\n");
            for f in self.families.iter().filter(|f| f.exported == exported) {
                write_family(&mut out, f);
            }
        }
        out.push_str("## Labels\n\n| Label | Meaning | Values |\n|---|---|---|\n");
        for (name, l) in &self.labels {
            let values = if l.values.is_empty() { "open".to_owned() } else { list(&l.values) };
            let values = if l.help.contains("closed list per family") { "see the family".to_owned() } else { values };
            let _ = writeln!(out, "| `{name}` | {} | {values} |", l.help);
        }
        out
    }
}

fn write_family(out: &mut String, f: &Family) {
    let _ = write!(out, "### {}\n\n{}\n\n- {}", f.name, f.help, f.kind.as_str());
    if !f.labels.is_empty() {
        let _ = write!(out, " by {}", list(&f.labels));
    }
    out.push('\n');
    for (label, values) in &f.values {
        let _ = writeln!(out, "- `{label}`: {}", list(values));
    }
    if !f.buckets.is_empty() {
        let bounds: Vec<String> = f.buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "- buckets: {}", bounds.join(", "));
    }
    let _ = write!(out, "- at most {} series: {}\n\n", f.bound.series, f.bound.text);
}

fn list(values: &[String]) -> String {
    let quoted: Vec<String> =
        values.iter().map(|v| if v.is_empty() { "empty".to_owned() } else { format!("`{v}`") }).collect();
    quoted.join(", ")
}

const INTRODUCTION: &str = "<!-- Generated from src/metrics/catalogue.json; `UNSTICK_UPDATE=1 cargo test --test assets` writes it anew. -->

# Metrics

Everything on `/metrics`, from one catalogue; a test fails if a scrape holds anything else.

- Scrape with `honorLabels: true`: label `namespace` is the workflow's. Without it Prometheus renames ours to
  `exported_namespace` and every alert points at the operator's own namespace.
- Only the leader exports what is said of workflows. Aggregate with `max` or `sum` all the same: around a change of leader
  both may be seen for one scrape.
- Times are Unix seconds, never ages: `time() - max by (namespace, workflow_name) (…)` is the age.
- State families hold what exists now; a series goes when its workflow ends. Nothing is filled up with zeros but the counters of policies.
- Counters start at 0 in each process; use `rate` or `increase`.
- A family with a cap keeps the most urgent series. What it leaves out is in `unstick_series_dropped`; label value `other`
  stands for what was folded together.

";
