//! The index of a run's artifacts: where they are, never how to get in.

use serde::{Deserialize, Serialize};

use super::json::{Tree, Value};

/// An index has at most so many; the archive itself has them all.
const MOST: usize = 2_000;

/// Kinds of repositories, and what says where in one an artifact is.
const KINDS: &[(&str, &[&str], &str)] = &[
    ("s3", &["endpoint", "bucket"], "key"),
    ("gcs", &["bucket"], "key"),
    ("azure", &["endpoint", "container"], "blob"),
    ("oss", &["endpoint", "bucket"], "key"),
    ("hdfs", &[], "path"),
    ("http", &[], "url"),
    ("artifactory", &[], "url"),
    ("git", &[], "repo"),
];

/// One artifact of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    pub node: String,
    /// `input` or `output`.
    pub direction: String,
    pub name: String,
    /// `s3`, `gcs`, ...
    pub kind: String,
    /// Endpoint and bucket, where the artifact or the run names them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    pub key: String,
    /// Argo has deleted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Lists the artifacts of all nodes.
pub fn index<'a>(tree: &Tree<'a>, root: Value<'a>) -> Vec<Artifact> {
    let mut found = Vec::new();
    let repository = tree.at(root, &["status", "artifactRepositoryRef", "artifactRepository"]);
    for (node, value) in tree.at(root, &["status", "nodes"]).map_or(&[][..], |n| tree.members(n)) {
        for (direction, side) in [("input", "inputs"), ("output", "outputs")] {
            for artifact in tree.at(*value, &[side, "artifacts"]).map_or(&[][..], |l| tree.elements(l)) {
                if found.len() >= MOST {
                    return found;
                }
                let Some((kind, repository, key)) = place(tree, *artifact, repository) else { continue };
                let name = tree.text(*artifact, &["name"]).unwrap_or_default().into_owned();
                let deleted = tree.get(*artifact, "deleted") == Some(Value::Raw("true"));
                let (node, direction) = (node.clone().into_owned(), direction.to_owned());
                found.push(Artifact { node, direction, name, kind, repository, key, deleted });
            }
        }
    }
    found
}

fn place<'a>(tree: &Tree<'a>, artifact: Value<'a>, default: Option<Value<'a>>) -> Option<(String, String, String)> {
    for (kind, repository, key) in KINDS {
        let Some(own) = tree.get(artifact, kind) else { continue };
        let Some(key) = tree.text(own, &[key]) else { continue };
        let shared = default.and_then(|d| tree.get(d, kind));
        let part = |name: &str| tree.text(own, &[name]).or_else(|| tree.text(shared?, &[name]));
        let parts: Vec<_> = repository.iter().filter_map(|name| part(name)).filter(|p| !p.is_empty()).collect();
        return Some(((*kind).to_owned(), parts.join("/"), without_secrets(&key)));
    }
    None
}

/// An address without user, password and query, which may be what lets one in.
fn without_secrets(key: &str) -> String {
    let Some((scheme, rest)) = key.split_once("://") else { return key.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit('@').next().unwrap_or_default();
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_of(text: &str) -> Vec<Artifact> {
        let mut tree = Tree::default();
        let root = tree.read(text, &[]).unwrap();
        index(&tree, root)
    }

    #[test]
    fn artifacts_are_found_with_the_bucket_of_the_run() {
        let found = index_of(
            r#"{"status":{"artifactRepositoryRef":{"artifactRepository":{"s3":{"bucket":"b","endpoint":"minio:9000",
            "accessKeySecret":{"name":"s","key":"k"}}}},"nodes":{"n-1":{"inputs":{"artifacts":[{"name":"code","git":
            {"repo":"https://me:pw@git.example/a/b.git?x=y"}}]},"outputs":{"artifacts":[{"name":"main-logs","s3":{"key":
            "a/main.log"}},{"name":"own","deleted":true,"s3":{"key":"k","bucket":"other"}},{"name":"raw","raw":{"data":"x"}}]}}}}}"#,
        );
        let short: Vec<_> = found
            .iter()
            .map(|a| {
                format!("{} {} {} {} {} {} {}", a.node, a.direction, a.name, a.kind, a.repository, a.key, a.deleted)
            })
            .collect();
        assert_eq!(
            short,
            [
                "n-1 input code git  https://git.example/a/b.git false",
                "n-1 output main-logs s3 minio:9000/b a/main.log false",
                "n-1 output own s3 minio:9000/other k true",
            ]
        );
    }

    #[test]
    fn an_address_keeps_nothing_that_lets_one_in() {
        for (from, to) in [
            ("a/b@c?d", "a/b@c?d"),
            ("https://u:p@h/p?sig=1#f", "https://h/p"),
            ("https://u@h", "https://h"),
            ("ssh://git@h:22/r", "ssh://h:22/r"),
        ] {
            assert_eq!(without_secrets(from), to);
        }
    }

    #[test]
    fn odd_shapes_are_passed_over_and_the_index_is_bounded() {
        for odd in ["{}", "[]", r#"{"status":{"nodes":{"a":{"outputs":{"artifacts":[1,{},{"s3":[]},{"s3":{}}]}}}}}"#] {
            assert!(index_of(odd).is_empty(), "{odd}");
        }
        let one = r#"{"name":"a","s3":{"key":"k"}}"#;
        let many = format!(
            r#"{{"status":{{"nodes":{{"a":{{"outputs":{{"artifacts":[{}]}}}}}}}}}}"#,
            vec![one; 3000].join(",")
        );
        assert_eq!(index_of(&many).len(), MOST);
    }
}
