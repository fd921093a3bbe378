//! Rows of Arrow as PostgreSQL's types: what each column is shown as, and its values one by one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions as ArrowFormat};
use arrow_pg::datatypes::field_into_pg_type;
use arrow_pg::encoder::encode_value;
use futures::StreamExt;
use pgwire::api::Type;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::messages::data::{DataRow, RowDescription};
use pgwire::types::format::FormatOptions;

use super::failure::{Phase, Stop, state};
use super::pass::Pass;
use super::written::{Written, written};
use crate::queries::Rows;

/// How the columns of an answer are shown.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    shown: Arc<[Shown]>,
    fields: Arc<Vec<FieldInfo>>,
}

/// How one is.
#[derive(Clone, Debug)]
struct Shown {
    field: FieldRef,
    change: Change,
}

/// What a column becomes before its values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    /// Another type of Arrow with the same values.
    Cast(DataType),
    /// Each value as text: PostgreSQL has no such type.
    Text,
    /// Each value as its digits, of which a number of PostgreSQL may have as many as there are.
    Digits,
}

impl Columns {
    /// The columns of `schema`, in the formats that a client asked for: one for each column, one for all, or none for text.
    pub(super) fn new(schema: &SchemaRef, formats: &[i16], options: FormatOptions) -> Result<Self, Stop> {
        if formats.len() > 1 && formats.len() != schema.fields().len() {
            let (asked, there) = (formats.len(), schema.fields().len());
            let message = format!("formats for {asked} columns were asked for, and there are {there}");
            return Err(Stop::refused(state::PROTOCOL_VIOLATION, message));
        }
        let format =
            |place: usize| FieldFormat::from(formats.get(place).or(formats.first()).copied().unwrap_or_default());
        Self::with(schema, format, options)
    }

    /// All columns in one format.
    pub(super) fn all(schema: &SchemaRef, format: FieldFormat, options: FormatOptions) -> Result<Self, Stop> {
        Self::with(schema, |_| format, options)
    }

    fn with(schema: &SchemaRef, format: impl Fn(usize) -> FieldFormat, options: FormatOptions) -> Result<Self, Stop> {
        let options = Arc::new(options);
        let (mut shown, mut fields) = (Vec::new(), Vec::new());
        for (place, field) in schema.fields().iter().enumerate() {
            let (shown_as, data_type) = Shown::of(field)?;
            let size = size_of(&data_type);
            let info = FieldInfo::new(field.name().clone(), None, None, data_type, format(place));
            fields.push(info.with_format_options(Arc::clone(&options)).with_type_size(size));
            shown.push(shown_as);
        }
        Ok(Self { shown: shown.into(), fields: Arc::new(fields) })
    }

    /// As they are announced.
    pub(super) fn description(&self) -> RowDescription {
        RowDescription::new(self.fields.iter().map(Into::into).collect())
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(FieldInfo::name).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    fn shown(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let shown = |(column, shown): (&ArrayRef, &Shown)| match &shown.change {
            Change::Nothing => Ok(Arc::clone(column)),
            Change::Cast(data_type) => cast(column, data_type),
            Change::Text | Change::Digits => texts(column),
        };
        batch.columns().iter().zip(self.shown.iter()).map(shown).collect()
    }
}

impl Shown {
    fn of(field: &FieldRef) -> Result<(Self, Type), Stop> {
        let change = change_of(field.data_type());
        let shown_as = |data_type: DataType| Arc::new(field.as_ref().clone().with_data_type(data_type));
        let field = match &change {
            Change::Nothing => Arc::clone(field),
            Change::Cast(data_type) => shown_as(data_type.clone()),
            Change::Text | Change::Digits => shown_as(DataType::Utf8),
        };
        let data_type = match &change {
            Change::Digits => Type::NUMERIC,
            // what is always null is a text, as of PostgreSQL's
            Change::Nothing if field.data_type().is_null() => Type::TEXT,
            _ => field_into_pg_type(&field)?,
        };
        Ok((Self { field, change }, data_type))
    }
}

/// What becomes of values of this type, so that each has one of PostgreSQL's types, in both formats.
fn change_of(data_type: &DataType) -> Change {
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond)
        | DataType::Interval(_)
        | DataType::Duration(_) => Change::Nothing,
        DataType::Int8 | DataType::UInt8 => Change::Cast(DataType::Int16),
        DataType::UInt16 => Change::Cast(DataType::Int32),
        DataType::UInt32 => Change::Cast(DataType::Int64),
        DataType::Float16 => Change::Cast(DataType::Float32),
        DataType::Date64 => Change::Cast(DataType::Timestamp(TimeUnit::Millisecond, None)),
        DataType::FixedSizeBinary(_) => Change::Cast(DataType::Binary),
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Change::Digits,
        DataType::Dictionary(_, values) if change_of(values) == Change::Nothing => {
            Change::Cast(values.as_ref().clone())
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if is_plain(item.data_type()) =>
        {
            Change::Nothing
        }
        _ => Change::Text,
    }
}

