//! One Parquet file out: whole or absent, and the same bytes for the same rows.

mod lying;

use std::fmt;
use std::io::{self, Write};
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::encode::Encoder;
use crate::{DurableFileSystem, Error, RealDisk, Result};

/// Rows are encoded in blocks of this size whatever the batches were, or pages would end elsewhere.
const BLOCK_ROWS: usize = 8192;
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Bytes that a row group may take while it is written; the bound of the writer's memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes of blocks that are encoded at once, going by the columns' types: enough work for several threads.
const BLOCKS_BYTES: usize = 8 << 20;
/// Object stores want parts of 5 MiB or more, all but the last of one size.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

/// Says whether a place may be written to now.
pub type Judge = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Where a file goes: to a place in an object store, which a folder of this machine also is.
#[derive(Clone)]
pub struct OutputLocation {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    place: String,
    judge: Option<Judge>,
}

impl OutputLocation {
    /// A file of this machine. It comes into being, or takes another's place, when it is whole and on the disk.
    pub fn file(path: &FilePath) -> Result<Self> {
        let name = path.display().to_string();
        let refused = |reason: String| Error::Invalid(format!("could not write '{name}': {reason}"));
        if path.file_name().is_none() || path.is_dir() {
            return Err(refused("it is a folder; name a file".to_owned()));
        }
        let absolute = std::path::absolute(path).map_err(|error| Error::io(format!("write '{name}'"), error))?;
        let absolute = without_parents(absolute);
        let folder = absolute.parent().unwrap_or(FilePath::new("/")).to_path_buf();
        let path = Path::from_absolute_path(&absolute).map_err(|error| refused(error.to_string()))?;
        let place = absolute.display().to_string();
        Ok(Self { store: Arc::new(DurableFileSystem::new(folder, Arc::new(RealDisk))), path, name, place, judge: None })
    }

    /// A place in an object store; `name` is what errors call it.
    pub fn object(store: Arc<dyn ObjectStore>, path: Path, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { store, path, place: name.clone(), name, judge: None }
    }

    /// The same, but `judge` is asked before a file is begun there, and again when it is whole, before it comes into being: links
    /// may lead elsewhere by then. What it refuses is not written.
    pub fn judged_by(self, judge: Judge) -> Self {
        Self { judge: Some(judge), ..self }
    }

    async fn judge(&self) -> Result<()> {
        match &self.judge {
            Some(judge) => judge().await,
            None => Ok(()),
        }
    }

    /// Where it is, whatever the working folder: the absolute path of a file of this machine, what errors call others.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Object stores know no `..`: the folder that it leads to takes its place, if it is there.
fn without_parents(path: PathBuf) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    match (path.parent().map(FilePath::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}

impl fmt::Display for OutputLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for OutputLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OutputLocation").field(&self.name).finish()
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// Writes the rows of `batches`, all of `schema`, as one Parquet file with `metadata` in its footer, which is asked for
/// when all rows are there, and calls `progress` with the number of rows so far. On any failure there is no file, and one
/// that was there stays.
///
/// The bytes depend on the rows, the schema and the metadata, not on how the rows came in batches.
pub async fn write_parquet(
    location: &OutputLocation,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send,
    metadata: impl Future<Output = Result<Vec<(String, String)>>> + Send,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Written> {
    let what = || format!("write '{}'", location.name);
    let failed = |error| Error::object_store(what(), error);
    location.judge().await?;
    let mut upload = Unfinished(Some(location.store.put_multipart(&location.path).await.map_err(failed)?));
    let (to_encoder, blocks) = mpsc::channel(4);
    let (parts, from_encoder) = mpsc::channel(2);
    let encoder = SpawnedTask::spawn_blocking(move || encode(schema, blocks, Sink::new(parts)));
    let mut batches = std::pin::pin!(batches);
    let feed = async {
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            if to_encoder.send(Block::Rows(batch)).await.is_err() {
                break;
            }
            progress(rows);
        }
        let metadata = metadata.await?.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        // without this word the encoder knows that rows are missing; if it is gone already, it has said why
        drop(to_encoder.send(Block::End(metadata)).await);
        drop(to_encoder);
        Ok(())
    };
    let (fed, sent, encoded) = futures::join!(feed, send(&mut upload, from_encoder), encoder);
    let done = match (fed, sent, encoded) {
        (Err(error), _, _) => Err(error),
        (_, Err(error), _) => Err(failed(error)),
        (_, _, Err(error)) => Err(Error::io(what(), error.into())),
        (_, _, Ok(Err(error))) => Err(Error::parquet(what(), error)),
        (_, _, Ok(Ok(written))) => match location.judge().await {
            Ok(()) => upload.complete().await.map(|()| written).map_err(failed),
            Err(refused) => Err(refused),
        },
    };
    // the first failure is the one to tell
    upload.abort_unless_complete().await;
    done
}

/// An upload that is taken back when its writer is dropped half-way: a bucket would keep, and bill, its parts.
struct Unfinished(Option<Box<dyn MultipartUpload>>);

impl Unfinished {
    async fn complete(&mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.0 {
            upload.complete().await?;
        }
        self.0 = None;
        Ok(())
    }

    async fn abort_unless_complete(&mut self) {
        if let Some(upload) = &mut self.0 {
            drop(upload.abort().await);
        }
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { drop(upload.abort().await) });
        }
    }
}

