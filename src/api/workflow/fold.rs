//! How each part of a `Workflow` is read: which fields are kept, which are folded, where the caps are.

use super::cursor::Broken;
use super::lax::{Fields, Key, Value};
use super::locks::{StoredSpec, Synchronization, stored_templates, templates, texts};
use super::nodes::NodeMap;
use super::{
    MAX_ANNOTATIONS, MAX_LABELS, MAX_LISTED, Meta, Nodes, Raw, Spec, Status, TemplateRef, Text, Ttl, Workflow,
};

/// Annotations with this prefix are kept beyond every cap: a hold must not get lost in the crowd.
const OURS: &str = "unstick.dev/";

impl<'de> Fields<'de> for Workflow<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "metadata" => {
                self.meta = Meta::default();
                value.object(&mut self.meta)?;
                1
            }
            "spec" => {
                self.spec = Spec::default();
                let mut into = SpecFields { spec: &mut self.spec, durations: &mut self.status.suspend_durations };
                value.object(&mut into)?;
                2
            }
            "status" => {
                // `spec` comes before `status` and has already left its suspend durations there.
                let durations = std::mem::take(&mut self.status.suspend_durations);
                self.status = Status { suspend_durations: durations, ..Status::default() };
                let mut into =
                    StatusFields { status: &mut self.status, nodes: NodeMap::default(), packed: Nodes::None };
                value.object(&mut into)?;
                let StatusFields { nodes, packed, .. } = into;
                self.status.nodes_dropped = nodes.dropped;
                // As Argo: packed nodes count only where there are no inline ones.
                self.status.nodes = if nodes.kept.is_empty() { packed } else { Nodes::Inline(nodes.kept) };
                3
            }
            _ => 0,
        })
    }
}

impl<'de> Fields<'de> for Meta<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "name" => {
                self.name = value.text()?;
                1
            }
            "namespace" => {
                self.namespace = value.text()?;
                2
            }
            "uid" => {
                self.uid = value.text()?;
                3
            }
            "resourceVersion" => {
                self.resource_version = value.text()?;
                4
            }
            "creationTimestamp" => {
                self.created = value.secs()?;
                5
            }
            "deletionTimestamp" => {
                self.deleted = value.secs()?;
                6
            }
            "finalizers" => {
                self.finalizers.clear();
                texts(value, &mut self.finalizers)?;
                7
            }
            "labels" => {
                self.labels = Vec::with_capacity(8);
                value.object(&mut Labels(&mut self.labels))?;
                8
            }
            "annotations" => {
                self.annotations = Vec::with_capacity(8);
                value.object(&mut Annotations(&mut self.annotations))?;
                9
            }
            "managedFields" => {
                self.managed_fields = value.raw_list()?;
                10
            }
            "generateName" => {
                self.generate_name = value.text()?;
                11
            }
            _ => 0,
        })
    }
}

struct Labels<'m, 'de>(&'m mut Vec<(Text<'de>, Text<'de>)>);

impl<'de> Fields<'de> for Labels<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if self.0.len() >= MAX_LABELS {
            value.odd();
        } else if let Some(text) = value.text_if_any()? {
            self.0.push((key.text(), text));
        }
        Ok(0)
    }
}

struct Annotations<'m, 'de>(&'m mut Vec<(Text<'de>, Raw<'de>)>);

impl<'de> Fields<'de> for Annotations<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if self.0.len() < MAX_ANNOTATIONS || key.name().starts_with(OURS) {
            let raw = value.raw()?;
            self.0.push((key.text(), raw));
        } else {
            value.odd();
        }
        Ok(0)
    }
}

struct SpecFields<'m, 'de> {
    spec: &'m mut Spec<'de>,
    durations: &'m mut Vec<(Text<'de>, Text<'de>)>,
}