/// Whether there are arrays of this type.
fn is_plain(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Utf8
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Timestamp(..)
    )
}

/// The type of PostgreSQL as which a column is shown; text where there is none.
pub(super) fn type_of(field: &FieldRef) -> Type {
    Shown::of(field).map_or(Type::TEXT, |(_, data_type)| data_type)
}

/// How many bytes a value has; -1 where they have different lengths.
pub(super) fn size_of(data_type: &Type) -> i16 {
    match *data_type {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let format = ArrowFormat::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &format)?;
    let text = |row| column.is_valid(row).then(|| formatter.value(row).to_string());
    Ok(Arc::new((0..column.len()).map(text).collect::<StringArray>()))
}

/// An answer whose rows are taken one by one.
pub(super) struct Answer {
    columns: Columns,
    rows: Rows,
    pass: Pass,
    batch: Vec<ArrayRef>,
    /// Rows of the batch, and how many of them are taken.
    rows_of_batch: usize,
    taken: usize,
    encoder: DataRowEncoder,
}

impl Answer {
    pub(super) fn new(columns: Columns, rows: Rows, pass: Pass) -> Self {
        let encoder = DataRowEncoder::new(Arc::clone(&columns.fields));
        Self { columns, rows, pass, batch: Vec::new(), rows_of_batch: 0, taken: 0, encoder }
    }

