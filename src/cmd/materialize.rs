//! `materialize`.

use anyhow::Result;
use hitherto_core::Name;

use super::list::objects;
use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format, thousands};
use crate::stores::{self, Use};

/// Flags of `materialize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Feature views; all of them where none is named
    views: Vec<Name>,
}

/// Bring the online store up to date, once.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::WriteOnline, global.clock).await?;
    let done = engine.materialize(&args.views).await?;
    let rows: Vec<Vec<String>> = done
        .iter()
        .map(|view| {
            vec![
                view.view.to_string(),
                thousands(view.rows),
                thousands(view.written),
                view.marks.sequence.to_string(),
                view.marks.clock.to_string(),
            ]
        })
        .collect();
    let heading = ["VIEW", "ROWS", "WRITTEN", "UP TO SEQUENCE", "AT"];
    match global.output {
        Format::Table => output::table(&heading, &rows),
        Format::Json => output::json(&objects(&heading, &rows)),
    }
}