/// Uploads the parts until the encoder ends, or until one fails, which ends the encoder.
async fn send(upload: &mut Unfinished, mut parts: mpsc::Receiver<Bytes>) -> object_store::Result<()> {
    let Some(upload) = &mut upload.0 else { return Ok(()) };
    let mut under_way = JoinSet::new();
    while let Some(part) = parts.recv().await {
        while under_way.len() >= PARTS_AT_ONCE {
            joined(&mut under_way).await?;
        }
        under_way.spawn(upload.put_part(part.into()));
    }
    while !under_way.is_empty() {
        joined(&mut under_way).await?;
    }
    Ok(())
}

async fn joined(under_way: &mut JoinSet<object_store::Result<()>>) -> object_store::Result<()> {
    under_way.join_next().await.transpose()?.unwrap_or(Ok(()))
}

enum Block {
    Rows(RecordBatch),
    /// With the footer's metadata.
    End(Vec<KeyValue>),
}

/// Encodes blocks as they come, several of them at once.
fn encode(schema: SchemaRef, blocks: mpsc::Receiver<Block>, sink: Sink) -> parquet::errors::Result<Written> {
    let properties = WriterProperties::builder()
        .set_created_by("hitherto".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let blocks_at_once = blocks_at_once(&schema);
    let even = BatchCoalescer::new(Arc::clone(&schema), BLOCK_ROWS);
    let mut blocks = EvenBlocks { blocks, even, metadata: None };
    let mut next = blocks.next()?;
    let mut encoder = Encoder::try_new(sink, schema, properties, next.as_ref())?;
    let (mut rows, mut waiting) = (0, Vec::new());
    while let Some(block) = next {
        rows += block.num_rows() as u64;
        waiting.push(block);
        if waiting.len() == blocks_at_once {
            encoder.write(&waiting)?;
            waiting.clear();
            // what the encoder has depends on the rows alone, so row groups end at the same rows every time
            if encoder.memory_size() > ROW_GROUP_BYTES {
                encoder.flush()?;
            }
        }
        next = blocks.next()?;
    }
    encoder.write(&waiting)?;
    let (bytes, sha256) = encoder.finish(blocks.metadata.unwrap_or_default())?.finish()?;
    Ok(Written { rows, bytes, sha256 })
}

/// Only types count: how much memory the same rows take depends on how they came.
fn blocks_at_once(schema: &SchemaRef) -> usize {
    let row_bytes: usize = schema.fields().iter().map(|field| width(field.data_type())).sum();
    (BLOCKS_BYTES / (row_bytes * BLOCK_ROWS).max(1)).clamp(1, 64)
}

/// The bytes of a value, as a guess where they are not the same for all.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, length) => width(item.data_type()) * length.unsigned_abs() as usize,
        other => other.primitive_width().unwrap_or(32),
    }
}

/// Blocks of [`BLOCK_ROWS`], all but the last.
struct EvenBlocks {
    blocks: mpsc::Receiver<Block>,
    even: BatchCoalescer,
    /// The footer's; none before the end.
    metadata: Option<Vec<KeyValue>>,
}

impl EvenBlocks {
    fn next(&mut self) -> parquet::errors::Result<Option<RecordBatch>> {
        loop {
            if let Some(block) = self.even.next_completed_batch() {
                return Ok(Some(block));
            }
            if self.metadata.is_some() {
                return Ok(None);
            }
            match self.blocks.blocking_recv() {
                Some(Block::Rows(batch)) => self.even.push_batch(batch)?,
                Some(Block::End(metadata)) => {
                    self.even.finish_buffered_batch()?;
                    self.metadata = Some(metadata);
                }
                None => return Err(ParquetError::General("the rows ended too early".to_owned())),
            }
        }
    }
}

/// Cuts what is written into parts, and counts and hashes it.
struct Sink {
    parts: mpsc::Sender<Bytes>,
    part: Vec<u8>,
    bytes: u64,
    hash: Sha256,
}

impl Sink {
    fn new(parts: mpsc::Sender<Bytes>) -> Self {
        Self { parts, part: Vec::new(), bytes: 0, hash: Sha256::new() }
    }

    fn send(&mut self) -> io::Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        self.parts.blocking_send(part).map_err(|_| io::Error::other("nobody takes the file's bytes any more"))
    }

    fn finish(mut self) -> io::Result<(u64, String)> {
        self.send()?;
        Ok((self.bytes, hex::encode(self.hash.finalize())))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        self.hash.update(&bytes[..taken]);
        self.bytes += taken as u64;
        if self.part.len() == PART_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
