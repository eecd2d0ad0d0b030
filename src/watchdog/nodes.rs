//! The nodes of a workflow: which are active, which have ended since the last look (each counted once).

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use super::facts::{ActiveNode, Cause, Facts, Role};
use super::intern::Interner;
use super::node_ids::NodeIds;
use super::policy::Policy;
use super::project::{cut, node_id};
use super::tally::{FailureReason, Tally};
use crate::api::reasons::{DetectionType, SuspensionEnd};
use crate::api::workflow::{Node, NodeKind, NodePhase, Secs, Workflow};

/// What Argo puts into the names of nodes of an exit handler.
static EXIT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(".onExit"));
/// Active nodes kept of one workflow; more are not judged one by one.
const MAX_ACTIVE: usize = 2000;

pub struct Nodes {
    pub active: Box<[ActiveNode]>,
    pub last_change: Secs,
    pub counted_until: Secs,
    pub counted: NodeIds,
    pub results_missing: Vec<(Box<str>, Secs)>,
}

/// What the workflow around the nodes says.
pub struct Parent<'f> {
    pub namespace: Arc<str>,
    pub old: Option<&'f Facts>,
    /// The same, if it was read for the policies as they are.
    pub known: Option<&'f Facts>,
    /// Whether ends are counted; what the first list finds ended belongs to the past.
    pub count: bool,
    pub finished: bool,
    pub shutdown: bool,
}

pub struct NodesOf<'n, 'w> {
    pub workflow: &'n Workflow<'w>,
    pub pool: &'n mut Interner,
    pub policy: Option<&'n mut Policy>,
    pub tally: &'n mut Tally,
}

