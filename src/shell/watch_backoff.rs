//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles from `least` to `most`, with jitter between half and all of it.
#[derive(Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, tries: 0 }
    }

    /// After something went well.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait; `at_least` is what the server asked for (believed up to twice the longest wait).
    pub fn next(&mut self, at_least: Duration) -> Duration {
        let whole = self.least.saturating_mul(1 << self.tries.min(20)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        let wait = whole.mul_f64(f64::midpoint(1.0, jitter()));
        wait.max(at_least.min(self.most * 2))
    }
}

/// Evenly spread over 0 to 1; for spreading requests, not for secrets.
pub fn jitter() -> f64 {
    // Every RandomState has keys of its own.
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_with_jitter_and_heeds_the_server() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        for whole in [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            let wait = backoff.next(Duration::ZERO).as_secs_f64();
            assert!((whole / 2.0..=whole).contains(&wait), "{wait} of {whole}");
        }
        backoff.reset();
        assert!(backoff.next(Duration::ZERO) <= Duration::from_millis(200));
        assert_eq!(backoff.next(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(backoff.next(Duration::from_hours(24)), Duration::from_mins(1));
        let spread: Vec<f64> = (0..200).map(|_| jitter()).collect();
        assert!(spread.iter().any(|j| *j < 0.2) && spread.iter().any(|j| *j > 0.8));
    }
}
