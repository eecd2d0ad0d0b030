//! Entries of `status.nodes` as Argo 4.1 writes them, and their share of managedFields.

use jiff::Timestamp;

use super::mix;
use super::render::put;

/// What one node says.
pub struct Node<'a> {
    /// Name of the workflow.
    pub workflow: &'a str,
    pub scope: &'a str,
    pub agent: &'a str,
    pub ordinal: u32,
    pub kind: &'a str,
    pub phase: &'a str,
    pub template: &'a str,
    pub message: &'a str,
    pub started: i64,
    /// 0 while it runs.
    pub finished: i64,
    /// 0 for the root.
    pub progress: u32,
    pub children: u32,
    pub result_synced: bool,
    pub lock: &'a str,
    pub exit_code: &'a str,
    /// Adds a parameter that doesn't compress, as hashes and tokens in real parameters don't.
    pub hashes: bool,
}

/// Templates a step is an instance of, by turns.
pub const TEMPLATES: [&str; 4] = ["implement", "quality", "testing", "approve"];

/// `<workflow>-<number>` in the order of the steps; the root has the workflow's own name.
pub fn id(out: &mut String, workflow: &str, ordinal: u32) {
    out.push_str(workflow);
    if ordinal > 0 {
        let number = 1_000_000_000 + u64::from(ordinal) * 1_400_000 + mix(u64::from(ordinal)) % 1_400_000;
        put(out, format_args!("-{number}"));
    }
}

/// Appends `"id":{...}`, about 1.3 KB for a step.
pub fn write(out: &mut String, node: &Node<'_>) {
    let root = node.ordinal == 0;
    out.push('"');
    id(out, node.workflow, node.ordinal);
    out.push_str("\":{");
    if !root {
        put(out, format_args!("\"boundaryID\":\"{}\",", node.workflow));
    }
    if node.children > 0 {
        out.push_str("\"children\":[\"");
        id(out, node.workflow, node.ordinal + 1);
        out.push_str("\"],");
    }
    let step = node.ordinal;
    if root {
        put(out, format_args!("\"displayName\":\"{}\"", node.workflow));
    } else {
        put(out, format_args!("\"displayName\":\"{}-{step}\"", node.template));
    }
    if node.finished > 0 {
        put(out, format_args!(",\"finishedAt\":\"{}\"", when(node.finished)));
    }
    if node.kind == "Pod" {
        put(out, format_args!(",\"hostNodeName\":\"ip-10-0-{}-{}.eu-west-1.compute.internal\"", step % 7, step % 251));
    }
    out.push_str(",\"id\":\"");
    id(out, node.workflow, node.ordinal);
    put(
        out,
        format_args!(
            "\",\"inputs\":{{\"artifacts\":[{{\"name\":\"source\",\"path\":\"/src\",\"s3\":{{\"key\":\"runs/{wf}/source-{step}.tgz\"}}}}],\
         \"parameters\":[{{\"name\":\"agent\",\"value\":\"{agent}\"}},{{\"name\":\"stage\",\"value\":\"{template}\"}},\
         {{\"name\":\"attempt\",\"value\":\"{step}\"}},{{\"name\":\"prompt\",\"value\":\"Take the change set of step {step}, apply \\\"{template}\\\" \
         to it and write what was done, line by line, to the report.\"}}",
            wf = node.workflow,
            agent = node.agent,
            template = node.template,
        ),
    );
    if node.hashes {
        out.push_str(",{\"name\":\"commits\",\"value\":\"");
        let seed = node.workflow.bytes().fold(u64::from(step), |all, b| mix(all ^ u64::from(b)));
        for n in 0..6 {
            put(out, format_args!("{:016x}", mix(seed ^ n)));
        }
        out.push_str("\"}");
    }
    out.push_str("]}");
    if !node.message.is_empty() {
        put(out, format_args!(",\"message\":\"{}\"", node.message));
    }
    if root {
        put(out, format_args!(",\"name\":\"{}\"", node.workflow));
    } else {
        put(out, format_args!(",\"name\":\"{}[{step}].{}-{step}\"", node.workflow, node.template));
    }
    out.push_str(",\"nodeFlag\":{}");
    if node.finished > 0 || !node.exit_code.is_empty() {
        let code = if node.exit_code.is_empty() { "0" } else { node.exit_code };
        put(
            out,
            format_args!(
                ",\"outputs\":{{\"artifacts\":[{{\"name\":\"main-logs\",\"s3\":{{\"key\":\"{wf}/{wf}-{template}-{step}/main.log\"}}}}],\
             \"exitCode\":\"{code}\",\"parameters\":[{{\"name\":\"tokens\",\"value\":\"{tokens}\",\"valueFrom\":{{\"path\":\"/tmp/tokens\"}}}},\
             {{\"name\":\"summary\",\"value\":\"step {step} of {template}: {files} files changed, {tests} tests passed\",\
             \"valueFrom\":{{\"path\":\"/tmp/summary\"}}}}]}}",
                wf = node.workflow,
                template = node.template,
                tokens = mix(u64::from(step)) % 90_000,
                files = step % 17,
                tests = step * 3,
            ),
        );
    }
    put(
        out,
        format_args!(
            ",\"phase\":\"{}\",\"progress\":\"{}/{}\",\"resourcesDuration\":{{\"cpu\":{},\"memory\":{}}},\"startedAt\":\"{}\"",
            node.phase,
            u32::from(node.finished > 0),
            node.progress.max(1),
            step % 90 + 1,
            step % 300 + 12,
            when(node.started),
        ),
    );
    if !node.lock.is_empty() {
        put(out, format_args!(",\"synchronizationStatus\":{{\"waiting\":\"{}\"}}", node.lock));
    }
    if node.kind == "Pod" {
        put(out, format_args!(",\"taskResultSynced\":{}", node.result_synced));
    }
    put(
        out,
        format_args!(
            ",\"templateName\":\"{}\",\"templateScope\":\"{}\",\"type\":\"{}\"}}",
            if root { "main" } else { node.template },
            node.scope,
            node.kind,
        ),
    );
}

/// Appends the node's entry in managedFields, about 0.4 KB.
pub fn managed(out: &mut String, workflow: &str, ordinal: u32) {
    out.push_str("\"f:");
    id(out, workflow, ordinal);
    out.push_str(
        "\":{\".\":{},\"f:boundaryID\":{},\"f:children\":{},\"f:displayName\":{},\"f:finishedAt\":{},\"f:hostNodeName\":{},\"f:id\":{},\
         \"f:inputs\":{\".\":{},\"f:artifacts\":{},\"f:parameters\":{}},\"f:name\":{},\"f:nodeFlag\":{},\"f:outputs\":{\".\":{},\
         \"f:artifacts\":{},\"f:exitCode\":{},\"f:parameters\":{}},\"f:phase\":{},\"f:progress\":{},\"f:resourcesDuration\":{\".\":{},\
         \"f:cpu\":{},\"f:memory\":{}},\"f:startedAt\":{},\"f:taskResultSynced\":{},\"f:templateName\":{},\"f:templateScope\":{},\"f:type\":{}}",
    );
}

/// RFC 3339 in whole seconds.
pub fn when(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}
