//! `unstick archive restore`: a workflow that can run again.

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};

use super::filter::parameter;
use super::pick::{PickArgs, content, pick};
use crate::archive::restore::{RestoreOptions, Restored, restore};
use crate::cli::args::Global;
use crate::cli::source::cluster::Cluster;
use crate::cli::{Exit, Io, Unclear, say, words};

/// Flags of `unstick archive restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub pick: PickArgs,
    /// Name of the new workflow; default: one that the server generates
    #[arg(long = "as", value_name = "NAME")]
    pub new_name: Option<String>,
    /// Namespace of the new workflow; default: that of the archived one
    #[arg(long, value_name = "NS")]
    pub into: Option<String>,
    /// Value of a parameter, such as one that was redacted; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parameter)]
    pub set: Vec<(String, String)>,
    /// Form of what is printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "yaml")]
    pub output: RestoreForm,
    /// Submit it to the cluster rather than print it
    #[arg(long)]
    pub submit: bool,
    /// Let the server check it without keeping it
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,
    /// Submit it also where redacted values are missing
    #[arg(long)]
    pub keep_redacted: bool,
}

/// Forms of a restored workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestoreForm {
    Yaml,
    Json,
}

/// Who checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    Server,
}

pub(super) async fn run(args: &RestoreArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let place = args.pick.place.open(global, io.err).await?;
    let picked = pick(&place, &args.pick, io).await.map_err(|error| {
        if args.pick.filter.parameters.is_empty() || error.is::<Unclear>() {
            return error;
        }
        anyhow!(
            "{error:#}\n  -p chooses by the parameters of the run that was; --set NAME=VALUE gives the new one a value"
        )
    })?;
    let (_, plain) = content(&place, &picked, io).await?;
    let options = RestoreOptions {
        name: args.new_name.clone(),
        namespace: args.into.clone(),
        parameters: args.set.iter().cloned().collect(),
    };
    let restored = restore(&plain, &options).with_context(|| format!("can't restore {}", picked.key))?;
    if !restored.redacted.is_empty() {
        let count = words::count(restored.redacted.len(), "value");
        writeln!(io.err, "warning: {count} redacted: {}", restored.redacted.join(", "))?;
    }
    if args.submit || args.dry_run.is_some() {
        return submit(args, global, &restored, io).await;
    }
    let text = match args.output {
        RestoreForm::Yaml => serde_saphyr::to_string(&restored.workflow).context("can't write YAML")?,
        RestoreForm::Json => serde_json::to_string_pretty(&restored.workflow).context("can't write JSON")?,
    };
    say(io, &format!("{}\n", text.trim_end()))?;
    Ok(Exit::Fine)
}

async fn submit(args: &RestoreArgs, global: &Global, restored: &Restored, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    if !restored.redacted.is_empty() && !args.keep_redacted && args.dry_run.is_none() {
        bail!("values are missing: give parameters with --set NAME=VALUE, or print it, fill them in and submit that");
    }
    let cluster = Cluster::open(global, None).await?;
    let namespace = restored.workflow["metadata"]["namespace"].as_str().unwrap_or_default();
    let dry = if args.dry_run.is_some() { "?dryRun=All" } else { "" };
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows{dry}");
    let made = cluster.create(&path, &restored.workflow).await.context("can't submit it")?;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    let how = if dry.is_empty() { "created" } else { "would be created (server dry run)" };
    say(io, &format!("workflow.argoproj.io/{name} {how} in {namespace}\n"))?;
    Ok(Exit::Fine)
}
