//! Rows for a table: columns matched and cast, batch by batch.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_empty_array, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use futures::Stream;

use super::cast::{Form, cast_column, cast_text};
use super::csv::CsvRows;
use super::json::JsonRows;
use super::open::InputFile;
use super::parquet::ParquetFile;
use super::read::{Batches, Halt, Sink};
use super::{ExtraColumns, Format, Input, InputError, Role, Target, TargetColumn};
use crate::types::arrow_type;

/// The rows of `input` as batches of exactly `target`'s schema. Must be called in a Tokio runtime.
///
/// Files are read one after another and their rows keep their order. The first thing that is wrong ends the stream
/// with an error, after which nothing that came before counts.
pub fn canonical(input: &Input, target: Target, extra: ExtraColumns) -> Canonical {
    let counts = Arc::new(Counts::of(&target));
    let schema = target.schema();
    let work = Work { target, extra, schema: Arc::clone(&schema), counts: Arc::clone(&counts) };
    let batches = Batches::spawn(schema, Arc::clone(&input.files), move |files, sink| {
        for (index, file) in files.iter().enumerate() {
            sink.enter(index);
            work.read(file, sink)?;
            file.refuse_change()?;
        }
        Ok(())
    });
    Canonical { batches, counts }
}

/// A stream of canonical batches.
#[derive(Debug)]
pub struct Canonical {
    batches: Batches,
    counts: Arc<Counts>,
}

/// What a stream has given so far; complete once it has ended.
#[derive(Debug, Default)]
pub struct Counts {
    rows: AtomicU64,
    null_key_rows: AtomicU64,
    /// For each column of the target, whether some file has it.
    found: Box<[AtomicBool]>,
}

impl Counts {
    fn of(target: &Target) -> Self {
        Self { found: target.columns.iter().map(|_| AtomicBool::new(false)).collect(), ..Self::default() }
    }

    /// Says of some of the target's columns that a file has them.
    fn find(&self, columns: impl IntoIterator<Item = bool>) {
        for (found, is_there) in self.found.iter().zip(columns) {
            found.fetch_or(is_there, Ordering::Relaxed);
        }
    }

    /// The columns of `target`, which is that of the stream, that some file has; others are null in every row.
    pub fn found<'a>(&self, target: &'a Target) -> Vec<&'a TargetColumn> {
        let columns = target.columns.iter().zip(self.found.iter());
        columns.filter(|(_, found)| found.load(Ordering::Relaxed)).map(|(column, _)| column).collect()
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Rows with a null in some part of their key: they are kept, and match nothing.
    pub fn null_key_rows(&self) -> u64 {
        self.null_key_rows.load(Ordering::Relaxed)
    }
}

impl Canonical {
    /// The schema of every batch: that of the target.
    pub fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }

    /// The counts, to be read when the stream has been taken to its end.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl Stream for Canonical {
    type Item = Result<RecordBatch, InputError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.batches).poll_next(cx);
        if let Poll::Ready(Some(Ok(batch))) = &polled {
            self.counts.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        }
        polled
    }
}

struct Work {
    target: Target,
    extra: ExtraColumns,
    schema: SchemaRef,
    counts: Arc<Counts>,
}

impl Work {
    fn read(&self, file: &InputFile, sink: &Sink) -> Result<(), Halt> {
        match file.format {
            Format::Parquet => self.read_parquet(file, sink),
            Format::Csv => self.read_csv(file, sink),
            Format::Ndjson => self.read_json(file, sink),
        }
    }

    fn read_parquet(&self, file: &InputFile, sink: &Sink) -> Result<(), Halt> {
        let opened = ParquetFile::open(file)?;
        let schema = Arc::clone(opened.schema());
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let places = self.target.locate(&file.name, &names, self.extra)?;
        self.counts.find(places.iter().map(Option::is_some));
        for (column, place) in self.target.columns.iter().zip(&places) {
            // a column of a wrong type is refused before any row is read
            if let Some(place) = place {
                let none = new_empty_array(schema.field(*place).data_type());
                cast_column(&none, &column.value_type, column.role).map_err(|error| error.at(&file.name, column, 1))?;
            }
        }
        let mut rows = opened.rows(places.iter().copied().flatten().collect())?;
        let mut first_row = 1;
        while let Some(batch) = rows.next()? {
            first_row = self.put(file, sink, &batch, None, first_row)?;
        }
        Ok(())
    }

