//! Parquet, page by page: a row group may be larger than the memory we have.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::InputError;
use super::open::InputFile;
use super::read::{BATCH_BYTES, BATCH_ROWS};

/// A file whose footer has been read.
pub(super) struct ParquetFile {
    name: String,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

/// Its rows.
pub(super) struct ParquetRows {
    name: String,
    reader: ParquetRecordBatchReader,
}

impl ParquetFile {
    pub(super) fn open(file: &InputFile) -> Result<Self, InputError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file.reopen()?, ArrowReaderOptions::new());
        match builder {
            Ok(builder) => Ok(Self { name: file.name.clone(), builder }),
            Err(_) if !has_footer(file)? => Err(InputError::Truncated { file: file.name.clone() }),
            Err(error) => Err(corrupt(&file.name, &error)),
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.builder.schema()
    }

    /// What its footer says under `key`.
    pub(super) fn stamp(&self, key: &str) -> Option<String> {
        let pairs = self.builder.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.clone()
    }

    /// Its rows, of the columns of these indices only, in the file's order.
    pub(super) fn rows(self, columns: Vec<usize>) -> Result<ParquetRows, InputError> {
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), columns);
        let batch_rows = batch_rows(&self.builder);
        let reader = self.builder.with_projection(mask).with_batch_size(batch_rows).build();
        let reader = reader.map_err(|error| corrupt(&self.name, &error))?;
        Ok(ParquetRows { name: self.name, reader })
    }
}

impl ParquetRows {
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, InputError> {
        let batch = self.reader.next().transpose();
        batch.map_err(|error| InputError::Corrupt { file: self.name.clone(), reason: error.to_string() })
    }
}

/// So many rows that a batch of them stays near [`BATCH_BYTES`].
fn batch_rows(builder: &ParquetRecordBatchReaderBuilder<File>) -> usize {
    let groups = builder.metadata().row_groups();
    let rows: i64 = groups.iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).sum();
    let bytes: i64 = groups.iter().map(parquet::file::metadata::RowGroupMetaData::total_byte_size).sum();
    let stored = usize::try_from(bytes / rows.max(1)).unwrap_or(0);
    // repeated vectors are small in the file and large in memory
    let fixed: usize = builder.schema().fields().iter().map(|field| fixed_bytes(field.data_type())).sum();
    (BATCH_BYTES / stored.max(fixed).max(1)).clamp(16, BATCH_ROWS)
}

fn fixed_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, length) => usize::try_from(*length).unwrap_or(0) * fixed_bytes(item.data_type()),
        other => other.primitive_width().unwrap_or(1),
    }
}

fn has_footer(file: &InputFile) -> Result<bool, InputError> {
    if file.bytes() < 12 {
        return Ok(false);
    }
    let io = |source| InputError::Io { file: file.name.clone(), source };
    let mut tail = [0; 4];
    let mut opened = file.reopen()?;
    opened.seek(SeekFrom::End(-4)).map_err(io)?;
    opened.read_exact(&mut tail).map_err(io)?;
    Ok(&tail == b"PAR1")
}

fn corrupt(name: &str, error: &ParquetError) -> InputError {
    InputError::Corrupt { file: name.to_owned(), reason: error.to_string() }
}
