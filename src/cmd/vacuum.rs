//! `vacuum [VIEW…]`.

use anyhow::Result;
use hitherto_core::{Name, Span};
use hitherto_offline::{Sweep, Vacuumed};

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format, thousands};
use crate::stores::{self, Use};

/// Flags of `vacuum`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Feature views; all of them where none is named
    views: Vec<Name>,
    /// Keep files for so long after history ceased to need them, at most 7d [default: offline.vacuum_retention, or 7d]
    #[arg(long, value_name = "TIME")]
    retention: Option<Span>,
    /// Delete nothing, only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// What is said of training sets that clients had built, and that no dataset names.
const CLIENTS: &str = "_training_sets";

const AFTER: &str = "\
Files go that a compaction replaced, and files that killed ingests and compactions left behind. History keeps every \
row: no answer and no training set changes. Where no view is named, files of training sets that clients had built go too, \
if no dataset names them and they are older than the retention and a day.

The retention protects whoever is at work: reads that began before a compaction still use the files that it \
replaced, and the files of an ingest or a compaction are not yet part of history while it is writing. Keep it longer \
than any of them takes. With 0s, reads that are under way fail, and an ingest that is under way fails or loses its \
rows: use it only when nothing else runs. Ages are told by the real clock and the store, whatever --clock says.";

/// Vacuum, and say what became of each table.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    // definitions are only read: where there are none there is nothing to do, and nothing is made
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let sweep = if args.dry_run { Sweep::DryRun } else { Sweep::Delete };
    let retention = args.retention.unwrap_or(config.vacuum_retention);
    let done = engine.vacuum(&args.views, retention, sweep).await?;
    let of_tables = done.iter().map(|table| (Some(&table.view), table.table.as_str(), table.found));
    let mut found: Vec<(Option<&Name>, &str, Vacuumed)> = of_tables.collect();
    let clients =
        if args.views.is_empty() { engine.vacuum_client_files(retention, sweep).await? } else { Vacuumed::default() };
    if clients != Vacuumed::default() {
        found.push((None, CLIENTS, clients));
    }
    match global.output {
        Format::Json => {
            output::json(
                &found.iter().map(|(view, what, found)| object(*view, what, found, sweep)).collect::<Vec<_>>(),
            )?;
        }
        Format::Table => {
            let deleted = if sweep == Sweep::DryRun { "TO DELETE" } else { "DELETED" };
            let heading = ["TABLE", deleted, "BYTES", "KEPT FOR NOW", "BYTES"];
            output::table(&heading, &found.iter().map(|(_, what, found)| row(what, found)).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn row(what: &str, found: &Vacuumed) -> Vec<String> {
    let numbers = [found.deleted_files, found.deleted_bytes, found.kept_files, found.kept_bytes];
    std::iter::once(what.to_owned()).chain(numbers.map(thousands)).collect()
}

fn object(view: Option<&Name>, what: &str, found: &Vacuumed, sweep: Sweep) -> serde_json::Value {
    serde_json::json!({
        "view": view, "table": what, "dry_run": sweep == Sweep::DryRun,
        "deleted_files": found.deleted_files, "deleted_bytes": found.deleted_bytes,
        "kept_files": found.kept_files, "kept_bytes": found.kept_bytes,
    })
}
