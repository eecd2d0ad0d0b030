//! Writes a tree in the one canonical way, and blacks out on the way what the rules of redaction name.

use super::json::{NoTree, Tree, Value, text, write_escaped, write_text};
use super::redaction::{MARKER, Redaction};

/// What came out.
#[derive(Debug)]
pub struct Written {
    pub bytes: Vec<u8>,
    /// Places, such as `spec.templates[fetch].container.env[API_TOKEN]`.
    pub redacted: Vec<String>,
}

/// Writes `root`; `room` bytes are expected.
///
/// # Errors
/// A string has an escape that stands for half a character.
pub fn write<'a>(tree: &Tree<'a>, root: Value<'a>, rules: &Redaction, room: usize) -> Result<Written, NoTree> {
    let rules = rules.in_force().then_some(rules);
    let (out, path, redacted) = (Vec::with_capacity(room), Vec::new(), Vec::new());
    let mut writer = Writer { tree, rules, out, path, redacted };
    writer.value(root)?;
    Ok(Written { bytes: writer.out, redacted: writer.redacted })
}

struct Writer<'t, 'a> {
    tree: &'t Tree<'a>,
    rules: Option<&'t Redaction>,
    out: Vec<u8>,
    path: Vec<Step<'t, 'a>>,
    redacted: Vec<String>,
}

#[derive(Clone, Copy)]
enum Step<'t, 'a> {
    Key(&'t str),
    Element(usize, Value<'a>),
}

impl<'t, 'a> Writer<'t, 'a> {
    fn value(&mut self, value: Value<'a>) -> Result<(), NoTree> {
        match value {
            Value::Gone => {}
            Value::Raw(raw) => self.out.extend_from_slice(raw.as_bytes()),
            Value::Text(inner, escaped) => write_text(&mut self.out, inner, escaped)?,
            Value::List(_) => self.list(value, Self::value)?,
            Value::Map(_) => self.map(value, Self::member)?,
        }
        Ok(())
    }

    fn list(&mut self, list: Value<'a>, each: fn(&mut Self, Value<'a>) -> Result<(), NoTree>) -> Result<(), NoTree> {
        self.out.push(b'[');
        for (at, element) in self.tree.elements(list).iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.path.push(Step::Element(at, *element));
            each(self, *element)?;
            self.path.pop();
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(
        &mut self,
        map: Value<'a>,
        each: fn(&mut Self, &'t str, Value<'a>) -> Result<(), NoTree>,
    ) -> Result<(), NoTree> {
        self.out.push(b'{');
        let mut first = true;
        let tree: &'t Tree<'a> = self.tree;
        for (key, value) in tree.members(map) {
            if *value == Value::Gone {
                continue;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            self.out.push(b'"');
            write_escaped(&mut self.out, key);
            self.out.extend_from_slice(b"\":");
            self.path.push(Step::Key(key));
            each(self, key, *value)?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    fn member(&mut self, key: &'t str, value: Value<'a>) -> Result<(), NoTree> {
        if self.rules.is_some() && matches!(key, "env" | "parameters") && matches!(value, Value::List(_)) {
            self.list(value, Self::named)
        } else {
            self.value(value)
        }
    }

    /// An element of `env` or `parameters`.
    fn named(&mut self, element: Value<'a>) -> Result<(), NoTree> {
        let name = self.tree.text(element, &["name"]);
        let hidden = name.is_some_and(|name| self.rules.is_some_and(|rules| rules.hides(&name)));
        if hidden { self.map(element, Self::hidden) } else { self.value(element) }
    }

    /// A member of an element whose value is redacted.
    fn hidden(&mut self, key: &'t str, value: Value<'a>) -> Result<(), NoTree> {
        match (key, value) {
            // Nothing is no secret, and whoever restores it should see that there was nothing.
            ("value" | "default" | "enum", Value::Raw("null") | Value::Text("", _)) => self.value(value),
            ("value" | "default", _) => {
                self.black_out();
                write_text(&mut self.out, MARKER, false)
            }
            ("enum", _) => {
                self.black_out();
                self.out.push(b'[');
                write_text(&mut self.out, MARKER, false)?;
                self.out.push(b']');
                Ok(())
            }
            ("valueFrom", Value::Map(_)) => self.map(value, Self::source),
            _ => self.value(value),
        }
    }

    /// A member of the `valueFrom` of such an element: only its default is a value.
    fn source(&mut self, key: &'t str, value: Value<'a>) -> Result<(), NoTree> {
        if key == "default" { self.hidden(key, value) } else { self.value(value) }
    }

    /// Remembers the place of the element, once.
    fn black_out(&mut self) {
        let element = self.path.iter().rposition(|step| matches!(step, Step::Element(..))).unwrap_or(0);
        let place = self.place(self.path.get(..=element).unwrap_or_default());
        if self.redacted.last() != Some(&place) {
            self.redacted.push(place);
        }
    }

    fn place(&self, path: &[Step<'t, 'a>]) -> String {
        let mut place = String::new();
        for step in path {
            match step {
                Step::Key(key) if key.contains(['.', '[', ']']) => place.extend(["[", key, "]"]),
                Step::Key(key) => place.extend([if place.is_empty() { "" } else { "." }, key]),
                Step::Element(at, value) => {
                    let name = self.tree.get(*value, "name").and_then(text);
                    match name {
                        Some(name) => place.extend(["[", name.as_ref(), "]"]),
                        None => place.extend(["[", at.to_string().as_str(), "]"]),
                    }
                }
            }
        }
        place
    }
}
