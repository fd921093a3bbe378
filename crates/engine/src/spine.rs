//! A spine, read once to know what it is, and again when it is joined; never held whole where it is large.

use std::collections::HashMap;
use std::fs::Permissions;
use std::future::ready;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use hitherto_offline::input::Input;
use hitherto_offline::{OutputLocation, spine_of_batches, spine_of_input, write_parquet};
use tempfile::TempDir;

use crate::fingerprint::Fingerprint;
use crate::sql::Reads;
use crate::{Asked, Engine, Error, Result};

/// A spine with no more bytes than this, or than an eighth of the memory limit, stays in memory from the first reading to
/// the second.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The rows to be enriched.
#[derive(Clone, Debug)]
pub enum Spine {
    /// Files: Parquet, CSV or newline-delimited JSON.
    Input(Input),
    /// Rows in memory.
    Batches(RecordBatch),
    /// A query over feature history.
    Sql(String),
    /// A query over feature history as it was when it was asked before.
    SqlThen {
        /// Its text.
        query: String,
        /// When, and what there was.
        asked: Asked,
    },
    /// The first columns of a training set: the spine that it was built from.
    Columns {
        /// The training set's file.
        file: Input,
        /// How many of its columns are the spine's.
        columns: usize,
    },
}

/// What messages call rows that came with the request for their training set: they are nowhere else. Manifests add the
/// beginning of their fingerprint.
pub(crate) const UPLOADED: &str = "uploaded rows";

impl Spine {
    /// Rows that come once, such as those that a client sends: kept in a temporary file that goes when the spine does.
    pub async fn uploaded(schema: SchemaRef, rows: impl Stream<Item = Result<RecordBatch>> + Send) -> Result<Self> {
        Ok(Self::Input(spooled(UPLOADED, schema, rows).await?))
    }
}

/// A spine that can be read, once.
pub(crate) struct OpenSpine {
    pub(crate) schema: SchemaRef,
    /// What the manifest calls it.
    pub(crate) origin: String,
    /// What its query reads of history, where it is one; and the training sets that it reads, or whose files it is.
    pub(crate) reads: Reads,
    rows: BoxStream<'static, Result<RecordBatch>>,
    /// Where it can be read again; a query cannot.
    again: Option<Input>,
    kept_bytes_max: usize,
}

/// A spine that was read, and can be read again as often as need be.
#[derive(Debug)]
pub(crate) struct SurveyedSpine {
    pub(crate) schema: SchemaRef,
    pub(crate) origin: String,
    pub(crate) rows: u64,
    fingerprint: InHand,
    kept: Kept,
}

/// A fingerprint that is known, or being taken while the join is under way.
#[derive(Debug)]
enum InHand {
    Known(String),
    UnderWay(SpawnedTask<Result<String>>),
}

#[derive(Debug)]
enum Kept {
    Memory(Vec<RecordBatch>),
    Files(Input),
}

