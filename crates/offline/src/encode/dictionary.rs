//! Which columns get no dictionary: the attempt costs more than all else where values hardly ever come twice.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

/// So many values of a column are looked at.
const SAMPLE: usize = 8192;
/// Fewer tell nothing.
const SAMPLE_MIN: usize = 1024;

/// `properties` without dictionaries for columns whose first values hardly ever come twice; times among them are
/// written as differences. Where values do come again, if only after ten thousand others, a dictionary is the smaller.
pub(super) fn without_vain_dictionaries(properties: WriterProperties, first: &RecordBatch) -> Result<WriterProperties> {
    let leaves = ArrowSchemaConverter::new().convert(&first.schema())?;
    let mut builder = properties.into_builder();
    for (index, leaf) in leaves.columns().iter().enumerate() {
        let values = innermost(first.column(leaves.get_column_root_idx(index)));
        if !is_unrepeated(&values) {
            continue;
        }
        builder = builder.set_column_dictionary_enabled(leaf.path().clone(), false);
        if matches!(values.data_type(), DataType::Timestamp(..)) {
            builder = builder.set_column_encoding(leaf.path().clone(), Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(builder.build())
}

/// The items of lists, and of what is no list the array itself.
fn innermost(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            innermost(&list.values().slice(from as usize, (to - from) as usize))
        }
        DataType::FixedSizeList(..) => innermost(array.as_fixed_size_list().values()),
        _ => ArrayRef::clone(array),
    }
}

/// Whether no more than one in 32 values has been there before. Of types that this cannot tell it says no.
fn is_unrepeated(array: &ArrayRef) -> bool {
    let array = array.slice(0, array.len().min(SAMPLE));
    let there = array.len() - array.null_count();
    let distinct = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        DataType::Binary => array.as_binary::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        data_type => match data_type.primitive_width() {
            Some(width) => distinct_numbers(&array, width),
            None => return false,
        },
    };
    there >= SAMPLE_MIN && distinct + there / 32 >= there
}

fn distinct_numbers(array: &ArrayRef, width: usize) -> usize {
    let data = array.to_data();
    let values = data.buffers().first().map_or(&[][..], |values| &values.as_slice()[data.offset() * width..]);
    let values = values.chunks_exact(width).take(array.len()).enumerate();
    values.filter(|(row, _)| array.is_valid(*row)).map(|(_, value)| value).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, ListArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;
    use parquet::schema::types::ColumnPath;

    use super::*;

    fn properties_for(columns: &[(&str, ArrayRef)]) -> WriterProperties {
        let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array)));
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        without_vain_dictionaries(WriterProperties::default(), &batch).expect("properties")
    }

    #[test]
    fn columns_without_repetition_have_no_dictionary() {
        let count = 8192;
        let unique: Float64Array = (0..count).map(|n| (n % 9 != 0).then_some(f64::from(n))).collect();
        let few: Float32Array = (0..count).map(|n| Some((n % 5000) as f32)).collect();
        let times = TimestampMicrosecondArray::from_iter_values((0..count).map(i64::from));
        let texts: StringArray = (0..count).map(|n| Some(format!("text {n}"))).collect();
        let lists = (0..i64::from(count)).map(|n| Some([Some(n), Some(-n)]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let nulls = Float64Array::from(vec![None; count as usize]);
        let properties = properties_for(&[
            ("unique", Arc::new(unique)),
            ("few", Arc::new(few)),
            ("times", Arc::new(times)),
            ("texts", Arc::new(texts)),
            ("lists", Arc::new(lists)),
            ("nulls", Arc::new(nulls)),
        ]);
        let has = |name: &str| properties.dictionary_enabled(&ColumnPath::from(name));
        assert_eq!(["unique", "few", "times", "texts", "nulls"].map(has), [false, true, false, false, true]);
        let items = ColumnPath::new(["lists", "list", "item"].map(str::to_owned).to_vec());
        assert!(!properties.dictionary_enabled(&items));
        assert_eq!(properties.encoding(&ColumnPath::from("times")), Some(Encoding::DELTA_BINARY_PACKED));
        assert_eq!(properties.encoding(&ColumnPath::from("unique")), None);
    }

    #[test]
    fn few_rows_tell_nothing() {
        let few: ArrayRef = Arc::new(Float64Array::from_iter_values((0..100).map(f64::from)));
        assert!(properties_for(&[("few", few)]).dictionary_enabled(&ColumnPath::from("few")));
    }
}
