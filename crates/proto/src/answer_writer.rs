//! The answer to a read of features, written as it travels.
//!
//! A `GetFeaturesResponse` has dozens of small messages inside of each other; to make them all only to have them encoded, each
//! length worked out once for every message around it, costs several times what the values do. What is written here is byte
//! for byte what the message would be.

use std::borrow::Cow;

use hitherto_core::{Cells, Name, Status, Timestamp, Value, ValueType, VersionedName};
use prost::Message;

use crate::{Error, ModelPin, Watermark, pack, v1};

/// Bytes of the longest number.
const VARINT_MAX: usize = 10;

/// Writes an answer: first its columns, then its views, then the rest.
#[derive(Debug)]
pub struct AnswerWriter {
    out: Vec<u8>,
    /// What was packed last, whose length has to be written before it; memory that is used again.
    packed: Vec<u8>,
}

/// What is said of an answer as a whole.
#[derive(Clone, Copy, Debug)]
pub struct AnswerEnd<'a> {
    /// The feature set that answered.
    pub feature_set: &'a VersionedName,
    /// SHA-256, in hex, of what decides its values.
    pub feature_set_hash: &'a str,
    /// The model version that answered, where a model was asked for.
    pub model: Option<&'a ModelPin>,
    /// The moment of the answer, by the server's clock.
    pub clock: Timestamp,
    /// The number of rows.
    pub rows: usize,
    /// The values as an Arrow IPC stream, where they were asked for so.
    pub arrow: Option<&'a [u8]>,
}

