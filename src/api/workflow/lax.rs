//! The total layer under the lean `Workflow`: objects and values that are read whatever they turn out to be.
//!
//! A value of an unexpected type is stepped over, becomes its default and is counted. `null` counts as absent, as in
//! Go. Of two equal keys the last wins, and the repetition is counted.

use std::cell::Cell;

use memchr::memmem::Finder;
use serde::de::Error as _;
use serde_json::value::RawValue;

use super::cursor::{Broken, Cursor, Quoted};
use super::scalar::{seconds, unescaped};
use super::{Raw, Secs, Text};

/// A type that takes the fields of a JSON object one by one.
pub(super) trait Fields<'de> {
    /// Reads the value of `key` or leaves it (it is skipped then). Returns the field's number (1 to 63), by which a
    /// second occurrence is noticed, or 0 where repetition doesn't matter.
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken>;
}

/// A key of an object.
#[derive(Clone, Copy)]
pub(super) struct Key<'de>(Quoted<'de>);

impl<'de> Key<'de> {
    /// As it is written: no field we know is ever written with an escape.
    pub(super) const fn name(self) -> &'de str {
        self.0.inner
    }

    pub(super) fn text(self) -> Text<'de> {
        unescaped(self.0).unwrap_or_default()
    }
}

/// The value that belongs to a key, or an element of a list; whoever reads none of it leaves it to be skipped.
pub(super) struct Value<'c, 'de> {
    cursor: &'c mut Cursor<'de>,
    oddities: &'c Cell<u32>,
    taken: bool,
}

/// Reads the object `text` into `into`.
///
/// # Errors
/// When `text` is not a JSON object.
pub(super) fn total<'de, T>(text: &'de str, oddities: &Cell<u32>, into: &mut T) -> Result<(), serde_json::Error>
where
    T: Fields<'de>,
{
    let mut cursor = Cursor::new(text);
    let mut value = Value { cursor: &mut cursor, oddities, taken: false };
    if value.object(into) == Ok(true) && cursor.end().is_ok() {
        return Ok(());
    }
    // The other reader says what is wrong and where.
    serde_json::from_str::<&RawValue>(text)?;
    Err(serde_json::Error::custom("not a JSON object"))
}

impl<'c, 'de> Value<'c, 'de> {
    pub(super) const fn new(cursor: &'c mut Cursor<'de>, oddities: &'c Cell<u32>) -> Self {
        Self { cursor, oddities, taken: false }
    }
}

