//! `compact [VIEW…]`.

use anyhow::Result;
use hitherto_core::Name;
use hitherto_engine::CompactedTable;
use hitherto_offline::{CompactOptions, Compacted, Reach};

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format, thousands};
use crate::size::Size;
use crate::stores::{self, Use};

/// Flags of `compact`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Feature views; all of them where none is named
    views: Vec<Name>,
    /// Rewrite everything into one run, also what is large and sorted already
    #[arg(long)]
    full: bool,
    /// Memory for sorting and writing; what does not fit waits in temporary files (in TMPDIR)
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory_limit: Size,
}

const AFTER: &str = "\
New files, and earlier results that are small beside them, are sorted by key and time and written as one run of large \
files. Rows, their _sequence and every answer stay the same: training sets can be rebuilt byte for byte. Ingests, \
reads and servers may run meanwhile. Replaced files stay on disk until `hitherto vacuum`, for those who are reading \
them.

`ingest` compacts by itself, and `serve` after pushes, when small files pile up (offline.compact_after, 32 unless configured).";

/// Compact, and say what became of each table.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    // definitions are only read: where there are none there is nothing to do, and nothing is made
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let options = CompactOptions {
        reach: if args.full { Reach::All } else { Reach::New },
        memory_bytes: args.memory_limit.0,
        ..CompactOptions::default()
    };
    let bar = output::progress("compacting", Some(0));
    let seen = |rows, of| {
        bar.set_length(of);
        bar.set_position(rows);
    };
    let done = engine.compact(&args.views, &options, &seen).await?;
    bar.finish_and_clear();
    match global.output {
        Format::Json => output::json(&done.iter().map(object).collect::<Vec<_>>())?,
        Format::Table => {
            let heading = ["TABLE", "FILES", "NOW", "ROWS REWRITTEN", "BYTES", "NOW"];
            output::table(&heading, &done.iter().map(row).collect::<Vec<_>>())?;
        }
    }
    for table in done.iter().filter(|table| table.outcome == Compacted::Overtaken) {
        output::note(format!("{}: another compaction came first; nothing changed here", table.table));
    }
    Ok(())
}

fn row(table: &CompactedTable) -> Vec<String> {
    let cells = match &table.outcome {
        Compacted::Done(done) => [
            done.files_before.to_string(),
            done.files_after.to_string(),
            thousands(done.rows),
            thousands(done.rewritten_bytes),
            thousands(done.written_bytes),
        ],
        Compacted::Nothing { files } => {
            [files.to_string(), files.to_string(), "0".to_owned(), "0".to_owned(), "0".to_owned()]
        }
        Compacted::Overtaken => std::array::from_fn(|_| "-".to_owned()),
    };
    std::iter::once(table.table.clone()).chain(cells).collect()
}

fn object(table: &CompactedTable) -> serde_json::Value {
    let (view, id) = (&table.view, &table.table);
    match &table.outcome {
        Compacted::Done(done) => serde_json::json!({
            "view": view, "table": id, "outcome": "compacted", "rows": done.rows,
            "files_before": done.files_before, "files_after": done.files_after,
            "rewritten_files": done.rewritten_files, "rewritten_bytes": done.rewritten_bytes,
            "written_files": done.written_files, "written_bytes": done.written_bytes,
        }),
        Compacted::Nothing { files } => serde_json::json!({
            "view": view, "table": id, "outcome": "nothing", "rows": 0, "files_before": files, "files_after": files,
        }),
        Compacted::Overtaken => serde_json::json!({"view": view, "table": id, "outcome": "overtaken", "rows": 0}),
    }
}
