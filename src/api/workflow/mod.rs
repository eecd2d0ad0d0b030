//! The lean Argo `Workflow`: what a diagnosis needs, borrowed from the JSON text it was read from.
//!
//! Reading is *total*: a field of the wrong type becomes its default and is counted in [`Workflow::oddities`];
//! only text that is no JSON at all is refused. `managedFields` and the bulk of `spec` are skipped, never built.
//! Field meanings: argo-workflows `pkg/apis/workflow/v1alpha1/workflow_types.go` (v3.7 and v4.1).

use std::borrow::Cow;
use std::cell::Cell;

pub mod codec;
pub(crate) mod cursor;
mod fold;
mod identify;
mod lax;
mod leap;
mod locks;
mod nodes;
mod parameters;
mod scalar;
mod ttl;
mod wire;

pub use identify::{Identity, Spotter, identify};
pub use parameters::{input_parameter, parameter};
pub use ttl::Ttl;
pub use wire::{ApiStatus, EventKind, ListPage, WatchLine};

/// Seconds since the Unix epoch; 0 = absent. Kubernetes times have a resolution of one second.
pub type Secs = u32;

/// Borrowed where JSON needed no unescaping.
pub type Text<'a> = Cow<'a, str>;

/// The JSON text of one value, for whoever wants to read it after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// `None` when `text` is not one JSON value.
    pub fn new(text: &'a str) -> Option<Self> {
        let mut cursor = cursor::Cursor::new(text);
        let inner = cursor.value().ok()?;
        cursor.end().ok().map(|()| Self(inner))
    }

    /// The text, without white space around it.
    pub const fn get(self) -> &'a str {
        self.0
    }
}

/// One workflow, as far as unstick looks at it.
#[derive(Debug, Default)]
pub struct Workflow<'a> {
    pub meta: Meta<'a>,
    pub spec: Spec<'a>,
    pub status: Status<'a>,
    /// How many fields had a type that Argo never writes.
    pub oddities: u32,
}

#[derive(Debug, Default)]
pub struct Meta<'a> {
    pub name: Text<'a>,
    pub generate_name: Text<'a>,
    pub namespace: Text<'a>,
    pub uid: Text<'a>,
    pub resource_version: Text<'a>,
    pub created: Secs,
    /// `metadata.deletionTimestamp`.
    pub deleted: Secs,
    pub finalizers: Vec<Text<'a>>,
    /// At most [`MAX_LABELS`]; the rest is dropped and counted as an oddity.
    pub labels: Vec<(Text<'a>, Text<'a>)>,
    /// Values are raw JSON: most are never read.
    pub annotations: Vec<(Text<'a>, Raw<'a>)>,
    /// Raw `managedFields`, read only when `spec.suspend` is true.
    pub managed_fields: Option<Raw<'a>>,
}

/// More labels than this on one workflow are ignored (bounded memory, I27).
pub const MAX_LABELS: usize = 256;
/// More annotations are ignored, except `unstick.dev/*`.
pub const MAX_ANNOTATIONS: usize = 512;
/// More finalizers, locks, holders, suspend durations or incomplete results are ignored (each list by itself).
pub const MAX_LISTED: usize = 5_000;
/// More nodes are counted, not kept.
pub const MAX_NODES: usize = 20_000;

#[derive(Debug, Default)]
pub struct Spec<'a> {
    /// `""`, `Stop` or `Terminate`.
    pub shutdown: Text<'a>,
    pub suspend: bool,
    pub active_deadline_seconds: Option<i64>,
    /// `spec.workflowTemplateRef`.
    pub template_ref: Option<TemplateRef<'a>>,
    /// Raw `spec.arguments.parameters` (`[{name, value}]`).
    pub parameters: Option<Raw<'a>>,
    /// Whether the spec declares `onExit` or hooks (those of single steps and tasks aside).
    pub has_exit_handler: bool,
    /// `spec.ttlStrategy`.
    pub ttl: Option<Ttl>,
}

#[derive(Debug, Default)]
pub struct TemplateRef<'a> {
    pub name: Text<'a>,
    pub cluster_scope: bool,
}

