//! The table as it is printed: of each fault and of each call, how many cells passed.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use crate::site::Site;

#[derive(Default)]
pub struct Tally(Mutex<Vec<Line>>);

struct Line {
    place: &'static str,
    fault: &'static str,
    site: Site,
    /// `None`: not played.
    passed: Option<bool>,
}

/// One cell, to be told.
pub struct CellOf(Arc<Tally>, usize);

impl Tally {
    pub fn cell(self: &Arc<Self>, place: &'static str, fault: &'static str, site: Site) -> CellOf {
        let mut lines = self.0.lock().unwrap();
        lines.push(Line { place, fault, site, passed: None });
        CellOf(Arc::clone(self), lines.len() - 1)
    }
}

impl CellOf {
    pub fn is<T, E>(self, played: Result<T, E>) -> Result<(), E> {
        self.0.0.lock().unwrap()[self.1].passed = Some(played.is_ok());
        played.map(drop)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lock().unwrap();
        let mut faults: Vec<&str> = Vec::new();
        for line in lines.iter() {
            if !faults.contains(&line.fault) {
                faults.push(line.fault);
            }
        }
        let sites = Site::ALL.iter().map(|site| format!("{site:?}"));
        let rows = faults.into_iter().map(|fault| (fault.to_owned(), true)).chain(sites.map(|site| (site, false)));
        writeln!(f, "\n{:48} {:>10} {:>10} {:>10}   (passed/played)", "", "versitygw", "minio", "folder")?;
        for (name, is_fault) in rows {
            let mut shown = String::new();
            for place in ["versitygw", "minio", "folder"] {
                let is_it = |line: &&Line| {
                    line.place == place
                        && if is_fault { line.fault == name } else { format!("{:?}", line.site) == name }
                };
                let played: Vec<bool> = lines.iter().filter(is_it).filter_map(|line| line.passed).collect();
                let passed = played.iter().filter(|passed| **passed).count();
                let text = if played.is_empty() { "-".to_owned() } else { format!("{passed}/{}", played.len()) };
                let _ = write!(shown, " {text:>10}");
            }
            writeln!(f, "{name:48}{shown}")?;
        }
        Ok(())
    }
}
