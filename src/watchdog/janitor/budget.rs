//! Deletes in a sliding window. No ledger survives a restart: whoever begins to lead begins with the window spent (I13).

use std::collections::VecDeque;

use super::rules::Budget;
use crate::api::workflow::Secs;

/// When a policy has deleted.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    at: VecDeque<Secs>,
}

impl Spent {
    /// When the next delete is within the budget: `now`, or later. `matched`: finished runs the policy governs now;
    /// `led_since`: what was deleted before isn't known.
    pub fn free_at(&self, budget: &Budget, matched: usize, led_since: Secs, now: Secs) -> Secs {
        let unknown_until = led_since.saturating_add(budget.per);
        if now < unknown_until {
            return unknown_until;
        }
        let old = self.at.partition_point(|at| at.saturating_add(budget.per) <= now);
        let within = self.at.len() - old;
        // Of what there was when the window began; one may always go, or a small team would keep all for ever.
        let share = budget.percent.map(|p| ((matched + within) * p / 100).max(1));
        let most = share.map_or(budget.count, |s| s.min(budget.count));
        if within < most {
            return now;
        }
        self.at.get(self.at.len() - most).map_or(now.saturating_add(budget.per), |at| at.saturating_add(budget.per))
    }

    /// Takes one; never given back, for what has had no answer may have happened.
    pub fn take(&mut self, budget: Option<&Budget>, now: Secs) {
        let Some(budget) = budget else { return };
        while self.at.front().is_some_and(|at| at.saturating_add(budget.per) <= now) {
            self.at.pop_front();
        }
        self.at.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_than_the_budget() {
        let budget = Budget { count: 5, per: 60, percent: None };
        let mut spent = Spent::default();
        let mut taken = Vec::new();
        for now in 1000..1600 {
            while spent.free_at(&budget, 1000, 1000, now) == now {
                spent.take(Some(&budget), now);
                taken.push(now);
            }
        }
        assert_eq!(taken.first(), Some(&1060), "what came before the lead isn't known");
        assert!(taken.windows(6).all(|w| w[5] - w[0] >= 60), "{taken:?}");
        assert_eq!(taken.len(), 45);
    }

    #[test]
    fn the_share_is_of_all_that_were_there() {
        let budget = Budget { count: 50, per: 60, percent: Some(20) };
        let mut spent = Spent::default();
        let (mut matched, mut deleted) = (20, 0);
        while spent.free_at(&budget, matched, 100, 200) == 200 {
            spent.take(Some(&budget), 200);
            (matched, deleted) = (matched - 1, deleted + 1);
        }
        assert_eq!(deleted, 4);
        assert_eq!(spent.free_at(&budget, matched, 100, 200), 260);
        let mut few = Spent::default();
        assert_eq!(few.free_at(&budget, 3, 100, 200), 200, "a fifth of three is one, not none");
        few.take(Some(&budget), 200);
        assert_eq!(few.free_at(&budget, 2, 100, 200), 260);
    }
}
