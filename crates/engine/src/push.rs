//! `push`: rows from a running system, durable in history before they are acknowledged, then online.

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use hitherto_core::Name;
use hitherto_offline::BatchId;
use hitherto_offline::input::{ExtraColumns, Input, canonical};

use crate::ingest::target_of;
use crate::{Destination, Engine, Ingested, Result};

impl Engine {
    /// Append `rows`, in the columns of the view's source, to history, and bring the online store up to date with them.
    ///
    /// Without a batch id nothing is deduplicated. A repeated id drives the online write again.
    pub async fn push(&self, view: &Name, rows: RecordBatch, batch_id: Option<String>, to: Destination) -> Result<Ingested> {
        let catalog = self.registry().catalog().await?;
        let (table, target) = target_of(&catalog, view)?;
        let input = Input::of_batches("the pushed rows", rows.schema(), vec![rows]);
        let rows = canonical(input, target, ExtraColumns::Refuse).await.map_err(hitherto_offline::Error::from)?;
        // refused rows change nothing: all of them are read before the first is written
        let counts = rows.counts();
        let rows: Vec<_> = rows.collect().await;
        let batch = batch_id.map_or(BatchId::Unremembered, BatchId::Given);
        let rows = stream::iter(rows).map(|rows| rows.map_err(Into::into));
        let mut done = self.append(&table, view, batch, rows).await?;
        done.null_keys = counts.null_keys();
        if to == Destination::Both {
            done.online = self.materialize(std::slice::from_ref(view)).await?;
        }
        Ok(done)
    }
}
