//! Checks a scrape in the text format against the catalogue: nothing outside it, nothing malformed.
//!
//! Used by tests over the live `/metrics`, and by whoever wants to know which families a run has shown.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::catalogue::{Catalogue, Family, Kind, catalogue};

/// One sample line.
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// What is wrong with a scrape; empty when nothing is.
///
/// Looks at: families, types, help texts, label names and closed values, double series, caps, histogram bounds and sums,
/// negative counters, families without TYPE or in several blocks, the limit on series.
pub fn check_scrape(text: &str) -> Vec<String> {
    let mut check =
        Check { c: catalogue(), problems: Vec::new(), typed: BTreeMap::new(), block: None, seen: HashSet::new() };
    let mut sets: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    let mut buckets: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts: BTreeMap<(String, String), f64> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            check.comment(comment.trim_start());
            continue;
        }
        let Some(mut sample) = parse_sample(line) else {
            check.problems.push(format!("unreadable line: {line}"));
            continue;
        };
        let Some((family, suffix)) = check.c.family_of_sample(&sample.name) else {
            check.problems.push(format!("{} is not in the catalogue", sample.name));
            continue;
        };
        check.sample(family, &sample);
        let le = match sample.labels.iter().position(|(n, _)| n == "le") {
            Some(i) if suffix == "_bucket" => Some(sample.labels.remove(i).1),
            _ => None,
        };
        if let Err(problem) = check.c.check_labels(family, &sample.labels) {
            check.problems.push(problem);
        }
        sample.labels.sort();
        let set = format!("{:?}", sample.labels);
        sets.entry(family.name.clone()).or_default().insert(set.clone());
        let key = (family.name.clone(), set);
        match (suffix, le) {
            ("_bucket", Some(le)) => {
                buckets.entry(key).or_default().push((le.parse().unwrap_or(f64::NAN), sample.value));
            }
            ("_bucket", None) => check.problems.push(format!("{}: a bucket without le", family.name)),
            ("_count", _) => {
                counts.insert(key, sample.value);
            }
            _ => {}
        }
    }
    check.caps(&sets);
    check.histograms(&buckets, &counts);
    let series = series(text);
    if series > check.c.limits.series {
        check.problems.push(format!("{series} series, the limit is {}", check.c.limits.series));
    }
    check.problems
}

/// Families with at least one sample in a scrape. A histogram counts once it has observed something, a counter always.
pub fn families_seen(text: &str) -> BTreeSet<String> {
    let c = catalogue();
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(parse_sample)
        .filter_map(|s| {
            let (family, suffix) = c.family_of_sample(&s.name)?;
            let observed = family.kind != Kind::Histogram || (suffix == "_count" && s.value > 0.0);
            observed.then(|| family.name.clone())
        })
        .collect()
}

/// Number of series (sample lines) of a scrape.
pub fn series(text: &str) -> usize {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count()
}

struct Check {
    c: &'static Catalogue,
    problems: Vec<String>,
    typed: BTreeMap<String, String>,
    /// Family whose block is open.
    block: Option<String>,
    /// Series as written, to find doubles.
    seen: HashSet<String>,
}

impl Check {
    fn comment(&mut self, comment: &str) {
        let mut words = comment.splitn(3, ' ');
        let (Some(keyword), Some(name), rest) = (words.next(), words.next(), words.next().unwrap_or("")) else {
            return;
        };
        let Some(family) = self.c.family(name) else {
            self.problems.push(format!("{name} is not in the catalogue"));
            return;
        };
        match keyword {
            "HELP" if rest.replace("\\\\", "\\") != family.help => {
                self.problems.push(format!("{name}: help differs from the catalogue: {rest}"));
            }
            "TYPE" => {
                if rest != family.kind.as_str() {
                    self.problems.push(format!("{name}: type {rest}, the catalogue says {}", family.kind.as_str()));
                }
                if self.typed.insert(name.to_owned(), rest.to_owned()).is_some() {
                    self.problems.push(format!("{name}: two blocks"));
                }
                self.block = Some(name.to_owned());
            }
            _ => {}
        }
    }

    fn sample(&mut self, family: &Family, sample: &Sample) {
        if self.block.as_deref() != Some(family.name.as_str()) {
            self.problems.push(format!("{}: sample outside the block of its family", sample.name));
        }
        let mut labels = sample.labels.clone();
        labels.sort();
        if labels.windows(2).any(|w| matches!(w, [a, b] if a.0 == b.0)) {
            self.problems.push(format!("{}: a label twice", sample.name));
        }
        if !self.seen.insert(format!("{} {labels:?}", sample.name)) {
            self.problems.push(format!("{} {labels:?}: twice", sample.name));
        }
        if sample.value.is_nan() || (family.kind == Kind::Counter && sample.value < 0.0) {
            self.problems.push(format!("{} {labels:?}: value {}", sample.name, sample.value));
        }
    }

    fn caps(&mut self, sets: &BTreeMap<String, HashSet<String>>) {
        for (name, sets) in sets {
            let Some(Family { cap: Some(cap), fold, .. }) = self.c.family(name) else { continue };
            // Folded families may exceed their cap by the sets that carry `other`.
            let folded = |set: &str| fold.iter().any(|l| set.contains(&format!("({l:?}, \"other\")")));
            let full = sets.iter().filter(|s| !folded(s)).count();
            if full > *cap {
                self.problems.push(format!("{name}: {full} label sets, the cap is {cap}"));
            }
        }
    }

    fn histograms(
        &mut self,
        buckets: &BTreeMap<(String, String), Vec<(f64, f64)>>,
        counts: &BTreeMap<(String, String), f64>,
    ) {
        for (key, found) in buckets {
            let (name, set) = key;
            let Some(family) = self.c.family(name) else { continue };
            let bounds: Vec<f64> = found.iter().map(|b| b.0).collect();
            let expected: Vec<f64> = family.buckets.iter().copied().chain([f64::INFINITY]).collect();
            if bounds != expected {
                self.problems.push(format!("{name} {set}: buckets {bounds:?}, the catalogue says {expected:?}"));
            }
            if found.windows(2).any(|w| matches!(w, [a, b] if b.1 < a.1)) {
                self.problems.push(format!("{name} {set}: buckets are not cumulative"));
            }
            if found.last().map(|b| b.1) != counts.get(key).copied() {
                self.problems.push(format!("{name} {set}: the last bucket is not _count"));
            }
        }
    }
}

/// `name{label="value",…} value [timestamp]`.
fn parse_sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
    }
    let value = rest.split_ascii_whitespace().next()?;
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// Reads up to the closing quote; returns the unescaped value and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(i + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(c),
        }
    }
    None
}