impl Engine {
    /// Open a spine; nothing but its schema is known yet.
    pub(crate) async fn open_spine(&self, spine: &Spine) -> Result<OpenSpine> {
        let kept_bytes_max = match self.runtime().memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => KEPT_BYTES_MAX.min(bytes / 8),
            _ => KEPT_BYTES_MAX,
        };
        match spine {
            Spine::Input(input) => {
                let batches = input.stream().await.map_err(hitherto_offline::Error::from)?;
                let schema = batches.schema();
                let rows = batches.map_err(|error| hitherto_offline::Error::from(error).into()).boxed();
                let origin = input.places().collect::<Vec<_>>().join(" ");
                let (again, reads) = (Some(input.clone()), self.reads_of(input).await?);
                Ok(OpenSpine { schema, origin, reads, rows, again, kept_bytes_max })
            }
            Spine::Columns { file, columns } => {
                let batches = file.stream().await.map_err(hitherto_offline::Error::from)?;
                let columns: Vec<usize> = (0..*columns).collect();
                let failed = |source| Error::internal("could not take a training set's spine", source);
                let schema = Arc::new(batches.schema().project(&columns).map_err(failed)?);
                let origin = file.places().collect::<Vec<_>>().join(" ");
                let rows = batches.map(move |batch| {
                    let batch = batch.map_err(hitherto_offline::Error::from)?;
                    batch.project(&columns).map_err(failed)
                });
                let (rows, reads) = (rows.boxed(), self.reads_of(file).await?);
                Ok(OpenSpine { schema, origin, reads, rows, again: None, kept_bytes_max })
            }
            Spine::Batches(batch) => {
                let rows = stream::iter([Ok(batch.clone())]).boxed();
                Ok(OpenSpine {
                    schema: batch.schema(),
                    origin: "rows in memory".to_owned(),
                    reads: Reads::default(),
                    rows,
                    again: None,
                    kept_bytes_max,
                })
            }
            Spine::Sql(query) | Spine::SqlThen { query, .. } => {
                let then = match spine {
                    Spine::SqlThen { asked, .. } => Some(asked),
                    _ => None,
                };
                let begun = self.spine_limits.begin();
                let (rows, reads) = begun.hold(self.sql_with_reads(query, then)).await?;
                let drawn = self.drawn(&reads.training_sets).await?;
                let reads = Reads { drawn, ..reads };
                let schema = plain(&rows.schema());
                let batch_schema = Arc::clone(&schema);
                let rows = rows.map(move |batch| {
                    let batch =
                        batch.map_err(|error| crate::sql::recovered("could not run the spine's query", error))?;
                    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    RecordBatch::try_new_with_options(Arc::clone(&batch_schema), batch.columns().to_vec(), &options)
                        .map_err(|source| Error::internal("could not take the spine's rows", source))
                });
                let rows = begun.rows(rows.boxed());
                Ok(OpenSpine { schema, origin: query.clone(), reads, rows, again: None, kept_bytes_max })
            }
        }
    }

    /// Which training sets these are files of, as they say themselves: wherever they lie, and whatever they are called there.
    async fn reads_of(&self, files: &Input) -> Result<Reads> {
        let training_sets = files.stamps("hitherto.dataset").await.map_err(hitherto_offline::Error::from)?;
        let drawn = self.drawn(&training_sets).await?;
        Ok(Reads { training_sets, drawn, ..Reads::default() })
    }
}

/// The same columns without what is said of them: a description may change, and a training set's bytes may not.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| field.as_ref().clone().with_metadata(HashMap::new());
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

impl OpenSpine {
    /// A plan over none of its rows, to see whether they could be joined.
    pub(crate) fn no_rows(&self) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(spine_of_batches(Arc::clone(&self.schema), Vec::new())?)
    }

    /// Read it to its end. A null in column `time` is refused.
    ///
    /// A small one is kept in memory; a large one is read from its files again, and the rows of a query are spooled to a
    /// temporary file. Its fingerprint is as manifests of `format` have it.
    pub(crate) async fn survey(mut self, time: usize, format: u32) -> Result<SurveyedSpine> {
        let (mut rows, mut kept, mut bytes) = (0, Vec::new(), 0);
        while bytes <= self.kept_bytes_max
            && let Some(batch) = self.rows.try_next().await?
        {
            count(&batch, time, &mut rows)?;
            bytes += batch.get_array_memory_size();
            kept.push(batch);
        }
        let mut fingerprint = Fingerprint::new(&self.schema, format)?;
        if bytes <= self.kept_bytes_max {
            let batches = kept.clone();
            let taking = SpawnedTask::spawn_blocking(move || {
                batches.iter().try_for_each(|batch| fingerprint.add(batch)).map(|()| fingerprint.text())
            });
            let Self { schema, origin, .. } = self;
            let fingerprint = InHand::UnderWay(taking);
            return Ok(SurveyedSpine { schema, origin, rows, fingerprint, kept: Kept::Memory(kept) });
        }
        kept.iter().try_for_each(|batch| fingerprint.add(batch))?;
        let rest = self.rows.map(|batch| {
            let batch = batch?;
            count(&batch, time, &mut rows)?;
            fingerprint.add(&batch).map(|()| batch)
        });
        let input = if let Some(input) = self.again {
            drop(kept);
            rest.try_for_each(|_| ready(Ok(()))).await?;
            input
        } else {
            let rows = stream::iter(kept.into_iter().map(Ok)).chain(rest);
            spooled("the spine's rows", Arc::clone(&self.schema), rows).await?
        };
        let fingerprint = InHand::Known(fingerprint.text());
        Ok(SurveyedSpine { schema: self.schema, origin: self.origin, rows, fingerprint, kept: Kept::Files(input) })
    }
}

