//! `training-set`.

use anyhow::{Result, bail};
use hitherto_core::{Mode, Name, Selector};
use hitherto_engine::{EvidenceColumns, Existing, Progress, Provenance, Spine, TrainingSet, TrainingSetRequest};
use indicatif::ProgressBar;

use super::dataset::sources;
use super::model::pair;
use super::{explain, split};
use crate::args::Global;
use crate::config::Config;
use crate::locations;
use crate::output::{self, Format, thousands};
use crate::size::Size;
use crate::stores::{self, Use};

/// Flags of `training-set`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// The feature set: NAME (its latest version) or NAME@VERSION
    #[arg(long, value_name = "NAME[@VERSION]")]
    feature_set: Selector,
    /// The rows to be enriched (keys, time, labels): Parquet, CSV or newline-delimited JSON
    #[arg(long, value_name = "FILE|URL|-", required_unless_present = "spine_sql")]
    spine: Option<String>,
    /// The rows to be enriched, as a query over feature history
    #[arg(long, value_name = "QUERY", conflicts_with = "spine")]
    spine_sql: Option<String>,
    /// Where the Parquet file goes
    #[arg(long, value_name = "FILE_OR_URL")]
    out: String,
    /// Which rows count: what was known at each moment, or whatever is dated before it (which leaks)
    #[arg(long, value_enum, default_value = "knowledge")]
    mode: ModeFlag,
    /// The spine's column of prediction times
    #[arg(long, value_name = "COL", default_value = "event_timestamp")]
    event_timestamp: String,
    /// Add, per view, the event time and the availability of the row behind the values
    #[arg(long)]
    evidence: bool,
    /// A name by which the dataset can be asked for
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    #[command(flatten)]
    split: split::Flags,
    /// A free label of the dataset, such as a run id or a code version; may be repeated, and decides nothing
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Build it even if the same request has left the same file there before
    #[arg(long)]
    fresh: bool,
    /// Report what a join on event time alone would have leaked, as `dataset report`
    #[arg(long)]
    report: bool,
    /// Memory that it may take, like 4GiB: a spine that needs more is taken in parts, with the same result
    /// [default: half of the machine's]
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<Size>,
    /// Say on stderr what was read, what was skipped and how long each phase took
    #[arg(long)]
    explain: bool,
}

/// Which rows a training row may see.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ModeFlag {
    /// What was known at each moment
    Knowledge,
    /// Whatever is dated before it, known or not: it leaks, and the dataset says so
    Event,
}

impl From<ModeFlag> for Mode {
    fn from(flag: ModeFlag) -> Self {
        match flag {
            ModeFlag::Knowledge => Self::Knowledge,
            ModeFlag::Event => Self::Event,
        }
    }
}

/// Build a training set; print its dataset id.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let config = config.with_memory_limit(args.memory_limit);
    let engine = stores::open(&config, Use::Write, global.clock).await?;
    let wanted = TrainingSetRequest {
        feature_set: args.feature_set,
        spine: spine_of(args.spine, args.spine_sql).await?,
        out: locations::output(&args.out)?,
        mode: args.mode.into(),
        event_timestamp: args.event_timestamp,
        evidence: if args.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent },
        split: args.split.split()?,
        name: args.name,
        provenance: Provenance { actor: config.actor.clone(), tags: args.tags.into_iter().collect() },
        existing: if args.fresh { Existing::Replace } else { Existing::Reuse },
    };
    let bar = ProgressLine::new();
    let TrainingSet { dataset, explanation, .. } =
        engine.explained_training_set(&wanted, |progress| bar.show(progress)).await?;
    bar.clear();
    if let Some(explanation) = explanation.as_ref().filter(|_| args.explain) {
        explain::show(explanation);
    }
    let report = if args.report {
        let sources = sources(&dataset, None).await?;
        Some(Box::pin(engine.leakage_report(&dataset, &sources)).await?)
    } else {
        None
    };
    match (global.output, &report) {
        (Format::Json, None) => output::json(&dataset)?,
        (Format::Json, Some(report)) => output::json(&serde_json::json!({"dataset": dataset, "report": report}))?,
        (Format::Table, None) => output::line(&dataset.id)?,
        (Format::Table, Some(report)) => {
            output::line(&dataset.id)?;
            output::line("")?;
            super::report::show(report)?;
        }
    }
    output::note(match explanation {
        Some(_) => format!("{} rows in {}", thousands(dataset.rows), args.out),
        None => format!(
            "{} rows in {}: reused as built at {}, for the request and the history are the same and the file is whole; \
             --fresh builds it again",
            thousands(dataset.rows),
            args.out,
            dataset.built_at
        ),
    });
    if dataset.mode == Mode::Event {
        output::note("mode event: rows may hold values that nobody knew at their moment; the dataset says so");
    }
    Ok(())
}

/// A bar for the history that is read, then one for the rows that are written.
pub(super) struct ProgressLine {
    reading: ProgressBar,
    writing: ProgressBar,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        let reading = output::progress("reading history", Some(0));
        Self { reading, writing: output::progress("writing", Some(0)) }
    }

    pub(super) fn show(&self, progress: Progress) {
        let (bar, rows, total) = match progress {
            Progress::Reading(rows, total) => (&self.reading, rows, total),
            Progress::Writing(rows, total) => {
                self.reading.finish_and_clear();
                (&self.writing, rows, total)
            }
        };
        bar.set_length(total);
        bar.set_position(rows);
    }

    pub(super) fn clear(&self) {
        self.reading.finish_and_clear();
        self.writing.finish_and_clear();
    }
}

/// The spine that the flags name.
pub(super) async fn spine_of(location: Option<String>, query: Option<String>) -> Result<Spine> {
    match (location, query) {
        (Some(location), None) => Ok(Spine::Input(locations::input(&[location], None).await?)),
        (None, Some(query)) => Ok(Spine::Sql(query)),
        _ => bail!("a training set needs --spine or --spine-sql"),
    }
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Knowledge => "knowledge",
        Mode::Event => "event",
    }
}