impl AnswerWriter {
    /// For an answer of about so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), packed: Vec::new() }
    }

    /// A feature or a transform: `cells` are one per row, or none in an answer that has its values as Arrow.
    pub fn column(
        &mut self,
        name: &str,
        value_type: &ValueType,
        view: Option<usize>,
        statuses: &[Status],
        cells: &Cells,
    ) -> Result<(), Error> {
        let has_nulls = !cells.is_empty() && statuses.iter().any(|status| *status != Status::Present);
        let mut message = None;
        self.packed.clear();
        match cells {
            Cells::Bools(cells) => self.packed.extend(cells.iter().map(|cell| u8::from(*cell))),
            Cells::Int32s(cells) => put_packed(&mut self.packed, cells.iter().map(|cell| zigzag32(*cell))),
            Cells::Int64s(cells) => put_packed(&mut self.packed, cells.iter().map(|cell| zigzag(*cell))),
            Cells::Float32s(cells) => self.packed.extend(cells.iter().flat_map(|cell| cell.to_le_bytes())),
            Cells::Float64s(cells) => self.packed.extend(cells.iter().flat_map(|cell| cell.to_le_bytes())),
            Cells::Values(values) => message = Some(packed_values(name, value_type, values)?),
        }
        let packed = self.packed.as_slice();
        let text = text_of(value_type);
        let inner = if packed.is_empty() { 0 } else { nested(packed.len()) };
        let values = message.as_ref().map_or(nested(inner), Message::encoded_len);
        let validity = if has_nulls { nested(cells.len()) } else { 0 };
        let column = text_length(name) + text_length(&text) + nested(values) + validity;
        let statuses_length = if statuses.is_empty() { 0 } else { nested(statuses.len()) };
        let view_length = view.map_or(0, |view| 1 + length(view as u64));

        let out = &mut self.out;
        begin(out, 1, nested(column) + statuses_length + view_length);
        begin(out, 1, column);
        put_text(out, 1, name);
        put_text(out, 2, &text);
        begin(out, 3, values);
        if let Some(message) = &message {
            message.encode_raw(out);
        } else {
            begin(out, field_of(value_type), inner);
            if inner > 0 {
                begin(out, 1, packed.len());
                out.extend_from_slice(packed);
            }
        }
        if has_nulls {
            begin(out, 4, cells.len());
            out.extend(statuses.iter().map(|status| u8::from(*status == Status::Present)));
        }
        if !statuses.is_empty() {
            begin(out, 2, statuses.len());
            out.extend(statuses.iter().map(|status| v1::Status::from(*status) as u8));
        }
        if let Some(view) = view {
            put_varint(out, 3, view as u64);
        }
        Ok(())
    }

    /// A view, with its rows' event times where they were asked for.
    pub fn view(
        &mut self,
        view: &VersionedName,
        alias: &str,
        event_times: Option<impl ExactSizeIterator<Item = Option<Timestamp>> + Clone>,
        watermark: Watermark,
    ) {
        self.packed.clear();
        let mut rows_with_nulls = 0;
        if let Some(times) = event_times.clone() {
            let rows = times.len();
            let mut has_nulls = false;
            let micros = times.map(|time| {
                has_nulls |= time.is_none();
                zigzag(time.map_or(0, |time| time.0))
            });
            put_packed(&mut self.packed, micros);
            rows_with_nulls = if has_nulls { rows } else { 0 };
        }
        let watermark = v1::Watermark {
            sequence: watermark.sequence,
            clock_us: watermark.clock.0,
            lag_us: watermark.lag.micros(),
            stale: watermark.is_stale,
        };
        let packed = self.packed.as_slice();
        let optional = |length: usize| if length == 0 { 0 } else { nested(length) };
        let whole = text_length(view.name.as_str())
            + number_length(view.version)
            + text_length(alias)
            + optional(packed.len())
            + optional(rows_with_nulls)
            + nested(watermark.encoded_len());
        let out = &mut self.out;
        begin(out, 2, whole);
        put_text(out, 1, view.name.as_str());
        put_number(out, 2, view.version);
        put_text(out, 3, alias);
        if !packed.is_empty() {
            begin(out, 4, packed.len());
            out.extend_from_slice(packed);
        }
        if rows_with_nulls > 0 {
            begin(out, 5, rows_with_nulls);
            out.extend(event_times.into_iter().flatten().map(|time| u8::from(time.is_some())));
        }
        begin(out, 6, watermark.encoded_len());
        watermark.encode_raw(out);
    }

    /// The bytes of the whole answer.
    pub fn finish(self, end: AnswerEnd<'_>) -> Vec<u8> {
        let Self { mut out, .. } = self;
        let AnswerEnd { feature_set, feature_set_hash, model, clock, rows, arrow } = end;
        let set = (feature_set.name.as_str(), feature_set.version);
        begin(&mut out, 3, text_length(set.0) + number_length(set.1) + text_length(feature_set_hash));
        put_text(&mut out, 1, set.0);
        put_number(&mut out, 2, set.1);
        put_text(&mut out, 3, feature_set_hash);
        if let Some(ModelPin { version, alias }) = model {
            // said even where it is empty
            let alias = alias.as_ref().map(Name::as_str);
            let alias_length = alias.map_or(0, |alias| nested(alias.len()));
            begin(&mut out, 4, text_length(version.name.as_str()) + number_length(version.version) + alias_length);
            put_text(&mut out, 1, version.name.as_str());
            put_number(&mut out, 2, version.version);
            if let Some(alias) = alias {
                begin(&mut out, 3, alias.len());
                out.extend_from_slice(alias.as_bytes());
            }
        }
        if clock.0 != 0 {
            put_varint(&mut out, 5, zigzag(clock.0));
        }
        if rows != 0 {
            put_varint(&mut out, 6, rows as u64);
        }
        if let Some(arrow) = arrow {
            begin(&mut out, 7, arrow.len());
            out.extend_from_slice(arrow);
        }
        out
    }
}

/// The number of the field of `Values` that has values of this type.
fn field_of(value_type: &ValueType) -> u8 {
    match value_type {
        ValueType::Bool => 1,
        ValueType::Int32 => 2,
        ValueType::Int64 => 3,
        ValueType::Float32 => 4,
        ValueType::Float64 => 5,
        ValueType::String => 6,
        ValueType::Bytes => 7,
        ValueType::Timestamp => 8,
        ValueType::Date => 9,
        ValueType::List(_) => 10,
        ValueType::Vector(_) => 11,
    }
}

fn packed_values(name: &str, value_type: &ValueType, values: &[Value]) -> Result<v1::Values, Error> {
    match pack::pack(value_type, values.to_vec()) {
        Ok((values, _)) => Ok(values),
        Err(row) => Err(Error::Value { column: name.to_owned(), row, value_type: value_type.clone() }),
    }
}

/// A type as it is written; no text is made for those that are asked for most.
fn text_of(value_type: &ValueType) -> Cow<'static, str> {
    Cow::Borrowed(match value_type {
        ValueType::Bool => "bool",
        ValueType::Int32 => "int32",
        ValueType::Int64 => "int64",
        ValueType::Float32 => "float32",
        ValueType::Float64 => "float64",
        ValueType::String => "string",
        ValueType::Timestamp => "timestamp",
        other => return Cow::Owned(other.to_string()),
    })
}

