//! `erase VIEW --entity k=v`.

use anyhow::Result;
use hitherto_core::{Name, Span};
use hitherto_engine::{Act, Engine, ErasedEntity, ErasureRequest, Holding};
use hitherto_offline::CompactOptions;
use serde_json::json;

use super::get::row_of_flag;
use crate::args::Global;
use crate::config::Config;
use crate::locations;
use crate::output::{self, Format, thousands};
use crate::size::Size;
use crate::stores::{self, Use};

/// Flags of `erase`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The feature view
    view: Name,
    /// The entity key: k=v,k2=v2
    #[arg(long, value_name = "K=V,…")]
    entity: String,
    /// Do it. Without this nothing is changed, and what would go is shown
    #[arg(long)]
    yes: bool,
    /// Keep the files that still hold the rows for so long, for those who are reading them
    #[arg(long, value_name = "TIME", default_value = "7d")]
    delay: Span,
    /// Memory for rewriting files; what does not fit waits in temporary files (in TMPDIR)
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory_limit: Size,
}

const AFTER: &str = "\
History is rewritten without the entity's rows, in one commit; its row leaves the online store; ingests, compactions, \
materializations and pushes that began before cannot bring it back. Rows that come later are new: erase again if they \
should not be there.

Files that still hold the rows are deleted when the delay is over, and the table's log from before with them: `hitherto \
serve` does so by itself, otherwise run `hitherto vacuum`. Keep the delay longer than any ingest, training set or \
rebuild takes: with 0s those that are at work fail, or lose their rows.

Training sets are files of yours: those that hold rows of the entity are listed, with the model versions that were \
trained on them, and stay. A training set with values of it cannot be built again, and its manifest may quote them: `hitherto dataset forget` removes \
the manifest of one that no model version needs. One that is being built meanwhile \
is not listed: look again afterwards. Backups, exports, batch ids that name somebody, rows with a null in another part \
of their key, and the free pages of databases are beyond reach.

Nothing that is kept for good names the entity: the audit log has the view, the numbers of rows and the erasure's id. \
For the delay, the table's log has a salted hash of the key.";

/// Erase, or look, and say what was found where.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    // definitions are only read: where there are none there is nothing to do, and nothing is made
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let request = ErasureRequest {
        view: args.view.clone(),
        key: row_of_flag(&args.entity)?,
        delay: args.delay,
        act: if args.yes { Act::Erase } else { Act::LookOnly },
    };
    let options = CompactOptions { memory_bytes: args.memory_limit.0, ..CompactOptions::default() };
    let bar = output::progress("rewriting", Some(0));
    let seen = |rows, of| {
        bar.set_length(of);
        bar.set_position(rows);
    };
    let mut entity = engine.erase(&request, &options, &seen).await?;
    if args.yes && engine.online().is_err() {
        // the online store may have been made while history was rewritten, and filled from what it was before
        let again = stores::open(config, Use::Existing, global.clock).await?;
        if again.online().is_ok() {
            entity = again.erase(&request, &options, &seen).await?;
        }
    }
    bar.finish_and_clear();
    let holdings = holdings(&engine, &entity).await?;
    match global.output {
        Format::Json => output::json(&object(&entity, &holdings))?,
        Format::Table => show(&entity, &holdings)?,
    }
    notes(&args, &entity);
    if args.yes {
        // what is due goes now; of a delay of 0s that is this erasure
        engine.purge(std::slice::from_ref(&args.view)).await?;
    }
    Ok(())
}

async fn holdings(engine: &Engine, entity: &ErasedEntity) -> Result<Vec<Holding>> {
    let mut found = Vec::new();
    for dataset in engine.datasets_concerned(entity).await? {
        let file = locations::input(std::slice::from_ref(&dataset.location), None).await;
        let file = file.map_err(|error| format!("{error:#}"));
        let holding = engine.holding(entity, &dataset, file).await?;
        if holding.rows != Some(0) {
            found.push(holding);
        }
    }
    Ok(found)
}

fn show(entity: &ErasedEntity, holdings: &[Holding]) -> Result<()> {
    let verb = if entity.id.is_some() { "ERASED" } else { "TO ERASE" };
    let tables = entity.tables.iter().map(|table| {
        let earlier: u64 = table.earlier.values().sum();
        let before = if earlier > 0 { format!(", {} before", thousands(earlier)) } else { String::new() };
        vec![
            format!("table {}", table.table),
            format!("{} rows{before}", thousands(table.rows)),
            format!("{} files", table.files),
        ]
    });
    let online = entity.online.iter().map(|reading| {
        let rows = if reading.held { "1 row" } else { "no row" };
        vec![format!("online {}", reading.reading), rows.to_owned(), String::new()]
    });
    output::table(&["FROM", verb, "IN"], &tables.chain(online).collect::<Vec<_>>())?;
    if holdings.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let row = |holding: &Holding| {
        let models: Vec<String> = holding.models.iter().map(ToString::to_string).collect();
        let rows = holding.rows.map_or_else(|| "?".to_owned(), thousands);
        let rebuild = match (holding.rows_with_values, &holding.fault) {
            (_, Some(fault)) => fault.clone(),
            (Some(0), None) => "yes".to_owned(),
            _ => "no".to_owned(),
        };
        vec![holding.dataset.chars().take(12).collect(), rows, rebuild, models.join(" "), holding.location.clone()]
    };
    let heading = ["TRAINING SET", "ROWS OF IT", "CAN BE REBUILT", "MODELS", "FILE"];
    output::table(&heading, &holdings.iter().map(row).collect::<Vec<_>>())
}

fn notes(args: &Args, entity: &ErasedEntity) {
    for other in &entity.others {
        output::note(format!(
            "{} has {} rows of the same key: `hitherto erase {} --entity …` erases them",
            other.view,
            thousands(other.rows),
            other.view
        ));
    }
    for (table, names) in &entity.other_keys {
        let key = names.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(",");
        output::note(format!("table {table} of the view has the key {key}, and was left as it is"));
    }
    if entity.id.is_none() {
        output::note("nothing was changed: add --yes to erase");
    } else if args.delay > Span::ZERO && entity.rows() > 0 {
        output::note(format!(
            "files that still hold the rows go at {}: `hitherto serve` deletes them by itself, otherwise run `hitherto vacuum \
             {}` then",
            entity.files_go_at, entity.view
        ));
    }
}

fn object(entity: &ErasedEntity, holdings: &[Holding]) -> serde_json::Value {
    let holding = |holding: &Holding| {
        json!({
            "dataset": holding.dataset, "location": holding.location, "rows": holding.rows,
            "rows_with_values": holding.rows_with_values, "fault": holding.fault,
            "models": holding.models.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "id": entity.id, "view": entity.view, "erased": entity.id.is_some(), "rows": entity.rows(),
        "files_go_at": entity.files_go_at.to_string(), "tables": entity.tables, "other_keys": entity.other_keys, "online": entity.online,
        "other_views": entity.others, "datasets": holdings.iter().map(holding).collect::<Vec<_>>(),
    })
}
