//! A spine's columns as a client sent them, as files hold them, and back again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::dictionary::Dictionary;
use super::expansion::check_expansion;

/// So many bytes are taken to remember what a spine's dictionaries hold. A column with more than its share comes back with
/// dictionaries of the file's making.
const REMEMBERED_BYTES: usize = 64 << 20;

/// The columns of a spine: what a client sent is what it gets back, whatever a file makes of it.
#[derive(Debug)]
pub(super) struct Columns {
    sent: SchemaRef,
    stored: SchemaRef,
    /// Of each column that came with dictionaries, what they held, as long as that is not too much to remember.
    dictionaries: Vec<Option<Dictionary>>,
}

impl Columns {
    /// The columns of `sent`.
    pub(super) fn new(sent: SchemaRef) -> Self {
        let fields = sent.fields().iter().map(stored_field).collect::<Vec<_>>();
        let with = sent.fields().iter().filter(|field| matches!(field.data_type(), DataType::Dictionary(..))).count();
        let share = REMEMBERED_BYTES / with.max(1);
        let dictionaries = sent.fields().iter().map(|field| Dictionary::of(field.data_type(), share)).collect();
        Self { sent, stored: Arc::new(Schema::new(fields)), dictionaries }
    }

    /// As they are stored.
    pub(super) fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// A batch as it is stored; what its dictionaries hold is remembered.
    pub(super) fn store(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        check_expansion(batch, &self.stored)?;
        let mut columns = Vec::with_capacity(batch.num_columns());
        for ((column, field), dictionary) in
            batch.columns().iter().zip(self.stored.fields()).zip(&mut self.dictionaries)
        {
            if let Some(known) = dictionary
                && !known.learn(column)?
            {
                *dictionary = None;
            }
            columns.push(converted(column, field.data_type())?);
        }
        with_rows(&self.stored, columns, batch.num_rows())
    }

    /// The columns of a training set whose file has those of `file`: the spine's as they came, then what was added.
    ///
    /// A column whose dictionaries hold more together than its narrow keys can tell has wider keys.
    pub(super) fn restored(&self, file: &Schema) -> SchemaRef {
        let field = |(sent, known): (&FieldRef, &Option<Dictionary>)| match sent.data_type() {
            DataType::Dictionary(key, value) if is_narrow(key) && known.is_none() => {
                let wider = DataType::Dictionary(Box::new(DataType::Int32), value.clone());
                Arc::new(sent.as_ref().clone().with_data_type(wider))
            }
            _ => Arc::clone(sent),
        };
        let spine = self.sent.fields().iter().zip(&self.dictionaries).map(field);
        let fields: Vec<FieldRef> = spine.chain(file.fields().iter().skip(self.sent.fields().len()).cloned()).collect();
        Arc::new(Schema::new_with_metadata(fields, self.sent.metadata().clone()))
    }

    /// A batch of the training set's file in the columns that [`Columns::restored`] says.
    pub(super) fn restore(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (index, column) in batch.columns().iter().enumerate() {
            let sent = schema.field(index).data_type();
            columns.push(match self.dictionaries.get(index) {
                Some(Some(dictionary)) => dictionary.encode(column, sent)?,
                _ => converted(column, sent)?,
            });
        }
        with_rows(schema, columns, batch.num_rows())
    }
}

/// A batch in which no view holds on to more bytes than it shows: all that it holds on to would be sent.
pub(super) fn compacted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let compact = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => Arc::clone(column),
    };
    with_rows(&batch.schema(), batch.columns().iter().map(compact).collect(), batch.num_rows())
}

fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn converted(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match column.as_any_dictionary_opt() {
        _ if column.data_type() == wanted => Ok(Arc::clone(column)),
        // of more types than a cast knows
        Some(coded) if coded.values().data_type() == wanted => take(coded.values(), coded.keys(), None),
        _ => cast_with_options(column, wanted, &CastOptions { safe: false, ..CastOptions::default() }),
    }
}

fn stored_field(field: &FieldRef) -> FieldRef {
    match stored_type(field.data_type()) {
        None => Arc::clone(field),
        Some(stored) => {
            Arc::new(Field::new(field.name(), stored, field.is_nullable()).with_metadata(field.metadata().clone()))
        }
    }
}

/// Whether the keys of dictionaries can tell so few values that a reader, which makes one dictionary of several, runs out of
/// them.
fn is_narrow(key: &DataType) -> bool {
    matches!(key, DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16)
}

