//! The API server's time (I11), from the `Date` header of every response.
//!
//! A `Date` has whole seconds: it says that the server's clock was in [D, D+1) some time between our request and its
//! answer. Each response so bounds the offset of our clock from both sides; the bounds are intersected. While 0 lies
//! within them our own clock is as good as can be known and is used as it is.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// Beyond this nothing is judged.
pub const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// Server minus ours, in milliseconds.
    low: i64,
    high: i64,
    known: bool,
}

/// The server's clock as far as it is known. Shared with the clients, which tell it what they hear.
#[derive(Debug, Default)]
pub struct ServerClock {
    bounds: Mutex<Bounds>,
}

impl ServerClock {
    /// A response with this `Date` arrived at `received`; its request had left at `sent`.
    pub fn heard(&self, date: Timestamp, sent: SystemTime, received: SystemTime) {
        let (date, sent, received) = (date.as_millisecond(), millis(sent), millis(received));
        let (low, high) = (date - received, date + 1000 - sent);
        let Ok(mut bounds) = self.bounds.lock() else { return };
        let (both_low, both_high) = (bounds.low.max(low), bounds.high.min(high));
        *bounds = if bounds.known && both_low <= both_high {
            Bounds { low: both_low, high: both_high, known: true }
        } else {
            // The first word, or one of the clocks has been set.
            Bounds { low, high, known: true }
        };
    }

    /// The server's time now.
    pub fn now(&self) -> Timestamp {
        let ours = millis(SystemTime::now());
        Timestamp::from_millisecond(ours.saturating_add(self.offset())).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Our clock minus the server's.
    pub fn skew(&self) -> SignedDuration {
        SignedDuration::from_millis(-self.offset())
    }

    fn offset(&self) -> i64 {
        let bounds = self.bounds.lock().map(|b| *b).unwrap_or_default();
        if !bounds.known || (bounds.low <= 0 && 0 <= bounds.high) { 0 } else { i64::midpoint(bounds.low, bounds.high) }
    }
}

/// Reads a `Date` header (RFC 9110: `Sat, 21 Nov 2026 07:18:34 GMT`).
pub fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn heard(clock: &ServerClock, date: i64, sent: u64, received: u64) {
        clock.heard(Timestamp::from_second(date).unwrap(), at(sent), at(received));
    }

    #[test]
    fn a_right_clock_is_used_as_it_is() {
        let clock = ServerClock::default();
        heard(&clock, 1000, 1_000_700, 1_000_720);
        heard(&clock, 1001, 1_001_010, 1_001_030);
        assert_eq!(clock.skew(), SignedDuration::ZERO);
    }

    #[test]
    fn a_wrong_clock_is_corrected_within_a_second_and_steps_are_followed() {
        let clock = ServerClock::default();
        heard(&clock, 1000, 1_060_000, 1_060_010);
        assert!((clock.skew().as_secs_f64() - 59.5).abs() < 0.6, "{:?}", clock.skew());
        heard(&clock, 2000, 2_000_100, 2_000_110);
        assert_eq!(clock.skew(), SignedDuration::ZERO, "the clock was set right");
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(
            date("Sat, 21 Nov 2026 07:18:34 GMT").map(|t| t.to_string()).as_deref(),
            Some("2026-11-21T07:18:34Z")
        );
        assert_eq!(date("yesterday"), None);
    }
}
