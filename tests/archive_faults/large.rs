//! The same with a run as large as etcd takes one, with 5,000 nodes compressed and every name at its limit.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use unstick::archive::store::Location;

use crate::run::Run;
use crate::site::Site;

/// etcd's limit of a request, in bytes.
const LARGEST: usize = 1_572_864;
const NODES: usize = 5_000;

/// Faults of the table, each at a call where the size may matter.
pub const IN_A_BUCKET: &[(&str, Site)] = &[
    ("black hole", Site::Put),
    ("503 SlowDown", Site::Put),
    ("reply lost after commit", Site::Put),
    ("412 though nothing is there", Site::Put),
    ("wrong object under the key", Site::Put),
    ("truncated body", Site::ReadBack),
    ("truncated body of the length it tells", Site::ReadBack),
    ("slow drip", Site::ReadBack),
    ("wrong object under the key", Site::ReadBack),
    ("500 InternalError", Site::EventsBack),
    ("403 AccessDenied from here on", Site::Manifest),
    ("flipped byte", Site::ManifestBack),
    ("flipped byte", Site::Verify),
    ("stale read: 404 after the put", Site::Verify),
    ("403 InvalidObjectState", Site::Verify),
    ("flipped byte", Site::OtherRules),
    ("400 ExpiredToken", Site::Confirm),
    ("reply lost after commit", Site::Append),
    ("flipped byte", Site::ReindexManifests),
];

pub const IN_A_FOLDER: &[(&str, Site)] = &[
    ("disk full", Site::Put),
    ("another volume, or none", Site::ReadBack),
    ("truncated", Site::ReadBack),
    ("flipped byte", Site::Verify),
    ("wrong file", Site::Put),
    ("killed before the rename", Site::Put),
    ("killed before the rename", Site::Manifest),
    ("missing", Site::Append),
];

/// Bytes that no compression makes much of.
fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let digit = b"0123456789abcdefghijklmnopqrstuv"[usize::try_from(state & 31).unwrap()];
        text.push(char::from(digit));
    }
    text
}

/// So many characters, in parts of 63 at most, as names of Kubernetes have them.
fn name(length: usize) -> String {
    let mut text: String = (1..=length).map(|n| if n % 64 == 0 { '.' } else { 'n' }).collect();
    if text.ends_with('.') {
        text.replace_range(length - 2.., ".n");
    }
    text
}

fn nodes(name: &str) -> Value {
    let mut all = Map::new();
    for n in 0..NODES {
        let id = format!("{name}-{n:010}");
        let children: Vec<String> =
            (n * 2 + 1..n * 2 + 3).filter(|c| *c < NODES).map(|c| format!("{name}-{c:010}")).collect();
        let node = json!({
            "id": id, "name": format!("{name}.step({n})"), "displayName": format!("step({n})"), "type": "Pod",
            "phase": "Succeeded", "templateName": "main", "startedAt": "2026-11-21T07:18:34Z",
            "finishedAt": "2026-11-21T07:18:35Z", "children": children, "outputs": {"exitCode": "0"},
        });
        all.insert(id, node);
    }
    all.into()
}

impl Run {
    pub fn large(location: Location) -> Self {
        let small = Self::new("small", location);
        let mut whole: Value = serde_json::from_str(&small.live).unwrap();
        let (own, namespace) = (name(253), "s".repeat(63));
        whole["metadata"]["name"] = own.as_str().into();
        whole["metadata"]["namespace"] = namespace.into();
        for n in 0..20 {
            let key = format!("{}/{n:02}{}", name(253), "k".repeat(61));
            whole["metadata"]["labels"][key] = "v".repeat(63).into();
        }
        whole["status"]["nodes"] = nodes("n");
        let mut live = whole.clone();
        let status = live["status"].as_object_mut().unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(status.remove("nodes").unwrap().to_string().as_bytes()).unwrap();
        status.insert("compressedNodes".into(), STANDARD.encode(packed.finish().unwrap()).into());
        let room = LARGEST - live.to_string().len() - r#","padding":"""#.len();
        for object in [&mut whole, &mut live] {
            object["metadata"]["annotations"]["padding"] = noise(room).into();
        }
        let live = live.to_string();
        assert_eq!(live.len(), LARGEST);
        Self { live, whole, location: small.location }
    }
}