impl SurveyedSpine {
    /// SHA-256, in hex, of its rows.
    pub(crate) async fn fingerprint(&mut self) -> Result<String> {
        let text = match &mut self.fingerprint {
            InHand::Known(text) => return Ok(text.clone()),
            InHand::UnderWay(taking) => {
                let taken = taking.await;
                taken.map_err(|source| Error::internal("could not take the spine's fingerprint", source))??
            }
        };
        self.fingerprint = InHand::Known(text.clone());
        Ok(text)
    }

    /// A plan of one partition over its rows, in their order.
    pub(crate) fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::clone(&self.schema);
        Ok(match &self.kept {
            Kept::Memory(batches) => spine_of_batches(schema, batches.clone())?,
            Kept::Files(input) => spine_of_input(schema, input.clone())?,
        })
    }
}

/// Counts rows, and refuses one without a time.
fn count(batch: &RecordBatch, time: usize, rows: &mut u64) -> Result<()> {
    let nulls = batch.column(time).logical_nulls();
    if let Some(row) = nulls.and_then(|nulls| (0..nulls.len()).find(|&row| nulls.is_null(row))) {
        let (column, row) = (batch.schema().field(time).name().clone(), *rows + row as u64);
        return Err(crate::join::refused(&hitherto_asof::Error::SpineTimeNull { column, row }));
    }
    *rows += batch.num_rows() as u64;
    Ok(())
}

/// Rows that can be had only once, in a file that can be read again.
async fn spooled(name: &str, schema: SchemaRef, rows: impl Stream<Item = Result<RecordBatch>> + Send) -> Result<Input> {
    let failed =
        |source: std::io::Error| Error::internal("could not make a temporary file for the spine's rows", source);
    let folder = private_folder().map_err(failed)?;
    let file = tempfile::Builder::new().tempfile_in(&folder).map_err(failed)?.into_temp_path();
    let location = OutputLocation::file(&file)?;
    write_parquet(&location, schema, crate::build::offline(rows), ready(Ok(Vec::new())), |_| ()).await?;
    Ok(Input::of_copy(name, file, folder).map_err(hitherto_offline::Error::from)?)
}

/// A folder that no other user of the machine can look into: a file of rows is written under another name, and may be read by
/// all when it gets its own.
fn private_folder() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("hitherto-spine-").permissions(Permissions::from_mode(0o700)).tempdir()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[tokio::test]
    async fn rows_that_are_spooled_are_for_their_owner_alone() {
        let folder = private_folder().expect("a folder");
        let mode = std::fs::metadata(folder.path()).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("k", numbers)]).expect("a batch");
        let rows = stream::iter([Ok(batch.clone())]);
        let input = spooled("rows", batch.schema(), rows).await.expect("spooled");
        let found: Vec<RecordBatch> = input.stream().await.expect("opened").try_collect().await.expect("read");
        let columns: Vec<_> = found.iter().map(RecordBatch::columns).collect();
        assert_eq!(columns, [batch.columns()]);
    }
}
