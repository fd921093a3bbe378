//! `lineage WHAT`.

mod tree;
mod words;

use anyhow::Result;
use hitherto_engine::{Direction, NodeKind};

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `lineage`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// A feature (VIEW:FEATURE), an entity, view, set, model or gate, with @VERSION or @ALIAS where one is meant; a table
    /// (weather-1); a dataset's name, its id or six letters of it; a spine, as `dataset show` has it; a batch by its name
    /// (weather-1/12) or the id that it was ingested with; a data file by its path or the end of it
    #[arg(value_name = "WHAT")]
    what: String,
    /// What it is, where its name is that of several things: entity, table, feature-view, feature, feature-set, spine,
    /// dataset, model, gate, alias, batch, data-file
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<NodeKind>,
    /// Only what it came from
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Only what was made of it
    #[arg(long)]
    down: bool,
}

const AFTER: &str = "\
A name without a version stands for every version. The same edges are the table registry.lineage of `hitherto sql`.
When an erasure is purged, the log of its table is deleted up to that version: the batches and files of before are not
known any more, and the table says \"before version N the log is gone (an erasure was purged)\".

A name that only a batch or a data file can have is looked for in the log of every table: say which it is with --kind where
the name is like another.

  hitherto lineage weather:wind_gust --down
  hitherto lineage weather-1/12
  hitherto lineage delay_model@champion --up";

/// Show the graph around one thing.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let direction = match (args.up, args.down) {
        (true, _) => Direction::Up,
        (false, true) => Direction::Down,
        (false, false) => Direction::Both,
    };
    let lineage = engine.lineage(&args.what, args.kind, direction).await?;
    match global.output {
        Format::Json => output::json(&lineage),
        Format::Table => tree::lines(&lineage, direction).iter().try_for_each(output::line),
    }
}

fn kind(text: &str) -> Result<NodeKind, String> {
    let known = NodeKind::ALL.into_iter().find(|kind| kind.flag() == text || kind.name() == text);
    known.ok_or_else(|| {
        let all: Vec<String> = NodeKind::ALL.into_iter().map(NodeKind::flag).collect();
        format!("it is one of {}", all.join(", "))
    })
}
