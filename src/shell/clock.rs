//! The API server's time, from the `Date` header of its answers (I11: thresholds go by its clock, not by ours).
//!
//! An answer sent at local time `s`, received at `r` and dated `D` (whole seconds, cut off) proves: when it was made,
//! between `s` and `r`, the server's clock stood in `[D, D + 1 s)`. That bounds server time minus local time from both
//! sides; every answer narrows the bounds, to milliseconds after a few. Within them the machine's own clock decides,
//! since most are right; where it lies outside, the nearest bound does. An answer that contradicts the bounds by
//! little is drift and shifts them; by more than that, a clock has been set and they start anew.
//!
//! Local time is the monotonic clock: setting the machine's clock moves nothing here by more than the bounds allow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Beyond this nothing is judged.
pub const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// A larger contradiction is no drift.
const SET: SignedDuration = SignedDuration::from_secs(2);

/// The API server's clock, as far as its answers tell. Shared with the clients, which tell it what they hear.
#[derive(Debug)]
pub struct ServerClock {
    start: Instant,
    bounds: Mutex<Option<Bounds>>,
}

/// All three are times at `start`.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: Timestamp,
    high: Timestamp,
    /// What the machine's clock said, as of the last answer.
    machine: Timestamp,
}

impl Default for ServerClock {
    fn default() -> Self {
        Self { start: Instant::now(), bounds: Mutex::new(None) }
    }
}

impl ServerClock {
    /// An answer with this `Date` arrived at `received`; its request had left at `sent`.
    pub fn heard(&self, date: Timestamp, sent: Instant, received: Instant) {
        let since = |at: Instant| at.saturating_duration_since(self.start);
        if let Ok(machine) = Timestamp::now().checked_sub(self.start.elapsed()) {
            self.learn(date, since(sent), since(received), machine);
        }
    }

    fn learn(&self, date: Timestamp, sent: Duration, received: Duration, machine: Timestamp) {
        let high = date.checked_sub(sent).and_then(|t| t.checked_add(Duration::from_secs(1)));
        let (Ok(low), Ok(high)) = (date.checked_sub(received), high) else { return };
        let mut bounds = self.lock();
        *bounds = Some(match *bounds {
            Some(known) if known.low.duration_since(high) <= SET && low.duration_since(known.high) <= SET => {
                Bounds { low: known.low.clamp(low, high), high: known.high.clamp(low, high), machine }
            }
            _ => Bounds { low, high, machine },
        });
    }

    /// The server's time now; before its first answer, the machine's. It runs on between answers.
    pub fn now(&self) -> Timestamp {
        self.at(self.start.elapsed()).unwrap_or_else(Timestamp::now)
    }

    /// The machine's clock minus the server's; zero before the first answer, and while it may well be right.
    pub fn skew(&self) -> SignedDuration {
        let elapsed = self.start.elapsed();
        self.at(elapsed).map_or(SignedDuration::ZERO, |server| {
            let skew = Timestamp::now().duration_since(server);
            // The two readings are not taken at the same instant.
            if skew.abs() < SignedDuration::from_millis(5) { SignedDuration::ZERO } else { skew }
        })
    }

