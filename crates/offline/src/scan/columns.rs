//! The columns that a scan asks for, whatever the file has of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::array::{TimestampMicrosecondArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use hitherto_core::{Created, Span, Table};
use parquet::arrow::ProjectionMask;

use super::footer::{Footer, KeyForm, view_type};
use crate::log::DataFile;
use crate::schema::{CREATED, DELETED, DESCRIPTION, EVENT, INGESTED, SEQUENCE};
use crate::types::{UTC, arrow_type, key_arrow_type, time_type};
use crate::{Error, Result};

/// One column of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Index into [`Table::keys`].
    Key(usize),
    Event,
    /// The created time that the rule looks at, wherever it comes from.
    Created,
    /// Index into [`Table::columns`].
    Feature(usize),
    Deleted,
    Sequence,
    Ingested,
    /// When the row could first have been used, with this source delay.
    Available(Span),
}

/// Columns in the order in which a scan hands them out.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    table: Arc<Table>,
    columns: Vec<Column>,
    key_form: KeyForm,
    schema: SchemaRef,
}

impl Layout {
    /// `available` is what a column of that kind is called.
    pub(super) fn new(table: &Arc<Table>, columns: Vec<Column>, key_form: KeyForm, available: &str) -> Self {
        let field = |column: &Column| match *column {
            Column::Key(key) => {
                let (name, key_type) = &table.keys[key];
                let declared = key_arrow_type(*key_type);
                let data_type = if key_form == KeyForm::Views { view_type(&declared) } else { declared };
                Field::new(name.as_str(), data_type, true)
            }
            Column::Event => Field::new(EVENT, time_type(), false),
            Column::Created => Field::new(CREATED, time_type(), false),
            Column::Feature(feature) => {
                let (name, value_type) = &table.columns[feature];
                Field::new(name.as_str(), arrow_type(value_type), true)
            }
            Column::Deleted => Field::new(DELETED, DataType::Boolean, true),
            Column::Sequence => Field::new(SEQUENCE, DataType::Int64, false),
            Column::Ingested => Field::new(INGESTED, time_type(), false),
            Column::Available(_) => Field::new(available, time_type(), false),
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        Self { table: Arc::clone(table), columns, key_form, schema }
    }

    /// The same columns, each with what it is in its field's metadata, where that is known.
    pub(super) fn described(self, descriptions: &HashMap<String, String>) -> Self {
        let field = |field: &FieldRef| match descriptions.get(field.name()) {
            None => Arc::clone(field),
            Some(text) => {
                let metadata = HashMap::from([(DESCRIPTION.to_owned(), text.clone())]);
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            }
        };
        let schema = Arc::new(Schema::new(self.schema.fields().iter().map(field).collect::<Vec<_>>()));
        Self { schema, ..self }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn key_form(&self) -> KeyForm {
        self.key_form
    }

    /// Some of its columns, by their places, in this order.
    pub(super) fn only(&self, places: &[usize]) -> Self {
        let fields: Vec<FieldRef> = places.iter().map(|&place| Arc::clone(&self.schema.fields()[place])).collect();
        Self {
            table: Arc::clone(&self.table),
            columns: places.iter().map(|&place| self.columns[place]).collect(),
            key_form: self.key_form,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// The columns in their order.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether a file has everything that these columns are made of, so that nothing is made up for it.
    pub(super) fn is_in(&self, footer: &Footer) -> bool {
        let schema = footer.metadata(self.key_form).schema();
        self.names().iter().all(|name| schema.column_with_name(name).is_some())
    }

    /// The names that a file may have for these columns.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::with_capacity(self.columns.len() + 2);
        let created = match self.table.created {
            Created::Absent => None,
            Created::Column => Some(CREATED),
            Created::IngestedAt => Some(INGESTED),
        };
        for column in &self.columns {
            match *column {
                Column::Key(key) => names.push(self.table.keys[key].0.as_str()),
                Column::Event => names.push(EVENT),
                Column::Created => names.extend(created),
                Column::Feature(feature) => names.push(self.table.columns[feature].0.as_str()),
                Column::Deleted => names.push(DELETED),
                Column::Sequence => names.push(SEQUENCE),
                Column::Ingested => names.push(INGESTED),
                Column::Available(_) => {
                    names.push(EVENT);
                    names.extend(created);
                }
            }
        }
        names
    }
}

/// A batch of a file in a scan's columns.
pub(super) struct Assembled {
    pub(super) batch: RecordBatch,
    /// Which rows are within the pin; `None` where all are.
    pub(super) within: Option<BooleanArray>,
}

/// How one file gives a layout's columns.
pub(super) struct FileColumns<'a> {
    layout: &'a Layout,
    file: &'a DataFile,
    /// Which of the file's columns are read.
    pub(super) mask: ProjectionMask,
    /// Rows with a greater sequence are to be left out.
    limit: Option<i64>,
}

impl<'a> FileColumns<'a> {
    /// For the rows of `file`, whose greatest sequence is `last_sequence` if that is known, up to `limit`.
    pub(super) fn new(
        layout: &'a Layout,
        file: &'a DataFile,
        footer: &Footer,
        last_sequence: Option<i64>,
        limit: i64,
    ) -> Self {
        let limit = last_sequence.is_none_or(|last| last > limit).then_some(limit);
        let metadata = footer.metadata(layout.key_form);
        let mut names = layout.names();
        names.extend(limit.map(|_| SEQUENCE));
        let roots: Vec<usize> =
            names.iter().filter_map(|name| Some(metadata.schema().column_with_name(name)?.0)).collect();
        Self { layout, file, mask: ProjectionMask::roots(metadata.parquet_schema(), roots), limit }
    }

    /// The layout's columns of a batch whose first row is row `first_row` of the file.
    pub(super) fn assemble(&self, read: &RecordBatch, first_row: u64) -> Result<Assembled> {
        let columns = self
            .layout
            .columns
            .iter()
            .map(|column| self.column(*column, read, first_row))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.layout.schema), columns, &options)
            .map_err(|error| self.corrupt(error.to_string()))?;
        let within = match self.limit {
            None => None,
            Some(limit) => {
                let sequence = self.column(Column::Sequence, read, first_row)?;
                let sequence = sequence.as_primitive::<Int64Type>();
                let within = BooleanBuffer::collect_bool(sequence.len(), |row| sequence.value(row) <= limit);
                (within.count_set_bits() < within.len()).then(|| BooleanArray::new(within, None))
            }
        };
        Ok(Assembled { batch, within })
    }