#[derive(Debug, Default)]
pub struct Status<'a> {
    /// `""`, Pending, Running, Succeeded, Failed or Error.
    pub phase: Text<'a>,
    pub started: Secs,
    pub finished: Secs,
    pub message: Text<'a>,
    /// `"3/7"`.
    pub progress: Text<'a>,
    pub nodes: Nodes<'a>,
    /// Inline nodes beyond [`MAX_NODES`].
    pub nodes_dropped: u32,
    /// Node ids whose `taskResultsCompletionStatus` is false (Argo 3.5 to 3.7).
    pub results_incomplete: Vec<Text<'a>>,
    /// `status.synchronization`: mutexes and semaphores together.
    pub waiting: Vec<Lock<'a>>,
    pub holding: Vec<Lock<'a>>,
    /// Suspend templates that resume by themselves: (template name, `suspend.duration`), from `spec.templates`,
    /// `status.storedTemplates` and `status.storedWorkflowTemplateSpec`.
    pub suspend_durations: Vec<(Text<'a>, Text<'a>)>,
    /// `status.storedWorkflowTemplateSpec` has onExit or hooks.
    pub stored_exit_handler: bool,
    /// `ttlStrategy` of `status.storedWorkflowTemplateSpec`, the controller's defaults included.
    pub stored_ttl: Option<Ttl>,
}

/// A lock as Argo writes it: `default/Mutex/gpu` or `default/ConfigMap/sem/slots`.
#[derive(Debug, Default)]
pub struct Lock<'a> {
    pub name: Text<'a>,
    pub semaphore: bool,
    /// `namespace/workflow` or `namespace/workflow/node-id`.
    pub holders: Vec<Text<'a>>,
}

/// Where the nodes of a workflow are.
#[derive(Debug, Default)]
pub enum Nodes<'a> {
    #[default]
    None,
    Inline(Vec<Node<'a>>),
    /// Base64 of gzip, zstd or brotli; see [`codec`].
    Compressed(Text<'a>),
    /// In Argo's SQL database: nothing can be said of them.
    Offloaded(Text<'a>),
}

/// One node of `status.nodes`.
#[derive(Debug, Default)]
pub struct Node<'a> {
    pub id: Text<'a>,
    pub name: Text<'a>,
    pub display_name: Text<'a>,
    pub template_name: Text<'a>,
    /// `templateRef.name` and `templateRef.template`.
    pub template_ref: Option<(Text<'a>, Text<'a>)>,
    pub kind: NodeKind,
    pub phase: NodePhase,
    pub message: Text<'a>,
    pub started: Secs,
    pub finished: Secs,
    pub daemoned: bool,
    pub task_result_synced: Option<bool>,
    /// `synchronizationStatus.waiting`.
    pub lock_waiting: Text<'a>,
    /// Part of an exit handler or hook (`nodeFlag.hooked`).
    pub hooked: bool,
    /// A retry of a failed attempt (`nodeFlag.retried`).
    pub retried: bool,
    /// Raw `inputs` (`{parameters: [{name, value}]}`).
    pub inputs: Option<Raw<'a>>,
    /// Raw `outputs` (`{exitCode, parameters}`).
    pub outputs: Option<Raw<'a>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    Pod,
    Container,
    Steps,
    StepGroup,
    Dag,
    TaskGroup,
    Retry,
    Skipped,
    Suspend,
    Http,
    Plugin,
    #[default]
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodePhase {
    /// Not yet written, or a name this version doesn't know.
    #[default]
    Unset,
    Pending,
    Running,
    Succeeded,
    Skipped,
    Failed,
    Error,
    Omitted,
}

impl NodeKind {
    /// Does work or waits itself, rather than grouping others.
    pub const fn is_leaf(self) -> bool {
        matches!(self, Self::Pod | Self::Container | Self::Suspend | Self::Http | Self::Plugin)
    }
}

impl NodePhase {
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Unset | Self::Pending | Self::Running)
    }
}

impl<'a> Workflow<'a> {
    /// Reads one workflow from JSON text.
    ///
    /// # Errors
    /// Only when `text` is not one JSON object.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        let oddities = Cell::new(0);
        let mut workflow = Self::default();
        lax::total(text, &oddities, &mut workflow)?;
        workflow.oddities = oddities.get();
        Ok(workflow)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_ref())
    }

    /// Reads one annotation; `None` when absent or not a string.
    pub fn annotation(&self, key: &str) -> Option<String> {
        let (_, raw) = self.meta.annotations.iter().find(|(k, _)| k == key)?;
        serde_json::from_str(raw.get()).ok()
    }
}
