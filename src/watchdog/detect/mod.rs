//! One look per detection type: is the state there, why, since when.

pub mod lifecycle;
pub mod locks;
pub mod pending;
pub mod results;
pub mod running;
pub mod suspended;

use super::facts::{ActiveNode, Facts};

/// Active nodes with their places.
pub(super) fn nodes(facts: &Facts) -> impl Iterator<Item = (u16, &ActiveNode)> {
    (0..).zip(facts.nodes.iter())
}
