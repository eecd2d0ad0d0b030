//! The total layer under the lean `Workflow`: objects and values that are read whatever they turn out to be.
//!
//! Values are visited in place, in one pass over the text. What `serde_json` refuses there although it is JSON (a number
//! out of range, an escape that is half a character) is met by reading once more in *careful* mode, which takes each
//! value as raw text, looks at it, and only then enters it.
//!
//! `null` counts as absent, as in Go.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::{Atom, AtomSeed, seconds, string};
use super::{Secs, Text};

/// The visits of every JSON type but the wanted one: counted, drained, and answered with a default.
macro_rules! other_types {
    ($default:expr, $drain:ident) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON value")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($default)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            self.context.odd();
            Ok($default)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            self.context.odd();
            Ok($default)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            self.context.odd();
            Ok($default)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            self.context.odd();
            Ok($default)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            self.context.odd();
            Ok($default)
        }

        other_types!(@$drain $default);
    };
    (@visit_seq $default:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            self.context.odd();
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($default)
        }
    };
    (@visit_map $default:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            self.context.odd();
            while map.next_entry::<&RawValue, IgnoredAny>()?.is_some() {}
            Ok($default)
        }
    };
}

/// What travels down with every value.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    oddities: &'c Cell<u32>,
    careful: bool,
}

impl<'c> Context<'c> {
    pub(super) const fn fast(oddities: &'c Cell<u32>) -> Self {
        Self { oddities, careful: false }
    }

    pub(super) const fn careful(oddities: &'c Cell<u32>) -> Self {
        Self { oddities, careful: true }
    }

    /// Counts something Argo never writes.
    pub(super) fn odd(self) {
        self.oddities.set(self.oddities.get().saturating_add(1));
    }
}

/// A type that takes the fields of a JSON object one by one.
pub(super) trait Fields<'de> {
    /// Reads the value of `key` or leaves it (it is skipped then). Returns the field's number (1 to 63), by which a
    /// second occurrence is noticed, or 0 where repetition doesn't matter. The last occurrence wins.
    fn field<A: MapAccess<'de>>(&mut self, key: Key<'de>, value: &mut Value<'_, A>) -> Result<u8, A::Error>;
}

/// A key of an object.
pub(super) struct Key<'de>(Text<'de>);

impl<'de> Key<'de> {
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    pub(super) fn text(self) -> Text<'de> {
        self.0
    }
}

/// The value that belongs to a key; whoever takes none leaves it to be skipped.
pub(super) struct Value<'m, A> {
    map: &'m mut A,
    context: Context<'m>,
    taken: bool,
}

impl<'de, A: MapAccess<'de>> Value<'_, A> {
    fn atom(&mut self) -> Result<Atom<'de>, A::Error> {
        self.taken = true;
        self.map.next_value_seed(AtomSeed { careful: self.context.careful })
    }

    /// Counts an oddity where `read` gives nothing for a value that is there.
    fn scalar<T>(&mut self, read: impl FnOnce(Atom<'de>) -> Option<T>) -> Result<Option<T>, A::Error> {
        let atom = self.atom()?;
        if let Atom::Null = atom {
            return Ok(None);
        }
        let value = read(atom);
        if value.is_none() {
            self.context.odd();
        }
        Ok(value)
    }

    /// A string; `None` for `null` and, counted, for any other type.
    pub(super) fn text_if_any(&mut self) -> Result<Option<Text<'de>>, A::Error> {
        self.scalar(Atom::text)
    }

    pub(super) fn text(&mut self) -> Result<Text<'de>, A::Error> {
        self.scalar(Atom::text).map(Option::unwrap_or_default)
    }

    /// A string, or a number as it is written (Argo's `IntOrString`).
    pub(super) fn text_or_number(&mut self) -> Result<Text<'de>, A::Error> {
        self.raw_if(|text| !matches!(text.as_bytes().first(), Some(b'{' | b'[' | b't' | b'f')))
            .map(|raw| raw.map(|raw| string(raw).unwrap_or(Cow::Borrowed(raw.get()))).unwrap_or_default())
    }

    pub(super) fn secs(&mut self) -> Result<Secs, A::Error> {
        self.scalar(|atom| seconds(&atom.text()?)).map(Option::unwrap_or_default)
    }

    pub(super) fn flag(&mut self) -> Result<Option<bool>, A::Error> {
        self.scalar(|atom| if let Atom::Flag(flag) = atom { Some(flag) } else { None })
    }

    pub(super) fn integer(&mut self) -> Result<Option<i64>, A::Error> {
        self.scalar(|atom| if let Atom::Integer(number) = atom { Some(number) } else { None })
    }

    /// The raw text where it passes `test`; else, unless it is `null`, counted.
    fn raw_if(&mut self, test: impl FnOnce(&str) -> bool) -> Result<Option<&'de RawValue>, A::Error> {
        let raw = self.raw()?;
        let wanted = test(raw.get());
        if raw.get() == "null" {
            return Ok(None);
        }
        if !wanted {
            self.context.odd();
        }
        Ok(wanted.then_some(raw))
    }

    /// The raw text of an object.
    pub(super) fn raw_object(&mut self) -> Result<Option<&'de RawValue>, A::Error> {
        self.raw_if(|text| text.starts_with('{'))
    }

    /// The raw text of a list.
    pub(super) fn raw_list(&mut self) -> Result<Option<&'de RawValue>, A::Error> {
        self.raw_if(|text| text.starts_with('['))
    }

    /// The raw text of whatever is there.
    pub(super) fn raw(&mut self) -> Result<&'de RawValue, A::Error> {
        self.taken = true;
        self.map.next_value()
    }

    /// Reads an object into `into`; says whether there was one.
    pub(super) fn object<T: Fields<'de>>(&mut self, into: &mut T) -> Result<bool, A::Error> {
        self.taken = true;
        self.map.next_value_seed(Object { context: self.context, into })
    }

    /// Reads a list of objects, each into a fresh `T`, and hands them to `keep`. Elements of other types are odd.
    pub(super) fn objects<T: Fields<'de> + Default>(&mut self, keep: impl FnMut(T)) -> Result<(), A::Error> {
        self.taken = true;
        self.map.next_value_seed(Objects { context: self.context, keep, read: PhantomData })
    }

    /// Reads a list of strings. Elements of other types are odd.
    pub(super) fn texts(&mut self, mut keep: impl FnMut(Text<'de>)) -> Result<(), A::Error> {
        let context = self.context;
        self.raws(|raw| match string(raw) {
            Some(text) => keep(text),
            None => context.odd(),
        })
    }

    /// Reads a list whose elements stay as they are.
    pub(super) fn raws(&mut self, keep: impl FnMut(&'de RawValue)) -> Result<(), A::Error> {
        self.taken = true;
        self.map.next_value_seed(Raws { context: self.context, keep })
    }

    pub(super) fn odd(&self) {
        self.context.odd();
    }
}

/// Hands `from` to `visitor`; in careful mode only what begins with `open`.
fn enter<'de, D, V>(context: Context<'_>, from: D, visitor: V, open: u8) -> Result<V::Value, D::Error>
where
    D: Deserializer<'de>,
    V: Visitor<'de>,
{
    if !context.careful {
        return from.deserialize_any(visitor);
    }
    let text = <&'de RawValue>::deserialize(from)?.get();
    match text.as_bytes().first() {
        Some(&b) if b == open => {
            serde_json::Deserializer::from_str(text).deserialize_any(visitor).map_err(D::Error::custom)
        }
        Some(b'n') => visitor.visit_unit(),
        _ => visitor.visit_bool(false),
    }
}

