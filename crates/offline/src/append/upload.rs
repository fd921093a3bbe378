//! A Parquet file on its way to the store: rows gather to blocks, and one block is encoded while the next one gathers.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use object_store::buffered::BufWriter;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::encode::Encoder;

/// Bytes of a block: enough work for several threads, and little beside a row group.
const BLOCK_BYTES: usize = 4 << 20;
/// Bytes that a row group may take while it is written; the bound of the writer's memory for wide rows.
const GROUP_BYTES: usize = 16 << 20;
/// Bytes that are passed on as one.
const PIECE_BYTES: usize = 1 << 20;

/// Writes to a store what it encodes.
pub(super) struct Upload {
    sink: BufWriter,
    schema: SchemaRef,
    properties: WriterProperties,
    /// None before the first block.
    encoder: Option<SpawnedTask<Result<Encoder<Pieces>>>>,
    block: Vec<RecordBatch>,
    block_bytes: usize,
    file_bytes: usize,
}

impl Upload {
    pub(super) fn new(sink: BufWriter, schema: SchemaRef, properties: WriterProperties) -> Self {
        Self { sink, schema, properties, encoder: None, block: Vec::new(), block_bytes: 0, file_bytes: 0 }
    }

    /// What the file has so far, roughly: rows that wait count as they are in memory.
    pub(super) fn size_bytes(&self) -> u64 {
        (self.file_bytes + self.block_bytes) as u64
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        // a batch of very wide rows is cut, so that the bound on a row group's bytes can hold
        let bytes = batch.get_array_memory_size().max(1);
        let step = (batch.num_rows() * GROUP_BYTES / 4 / bytes).clamp(1, batch.num_rows());
        for from in (0..batch.num_rows()).step_by(step) {
            let part = batch.slice(from, step.min(batch.num_rows() - from));
            self.block_bytes += bytes * part.num_rows() / batch.num_rows();
            self.block.push(part);
            if self.block_bytes >= BLOCK_BYTES {
                self.encode_block().await?;
            }
        }
        Ok(())
    }

    /// Ends the file, and returns the SHA-256 of its bytes in hex. It is durable when this returns.
    pub(super) async fn finish(&mut self) -> Result<String> {
        self.encode_block().await?;
        let mut rest = match self.encoder.take() {
            Some(encoder) => encoded(encoder).await?.finish(Vec::new())?,
            None => Encoder::try_new(Pieces::default(), SchemaRef::clone(&self.schema), self.properties.clone(), None)?
                .finish(Vec::new())?,
        };
        self.put(rest.take()).await?;
        self.sink.shutdown().await.map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(hex::encode(rest.hash.finalize()))
    }

    /// Gives the file up.
    pub(super) async fn abort(mut self) -> object_store::Result<()> {
        self.sink.abort().await
    }

    /// Sets the encoder to work on the rows that wait, once it is done with those before.
    async fn encode_block(&mut self) -> Result<()> {
        let block = std::mem::take(&mut self.block);
        self.block_bytes = 0;
        let Some(first) = block.first() else { return Ok(()) };
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoded(encoder).await?,
            None => Encoder::try_new(Pieces::default(), first.schema(), self.properties.clone(), Some(first))?,
        };
        self.file_bytes = encoder.file_size();
        let done = encoder.sink().take();
        self.encoder = Some(SpawnedTask::spawn_blocking(move || {
            encoder.write(&block)?;
            if encoder.memory_size() > GROUP_BYTES {
                encoder.flush()?;
            }
            Ok(encoder)
        }));
        self.put(done).await
    }

    async fn put(&mut self, pieces: Vec<Vec<u8>>) -> Result<()> {
        for piece in pieces {
            self.sink.put(Bytes::from(piece)).await.map_err(|error| ParquetError::External(Box::new(error)))?;
        }
        Ok(())
    }
}

/// Bytes in pieces: a row group's as one piece would be moved about while it grows, and take twice its size.
#[derive(Default)]
struct Pieces {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
    /// Of all bytes so far.
    hash: Sha256,
}

impl Pieces {
    /// What it has, which it has no longer.
    fn take(&mut self) -> Vec<Vec<u8>> {
        let last = std::mem::take(&mut self.last);
        let full = std::mem::take(&mut self.full);
        full.into_iter().chain([last]).filter(|piece| !piece.is_empty()).collect()
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_BYTES);
        }
        let taken = bytes.len().min(PIECE_BYTES - self.last.len());
        self.last.extend_from_slice(&bytes[..taken]);
        self.hash.update(&bytes[..taken]);
        if self.last.len() == PIECE_BYTES {
            self.full.push(std::mem::take(&mut self.last));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The encoder when it is done with its block.
async fn encoded(at_work: SpawnedTask<Result<Encoder<Pieces>>>) -> Result<Encoder<Pieces>> {
    at_work.join_unwind().await.map_err(|error| ParquetError::External(Box::new(error)))?
}
