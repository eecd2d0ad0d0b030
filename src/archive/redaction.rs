//! What is blacked out in an archive: values of environment variables and parameters whose names say that they are
//! secret. The rules are part of the manifest, so that the digest of a live run can be computed with those that made
//! its archive.

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

/// What stands in an archive where a value was redacted.
pub const MARKER: &str = "[redacted by unstick]";

/// Parts of names, written without separators, that make a name look secret.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "credential",
    "connectionstring",
    "webhookurl",
];

/// Rules as they are written down. What a later version redacts by default changes nothing for an archive of today:
/// the words in force are listed in its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// A name that has one of these in it, whatever its case and with or without `-`, `_` and `.`.
    #[serde(default)]
    pub words: Vec<String>,
    /// Exact names.
    #[serde(default)]
    pub names: Vec<String>,
    /// Regular expressions, found anywhere in a name, whatever its case.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Exact names that are never redacted.
    #[serde(default)]
    pub except: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            words: WORDS.iter().map(|w| (*w).to_owned()).collect(),
            names: Vec::new(),
            patterns: Vec::new(),
            except: Vec::new(),
        }
    }
}

/// A pattern that is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a redaction pattern can't be used: {0}")]
pub struct BadPattern(String);

/// Rules ready for use.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    rules: Rules,
    /// Of the user's own; most have none.
    patterns: Option<RegexSet>,
}

impl Redaction {
    /// # Errors
    /// A pattern is no regular expression, or too large a one.
    pub fn new(rules: Rules) -> Result<Self, BadPattern> {
        if rules.patterns.is_empty() {
            return Ok(Self { rules, patterns: None });
        }
        let patterns = RegexSetBuilder::new(&rules.patterns)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build()
            .map_err(|e| BadPattern(e.to_string()))?;
        Ok(Self { rules, patterns: Some(patterns) })
    }

    /// Redacts nothing.
    pub fn none() -> Self {
        let rules = Rules { words: Vec::new(), names: Vec::new(), patterns: Vec::new(), except: Vec::new() };
        Self { rules, patterns: None }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether any rule is there.
    pub fn in_force(&self) -> bool {
        !self.rules.words.is_empty() || !self.rules.names.is_empty() || self.patterns.is_some()
    }

    /// Whether the value of what has this name is redacted.
    pub fn hides(&self, name: &str) -> bool {
        if self.rules.except.iter().any(|n| n == name) {
            return false;
        }
        self.has_word(name)
            || self.rules.names.iter().any(|n| n == name)
            || self.patterns.as_ref().is_some_and(|p| p.is_match(name.as_bytes()))
    }

    fn has_word(&self, name: &str) -> bool {
        if self.rules.words.is_empty() {
            return false;
        }
        // Names are short: most need no memory.
        let mut bare = [0_u8; 64];
        let mut length = 0;
        for byte in name.bytes().filter(|b| !matches!(b, b'-' | b'_' | b'.' | b' ')) {
            let Some(slot) = bare.get_mut(length) else { return self.has_word_long(name) };
            *slot = byte.to_ascii_lowercase();
            length += 1;
        }
        self.is_word_in(bare.get(..length).unwrap_or_default())
    }

    #[cold]
    fn has_word_long(&self, name: &str) -> bool {
        let bare: Vec<u8> =
            name.bytes().filter(|b| !matches!(b, b'-' | b'_' | b'.' | b' ')).map(|b| b.to_ascii_lowercase()).collect();
        self.is_word_in(&bare)
    }

    fn is_word_in(&self, bare: &[u8]) -> bool {
        // Names and words are short: to prepare a search would cost more than to look everywhere.
        let begins =
            |rest: &[u8], word: &str| rest.first() == word.as_bytes().first() && rest.starts_with(word.as_bytes());
        (0..bare.len()).any(|at| {
            let rest = bare.get(at..).unwrap_or_default();
            self.rules.words.iter().any(|word| begins(rest, word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_secret_are_found_in_every_spelling() {
        let rules = Redaction::default();
        for name in [
            "PASSWORD",
            "db-password",
            "dbPasswd",
            "API_KEY",
            "api-key",
            "apikey",
            "Api.Key",
            "GITHUB_TOKEN",
            "client_secret",
            "AWS_SECRET_ACCESS_KEY",
            "aws-access-key-id",
            "private_key",
            "PRIVATE-KEY-PEM",
            "googleCredentials",
        ] {
            assert!(rules.hides(name), "{name}");
        }
        let long = format!("{}_api_key", "x".repeat(100));
        assert!(rules.hides(&long) && !rules.hides(&long.replace("key", "")));
        for name in ["message", "image", "key", "KEYBOARD", "region", "passes", "", "pass word count".get(..4).unwrap()]
        {
            assert!(!rules.hides(name), "{name}");
        }
    }

    #[test]
    fn own_names_and_patterns_add_and_exceptions_win() {
        let rules = Redaction::new(Rules {
            names: vec!["iban".into()],
            patterns: vec!["^card-".into(), "ssn$".into()],
            except: vec!["max-tokens".into(), "card-type".into()],
            ..Rules::default()
        })
        .unwrap();
        for name in ["iban", "card-number", "CARD-holder", "customer_SSN", "token", "some-max-tokens"] {
            assert!(rules.hides(name), "{name}");
        }
        for name in ["IBAN", "iban2", "my-card-x", "ssn2", "max-tokens", "card-type"] {
            assert!(!rules.hides(name), "{name}");
        }
        assert!(rules.in_force() && !Redaction::none().in_force() && !Redaction::none().hides("password"));
    }

    #[test]
    fn what_is_no_pattern_is_an_error_not_a_rule_that_never_fits() {
        for bad in ["(", "a{1000000}{1000}"] {
            assert!(Redaction::new(Rules { patterns: vec![bad.into()], ..Rules::default() }).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_rules_are_written_down_in_full() {
        let text = serde_json::to_string(&Rules::default()).unwrap();
        assert!(text.contains("\"password\"") && text.contains("\"apikey\""), "{text}");
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), Rules::default());
        // An old manifest with fewer words redacts fewer.
        let old: Rules = serde_json::from_str("{\"words\":[\"password\"]}").unwrap();
        assert!(!Redaction::new(old).unwrap().hides("token"));
    }
}
