//! The JSON text of one workflow, keys in the order of the API server.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;

use super::node::{self, Node, TEMPLATES, when};
use super::{Look, Size, Specimen, State, Trouble};

const IMAGE_MESSAGE: &str = r#"ImagePullBackOff: Back-off pulling image \"registry.example/agents/builder:v9-typo\""#;
const SCHEDULING_MESSAGE: &str = "Unschedulable: 0/12 nodes are available: 12 Insufficient nvidia.com/gpu.";

/// `write!` into a String cannot fail.
pub fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(args);
}

pub fn workflow(s: &Specimen, resource_version: u64, look: Look, out: &mut String) {
    let run = Run::new(s, look);
    out.push_str(r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"#);
    metadata(&run, resource_version, out);
    out.push_str(r#"},"spec":{"#);
    spec(&run, out);
    out.push('}');
    if s.trouble() != Some(Trouble::NotPickedUp) || run.finished {
        out.push_str(r#","status":{"#);
        status(&run, out);
        out.push('}');
    }
    out.push('}');
}

/// What is true of a workflow at the moment it is written.
struct Run<'a> {
    s: &'a Specimen,
    look: Look,
    trouble: Option<Trouble>,
    finished: bool,
    phase: &'static str,
    scope: String,
    active_since: i64,
    ended: i64,
}

impl<'a> Run<'a> {
    fn new(s: &'a Specimen, look: Look) -> Self {
        let finished = look.finished || s.state == State::Finished || s.trouble() == Some(Trouble::DeletionBlocked);
        // A healthy run moves on with each change; the clocks of the others must not.
        let moved = s.state == State::Healthy && look.revision > 0;
        Self {
            s,
            look,
            trouble: s.trouble().filter(|_| !finished),
            finished,
            phase: match s.trouble() {
                _ if finished => "Succeeded",
                Some(Trouble::LockWait) => "Pending",
                _ => "Running",
            },
            scope: format!("namespaced/{}", s.template),
            active_since: if moved { look.at - 5 } else { s.active_since },
            ended: if look.finished { look.at } else { s.active_since + 20 },
        }
    }

    /// Times of a step that has ended: the steps share the time before the active one.
    fn step(&self, ordinal: u32) -> (i64, i64) {
        let steps = i64::from(self.s.size.nodes().max(2));
        let span = (self.s.active_since - self.s.started).max(steps) / steps;
        let from = self.s.started + span * (i64::from(ordinal) - 1).max(0);
        (from, from + span)
    }
}

fn metadata(run: &Run<'_>, resource_version: u64, out: &mut String) {
    let s = run.s;
    out.push_str(r#""annotations":{"workflows.argoproj.io/pod-name-format":"v2""#);
    if s.size != Size::Tiny {
        put(
            out,
            format_args!(
                r#","workflows.argoproj.io/trace-id":"{:032x}""#,
                u128::from(super::mix(s.index.into())) << 32
            ),
        );
    }
    put(out, format_args!(r#"}},"creationTimestamp":"{}","#, when(s.started - 1)));
    if s.trouble() == Some(Trouble::DeletionBlocked) {
        put(
            out,
            format_args!(
                r#""deletionGracePeriodSeconds":0,"deletionTimestamp":"{}","finalizers":["workflows.argoproj.io/artifact-gc"],"#,
                when(s.active_since)
            ),
        );
    }
    put(
        out,
        format_args!(
            r#""generateName":"{t}-","generation":{},"labels":{{"app.kubernetes.io/part-of":"agents","github_app":"{}","workflows.argoproj.io/completed":"{}","#,
            3 + run.look.revision,
            s.agent,
            run.finished,
            t = s.template,
        ),
    );
    if s.trouble() != Some(Trouble::NotPickedUp) {
        put(out, format_args!(r#""workflows.argoproj.io/phase":"{}","#, run.phase));
    }
    put(out, format_args!(r#""workflows.argoproj.io/workflow-template":"{}"}},"managedFields":["#, s.template));
    managed_fields(run, out);
    put(
        out,
        format_args!(
            r#"],"name":"{}","namespace":"{}","resourceVersion":"{resource_version}","uid":"{}""#,
            s.name, s.namespace, s.uid
        ),
    );
}

fn managed_fields(run: &Run<'_>, out: &mut String) {
    let s = run.s;
    put(
        out,
        format_args!(
            r#"{{"apiVersion":"argoproj.io/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:generateName":{{}},"f:labels":{{".":{{}},"f:app.kubernetes.io/part-of":{{}},"f:github_app":{{}}}}}},"f:spec":{{".":{{}},"f:arguments":{{".":{{}},"f:parameters":{{}}}},"f:workflowTemplateRef":{{".":{{}},"f:name":{{}}}}}}}},"manager":"argo","operation":"Update","time":"{}"}}"#,
            when(s.started - 1)
        ),
    );
    if s.trouble() == Some(Trouble::SuspendedBySpec) {
        put(
            out,
            format_args!(
                r#",{{"apiVersion":"argoproj.io/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{{"f:spec":{{"f:suspend":{{}}}}}},"manager":"kubectl-patch","operation":"Update","time":"{}"}}"#,
                when(s.active_since)
            ),
        );
    }
    if s.size == Size::Tiny {
        return;
    }
    out.push_str(r#",{"apiVersion":"argoproj.io/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{"f:workflows.argoproj.io/pod-name-format":{},"f:workflows.argoproj.io/trace-id":{}},"f:labels":{"f:workflows.argoproj.io/completed":{},"f:workflows.argoproj.io/phase":{}}},"f:status":{".":{},"f:artifactGCStatus":{".":{},"f:notSpecified":{}},"f:artifactRepositoryRef":{".":{},"f:artifactRepository":{},"f:default":{}},"f:conditions":{},"#);
    if s.size == Size::Compressed {
        out.push_str(r#""f:compressedNodes":{},"#);
    } else {
        out.push_str(r#""f:nodes":{".":{}"#);
        for ordinal in 0..s.size.nodes() {
            out.push(',');
            node::managed(out, &s.name, ordinal);
        }
        out.push_str("},");
    }
    put(
        out,
        format_args!(
            r#""f:phase":{{}},"f:progress":{{}},"f:resourcesDuration":{{".":{{}},"f:cpu":{{}},"f:memory":{{}}}},"f:startedAt":{{}},"f:storedWorkflowTemplateSpec":{{".":{{}},"f:arguments":{{}},"f:entrypoint":{{}},"f:templates":{{}}}}}}}},"manager":"workflow-controller","operation":"Update","time":"{}"}}"#,
            when(run.active_since + 1)
        ),
    );
}

fn spec(run: &Run<'_>, out: &mut String) {
    let s = run.s;
    put(
        out,
        format_args!(
            r#""arguments":{{"parameters":[{{"name":"task-id","value":"{}"}},{{"name":"repository","value":"https://git.example/{}/{}.git"}}]}},"entrypoint":"main""#,
            s.task_id, s.namespace, s.template
        ),
    );
    if run.trouble == Some(Trouble::Stopping) {
        out.push_str(r#","shutdown":"Stop""#);
    }
    if run.trouble == Some(Trouble::SuspendedBySpec) {
        out.push_str(r#","suspend":true"#);
    }
    put(out, format_args!(r#","workflowTemplateRef":{{"name":"{}"}}"#, s.template));
}

fn status(run: &Run<'_>, out: &mut String) {
    let s = run.s;
    out.push_str(
        r#""artifactGCStatus":{"notSpecified":true},"artifactRepositoryRef":{"artifactRepository":{},"default":true}"#,
    );
    let waits = run.trouble == Some(Trouble::LockWait);
    if s.size == Size::Compressed && !waits {
        put(out, format_args!(r#","compressedNodes":"{}""#, compressed(run)));
    }
    put(
        out,
        format_args!(
            r#","conditions":[{{"status":"{}","type":"PodRunning"}}]"#,
            if run.finished { "False" } else { "True" }
        ),
    );
    if run.finished {
        put(out, format_args!(r#","finishedAt":"{}""#, when(run.ended)));
    }
    if waits {
        put(out, format_args!(r#","message":"Waiting for {}/Mutex/gpu lock. Lock status: 0/1""#, s.namespace));
    }
    if s.size != Size::Compressed && !waits {
        out.push_str(r#","nodes":"#);
        nodes(run, out);
    }
    put(out, format_args!(r#","phase":"{}""#, run.phase));
    if !waits {
        let all = s.size.nodes();
        let done = if run.finished { all } else { all - 1 };
        put(
            out,
            format_args!(
                r#","progress":"{done}/{all}","resourcesDuration":{{"cpu":{},"memory":{}}},"startedAt":"{}""#,
                all * 40 + run.look.revision,
                all * 160,
                when(s.started)
            ),
        );
    }
    if s.size != Size::Tiny {
        stored_template(s, out);
    }
    lock(run, out);
    if run.trouble == Some(Trouble::ResultLost) {
        out.push_str(r#","taskResultsCompletionStatus":{""#);
        node::id(out, &s.name, s.size.nodes() - 1);
        out.push_str("\":false}");
    }
}

fn lock(run: &Run<'_>, out: &mut String) {
    let s = run.s;
    // A holder that never was is gone: that is what wedged means. The other one is found among the healthy.
    let holder = match run.trouble {
        Some(Trouble::LockWait) => s.lock_holder.clone(),
        Some(Trouble::LockWedged) => format!("{}-gone0", s.template),
        _ => return,
    };
    put(
        out,
        format_args!(
            r#","synchronization":{{"mutex":{{"waiting":[{{"holder":"{ns}/{holder}","mutex":"{ns}/Mutex/gpu"}}]}}}}"#,
            ns = s.namespace
        ),
    );
}

/// Templates as the controller stores them in the status: the bulk of a small workflow.
fn stored_template(s: &Specimen, out: &mut String) {
    out.push_str(r#","storedWorkflowTemplateSpec":{"arguments":{"parameters":[{"name":"task-id"},{"name":"repository"}]},"entrypoint":"main","podGC":{"strategy":"OnPodCompletion"},"serviceAccountName":"agents","templates":[{"inputs":{},"metadata":{},"name":"main","outputs":{},"steps":[[{"arguments":{},"name":"implement","template":"implement"}],[{"arguments":{},"name":"quality","template":"quality"}],[{"arguments":{},"name":"testing","template":"testing"}],[{"arguments":{},"name":"approve","template":"approve"}]]},{"inputs":{},"metadata":{},"name":"approve","outputs":{},"suspend":{}}"#);
    // Larger workflows have more template text, too.
    let lines = match s.size {
        Size::Tiny | Size::Small | Size::Medium | Size::Compressed => 1,
        Size::Large => 22,
        Size::Huge => 60,
    };
    for template in &TEMPLATES[..if matches!(s.size, Size::Small | Size::Medium) { 1 } else { 3 }] {
        put(
            out,
            format_args!(
                r#",{{"container":{{"args":["{template}"],"command":["agent","run"],"env":[{{"name":"AGENT","value":"{}"}}],"image":"registry.example/agents/{template}:v14","name":"","resources":{{"limits":{{"memory":"2Gi"}},"requests":{{"cpu":"500m","memory":"1Gi"}}}}}},"inputs":{{"parameters":[{{"name":"agent"}},{{"name":"stage"}}]}},"metadata":{{"annotations":{{"doc":""#,
                s.agent
            ),
        );
        for line in 0..lines {
            put(out, format_args!("{line}: run {template} and keep its report, fail on the first finding.\\n"));
        }
        put(out, format_args!(r#""}}}},"name":"{template}","outputs":{{}}}}"#));
    }
    out.push_str("]}");
}

fn nodes(run: &Run<'_>, out: &mut String) {
    let count = run.s.size.nodes();
    out.push('{');
    for ordinal in 0..count {
        if ordinal > 0 {
            out.push(',');
        }
        node::write(out, &node_of(run, ordinal, count));
    }
    out.push('}');
}

fn node_of<'a>(run: &'a Run<'_>, ordinal: u32, count: u32) -> Node<'a> {
    let s = run.s;
    let last = ordinal + 1 == count;
    let (from, to) = run.step(ordinal);
    let mut node = Node {
        workflow: &s.name,
        scope: &run.scope,
        agent: s.agent,
        ordinal,
        kind: "Pod",
        phase: "Succeeded",
        template: TEMPLATES[(ordinal % 3) as usize],
        message: "",
        started: from,
        finished: to,
        progress: if ordinal == 0 { count } else { 1 },
        children: u32::from(!last),
        result_synced: true,
        lock: "",
        exit_code: "",
        hashes: s.size == Size::Compressed,
    };
    if ordinal == 0 && count > 1 {
        node.kind = "Steps";
        node.started = s.started;
        (node.phase, node.finished) = if run.finished { ("Succeeded", run.ended) } else { ("Running", 0) };
    } else if last {
        node.started = run.active_since;
        (node.phase, node.finished) = if run.finished { ("Succeeded", run.ended) } else { ("Running", 0) };
        node.template = "testing";
        match run.trouble {
            Some(Trouble::SuspendedNode) => (node.kind, node.template) = ("Suspend", "approve"),
            Some(Trouble::NodeTooOld) => node.template = "implement",
            Some(Trouble::ImagePull) => (node.phase, node.message) = ("Pending", IMAGE_MESSAGE),
            Some(Trouble::Unschedulable) => (node.phase, node.message) = ("Pending", SCHEDULING_MESSAGE),
            Some(Trouble::LockWedged) => (node.phase, node.lock) = ("Pending", &s.lock_name),
            // Nothing runs and nothing follows.
            Some(Trouble::SuspendedBySpec | Trouble::NoProgress) => {
                (node.phase, node.finished) = ("Succeeded", run.active_since + 5);
            }
            Some(Trouble::ResultLost) => {
                (node.phase, node.exit_code, node.result_synced) = ("Succeeded", "0", false);
                node.finished = run.active_since + 5;
            }
            _ => {}
        }
    }
    node
}

/// Base64 of the gzipped nodes; about 30 ms for 2,000 of them.
fn compressed(run: &Run<'_>) -> String {
    let mut text = String::with_capacity(4 << 20);
    nodes(run, &mut text);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    let packed = gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode(packed)
}
