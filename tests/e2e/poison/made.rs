//! Workflows as nobody wants them, and two kinds as they should be: stuck and healthy.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// In every poisoned body, and never in a log.
pub const SECRET: &str = "hunter2-never-in-a-log";

/// Why a poisoned one is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Fields of a wrong type; how many is for the reader to say.
    Odd,
    Undecodable(&'static str),
    /// Strange to look at, and yet read in full.
    Not,
}

pub struct Made {
    pub workflow: Value,
    pub counted: Counted,
    /// It waits for an approval, and that is seen in spite of everything.
    pub stuck: bool,
}

fn ago(minutes: i64) -> String {
    let at = Timestamp::now() - SignedDuration::from_mins(minutes);
    Timestamp::from_second(at.as_second()).unwrap_or_default().to_string()
}

/// One that waits for an approval, for an hour.
pub fn stuck(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "arguments": {"parameters": [{"name": "x", "value": SECRET}]},
        "templates": [{"name": "main", "suspend": {}}]},
        "status": {"phase": "Running", "startedAt": ago(60), "progress": "0/1", "nodes": {name: gate(name)}}})
}

fn gate(id: &str) -> Value {
    json!({"id": id, "name": id, "displayName": "approve", "type": "Suspend", "phase": "Running", "templateName": "main",
           "startedAt": ago(60)})
}

/// One at work.
pub fn healthy(name: &str) -> Value {
    let mut workflow = stuck(name);
    workflow["status"]["nodes"][name]["type"] = json!("Pod");
    workflow
}

/// What a person does when approving `name`.
pub fn approval(name: &str) -> Value {
    json!({"status": {"nodes": {name: {"phase": "Succeeded", "finishedAt": ago(0)}}}})
}

/// A stuck one for each field of what Argo once wrote, which is of a wrong type; and one where all are.
pub fn wrong_types(fixture: &Value) -> Vec<Made> {
    const WRONG: [fn() -> Value; 5] = [
        || json!(SECRET),
        || json!(-1.5e300),
        || json!(true),
        || json!([SECRET, [1, {}], null]),
        || json!({SECRET: {SECRET: [SECRET]}}),
    ];
    let mut paths = Vec::new();
    for part in ["spec", "status"] {
        fields(&fixture[part], &format!("/{part}"), &mut paths);
    }
    let mut all: Vec<Value> = Vec::new();
    for (n, path) in paths.iter().enumerate() {
        let mut workflow = fixture.clone();
        // Another than it was, and not the same everywhere.
        let wrong = (0..WRONG.len())
            .map(|i| WRONG[(n + i) % WRONG.len()]())
            .find(|w| kind(w) != kind(&fixture.pointer(path).cloned().unwrap_or_default()));
        if let (Some(field), Some(wrong)) = (workflow.pointer_mut(path), wrong) {
            *field = wrong;
        }
        all.push(workflow);
    }
    let mut every = fixture.clone();
    for part in ["spec", "status"] {
        for field in every[part].as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
            *field = if field.is_object() { json!([SECRET]) } else { json!({SECRET: 1}) };
        }
    }
    all.push(every);
    let named = all.into_iter().enumerate().map(|(n, mut workflow)| {
        workflow["metadata"] = json!({"name": format!("wrong-{n}"), "annotations": {"note": SECRET}});
        Made { workflow, counted: Counted::Odd, stuck: false }
    });
    named.collect()
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

/// Paths of all fields, down to those of nodes and templates.
fn fields(value: &Value, path: &str, into: &mut Vec<String>) {
    let each: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
        _ => return,
    };
    for (key, value) in each {
        let path = format!("{path}/{key}");
        into.push(path.clone());
        fields(value, &path, into);
    }
}

/// `compressedNodes` that nobody can read, and one that would take all memory.
pub fn undecodable() -> Result<Vec<Made>> {
    let nodes = serde_json::to_vec(&json!({"n": gate("n"), SECRET: {}}))?;
    let whole = gzip(&mut nodes.as_slice())?;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let packed = [
        ("no-base64", format!("%%% {SECRET}"), "Corrupt"),
        ("cut", STANDARD.encode(&whole[..middle]), "Corrupt"),
        ("flipped", STANDARD.encode(&flipped), "Corrupt"),
        ("no-map", STANDARD.encode(gzip(&mut format!("[\"{SECRET}\", 1").as_bytes())?), "Corrupt"),
        ("no-text", STANDARD.encode(gzip(&mut [0xff_u8, 0xfe, 0x00].as_slice())?), "Corrupt"),
        ("no-codec", STANDARD.encode(format!("plain {SECRET}")), "Corrupt"),
        ("zstd-window", STANDARD.encode([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0, 0, 0, 0]), "TooLarge"),
        // A gigabyte in a megabyte.
        ("bomb", STANDARD.encode(gzip(&mut std::io::Read::take(std::io::repeat(b' '), 1 << 30))?), "TooLarge"),
    ];
    let made = packed.into_iter().map(|(name, packed, cause)| Made {
        workflow: compressed(&format!("packed-{name}"), &packed),
        counted: Counted::Undecodable(cause),
        stuck: false,
    });
    Ok(made.collect())
}

