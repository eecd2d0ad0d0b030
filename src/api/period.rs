//! Durations as people write them: one integer, one unit.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The form of every duration in our kinds.
pub const PATTERN: &str = "^[1-9][0-9]{0,5}(s|m|h|d)$";

/// A duration such as `90s`, `15m`, `24h` or `7d`; at most 999999 days, never zero.
///
/// What was read is kept as it stands, so that an unreadable value (from a server whose schema is older) can be
/// reported with its field instead of failing the whole object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(String);

impl Period {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Length in seconds; `None` when the text doesn't follow [`PATTERN`].
    pub fn seconds(&self) -> Option<i64> {
        let unit = match self.0.as_bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        let digits = &self.0[..self.0.len() - 1];
        let well_formed =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if !well_formed {
            return None;
        }
        digits.parse::<i64>().ok().map(|n| n * unit)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": 7})
    }
}

#[cfg(test)]
mod tests {
    use super::Period;

    #[test]
    fn reads_each_unit() {
        for (text, seconds) in [("1s", 1), ("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("999999d", 86_399_913_600)]
        {
            assert_eq!(Period::new(text).seconds(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        for text in
            ["", "s", "0s", "01h", "-1h", "1.5h", "1w", "1h30m", "1000000s", "+5m", "5 m", "5M", "\u{0665}s", "5ß"]
        {
            assert_eq!(Period::new(text).seconds(), None, "{text}");
        }
    }
}
