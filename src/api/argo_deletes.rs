//! What Argo is told elsewhere about deleting finished runs: the history limits of `CronWorkflow`s and the controller's
//! `retentionPolicy`. Read leniently: what can't be read says nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

/// Where Argo's controller has its settings.
pub const CONFIG_MAP: &str = "workflow-controller-configmap";

/// A page of `CronWorkflow`s, as far as their limits go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CronPage<'a> {
    #[serde(borrow)]
    pub items: Vec<Cron<'a>>,
    pub metadata: PageMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PageMeta {
    /// The token of the next page.
    #[serde(rename = "continue")]
    pub next: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cron<'a> {
    #[serde(borrow)]
    pub metadata: CronMeta<'a>,
    #[serde(borrow)]
    pub spec: CronSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CronMeta<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronSpec<'a> {
    /// Up to Argo 3.7.
    #[serde(borrow)]
    pub schedule: Cow<'a, str>,
    pub schedules: Vec<String>,
    pub suspend: bool,
    pub successful_jobs_history_limit: Option<i64>,
    pub failed_jobs_history_limit: Option<i64>,
}

impl CronSpec<'_> {
    pub fn all_schedules(&self) -> impl Iterator<Item = &str> {
        let one = Some(self.schedule.as_ref()).filter(|s| !s.is_empty());
        one.into_iter().chain(self.schedules.iter().map(String::as_str))
    }

    /// Runs that are kept, of those that succeeded and of the others. Argo's own defaults are 3 and 1.
    pub fn kept(&self) -> [usize; 2] {
        [(self.successful_jobs_history_limit, 3), (self.failed_jobs_history_limit, 1)]
            .map(|(limit, default)| limit.map_or(default, |l| usize::try_from(l).unwrap_or(0)))
    }
}

/// `retentionPolicy` of a controller: how many finished runs of each phase it leaves, over all its namespaces. What isn't
/// given is 0: none of them stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RetentionPolicy {
    pub completed: usize,
    /// Newer versions of Argo only; `completed` where it isn't given.
    pub succeeded: usize,
    pub failed: usize,
    pub errored: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Whole {
    retention_policy: Option<RetentionPolicy>,
    #[serde(rename = "instanceID")]
    instance_id: String,
}

impl RetentionPolicy {
    /// Of the data of a `ConfigMap`, each setting under its own key or all in one document under `config`; `None` when it is
    /// of a controller with another instance id.
    pub fn read(data: &BTreeMap<String, String>, instance_id: &str) -> Option<Self> {
        let whole = match data.get("config") {
            Some(text) => serde_saphyr::from_str(text).ok()?,
            None => Whole::default(),
        };
        let id = data.get("instanceID").map_or(whole.instance_id.as_str(), |id| id.trim());
        if id != instance_id {
            return None;
        }
        match data.get("retentionPolicy") {
            Some(text) => serde_saphyr::from_str(text).ok(),
            None => whole.retention_policy,
        }
    }

    /// How many are left of those that succeeded, failed, ended in error.
    pub const fn kept(&self) -> [usize; 3] {
        [if self.succeeded == 0 { self.completed } else { self.succeeded }, self.failed, self.errored]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_page() {
        let text = r#"{"metadata":{"continue":"t","resourceVersion":"1"},"items":[
            {"metadata":{"name":"a","namespace":"etl","labels":{}},"spec":{"schedule":"* * * * *","workflowSpec":{}}},
            {"metadata":{"name":"b"},"spec":{"schedules":["0 1 * * *"],"successfulJobsHistoryLimit":0,"suspend":true}}]}"#;
        let page: CronPage<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(page.metadata.next, "t");
        assert_eq!(page.items[0].spec.kept(), [3, 1]);
        assert_eq!(page.items[0].spec.all_schedules().collect::<Vec<_>>(), ["* * * * *"]);
        assert_eq!(page.items[1].spec.kept(), [0, 1]);
        assert!(page.items[1].spec.suspend);
    }

    #[test]
    fn retention_in_both_forms() {
        let of = |key: &str, text: &str| RetentionPolicy::read(&[(key.to_owned(), text.to_owned())].into(), "");
        let own = of("retentionPolicy", "completed: 10\nfailed: 3\nerrored: 4\n").unwrap();
        assert_eq!(own.kept(), [10, 3, 4]);
        let whole = of("config", "parallelism: 5\nretentionPolicy: {completed: 10, succeeded: 7}\n").unwrap();
        assert_eq!(whole.kept(), [7, 0, 0]);
        assert_eq!(of("config", "parallelism: 5\n"), None);
        assert_eq!(of("retentionPolicy", "much: [\n"), None);
        assert_eq!(of("other", "completed: 1"), None);
        assert_eq!(
            of("config", "instanceID: second\nretentionPolicy: {completed: 10}\n"),
            None,
            "another controller's"
        );
        let second = [("instanceID".to_owned(), "second".to_owned()), ("retentionPolicy".to_owned(), "{}".to_owned())];
        assert_eq!(RetentionPolicy::read(&second.clone().into(), "second").unwrap().kept(), [0, 0, 0]);
        assert_eq!(RetentionPolicy::read(&second.into(), ""), None);
    }
}
