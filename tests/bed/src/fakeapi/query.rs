//! What a request asks for: the resource of its path, the options of its query.

use std::time::Duration;

use super::failure::Failure;
use super::kinds::{self, KINDS};
use super::selector::Selector;

/// The resource a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index in [`KINDS`].
    pub kind: usize,
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// `status` or empty.
    pub sub: String,
}

/// List and watch options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pub watch: bool,
    pub limit: usize,
    pub resume: String,
    pub resource_version: String,
    pub version_match: String,
    pub send_initial_events: Option<bool>,
    pub bookmarks: bool,
    pub timeout: Option<Duration>,
    pub selector: Selector,
}

impl Target {
    /// `None`: no resource of this server.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
                (Some(*namespace), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, sub) = match rest {
            [plural] => (*plural, None, ""),
            [plural, name] => (*plural, Some(*name), ""),
            [plural, name, sub] => (*plural, Some(*name), *sub),
            _ => return None,
        };
        let kind = kinds::find(group, version, plural)?;
        if !(sub.is_empty() || sub == "status" && KINDS[kind].status)
            || namespace.is_some() != KINDS[kind].namespaced && name.is_some()
        {
            return None;
        }
        Some(Self { kind, namespace: namespace.map(str::to_owned), name: name.map(str::to_owned), sub: sub.to_owned() })
    }

    /// `workflowincidents/status`: as the audit log names it.
    pub fn resource(&self) -> String {
        let plural = KINDS[self.kind].plural;
        if self.sub.is_empty() { plural.to_owned() } else { format!("{plural}/{}", self.sub) }
    }
}

impl Params {
    pub fn parse(query: &str, target: &Target) -> Result<Self, Failure> {
        let mut params = Self::default();
        let (mut labels, mut fields) = (String::new(), String::new());
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = decode(value);
            match key {
                "watch" => params.watch = truth(&value),
                "limit" => params.limit = value.parse().map_err(|_| Failure::bad_request("limit is not a number"))?,
                "continue" => params.resume = value,
                "resourceVersion" => params.resource_version = value,
                "resourceVersionMatch" => params.version_match = value,
                "sendInitialEvents" => params.send_initial_events = Some(truth(&value)),
                "allowWatchBookmarks" => params.bookmarks = truth(&value),
                "timeoutSeconds" => params.timeout = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs),
                "labelSelector" => labels = value,
                "fieldSelector" => fields = value,
                _ => {}
            }
        }
        params.selector = Selector::parse(target.namespace.as_deref(), &labels, &fields)?;
        // A watch or list of a single path is one by name.
        params.selector.name = params.selector.name.or_else(|| target.name.clone());
        Ok(params)
    }

    /// The resourceVersion as a number; 0 when none is given.
    pub fn version(&self) -> Result<u64, Failure> {
        if self.resource_version.is_empty() {
            return Ok(0);
        }
        self.resource_version.parse().map_err(|_| {
            Failure::bad_request(format!(
                "Invalid value: \"{}\": strconv.ParseUint: invalid syntax",
                self.resource_version
            ))
        })
    }
}

fn truth(value: &str) -> bool {
    matches!(value, "true" | "1")
}

/// Percent decoding; `+` is a space.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let code = std::str::from_utf8(&hex).ok().and_then(|h| u8::from_str_radix(h, 16).ok());
                out.push(code.unwrap_or(b'%'));
            }
            b => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths() {
        let t = Target::parse("/apis/argoproj.io/v1alpha1/namespaces/etl/workflows/a").unwrap();
        assert_eq!((t.kind, t.namespace.as_deref(), t.name.as_deref()), (kinds::WORKFLOWS, Some("etl"), Some("a")));
        let t = Target::parse("/api/v1/namespaces/etl/status").unwrap();
        assert_eq!(
            (KINDS[t.kind].plural, t.name.as_deref(), t.resource().as_str()),
            ("namespaces", Some("etl"), "namespaces/status")
        );
        assert!(Target::parse("/apis/argoproj.io/v1alpha1/workflows").unwrap().namespace.is_none());
        for no in [
            "/apis/argoproj.io/v1alpha1/nothing",
            "/api/v1",
            "/apis/argoproj.io/v1alpha1/workflows/a",
            "/apis/argoproj.io/v1alpha1/namespaces/n/workflows/a/status",
        ] {
            assert!(Target::parse(no).is_none(), "{no}");
        }
    }

    #[test]
    fn queries() {
        let target = Target::parse("/apis/argoproj.io/v1alpha1/workflows").unwrap();
        let p = Params::parse(
            "watch=1&limit=5&labelSelector=a%3Db%2C%21c&timeoutSeconds=3&sendInitialEvents=true",
            &target,
        )
        .unwrap();
        assert!(p.watch && p.limit == 5 && p.send_initial_events == Some(true) && p.selector.narrow());
        assert_eq!(p.timeout, Some(Duration::from_secs(3)));
        assert!(Params::parse("limit=x", &target).is_err());
    }
}
