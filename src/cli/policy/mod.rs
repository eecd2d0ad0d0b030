//! `unstick policy lint` and `unstick policy init`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::Plain;

pub mod lint;
pub mod overlap;
pub mod places;

/// Commands on policies as files.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check policy files: schema, values, policies that hide each other, and the locations they name
    #[command(after_help = super::args::EXIT_CODES)]
    Lint(LintArgs),
    /// Print a commented policy to start from; it is also what is used where there is none
    Init {
        /// Write the policy of one namespace instead of one for the cluster
        #[arg(short, long, value_name = "NS", value_parser = name)]
        namespace: Option<String>,
    },
}

/// Flags of `unstick policy lint`.
#[derive(Args, Clone, Debug)]
pub struct LintArgs {
    /// Files of policies, YAML or JSON; - is stdin. `ArchiveLocations` and Namespaces in them count too
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Count errors only: warnings are shown, but don't make it exit with 1
    #[arg(long)]
    pub ignore_warnings: bool,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
    /// Exit with 0 also when there are problems
    #[arg(long)]
    pub exit_zero: bool,
}

fn name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(fine) || text.starts_with('-') || text.ends_with('-') {
        return Err("must be the name of a namespace: lower case letters, digits and -".to_owned());
    }
    Ok(text.to_owned())
}
