//! `materialize`.

use anyhow::Result;
use hitherto_core::Name;
use hitherto_engine::{Clock, DROPPED_KEYS_PER_S, Engine, Materialized};

use super::list::objects;
use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format, thousands};
use crate::stores::{self, Use};

/// Flags of `materialize`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Feature views; all of them where none is named
    views: Vec<Name>,
    /// Load every row again, beside what is read, which it replaces at once when it is complete
    #[arg(long)]
    rebuild: bool,
}

const AFTER: &str = "\
--rebuild is for an online store that is wrong although `materialize` finds nothing to do: keys were deleted or changed by \
hand, a backup was restored in part, a new version of hitherto packs rows otherwise. It is not needed after Redis was \
emptied or restarted: `materialize` sees that by itself.

The rows go to a new generation. Until that is complete, and where this fails or is killed, what was read before goes on being \
read; pushes and a running `hitherto serve` write to both. The store holds the view's rows twice until a minute after the \
end: then `hitherto serve`, or the next `hitherto materialize`, drops the old ones. A view that is being rebuilt already is \
refused; what a killed rebuild left is replaced.";

/// Bring the online store up to date, once.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::WriteOnline, global.clock).await?;
    let done =
        if args.rebuild { rebuild(&engine, &args.views).await? } else { engine.materialize(&args.views).await? };
    drop_old(&engine, &args.views).await;
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

async fn rebuild(engine: &Engine, views: &[Name]) -> Result<Vec<Materialized>> {
    let bar = output::progress("rebuilding", None);
    let done = engine.rebuild_online(views, &|rows| bar.set_position(rows)).await;
    bar.finish_and_clear();
    Ok(done?)
}

/// Drops what earlier rebuilds left, where its time has come. The rows are brought already: a failure here is only told.
async fn drop_old(engine: &Engine, views: &[Name]) {
    match engine.drop_generations(views, Clock::System.now(), DROPPED_KEYS_PER_S).await {
        Ok(dropped) => {
            for dropped in dropped {
                let rows = thousands(dropped.rows);
                output::note(format!("{}: {rows} rows of generation {} dropped", dropped.view, dropped.generation));
            }
        }
        Err(error) => output::note(format!("warning: what earlier rebuilds left stays for now: {error}")),
    }
}
