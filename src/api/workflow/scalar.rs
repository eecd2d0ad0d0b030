//! Single values: strings, flags, whole numbers, times.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Secs, Text};

/// A value that is not made of others.
pub(super) enum Atom<'de> {
    Null,
    Text(Text<'de>),
    Flag(bool),
    Integer(i64),
    /// An object, a list, or a number that is no `i64`.
    Other,
}

impl<'de> Atom<'de> {
    pub(super) fn text(self) -> Option<Text<'de>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn of_raw(raw: &'de RawValue) -> Self {
        match raw.get() {
            "null" => Self::Null,
            "true" => Self::Flag(true),
            "false" => Self::Flag(false),
            text => string(raw).map(Self::Text).or_else(|| text.parse().ok().map(Self::Integer)).unwrap_or(Self::Other),
        }
    }
}

/// Reads any value as an [`Atom`]. Careful, it takes the raw text first and so can't fail on JSON.
pub(super) struct AtomSeed {
    pub(super) careful: bool,
}

impl<'de> DeserializeSeed<'de> for AtomSeed {
    type Value = Atom<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Atom<'de>, D::Error> {
        if self.careful { <&RawValue>::deserialize(from).map(Atom::of_raw) } else { from.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for AtomSeed {
    type Value = Atom<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Atom<'de>, E> {
        Ok(Atom::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Atom<'de>, E> {
        Ok(Atom::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Atom<'de>, E> {
        Ok(Atom::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Atom<'de>, E> {
        Ok(Atom::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Atom<'de>, E> {
        Ok(Atom::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Atom<'de>, E> {
        Ok(i64::try_from(number).map_or(Atom::Other, Atom::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Atom<'de>, E> {
        Ok(Atom::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Atom<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Atom::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Atom<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Atom::Other)
    }
}

/// A JSON string, borrowed where it has no escapes; `None` for another type or an escape that is no character.
pub(super) fn string(raw: &RawValue) -> Option<Text<'_>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Seconds of an RFC 3339 time; 0 for `""`, Go's zero time and whatever `u32` can't hold. `None` for no time at all.
pub(super) fn seconds(text: &str) -> Option<Secs> {
    if text.is_empty() {
        return Some(0);
    }
    plain(text.as_bytes()).or_else(|| {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(Secs::try_from(time.as_second()).unwrap_or(0))
    })
}

/// `2026-11-21T07:18:34Z` from 1970 to 2105, as Kubernetes writes it; anything else is left to jiff.
fn plain(text: &[u8]) -> Option<Secs> {
    let text: &[u8; 20] = text.try_into().ok()?;
    for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')] {
        if text[at] != mark {
            return None;
        }
    }
    let two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day, hour, minute, second) = (two(5)?, two(8)?, two(11)?, two(14)?, two(17)?);
    if !(1970..=2105).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Days since 1970 with the year begun in March, so that the leap day comes last (no overflow: year < 2106).
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - DAYS_TO_1970;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from March 1st of year 0 to January 1st 1970, in the count of [`plain`].
const DAYS_TO_1970: u32 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_path_agrees_with_jiff_on_every_day_and_leaves_the_rest_to_it() {
        for day in 0..49_670_i64 {
            let second = day * 86_400 + (day * 7_919) % 86_400;
            let text = jiff::Timestamp::from_second(second).unwrap().to_string();
            assert_eq!(plain(text.as_bytes()).map(i64::from), (second < 4_291_747_200).then_some(second), "{text}");
            assert_eq!(seconds(&text), Some(Secs::try_from(second).unwrap()));
        }
        assert_eq!(seconds("2026-11-21T08:18:34.987654+01:00"), seconds("2026-11-21T07:18:34Z"));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("9999-12-30T00:00:00Z"), Some(0));
        for odd in
            ["2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21 oh dear Z", "today"]
        {
            assert_eq!(seconds(odd), None, "{odd}");
        }
    }
}
