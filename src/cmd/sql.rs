//! `sql QUERY`.

use std::io;

use anyhow::Result;
use futures::TryStreamExt;

use crate::args::Global;
use crate::config::Config;
use crate::output;
use crate::stores::{self, Use};

/// Flags of `sql`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The query; read-only
    query: String,
    /// How rows are written, instead of --output
    #[arg(long, value_enum)]
    format: Option<Rows>,
}

const AFTER: &str = "\
Each feature view is a table with its full history: its keys, event_timestamp, created_timestamp,
its features, available_at, _deleted, _sequence and _ingested_at. Older versions are \"view@1\".

  latest.VIEW                          current values: a row an entity key, none for a withheld one
  training_sets.NAME, \"ID\"            training sets
  registry.TABLE                       what is recorded: feature_views, features, feature_sets, datasets,
                                       models, aliases, evaluations, batches, audit, lineage
  value_at('VIEW', TIME)               what was known of each key at a time
  features_as_of('SET', (QUERY))       the rows of a query with a feature set's features
  VIEW for system_time as of TIME      the rows that had been ingested by a time
  L asof join R match_condition (L.t >= R.t) on L.k = R.k

Only queries: nothing can be written, and no file can be named. More in docs/sql.md.

  hitherto sql \"select origin, count(*) from weather group by origin\"
  hitherto sql \"select * from latest.weather where origin = 'EWR'\"
  hitherto sql \"select to_name from registry.lineage where from_name = 'weather@1:wind_gust'\"";

/// How rows are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Rows {
    /// A table for people
    Table,
    /// Comma-separated, with a heading
    Csv,
    /// One JSON object a line
    Json,
}

/// Run the query and print its rows as they come (a table: at the end).
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let mut rows = engine.sql(&args.query).await?;
    let format = args.format.unwrap_or(match global.output {
        output::Format::Table => Rows::Table,
        output::Format::Json => Rows::Json,
    });
    match format {
        Rows::Table => {
            let schema = rows.schema();
            let mut batches: Vec<_> = rows.try_collect().await?;
            if batches.is_empty() {
                batches.push(arrow::array::RecordBatch::new_empty(schema));
            }
            output::batches(&batches)
        }
        Rows::Csv => {
            let mut writer = arrow::csv::Writer::new(io::stdout());
            writer.write(&arrow::array::RecordBatch::new_empty(rows.schema()))?;
            while let Some(batch) = rows.try_next().await? {
                writer.write(&batch)?;
            }
            Ok(())
        }
        Rows::Json => {
            let mut writer = arrow::json::LineDelimitedWriter::new(io::stdout());
            while let Some(batch) = rows.try_next().await? {
                writer.write(&batch)?;
            }
            Ok(writer.finish()?)
        }
    }
}
