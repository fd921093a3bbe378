//! Writing one Parquet file: statistics, page index, and bloom filters on the keys.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use uuid::Uuid;

use super::stats::Stats;
use super::upload::Upload;
use crate::log::NewFile;
use crate::{Error, History, Result};

/// Rows of a row group: small enough that its statistics rule it out, large enough to compress.
const GROUP_ROWS: usize = 256 * 1024;
/// What waits in memory before it goes to the store, in one piece if the file is no larger.
const BUFFER_BYTES: usize = 8 << 20;
/// Pieces of a larger file that are under way to the store: a bound on memory where the store is slower than we are.
const PARTS_AT_ONCE: usize = 4;
/// One in a hundred of the keys that a row group does not have is looked for in vain.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// A file of the table that is being written.
pub(super) struct FileWriter {
    store: Arc<dyn object_store::ObjectStore>,
    path: Path,
    name: String,
    schema: SchemaRef,
    writer: Upload,
    stats: Stats,
}

impl NewFile {
    /// Where it is in the store.
    pub(super) fn path(&self, history: &History) -> Path {
        below(history.root(), &self.name)
    }
}

impl FileWriter {
    pub(super) fn create(history: &History, schema: &SchemaRef) -> Self {
        let name = format!("data/{}.parquet", Uuid::new_v4());
        let path = below(history.root(), &name);
        let store = Arc::clone(history.store().store());
        let sink = BufWriter::with_capacity(Arc::clone(&store), path.clone(), BUFFER_BYTES)
            .with_max_concurrency(PARTS_AT_ONCE);
        let writer = Upload::new(sink, Arc::clone(schema), properties(history));
        Self { store, path, name, schema: Arc::clone(schema), writer, stats: Stats::new(history.table()) }
    }

    /// Whether the batch's columns are the file's.
    pub(super) fn takes(&self, batch: &RecordBatch) -> bool {
        batch.schema() == self.schema
    }

    /// What it has so far, roughly.
    pub(super) fn size_bytes(&self) -> u64 {
        self.writer.size_bytes()
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.stats.add(batch)?;
        self.writer.write(batch).await.map_err(|e| self.failed(e))
    }

    /// Finishes the file. It is durable, and not yet part of the table.
    pub(super) async fn close(mut self) -> Result<NewFile> {
        self.writer.finish().await.map_err(|e| self.failed(e))?;
        let found = self.store.head(&self.path).await;
        if found.is_err() {
            // nobody will know of it: better gone, if the store lets us
            drop(self.store.delete(&self.path).await);
        }
        let found = found.map_err(|e| Error::object_store(format!("write '{}'", self.path), e))?;
        Ok(NewFile {
            name: self.name,
            size_bytes: found.size,
            rows: self.stats.rows(),
            modified_ms: found.last_modified.timestamp_millis(),
            stats: self.stats.to_json(),
        })
    }

    /// Gives the file up. A folder needs no telling, a bucket keeps the parts that it has until it is told.
    pub(super) async fn abandon(self) {
        if let Err(error) = self.writer.abort().await {
            tracing::debug!(path = %self.path, %error, "could not abort an upload");
        }
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> Error {
        Error::parquet(format!("write '{}'", self.path), error)
    }
}

fn below(root: &Path, name: &str) -> Path {
    name.split('/').fold(root.clone(), Path::join)
}

fn properties(history: &History) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hitherto ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    for (key, _) in &history.table().keys {
        let column = ColumnPath::from(key.as_str());
        // made for the greatest number of keys and folded to the number there is
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column, GROUP_ROWS as u64);
    }
    properties.build()
}
