//! JSON text as a tree that borrows from it, made for writing it back in one canonical way.
//!
//! Not `serde_json::Value`: that allocates for each key and reads numbers into floats; here a number stays as it is
//! written and a string without escapes is a piece of the text. All lists and maps lie in two vectors.

use std::borrow::Cow;

use crate::api::workflow::cursor::{Broken, Cursor, Quoted};

/// Containers within containers. Argo's own nest below 40; a plugin's may nest as its author likes.
pub const DEEPEST: usize = 256;

/// A value; lists and maps are ranges of the tree's vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Taken out: written nowhere.
    Gone,
    /// A number, `true`, `false` or `null` as it is written.
    Raw(&'a str),
    /// A string as it is between its quotes, and whether it has escapes.
    Text(&'a str, bool),
    List(Range),
    Map(Range),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    at: u32,
    len: u32,
}

pub type Member<'a> = (Cow<'a, str>, Value<'a>);

/// Why text is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTree {
    Broken,
    TooDeep,
    /// An escape that stands for half a character.
    HalfCharacter,
}

impl From<Broken> for NoTree {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

#[derive(Debug, Default)]
pub struct Tree<'a> {
    elements: Vec<Value<'a>>,
    members: Vec<Member<'a>>,
    /// Of the containers that are still open.
    open_elements: Vec<Value<'a>>,
    open_members: Vec<Member<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads one value. Keys listed in `metadata_skipped` are left out of the member `metadata` of the outermost map.
    pub fn read(&mut self, text: &'a str, metadata_skipped: &[&str]) -> Result<Value<'a>, NoTree> {
        let mut cursor = Cursor::new(text);
        let value = if cursor.take(b'{') {
            self.map(&mut cursor, 1, &[], Some(metadata_skipped))?
        } else {
            self.value(&mut cursor, 0)?
        };
        cursor.end()?;
        Ok(value)
    }

    fn value(&mut self, cursor: &mut Cursor<'a>, depth: usize) -> Result<Value<'a>, NoTree> {
        Ok(match cursor.peek() {
            b'"' => {
                let Quoted { inner, escaped } = cursor.string()?;
                Value::Text(inner, escaped)
            }
            b'{' if depth < DEEPEST => {
                cursor.expect(b'{')?;
                self.map(cursor, depth + 1, &[], None)?
            }
            b'[' if depth < DEEPEST => {
                cursor.expect(b'[')?;
                self.list(cursor, depth + 1)?
            }
            b'{' | b'[' => return Err(NoTree::TooDeep),
            _ => Value::Raw(cursor.value()?),
        })
    }

    fn list(&mut self, cursor: &mut Cursor<'a>, depth: usize) -> Result<Value<'a>, NoTree> {
        let base = self.open_elements.len();
        if !cursor.take(b']') {
            loop {
                let value = self.value(cursor, depth)?;
                self.open_elements.push(value);
                if !cursor.take(b',') {
                    break;
                }
            }
            cursor.expect(b']')?;
        }
        let at = self.elements.len();
        self.elements.extend(self.open_elements.drain(base..));
        Ok(Value::List(range(at, self.elements.len())))
    }

    fn map(
        &mut self,
        cursor: &mut Cursor<'a>,
        depth: usize,
        skipped: &[&str],
        outermost: Option<&[&str]>,
    ) -> Result<Value<'a>, NoTree> {
        let base = self.open_members.len();
        let mut sorted = true;
        if !cursor.take(b'}') {
            loop {
                let key = unescape(cursor.key()?)?;
                if skipped.contains(&key.as_ref()) {
                    cursor.peek();
                    cursor.skip()?;
                } else {
                    let value = match outermost {
                        Some(skipped) if key == "metadata" && cursor.take(b'{') => {
                            self.map(cursor, depth + 1, skipped, None)?
                        }
                        _ => self.value(cursor, depth)?,
                    };
                    sorted &= self.open_members.get(base..).and_then(<[_]>::last).is_none_or(|(last, _)| *last < key);
                    self.open_members.push((key, value));
                }
                if !cursor.take(b',') {
                    break;
                }
            }
            cursor.expect(b'}')?;
        }
        let at = self.members.len();
        if sorted {
            self.members.extend(self.open_members.drain(base..));
        } else {
            // Servers write sorted keys. Of the same key twice the last counts, as for every other reader.
            let mut own: Vec<Member<'a>> = self.open_members.drain(base..).collect();
            own.sort_by(|a, b| a.0.cmp(&b.0));
            for member in own {
                match self.members.get_mut(at..).and_then(<[_]>::last_mut) {
                    Some(last) if last.0 == member.0 => last.1 = member.1,
                    _ => self.members.push(member),
                }
            }
        }
        Ok(Value::Map(range(at, self.members.len())))
    }

    pub fn elements(&self, value: Value<'a>) -> &[Value<'a>] {
        let Value::List(range) = value else { return &[] };
        self.elements.get(range.bounds()).unwrap_or_default()
    }

    pub fn members(&self, value: Value<'a>) -> &[Member<'a>] {
        let Value::Map(range) = value else { return &[] };
        self.members.get(range.bounds()).unwrap_or_default()
    }

    /// The member of a map; `None` for one that isn't there, was taken out or is null.
    pub fn get(&self, map: Value<'a>, key: &str) -> Option<Value<'a>> {
        let members = self.members(map);
        let at = members.binary_search_by(|(own, _)| own.as_ref().cmp(key)).ok()?;
        let value = members.get(at)?.1;
        if matches!(value, Value::Gone | Value::Raw("null")) { None } else { Some(value) }
    }

    /// Follows keys from map to map.
    pub fn at(&self, from: Value<'a>, path: &[&str]) -> Option<Value<'a>> {
        path.iter().try_fold(from, |value, key| self.get(value, key))
    }

    /// The text of the string at a path.
    pub fn text(&self, from: Value<'a>, path: &[&str]) -> Option<Cow<'a, str>> {
        self.at(from, path).and_then(text)
    }

    /// Takes members out of a map; `true` when none is left.
    pub fn take_out(&mut self, map: Value<'a>, which: impl Fn(&str) -> bool) -> bool {
        let Value::Map(range) = map else { return false };
        let members = self.members.get_mut(range.bounds()).unwrap_or_default();
        for (key, value) in &mut *members {
            if which(key) {
                *value = Value::Gone;
            }
        }
        members.iter().all(|(_, value)| *value == Value::Gone)
    }

    /// The same map with a member set.
    pub fn with(&mut self, map: Value<'a>, key: &'a str, value: Value<'a>) -> Value<'a> {
        let Value::Map(old) = map else { return map };
        let place =
            self.members.get(old.bounds()).unwrap_or_default().binary_search_by(|(own, _)| own.as_ref().cmp(key));
        match place {
            Ok(place) => {
                if let Some(member) = self.members.get_mut(old.bounds()).and_then(|m| m.get_mut(place)) {
                    member.1 = value;
                }
                map
            }
            Err(place) => {
                let mut own = self.members.get(old.bounds()).unwrap_or_default().to_vec();
                own.insert(place, (Cow::Borrowed(key), value));
                let at = self.members.len();
                self.members.extend(own);
                Value::Map(range(at, self.members.len()))
            }
        }
    }
}

impl Range {
    fn bounds(self) -> std::ops::Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

/// Texts are far below 4 GiB: more members than bytes there can't be.
fn range(from: usize, to: usize) -> Range {
    Range { at: u32::try_from(from).unwrap_or(u32::MAX), len: u32::try_from(to - from).unwrap_or(0) }
}

/// The text a string stands for, a number or word as it is written.
pub fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(inner, escaped) => unescape(Quoted { inner, escaped }).ok(),
        Value::Raw(raw) if raw != "null" => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

fn unescape(quoted: Quoted<'_>) -> Result<Cow<'_, str>, NoTree> {
    if quoted.escaped {
        // The cursor has read the escapes: what is wrong now is a surrogate that stands alone.
        serde_json::from_str(&format!("\"{}\"", quoted.inner)).map(Cow::Owned).map_err(|_| NoTree::HalfCharacter)
    } else {
        Ok(Cow::Borrowed(quoted.inner))
    }
}

/// Writes a string with its quotes: only quotes, backslashes and control characters are escaped, in the shortest form.
///
/// # Errors
/// An escape stands for half a character.
pub fn write_text(out: &mut Vec<u8>, inner: &str, escaped: bool) -> Result<(), NoTree> {
    out.push(b'"');
    let mut rest = inner.as_bytes();
    // Without escapes it has nothing that would need one.
    while escaped && let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = write_escape(out, from)?;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    Ok(())
}

/// Writes the escape that `from` begins with in its canonical form, and returns what is behind it.
fn write_escape<'a>(out: &mut Vec<u8>, from: &'a [u8]) -> Result<&'a [u8], NoTree> {
    match from {
        [b'\\', b'/', rest @ ..] => {
            out.push(b'/');
            Ok(rest)
        }
        [b'\\', b'u', rest @ ..] => {
            let (first, rest) = unit(rest)?;
            let second = match rest {
                [b'\\', b'u', low @ ..] if (0xd800..0xdc00).contains(&first) => Some(unit(low)?),
                _ => None,
            };
            let (code, rest) = match second {
                Some((low @ 0xdc00..0xe000, rest)) => (0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00), rest),
                _ => (first, rest),
            };
            let character = char::from_u32(code).ok_or(NoTree::HalfCharacter)?;
            write_escaped(out, character.encode_utf8(&mut [0; 4]));
            Ok(rest)
        }
        // The short ones are canonical as they are; the cursor has let no others pass.
        [slash, byte, rest @ ..] => {
            out.extend_from_slice(&[*slash, *byte]);
            Ok(rest)
        }
        _ => Err(NoTree::Broken),
    }
}

/// Four hexadecimal digits.
fn unit(digits: &[u8]) -> Result<(u32, &[u8]), NoTree> {
    let (four, rest) = digits.split_at_checked(4).ok_or(NoTree::Broken)?;
    let text = std::str::from_utf8(four).map_err(|_| NoTree::Broken)?;
    u32::from_str_radix(text, 16).map(|unit| (unit, rest)).map_err(|_| NoTree::Broken)
}

/// Writes what stands between the quotes of a string.
pub fn write_escaped(out: &mut Vec<u8>, plain: &str) {
    let mut rest = plain.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some((byte, after)) = from.split_first() else { return };
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            _ => 0,
        };
        if short == 0 {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}
