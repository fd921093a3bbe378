//! `ingest VIEW FILE…`.

use std::num::NonZeroUsize;

use anyhow::Result;
use hitherto_core::Name;
use hitherto_engine::{CompactedTable, Destination, Engine, Ingested};
use hitherto_offline::input::{ExtraColumns, Format};
use hitherto_offline::{BatchId, Compacted};

use crate::args::Global;
use crate::config::Config;
use crate::locations;
use crate::output::{self, thousands};
use crate::stores::{self, Use};

/// Flags of `ingest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The feature view
    view: Name,
    /// Parquet, CSV or newline-delimited JSON: files, patterns, URLs, or - for standard input
    #[arg(required = true, value_name = "FILE|GLOB|URL|-")]
    files: Vec<String>,
    /// An id under which the batch is remembered for 30 days: the same again changes nothing [default: a hash of the rows]
    #[arg(long, value_name = "ID")]
    batch_id: Option<String>,
    /// Where the rows go
    #[arg(long, value_enum, default_value = "offline")]
    to: To,
    /// The format of the files, where name and content do not tell
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Leave out columns that no version of the view declares, instead of refusing them
    #[arg(long)]
    ignore_extra: bool,
}

/// Where rows go.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum To {
    /// To history
    Offline,
    /// To history, then at once to the online store
    Both,
}

/// A format.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FileFormat {
    /// Apache Parquet
    Parquet,
    /// Comma-separated, with a heading
    Csv,
    /// One JSON object a line
    Ndjson,
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Parquet => Self::Parquet,
            FileFormat::Csv => Self::Csv,
            FileFormat::Ndjson => Self::Ndjson,
        }
    }
}

/// Append the rows of all files as one batch.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let uses = match args.to {
        To::Offline => Use::Write,
        To::Both => Use::WriteOnline,
    };
    let engine = stores::open(config, uses, global.clock).await?;
    let input = locations::input(&args.files, args.format.map(Into::into)).await?;
    let batch = args.batch_id.map_or(BatchId::Content, BatchId::Given);
    let extra = if args.ignore_extra { ExtraColumns::Ignore } else { ExtraColumns::Refuse };
    let to = match args.to {
        To::Offline => Destination::Offline,
        To::Both => Destination::Both,
    };
    let bar = output::progress("ingesting", None);
    let seen = bar.clone();
    let done = engine.ingest(&args.view, &input, batch, extra, to, move |rows| seen.set_position(rows)).await?;
    bar.finish_and_clear();
    report(&done, global)?;
    if let (Some(after), Some(_)) = (config.compact_after, &done.commit) {
        compact(&engine, &done.view, after).await;
    }
    Ok(())
}

/// The rows are safe and said to be, so nothing that happens here is a failure of the ingest.
async fn compact(engine: &Engine, view: &Name, after: NonZeroUsize) {
    match engine.compact_when_due(view, after).await {
        Ok(Some(CompactedTable { outcome: Compacted::Done(done), .. })) => {
            output::note(format!("{view}: {} small files became {}", done.rewritten_files, done.written_files));
        }
        // another process does it, or it was not yet due
        Ok(_) => {}
        Err(error) => tracing::warn!(
            %view,
            %error,
            "the rows are ingested, but their table could not be compacted; `hitherto compact` tries again"
        ),
    }
}

fn report(done: &Ingested, global: &Global) -> Result<()> {
    if global.output == output::Format::Json {
        return output::json(&serde_json::json!({
            "view": done.view,
            "rows": done.commit.as_ref().map_or(0, |commit| commit.rows),
            "already_ingested": done.already.is_some(),
            "batch_id": done.already.as_ref().or_else(|| done.commit.as_ref().and_then(|commit| commit.batch_id.as_ref())),
            "first_sequence": done.commit.as_ref().map(|commit| commit.first_sequence),
            "last_sequence": done.commit.as_ref().map(|commit| commit.last_sequence),
            "null_keys": done.null_keys,
            "backdated": done.backdated,
        }));
    }
    match (&done.commit, &done.already) {
        (Some(commit), _) => output::line(format!(
            "{}: {} rows, _sequence {} to {}",
            done.view,
            thousands(commit.rows),
            commit.first_sequence,
            commit.last_sequence
        ))?,
        (None, Some(id)) => {
            output::line(format!("{}: nothing changed, batch {} was ingested before", done.view, short(id)))?;
            return Ok(());
        }
        (None, None) => output::line(format!("{}: nothing changed, there were no rows", done.view))?,
    }
    if done.null_keys > 0 {
        output::note(format!(
            "{} rows have a null in their key: kept in history, they match nothing",
            thousands(done.null_keys)
        ));
    }
    // the first batch of a table changes no answer that anybody can have had
    let is_first = done.commit.as_ref().is_none_or(|commit| commit.first_sequence == 0);
    if done.backdated > 0 && !is_first {
        output::note(format!(
            "{} rows were available before now: answers for past moments change with them (a pinned dataset does not)",
            thousands(done.backdated)
        ));
    }
    let written: u64 = done.online.iter().map(|reading| reading.written).sum();
    if !done.online.is_empty() {
        output::note(format!("{} rows reached the online store", thousands(written)));
    }
    Ok(())
}

/// A hash is told by its beginning; an id that a person chose is told whole.
fn short(id: &str) -> &str {
    if id.len() > 40 && id.is_ascii() { &id[..16] } else { id }
}
