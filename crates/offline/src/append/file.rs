//! Writing one Parquet file: statistics, page index, and bloom filters on the keys.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use hitherto_core::Timestamp;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use uuid::Uuid;

use super::stats::Stats;
use super::upload::Upload;
use crate::log::NewFile;
use crate::{DataFile, Error, History, Result};

/// Rows of a row group: small enough that its statistics rule it out, large enough to compress.
const GROUP_ROWS: usize = 256 * 1024;
/// Rows of a page where rows are sorted by key: so few that a key's pages are a small part of its row group. A quarter of
/// 4,096, it took 1,000 rows of a spine from 0.26 s to 0.16 s, for 1 % more bytes and some 10 % on a read of everything.
const PAGE_ROWS: usize = 1024;
/// What waits in memory before it goes to the store, in one piece if the file is no larger.
const BUFFER_BYTES: usize = 8 << 20;
/// Pieces of a larger file that are under way to the store: a bound on memory where the store is slower than we are.
const PARTS_AT_ONCE: usize = 2;
/// One in a hundred of the keys that a row group does not have is looked for in vain.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// What a file becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Rows in the order in which they came; their place in history comes from the commit.
    Fresh,
    /// A part of a run: rows sorted by key and time, which carry their place in history themselves.
    Run {
        /// The run.
        id: Uuid,
        /// Its place in the run, from 0.
        index: usize,
    },
}

impl FileKind {
    /// The file's path below the table's folder; see [`crate::DataFile::run`].
    fn name(self) -> String {
        match self {
            Self::Fresh => format!("data/{}.parquet", Uuid::new_v4()),
            Self::Run { id, index } => format!("data/{id}-{index:05}.parquet"),
        }
    }
}

/// A file of the table that is being written.
pub(crate) struct FileWriter {
    store: Arc<dyn object_store::ObjectStore>,
    path: Path,
    name: String,
    schema: SchemaRef,
    writer: Upload,
    stats: Stats,
}

impl NewFile {
    /// Where it is in the store.
    pub(crate) fn path(&self, history: &History) -> Path {
        below(history.root(), &self.name)
    }

    /// The file as if it were part of the table.
    pub(crate) fn uncommitted(&self, history: &History) -> DataFile {
        DataFile {
            path: self.path(history),
            size_bytes: self.size_bytes,
            rows: self.rows,
            first_sequence: Some(0),
            commit_time: Some(Timestamp(0)),
            event: None,
            created: None,
            stats: self.stats.as_object().cloned().unwrap_or_default(),
        }
    }
}

impl FileWriter {
    pub(crate) fn create(history: &History, schema: &SchemaRef, kind: FileKind) -> Self {
        let name = kind.name();
        let path = below(history.root(), &name);
        let store = Arc::clone(history.store().store());
        let sink = BufWriter::with_capacity(Arc::clone(&store), path.clone(), BUFFER_BYTES)
            .with_max_concurrency(PARTS_AT_ONCE);
        let writer = Upload::new(sink, Arc::clone(schema), properties(history, kind));
        Self { store, path, name, schema: Arc::clone(schema), writer, stats: Stats::new(history.table(), kind) }
    }

    /// Whether the batch's columns are the file's.
    pub(crate) fn takes(&self, batch: &RecordBatch) -> bool {
        batch.schema() == self.schema
    }

    /// What it has so far, roughly.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.writer.size_bytes()
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.stats.add(batch)?;
        self.writer.write(batch).await.map_err(|e| self.failed(e))
    }

    /// Finishes the file. It is durable, and not yet part of the table.
    pub(crate) async fn close(mut self) -> Result<NewFile> {
        let sha256 = self.writer.finish().await.map_err(|e| self.failed(e))?;
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
            sha256,
        })
    }

    /// Gives the file up. A folder needs no telling, a bucket keeps the parts that it has until it is told.
    pub(crate) async fn abandon(self) {
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

fn properties(history: &History, kind: FileKind) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hitherto ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    let keys = &history.table().keys;
    for (key, _) in keys {
        let column = ColumnPath::from(key.as_str());
        // made for the greatest number of keys and folded to the number there is
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column, GROUP_ROWS as u64);
    }
    if kind != FileKind::Fresh {
        // keys and event time come first in the schema, and have one leaf each
        let sorted = (0..=keys.len() as i32).map(|column| SortingColumn {
            column_idx: column,
            descending: false,
            nulls_first: true,
        });
        properties = properties.set_data_page_row_count_limit(PAGE_ROWS).set_sorting_columns(Some(sorted.collect()));
    }
    properties.build()
}
