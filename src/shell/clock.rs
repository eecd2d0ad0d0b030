//! The API server's time, from the `Date` header of its answers (I11: thresholds are judged by its clock, not ours).
//!
//! An answer sent at local time `s`, received at `r` and dated `D` (whole seconds, cut off) proves: when it was made,
//! between `s` and `r`, the server's clock stood between `D` and `D + 1 s`. So server time minus local time is at least
//! `D - r` and less than `D + 1 s - s`. The largest lower bound is kept: it makes us late, never early, by less than a
//! second after the first answer and by milliseconds after a few. An upper bound below it corrects drift; one far
//! below it means the server's clock was set back (or another server answers), and the bounds start anew.
//!
//! Local time is the monotonic clock, so setting the machine's clock changes nothing here.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A correction larger than this is a clock that was set.
const SET: SignedDuration = SignedDuration::from_secs(2);

/// The API server's clock, as far as its answers tell.
#[derive(Debug)]
pub struct Clock {
    /// The monotonic and the machine's own time, read together.
    start: Instant,
    start_wall: Timestamp,
    /// Server time at `start`: a lower bound; `None` before the first answer.
    server: Mutex<Option<Timestamp>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), start_wall: Timestamp::now(), server: Mutex::new(None) }
    }
}

impl Clock {
    /// Learns from an answer. `date`: its `Date` header; a malformed one teaches nothing.
    pub fn learn(&self, date: &str, sent: Instant, received: Instant) {
        if let Ok(date) = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(date) {
            self.learn_at(date, sent.saturating_duration_since(self.start), received.saturating_duration_since(self.start));
        }
    }

    fn learn_at(&self, date: Timestamp, sent: Duration, received: Duration) {
        let high = date.checked_sub(sent).and_then(|t| t.checked_add(Duration::from_secs(1)));
        let (Ok(low), Ok(high)) = (date.checked_sub(received), high) else { return };
        let mut server = self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *server = Some(match *server {
            Some(known) if known > high => {
                if known.duration_since(high) > SET { low } else { high }
            }
            Some(known) => known.max(low),
            None => low,
        });
    }

    /// Whether any answer has been seen.
    pub fn is_set(&self) -> bool {
        self.server().is_some()
    }

    /// The API server's time; before its first answer, the machine's own. It runs on between answers. It steps back
    /// only by drift corrections below two seconds, or where the server's clock did.
    pub fn now(&self) -> Timestamp {
        self.at(self.start.elapsed())
    }

    /// How far the machine's clock is ahead of the API server's, in seconds; 0 before its first answer.
    pub fn skew_seconds(&self) -> f64 {
        if self.is_set() { Timestamp::now().duration_since(self.now()).as_secs_f64() } else { 0.0 }
    }

    fn at(&self, elapsed: Duration) -> Timestamp {
        let base = self.server().unwrap_or(self.start_wall);
        base.checked_add(elapsed).unwrap_or(base)
    }

    fn server(&self) -> Option<Timestamp> {
        *self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose clock shows `zero` at local time 0 and runs `rate` times as fast.
    struct Server {
        zero: Timestamp,
        rate: f64,
    }

    impl Server {
        fn time(&self, local: Duration) -> Timestamp {
            self.zero + local.mul_f64(self.rate)
        }

        /// An answer made halfway between `sent` and `sent + trip`.
        fn answer(&self, clock: &Clock, sent: Duration, trip: Duration) {
            let date = Timestamp::from_second(self.time(sent + trip / 2).as_second()).unwrap();
            clock.learn_at(date, sent, sent + trip);
        }
    }

    fn error(clock: &Clock, server: &Server, local: Duration) -> SignedDuration {
        clock.at(local).duration_since(server.time(local))
    }

    #[test]
    fn is_never_early_and_soon_exact_to_milliseconds() {
        let server = Server { zero: "2026-11-21T07:18:34.789Z".parse().unwrap(), rate: 1.0 };
        let clock = Clock::default();
        let trip = Duration::from_millis(6);
        for n in 0..60_u32 {
            let sent = Duration::from_millis(2_037) * n;
            server.answer(&clock, sent, trip);
            let error = error(&clock, &server, sent + trip);
            assert!(!error.is_positive() && error > SignedDuration::from_secs(-1) - SignedDuration::from_millis(6), "{error:?}");
            if n > 30 {
                assert!(error > SignedDuration::from_millis(-50), "after {n} answers: {error:?}");
            }
        }
    }

    #[test]
    fn follows_drift_without_leaving_a_tenth_of_a_second() {
        // Our oscillator runs 200 millionths fast: 17 s a day.
        let server = Server { zero: "2026-11-21T07:18:34.2Z".parse().unwrap(), rate: 0.9998 };
        let clock = Clock::default();
        for n in 0..20_000_u32 {
            let sent = Duration::from_micros(2_037_400) * n;
            server.answer(&clock, sent, Duration::from_millis(4));
            let error = error(&clock, &server, sent);
            assert!(n < 60 || error.abs() < SignedDuration::from_millis(100), "after {n} answers: {error:?}");
        }
    }

    #[test]
    fn follows_a_server_whose_clock_is_set_in_either_direction() {
        let clock = Clock::default();
        let at = Duration::from_secs;
        let mut server = Server { zero: "2026-11-21T07:00:00Z".parse().unwrap(), rate: 1.0 };
        server.answer(&clock, at(10), at(0));
        for zero in ["2026-11-21T08:00:00Z", "2026-11-21T05:00:00Z"] {
            server.zero = zero.parse().unwrap();
            server.answer(&clock, at(20), at(0));
            assert!(error(&clock, &server, at(20)).abs() <= SignedDuration::from_secs(1), "{zero}");
        }
    }

    #[test]
    fn reads_real_headers_and_survives_false_ones() {
        let clock = Clock::default();
        assert!(!clock.is_set() && clock.skew_seconds().abs() < 1e-9);
        for bad in ["", "yesterday", "Fri, 99 Foo 2026 07:18:34 GMT"] {
            clock.learn(bad, clock.start, clock.start);
        }
        assert!(!clock.is_set());
        clock.learn("Sat, 21 Nov 2020 07:18:34 GMT", clock.start, clock.start);
        assert!(clock.is_set());
        assert!((clock.now().as_second() - 1_605_943_114).abs() <= 1);
        assert!(clock.skew_seconds() > 86_400.0);
    }
}
