//! The Watchdog's maxima: what a WorkflowPolicy sets beyond them is brought down to them, and said so.

use super::{Problem, Severity};
use crate::api::period::Period;
use crate::api::policy::{Budget, CleanupRequire, Limits, MaxDeletes, PolicySpec};
use crate::api::reasons::ConditionReason;
use crate::api::watchdog::TenantMaxima;

/// Brings `spec` down to `maxima`; one warning for each field that was beyond them.
pub fn cap(spec: &mut PolicySpec, maxima: &TenantMaxima) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |field: &str, message: String| {
        let (severity, reason) = (Severity::Warning, ConditionReason::BeyondMaxima);
        problems.push(Problem { severity, reason, field: field.to_owned(), message });
    };
    if let Some(remediation) = &mut spec.remediation {
        let limits = remediation.limits.get_or_insert_with(Limits::default);
        for most in &maxima.budgets {
            cap_budget(&mut limits.budgets, most, &mut say);
        }
    }
    let (Some(cleanup), Some(most)) = (&mut spec.cleanup, &maxima.cleanup) else { return problems };
    if most.require == Some(CleanupRequire::Archive) && cleanup.require == CleanupRequire::None {
        cleanup.require = CleanupRequire::Archive;
        say("spec.cleanup.require", "None is beyond the Watchdog's tenantMaxima: Archive is in force".to_owned());
    }
    if let Some(most) = &most.max_deletes {
        cap_deletes(&mut cleanup.max_deletes, most, &mut say);
    }
    problems
}

fn cap_budget(budgets: &mut Vec<Budget>, most: &Budget, say: &mut impl FnMut(&str, String)) {
    let mut bound = false;
    for (index, budget) in budgets.iter_mut().enumerate().filter(|(_, b)| b.action == most.action) {
        bound = true;
        if !within(budget.max_actions, &budget.per, most.max_actions, &most.per) {
            say(
                &format!("spec.remediation.limits.budgets[{index}]"),
                format!(
                    "{} per {} of {} is beyond the Watchdog's tenantMaxima: {} per {} is in force",
                    budget.max_actions, budget.per, budget.action, most.max_actions, most.per
                ),
            );
            budget.max_actions = most.max_actions;
            budget.per = most.per.clone();
        }
    }
    // A policy without a budget of its own has that of the maxima; All of the policy still binds as well.
    if !bound {
        budgets.push(most.clone());
    }
}

fn cap_deletes(own: &mut Option<MaxDeletes>, most: &MaxDeletes, say: &mut impl FnMut(&str, String)) {
    let Some(deletes) = own else {
        *own = Some(most.clone());
        return;
    };
    if !within(deletes.count, &deletes.per, most.count, &most.per) {
        say(
            "spec.cleanup.maxDeletes",
            format!(
                "{} per {} is beyond the Watchdog's tenantMaxima: {} per {} is in force",
                deletes.count, deletes.per, most.count, most.per
            ),
        );
        deletes.count = most.count;
        deletes.per = most.per.clone();
    }
    if let Some(percent) = most.percent
        && deletes.percent.is_none_or(|own| own > percent)
    {
        if let Some(own) = deletes.percent {
            say(
                "spec.cleanup.maxDeletes.percent",
                format!("{own} is beyond the Watchdog's tenantMaxima: {percent} is in force"),
            );
        }
        deletes.percent = Some(percent);
    }
}

/// Whether `count` in any window of `per` can never exceed `most` in any window of `most_per`.
///
/// A window of the maxima falls into ceil(`most_per` / `per`) parts no longer than `per`, each with at most `count`. A
/// period that can't be read is never within.
fn within(count: i32, per: &Period, most: i32, most_per: &Period) -> bool {
    let (Some(per), Some(most_per)) = (per.seconds(), most_per.seconds()) else { return false };
    let windows = (most_per + per - 1) / per;
    i64::from(count).saturating_mul(windows) <= i64::from(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_compared_over_any_sliding_window() {
        let within = |a, b: &str, c, d: &str| super::within(a, &Period::new(b), c, &Period::new(d));
        assert!(within(5, "1h", 5, "1h"));
        assert!(!within(6, "1h", 5, "1h"));
        // A longer window of ours may spend all of it at once.
        assert!(within(5, "1d", 5, "1h"));
        assert!(!within(20, "1d", 5, "1h"));
        // A shorter one may be spent in each part.
        assert!(within(1, "10m", 6, "1h"));
        assert!(!within(1, "9m", 6, "1h"));
        assert!(!within(1, "x", 6, "1h"));
    }
}
