//! Percent-encoding of what goes into a URL or a header: everything but the unreserved characters of RFC 3986.

use std::fmt::Write as _;

/// `text` as a value of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn only_what_is_unreserved_stays() {
        assert_eq!(encode("a in (b, c)=d/ä"), "a%20in%20%28b%2C%20c%29%3Dd%2F%C3%A4");
        assert_eq!(encode("Az09-_.~+&%"), "Az09-_.~%2B%26%25");
    }
}
