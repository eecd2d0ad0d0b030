//! The canonical form of a run (API.md section 5): what is archived, and what is digested before a delete.
//!
//! It has everything of the live object but what changes without the run changing (managedFields, versions, marks of
//! ours) and what is redacted. Two texts of the same run give the same bytes, whatever the order of keys, white space,
//! escapes, or the way Argo keeps the nodes.

use std::cell::OnceCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::artifacts::{self, Artifact};
use super::digest::Digest;
use super::facts::RunFacts;
use super::json::{NoTree, Tree, Value};
use super::redaction::{MARKER, Redaction};
use super::write;
use crate::api::workflow::codec::{self, Codec, CodecError};
use crate::mutant;

/// A canonical form longer than this is refused, in bytes. Argo writes objects of 1.5 MB at most, whose nodes unpack to
/// about ten times that.
pub const LARGEST: usize = 64 << 20;

/// Members of metadata that change while the run doesn't. The first is not even read: it is a fifth of an object.
const UNREAD: &[&str] = &["managedFields"];
const CHANGING: &[&str] =
    &["resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers"];
const OWN_ANNOTATIONS: &str = "unstick.dev/";
const ARCHIVING_STATUS: &str = "workflows.argoproj.io/workflow-archiving-status";
/// Repeats the whole spec as text.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why a run can't be archived as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotArchivable {
    #[error("it is no JSON object")]
    NotJson,
    #[error("it is no Workflow")]
    NotAWorkflow,
    #[error("it has no usable {0}")]
    NoIdentity(&'static str),
    #[error("its nodes are in Argo's database (offloaded): the object alone is hollow")]
    Offloaded,
    #[error("its nodes can't be read: {0}")]
    Undecodable(CodecError),
    #[error("its compressed nodes are no JSON object")]
    NoNodes,
    #[error("it has nodes both inline and compressed")]
    NodesTwice,
    #[error("its values are nested deeper than {}", super::json::DEEPEST)]
    TooDeep,
    #[error("it has text that is no text (half of a surrogate pair)")]
    NoText,
    #[error("it is larger than {} MiB when its nodes are unpacked", LARGEST >> 20)]
    TooLarge,
}

impl NotArchivable {
    /// A word for conditions and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotJson | Self::NotAWorkflow | Self::NoText => "Unreadable",
            Self::NoIdentity(_) => "NoIdentity",
            Self::Offloaded => "NodesOffloaded",
            Self::Undecodable(_) | Self::NoNodes | Self::NodesTwice => "NodesUndecodable",
            Self::TooDeep => "TooDeep",
            Self::TooLarge => "TooLarge",
        }
    }
}

impl From<NoTree> for NotArchivable {
    fn from(error: NoTree) -> Self {
        match error {
            NoTree::Broken => Self::NotJson,
            NoTree::TooDeep => Self::TooDeep,
            NoTree::HalfCharacter => Self::NoText,
        }
    }
}

/// A run in canonical form.
#[derive(Clone, Debug)]
pub struct Canonical {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    pub facts: RunFacts,
    /// Places whose values were redacted, never the values.
    pub redacted: Vec<String>,
    pub artifacts: Vec<Artifact>,
    /// How the nodes were compressed, if they were.
    pub decoded: Option<Codec>,
}

/// Brings a Workflow as the API server sent it into canonical form.
///
/// # Errors
/// It can't be archived whole: see [`NotArchivable`].
pub fn canonical(live: &str, rules: &Redaction) -> Result<Canonical, NotArchivable> {
    if live.len() > LARGEST {
        return Err(NotArchivable::TooLarge);
    }
    // What is decoded has to outlive the tree, which borrows from it.
    let decoded = OnceCell::new();
    let mut tree = Tree::default();
    let mut root = tree.read(live, UNREAD)?;
    root = with_kind(&mut tree, root)?;
    refuse_offloaded(&tree, root)?;
    let unpacked = unpack_nodes(&tree, root)?;
    let decoded: &Option<(String, Codec)> = decoded.get_or_init(|| unpacked);
    if let Some((nodes, _)) = decoded {
        root = put_nodes(&mut tree, root, nodes)?;
    }
    let facts = RunFacts::read(&tree, root, rules)?;
    let artifacts = artifacts::index(&tree, root);
    let applied = strip_metadata(&mut tree, root, rules.in_force() && !mutant::on("redaction-off"));
    let room = live.len() + decoded.as_ref().map_or(0, |(nodes, _)| nodes.len());
    let none = Redaction::none();
    let written = write::write(&tree, root, if mutant::on("redaction-off") { &none } else { rules }, room)?;
    if written.bytes.len() > LARGEST {
        return Err(NotArchivable::TooLarge);
    }
    let place = applied.then(|| format!("metadata.annotations[{LAST_APPLIED}]"));
    Ok(Canonical {
        digest: Digest::of(&written.bytes),
        bytes: written.bytes,
        facts,
        redacted: place.into_iter().chain(written.redacted).collect(),
        artifacts,
        decoded: decoded.as_ref().map(|(_, codec)| *codec),
    })
}

