//! Which calls a rule is for: by proxy, method, path, query, and by count.

use std::ops::Range;

use super::record::Call;

/// Matches calls; what isn't said matches all. Counting begins with the rule.
#[derive(Clone, Debug)]
pub struct Which {
    proxy: Option<String>,
    method: Option<String>,
    path: String,
    query: Option<String>,
    no_query: Option<String>,
    header: Option<String>,
    /// Of the calls that match otherwise, counted from 0.
    turns: Range<usize>,
}

impl Which {
    /// Every call.
    pub fn any() -> Self {
        Self {
            proxy: None,
            method: None,
            path: "*".into(),
            query: None,
            no_query: None,
            header: None,
            turns: 0..usize::MAX,
        }
    }

    /// `path` is compared with the decoded path without the query; `*` in it stands for anything, `/` included.
    pub fn of(method: &str, path: &str) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), ..Self::any() }
    }

    pub fn get(path: &str) -> Self {
        Self::of("GET", path)
    }

    pub fn head(path: &str) -> Self {
        Self::of("HEAD", path)
    }

    pub fn put(path: &str) -> Self {
        Self::of("PUT", path)
    }

    pub fn delete(path: &str) -> Self {
        Self::of("DELETE", path)
    }

    pub fn patch(path: &str) -> Self {
        Self::of("PATCH", path)
    }

    /// Only calls that came in by the proxy of that name.
    #[must_use]
    pub fn by(mut self, proxy: &str) -> Self {
        self.proxy = Some(proxy.to_owned());
        self
    }

    /// Only calls whose query has this text.
    #[must_use]
    pub fn with_query(mut self, text: &str) -> Self {
        self.query = Some(text.to_owned());
        self
    }

    /// Only calls whose query doesn't have this text.
    #[must_use]
    pub fn without_query(mut self, text: &str) -> Self {
        self.no_query = Some(text.to_owned());
        self
    }

    /// Only calls that have this header; lower case.
    #[must_use]
    pub fn with_header(mut self, name: &str) -> Self {
        self.header = Some(name.to_owned());
        self
    }

    /// Only the n-th such call, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.turns = n.saturating_sub(1)..n;
        self
    }

    /// The first n such calls.
    #[must_use]
    pub fn first(mut self, n: usize) -> Self {
        self.turns = 0..n;
        self
    }

    /// All such calls but the first k.
    #[must_use]
    pub fn after(mut self, k: usize) -> Self {
        self.turns = k..usize::MAX;
        self
    }

    /// All but the count.
    pub(super) fn matches(&self, call: &Call) -> bool {
        self.proxy.as_ref().is_none_or(|proxy| *proxy == call.proxy)
            && self.method.as_ref().is_none_or(|method| *method == call.method)
            && like(&self.path, &call.path)
            && self.query.as_ref().is_none_or(|text| call.query.contains(text))
            && self.header.as_ref().is_none_or(|name| call.headers.contains(name))
            && !self.no_query.as_ref().is_some_and(|text| call.query.contains(text))
    }

    /// `before` matching calls have been there.
    pub(super) fn is_turn(&self, before: usize) -> bool {
        self.turns.contains(&before)
    }
}

/// `*` in the pattern stands for any text.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// `%2F` and the like made plain; what is no escape stays as it is.
pub(super) fn decoded(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "/a/b"),
            ("/a", "/a"),
            ("/b/*.json.gz", "/b/w/ns/x.json.gz"),
            ("/b/*/x*.gz", "/b/w/ns/x1.gz"),
            ("*x*", "axb"),
            ("a*a", "aa"),
        ] {
            assert!(like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "/a"), ("/a", "/ab"), ("/b/*.gz", "/b/x.json"), ("a*a", "a"), ("*x*", "ab"), ("/b/*", "/a/c")]
        {
            assert!(!like(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(decoded("/b/run%20one%2F%C3%BC%zz%"), "/b/run one/ü%zz%");
    }

    #[test]
    fn counts() {
        let turns = |which: &Which| (0..5).filter(|n| which.is_turn(*n)).collect::<Vec<_>>();
        assert_eq!(turns(&Which::any().nth(2)), [1]);
        assert_eq!(turns(&Which::any().first(2)), [0, 1]);
        assert_eq!(turns(&Which::any().after(3)), [3, 4]);
        assert_eq!(turns(&Which::any()), [0, 1, 2, 3, 4]);
    }
}
