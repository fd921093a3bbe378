//! `audit list|verify`.

use anyhow::{Result, bail};
use clap::Subcommand;
use hitherto_core::AuditEntry;
use hitherto_engine::Engine;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
enum Command {
    /// List changes of the registry: who did what to what, and when; --output json has before and after
    List {
        /// Begin after the entry with this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
    },
    /// Check that the log is as it was written, and that no anchor knows it otherwise; exit code 1 if not
    Verify,
}

/// Run one of them.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    match args.command {
        Command::List { after, limit } => list(&engine, after, limit, global).await,
        Command::Verify => verify(&engine, global).await,
    }
}

async fn list(engine: &Engine, after: i64, limit: usize, global: &Global) -> Result<()> {
    let entries = engine.registry().audit_log(after, limit).await?;
    if global.output == Format::Json {
        return output::json(&entries);
    }
    let row = |entry: &AuditEntry| {
        vec![
            entry.number.to_string(),
            entry.at.to_string(),
            entry.who.clone(),
            entry.verb.clone(),
            entry.subject.clone(),
            entry.hash.chars().take(12).collect(),
        ]
    };
    output::table(&["NUMBER", "AT", "WHO", "VERB", "SUBJECT", "HASH"], &entries.iter().map(row).collect::<Vec<_>>())
}

async fn verify(engine: &Engine, global: &Global) -> Result<()> {
    let report = engine.verify_audit().await?;
    if global.output == Format::Json {
        output::json(&report)?;
    }
    if !report.faults.is_empty() {
        bail!("the audit log is not as it was written:\n  {}", report.faults.join("\n  "));
    }
    if global.output == Format::Table {
        let head = report.head.map_or_else(|| "nothing yet".to_owned(), |head| head.hash);
        output::line(format!(
            "{} entries, whole up to {head}; {} anchors of the object store and {} of datasets agree",
            report.entries, report.anchors, report.datasets
        ))?;
    }
    Ok(())
}
