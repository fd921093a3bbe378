//! `demo [DIR]`: the main job on real data, start to finish, each command as a user would type it.

mod data;
mod leaks;
mod online;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

use crate::args::{Cli, Global};
use crate::config::Config;
use crate::output::line;
use crate::run::dispatch;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to work in; made afresh if an earlier demo left it
    #[arg(default_value = "hitherto-demo")]
    folder: PathBuf,
}

/// When the demo pretends to be: a Wednesday afternoon of July 2013, aircraft in the air.
const NOW: &str = "2013-07-10T18:00:00Z";

const TRAINING_SET: &str = "training-set --feature-set late_arrival --spine data/spine.parquet --out training.parquet \
                            --name flights_2013";
const SQL: &str = "select origin, count(*) as hours, round(avg(mean_dep_delay), 1) as mean_delay, \
                   max(p90_dep_delay) as worst_p90 from origin_hour group by origin order by mean_delay desc";

/// Run all of it.
pub(crate) async fn run(args: Args, _: &Global) -> Result<()> {
    let started = Instant::now();
    let folder = std::path::absolute(&args.folder)?;
    data::lay_out(&folder)?;
    std::env::set_current_dir(&folder).with_context(|| format!("could not enter {}", folder.display()))?;

    chapter("1. Define entities, feature views and a feature set")?;
    hitherto("apply -f data/definitions.yaml").await?;

    chapter("2. Ingest a year of flights, and one batch again")?;
    for view in ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"] {
        hitherto(&format!("ingest {view} data/{view}.parquet")).await?;
    }
    hitherto("ingest weather data/weather.parquet").await?;

    chapter("3. A training set: each flight with what was known two hours before its departure")?;
    hitherto(TRAINING_SET).await?;
    let config = Config::load(&folder, None)?;
    leaks::tell(&config).await?;

    chapter("4. A model version, tied to the feature set and to the training set")?;
    hitherto("model register late_flights --dataset flights_2013 --tag run=demo").await?;

    chapter("5. The same features online, at a pretended now in 2013")?;
    hitherto(&format!("materialize --clock {NOW}")).await?;
    hitherto("model alias late_flights@1 champion").await?;
    online::serve_and_compare(&config).await?;

    chapter("6. Feature history in SQL")?;
    typed(&format!("sql \"{SQL}\""))?;
    Box::pin(dispatch(Cli::parse_from(["hitherto", "sql", SQL]))).await?;

    farewell(&folder.display().to_string(), started.elapsed().as_secs_f64())
}

fn chapter(title: &str) -> Result<()> {
    line("")?;
    line(title)?;
    line("-".repeat(title.chars().count()))
}

fn typed(command: &str) -> Result<()> {
    line(format!("$ hitherto {command}"))
}

/// Print a command, then run it as the command line would.
async fn hitherto(command: &str) -> Result<()> {
    typed(command)?;
    let words = std::iter::once("hitherto").chain(command.split_whitespace());
    // a command that a user types may not be `demo` again, so this ends
    Box::pin(dispatch(Cli::parse_from(words))).await
}

fn farewell(folder: &str, seconds: f64) -> Result<()> {
    line("")?;
    line(format!("Done in {seconds:.1} s. Everything lies in {folder}:"))?;
    line("  data/              the definitions and the flights, as files")?;
    line("  .hitherto/offline  history: one Delta table per feature view, readable by Spark, DuckDB, Polars, pandas")?;
    line("  .hitherto/online   the latest values, embedded; the registry is .hitherto/registry.db")?;
    line("  training.parquet   the training set")?;
    line("")?;
    line("What to try next, in that folder:")?;
    line(
        "  hitherto training-set --feature-set late_arrival --spine data/spine.parquet --out leaky.parquet --mode event",
    )?;
    line("  hitherto get --model late_flights@champion --entity tailnum=N14228,origin=EWR,carrier=UA")?;
    line("  hitherto describe feature-set late_arrival")?;
    line("  hitherto serve")
}
