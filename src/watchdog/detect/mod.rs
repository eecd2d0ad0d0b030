//! One look per detection type: is the state there, why, since when.

pub mod lifecycle;
pub mod locks;
pub mod pending;
pub mod results;
pub mod running;
pub mod suspended;

use super::facts::{ActiveNode, Facts};

/// Active nodes with a start; a state without a time can't be judged and must not hide another.
pub(super) fn nodes(facts: &Facts) -> impl Iterator<Item = &ActiveNode> {
    facts.nodes.iter().filter(|n| n.started != 0)
}