/// Numbers one after the other.
fn put_packed(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64>) {
    out.resize(numbers.len() * VARINT_MAX, 0);
    let end = numbers.fold(0, |end, number| write_varint(out, end, number));
    out.truncate(end);
}

/// Writes a number at `at`, where there is room for ten bytes, and says where it ends.
fn write_varint(out: &mut [u8], at: usize, number: u64) -> usize {
    if number < 1 << 56 {
        // seven bits into each of eight bytes, all at once; what is beyond the last is written over by the next
        let mut spread = (number & 0x0fff_ffff) | ((number & 0x00ff_ffff_f000_0000) << 4);
        spread = (spread & 0x0000_3fff_0000_3fff) | ((spread & 0x0fff_c000_0fff_c000) << 2);
        spread = (spread & 0x007f_007f_007f_007f) | ((spread & 0x3f80_3f80_3f80_3f80) << 1);
        let bytes = length(number);
        let goes_on = 0x8080_8080_8080_8080 & ((1_u64 << (8 * (bytes - 1))) - 1);
        if let Some(room) = out.get_mut(at..at + 8) {
            room.copy_from_slice(&(spread | goes_on).to_le_bytes());
        }
        return at + bytes;
    }
    let (mut rest, mut at) = (number, at);
    while rest >= 0x80 {
        out[at] = (rest as u8) | 0x80;
        (rest, at) = (rest >> 7, at + 1);
    }
    out[at] = rest as u8;
    at + 1
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn zigzag32(number: i32) -> u64 {
    u64::from(((number << 1) ^ (number >> 31)) as u32)
}

/// Bytes of a number: one for each seven bits of it.
fn length(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Bytes of a field that has so many in it, with its tag and its length.
fn nested(bytes: usize) -> usize {
    1 + length(bytes as u64) + bytes
}

fn text_length(text: &str) -> usize {
    if text.is_empty() { 0 } else { nested(text.len()) }
}

fn number_length(number: u32) -> usize {
    if number == 0 { 0 } else { 1 + length(number.into()) }
}

/// The tag and the length of a field that has so many bytes in it. No field has a number above 15.
fn begin(out: &mut Vec<u8>, field: u8, bytes: usize) {
    out.push((field << 3) | 2);
    push_varint(out, bytes as u64);
}

fn put_text(out: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        begin(out, field, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, field: u8, number: u32) {
    if number != 0 {
        put_varint(out, field, number.into());
    }
}

fn put_varint(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    push_varint(out, number);
}

fn push_varint(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        out.push(number as u8);
        return;
    }
    let mut room = [0; VARINT_MAX];
    let end = write_varint(&mut room, 0, number);
    out.extend_from_slice(&room[..end]);
}

#[cfg(test)]
mod tests {
    use hitherto_core::Span;
    use proptest::prelude::*;

    use super::*;
    use crate::{FeatureColumn, Features, ViewAnswer};

    /// What `features` are as a message, and as they are written.
    fn both(features: &Features, cells: &[Cells]) -> [Vec<u8>; 2] {
        let mut writer = AnswerWriter::with_capacity(8);
        for (column, cells) in features.columns.iter().zip(cells) {
            let FeatureColumn { name, value_type, statuses, view, .. } = column;
            writer.column(name, value_type, *view, statuses, cells).expect("cells of the type");
        }
        for view in &features.views {
            let times = view.event_times.as_ref().map(|times| times.iter().copied());
            writer.view(&view.view, view.alias.as_str(), times, view.watermark.expect("a watermark"));
        }
        let written = writer.finish(AnswerEnd {
            feature_set: &features.feature_set,
            feature_set_hash: &features.feature_set_hash,
            model: features.model.as_ref(),
            clock: features.clock,
            rows: features.rows,
            arrow: features.arrow.as_deref(),
        });
        [v1::GetFeaturesResponse::try_from(features.clone()).expect("values of the types").encode_to_vec(), written]
    }

    fn all_cells(numbers: &[i64]) -> Vec<(ValueType, Cells)> {
        fn each<T>(numbers: &[i64], make: impl Fn(i64) -> T) -> Vec<T> {
            numbers.iter().map(|number| make(*number)).collect()
        }
        let list = ValueType::List(Box::new(ValueType::Int64));
        let lists = each(numbers, |number| Value::List(vec![Value::Int64(number), Value::Null]));
        vec![
            (ValueType::Bool, Cells::Bools(each(numbers, |number| number > 0))),
            (ValueType::Int32, Cells::Int32s(each(numbers, |number| number as i32))),
            (ValueType::Date, Cells::Int32s(each(numbers, |number| number as i32))),
            (ValueType::Int64, Cells::Int64s(numbers.to_vec())),
            (ValueType::Timestamp, Cells::Int64s(numbers.to_vec())),
            (ValueType::Float32, Cells::Float32s(each(numbers, |number| number as f32))),
            (ValueType::Float64, Cells::Float64s(each(numbers, |number| number as f64))),
            (ValueType::String, Cells::Values(each(numbers, |number| Value::String(number.to_string())))),
            (ValueType::Bytes, Cells::Values(each(numbers, |number| Value::Bytes(number.to_be_bytes().to_vec())))),
            (ValueType::Vector(1), Cells::Values(each(numbers, |number| Value::Vector(vec![number as f32])))),
            (list, Cells::Values(lists)),
        ]
    }

    /// Features of every type with these numbers in them; null, or of no row, where a number is 0.
    fn features(numbers: &[i64], is_arrow: bool) -> (Features, Vec<Cells>) {
        let status = |number: &i64| if *number == 0 { Status::NotFound } else { Status::Present };
        let statuses: Vec<Status> = numbers.iter().map(status).collect();
        let is_null = |row: usize| numbers[row] == 0;
        let (mut columns, mut all) = (Vec::new(), Vec::new());
        for (index, (value_type, mut cells)) in all_cells(numbers).into_iter().enumerate() {
            if let Cells::Values(values) = &mut cells {
                values
                    .iter_mut()
                    .enumerate()
                    .filter(|(row, _)| is_null(*row))
                    .for_each(|(_, value)| *value = Value::Null);
            }
            if is_arrow {
                cells = Cells::new(&value_type);
            }
            let values = cells.to_values(&value_type, is_null);
            let (name, view) = ("f".repeat(index * 40), (index > 2).then_some(index * 50));
            columns.push(FeatureColumn { name, value_type, values, statuses: statuses.clone(), view });
            all.push(cells);
        }
        let version = |text: &str| VersionedName { name: text.parse().expect("a name"), version: 300 };
        let watermark = Watermark { sequence: -1, clock: Timestamp(0), lag: Span::ZERO, is_stale: false };
        let later = Watermark { sequence: 1 << 40, clock: Timestamp(i64::MAX), is_stale: true, ..watermark };
        let times = numbers.iter().map(|number| (*number != 0).then_some(Timestamp(*number))).collect();
        let view = |event_times, watermark| ViewAnswer {
            view: version("legs"),
            alias: "l".parse().expect("a name"),
            event_times,
            watermark: Some(watermark),
        };
        let features = Features {
            columns,
            views: vec![view(Some(times), watermark), view(None, later)],
            feature_set: version("late"),
            feature_set_hash: "ab".repeat(32),
            model: is_arrow
                .then(|| ModelPin { version: version("m"), alias: Some("champion".parse().expect("a name")) }),
            clock: Timestamp(-5),
            rows: numbers.len(),
            arrow: is_arrow.then(|| vec![7; 300]),
        };
        (features, all)
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_message(
            numbers in proptest::collection::vec(prop_oneof![Just(0), any::<i64>(), -300..300_i64], 0..40),
            is_arrow: bool,
        ) {
            let (features, cells) = features(&numbers, is_arrow);
            let [message, written] = both(&features, &cells);
            prop_assert_eq!(written, message);
        }

        #[test]
        fn numbers_are_written_as_prost_writes_them(bits in 0..64_u32, number: u64) {
            let number = number >> bits;
            let mut expected = Vec::new();
            prost::encoding::encode_varint(number, &mut expected);
            let mut written = Vec::new();
            push_varint(&mut written, number);
            prop_assert_eq!(length(number), expected.len());
            prop_assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_value_of_another_type_is_named_and_nothing_is_written() {
        let mut writer = AnswerWriter::with_capacity(0);
        let wrong = Cells::Values(vec![Value::Null, Value::Int32(1)]);
        let refused = writer.column("x", &ValueType::String, None, &[Status::NotFound, Status::Present], &wrong);
        assert_eq!(refused, Err(Error::Value { column: "x".to_owned(), row: 1, value_type: ValueType::String }));
        assert_eq!(writer.out, [0; 0]);
    }
}
