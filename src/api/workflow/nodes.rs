//! `status.nodes`: one small [`Node`] for each, at most [`MAX_NODES`].

use std::cell::Cell;

use super::codec::CodecError;
use super::cursor::Broken;
use super::lax::{Fields, Key, Value, total};
use super::{MAX_NODES, Node, NodeKind, NodePhase, Nodes, Text};

/// The nodes kept and how many were not.
#[derive(Default)]
pub(super) struct NodeMap<'de> {
    pub(super) kept: Vec<Node<'de>>,
    pub(super) dropped: u32,
}

impl<'de> Fields<'de> for NodeMap<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if self.kept.len() >= MAX_NODES {
            self.dropped = self.dropped.saturating_add(1);
            value.odd();
            return Ok(0);
        }
        // Filled in place: a node is large.
        self.kept.push(Node::default());
        let Some(node) = self.kept.last_mut() else { return Ok(0) };
        if value.object(node)? {
            if node.id.is_empty() {
                node.id = key.text();
            }
        } else {
            self.kept.pop();
        }
        Ok(0)
    }
}

impl<'a> Nodes<'a> {
    /// Reads the decoded text of `compressedNodes`, a JSON map of id to node. At most [`MAX_NODES`] are kept.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`] when `text` is not a JSON object.
    pub fn fold_map(text: &'a str) -> Result<Vec<Node<'a>>, CodecError> {
        let oddities = Cell::new(0);
        let mut nodes = NodeMap::default();
        match total(text, &oddities, &mut nodes) {
            Ok(()) => Ok(nodes.kept),
            Err(_) => Err(CodecError::Corrupt),
        }
    }
}

impl<'de> Fields<'de> for Node<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "id" => {
                self.id = value.text()?;
                1
            }
            "name" => {
                self.name = value.text()?;
                2
            }
            "displayName" => {
                self.display_name = value.text()?;
                3
            }
            "templateName" => {
                self.template_name = value.text()?;
                4
            }
            "templateRef" => {
                let mut to = NodeTemplateRef::default();
                self.template_ref = value.object(&mut to)?.then_some((to.name, to.template));
                5
            }
            "type" => {
                self.kind = NodeKind::parse(&value.text()?);
                6
            }
            "phase" => {
                self.phase = NodePhase::parse(&value.text()?);
                7
            }
            "message" => {
                self.message = value.text()?;
                8
            }
            "startedAt" => {
                self.started = value.secs()?;
                9
            }
            "finishedAt" => {
                self.finished = value.secs()?;
                10
            }
            "daemoned" => {
                self.daemoned = value.flag()?.unwrap_or(false);
                11
            }
            "taskResultSynced" => {
                self.task_result_synced = value.flag()?;
                12
            }
            "synchronizationStatus" => {
                value.object(&mut NodeLock(&mut self.lock_waiting))?;
                13
            }
            "nodeFlag" => {
                value.object(&mut NodeFlag { hooked: &mut self.hooked, retried: &mut self.retried })?;
                14
            }
            "inputs" => {
                self.inputs = value.raw_object()?;
                15
            }
            "outputs" => {
                self.outputs = value.raw_object()?;
                16
            }
            _ => 0,
        })
    }
}

#[derive(Default)]
struct NodeTemplateRef<'de> {
    name: Text<'de>,
    template: Text<'de>,
}

impl<'de> Fields<'de> for NodeTemplateRef<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "name" => {
                self.name = value.text()?;
                1
            }
            "template" => {
                self.template = value.text()?;
                2
            }
            _ => 0,
        })
    }
}

struct NodeLock<'m, 'de>(&'m mut Text<'de>);

impl<'de> Fields<'de> for NodeLock<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if key.name() != "waiting" {
            return Ok(0);
        }
        *self.0 = value.text()?;
        Ok(1)
    }
}

struct NodeFlag<'m> {
    hooked: &'m mut bool,
    retried: &'m mut bool,
}

impl<'de> Fields<'de> for NodeFlag<'_> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "hooked" => {
                *self.hooked = value.flag()?.unwrap_or(false);
                1
            }
            "retried" => {
                *self.retried = value.flag()?.unwrap_or(false);
                2
            }
            _ => 0,
        })
    }
}

impl NodeKind {
    /// Reads Argo's name of a node type; [`Self::Other`] for one this version doesn't know.
    pub fn parse(text: &str) -> Self {
        match text {
            "Pod" => Self::Pod,
            "Container" => Self::Container,
            "Steps" => Self::Steps,
            "StepGroup" => Self::StepGroup,
            "DAG" => Self::Dag,
            "TaskGroup" => Self::TaskGroup,
            "Retry" => Self::Retry,
            "Skipped" => Self::Skipped,
            "Suspend" => Self::Suspend,
            "HTTP" => Self::Http,
            "Plugin" => Self::Plugin,
            _ => Self::Other,
        }
    }
}

impl NodePhase {
    /// Reads Argo's name of a node phase; [`Self::Unset`] for one this version doesn't know.
    pub fn parse(text: &str) -> Self {
        match text {
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Skipped" => Self::Skipped,
            "Failed" => Self::Failed,
            "Error" => Self::Error,
            "Omitted" => Self::Omitted,
            _ => Self::Unset,
        }
    }
}
