//! The words: one sentence for each reason, the same in events, incidents, `stuck`, `explain` and the page.

use super::detect::{lifecycle, locks};
use super::diagnosis::Hold;
use super::facts::{ActiveNode, Facts, Phase};
use super::index::Index;
use super::pods::StrayPods;
use crate::api::reasons::Reason;
use crate::api::workflow::Secs;

/// `3d4h`, `26h`, `12m`, `8s`: two units at most, the smaller one dropped when it is zero.
pub fn span(seconds: Secs) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    let two = |n: u32, unit: &str, rest: u32, small: &str| {
        if rest == 0 { format!("{n}{unit}") } else { format!("{n}{unit}{rest}{small}") }
    };
    if days >= 2 {
        two(days, "d", hours % 24, "h")
    } else if hours >= 1 {
        two(hours, "h", minutes % 60, "m")
    } else if minutes >= 1 {
        two(minutes, "m", seconds % 60, "s")
    } else {
        format!("{seconds}s")
    }
}

/// Where to look from: the facts of the run and its surroundings.
pub struct Scene<'a> {
    pub facts: &'a Facts,
    pub index: &'a Index,
    pub pods: &'a StrayPods,
}

impl Scene<'_> {
    /// One sentence: what is wrong, at which node, because of what.
    pub fn message(&self, hold: &Hold) -> String {
        let facts = self.facts;
        let node = hold.node.and_then(|id| facts.active_node(id));
        let at = |n: Option<&ActiveNode>| n.map_or_else(|| "a node".to_owned(), |n| format!("node {:?}", &*n.display));
        let cause = node.map_or("", ActiveNode::cause);
        let said = if cause.is_empty() { String::new() } else { format!(": {cause}") };
        match hold.reason {
            Reason::Finalizer => {
                let names = facts.rare.as_ref().map(|r| r.finalizers.join(", ")).unwrap_or_default();
                format!("deleted, but finalizer {names} holds the object")
            }
            Reason::NoController => {
                match super::intern::label(&facts.labels, "workflows.argoproj.io/controller-instanceid") {
                    Some(id) => format!("no listed Argo controller serves instance id {id:?}"),
                    None => "no listed Argo controller serves workflows without an instance id".to_owned(),
                }
            }
            Reason::Unreconciled => "no Argo controller has taken it up".to_owned(),
            Reason::ShutdownIgnoredWhileSuspended => format!(
                "spec.shutdown {} has no effect while spec.suspend is true (argo-workflows #17041)",
                facts.shutdown.as_str()
            ),
            Reason::ExitHandlerRunning => format!("told to {}, its exit handler still runs", self.shutdown()),
            Reason::PodsRemain => {
                let n = lifecycle::pods_left(facts);
                format!("told to {}, {n} {}", self.shutdown(), if n == 1 { "pod remains" } else { "pods remain" })
            }
            Reason::LockWait => format!("told to {}, it still waits for {}", self.shutdown(), self.lock()),
            Reason::HolderGone => format!("waits for {}, which no longer exists", self.dead_lock()),
            Reason::HolderFinished => format!("waits for {}, which has finished", self.dead_lock()),
            Reason::ResultIncomplete => {
                let name = node
                    .map(|n| n.display.to_string())
                    .or_else(|| facts.rare.as_ref()?.results_missing.first().map(|(n, _)| n.to_string()));
                format!("the pod of node {:?} has finished, its task result never arrived", name.unwrap_or_default())
            }
            Reason::WaitingForLock if node.is_none() => format!("waits for {}", self.lock()),
            Reason::WaitingForLock => format!("{} waits for a lock{said}", at(node)),
            Reason::ParallelismLimit => match node {
                Some(_) => format!("{} waits for a free slot{said}", at(node)),
                None => "waits for a free slot: too many workflows are running (parallelism)".to_owned(),
            },
            Reason::QuotaExceeded => {
                format!("{} exceeds a resource quota{said}", node.map_or_else(|| "it".to_owned(), |n| at(Some(n))))
            }
            Reason::ImagePull => format!("the image of {} can't be pulled{said}", at(node)),
            Reason::Unschedulable => format!("the pod of {} can't be scheduled{said}", at(node)),
            Reason::ContainerConfig => format!("the container of {} can't be created{said}", at(node)),
            Reason::PodPending => format!("the pod of {} has not started{said}", at(node)),
            Reason::AwaitingResume => format!("{} waits to be resumed", at(node)),
            Reason::SuspendedBySpec => {
                "spec.suspend is true: nothing new is started until somebody resumes it".to_owned()
            }
            Reason::AutoResumeOverdue => format!("{} should have resumed by itself", at(node)),
            Reason::NodeOverAge => format!("{} is still running", at(node)),
            Reason::NoNodeChange => "no node has started or finished".to_owned(),
            Reason::OverAge if facts.phase == Phase::Unset => "still not started".to_owned(),
            Reason::OverAge => format!("still {}", facts.phase.as_str()),
            Reason::Unexplained => {
                let message = facts.rare.as_ref().map_or("", |r| &r.message);
                if message.is_empty() { "Argo gives no cause".to_owned() } else { format!("Argo says: {message}") }
            }
        }
    }

    fn shutdown(&self) -> String {
        self.facts.shutdown.as_str().to_lowercase()
    }

    fn lock(&self) -> String {
        let Some(lock) = self.facts.waiting().first() else { return "a lock".to_owned() };
        let Some((namespace, name)) = lock.holders.first() else { return format!("lock {}", lock.name) };
        match lock.holders.len() - 1 + lock.unnamed as usize {
            0 => format!("lock {} held by {namespace}/{name}", lock.name),
            more => format!("lock {} held by {namespace}/{name} and {more} more", lock.name),
        }
    }

    fn dead_lock(&self) -> String {
        match locks::dead(self.facts, self.index) {
            Some((lock, _)) => {
                let holder = lock.holders.first().map(|(ns, name)| format!("{ns}/{name}")).unwrap_or_default();
                format!("lock {} held by {holder}", lock.name)
            }
            None => self.lock(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m1s"),
            (3600, "1h"),
            (93_600, "26h"),
            (172_800, "2d"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
