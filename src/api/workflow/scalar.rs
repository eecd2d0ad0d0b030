//! Single values: what strings stand for, and times.

use std::borrow::Cow;

use super::cursor::Quoted;
use super::{Secs, Text};

/// The text a string stands for, borrowed where it has no escapes; `None` for an escape that is no character.
#[inline]
pub(super) fn unescaped(string: Quoted<'_>) -> Option<Text<'_>> {
    if string.escaped { slow(string.inner) } else { Some(Cow::Borrowed(string.inner)) }
}

#[cold]
fn slow(inner: &str) -> Option<Text<'_>> {
    let (mut text, mut rest) = (String::with_capacity(inner.len()), inner);
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let mut escape = escape.chars();
        text.push(match escape.next()? {
            sign @ ('"' | '\\' | '/') => sign,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            _ => return numbered(inner),
        });
        rest = escape.as_str();
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// With escapes like `\u00e9`, of which two may make one character.
fn numbered(inner: &str) -> Option<Text<'_>> {
    serde_json::from_str(&format!("\"{inner}\"")).ok().map(Cow::Owned)
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
    fn escapes_are_read_as_serde_json_reads_them() {
        for inner in [
            r"a\nb",
            r#"\"quoted\" \\ \/ \b\f\n\r\t"#,
            r"\u00e9\n",
            r"\n\ud83d\ude00 end",
            r"\ud800",
            r"\\u00e9",
            "\u{e9}\\t\u{1f600}",
        ] {
            let theirs = serde_json::from_str::<String>(&format!("\"{inner}\"")).ok();
            assert_eq!(slow(inner).map(Cow::into_owned), theirs, "{inner}");
        }
    }

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
