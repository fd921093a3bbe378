//! What an ordinary join would have leaked, in words that a person understands.

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hitherto_core::Timestamp;
use hitherto_engine::{Example, Leakage, Spine};

use crate::config::Config;
use crate::locations;
use crate::output::{line, table, thousands};
use crate::stores::{self, Use};

/// Join the flights in both modes, and say what differs.
pub(super) async fn tell(config: &Config) -> Result<()> {
    let engine = stores::open(config, Use::Existing, None).await?;
    let spine = Spine::Input(locations::input(&["data/spine.parquet".to_owned()], None).await?);
    let leakage = engine.leakage(&"late_arrival".parse()?, &spine, "event_timestamp").await?;
    line("")?;
    line("What would an ordinary join, on event time alone, have leaked?")?;
    line("")?;
    counts(&leakage)?;
    line("")?;
    examples(&leakage)
}

fn examples(leakage: &Leakage) -> Result<()> {
    let legs = leakage.views.iter().find(|view| view.alias == "aircraft_last_leg");
    for example in legs.into_iter().flat_map(|view| &view.examples) {
        line(sentence(example)?)?;
    }
    Ok(())
}

/// This flight, predicted at this time, would have read a delay of an aircraft still in the air.
fn sentence(example: &Example) -> Result<String> {
    let cell = |name: &str| text(&example.spine, name);
    let (departed, landed) =
        example.leaked_event.zip(example.leaked_available).context("an example has its evidence")?;
    let predicted: Timestamp = cell("event_timestamp")?.parse()?;
    let leaked = value(&example.leaked)?;
    let known = value(&example.known)?;
    let known = if known.is_empty() { "nothing yet".to_owned() } else { format!("{known} min, of the leg before") };
    Ok(format!(
        "- A flight of {} from {} to {}, aircraft {}, predicted at {predicted}: an ordinary join reads an arrival delay of \
         {leaked} min of a leg that had left at {departed} and was still in the air; it landed at {landed}, {} min later. \
         What was known then: {known}.",
        cell("carrier")?,
        cell("origin")?,
        cell("dest")?,
        cell("tailnum")?,
        landed.since(predicted).micros() / 60_000_000,
    ))
}

fn text(row: &RecordBatch, column: &str) -> Result<String> {
    value(row.column_by_name(column).with_context(|| format!("the spine has a column '{column}'"))?)
}

fn value(array: &dyn arrow::array::Array) -> Result<String> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%SZ"));
    Ok(ArrayFormatter::try_new(array, &options)?.value(0).to_string())
}

/// Counts per view.
fn counts(leakage: &Leakage) -> Result<()> {
    let rows: Vec<Vec<String>> = leakage
        .views
        .iter()
        .map(|view| {
            let most = view.cells.iter().max_by_key(|(_, cells)| *cells);
            let most = most.filter(|(_, cells)| *cells > 0);
            vec![
                view.alias.clone(),
                thousands(view.winners),
                thousands(view.cells.iter().map(|(_, cells)| *cells).sum::<u64>()),
                most.map(|(feature, cells)| format!("{feature} ({})", thousands(*cells))).unwrap_or_default(),
            ]
        })
        .collect();
    table(&["VIEW", "ROWS WITH ANOTHER WINNER", "CELLS THAT DIFFER", "MOST IN"], &rows)?;
    let winners: u64 = leakage.views.iter().map(|view| view.winners).sum();
    let looked_up = leakage.rows * leakage.views.len() as u64;
    line(format!(
        "{} of {} look-ups would have read something before anybody knew it",
        thousands(winners),
        thousands(looked_up)
    ))
}
