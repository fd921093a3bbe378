//! The entity keys of a table, and nothing else of its rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::footer::KeyForm;
use crate::{Error, Result};

const BATCH_ROWS: usize = 8192;

impl PinnedTable {
    /// The keys of all rows, a column for each part, in the order of files and rows: a key comes as often as it has rows.
    pub fn keys(&self) -> BoxStream<'static, Result<RecordBatch>> {
        let pinned = self.clone();
        let open = async move {
            let columns = (0..pinned.table().keys.len()).map(Column::Key).collect();
            let layout = Arc::new(Layout::new(pinned.shared_table(), columns, KeyForm::Declared, ""));
            let morsels = pinned.morsels(|_| true).await?;
            Ok::<_, Error>(pinned.batches(morsels, &layout, BATCH_ROWS))
        };
        stream::once(open).try_flatten().boxed()
    }
}