    fn column(&self, column: Column, read: &RecordBatch, first_row: u64) -> Result<ArrayRef> {
        let table = &self.layout.table;
        let rows = read.num_rows();
        match column {
            Column::Key(key) => {
                let (name, key_type) = &table.keys[key];
                let declared = key_arrow_type(*key_type);
                let views = self.layout.key_form == KeyForm::Views;
                self.required(read, name.as_str(), &if views { view_type(&declared) } else { declared })
            }
            Column::Event => self.required(read, EVENT, &time_type()),
            Column::Created => match table.created {
                Created::Column => self.required(read, CREATED, &time_type()),
                Created::IngestedAt => self.column(Column::Ingested, read, first_row),
                Created::Absent => Err(self.corrupt("its table has no created times".to_owned())),
            },
            Column::Feature(feature) => {
                let (name, value_type) = &table.columns[feature];
                let data_type = arrow_type(value_type);
                let present = self.optional(read, name.as_str(), &data_type)?;
                Ok(present.unwrap_or_else(|| new_null_array(&data_type, rows)))
            }
            Column::Deleted => {
                let present = self.optional(read, DELETED, &DataType::Boolean)?;
                Ok(present.unwrap_or_else(|| new_null_array(&DataType::Boolean, rows)))
            }
            Column::Sequence => match self.optional(read, SEQUENCE, &DataType::Int64)? {
                Some(present) => Ok(present),
                None => self.sequences(first_row, rows),
            },
            Column::Ingested => match self.optional(read, INGESTED, &time_type())? {
                Some(present) => Ok(present),
                None => self.commit_times(rows),
            },
            Column::Available(delay) => self.available(delay, read, first_row),
        }
    }

    fn sequences(&self, first_row: u64, rows: usize) -> Result<ArrayRef> {
        let first = self.file.first_sequence.ok_or_else(|| self.missing(SEQUENCE))?.saturating_add(first_row as i64);
        Ok(Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| first.saturating_add(row)))))
    }

    fn commit_times(&self, rows: usize) -> Result<ArrayRef> {
        let time = self.file.commit_time.ok_or_else(|| self.missing(INGESTED))?;
        Ok(Arc::new(TimestampMicrosecondArray::from_value(time.0, rows).with_timezone(UTC)))
    }

    fn available(&self, delay: Span, read: &RecordBatch, first_row: u64) -> Result<ArrayRef> {
        let event = self.column(Column::Event, read, first_row)?;
        let event = event.as_primitive::<TimestampMicrosecondType>();
        let delayed = |time: i64| time.saturating_add(delay.micros());
        let available = if self.layout.table.created == Created::Absent {
            event.unary::<_, TimestampMicrosecondType>(delayed)
        } else {
            let created = self.column(Column::Created, read, first_row)?;
            let created = created.as_primitive::<TimestampMicrosecondType>();
            let times = event.values().iter().zip(created.values());
            TimestampMicrosecondArray::from_iter_values(times.map(|(event, created)| delayed(*event).max(*created)))
        };
        Ok(Arc::new(available.with_timezone(UTC)))
    }

    fn required(&self, read: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        self.optional(read, name, data_type)?.ok_or_else(|| self.missing(name))
    }

    fn optional(&self, read: &RecordBatch, name: &str, data_type: &DataType) -> Result<Option<ArrayRef>> {
        let Some(column) = read.column_by_name(name) else { return Ok(None) };
        if column.data_type() == data_type {
            return Ok(Some(Arc::clone(column)));
        }
        // other writers name the items of lists otherwise, or keep no Arrow types at all
        let converted = cast(column, data_type).ok().filter(|converted| converted.null_count() == column.null_count());
        converted.map(Some).ok_or_else(|| {
            self.corrupt(format!("its column '{name}' is {} instead of {data_type}", column.data_type()))
        })
    }

    fn missing(&self, name: &str) -> Error {
        self.corrupt(format!("it has no column '{name}', and its commit does not say either"))
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { path: self.file.path.to_string(), reason }
    }
}
