//! The kinds this server knows. What isn't here is answered 404, as for a CRD that isn't installed.

/// One resource.
#[allow(clippy::struct_field_names, reason = "the names of the API")]
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    /// Has a status subresource: writes to the object leave `status` alone and the other way round.
    pub status: bool,
    pub short: &'static str,
}

const fn kind(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Kind {
    Kind { group, version, plural, kind, namespaced: true, status: false, short: "" }
}

impl Kind {
    const fn cluster(self) -> Self {
        Self { namespaced: false, ..self }
    }

    const fn with_status(self) -> Self {
        Self { status: true, ..self }
    }

    const fn short(self, short: &'static str) -> Self {
        Self { short, ..self }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `workflows.argoproj.io`, as messages name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Custom resources are unstructured on the server: lists have sorted keys, `generation` counts changes.
    pub fn custom(&self) -> bool {
        matches!(self.group, "argoproj.io" | "unstick.dev")
    }
}

const ARGO: &str = "argoproj.io";
const OWN: &str = "unstick.dev";

/// Index of workflows in [`KINDS`].
pub const WORKFLOWS: usize = 0;

pub static KINDS: [Kind; 18] = [
    kind(ARGO, "v1alpha1", "workflows", "Workflow").short("wf"),
    kind(ARGO, "v1alpha1", "workflowtemplates", "WorkflowTemplate").short("wftmpl"),
    kind(ARGO, "v1alpha1", "clusterworkflowtemplates", "ClusterWorkflowTemplate").cluster().short("cwft"),
    kind(ARGO, "v1alpha1", "cronworkflows", "CronWorkflow").short("cwf"),
    kind(ARGO, "v1alpha1", "workflowtaskresults", "WorkflowTaskResult"),
    kind(OWN, "v1alpha1", "watchdogs", "Watchdog").cluster().with_status().short("wd"),
    kind(OWN, "v1alpha1", "workflowpolicies", "WorkflowPolicy").with_status().short("wfp"),
    kind(OWN, "v1alpha1", "clusterworkflowpolicies", "ClusterWorkflowPolicy").cluster().with_status().short("cwfp"),
    kind(OWN, "v1alpha1", "workflowincidents", "WorkflowIncident").with_status().short("wfi"),
    kind(OWN, "v1alpha1", "archivelocations", "ArchiveLocation").cluster().with_status().short("aloc"),
    kind("", "v1", "namespaces", "Namespace").cluster().with_status().short("ns"),
    kind("", "v1", "pods", "Pod").with_status().short("po"),
    kind("", "v1", "configmaps", "ConfigMap").short("cm"),
    kind("", "v1", "secrets", "Secret"),
    kind("", "v1", "events", "Event"),
    kind("events.k8s.io", "v1", "events", "Event"),
    kind("coordination.k8s.io", "v1", "leases", "Lease"),
    kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
        .cluster()
        .with_status()
        .short("crd"),
];

/// Index of the kind with that group, version and plural.
pub fn find(group: &str, version: &str, plural: &str) -> Option<usize> {
    KINDS.iter().position(|k| k.group == group && k.version == version && k.plural == plural)
}

/// Index of the kind an object says it is.
pub fn of(api_version: &str, name: &str) -> Option<usize> {
    KINDS.iter().position(|k| k.kind == name && k.api_version() == api_version)
}
