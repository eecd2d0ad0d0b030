//! Short words for tables: spans of time, what a stuck run waits for, why nothing is known.

use jiff::Timestamp;

use super::screen::Tone;
use crate::api::reasons::{DetectionType, Reason, UnknownReason};

/// How long, in the engine's words; what is in the future is `0s`.
pub fn span(seconds: i64) -> String {
    let whole = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
    crate::watchdog::words::span(whole)
}

/// A threshold as people write it: the largest unit that gives a whole number, days from three on.
pub fn threshold(seconds: i64) -> String {
    for (unit, name, from) in [(86_400, "d", 3), (3600, "h", 1), (60, "m", 1)] {
        if seconds % unit == 0 && seconds / unit >= from {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

/// An instant for people: UTC, to the minute.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Whole seconds from `since` to `now`, never negative.
pub fn seconds_since(since: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(since.as_second()).max(0)
}

/// What has to happen for a run that is stuck for this reason to go on.
pub const fn waiting_for(reason: Reason) -> &'static str {
    match reason {
        Reason::Finalizer => "a finalizer to be removed",
        Reason::NoController => "a controller for its instance id",
        Reason::Unreconciled => "Argo to take it up",
        Reason::ShutdownIgnoredWhileSuspended => "its suspension to be cleared",
        Reason::ExitHandlerRunning => "its exit handler",
        Reason::PodsRemain => "its pods to end",
        Reason::LockWait | Reason::WaitingForLock => "a lock another run holds",
        Reason::HolderGone => "a lock whose holder is gone",
        Reason::HolderFinished => "a lock whose holder has ended",
        Reason::ResultIncomplete => "a lost task result",
        Reason::ParallelismLimit => "a free slot (parallelism)",
        Reason::QuotaExceeded => "quota in its namespace",
        Reason::ImagePull => "an image that can't be pulled",
        Reason::Unschedulable => "a node its pod fits on",
        Reason::ContainerConfig => "a valid container config",
        Reason::PodPending => "its pod to start",
        Reason::AwaitingResume => "a person to resume it",
        Reason::SuspendedBySpec => "spec.suspend to be cleared",
        Reason::AutoResumeOverdue => "its overdue auto-resume",
        Reason::NodeOverAge => "a step that takes too long",
        Reason::NoNodeChange => "any node to change",
        Reason::OverAge => "its end",
        Reason::Unexplained => "an unknown cause",
    }
}

/// Why nothing can be said, in words.
pub const fn unknown(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::ControllerDown => {
            "Argo's controller is down or only just back, so standing still proves nothing"
        }
        UnknownReason::NodesOffloaded => "its nodes are in Argo's database, out of reach",
        UnknownReason::NodesUndecodable => "its compressed nodes can't be decoded",
        UnknownReason::WatchStale => "the watch has brought nothing for too long",
        UnknownReason::ClockSkew => "the clocks here and on the API server differ too much",
    }
}

/// Yellow waits for somebody, red is broken.
pub const fn tone(kind: DetectionType) -> Tone {
    match kind {
        DetectionType::Suspended
        | DetectionType::Pending
        | DetectionType::RunningTooLong
        | DetectionType::NodeRunningTooLong => Tone::Waiting,
        _ => Tone::Bad,
    }
}

/// The policy as shown: the built-in one has no name.
pub fn policy(name: &str) -> &str {
    if name.is_empty() { "built-in" } else { name }
}

/// `1 workflow`, `2 workflows`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// Bytes for people: `512 B`, `12.3 KiB`, `4.0 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn size(bytes: usize) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let all = [(0, "0s"), (119, "1m59s"), (540, "9m"), (5400, "1h30m"), (26 * 3600, "26h")];
        let long = [(76 * 3600, "3d4h"), (400 * 86_400, "400d"), (-5, "0s")];
        for (seconds, text) in all.into_iter().chain(long) {
            assert_eq!(span(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn thresholds_are_exact() {
        for (seconds, text) in
            [(1, "1s"), (90, "90s"), (5400, "90m"), (172_800, "48h"), (604_800, "7d"), (93_600, "26h")]
        {
            assert_eq!(threshold(seconds), text);
        }
    }

    #[test]
    fn sizes_have_one_digit_behind_the_point() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_600, "12.3 KiB"), (4 << 20, "4.0 MiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn every_reason_has_short_words() {
        for reason in Reason::ALL {
            assert!(waiting_for(*reason).len() <= 32, "{reason}");
        }
    }
}
