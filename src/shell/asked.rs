//! What is asked of the loop over HTTP.

use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::http::Ask;
use super::looping::Loop;
use crate::metrics;
use crate::watchdog::input::Input;

/// Least time between two watermarks for scrapes.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

impl Loop {
    pub fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Alive(tell) => drop(tell.send(())),
            Ask::Ready(tell) => drop(tell.send(self.unready())),
            Ask::Metrics(tell) => {
                // Whoever left meanwhile needs no answer.
                self.scrapes.retain(|scrape| !scrape.is_closed());
                self.scrapes.push(tell);
                if self.ears.flush.is_some() {
                    return;
                }
                let due = self.flushed_at.is_none_or(|at| at.elapsed() >= FLUSH_EVERY);
                match (&self.ears.lease, due.then(|| self.watchdog.watermark()).flatten()) {
                    (Some(lease), Some(mark)) => {
                        self.flushed_at = Some(Instant::now());
                        self.ears.flush = Some(lease.flush(mark));
                    }
                    (None, Some(_)) => self.answer_scrapes(true),
                    _ => self.answer_scrapes(false),
                }
            }
        }
    }

    pub fn answer_scrapes(&mut self, durable: bool) {
        self.ears.flush = None;
        if durable {
            self.handle(Input::WatermarkDurable);
        }
        self.process.clock_skew = Some(self.clients.clock.skew().as_secs());
        self.clients.traffic.read(|counted| self.process.take_over(counted));
        let text = Bytes::from(metrics::render(&self.watchdog, &self.process));
        for scrape in self.scrapes.drain(..) {
            let _ = scrape.send(text.clone());
        }
    }

    fn unready(&self) -> Vec<String> {
        let mut why = Vec::new();
        for kind in self.kinds().into_iter().filter(|k| k.required() && !self.listed.contains(k)) {
            let cause = self.failing.get(&kind).map_or(String::new(), |e| format!(": {e}"));
            why.push(format!("{} not listed yet{cause}", kind.resource()));
        }
        if !self.watchdog.is_synced() {
            let cause = self.watch_down.as_ref().map_or(String::new(), |e| format!(": {e}"));
            why.push(format!("workflows not listed yet{cause}"));
        }
        if let Some(reason) = self.blind {
            why.push(format!("nothing is judged now: {reason}"));
        }
        why
    }
}
