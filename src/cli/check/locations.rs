//! Where archives are kept, as the operator last found it.

use serde_json::Value;

use super::Line;
use crate::cli::source::cluster::{Cluster, Fault};

const NAME: &str = "locations";

/// One line for all that are ready, one for each that isn't; none where there are none.
pub async fn check(cluster: &Cluster) -> Vec<Line> {
    let (mut ready, mut lines) = (Vec::new(), Vec::new());
    let mut look = |json: &str| {
        let Ok(location) = serde_json::from_str::<Value>(json) else { return };
        let name = location["metadata"]["name"].as_str().unwrap_or_default();
        match judge(&location, name) {
            None => ready.push(name.to_owned()),
            Some(line) => lines.push(line),
        }
    };
    match cluster.each("/apis/unstick.dev/v1alpha1/archivelocations", "", &mut look).await {
        Ok(()) | Err(Fault::NotFound) => {}
        Err(fault) => {
            let remedy = "ask for the right to list archivelocations.unstick.dev";
            lines.push(Line::warn(NAME, format!("ArchiveLocations can't be listed: {fault}"), remedy));
        }
    }
    if !ready.is_empty() {
        lines.insert(0, Line::ok(NAME, format!("{} ready for archives: {}", ready.len(), ready.join(", "))));
    }
    lines
}

/// What is the matter with one; `None` when it is Ready.
fn judge(location: &Value, name: &str) -> Option<Line> {
    let conditions = location.pointer("/status/conditions").and_then(Value::as_array);
    let Some(ready) = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready")) else {
        let message = format!("ArchiveLocation {name} has not been tried yet");
        return Some(Line::warn(NAME, message, "start the operator: its leader tries it at once"));
    };
    if ready["status"] == "True" {
        return None;
    }
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    let message = format!("ArchiveLocation {name} is not ready ({}): {}", text("reason"), text("message"));
    Some(Line::fail(NAME, message, "until it is, nothing is archived or deleted by way of it: docs/archive.md"))
}