impl<'de> Fields<'de> for SpecFields<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let spec = &mut *self.spec;
        Ok(match key.name() {
            "shutdown" => {
                spec.shutdown = value.text()?;
                1
            }
            "suspend" => {
                spec.suspend = value.flag()?.unwrap_or(false);
                2
            }
            "activeDeadlineSeconds" => {
                spec.active_deadline_seconds = value.integer()?;
                3
            }
            "workflowTemplateRef" => {
                let mut to = TemplateRef::default();
                spec.template_ref = value.object(&mut to)?.then_some(to);
                4
            }
            "arguments" => {
                let mut to = Arguments::default();
                value.object(&mut to)?;
                spec.parameters = to.parameters;
                5
            }
            "templates" => {
                templates(value, self.durations)?;
                6
            }
            "ttlStrategy" => {
                spec.ttl = Ttl::read(value)?;
                7
            }
            other => exit_handler(other, value, &mut spec.has_exit_handler)?,
        })
    }
}

impl<'de> Fields<'de> for TemplateRef<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "name" => {
                self.name = value.text()?;
                1
            }
            "clusterScope" => {
                self.cluster_scope = value.flag()?.unwrap_or(false);
                2
            }
            _ => 0,
        })
    }
}

#[derive(Default)]
struct Arguments<'de> {
    parameters: Option<Raw<'de>>,
}

impl<'de> Fields<'de> for Arguments<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if key.name() != "parameters" {
            return Ok(0);
        }
        self.parameters = value.raw_list()?;
        Ok(1)
    }
}

/// `onExit` and `hooks`, which a spec and a stored spec share.
pub(super) fn exit_handler(key: &str, value: &mut Value<'_, '_>, found: &mut bool) -> Result<u8, Broken> {
    Ok(match key {
        "onExit" => {
            *found |= !value.text()?.is_empty();
            60
        }
        "hooks" => {
            let mut hooks = NonEmpty(false);
            value.object(&mut hooks)?;
            *found |= hooks.0;
            61
        }
        _ => 0,
    })
}

/// Whether an object has any key.
struct NonEmpty(bool);

impl<'de> Fields<'de> for NonEmpty {
    fn field(&mut self, _: Key<'de>, _: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        self.0 = true;
        Ok(0)
    }
}

struct StatusFields<'m, 'de> {
    status: &'m mut Status<'de>,
    nodes: NodeMap<'de>,
    packed: Nodes<'de>,
}

impl<'de> Fields<'de> for StatusFields<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let status = &mut *self.status;
        Ok(match key.name() {
            "phase" => {
                status.phase = value.text()?;
                1
            }
            "startedAt" => {
                status.started = value.secs()?;
                2
            }
            "finishedAt" => {
                status.finished = value.secs()?;
                3
            }
            "message" => {
                status.message = value.text()?;
                4
            }
            "progress" => {
                status.progress = value.text()?;
                5
            }
            "nodes" => {
                self.nodes = NodeMap::default();
                value.object(&mut self.nodes)?;
                6
            }
            "compressedNodes" => {
                let text = value.text()?;
                if !text.is_empty() {
                    self.packed = Nodes::Compressed(text);
                }
                7
            }
            "offloadNodeStatusVersion" => {
                let text = value.text()?;
                if !text.is_empty() && !matches!(self.packed, Nodes::Compressed(_)) {
                    self.packed = Nodes::Offloaded(text);
                }
                8
            }
            "taskResultsCompletionStatus" => {
                status.results_incomplete.clear();
                value.object(&mut Incomplete(&mut status.results_incomplete))?;
                9
            }
            "synchronization" => {
                status.waiting.clear();
                status.holding.clear();
                value.object(&mut Synchronization { status })?;
                10
            }
            "storedTemplates" => {
                stored_templates(value, &mut status.suspend_durations)?;
                11
            }
            "storedWorkflowTemplateSpec" => {
                value.object(&mut StoredSpec { status })?;
                12
            }
            _ => 0,
        })
    }
}

/// `{node id: done}`: keeps those not done.
struct Incomplete<'m, 'de>(&'m mut Vec<Text<'de>>);

impl<'de> Fields<'de> for Incomplete<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if value.flag()? == Some(false) {
            if self.0.len() < MAX_LISTED {
                self.0.push(key.text());
            } else {
                value.odd();
            }
        }
        Ok(0)
    }
}
