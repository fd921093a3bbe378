//! How columns are written, told by their first values: dictionaries and compression are left out where they cost more than they save.

use std::collections::HashSet;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

/// So many values of a column are looked at.
const SAMPLE: usize = 8192;
/// Fewer tell nothing.
const SAMPLE_MIN: usize = 1024;
/// The level of zstd that is tried on numbers, which is what files are written with.
const ZSTD_LEVEL: i32 = 1;

/// `properties`, suited to columns whose first values hardly ever come twice. They get no dictionary; times among them are
/// written as differences, and numbers that compression hardly makes smaller, such as floats of any precision, as they are: to
/// unpack them is most of the work of reading them. Where values do come again, if only after ten thousand others, a
/// dictionary is the smaller.
pub(super) fn suited(properties: WriterProperties, first: &RecordBatch) -> Result<WriterProperties> {
    let leaves = ArrowSchemaConverter::new().convert(&first.schema())?;
    let mut builder = properties.into_builder();
    for (index, leaf) in leaves.columns().iter().enumerate() {
        let values = innermost(first.column(leaves.get_column_root_idx(index)));
        let values = values.slice(0, values.len().min(SAMPLE));
        if !is_unrepeated(&values) {
            continue;
        }
        builder = builder.set_column_dictionary_enabled(leaf.path().clone(), false);
        if matches!(values.data_type(), DataType::Timestamp(..)) {
            builder = builder.set_column_encoding(leaf.path().clone(), Encoding::DELTA_BINARY_PACKED);
        } else if is_incompressible(&values) {
            builder = builder.set_column_compression(leaf.path().clone(), Compression::UNCOMPRESSED);
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
    let there = array.len() - array.null_count();
    let distinct = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        DataType::Binary => array.as_binary::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        data_type => match data_type.primitive_width() {
            Some(width) => numbers(&array.to_data(), width).collect::<HashSet<_>>().len(),
            None => return false,
        },
    };
    there >= SAMPLE_MIN && distinct + there / 32 >= there
}

/// Whether they are numbers of which compression saves less than a tenth.
fn is_incompressible(array: &ArrayRef) -> bool {
    let Some(width) = array.data_type().primitive_width() else { return false };
    let plain = numbers(&array.to_data(), width).collect::<Vec<_>>().concat();
    zstd::bulk::compress(&plain, ZSTD_LEVEL).is_ok_and(|packed| packed.len() * 10 > plain.len() * 9)
}

/// The bytes of each number that is there.
fn numbers(data: &ArrayData, width: usize) -> impl Iterator<Item = &[u8]> {
    let values = data.buffers().first().map_or(&[][..], |values| &values.as_slice()[data.offset() * width..]);
    let values = values.chunks_exact(width).take(data.len()).enumerate();
    values.filter(|(row, _)| data.is_valid(*row)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        FixedSizeListArray, Float32Array, Float64Array, ListArray, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Float32Type, Int64Type};
    use parquet::basic::ZstdLevel;
    use parquet::schema::types::ColumnPath;

    use super::*;

    fn properties_for(columns: &[(&str, ArrayRef)]) -> WriterProperties {
        let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array)));
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        suited(zstd, &batch).expect("properties")
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

    #[test]
    fn numbers_that_do_not_get_smaller_are_not_compressed() {
        // as good as random: multiples of an odd number, of which the high bits are taken
        let random =
            |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd1b5_4a32_d192_ed03).rotate_left(31);
        let full: Float64Array = (1..=8192).map(|n| (n % 9 != 0).then(|| random(n) as f64 / 3.0)).collect();
        let cents: Float64Array = (0..8192).map(|n| Some(f64::from(n) / 100.0)).collect();
        let vectors = (1..=64).map(|n| {
            Some((0..256).map(move |m| Some(f32::from_bits((random(n * 256 + m) >> 32) as u32 & 0x7f7f_ffff))))
        });
        let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(vectors, 256);
        let properties = properties_for(&[
            ("full", Arc::new(full)),
            ("cents", Arc::new(cents)),
            ("few", Arc::new(Float64Array::from(vec![1.0 / 3.0; 8192]))),
        ]);
        let is_compressed =
            |properties: &WriterProperties, path| properties.compression(&path) != Compression::UNCOMPRESSED;
        let paths = ["full", "cents", "few"].map(ColumnPath::from);
        assert_eq!(paths.map(|path| is_compressed(&properties, path)), [false, true, true]);
        let properties = properties_for(&[("vectors", Arc::new(vectors))]);
        let items = ColumnPath::new(["vectors", "list", "item"].map(str::to_owned).to_vec());
        assert!(!is_compressed(&properties, items));
    }
}
