//! How soon a schedule brings the next runs, at its quickest. Only minutes and hours of the day are looked at: on a day on
//! which it runs at all it can't be quicker.

use crate::api::workflow::Secs;

const MINUTES: usize = 24 * 60;

/// The shortest time in which `runs` further runs come; `None` when a schedule can't be read, or never comes.
pub fn quickest<'a>(schedules: impl IntoIterator<Item = &'a str>, runs: usize) -> Option<Secs> {
    let mut day = vec![false; MINUTES];
    let mut every = Secs::MAX;
    for schedule in schedules {
        match read(schedule)? {
            Read::Every(secs) => every = every.min(secs),
            Read::Day(minutes) => day.iter_mut().zip(minutes).for_each(|(all, one)| *all |= one),
        }
    }
    let count = Secs::try_from(runs).unwrap_or(Secs::MAX);
    let by_day = span(&day, runs);
    let by_interval = (every != Secs::MAX).then(|| every.saturating_mul(count));
    by_day.into_iter().chain(by_interval).min()
}

/// The shortest time between a run of the day and the `runs`-th after it.
fn span(day: &[bool], runs: usize) -> Option<Secs> {
    let at: Vec<usize> = day.iter().enumerate().filter(|(_, fires)| **fires).map(|(minute, _)| minute).collect();
    if at.is_empty() {
        return None;
    }
    let (days, rest) = (runs / at.len(), runs % at.len());
    let spans = at.iter().enumerate().map(|(i, minute)| {
        let (next, wraps) = ((i + rest) % at.len(), (i + rest) / at.len());
        at.get(next).map_or(0, |later| later + (days + wraps) * MINUTES - minute)
    });
    spans.min().map(|minutes| Secs::try_from(minutes * 60).unwrap_or(Secs::MAX))
}

enum Read {
    /// Minutes of the day.
    Day(Vec<bool>),
    /// Seconds from one to the next.
    Every(Secs),
}

fn read(schedule: &str) -> Option<Read> {
    let zoned = schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=");
    let schedule = if zoned { schedule.split_once(' ')?.1 } else { schedule }.trim();
    let fields = match schedule {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" | "@weekly" | "@monthly" | "@yearly" | "@annually" => "0 0 * * *",
        other => other,
    };
    if let Some(period) = fields.strip_prefix("@every ") {
        let span: jiff::Span = period.trim().parse().ok()?;
        let secs = span.total(jiff::Unit::Second).ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cut to what fits")]
        return (secs >= 1.0).then_some(Read::Every(secs as Secs));
    }
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [minutes, hours, _, _, _] = fields.as_slice() else { return None };
    let (minutes, hours) = (field(minutes, 60)?, field(hours, 24)?);
    Some(Read::Day(hours.iter().flat_map(|hour| minutes.iter().map(move |minute| *hour && *minute)).collect()))
}

/// `*`, `*/5`, `1-10/3` and lists of these, below `end`.
fn field(text: &str, end: usize) -> Option<Vec<bool>> {
    let mut set = vec![false; end];
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|s| *s > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (0, end - 1),
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => {
                let one = range.parse().ok()?;
                (one, if part.contains('/') { end - 1 } else { one })
            }
        };
        if from > to {
            return None;
        }
        set.get_mut(from..=to)?.iter_mut().step_by(step).for_each(|fires| *fires = true);
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_of_a_day() {
        for (schedule, runs, expected) in [
            ("* * * * *", 1, Some(60)),
            ("* * * * *", 4, Some(240)),
            ("* * * * *", 0, Some(0)),
            ("*/5 * * * *", 1, Some(300)),
            ("0,2 * * * *", 1, Some(120)),
            ("0,2 * * * *", 2, Some(3600)),
            ("59 23 * * *", 1, Some(86_400)),
            ("0,59 0,23 * * *", 1, Some(60)), // one minute over midnight
            ("5/20 * * * *", 1, Some(1200)),
            ("10-12 3 * * 1-5", 2, Some(120)),
            ("TZ=Europe/Berlin 30 4 * * *", 1, Some(86_400)),
            ("@hourly", 2, Some(7200)),
            ("@every 90s", 2, Some(180)),
            ("@every 1h30m", 1, Some(5400)),
            ("61 * * * *", 1, None),
            ("5-1 * * * *", 1, None),
            ("*/0 * * * *", 1, None),
            ("* * * *", 1, None),
            ("@reboot", 1, None),
            ("@every never", 1, None),
            ("", 1, None),
        ] {
            assert_eq!(quickest([schedule], runs), expected, "{schedule} {runs}");
        }
        assert_eq!(quickest(["0 * * * *", "3 * * * *"], 1), Some(180), "together they are quicker");
        assert_eq!(quickest(["0 * * * *", "@every 2m"], 1), Some(120));
        assert_eq!(quickest([], 1), None);
    }
}
