//! Conditions: a list map on `type`, newest transition wins, `lastTransitionTime` moves only when the status does.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::reasons::ConditionType;
use super::time::Time;

/// Longest message we write; the schema allows as much.
pub const MAX_MESSAGE: usize = 1024;

/// One condition of a status, as `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is stated.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// CamelCase, stable, for programs.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// One sentence with the remedy, for people.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// `metadata.generation` this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

super::reasons::closed! {
    /// The three values of a condition.
    ConditionStatus { True, False, Unknown }
}

impl Condition {
    /// A condition first stated at `at`; a message beyond [`MAX_MESSAGE`] bytes is cut.
    pub fn new(kind: ConditionType, status: ConditionStatus, reason: &str, message: &str, at: Time) -> Self {
        Self {
            kind: kind.as_str().to_owned(),
            status,
            reason: reason.to_owned(),
            message: cut(message, MAX_MESSAGE).to_owned(),
            last_transition_time: at,
            observed_generation: None,
        }
    }

    #[must_use]
    pub fn of_generation(mut self, generation: i64) -> Self {
        self.observed_generation = Some(generation);
        self
    }
}

/// Puts `next` into `conditions`, keeping the old transition time while the status stays.
pub fn set(conditions: &mut Vec<Condition>, mut next: Condition) {
    if let Some(old) = conditions.iter_mut().find(|c| c.kind == next.kind) {
        if old.status == next.status {
            next.last_transition_time = old.last_transition_time;
        }
        *old = next;
    } else {
        conditions.push(next);
    }
}

/// The condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.kind == kind.as_str())
}

/// At most `max` bytes of `text`, cut between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        jiff::Timestamp::from_second(second).unwrap().into()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut all = Vec::new();
        let say = |status, reason, t| Condition::new(ConditionType::Ready, status, reason, "m", at(t));
        set(&mut all, say(ConditionStatus::True, "Active", 1));
        set(&mut all, say(ConditionStatus::True, "NoMatch", 2));
        assert_eq!((all[0].last_transition_time, all[0].reason.as_str()), (at(1), "NoMatch"));
        set(&mut all, say(ConditionStatus::False, "InvalidSpec", 3));
        assert_eq!((all.len(), all[0].last_transition_time), (1, at(3)));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = "ä".repeat(MAX_MESSAGE);
        let cut = Condition::new(ConditionType::Ready, ConditionStatus::True, "Active", &message, at(1)).message;
        assert_eq!(cut.chars().count(), MAX_MESSAGE / 2);
    }
}
