//! `push`: rows from a running system, durable in history before they are acknowledged, then online.

mod progress;
mod together;

pub use progress::{PushProgress, PushStage};

pub(crate) use together::Pushes;

use arrow::array::RecordBatch;
use hitherto_core::{Name, Selector};
use hitherto_offline::input::{ExtraColumns, canonical_batch};
use hitherto_offline::{Appended, BatchId};
use hitherto_online::spans;
use tracing::Instrument;
use tracing::field::Empty;

use crate::engine::find_view;
use crate::ingest::{available_before, note_commit, target_of};
use crate::{Destination, Engine, Ingested, Result};

impl Engine {
    /// Append `rows`, in the columns of the view's source, to history, and bring the online store up to date with them. Those
    /// that are pushed at the same time share a commit, and a run of the online store.
    ///
    /// Without a batch id nothing is deduplicated. A repeated id drives the online write again. Whoever drops this takes its
    /// rows back where their commit has not begun.
    pub async fn push(
        &self,
        view: &Name,
        rows: &RecordBatch,
        batch_id: Option<String>,
        to: Destination,
    ) -> Result<Ingested> {
        self.push_watched(view, rows, batch_id, to, &PushProgress::default()).await
    }

    /// The same, for whoever may give up and must know what became of the rows.
    pub async fn push_watched(
        &self,
        view: &Name,
        rows: &RecordBatch,
        batch_id: Option<String>,
        to: Destination,
        progress: &PushProgress,
    ) -> Result<Ingested> {
        let known = self.definitions().await?;
        let (table, target) = target_of(&known.catalog, view)?;
        // what is wrong with these rows is said before they join others
        let rows = canonical_batch("the pushed rows", rows, &target, ExtraColumns::Refuse)
            .map_err(hitherto_offline::Error::from)?;
        let latest = find_view(&known.catalog, &Selector::Latest(view.clone()))?;
        let backdated = available_before(&rows.rows, table.created, latest.reading(), self.clock().now());
        let history = self.history(&table)?;
        let id = batch_id.map_or(BatchId::Unremembered, BatchId::Given);
        let batch = history.history().ready(id, &rows.rows).await?;
        let span = tracing::trace_span!(
            target: spans::STEP,
            "append",
            hitherto.commit = Empty,
            hitherto.first_sequence = Empty,
            hitherto.last_sequence = Empty,
        );
        let appended = self.append_with_others(&history, batch, progress).instrument(span.clone()).await?;
        if let Appended::Done(commit) = &appended {
            note_commit(&span, commit);
        }
        drop(span);
        let mut done = Ingested::new(view, appended);
        done.count(rows.null_key_rows, backdated);
        if to == Destination::Both {
            let span = tracing::trace_span!(target: spans::STEP, "bring online");
            let online = self.bring_online_with_others(&history, view).instrument(span).await;
            done.brought_online(online)?;
        }
        Ok(done)
    }
}
