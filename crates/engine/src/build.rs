//! A join written as a training set's file, and seen on its way.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, StreamExt, TryStreamExt};
use hitherto_asof::AsOfExec;
use hitherto_core::{Build, Dataset, SetVersion};
use hitherto_offline::{OutputLocation, PinnedTable, write_parquet};

use crate::dataset::short;
use crate::fingerprint::dataset_id;
use crate::join::{Join, Pins};
use crate::manifest::footer;
use crate::spine::{SurveyedSpine, UPLOADED};
use crate::split::Splitter;
use crate::training_set::Progress;
use crate::witness::{Seen, Witness};
use crate::{Engine, Error, Explanation, Result};

/// What is built, when it is known that it can be.
pub(crate) struct Job<'a> {
    /// What is known of its manifest.
    pub(crate) manifest: Dataset,
    pub(crate) set: &'a SetVersion,
    pub(crate) pins: &'a Pins,
    pub(crate) spine: SurveyedSpine,
    pub(crate) join: Join,
    pub(crate) splitter: Option<Splitter>,
    pub(crate) out: &'a OutputLocation,
}

impl Engine {
    /// Build; nothing is recorded.
    pub(crate) async fn build(
        &self,
        job: Job<'_>,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<(Dataset, Explanation)> {
        let Job { mut manifest, set, pins, mut spine, join, splitter, out } = job;
        let spine_rows = spine.rows;
        let of_footer = async {
            manifest.spine_fingerprint = spine.fingerprint().await.map_err(carried)?;
            // such rows have no place by which one spine could be told from another
            if manifest.spine == UPLOADED {
                manifest.spine = format!("{UPLOADED} {}", short(&manifest.spine_fingerprint));
            }
            // ids of another format are as they were given
            if manifest.format == Dataset::FORMAT {
                manifest.id = dataset_id(&manifest).map_err(carried)?;
            }
            footer(&manifest).map_err(carried)
        };
        let schema = Arc::clone(splitter.as_ref().map_or(join.schema(), Splitter::schema));
        let (exec, profiled) = (Arc::clone(join.exec()), join.profiled(&set.resolved));
        let rows = self.run(join)?.map(move |batch| match &splitter {
            Some(splitter) => splitter.append(&batch?),
            None => batch,
        });
        let (witness, rows) = Witness::watch(&schema, profiled, rows)?;
        let writing = |rows| seen(Progress::Writing(rows, spine_rows));
        let written = {
            let writing = write_parquet(out, schema, offline(rows), of_footer, writing);
            telling(&exec, history_rows(set, pins), &seen, writing).await?
        };
        // of a spine without rows, too
        seen(Progress::Writing(written.rows, spine_rows));
        if written.rows != spine.rows {
            return Err(Error::internal(
                "rows out are not rows in",
                format!("{} rows of {}", written.rows, spine.rows),
            ));
        }
        let Seen { fingerprint, profiles } = witness.seen().await?;
        manifest.rows = written.rows;
        manifest.file_hash.clone_from(&written.sha256);
        // of what the spine's query reads they are known; what the features read besides was pinned after it
        let mut delta_versions = std::mem::take(&mut manifest.build.delta_versions);
        delta_versions.extend(pins.iter().map(|(id, pinned)| (id.clone(), pinned.log_version())));
        manifest.build = Build {
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
            delta_versions,
            file_bytes: written.bytes,
            result_fingerprint: fingerprint,
            profiles,
            ..manifest.build
        };
        Ok((manifest, Explanation::of(&exec)))
    }
}

/// How often progress is told while history is read.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Drives `work`, and tells how much of the history is read until the first rows are written.
async fn telling<T>(
    exec: &AsOfExec,
    history_rows: u64,
    seen: &(impl Fn(Progress) + Send + Sync),
    work: impl Future<Output = T> + Send,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => {
                if exec.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0) == 0 {
                    let read = exec.metrics().and_then(|metrics| metrics.sum_by_name("probed_rows"));
                    seen(Progress::Reading(read.map_or(0, |read| read.as_usize()) as u64, history_rows));
                }
            }
        }
    }
}

/// The rows of all histories that a set reads, each as often as it is read.
fn history_rows(set: &SetVersion, pins: &Pins) -> u64 {
    let tables = set.resolved.uses.iter().filter_map(|view_use| pins.get(&view_use.table));
    tables.flat_map(PinnedTable::files).map(|file| file.rows).sum()
}

/// The writer takes the offline store's errors; ours go through it and come back.
pub(crate) fn offline(
    stream: impl Stream<Item = Result<RecordBatch>> + Send,
) -> impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send {
    stream.map_err(carried)
}

fn carried(error: Error) -> hitherto_offline::Error {
    match error {
        Error::Offline(error) => error,
        other => hitherto_offline::Error::Invalid(other.to_string()),
    }
}
