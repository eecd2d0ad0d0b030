//! What it costs to make an archive, from the text of the API server up to the put, next to compressing alone.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use unstick::archive::canonical::canonical;
use unstick::archive::gzip;
use unstick::archive::keep::{KeepOptions, keep};
use unstick::archive::key::Layout;
use unstick::archive::redaction::{Redaction, Rules};
use unstick::archive::store::{
    Bytes, Fault, Fingerprint, Head, List, Location, LocationKind, Meta, Object, Page, Put, Store, StoreError,
};
use unstick_bed::corpus::{Corpus, Look, Size};
use unstick_bed::measure::{Table, median, pin, thread_cpu};

use super::{MEASURED_CORE, Setting};

/// A store that is reached and takes nothing: what comes before it is what is measured.
struct Edge {
    fingerprint: Fingerprint,
    last: Mutex<Bytes>,
}

fn nothing<T>() -> Result<T, StoreError> {
    Err(StoreError::new(Fault::Other, "this is where the measure ends"))
}

#[async_trait]
impl Store for Edge {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    async fn settle(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn rely_on(&self, _: &str) {}

    async fn keeps_checksum(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn identity(&self) -> Result<String, StoreError> {
        Ok(String::new())
    }

    async fn put_new(&self, _: &str, body: Bytes, _: &Meta) -> Result<Put, StoreError> {
        *self.last.lock().unwrap() = body;
        nothing()
    }

    async fn get(&self, _: &str, _: usize) -> Result<Option<Object>, StoreError> {
        nothing()
    }

    async fn head(&self, _: &str) -> Result<Option<Head>, StoreError> {
        nothing()
    }

    async fn list(&self, _: &List<'_>) -> Result<Page, StoreError> {
        nothing()
    }
}

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let core = setting.core(MEASURED_CORE);
    let rounds = setting.repeats();
    let worker = std::thread::spawn(move || {
        if let Some(core) = core {
            pin(core)?;
        }
        measure(rounds)
    });
    let (whole, alone, length) = worker.join().map_err(|_| anyhow::anyhow!("the measure panicked"))??;
    let rate = |r: f64| format!("{r:.0}");
    let label = format!("{} KB", length / 1000);
    table.at_least(&format!("runs of {label} made ready for the put, per second and core"), whole, 600.0, rate);
    table.note(&format!("gzip alone over the same {label}, per second and core"), rate(alone));
    table.at_least("made ready / gzip alone", whole / alone, 0.3, |r| format!("{r:.2}"));
    Ok(())
}

/// Runs a second through the real code and through gzip alone, and their mean length, each the middle of so many rounds.
fn measure(rounds: usize) -> Result<(f64, f64, usize)> {
    const RUNS: u32 = 1_500;
    let corpus =
        Corpus { count: RUNS, size: Size::Large, finished_per_mille: 1000, stuck_per_mille: 0, ..Corpus::default() };
    let look = Look { finished: true, ..Look::default() };
    let texts: Vec<String> = (0..RUNS).map(|i| corpus.specimen(i).text(1_000_000, look)).collect();
    let rules = Redaction::new(Rules::default()).context("the default rules")?;
    let layout = Layout::new("workflow-archives").context("a layout")?;
    let fingerprint = Fingerprint::s3("http://store", "bench", "workflow-archives");
    let edge = Edge { fingerprint: fingerprint.clone(), last: Mutex::default() };
    let location = Location {
        name: "bench".to_owned(),
        kind: LocationKind::S3,
        layout,
        fingerprint,
        cluster: "default".to_owned(),
        conditional_put: true,
    };
    let options = KeepOptions { rules: &rules, events: None, now: jiff::Timestamp::now().into(), stuck_seconds: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let plain: Vec<Vec<u8>> =
        texts.iter().map(|text| canonical(text, &rules).map(|c| c.bytes)).collect::<Result<_, _>>()?;
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    let rate = |spent: Duration| f64::from(RUNS) / spent.as_secs_f64();
    for _ in 0..rounds {
        let begun = thread_cpu();
        for (text, plain) in texts.iter().zip(&plain) {
            let ended = runtime.block_on(keep(&edge, &location, std::hint::black_box(text), &options));
            ensure!(ended.is_err(), "nothing was there to take it");
            // That it is the real work: the bytes are the archive's.
            let packed = std::mem::take(&mut *edge.last.lock().unwrap());
            ensure!(packed.len() * 2 < plain.len() && !packed.is_empty(), "{} bytes of {}", packed.len(), plain.len());
        }
        whole.push(rate(thread_cpu().saturating_sub(begun)));
        let begun = thread_cpu();
        for plain in &plain {
            std::hint::black_box(gzip::pack(std::hint::black_box(plain)));
        }
        alone.push(rate(thread_cpu().saturating_sub(begun)));
    }
    let middle = |rates: Vec<f64>| median(rates).unwrap_or_default();
    let length = texts.iter().map(String::len).sum::<usize>() / texts.len();
    Ok((middle(whole), middle(alone), length))
}