/// The plain type of what a Parquet reader could not give back as it was: runs, dictionaries with narrow keys, and dictionaries
/// of other things than texts, bytes and plain numbers. None of what can stay.
fn stored_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Dictionary(key, value) if is_narrow(key) => {
            Some(stored_type(value).unwrap_or_else(|| value.as_ref().clone()))
        }
        DataType::Dictionary(_, value) => match value.as_ref() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => None,
            number if number.is_integer() || matches!(number, DataType::Float32 | DataType::Float64) => None,
            other => Some(stored_type(other).unwrap_or_else(|| other.clone())),
        },
        DataType::RunEndEncoded(_, value) => {
            let value = value.data_type();
            Some(stored_type(value).unwrap_or_else(|| value.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayData, DictionaryArray, Int8Array, Int64Array, StringArray, StringViewArray, TimestampSecondArray,
        UInt32Array,
    };
    use arrow::buffer::Buffer;
    use arrow::datatypes::{Int8Type, TimeUnit, UInt32Type};

    use super::*;

    /// A column of texts by their places in `values`.
    fn texts(values: &[&str], keys: Vec<Option<i8>>) -> ArrayRef {
        let values = StringArray::from_iter_values(values);
        Arc::new(DictionaryArray::<Int8Type>::new(Int8Array::from(keys), Arc::new(values)))
    }

    fn parts(column: &ArrayRef) -> (ArrayData, ArrayData) {
        let dictionary = column.as_any_dictionary();
        (dictionary.keys().to_data(), dictionary.values().to_data())
    }

    fn spine(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    #[test]
    fn dictionaries_come_back_with_what_no_row_has() {
        let first = spine(vec![("size", texts(&["small", "middle", "large"], vec![Some(2), None, Some(0)]))]);
        let second = spine(vec![("size", texts(&["small", "middle", "large", "huge"], vec![Some(3)]))]);
        let mut columns = Columns::new(first.schema());
        let stored = columns.store(&first).expect("stored");
        columns.store(&second).expect("stored");
        assert_eq!(stored.schema(), *columns.stored());
        // a file gives dictionaries of its own making
        let file = spine(vec![
            ("size", texts(&["huge", "large", "small"], vec![Some(1), None, Some(2), Some(0)])),
            ("gust", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ]);
        let schema = columns.restored(&file.schema());
        let restored = columns.restore(&file, &schema).expect("restored");
        let expected = texts(&["small", "middle", "large", "huge"], vec![Some(2), None, Some(0), Some(3)]);
        assert_eq!(parts(restored.column(0)), parts(&expected));
        assert_eq!(restored.column(1), file.column(1));
        // and a file that another client's request has left may have no dictionary at all
        let plain = StringArray::from(vec![Some("large"), None, Some("small"), Some("huge")]);
        let file = spine(vec![("size", Arc::new(plain)), ("gust", Arc::clone(file.column(1)))]);
        let restored = columns.restore(&file, &schema).expect("restored");
        assert_eq!(parts(restored.column(0)), parts(&expected));
    }

    #[test]
    fn dictionaries_that_hold_more_than_their_keys_can_tell_come_back_with_wider_keys() {
        let all: Vec<String> = (0..300).map(|n| format!("text {n}")).collect();
        let batch = |of: &[String]| {
            let values: Vec<&str> = of.iter().map(String::as_str).collect();
            spine(vec![("name", texts(&values, (0..100).map(Some).collect()))])
        };
        let batches: Vec<RecordBatch> = all.chunks(100).map(batch).collect();
        let mut columns = Columns::new(batches[0].schema());
        let stored: Vec<RecordBatch> = batches.iter().map(|batch| columns.store(batch).expect("stored")).collect();
        let file = arrow::compute::concat_batches(columns.stored(), &stored).expect("one");
        let schema = columns.restored(&file.schema());
        let wider = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(*schema.field(0).data_type(), wider);
        let restored = columns.restore(&file, &schema).expect("restored");
        let plain = converted(restored.column(0), &DataType::Utf8).expect("texts");
        assert_eq!(*plain.as_string::<i32>(), StringArray::from_iter_values(&all));
    }

    #[test]
    fn what_a_file_cannot_hold_is_stored_plain_and_comes_back() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let keys = UInt32Array::from(vec![1, 0, 1]);
        let sent = spine(vec![("name", Arc::new(DictionaryArray::<UInt32Type>::new(keys, views)))]);
        let mut columns = Columns::new(sent.schema());
        let stored = columns.store(&sent).expect("stored");
        assert_eq!(*stored.column(0).data_type(), DataType::Utf8View);
        let schema = columns.restored(&stored.schema());
        assert_eq!(columns.restore(&stored, &schema).expect("restored"), sent);
    }

    #[test]
    fn fields_come_back_as_they_were() {
        let metadata = [("unit".to_owned(), "h".to_owned())].into();
        let time = Field::new("t", DataType::Timestamp(TimeUnit::Second, None), false);
        let sent =
            Schema::new_with_metadata(vec![time.with_metadata(metadata)], [("pandas".into(), "{}".into())].into());
        let mut columns = Columns::new(Arc::new(sent.clone()));
        let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![7]));
        let batch = RecordBatch::try_new(Arc::new(sent.clone()), vec![Arc::clone(&times)]).expect("a batch");
        columns.store(&batch).expect("stored");
        let file = spine(vec![("t", times), ("gust", Arc::new(Int64Array::from(vec![1])))]);
        let schema = columns.restored(&file.schema());
        assert_eq!((schema.field(0), schema.metadata()), (sent.field(0), sent.metadata()));
        assert_eq!(schema.field(1), file.schema().field(1));
        assert_eq!(columns.restore(&file, &schema).expect("restored").schema(), schema);
    }

    #[test]
    fn views_hold_on_to_no_more_than_they_show() {
        let long: Vec<String> = (0..1000).map(|n| format!("a text that is too long for a view, number {n}")).collect();
        let all = spine(vec![("name", Arc::new(StringViewArray::from_iter_values(&long)))]);
        let few = compacted(&all.slice(10, 2)).expect("compacted");
        assert_eq!(few, all.slice(10, 2));
        let bytes: usize = few.column(0).as_string_view().data_buffers().iter().map(Buffer::len).sum();
        assert_eq!(bytes, long[10].len() + long[11].len());
    }
}
