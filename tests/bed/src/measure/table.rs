//! Measures beside their limits.

use std::fmt::{self, Display};
use std::time::Duration;

/// One line.
#[derive(Clone, Debug)]
struct Row {
    measure: String,
    value: String,
    limit: String,
    verdict: &'static str,
}

/// What was measured; printed as a table that is Markdown, too.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A measure that must be at most `limit`; `show` makes text of both.
    pub fn at_most<T: PartialOrd + Copy>(&mut self, measure: &str, value: T, limit: T, show: impl Fn(T) -> String) {
        self.row(measure, show(value), format!("<= {}", show(limit)), if value <= limit { "ok" } else { "MISS" });
    }

    /// A measure that must be at least `limit`.
    pub fn at_least<T: PartialOrd + Copy>(&mut self, measure: &str, value: T, limit: T, show: impl Fn(T) -> String) {
        self.row(measure, show(value), format!(">= {}", show(limit)), if value >= limit { "ok" } else { "MISS" });
    }

    /// A measure without a limit.
    pub fn note(&mut self, measure: &str, value: impl Display) {
        self.row(measure, value.to_string(), String::new(), "");
    }

    /// Something that could not be measured, which counts as missed.
    pub fn failed(&mut self, measure: &str, error: &anyhow::Error) {
        self.row(measure, format!("{error:#}"), String::new(), "MISS");
    }

    pub fn misses(&self) -> usize {
        self.rows.iter().filter(|r| r.verdict == "MISS").count()
    }

    fn row(&mut self, measure: &str, value: String, limit: String, verdict: &'static str) {
        // Each line as soon as it is known: a run takes minutes.
        eprintln!("  {measure}: {value} {limit} {verdict}");
        self.rows.push(Row { measure: measure.to_owned(), value, limit, verdict });
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Row { measure: "measure".into(), value: "value".into(), limit: "limit".into(), verdict: "" };
        let width =
            |of: fn(&Row) -> &str| self.rows.iter().chain([&head]).map(|r| of(r).chars().count()).max().unwrap_or(0);
        let (m, v, l) = (width(|r| &r.measure), width(|r| &r.value), width(|r| &r.limit));
        for (n, r) in [&head].into_iter().chain(&self.rows).enumerate() {
            writeln!(f, "| {:m$} | {:>v$} | {:>l$} | {:4} |", r.measure, r.value, r.limit, r.verdict)?;
            if n == 0 {
                writeln!(f, "|{:-<w1$}|{:->w2$}|{:->w3$}|------|", "", ":", ":", w1 = m + 2, w2 = v + 2, w3 = l + 2)?;
            }
        }
        Ok(())
    }
}

/// `12.3 MiB`
pub fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// `12.3 ms`, from 10 s on `12.3 s`.
pub fn millis(time: Duration) -> String {
    if time >= Duration::from_secs(10) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    }
}