/// Items of some lists are without kind: with it the same object gives the same bytes wherever it was read.
fn with_kind<'a>(tree: &mut Tree<'a>, root: Value<'a>) -> Result<Value<'a>, NotArchivable> {
    if !matches!(root, Value::Map(_)) {
        return Err(NotArchivable::NotJson);
    }
    let mut root = root;
    for (key, wanted) in [("apiVersion", "argoproj.io/v1alpha1"), ("kind", "Workflow")] {
        match tree.text(root, &[key]) {
            None => root = tree.with(root, key, Value::Text(wanted, false)),
            Some(found) if found == wanted => {}
            Some(_) => return Err(NotArchivable::NotAWorkflow),
        }
    }
    Ok(root)
}

fn refuse_offloaded(tree: &Tree<'_>, root: Value<'_>) -> Result<(), NotArchivable> {
    match tree.at(root, &["status", "offloadNodeStatusVersion"]) {
        None | Some(Value::Text("", _)) => Ok(()),
        Some(_) if mutant::on("offloaded-accepted") => Ok(()),
        Some(_) => Err(NotArchivable::Offloaded),
    }
}

/// The JSON text of compressed nodes, and how they were compressed.
fn unpack_nodes(tree: &Tree<'_>, root: Value<'_>) -> Result<Option<(String, Codec)>, NotArchivable> {
    let packed = match tree.at(root, &["status", "compressedNodes"]) {
        None | Some(Value::Text("", _)) => return Ok(None),
        Some(value @ Value::Text(..)) => super::json::text(value).ok_or(NotArchivable::NoText)?,
        Some(_) => return Err(NotArchivable::Undecodable(CodecError::NotBase64)),
    };
    if tree.at(root, &["status", "nodes"]).is_some_and(|nodes| !tree.members(nodes).is_empty()) {
        return Err(NotArchivable::NodesTwice);
    }
    let nodes = codec::decode(&packed).map_err(NotArchivable::Undecodable)?;
    let head = STANDARD.decode(packed.trim_ascii().get(..8).unwrap_or_default()).unwrap_or_default();
    Ok(Some((nodes, Codec::sniff(&head))))
}

fn put_nodes<'a>(tree: &mut Tree<'a>, root: Value<'a>, nodes: &'a str) -> Result<Value<'a>, NotArchivable> {
    let nodes = match tree.read(nodes, &[]) {
        Ok(nodes @ Value::Map(_)) => nodes,
        Ok(_) | Err(NoTree::Broken) => return Err(NotArchivable::NoNodes),
        Err(error) => return Err(error.into()),
    };
    let Some(status) = tree.get(root, "status") else { return Ok(root) };
    tree.take_out(status, |key| key == "compressedNodes");
    if mutant::on("compressed-dropped") {
        return Ok(root);
    }
    let status = tree.with(status, "nodes", nodes);
    Ok(tree.with(root, "status", status))
}

/// Takes out what changes while the run doesn't; `true` if the copy of the spec in the annotations was blacked out.
fn strip_metadata<'a>(tree: &mut Tree<'a>, root: Value<'a>, redact: bool) -> bool {
    let Some(metadata) = tree.get(root, "metadata") else { return false };
    tree.take_out(metadata, |key| CHANGING.contains(&key));
    let mut applied = false;
    for (key, ours) in [("annotations", OWN_ANNOTATIONS), ("labels", ARCHIVING_STATUS)] {
        let Some(map) = tree.get(metadata, key) else {
            tree.take_out(metadata, |k| k == key);
            continue;
        };
        // With the last of our marks the map goes: a run has the same form before it was marked.
        if tree.take_out(map, |k| k.starts_with(ours)) {
            tree.take_out(metadata, |k| k == key);
        } else if redact && key == "annotations" && tree.get(map, LAST_APPLIED).is_some() {
            tree.with(map, LAST_APPLIED, Value::Text(MARKER, false));
            applied = true;
        }
    }
    applied
}