    fn read_csv(&self, file: &InputFile, sink: &Sink) -> Result<(), Halt> {
        let rows = CsvRows::open(file)?;
        let places = self.target.locate(&file.name, rows.header(), self.extra)?;
        self.counts.find(places.iter().map(Option::is_some));
        let mut wanted: Vec<usize> = places.iter().copied().flatten().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut rows = rows.project(wanted);
        let mut first_row = 1;
        while let Some(batch) = rows.next()? {
            first_row = self.put(file, sink, &batch, Some(Form::Csv), first_row)?;
        }
        Ok(())
    }

    /// An object may lack any field; a column is missing when no row has it. For times that shows soon, in the first
    /// batch; for features only at the end, and then nothing counts.
    fn read_json(&self, file: &InputFile, sink: &Sink) -> Result<(), Halt> {
        let wanted = self.target.sources();
        let mut rows = JsonRows::open(file, &wanted)?;
        let mut first_row = 1;
        while let Some(batch) = rows.next()? {
            if first_row == 1 {
                let is_needed = |role| matches!(role, Role::Key | Role::EventTime | Role::CreatedTime);
                self.target.refuse_missing(&file.name, &found(&rows, &wanted), |column| is_needed(column.role))?;
            }
            let unknown: Vec<String> = rows.unknown.iter().cloned().collect();
            self.target.refuse_extra(&file.name, &unknown, self.extra)?;
            first_row = self.put(file, sink, &batch, Some(Form::Json), first_row)?;
        }
        if first_row > 1 {
            let found = found(&rows, &wanted);
            self.target.refuse_missing(&file.name, &found, |_| true)?;
            self.counts.find(self.target.columns.iter().map(|column| found.contains(&column.source)));
        }
        Ok(())
    }

    /// Casts and puts a batch whose first row is the file's row `first_row`; the number of the row after it.
    fn put(
        &self,
        file: &InputFile,
        sink: &Sink,
        batch: &RecordBatch,
        form: Option<Form>,
        first_row: u64,
    ) -> Result<u64, Halt> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.target.columns.len());
        for column in &self.target.columns {
            let Some(array) = batch.column_by_name(&column.source) else {
                columns.push(new_null_array(&arrow_type(&column.value_type), batch.num_rows()));
                continue;
            };
            let cast = match (form, array.data_type()) {
                (Some(form), DataType::Utf8) => {
                    cast_text(array.as_string(), form, &column.value_type, column.role.into())
                }
                _ => cast_column(array, &column.value_type, column.role),
            };
            columns.push(cast.map_err(|error| error.at(&file.name, column, first_row))?);
        }
        self.count_null_keys(&columns);
        let rows = batch.num_rows() as u64;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| InputError::Corrupt { file: file.name.clone(), reason: error.to_string() })?;
        sink.put(batch)?;
        Ok(first_row + rows)
    }

    fn count_null_keys(&self, columns: &[ArrayRef]) {
        let keys: Vec<&ArrayRef> = self
            .target
            .columns
            .iter()
            .zip(columns)
            .filter(|(column, array)| column.role == Role::Key && array.null_count() > 0)
            .map(|(_, array)| array)
            .collect();
        let Some(first) = keys.first() else { return };
        let rows = (0..first.len()).filter(|row| keys.iter().any(|key| key.is_null(*row))).count();
        self.counts.null_key_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// The columns that rows have had so far.
fn found(rows: &JsonRows, wanted: &[String]) -> Vec<String> {
    let seen = wanted.iter().zip(&rows.seen).filter(|(_, seen)| **seen).map(|(name, _)| name.clone());
    seen.chain(rows.unknown.iter().cloned()).collect()
}
