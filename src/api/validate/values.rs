//! Single values: durations, selectors, regular expressions, cron schedules, time zones.

use croner::parser::{CronParser, Seconds, Year};
use regex::RegexBuilder;

use super::{Context, Found};
use crate::api::period::Period;
use crate::api::policy::{Detection, Limits, Observe, ObserveRule, PolicySpec, Remediation, Step, Window};
use crate::api::reasons::{DetectionType, StepType};
use crate::api::selector::{NodeSelector, Selector};

/// Compiled size a regular expression of a policy may have, in bytes.
pub const REGEX_LIMIT: usize = 128 * 1024;

/// Least time in which the effect of an act can show.
const ACT_SHOWS_AFTER: i64 = 20;

/// Longest window; a longer one is no window.
const LONGEST_WINDOW: i64 = 7 * 86_400;

pub(super) fn check(spec: &PolicySpec, context: &Context<'_>, found: &mut Found) {
    if let Err(error) = Selector::compile(&spec.selector) {
        found.error("spec.selector", format!("can't be read: {error}"));
    }
    for (index, detection) in spec.detections.iter().enumerate() {
        self::detection(detection, &format!("spec.detections[{index}]"), context, found);
    }
    if let Some(remediation) = &spec.remediation {
        self::remediation(remediation, found);
    }
    if let Some(cleanup) = &spec.cleanup {
        let ttl = &cleanup.ttl;
        for (phase, value) in [("succeeded", &ttl.succeeded), ("failed", &ttl.failed), ("error", &ttl.error)] {
            period(value.as_ref(), &format!("spec.cleanup.ttl.{phase}"), found);
        }
        period(cleanup.max_deletes.as_ref().map(|d| &d.per), "spec.cleanup.maxDeletes.per", found);
    }
    if let Some(observe) = &spec.observe {
        self::observe(observe, found);
    }
}

fn period(value: Option<&Period>, field: &str, found: &mut Found) -> Option<i64> {
    let value = value?;
    let seconds = value.seconds();
    if seconds.is_none() {
        found.error(
            field,
            format!("must be a duration such as 90s, 15m, 24h or 7d, not {value:?}", value = value.as_str()),
        );
    }
    seconds
}

fn detection(detection: &Detection, field: &str, context: &Context<'_>, found: &mut Found) {
    let after = format!("{field}.after");
    if let Some(seconds) = period(Some(&detection.after), &after, found)
        && detection.kind == DetectionType::NoProgress
        && seconds < context.no_progress_floor
    {
        let floor = context.no_progress_floor;
        let message = format!(
            "{} is raised to {floor}s: Argo looks at each workflow every 20 minutes only, sooner nothing can be said",
            detection.after
        );
        found.warn(&after, message);
    }
    let selectors = [
        ("suspended", detection.suspended.as_ref().map(|s| &s.node_field_selector)),
        ("nodeRunningTooLong", detection.node_running_too_long.as_ref().map(|s| &s.node_field_selector)),
    ];
    for (member, text) in selectors {
        if let Some(Err(error)) = text.map(|t| NodeSelector::parse(t)) {
            found.error(&format!("{field}.{member}.nodeFieldSelector"), format!("can't be read: {error}"));
        }
    }
}

fn remediation(remediation: &Remediation, found: &mut Found) {
    period(remediation.healthy_for.as_ref(), "spec.remediation.healthyFor", found);
    for (index, step) in remediation.steps.iter().enumerate() {
        self::step(step, &format!("spec.remediation.steps[{index}]"), found);
    }
    if let Some(limits) = &remediation.limits {
        self::limits(limits, found);
    }
    for (index, window) in remediation.windows.iter().enumerate() {
        self::window(window, &format!("spec.remediation.windows[{index}]"), found);
    }
    for (index, trigger) in remediation.alert_triggers.iter().enumerate() {
        period(Some(&trigger.after), &format!("spec.remediation.alertTriggers[{index}].after"), found);
    }
}

fn step(step: &Step, field: &str, found: &mut Found) {
    let verify = format!("{field}.verifyFor");
    if let Some(seconds) = period(step.verify_for.as_ref(), &verify, found)
        && step.kind != StepType::Notify
        && seconds < ACT_SHOWS_AFTER
    {
        found.warn(&verify, format!("is shorter than the {ACT_SHOWS_AFTER}s an act may take to show"));
    }
    period(step.retry_after.as_ref(), &format!("{field}.retryAfter"), found);
}

fn limits(limits: &Limits, found: &mut Found) {
    let at = |rest: &str| format!("spec.remediation.limits.{rest}");
    let cooldown = limits.per_workflow.as_ref().and_then(|l| l.cooldown.as_ref());
    period(cooldown, &at("perWorkflow.cooldown"), found);
    period(limits.per_owner.as_ref().map(|l| &l.per), &at("perOwner.per"), found);
    period(limits.breaker.as_ref().map(|b| &b.window), &at("breaker.window"), found);
    for (index, budget) in limits.budgets.iter().enumerate() {
        period(Some(&budget.per), &at(&format!("budgets[{index}].per")), found);
    }
}

fn window(window: &Window, field: &str, found: &mut Found) {
    // Exactly the five classic fields: no seconds, no years, no nicknames.
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    if window.schedule.contains('@') || window.schedule.split(' ').count() != 5 {
        found.error(&format!("{field}.schedule"), "must have five cron fields such as '0 8 * * 1-5'");
    } else if let Err(error) = parser.parse(&window.schedule) {
        found.error(&format!("{field}.schedule"), format!("must be a cron schedule such as '0 8 * * 1-5': {error}"));
    }
    let duration = format!("{field}.duration");
    if period(Some(&window.duration), &duration, found).is_some_and(|seconds| seconds > LONGEST_WINDOW) {
        found.error(&duration, "must be at most 7d: use a pause for a longer time");
    }
    if let Some(zone) = &window.time_zone
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        found.error(
            &format!("{field}.timeZone"),
            format!("{zone:?} doesn't exist: use an IANA name such as Europe/Berlin"),
        );
    }
}

fn observe(observe: &Observe, found: &mut Found) {
    let rules = [
        ("workflowType", &observe.workflow_type),
        ("taskId", &observe.task_id),
        ("stage", &observe.stage),
        ("agent", &observe.agent),
    ];
    for (name, rule) in rules {
        let Some(ObserveRule { map, .. }) = rule else { continue };
        for (index, entry) in map.iter().enumerate() {
            let built = RegexBuilder::new(&entry.pattern).size_limit(REGEX_LIMIT).build();
            if let Err(error) = built {
                let why = error.to_string();
                // The library draws the expression over several lines; the last one says what is wrong.
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                found.error(
                    &format!("spec.observe.{name}.map[{index}].match"),
                    format!("must be a regular expression: {why}"),
                );
            }
        }
    }
}