fn compressed(name: &str, packed: &str) -> Value {
    let mut workflow = stuck(name);
    workflow["status"]["nodes"] = Value::Null;
    workflow["status"]["compressedNodes"] = json!(packed);
    workflow
}

fn gzip(from: &mut impl std::io::Read) -> Result<Vec<u8>> {
    let mut into = GzEncoder::new(Vec::new(), Compression::new(9));
    std::io::copy(from, &mut into)?;
    into.flush()?;
    Ok(into.finish()?)
}

/// What is only large: `most` is what the server takes, in bytes.
pub fn large(most: usize) -> Result<Vec<Made>> {
    let mut huge = stuck("huge");
    let room = most - serde_json::to_string(&huge)?.len();
    huge["spec"]["arguments"]["parameters"][0]["value"] = json!("x".repeat(room));

    let mut inline = stuck("nodes-5000");
    let mut packed = json!({});
    for n in 0..5_000 {
        let node = json!({"id": format!("n{n:04}"), "name": format!("nodes-5000.step-{n}"), "displayName": format!("step-{n}"),
            "type": "Pod", "phase": "Succeeded", "templateName": "work", "startedAt": ago(59), "finishedAt": ago(58)});
        inline["status"]["nodes"][format!("n{n:04}")] = node.clone();
        packed[format!("n{n:04}")] = node;
        packed[format!("n{n:04}")]["message"] = json!(format!("{SECRET} {n} ").repeat(20));
    }
    packed["zz"] = gate("zz");
    let packed = STANDARD.encode(gzip(&mut serde_json::to_vec(&packed)?.as_slice())?);
    // As many nodes as fit into what is decoded: more than are kept.
    let mut crowd = format!("{{\"a\":{}", gate("a"));
    for n in 0..150_000 {
        write!(crowd, ",\"n{n}\":{{\"id\":\"n{n}\",\"type\":\"Pod\",\"phase\":\"Running\"}}")?;
    }
    crowd.push('}');
    let crowd = STANDARD.encode(gzip(&mut crowd.as_bytes())?);
    let each = [huge, inline, compressed("packed-5000", &packed), compressed("packed-150000", &crowd)];
    Ok(each.into_iter().map(|workflow| Made { workflow, counted: Counted::Not, stuck: true }).collect())
}

/// Names, labels and annotations as long as Kubernetes takes them.
pub fn at_the_limits() -> Vec<Made> {
    let domain =
        |length: usize| ["a".repeat(62), "b".repeat(62), "c".repeat(62), "d".repeat(62)].join(".")[..length].to_owned();
    let (longest, key) = (domain(251) + "0z", |n: usize| format!("{}/{}{n:04}", domain(251) + "0z", "k".repeat(59)));
    let mut named = stuck(&longest);
    named["metadata"]["labels"] =
        json!({key(0): "v".repeat(63), "workflows.argoproj.io/workflow-template": "t".repeat(63)});
    let mut labelled = stuck("labels-250");
    labelled["metadata"]["labels"] =
        (0..250).map(|n| (key(n), json!("v".repeat(63)))).collect::<serde_json::Map<_, _>>().into();
    // Annotations may have 256 KiB in all.
    let mut annotated = stuck("annotations-256k");
    annotated["metadata"]["annotations"] = json!({"note": "x".repeat((255 << 10) - 100)});
    let each = [named, labelled, annotated];
    each.into_iter().map(|workflow| Made { workflow, counted: Counted::Not, stuck: true }).collect()
}

/// What Argo 3.7 wrote of a workflow with nodes, templates and outputs, as if it had been a minute ago.
pub fn fixture() -> Result<Value> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/argo-3.7.4/suspended-node.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut workflow = serde_json::from_str(&text)?;
    just_now(&mut workflow);
    Ok(workflow)
}

fn just_now(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = ago(1),
        Value::Object(fields) => fields.values_mut().for_each(just_now),
        Value::Array(items) => items.iter_mut().for_each(just_now),
        _ => {}
    }
}