    /// The next row; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<DataRow>, Stop> {
        while self.taken == self.rows_of_batch {
            let Some(batch) = self.rows.next().await else { return Ok(None) };
            let batch = batch.map_err(|refusal| Stop::of(Phase::Running, refusal))?;
            // of an answer that goes on nobody gets more than its token lets
            self.pass.check()?;
            let unwritable = |error: ArrowError| {
                let message = format!("could not write the values of the answer: {error}");
                Stop::refused(state::DATA_EXCEPTION, message)
            };
            self.batch = self.columns.shown(&batch).map_err(unwritable)?;
            (self.rows_of_batch, self.taken) = (batch.num_rows(), 0);
        }
        let row = self.taken;
        self.taken += 1;
        for ((array, shown), field) in self.batch.iter().zip(self.columns.shown.iter()).zip(self.columns.fields.iter())
        {
            if array.is_null(row) {
                self.encoder.encode_field_with_type_and_format(
                    &None::<i8>,
                    field.datatype(),
                    field.format(),
                    field.format_options(),
                )?;
                continue;
            }
            let options = field.format_options();
            // as they are: neither is quoted, nor written otherwise
            match written(array, row, field)? {
                Some(Written::Text(text)) => {
                    self.encoder.encode_field_with_type_and_format(&text, &Type::TEXT, FieldFormat::Text, options)?;
                }
                Some(Written::Binary(bytes)) => {
                    let bytes = bytes.as_slice();
                    self.encoder.encode_field_with_type_and_format(
                        &bytes,
                        &Type::BYTEA,
                        FieldFormat::Binary,
                        options,
                    )?;
                }
                None => encode_value(&mut self.encoder, array, row, &shown.field, field)?,
            }
        }
        Ok(Some(self.encoder.take_row()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, DictionaryArray, Float32Array, Float64Builder, Int8Array, Int32Array,
        IntervalMonthDayNanoArray, ListArray, ListBuilder, NullArray, StringBuilder, TimestampMicrosecondArray,
        UInt64Array,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Float32Type, Int8Type, Schema};
    use futures::stream;

    use super::*;

    /// Each value of a row as it is sent; none for null.
    fn values(row: &DataRow) -> Vec<Option<Vec<u8>>> {
        let mut rest = &row.data[..];
        let mut values = Vec::new();
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length));
            let (value, more) = more.split_at(length.unwrap_or_default());
            values.push(length.is_ok().then(|| value.to_vec()));
            rest = more;
        }
        values
    }

    async fn sent(columns: Vec<(&str, ArrayRef)>, format: FieldFormat) -> (Vec<String>, Vec<Vec<Option<Vec<u8>>>>) {
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("a batch");
        let columns = Columns::all(&schema, format, FormatOptions::default()).expect("columns");
        let types = columns.fields.iter().map(|field| field.datatype().name().to_owned()).collect();
        let mut answer = Answer::new(columns, stream::iter([Ok(batch)]).boxed(), Pass::open());
        let mut rows = Vec::new();
        while let Some(row) = answer.next().await.expect("a row") {
            rows.push(values(&row));
        }
        (types, rows)
    }

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let carriers: DictionaryArray<Int8Type> = [Some("UA"), None].into_iter().collect();
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(1.5), None]), None]);
        let intervals =
            IntervalMonthDayNanoArray::from(vec![Some(arrow::datatypes::IntervalMonthDayNano::new(0, 1, 0)), None]);
        vec![
            ("small", Arc::new(Int8Array::from(vec![Some(-5), None]))),
            ("whole", Arc::new(Int32Array::from(vec![Some(7), None]))),
            ("great", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("real", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from(vec![Some(1_356_998_400_000_000), None]).with_timezone("UTC")),
            ),
            ("carrier", Arc::new(carriers)),
            ("list", Arc::new(lists)),
            ("span", Arc::new(intervals)),
        ]
    }

    #[tokio::test]
    async fn values_are_written_as_text() {
        let (types, rows) = sent(columns(), FieldFormat::Text).await;
        assert_eq!(types, ["int2", "int4", "numeric", "float4", "timestamptz", "text", "_float4", "interval"]);
        let texts: Vec<String> =
            rows[0].iter().map(|value| String::from_utf8(value.clone().expect("a value")).expect("text")).collect();
        assert_eq!(texts[..4], ["-5", "7", "18446744073709551615", "0.1"]);
        assert!(texts[4].starts_with("2013-01-01 00:00:00") && texts[4].ends_with("+00"), "{}", texts[4]);
        assert_eq!(texts[5..7], ["UA", "{1.5,NULL}"]);
        assert!(texts[7].contains("1 day"), "{}", texts[7]);
        assert_eq!(rows[1], vec![None; 8], "of each type a null is one");
    }

    #[tokio::test]
    async fn values_are_written_as_binary() {
        let (_, rows) = sent(columns(), FieldFormat::Binary).await;
        assert_eq!(rows[0][0].as_deref(), Some(&(-5_i16).to_be_bytes()[..]), "two bytes, as int2 has");
        assert_eq!(rows[0][1].as_deref(), Some(&7_i32.to_be_bytes()[..]));
        assert_eq!(rows[0][3].as_deref(), Some(&0.1_f32.to_be_bytes()[..]));
        // from the first moment of 2000
        let micros: i64 = 1_356_998_400_000_000 - 946_684_800_000_000;
        assert_eq!(rows[0][4].as_deref(), Some(&micros.to_be_bytes()[..]));
        assert_eq!(rows[0][5].as_deref(), Some(&b"UA"[..]));
        assert_eq!(rows[1], vec![None; 8]);
    }

    #[tokio::test]
    async fn numbers_lists_and_times_are_written_by_their_values() {
        let numbers =
            Decimal128Array::from(vec![Some(-1_234_500), None]).with_precision_and_scale(38, 2).expect("it fits");
        let times = TimestampMicrosecondArray::from(vec![Some(1_356_998_400_500_000), None]).with_timezone("UTC");
        let mut lists = ListBuilder::new(Float64Builder::new());
        lists.append_value([Some(f64::INFINITY), None, Some(1e20)]);
        lists.append_null();
        let mut texts = ListBuilder::new(StringBuilder::new());
        texts.append_value([Some("a b"), Some(""), Some("c")]);
        texts.append_null();
        let field = Arc::new(Field::new_list_field(times.data_type().clone(), true));
        let moments = ListArray::new(field, OffsetBuffer::from_lengths([1, 1]), Arc::new(times.clone()), None);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("number", Arc::new(numbers)),
            ("at", Arc::new(times)),
            ("list", Arc::new(lists.finish())),
            ("texts", Arc::new(texts.finish())),
            ("moments", Arc::new(moments)),
            ("nothing", Arc::new(NullArray::new(2))),
        ];
        let (types, rows) = sent(columns.clone(), FieldFormat::Text).await;
        assert_eq!(types, ["numeric", "timestamptz", "_float8", "_text", "_timestamptz", "text"]);
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let expected = [
            text("-12345.00"),
            text("2013-01-01 00:00:00.5+00"),
            text("{Infinity,NULL,1e+20}"),
            text("{\"a b\",\"\",c}"),
            text("{\"2013-01-01 00:00:00.5+00\"}"),
            None,
        ];
        assert_eq!(rows[0], expected);
        let (_, rows) = sent(columns, FieldFormat::Binary).await;
        // two groups, the first of which counts ten thousands; negative; two digits after the point: 1, 2345
        assert_eq!(rows[0][0].as_deref(), Some(&[0, 2, 0, 1, 0x40, 0, 0, 2, 0, 1, 9, 41][..]));
    }

    #[tokio::test]
    async fn a_time_that_postgresql_has_not_is_refused_and_never_null() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN + 1]));
        let schema = Arc::new(Schema::new(vec![Field::new("at", times.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![times]).expect("a batch");
        for format in [FieldFormat::Text, FieldFormat::Binary] {
            let columns = Columns::all(&schema, format, FormatOptions::default()).expect("columns");
            let rows = stream::iter([Ok(batch.clone())]).boxed();
            let Err(Stop::Refused(told)) = Answer::new(columns, rows, Pass::open()).next().await else {
                panic!("it is no time of PostgreSQL");
            };
            assert!(told.state == "22008" && told.message.contains("'at'"), "{}", told.message);
        }
    }

    #[test]
    fn formats_go_with_columns() {
        let schema = Arc::new(Schema::new(["a", "b"].map(|name| Field::new(name, DataType::Int32, true)).to_vec()));
        let formats = |formats: &[i16]| {
            let columns = Columns::new(&schema, formats, FormatOptions::default());
            columns.map(|columns| columns.fields.iter().map(|field| field.format().value()).collect::<Vec<_>>())
        };
        assert_eq!(formats(&[]).expect("text"), [0, 0]);
        assert_eq!(formats(&[1]).expect("binary"), [1, 1]);
        assert_eq!(formats(&[0, 1]).expect("one of each"), [0, 1]);
        assert!(formats(&[0, 1, 0]).is_err());
        assert_eq!(size_of(&Type::TIMESTAMPTZ), 8);
    }
}
