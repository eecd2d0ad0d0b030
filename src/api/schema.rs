//! Checks a value against a generated CRD schema, as the API server would, but with messages that name the remedy.
//!
//! The server does this too; here it serves values that reach us past an older or newer CRD, and files that no server
//! has seen (`policy lint -f`). Covers what our generated schemas use, nothing else of JSON Schema.

pub mod installed;
pub mod tree;

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value};

use tree::Schema;

/// One breach of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Such as `spec.detections[0].type`.
    pub field: String,
    /// What it must be, starting with "must" or "is".
    pub message: String,
    /// A field or enum value this version doesn't know: perhaps from a newer one.
    pub unknown: bool,
}

/// Every breach in `value`, whose own path is `path`, in the order of the schema.
pub fn check(schema: &Schema, value: &Value, path: &str) -> Vec<Breach> {
    let mut walk = Walk { breaches: Vec::new() };
    walk.value(schema, value, path);
    walk.breaches
}

/// Drops nulls, as the server does for fields that aren't nullable.
pub fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

struct Walk {
    breaches: Vec<Breach>,
}

impl Walk {
    fn say(&mut self, field: &str, message: impl Into<String>) {
        self.breaches.push(Breach { field: field.to_owned(), message: message.into(), unknown: false });
    }

    fn value(&mut self, schema: &Schema, value: &Value, path: &str) {
        match (&*schema.kind, value) {
            ("object", Value::Object(map)) => self.object(schema, map, path),
            ("array", Value::Array(list)) => self.array(schema, list, path),
            ("string", Value::String(text)) => self.string(schema, text, path),
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(integer) => self.integer(schema, integer, path),
                None => self.say(path, "must be an integer"),
            },
            ("boolean", Value::Bool(_)) => {}
            (kind, _) => self.say(path, format!("must be of type {kind}")),
        }
    }

    fn object(&mut self, schema: &Schema, map: &Map<String, Value>, path: &str) {
        for name in &schema.required {
            if map.get(&**name).is_none_or(Value::is_null) {
                self.say(&join(path, name), "is required: add it");
            }
        }
        self.limits([schema.min_properties, schema.max_properties], map.len(), path, "entries");
        for (name, inner) in map.iter().filter(|(_, inner)| !inner.is_null()) {
            let at = join(path, name);
            if let Some(known) = schema.properties.as_ref().and_then(|p| p.get(name)) {
                self.value(known, inner, &at);
            } else if let Some(any) = &schema.additional_properties {
                self.value(any, inner, &at);
            } else if schema.properties.is_some() {
                self.breaches.push(Breach {
                    field: at,
                    message: "is not a known field: correct the spelling or remove it".to_owned(),
                    unknown: true,
                });
            }
        }
    }

    fn array(&mut self, schema: &Schema, list: &[Value], path: &str) {
        self.limits([schema.min_items, schema.max_items], list.len(), path, "entries");
        for (index, inner) in list.iter().enumerate() {
            if let Some(items) = &schema.items {
                self.value(items, inner, &format!("{path}[{index}]"));
            }
        }
        let keys = &schema.keys;
        let unique = matches!(schema.list.as_deref(), Some("map" | "set"));
        for (index, inner) in list.iter().enumerate().filter(|_| unique) {
            let same = |other: &Value| {
                if keys.is_empty() { other == inner } else { keys.iter().all(|k| other.get(&**k) == inner.get(&**k)) }
            };
            if list[..index].iter().any(same) {
                let what = if keys.is_empty() { "value".to_owned() } else { keys.join(" and ") };
                self.say(&format!("{path}[{index}]"), format!("must not repeat the {what} of an entry before it"));
            }
        }
    }

    fn string(&mut self, schema: &Schema, text: &str, path: &str) {
        if !schema.values.is_empty() {
            if !schema.values.iter().any(|a| **a == *text) {
                let names = schema.values.join(", ");
                self.breaches.push(Breach {
                    field: path.to_owned(),
                    message: format!("must be one of {names}, not {:?}", shown(text)),
                    unknown: true,
                });
            }
            return;
        }
        self.limits([schema.min_length, schema.max_length], text.chars().count(), path, "characters");
        if let Some(pattern) = &schema.pattern
            && Regex::new(pattern).is_ok_and(|r| !r.is_match(text))
        {
            self.say(path, format!("must be {}, not {:?}", meaning(pattern), shown(text)));
        }
        if schema.format.as_deref() == Some("date-time") && text.parse::<Timestamp>().is_err() {
            self.say(path, format!("must be a time such as 2026-11-21T08:00:00Z, not {:?}", shown(text)));
        }
    }

    fn integer(&mut self, schema: &Schema, integer: i64, path: &str) {
        if let Some(least) = schema.minimum.filter(|l| integer < *l) {
            self.say(path, format!("must be at least {least}"));
        }
        if let Some(most) = schema.maximum.filter(|m| integer > *m) {
            self.say(path, format!("must be at most {most}"));
        }
    }

    /// `bounds`: the least and the greatest count.
    fn limits(&mut self, bounds: [Option<u32>; 2], count: usize, path: &str, what: &str) {
        let [least, most] = bounds.map(|bound| bound.and_then(|b| usize::try_from(b).ok()));
        if let Some(least) = least.filter(|l| count < *l) {
            self.say(path, format!("must have at least {least} {what}, has {count}"));
        }
        if let Some(most) = most.filter(|m| count > *m) {
            self.say(path, format!("must have at most {most} {what}, has {count}"));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// At most 64 bytes of a value from outside.
fn shown(text: &str) -> &str {
    super::condition::cut(text, 64)
}

fn meaning(pattern: &str) -> String {
    match pattern {
        super::period::PATTERN => "a duration such as 90s, 15m, 24h or 7d".to_owned(),
        super::policy::NAME_PATTERN => "lower-case letters, digits and inner dashes".to_owned(),
        other => format!("of the form {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn breaches(spec: &Value) -> Vec<(String, String)> {
        let schema = tree::of("WorkflowPolicy").unwrap().properties.as_ref().unwrap().get("spec").unwrap();
        check(schema, spec, "spec").into_iter().map(|b| (b.field, b.message)).collect()
    }

    #[test]
    fn each_kind_of_breach_names_field_and_remedy() {
        let spec = json!({
            "priority": 1001,
            "detections": [
                {"name": "Too_Long", "type": "RunsTooLong", "after": "1w"},
                {"name": "a", "type": "Pending", "after": "1h"},
                {"name": "a", "type": "Pending", "after": "1h", "color": "red"},
            ],
            "pauses": [{"name": "p", "reason": "", "until": "tomorrow"}],
            "observe": 5,
        });
        let found = breaches(&spec);
        let has = |field: &str, part: &str| {
            assert!(found.iter().any(|(f, m)| f == field && m.contains(part)), "{field}: {part} not in {found:#?}");
        };
        has("spec.selector", "is required");
        has("spec.priority", "at most 1000");
        has("spec.detections[0].name", "lower-case");
        has("spec.detections[0].type", "must be one of DeletionBlocked");
        has("spec.detections[0].after", "a duration such as");
        has("spec.detections[2]", "must not repeat the name");
        has("spec.detections[2].color", "not a known field");
        has("spec.pauses[0].reason", "at least 1 characters, has 0");
        has("spec.pauses[0].until", "a time such as");
        has("spec.observe", "must be of type object");
        assert_eq!(found.len(), 10, "{found:#?}");
    }

    #[test]
    fn nulls_are_as_absent() {
        assert_eq!(breaches(&json!({"selector": {}, "detections": null})), []);
        assert_eq!(breaches(&json!({"selector": null}))[0].0, "spec.selector");
    }
}
