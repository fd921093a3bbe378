//! `push`: rows from a running system, durable in history before they are acknowledged, then online.

use arrow::array::RecordBatch;
use futures::stream;
use hitherto_core::{Name, Selector};
use hitherto_offline::BatchId;
use hitherto_offline::input::{ExtraColumns, canonical_batch};

use crate::engine::find_view;
use crate::ingest::{available_before, target_of};
use crate::{Destination, Engine, Ingested, Result};

impl Engine {
    /// Append `rows`, in the columns of the view's source, to history, and bring the online store up to date with them.
    ///
    /// Without a batch id nothing is deduplicated. A repeated id drives the online write again.
    pub async fn push(
        &self,
        view: &Name,
        rows: &RecordBatch,
        batch_id: Option<String>,
        to: Destination,
    ) -> Result<Ingested> {
        let catalog = self.registry().catalog().await?;
        let (table, target) = target_of(&catalog, view)?;
        let rows = canonical_batch("the pushed rows", rows, &target, ExtraColumns::Refuse)
            .map_err(hitherto_offline::Error::from)?;
        let latest = find_view(&catalog, &Selector::Latest(view.clone()))?;
        let backdated = available_before(&rows.rows, table.created, latest.reading(), self.clock().now());
        let batch = batch_id.map_or(BatchId::Unremembered, BatchId::Given);
        let mut done = self.append(&table, view, batch, stream::iter([Ok(rows.rows)])).await?;
        done.count(rows.null_key_rows, backdated);
        if to == Destination::Both {
            // one of many a second: they are no runs to be told
            self.untold().bring_online(&mut done).await?;
        }
        Ok(done)
    }
}
