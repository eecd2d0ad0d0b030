//! Named values in `arguments` and `inputs`.

use std::cell::Cell;

use super::cursor::{Broken, Cursor};
use super::lax::{Fields, Key, Value, total};
use super::scalar::unescaped;
use super::{Raw, Text};

/// The value of the first parameter of that name in a list `[{name, value}]`: a string, or a number or boolean as it is
/// written. `None` when it isn't there or is anything else.
pub fn parameter<'a>(list: Raw<'a>, name: &str) -> Option<Text<'a>> {
    let (mut cursor, oddities) = (Cursor::new(list.get()), Cell::new(0));
    let mut named = Named { name, found: false, value: None };
    named.read(&mut Value::new(&mut cursor, &oddities)).ok()?;
    named.value
}

/// The same in `{parameters: [{name, value}]}`.
pub fn input_parameter<'a>(inputs: Raw<'a>, name: &str) -> Option<Text<'a>> {
    let mut named = Named { name, found: false, value: None };
    total(inputs.get(), &Cell::new(0), &mut named).ok()?;
    named.value
}

fn scalar(raw: Raw<'_>) -> Option<Text<'_>> {
    match raw.get().as_bytes().first()? {
        b'-' | b'0'..=b'9' | b't' | b'f' => Some(raw.get().into()),
        b'"' => unescaped(Cursor::new(raw.get()).string().ok()?),
        _ => None,
    }
}

struct Named<'n, 'a> {
    name: &'n str,
    found: bool,
    /// Of the first of that name.
    value: Option<Text<'a>>,
}

impl<'a> Named<'_, 'a> {
    fn read(&mut self, value: &mut Value<'_, 'a>) -> Result<(), Broken> {
        value.objects(|parameter: Parameter<'a>| {
            if !self.found && parameter.name == self.name {
                (self.found, self.value) = (true, parameter.value.and_then(scalar));
            }
        })
    }
}

impl<'a> Fields<'a> for Named<'_, 'a> {
    fn field(&mut self, key: Key<'a>, value: &mut Value<'_, 'a>) -> Result<u8, Broken> {
        if key.name() != "parameters" {
            return Ok(0);
        }
        self.read(value).map(|()| 1)
    }
}

#[derive(Default)]
struct Parameter<'a> {
    name: Text<'a>,
    /// As it is written: the others' are not looked into.
    value: Option<Raw<'a>>,
}

impl<'a> Fields<'a> for Parameter<'a> {
    fn field(&mut self, key: Key<'a>, value: &mut Value<'_, 'a>) -> Result<u8, Broken> {
        match key.name() {
            "name" => {
                self.name = value.text()?;
                Ok(1)
            }
            "value" => {
                self.value = Some(value.raw()?);
                Ok(2)
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_of_any_type_are_read() {
        let raw = Raw::new(
            r#"[7, {"name": "task-id", "value": 17}, {"name": "x", "value": "a\"b"}, {"name": 3}, {"value": true, "name": "y"},
                {"name": "x", "value": "second"}, {"name": "z", "value": {"name": "q"}}, {"name": "n", "value": null}]"#,
        )
        .unwrap();
        for (name, expected) in [
            ("task-id", Some("17")),
            ("x", Some("a\"b")),
            ("y", Some("true")),
            ("z", None),
            ("q", None),
            ("n", None),
            ("absent", None),
        ] {
            assert_eq!(parameter(raw, name).as_deref(), expected, "{name}");
        }
        let inputs =
            Raw::new(r#"{"artifacts": [{"name": "x"}], "parameters": [{"name": "x", "value": "y"}]}"#).unwrap();
        assert_eq!(input_parameter(inputs, "x").as_deref(), Some("y"));
        assert_eq!(input_parameter(Raw::new(r#"{"parameters": 3}"#).unwrap(), "x"), None);
        assert_eq!(parameter(Raw::new("{}").unwrap(), "x"), None);
    }
}