impl NodesOf<'_, '_> {
    pub fn read(mut self, nodes: &[Node<'_>], parent: &Parent<'_>) -> Nodes {
        let mut out = Nodes {
            active: Box::default(),
            last_change: 0,
            counted_until: parent.old.map_or(0, |o| o.counted_until),
            counted: NodeIds::default(),
            results_missing: Vec::new(),
        };
        // Mostly as many as before.
        let mut active = Vec::with_capacity(parent.old.map_or(0, |o| o.nodes.len()));
        let mut at_edge: Vec<u32> = parent.old.map(|o| o.counted.to_vec()).unwrap_or_default();
        let before = out.counted_until;
        for node in nodes {
            out.last_change = out.last_change.max(node.started).max(node.finished);
            if node.phase.is_active() {
                if !parent.finished
                    && active.len() < MAX_ACTIVE
                    && let Some(kept) = self.active(node, parent.known)
                {
                    active.push(kept);
                }
                continue;
            }
            if !node.kind.is_leaf() {
                continue;
            }
            if !parent.finished && self.result_missing(node) && out.results_missing.len() < 16 {
                out.results_missing.push((cut(&node.display_name).into(), node.finished));
            }
            if node.finished == 0 {
                continue;
            }
            let id = node_id(node);
            let was_active = parent.old.and_then(|o| o.nodes.iter().find(|n| n.id == id));
            let new = node.finished > before || (node.finished == before && !at_edge.contains(&id));
            if parent.count && (was_active.is_some() || new) {
                self.ended(node, was_active, parent);
            }
            if node.finished > out.counted_until {
                out.counted_until = node.finished;
                at_edge.clear();
            }
            if node.finished == out.counted_until && !at_edge.contains(&id) && at_edge.len() < MAX_ACTIVE {
                at_edge.push(id);
            }
        }
        out.counted = at_edge.into();
        // Never cut to size where it lies: the rest of it would be too small for anything else.
        out.active =
            if active.len() == active.capacity() { active.into_boxed_slice() } else { active.drain(..).collect() };
        out
    }

    fn active(&mut self, node: &Node<'_>, known: Option<&Facts>) -> Option<ActiveNode> {
        let picked = self.picked(node);
        if !node.kind.is_leaf() && picked == 0 {
            return None;
        }
        let cause = match node.phase {
            NodePhase::Pending if !node.lock_waiting.is_empty() => {
                Some(format!("Waiting for lock {}", cut(&node.lock_waiting)).into())
            }
            NodePhase::Pending if !node.message.is_empty() => Some(cut(&node.message).into()),
            _ => None,
        };
        let duration = if node.kind == NodeKind::Suspend { resumes_after(self.workflow, node) } else { None };
        Some(ActiveNode {
            role: self.role(node, known),
            id: node_id(node),
            started: node.started,
            kind: node.kind,
            phase: node.phase,
            daemoned: node.daemoned,
            hooked: node.hooked || EXIT.find(node.name.as_bytes()).is_some(),
            picked,
            resumes: duration.map_or(0, |d| node.started.saturating_add(d).max(1)),
            cause: cause.map(|c| Box::new(Cause(c))),
        })
    }

    /// What a node is doesn't change while it runs: it is read once under one policy.
    fn role(&mut self, node: &Node<'_>, known: Option<&Facts>) -> Arc<Role> {
        if let Some(known) = known.and_then(|f| f.active_node(node_id(node))) {
            return Arc::clone(&known.role);
        }
        let (mut stage, mut agent) = (None, None);
        if let Some(policy) = &mut self.policy {
            stage = policy.observe.stage.as_mut().and_then(|r| r.of_node(self.workflow, node));
            agent = policy.observe.agent.as_mut().and_then(|r| r.of_node(self.workflow, node));
        }
        let role = Role {
            display: self.pool.text(cut(&node.display_name)),
            template: self.pool.text(cut(&node.template_name)),
            stage,
            agent,
        };
        self.pool.role(role)
    }

    /// Which detections of the policy pick this node. Grouping nodes are picked by name only.
    fn picked(&self, node: &Node<'_>) -> u16 {
        let Some(policy) = &self.policy else { return 0 };
        let mut mask = 0;
        for (i, d) in policy.detections.iter().enumerate().take(16) {
            let wanted = match d.kind {
                DetectionType::Suspended => node.kind == NodeKind::Suspend,
                DetectionType::NodeRunningTooLong => {
                    node.kind != NodeKind::Suspend && (node.kind.is_leaf() || !d.nodes.is_empty())
                }
                _ => false,
            };
            if wanted && d.nodes.matches(node) {
                mask |= 1 << i;
            }
        }
        mask
    }

    /// A finished pod whose result Argo still waits for holds the workflow open.
    fn result_missing(&self, node: &Node<'_>) -> bool {
        node.kind == NodeKind::Pod
            && (node.task_result_synced == Some(false) || self.workflow.status.results_incomplete.contains(&node.id))
    }

    fn ended(&mut self, node: &Node<'_>, was_active: Option<&ActiveNode>, parent: &Parent<'_>) {
        let seconds = node.finished.saturating_sub(node.started);
        if node.kind == NodeKind::Suspend {
            let resumes = was_active.map_or(0, |n| n.resumes);
            let end = match node.phase {
                NodePhase::Succeeded if resumes != 0 && node.finished >= resumes => SuspensionEnd::TimedOut,
                NodePhase::Succeeded => SuspensionEnd::Resumed,
                _ if parent.shutdown => SuspensionEnd::Stopped,
                NodePhase::Failed | NodePhase::Error => SuspensionEnd::Failed,
                _ => SuspensionEnd::Stopped,
            };
            self.tally.suspension_ended(&parent.namespace, cut(&node.template_name), end, seconds);
            return;
        }
        let Some(policy) = &mut self.policy else { return };
        if matches!(node.phase, NodePhase::Skipped | NodePhase::Omitted) {
            return;
        }
        let stage = policy.observe.stage.as_mut().and_then(|r| r.of_node(self.workflow, node));
        let agent = policy.observe.agent.as_mut().and_then(|r| r.of_node(self.workflow, node));
        if let Some(stage) = &stage {
            self.tally.stage_ended(stage, seconds);
        }
        if let Some(agent) = &agent {
            let failure = (node.phase != NodePhase::Succeeded).then(|| FailureReason::of(node, parent.shutdown));
            self.tally.agent_ended(&parent.namespace, agent, stage.as_deref().unwrap_or(""), failure, seconds);
        }
    }
}

/// How long a Suspend node waits before it resumes by itself; `None` = until somebody resumes it, or a duration that
/// can't be read here (a template expression).
fn resumes_after(workflow: &Workflow<'_>, node: &Node<'_>) -> Option<Secs> {
    let template = node.template_ref.as_ref().map_or(&node.template_name, |(_, template)| template);
    let (_, text) = workflow.status.suspend_durations.iter().find(|(name, _)| name == template)?;
    seconds(text)
}

/// A duration as Argo reads it (`util/template`, `parseStringToDuration`): whole seconds, or Go's `1h30m`.
fn seconds(text: &str) -> Option<Secs> {
    if let Ok(whole) = text.parse::<Secs>() {
        return Some(whole);
    }
    let mut total = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += value
            * match rest.get(..unit)? {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    (!text.is_empty()).then_some(total as Secs)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_are_read_as_argo_reads_them() {
        for (text, expected) in [
            ("2", Some(2)),
            ("90s", Some(90)),
            ("1h30m", Some(5400)),
            ("1.5h", Some(5400)),
            ("1d", Some(86_400)),
            ("", None),
            ("{{inputs.parameters.d}}", None),
            ("5x", None),
            ("-5s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
