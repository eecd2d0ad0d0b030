//! A page of metrics, as far as the bench reads it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::get;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub text: String,
    pub took: Duration,
}

impl Scrape {
    pub fn of(address: SocketAddr) -> Result<Self> {
        let begun = Instant::now();
        let (status, text) = get(address, "/metrics")?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(Self { text, took: begun.elapsed() })
    }

    /// Number of samples.
    pub fn series(&self) -> usize {
        self.samples().count()
    }

    /// Sum over all samples of that name whose labels contain `label` (empty: all).
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        self.samples()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(key, _)| key.split('{').next() == Some(name) && key.contains(label))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    fn samples(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_name_and_label() {
        let text = "# HELP a b\na{x=\"1\",le=\"1\"} 2\na{x=\"2\",le=\"1\"} 3\nab 7\n\n".to_owned();
        let scrape = Scrape { text, took: Duration::ZERO };
        assert_eq!(scrape.series(), 3);
        assert!((scrape.sum("a", "le=\"1\"") - 5.0).abs() < f64::EPSILON);
        assert!((scrape.sum("ab", "") - 7.0).abs() < f64::EPSILON);
    }
}
