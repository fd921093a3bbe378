//! `audit list|verify`.

use anyhow::{Result, bail};
use clap::Subcommand;
use hitherto_core::AuditEntry;
use hitherto_engine::{AuditReport, CheckedTable, Engine};
use serde::Serialize;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format, thousands};
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
    Verify {
        /// Read every file of history too, and hold it against the SHA-256 that was recorded when it was written
        #[arg(long)]
        history: bool,
    },
}

/// Run one of them.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    match args.command {
        Command::List { after, limit } => list(&engine, after, limit, global).await,
        Command::Verify { history } => verify(&engine, history, global).await,
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

async fn verify(engine: &Engine, history: bool, global: &Global) -> Result<()> {
    let report = engine.verify_audit().await?;
    let tables = if history { Some(check_history(engine).await?) } else { None };
    if global.output == Format::Json {
        output::json(&Verified { log: &report, history: tables.as_deref() })?;
    }
    let changed: Vec<&String> = tables.iter().flatten().flat_map(|table| &table.files.faults).collect();
    let mut wrong = Vec::new();
    if !report.faults.is_empty() {
        wrong.push(format!("the audit log is not as it was written:\n  {}", report.faults.join("\n  ")));
    }
    if !changed.is_empty() {
        let changed: Vec<&str> = changed.into_iter().map(String::as_str).collect();
        wrong.push(format!("history is not as it was written:\n  {}", changed.join("\n  ")));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    if global.output == Format::Table {
        let head = report.head.map_or_else(|| "nothing yet".to_owned(), |head| head.hash);
        output::line(format!(
            "{} entries, whole up to {head}; {} anchors of the object store and {} of datasets agree",
            report.entries, report.anchors, report.datasets
        ))?;
        tables.iter().flatten().try_for_each(|table| output::line(told(table)))?;
    }
    Ok(())
}

/// What `audit verify` prints as JSON.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    log: &'a AuditReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a [CheckedTable]>,
}

async fn check_history(engine: &Engine) -> Result<Vec<CheckedTable>> {
    let bar = output::progress("reading history", Some(0));
    let seen = |bytes, of| {
        bar.set_length(of);
        bar.set_position(bytes);
    };
    let checked = engine.check_history(&seen).await?;
    bar.finish_and_clear();
    Ok(checked)
}

fn told(table: &CheckedTable) -> String {
    let files = &table.files;
    let unrecorded = match files.unrecorded {
        0 => String::new(),
        some => format!("; of {some} more no hash was recorded"),
    };
    format!(
        "{}: {} files, {} bytes, as they were written{unrecorded}",
        table.table,
        files.whole,
        thousands(files.bytes)
    )
}
