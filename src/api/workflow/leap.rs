//! Over an object or a list to its end, 64 bytes at a time.
//!
//! Most of what the API server sends is of no interest (a quarter of a Workflow are managedFields). Of that only strings
//! and brackets are followed: it may be wrong JSON inside without anybody noticing, but where it ends in right JSON is
//! found exactly. How the masks are made is known from simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per
//! Second", 2019).

use wide::u8x16;

/// Bytes looked at together: one for each bit of a mask.
const BLOCK: usize = 64;

/// One bit for each byte that is of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
}

/// Where the object or list that begins at `at` is over: the place behind its last bracket; `None` when it never is.
pub(super) fn container_end(bytes: &[u8], at: usize) -> Option<usize> {
    // Its own bracket is open, and behind us.
    let (mut depth, mut state, mut at) = (1_u32, Strings::default(), at + 1);
    loop {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let masks = if let Some(block) = rest.first_chunk::<BLOCK>() {
            masks(block)
        } else {
            let mut block = [b' '; BLOCK];
            block.get_mut(..rest.len())?.copy_from_slice(rest);
            masks(&block)
        };
        let text = state.inside(masks.quotes, masks.backslashes);
        let (opens, closes) = (masks.opens & !text, masks.closes & !text);
        // Most are those of empty objects, side by side: no depth is reached by them, and none left.
        let empty = closes & opens << 1;
        let opens = opens & !(empty >> 1);
        let mut marks = opens | closes & !empty;
        while marks != 0 {
            let bit = marks & marks.wrapping_neg();
            marks ^= bit;
            if opens & bit != 0 {
                depth = depth.checked_add(1)?;
            } else {
                depth -= 1;
                if depth == 0 {
                    return Some(at + bit.trailing_zeros() as usize + 1);
                }
            }
        }
        at += BLOCK;
    }
}

/// Whether a block begins inside of a string, and behind a backslash that takes its first byte.
#[derive(Default)]
struct Strings {
    inside: u64,
    escaped: u64,
}

impl Strings {
    /// The bytes that belong to strings: their opening quotes, not their closing ones.
    fn inside(&mut self, quotes: u64, backslashes: u64) -> u64 {
        let quotes = quotes & !self.escapes(backslashes);
        let mut text = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            text ^= text << shift;
        }
        text ^= self.inside;
        // All ones when the last byte belongs to one.
        self.inside = (text >> 63).wrapping_neg();
        text
    }

    /// The bytes that a backslash takes: each second of a run of backslashes, and the byte behind an odd run.
    fn escapes(&mut self, backslashes: u64) -> u64 {
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let (mut escaped, mut taken, mut left) = (self.escaped, self.escaped, backslashes & !self.escaped);
        self.escaped = 0;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            let next = bit << 1;
            if next == 0 {
                self.escaped = 1;
            }
            taken |= bit | next;
            escaped |= next;
            left &= !taken;
        }
        escaped
    }
}

fn masks(block: &[u8; BLOCK]) -> Masks {
    let mut masks = Masks { quotes: 0, backslashes: 0, opens: 0, closes: 0 };
    for (nth, part) in block.as_chunks::<16>().0.iter().enumerate() {
        let part = u8x16::new(*part);
        // Brackets and braces differ in this bit alone, and no other byte becomes one by it.
        let folded = part | u8x16::splat(0x20);
        let found = |part: u8x16, byte| u64::from(part.simd_eq(u8x16::splat(byte)).to_bitmask()) << (nth * 16);
        masks.quotes |= found(part, b'"');
        masks.backslashes |= found(part, b'\\');
        masks.opens |= found(folded, b'{');
        masks.closes |= found(folded, b'}');
    }
    masks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn masks_by_byte(block: &[u8; BLOCK]) -> Masks {
        let of = |wanted: fn(u8) -> bool| {
            block.iter().enumerate().fold(0, |mask, (nth, byte)| mask | u64::from(wanted(*byte)) << nth)
        };
        Masks {
            quotes: of(|b| b == b'"'),
            backslashes: of(|b| b == b'\\'),
            opens: of(|b| matches!(b, b'{' | b'[')),
            closes: of(|b| matches!(b, b'}' | b']')),
        }
    }

    #[test]
    fn masks_are_those_of_looking_at_each_byte() {
        let mut block = [0; BLOCK];
        for first in 0..=255_u8 {
            for (nth, byte) in block.iter_mut().enumerate() {
                *byte = first.wrapping_add(u8::try_from(nth * 37 % 256).unwrap());
            }
            assert_eq!(masks(&block), masks_by_byte(&block), "{first}");
        }
    }

    /// Of text with the marks that matter, at every place of a block.
    #[test]
    fn it_ends_where_serde_json_says() {
        let parts = [
            "{}",
            "[]",
            "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
            "{\"}\":\"{[\\\"}]\"}",
            "[\"\\\\\",\"\\\\\\\"]\",\"\\\\\\\\\"]",
            "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}}}",
        ];
        for part in parts {
            for before in 0..130 {
                let text = format!("[{}\"{}\",{part}]", " ".repeat(before / 2), "x".repeat(before));
                let tail = format!("{text},\"more\":{{}}}}");
                assert_eq!(container_end(tail.as_bytes(), 0), Some(text.len()), "{text}");
                assert_eq!(container_end(&text.as_bytes()[..text.len() - 1], 0), None, "{text}");
            }
        }
    }

    #[test]
    fn backslashes_count_across_blocks() {
        for run in 1..140_usize {
            for before in [0, 1, 61, 62, 63] {
                let text = format!("[\"{}{}\"]", "x".repeat(before), "\\".repeat(run));
                let whole = run % 2 == 0;
                assert_eq!(container_end(text.as_bytes(), 0), whole.then_some(text.len()), "{run} after {before}");
            }
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            "[\\\\\"\\[\\]{}a-z\\u{1F600}]{0,70}".prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(6, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[\\\\\"{}a-z]{0,12}", inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_ends_where_serde_json_says(value in json(), before in 0..64_usize) {
            let text = format!("{}{}", " ".repeat(before), serde_json::json!([value]));
            let raw: &RawValue = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(container_end(format!("{text}]}}\"").as_bytes(), before), Some(before + raw.get().len()));
        }
    }
}
