//! The one place that deletes a workflow. It takes a permit, which only the judgement of the governing policy makes.

use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Preconditions, PropagationPolicy};

use super::object::failed;
use crate::mutant;
use crate::watchdog::janitor::job::{Outcome, Permit, Target};

/// Deletes the very object that was judged: uid and resourceVersion are preconditions (I2).
pub async fn delete(client: Client, target: &Target, resource_version: &str, permit: Permit) -> Outcome {
    if !permit.is_for(&target.uid, resource_version) {
        return Outcome::Changed;
    }
    let preconditions = Preconditions {
        uid: (!mutant::on("no-uid")).then(|| target.uid.clone()),
        resource_version: (!mutant::on("no-resource-version")).then(|| resource_version.to_owned()),
    };
    let parameters = DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "workflows");
    let workflows: Api<DynamicObject> = Api::namespaced_with(client, &target.namespace, &resource);
    match workflows.delete(&target.name, &parameters).await {
        Ok(_) => {
            let (workflow, ground) = (format!("{}/{}", target.namespace, target.name), permit.ground());
            tracing::info!(workflow, uid = target.uid, ground, "deleted");
            Outcome::Deleted
        }
        Err(error) => failed(&error),
    }
}