    fn at(&self, elapsed: Duration) -> Option<Timestamp> {
        let bounds = (*self.lock())?;
        bounds.machine.clamp(bounds.low, bounds.high).checked_add(elapsed).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bounds>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a `Date` header (RFC 9110: `Sat, 21 Nov 2026 07:18:34 GMT`).
pub fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose clock shows `zero` at local time 0 and runs `rate` times as fast, and the machine's error.
    struct Server {
        zero: Timestamp,
        rate: f64,
        machine: SignedDuration,
    }

    impl Server {
        fn right(zero: &str) -> Self {
            Self { zero: zero.parse().unwrap(), rate: 1.0, machine: SignedDuration::ZERO }
        }

        fn time(&self, local: Duration) -> Timestamp {
            self.zero + local.mul_f64(self.rate)
        }

        /// An answer made halfway between `sent` and `sent + trip`.
        fn answer(&self, clock: &ServerClock, sent: Duration, trip: Duration) {
            let date = Timestamp::from_second(self.time(sent + trip / 2).as_second()).unwrap();
            clock.learn(date, sent, sent + trip, self.zero + self.machine);
        }

        fn error(&self, clock: &ServerClock, local: Duration) -> SignedDuration {
            clock.at(local).unwrap().duration_since(self.time(local))
        }
    }

    const TRIP: Duration = Duration::from_millis(6);

    #[test]
    fn a_right_machine_is_right_from_the_first_answer() {
        let (clock, server) = (ServerClock::default(), Server::right("2026-11-21T07:18:34.789Z"));
        for n in 0..50_u32 {
            let sent = Duration::from_millis(2_037) * n;
            server.answer(&clock, sent, TRIP);
            assert_eq!(server.error(&clock, sent), SignedDuration::ZERO);
        }
    }

    #[test]
    fn a_wrong_machine_is_corrected_to_milliseconds_and_a_slow_one_never_early() {
        for machine in [-3_600, -3, 3, 3_600] {
            let clock = ServerClock::default();
            let mut server = Server::right("2026-11-21T07:18:34.789Z");
            server.machine = SignedDuration::from_secs(machine);
            for n in 0..60_u32 {
                let sent = Duration::from_millis(2_037) * n;
                server.answer(&clock, sent, TRIP);
                let error = server.error(&clock, sent + TRIP);
                assert!(error.abs() <= SignedDuration::from_millis(1_006), "{machine}: {error:?}");
                assert!(machine > 0 || !error.is_positive(), "{machine}: {error:?}");
                assert!(n < 30 || error.abs() < SignedDuration::from_millis(60), "{machine}, {n} answers: {error:?}");
            }
        }
    }

    #[test]
    fn follows_drift_without_leaving_a_tenth_of_a_second() {
        for rate in [0.9998, 1.0002] {
            let clock = ServerClock::default();
            let zero = "2026-11-21T07:18:34.2Z".parse().unwrap();
            let server = Server { zero, rate, machine: SignedDuration::from_hours(1) };
            for n in 0..20_000_u32 {
                let sent = Duration::from_micros(2_037_400) * n;
                server.answer(&clock, sent, TRIP);
                let error = server.error(&clock, sent);
                assert!(n < 60 || error.abs() < SignedDuration::from_millis(100), "{rate}, {n} answers: {error:?}");
            }
        }
    }

    #[test]
    fn the_machine_being_set_moves_nothing_and_the_server_being_set_is_followed() {
        let (clock, mut server) = (ServerClock::default(), Server::right("2026-11-21T07:00:00.5Z"));
        let at = Duration::from_secs;
        for n in 0..20_u32 {
            server.answer(&clock, Duration::from_millis(2_037) * n, TRIP);
        }
        for machine in [SignedDuration::from_hours(5), SignedDuration::from_hours(-5)] {
            server.machine = machine;
            server.answer(&clock, at(60), TRIP);
            assert!(server.error(&clock, at(60)).abs() < SignedDuration::from_millis(100), "{machine:?}");
        }
        for zero in ["2026-11-21T08:00:00Z", "2026-11-21T05:00:00Z", "2026-11-21T05:00:09Z"] {
            server.zero = zero.parse().unwrap();
            server.answer(&clock, at(70), TRIP);
            assert!(server.error(&clock, at(70)).abs() <= SignedDuration::from_millis(1_006), "{zero}");
        }
    }

    #[test]
    fn reads_real_headers_and_refuses_false_ones() {
        for bad in ["", "yesterday", "Fri, 99 Foo 2026 07:18:34 GMT"] {
            assert_eq!(date(bad), None, "{bad}");
        }
        let clock = ServerClock::default();
        assert!(clock.skew().is_zero() && clock.now().duration_since(Timestamp::now()).abs().as_secs() < 1);
        clock.heard(date("Sat, 21 Nov 2020 07:18:34 GMT").unwrap(), clock.start, clock.start);
        assert!((clock.now().as_second() - 1_605_943_114).abs() <= 1);
        assert!(clock.skew() > SignedDuration::from_hours(24));
    }
}