/// Reads the object `text` into `into`: fast, and where that fails once more, carefully.
///
/// # Errors
/// When `text` is not a JSON object.
pub(super) fn total<'de, T>(text: &'de str, oddities: &Cell<u32>, into: &mut T) -> Result<(), serde_json::Error>
where
    T: Fields<'de> + Default,
{
    let mut from = serde_json::Deserializer::from_str(text);
    let fast = Object { context: Context::fast(oddities), into: &mut *into }.deserialize(&mut from);
    if let Ok(true) = fast
        && from.end().is_ok()
    {
        return Ok(());
    }
    let raw: &RawValue = serde_json::from_str(text)?;
    oddities.set(0);
    *into = T::default();
    let mut from = serde_json::Deserializer::from_str(raw.get());
    if (Object { context: Context::careful(oddities), into }).deserialize(&mut from)? {
        Ok(())
    } else {
        Err(serde_json::Error::custom("not a JSON object"))
    }
}

/// The seed of one object.
pub(super) struct Object<'c, T> {
    pub(super) context: Context<'c>,
    pub(super) into: &'c mut T,
}

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        enter(self.context, from, self, b'{')
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Object<'_, T> {
    type Value = bool;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut seen = 0_u64;
        while let Some(key) = map.next_key_seed(AtomSeed { careful: self.context.careful })? {
            let mut value = Value { map: &mut map, context: self.context, taken: false };
            let number = self.into.field(Key(key.text().unwrap_or_default()), &mut value)?;
            if !value.taken {
                map.next_value::<IgnoredAny>()?;
            }
            let bit = 1_u64 << (number & 63);
            if number != 0 && seen & bit != 0 {
                self.context.odd();
            }
            seen |= bit;
        }
        Ok(true)
    }

    other_types!(false, visit_seq);
}

/// The seed of a list of objects.
struct Objects<'c, T, F> {
    context: Context<'c>,
    keep: F,
    read: PhantomData<T>,
}

impl<'de, T: Fields<'de> + Default, F: FnMut(T)> DeserializeSeed<'de> for Objects<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        enter(self.context, from, self, b'[')
    }
}

impl<'de, T: Fields<'de> + Default, F: FnMut(T)> Visitor<'de> for Objects<'_, T, F> {
    type Value = ();

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        loop {
            let mut item = T::default();
            match list.next_element_seed(Object { context: self.context, into: &mut item })? {
                Some(true) => (self.keep)(item),
                Some(false) => {}
                None => return Ok(()),
            }
        }
    }

    other_types!((), visit_map);
}

/// The seed of a list of anything.
struct Raws<'c, F> {
    context: Context<'c>,
    keep: F,
}

impl<'de, F: FnMut(&'de RawValue)> DeserializeSeed<'de> for Raws<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        enter(self.context, from, self, b'[')
    }
}

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Raws<'_, F> {
    type Value = ();

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element()? {
            (self.keep)(raw);
        }
        Ok(())
    }

    other_types!((), visit_map);
}
