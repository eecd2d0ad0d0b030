//! The least any client can pay: parsing the same bytes into nothing.

use std::time::Duration;

use anyhow::Result;
use serde::de::IgnoredAny;

use super::{pin, thread_cpu};
use crate::corpus::{Corpus, Look};

/// Texts made before they are parsed, so that making them isn't measured.
const BATCH: u32 = 2_000;

/// CPU time of `serde_json`'s `IgnoredAny` over every workflow of a corpus, on that core; and the number of bytes.
pub fn floor(corpus: &Corpus, core: Option<usize>) -> Result<(Duration, u64)> {
    let corpus = corpus.clone();
    let worker = std::thread::spawn(move || {
        if let Some(core) = core {
            pin(core)?;
        }
        let (mut spent, mut bytes) = (Duration::ZERO, 0);
        for first in (0..corpus.count).step_by(BATCH as usize) {
            let last = corpus.count.min(first + BATCH);
            let texts: Vec<String> =
                (first..last).map(|i| corpus.specimen(i).text(1_000_000, Look::default())).collect();
            let begun = thread_cpu();
            for text in &texts {
                let _: IgnoredAny = serde_json::from_str(std::hint::black_box(text))?;
                bytes += text.len() as u64;
            }
            spent += thread_cpu().saturating_sub(begun);
        }
        anyhow::Ok((spent, bytes))
    });
    worker.join().map_err(|_| anyhow::anyhow!("the parser panicked"))?
}