impl<'de> Value<'_, 'de> {
    /// Counts something Argo never writes.
    pub(super) fn odd(&self) {
        self.oddities.set(self.oddities.get().saturating_add(1));
    }

    /// Steps over a value of the wrong type.
    fn other(&mut self) -> Result<(), Broken> {
        if self.cursor.peek() != b'n' {
            self.odd();
        }
        self.taken = true;
        self.cursor.leap()
    }

    /// A string; `None` for `null` and, counted, for any other type.
    #[inline]
    pub(super) fn text_if_any(&mut self) -> Result<Option<Text<'de>>, Broken> {
        if self.cursor.peek() != b'"' {
            return self.other().map(|()| None);
        }
        self.taken = true;
        let text = unescaped(self.cursor.string()?);
        if text.is_none() {
            self.odd();
        }
        Ok(text)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<Text<'de>, Broken> {
        self.text_if_any().map(Option::unwrap_or_default)
    }

    /// A string, or a number as it is written (Argo's `IntOrString`).
    pub(super) fn text_or_number(&mut self) -> Result<Text<'de>, Broken> {
        if matches!(self.cursor.peek(), b'-' | b'0'..=b'9') { Ok(self.raw()?.get().into()) } else { self.text() }
    }

    pub(super) fn secs(&mut self) -> Result<Secs, Broken> {
        let Some(text) = self.text_if_any()? else { return Ok(0) };
        Ok(seconds(&text).unwrap_or_else(|| {
            self.odd();
            0
        }))
    }

    /// What `read` makes of the value's text; `None` for `null` and, counted, where it makes nothing.
    fn raw_as<T>(&mut self, read: impl FnOnce(&'de str) -> Option<T>) -> Result<Option<T>, Broken> {
        let text = self.raw()?.get();
        let value = read(text);
        if value.is_none() && text != "null" {
            self.odd();
        }
        Ok(value)
    }

    pub(super) fn flag(&mut self) -> Result<Option<bool>, Broken> {
        self.raw_as(|text| text.parse().ok())
    }

    pub(super) fn integer(&mut self) -> Result<Option<i64>, Broken> {
        self.raw_as(|text| text.parse().ok())
    }

    /// The text of an object.
    pub(super) fn raw_object(&mut self) -> Result<Option<Raw<'de>>, Broken> {
        self.raw_as(|text| text.starts_with('{').then_some(Raw(text)))
    }

    /// The text of a list.
    pub(super) fn raw_list(&mut self) -> Result<Option<Raw<'de>>, Broken> {
        self.raw_as(|text| text.starts_with('[').then_some(Raw(text)))
    }

    /// The text of whatever is there.
    pub(super) fn raw(&mut self) -> Result<Raw<'de>, Broken> {
        self.taken = true;
        self.cursor.piece().map(Raw)
    }

    /// Steps over an object or a list in whose text `word` is not found; says whether it did.
    pub(super) fn leap_without(&mut self, word: &Finder<'_>) -> Result<bool, Broken> {
        if !matches!(self.cursor.peek(), b'{' | b'[') {
            return Ok(false);
        }
        let mut ahead = *self.cursor;
        if word.find(ahead.piece()?.as_bytes()).is_some() {
            return Ok(false);
        }
        *self.cursor = ahead;
        self.taken = true;
        Ok(true)
    }

    /// Reads an object into `into`; says whether there was one.
    pub(super) fn object<T: Fields<'de>>(&mut self, into: &mut T) -> Result<bool, Broken> {
        if self.cursor.peek() != b'{' {
            return self.other().map(|()| false);
        }
        self.taken = true;
        self.cursor.expect(b'{')?;
        if self.cursor.take(b'}') {
            return Ok(true);
        }
        let mut seen = 0_u64;
        loop {
            let key = Key(self.cursor.key()?);
            let mut value = Value { cursor: &mut *self.cursor, oddities: self.oddities, taken: false };
            let number = into.field(key, &mut value)?;
            if !value.taken {
                value.cursor.leap()?;
            }
            let bit = 1_u64 << (number & 63);
            if number != 0 && seen & bit != 0 {
                self.odd();
            }
            seen |= bit;
            if !self.cursor.take(b',') {
                self.cursor.expect(b'}')?;
                return Ok(true);
            }
        }
    }

    /// Hands each element of a list to `each`, which may leave it to be skipped.
    pub(super) fn list(
        &mut self,
        mut each: impl FnMut(&mut Value<'_, 'de>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.cursor.peek() != b'[' {
            return self.other();
        }
        self.taken = true;
        self.cursor.expect(b'[')?;
        if self.cursor.take(b']') {
            return Ok(());
        }
        loop {
            let mut value = Value { cursor: &mut *self.cursor, oddities: self.oddities, taken: false };
            each(&mut value)?;
            if !value.taken {
                value.cursor.leap()?;
            }
            if !self.cursor.take(b',') {
                return self.cursor.expect(b']');
            }
        }
    }

    /// Reads a list of objects, each into a fresh `T`, and hands them to `keep`. Elements of other types are odd.
    pub(super) fn objects<T: Fields<'de> + Default>(&mut self, mut keep: impl FnMut(T)) -> Result<(), Broken> {
        self.list(|value| {
            let mut item = T::default();
            if value.object(&mut item)? {
                keep(item);
            }
            Ok(())
        })
    }

    /// Reads a list of strings. Elements of other types are odd.
    pub(super) fn texts(&mut self, mut keep: impl FnMut(Text<'de>)) -> Result<(), Broken> {
        self.list(|value| {
            if let Some(text) = value.text_if_any()? {
                keep(text);
            }
            Ok(())
        })
    }
}
