//! What schema and CEL can't say of a policy, and what they say, once more, for values that no current server has seen.
//!
//! Pure. The operator turns errors into `Ready=False` and acts on nothing; warnings go into the message. `policy lint`
//! prints both.

use serde_json::Value;

use super::policy::{ClusterPolicySpec, PolicySpec, breaches};
use super::reasons::{ConditionReason, Mode};
use super::schema::Breach;
use super::selector::Selector;
use super::watchdog::TenantMaxima;

mod location;
mod maxima;
mod references;
mod values;

pub use location::lint_location;
pub use maxima::cap;

/// Whether a policy with this problem can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is not Ready.
    Error,
    /// The policy is served; a part of it is not what its author may think.
    Warning,
}

/// One thing wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub reason: ConditionReason,
    /// Path such as `spec.detections[0].after`.
    pub field: String,
    /// What is wrong and the remedy; reads on after the path.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}

/// What a check needs to know besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The Watchdog's maxima; `None` for cluster policies, which they don't bind.
    pub maxima: Option<&'a TenantMaxima>,
    /// Least `after` of NoProgress in seconds (`--no-progress-floor`).
    pub no_progress_floor: i64,
    /// Fields the installed CRD lacks (`crds::missing_fields`).
    pub missing_fields: &'a [String],
}

/// 40 minutes: Argo re-examines each workflow every 20 minutes only.
pub const NO_PROGRESS_FLOOR: i64 = 2400;

impl Default for Context<'_> {
    fn default() -> Self {
        Self { maxima: None, no_progress_floor: NO_PROGRESS_FLOOR, missing_fields: &[] }
    }
}

/// Every problem of a policy, errors first.
pub fn check(spec: &PolicySpec, context: &Context<'_>) -> Vec<Problem> {
    let mut found = Found::default();
    values::check(spec, context, &mut found);
    references::check(spec, &mut found);
    modes(spec, context, &mut found);
    if let Some(maxima) = context.maxima {
        found.all.extend(cap(&mut spec.clone(), maxima));
    }
    found.all.sort_by_key(|p| p.severity);
    found.all
}

/// The same for a cluster policy.
pub fn check_cluster(spec: &ClusterPolicySpec, context: &Context<'_>) -> Vec<Problem> {
    let mut found = Found::default();
    if let Err(error) = Selector::compile(&spec.namespace_selector) {
        found.error("spec.namespaceSelector", format!("can't be read: {error}"));
    }
    found.all.extend(check(&spec.policy, context));
    found.all
}

/// Every problem of a policy as it stands in a file or comes from the server: breaches of the schema, and when there
/// are none, what [`check`] finds. `object` is the whole object; one of another kind has one problem, its kind.
pub fn lint(object: &Value, context: &Context<'_>) -> Vec<Problem> {
    let mut found = Found::default();
    let (spec, kind) = (&object["spec"], object["kind"].as_str().unwrap_or_default());
    if !matches!(kind, "WorkflowPolicy" | "ClusterWorkflowPolicy") {
        found.error("kind", "must be WorkflowPolicy or ClusterWorkflowPolicy");
        return found.all;
    }
    for Breach { field, message, unknown } in breaches(spec, kind) {
        let reason = if unknown { ConditionReason::UnknownValue } else { ConditionReason::InvalidSpec };
        found.push(Severity::Error, reason, &field, message);
    }
    if !found.all.is_empty() {
        return found.all;
    }
    let checked = if kind == "WorkflowPolicy" {
        PolicySpec::from_value(spec).map(|s| check(&s, context))
    } else {
        ClusterPolicySpec::from_value(spec).map(|s| check_cluster(&s, context))
    };
    checked.unwrap_or_else(|error| {
        found.push(Severity::Error, error.reason, &error.field, error.message);
        found.all
    })
}

/// Sections whose mode asks for more than this version does, such as `remediation` with Enforce: the condition
/// `NotInForce` names them.
pub fn not_in_force(spec: &PolicySpec) -> Vec<(&'static str, Mode)> {
    sections(spec).into_iter().filter(|(section, mode)| *section == "remediation" && *mode != Mode::Observe).collect()
}

fn sections(spec: &PolicySpec) -> Vec<(&'static str, Mode)> {
    let all = [
        ("remediation", spec.remediation.as_ref().map(|s| s.mode)),
        ("archive", spec.archive.as_ref().map(|s| s.mode)),
        ("cleanup", spec.cleanup.as_ref().map(|s| s.mode)),
    ];
    all.into_iter().filter_map(|(name, mode)| mode.map(|m| (name, m))).collect()
}

fn modes(spec: &PolicySpec, context: &Context<'_>, found: &mut Found) {
    for (section, mode) in sections(spec) {
        let field = format!("spec.{section}.mode");
        if mode == Mode::Enforce && !context.missing_fields.is_empty() {
            found.push(
                Severity::Error,
                ConditionReason::OutdatedCrd,
                &field,
                format!(
                    "Enforce is refused: the installed CRD lacks {}; apply the CRDs of this version (unstick crds)",
                    context.missing_fields.join(", ")
                ),
            );
        }
        if not_in_force(spec).contains(&(section, mode)) {
            found.push(
                Severity::Warning,
                ConditionReason::NotImplemented,
                &field,
                format!("{mode} is not in force in this version: the section is checked, nothing is done"),
            );
        }
    }
}

/// Collects problems.
#[derive(Debug, Default)]
struct Found {
    all: Vec<Problem>,
}

impl Found {
    fn push(&mut self, severity: Severity, reason: ConditionReason, field: &str, message: impl Into<String>) {
        self.all.push(Problem { severity, reason, field: field.to_owned(), message: message.into() });
    }

    fn error(&mut self, field: &str, message: impl Into<String>) {
        self.push(Severity::Error, ConditionReason::InvalidSpec, field, message);
    }

    fn warn(&mut self, field: &str, message: impl Into<String>) {
        self.push(Severity::Warning, ConditionReason::InvalidSpec, field, message);
    }
}

#[cfg(test)]
mod tests;
