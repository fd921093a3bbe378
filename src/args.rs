//! Flags and commands, as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use hitherto_core::Timestamp;

use crate::cmd;
use crate::output::Format;

/// A feature store that is right at every point in time.
///
/// Training sets hold exactly what was known at each row's moment; serving gives the same values by the same rule; both are
/// tied to model versions. With no configuration at all, everything lives under ./.hitherto and needs no server.
#[derive(Debug, Parser)]
#[command(name = "hitherto", version, max_term_width = 110, after_help = AFTER)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Begin with `hitherto demo`: the whole of it on real data, in seconds.

Configuration is the nearest hitherto.toml or .hitherto from here upward, or --config; then
variables such as HITHERTO_ONLINE__URL; then flags. The later wins.

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file, instead of the nearest hitherto.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How data are written to stdout
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// A pretended now, frozen, for demos and tests: 2013-07-01T12:00:00Z
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) clock: Option<Timestamp>,
}

impl Global {
    /// The same, with JSON for output where a command was given its own `--json`.
    pub(crate) fn with_json(&self, json: bool) -> Self {
        Self { output: if json { Format::Json } else { self.output }, ..self.clone() }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the main job on real flights, start to finish, and print each command as you would type it
    Demo(cmd::demo::Args),
    /// Show the difference between definition files and the registry
    Plan(cmd::apply::Args),
    /// Make the difference between definition files and the registry, in one transaction
    Apply(cmd::apply::Args),
    /// List what the registry holds
    List(cmd::list::Args),
    /// Describe one thing that the registry holds
    Describe(cmd::describe::Args),
    /// Append rows to a feature view's history
    Ingest(cmd::ingest::Args),
    /// Build a training set: each row with exactly what was known at its moment
    TrainingSet(cmd::training_set::Args),
    /// Show, list, verify, report on or rebuild training sets
    Dataset(cmd::dataset::Args),
    /// Bring the online store up to date, once
    Materialize(cmd::materialize::Args),
    /// Read the latest values online, with a status for each
    Get(cmd::get::Args),
    /// Register and evaluate model versions, move aliases through their gates, share traffic
    Model(cmd::model::Args),
    /// List every change of the registry, or check that the log of them is whole
    Audit(cmd::audit::Args),
    /// Show what a thing came from and what was made of it: features, datasets, models, batches, files
    Lineage(cmd::lineage::Args),
    /// Rewrite small files of history into few, sorted by key and time; no row changes
    Compact(cmd::compact::Args),
    /// Delete files that history does not need any more
    Vacuum(cmd::vacuum::Args),
    /// Erase one entity of a feature view, everywhere: from history, its files and the online store
    Erase(cmd::erase::Args),
    /// Create, list and revoke API tokens: who may call a server, and in which role
    Token(cmd::token::Args),
    /// Ask feature history in SQL
    Sql(cmd::sql::Args),
    /// Serve features over gRPC, health and metrics over HTTP
    Serve(cmd::serve::Args),
}
