//! `push`: rows from a running system, durable in history before they are acknowledged, then online.

mod progress;
mod together;

pub use progress::{PushProgress, PushStage};

pub(crate) use together::Pushes;

use std::sync::Arc;

use arrow::array::RecordBatch;
use hitherto_core::{Name, Selector};
use hitherto_offline::input::{ExtraColumns, canonical_batch};
use hitherto_offline::{Appended, BatchId, ReadyBatch};
use hitherto_online::spans;
use tracing::Instrument;
use tracing::field::Empty;

use self::together::Appending;
use crate::engine::find_view;
use crate::ingest::{available_before, note_commit, target_of};
use crate::table_history::TableHistory;
use crate::{Destination, Engine, Ingested, Result};

/// Rows that fit their view, before they take their place among those that are to be committed.
#[derive(Debug)]
pub struct PreparedPush {
    engine: Engine,
    view: Name,
    history: Arc<TableHistory>,
    batch: ReadyBatch,
    destination: Destination,
    null_key_rows: u64,
    backdated: u64,
}

/// Rows that have their place: those that took theirs before them are committed before them, or together with them. Whoever
/// drops this takes its rows back where their commit has not begun.
#[derive(Debug)]
pub struct PlacedPush {
    engine: Engine,
    view: Name,
    history: Arc<TableHistory>,
    append: Appending,
    destination: Destination,
    null_key_rows: u64,
    backdated: u64,
}

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
        self.prepare_push(view, rows, batch_id, to).await?.place(progress)?.done().await
    }

    /// The first step of a push alone: what is wrong with these rows is said before they join others. Whoever has many batches to
    /// push in their order prepares and places one after the other, and waits for all of them.
    pub async fn prepare_push(
        &self,
        view: &Name,
        rows: &RecordBatch,
        batch_id: Option<String>,
        to: Destination,
    ) -> Result<PreparedPush> {
        let known = self.definitions().await?;
        let (table, target) = target_of(&known.catalog, view)?;
        let rows = canonical_batch("the pushed rows", rows, &target, ExtraColumns::Refuse)
            .map_err(hitherto_offline::Error::from)?;
        let latest = find_view(&known.catalog, &Selector::Latest(view.clone()))?;
        let backdated = available_before(&rows.rows, table.created, latest.reading(), self.clock().now());
        let history = self.history(&table)?;
        let id = batch_id.map_or(BatchId::Unremembered, BatchId::Given);
        let batch = history.history().ready(id, &rows.rows).await?;
        Ok(PreparedPush {
            engine: self.clone(),
            view: view.clone(),
            history,
            batch,
            destination: to,
            null_key_rows: rows.null_key_rows,
            backdated,
        })
    }
}

impl PreparedPush {
    /// Takes the next place; refused where too much waits for the table already.
    pub fn place(self, progress: &PushProgress) -> Result<PlacedPush> {
        let append = self.engine.append_with_others(&self.history, self.batch.clone(), progress)?;
        Ok(self.placed(append))
    }

    /// Takes the next place once there is room for it.
    pub async fn place_when_there_is_room(self, progress: &PushProgress) -> PlacedPush {
        let append = self.engine.append_when_there_is_room(&self.history, self.batch.clone(), progress).await;
        self.placed(append)
    }

    fn placed(self, append: Appending) -> PlacedPush {
        let Self { engine, view, history, destination, null_key_rows, backdated, .. } = self;
        PlacedPush { engine, view, history, append, destination, null_key_rows, backdated }
    }
}

impl PlacedPush {
    /// Waits until the rows are in history, and online where they are to be.
    pub async fn done(self) -> Result<Ingested> {
        let span = tracing::trace_span!(
            target: spans::STEP,
            "append",
            hitherto.commit = Empty,
            hitherto.first_sequence = Empty,
            hitherto.last_sequence = Empty,
        );
        let appended = self.append.done().instrument(span.clone()).await?;
        if let Appended::Done(commit) = &appended {
            note_commit(&span, commit);
        }
        drop(span);
        let mut done = Ingested::new(&self.view, appended);
        done.count(self.null_key_rows, self.backdated);
        if self.destination == Destination::Both {
            let span = tracing::trace_span!(target: spans::STEP, "bring online");
            let online = self.engine.bring_online_with_others(&self.history, &self.view).instrument(span).await;
            done.brought_online(online)?;
        }
        Ok(done)
    }
}
