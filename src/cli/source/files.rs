//! Saved objects: JSON (single, lists, one after the other) or YAML of one or several documents.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Head, Scope};
use crate::api::selector::Selector;

/// Most bytes taken from one file or stdin.
const LIMIT: u64 = 2 << 30;

/// Saved objects, read.
pub struct Saved(Vec<String>);

impl Saved {
    /// Reads files, in their order.
    pub fn read(files: &[PathBuf], stdin: &mut dyn Read) -> anyhow::Result<Self> {
        let mut texts = Vec::new();
        for path in files {
            let text = read(path, stdin)?;
            texts.extend(documents(text).with_context(|| path.display().to_string())?);
        }
        Ok(Self(texts))
    }

    /// Each of them with its head, in their order.
    pub fn objects(&self) -> Vec<(Head, &str)> {
        self.0.iter().flat_map(|text| objects(text)).collect()
    }
}

/// Whether a saved workflow is asked for.
pub fn is_asked_for(scope: &Scope, selector: &Selector, head: &Head) -> bool {
    scope.namespace.as_ref().is_none_or(|n| *n == head.namespace) && selector.matches_map(&head.labels)
}

/// Reads a file, or `stdin` for `-`.
pub fn read(path: &Path, stdin: &mut dyn Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let shown = path.display();
    let read = if path == Path::new("-") {
        stdin.take(LIMIT).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("can't open {shown}"))?;
        file.take(LIMIT).read_to_string(&mut text)
    };
    read.with_context(|| format!("can't read {shown}"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The documents of a text, each as JSON; JSON is not rewritten, so that numbers stay as they are.
///
/// # Errors
/// Where the text is neither JSON nor YAML, with the place.
pub fn documents(text: String) -> anyhow::Result<Vec<String>> {
    if matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[')) {
        let json: Result<Vec<&RawValue>, _> =
            serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>().collect();
        match json {
            Ok(all) if all.len() == 1 => return Ok(vec![text]),
            Ok(all) => return Ok(all.into_iter().map(|r| r.get().to_owned()).collect()),
            // Flow style YAML starts alike; what has several lines of JSON gets the JSON error.
            Err(error) => {
                return yaml(&text).map_err(|_| anyhow::Error::new(error).context("neither JSON nor YAML"));
            }
        }
    }
    yaml(&text)
}

fn yaml(text: &str) -> anyhow::Result<Vec<String>> {
    let mut options = serde_saphyr::Options::default();
    // The file is the user's own and may hold thousands of objects; limits on aliases stay.
    options.budget = None;
    options.with_snippet = false;
    // `n` is a name, as in YAML 1.2; what kubectl writes has true and false.
    options.strict_booleans = true;
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).context("not YAML")?;
    Ok(values.iter().filter(|v| !v.is_null()).map(Value::to_string).collect())
}

#[derive(Deserialize)]
struct ListOf<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// The single objects of a document: itself, or the items of a list. The kind of a typed list's items is taken from
/// the list where they lack it.
pub fn objects(document: &str) -> Vec<(Head, &str)> {
    let with_head = |raw: &'_ RawValue, list_kind: &str| {
        let mut head = Head::read(raw.get());
        if head.kind.is_empty() {
            list_kind.strip_suffix("List").unwrap_or_default().clone_into(&mut head.kind);
        }
        head
    };
    if let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(document) {
        return all.into_iter().map(|r| (with_head(r, ""), r.get())).collect();
    }
    let head = Head::read(document);
    if head.kind.ends_with("List")
        && let Ok(list) = serde_json::from_str::<ListOf<'_>>(document)
    {
        return list.items.into_iter().map(|r| (with_head(r, &head.kind), r.get())).collect();
    }
    vec![(head, document)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(String, String)> {
        let all = documents(text.to_owned()).unwrap();
        all.iter().flat_map(|d| objects(d)).map(|(h, _)| (h.kind, h.name)).collect()
    }

    fn pair(kind: &str, name: &str) -> (String, String) {
        (kind.to_owned(), name.to_owned())
    }

    #[test]
    fn every_form_that_kubectl_writes() {
        let one = r#"{"kind":"Workflow","metadata":{"name":"a"}}"#;
        assert_eq!(kinds(one), [pair("Workflow", "a")]);
        assert_eq!(kinds(&format!("{one}\n{one}")), [pair("Workflow", "a"), pair("Workflow", "a")]);
        assert_eq!(kinds(&format!("[{one}]")), [pair("Workflow", "a")]);
        assert_eq!(kinds(&format!(r#"{{"kind":"List","items":[{one}]}}"#)), [pair("Workflow", "a")]);
        // kubectl get --raw: items of a typed list have no kind.
        let bare = r#"{"kind":"WorkflowList","items":[{"metadata":{"name":"b"}}]}"#;
        assert_eq!(kinds(bare), [pair("Workflow", "b")]);
        let yaml = "---\nkind: Workflow\nmetadata: {name: c}\n---\n---\nkind: List\nitems:\n- kind: Workflow\n  metadata: {name: d}\n";
        assert_eq!(kinds(yaml), [pair("Workflow", "c"), pair("Workflow", "d")]);
        assert_eq!(kinds("{kind: Workflow, metadata: {name: e}}"), [pair("Workflow", "e")]);
        assert_eq!(kinds(""), []);
    }

    #[test]
    fn numbers_stay_as_they_were() {
        let text = r#"{"kind":"Workflow","spec":{"n":1.50}}"#;
        assert_eq!(documents(text.to_owned()).unwrap(), [text]);
    }

    #[test]
    fn broken_text_is_refused_with_its_place() {
        let error = format!("{:#}", documents("{\"kind\": \"Workflow\",\n \"x\": [}".to_owned()).unwrap_err());
        assert!(error.contains("line 2"), "{error}");
        assert!(documents("a: [b\nc: d".to_owned()).is_err());
    }
}
