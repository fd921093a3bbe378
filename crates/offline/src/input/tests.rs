use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt as _;
use hitherto_core::Kind;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

fn local(path: &Path) -> Location {
    Location::Local(path.display().to_string())
}

fn column(name: &str, source: &str, value_type: &str, role: Role) -> TargetColumn {
    TargetColumn::new(name, source, value_type.parse().expect("a type"), role)
}

/// Key `tailnum` from `tail_number`, event and created times, `delay: float32`, and `seats: int32`, which a later
/// version added.
fn legs() -> Target {
    Target::new(vec![
        column("tailnum", "tail_number", "string", Role::Key),
        column("event_timestamp", "landed", "timestamp", Role::EventTime),
        column("created_timestamp", "reported", "timestamp", Role::CreatedTime),
        column("delay", "delay", "float32", Role::Feature),
        column("seats", "seats", "int32", Role::Feature).optional(),
    ])
}

async fn open(path: &Path) -> Input {
    Input::open([local(path)], &Options::default()).await.expect("the file opens")
}

async fn taken(input: &Input, extra: ExtraColumns) -> Result<(Vec<RecordBatch>, u64, u64), InputError> {
    let rows = canonical(input, legs(), extra);
    let (counts, schema) = (rows.counts(), rows.schema());
    let batches: Vec<_> = rows.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == schema));
    Ok((batches, counts.rows(), counts.null_key_rows()))
}

fn printed(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).expect("a table").to_string()
}

async fn refusal(path: &Path) -> String {
    let input = match Input::open([local(path)], &Options::default()).await {
        Ok(input) => input,
        Err(error) => return without(&error, path),
    };
    let error = taken(&input, ExtraColumns::Refuse).await.expect_err("the file must be refused");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    without(&error, path)
}

/// The message less the folder, which is another one each time.
fn without(error: &InputError, path: &Path) -> String {
    let folder = path.parent().expect("a folder").display().to_string();
    error.to_string().replace(&format!("{folder}/"), "")
}

const EXPECTED: &str = "\
+---------+----------------------+----------------------+-------+-------+----------+
| tailnum | event_timestamp      | created_timestamp    | delay | seats | _deleted |
+---------+----------------------+----------------------+-------+-------+----------+
| N1      | 2013-07-01T12:00:00Z | 2013-07-01T12:05:00Z | 1.5   | 7     |          |
|         | 2013-07-01T13:00:00Z | 2013-07-01T13:05:00Z |       |       | true     |
+---------+----------------------+----------------------+-------+-------+----------+";

const CSV: &str = "\
seats,delay,tail_number,landed,reported,_deleted
7,1.5,N1,2013-07-01T12:00:00Z,2013-07-01 12:05:00,
,,,2013-07-01T15:00:00+02:00,2013-07-01 13:05:00,true
";

const JSON: &str = r#"{"seats":7,"delay":1.5,"tail_number":"N1","landed":"2013-07-01T12:00:00Z","reported":"2013-07-01 12:05:00"}

{"tail_number":null,"landed":"2013-07-01T15:00:00+02:00","reported":"2013-07-01 13:05:00","_deleted":true}
"#;

fn parquet_columns() -> Vec<(&'static str, ArrayRef)> {
    let nanos = |times: Vec<i64>| Arc::new(TimestampNanosecondArray::from(times)) as ArrayRef;
    let second = 1_000_000_000;
    vec![
        ("seats", Arc::new(Int64Array::from(vec![Some(7), None]))),
        ("delay", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ("tail_number", Arc::new(StringArray::from(vec![Some("N1"), None]))),
        ("landed", nanos(vec![1_372_680_000 * second, 1_372_683_600 * second])),
        ("reported", nanos(vec![1_372_680_300 * second - 999, 1_372_683_900 * second])),
        ("_deleted", Arc::new(BooleanArray::from(vec![None, Some(true)]))),
    ]
}

fn parquet_bytes(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.into_inner().expect("a file")
}

#[tokio::test]
async fn each_format_gives_the_same_rows() {
    let folder = folder();
    for path in [
        write(&folder, "legs.csv", CSV),
        write(&folder, "legs.ndjson", JSON),
        write(&folder, "legs.parquet", parquet_bytes(parquet_columns())),
        write(&folder, "no_ending", JSON),
    ] {
        let (batches, rows, null_keys) = taken(&open(&path).await, ExtraColumns::Refuse).await.expect("rows");
        assert_eq!(printed(&batches), EXPECTED, "{}", path.display());
        assert_eq!((rows, null_keys), (2, 1));
    }
}

#[tokio::test]
async fn streams_and_objects_are_told_by_their_content_and_leave_nothing_behind() {
    let spool = folder();
    let options = Options::default().with_spool(spool.path());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for content in [CSV.as_bytes().to_vec(), JSON.as_bytes().to_vec(), parquet_bytes(parquet_columns())] {
        let path = object_store::path::Path::from("legs");
        store.put(&path, content.clone().into()).await.expect("an object");
        let object = Location::Object { url: "s3://bucket/legs".to_owned(), store: Arc::clone(&store), path };
        let stream = Location::Stream { name: "-".to_owned(), reader: Box::new(std::io::Cursor::new(content)) };
        let input = Input::open([object, stream], &options).await.expect("both open");
        assert_eq!(input.names().collect::<Vec<_>>(), ["s3://bucket/legs", "-"]);
        let (batches, rows, _) = taken(&input, ExtraColumns::Refuse).await.expect("rows");
        assert_eq!(rows, 4);
        assert_eq!(printed(&batches[1..]), EXPECTED);
        drop(input);
    }
    assert_eq!(std::fs::read_dir(spool.path()).expect("a folder").count(), 0);
    let path = object_store::path::Path::from("none");
    let missing = Location::Object { url: "s3://bucket/none".to_owned(), store, path };
    let error = Input::open([missing], &options).await.expect_err("there is none");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn patterns_give_files_sorted_by_name() {
    let folder = folder();
    let row = |delay: i32| {
        format!("tail_number,landed,reported,delay\nN1,2013-07-01T12:00:00Z,2013-07-01T12:00:00Z,{delay}\n")
    };
    for (name, delay) in [("b.csv", 2), ("a.csv", 1), ("c.txt", 3)] {
        write(&folder, name, row(delay));
    }
    let pattern = |end: &str| Location::Local(format!("{}/{end}", folder.path().display()));
    let input = Input::open([pattern("*.csv"), pattern("c.txt")], &Options::default()).await.expect("files");
    let (batches, ..) = taken(&input, ExtraColumns::Refuse).await.expect("rows");
    let delays: Vec<f32> = batches
        .iter()
        .flat_map(|batch| batch["delay"].as_primitive::<arrow::datatypes::Float32Type>().values().to_vec())
        .collect();
    assert_eq!(delays, [1.0, 2.0, 3.0]);
    let url = url::Url::from_file_path(folder.path().join("a.csv")).expect("a URL");
    let by_url = Input::open([Location::Local(url.to_string())], &Options::default()).await.expect("a file");
    assert_eq!(taken(&by_url, ExtraColumns::Refuse).await.expect("rows").1, 1);
    let none = Input::open([pattern("*.parquet")], &Options::default()).await.expect_err("none matches");
    assert_eq!(none.to_string(), format!("could not open '{}/*.parquet': no file matches it", folder.path().display()));
    assert_eq!(none.kind(), Kind::NotFound);
    let whole = Input::open([Location::Local(folder.path().display().to_string())], &Options::default()).await;
    assert!(matches!(whole, Err(InputError::Folder { .. })));
    let absent = Input::open([pattern("d.csv")], &Options::default()).await.expect_err("there is none");
    assert!(matches!(absent, InputError::NotFound { .. }));
}

#[tokio::test]
async fn columns_that_are_missing_or_too_many_are_named() {
    let folder = folder();
    let row = "N1,2013-07-01T12:00:00Z,2013-07-01T12:00:00Z,1";
    for (header, expected) in [
        (
            "tail_numbr,landed,reported,delay",
            "could not read 'x.csv': it has no column 'tail_number' (entity key 'tailnum'), did you mean 'tail_numbr'?",
        ),
        (
            "tail_number,landed,known,dlay",
            "could not read 'x.csv': it has no column 'reported' (the created time); \
             it has no column 'delay' (feature 'delay'), did you mean 'dlay'?",
        ),
    ] {
        assert_eq!(refusal(&write(&folder, "x.csv", format!("{header}\n{row}\n"))).await, expected);
    }
    let extra = format!("tail_number,landed,reported,delay,gate,Unnamed: 0\n{row},A7,0\n");
    let path = write(&folder, "x.csv", extra);
    assert_eq!(
        refusal(&path).await,
        "could not read 'x.csv': no version of the feature view declares the columns 'gate', 'Unnamed: 0'; declare them, \
         leave them out of the file (an index of pandas is left out by index=False), or ask to ignore extra columns (--ignore-extra)"
    );
    let (batches, ..) = taken(&open(&path).await, ExtraColumns::Ignore).await.expect("rows");
    assert_eq!(batches[0].schema(), legs().schema());
    let system = format!("tail_number,landed,reported,delay,_sequence\n{row},1\n");
    assert_eq!(
        refusal(&write(&folder, "x.csv", system)).await,
        "could not read 'x.csv': the column '_sequence' is written by the system; leave it out of the file"
    );
    let twice = format!("tail_number,landed,reported,delay,delay\n{row},1\n");
    assert_eq!(
        refusal(&write(&folder, "x.csv", twice)).await,
        "could not read 'x.csv': it has two columns named 'delay'; rename one"
    );
}

#[tokio::test]
async fn fields_of_json_objects_may_be_absent_but_not_from_all_rows() {
    let folder = folder();
    let rest = r#""landed":"2013-07-01T12:00:00Z","reported":"2013-07-01T12:00:00Z""#;
    for (text, expected) in [
        (
            format!("{{\"tail_number\":\"N1\",{rest},\"dlay\":1}}\n"),
            "could not read 'x.jsonl': no version of the feature view declares the column 'dlay'; declare it, leave it \
             out of the file, or ask to ignore extra columns (--ignore-extra)",
        ),
        (
            format!("{{\"tail_number\":\"N1\",{rest}}}\n"),
            "could not read 'x.jsonl': it has no column 'delay' (feature 'delay')",
        ),
        (
            format!("{{\"delay\":1,{rest}}}\n"),
            "could not read 'x.jsonl': it has no column 'tail_number' (entity key 'tailnum')",
        ),
        (
            format!("{{\"tail_number\":\"N1\",\"delay\":1,{rest}}}\n{{\"tail_number\":\"N1\",\"reported\":null}}\n"),
            "could not read 'x.jsonl': column 'landed', row 2: null is refused as event time: every row needs one",
        ),
        (
            format!("{{\"tail_number\":\"N1\",\"delay\":\"1\",{rest}}}\n"),
            "could not read 'x.jsonl': column 'delay', row 1: \"1\" is no float32: write it without quotes",
        ),
        (
            format!("{{\"a\":1,{rest}}}\n{{\"a\":"),
            "could not read 'x.jsonl': row 2 is not JSON, at column 5 of its line",
        ),
        (format!("{{{rest}}}\n[1]"), "could not read 'x.jsonl': row 2 is not a JSON object"),
        (
            format!("{{\"delay\":1,\"delay\":2,{rest}}}\n"),
            "could not read 'x.jsonl': row 1 has the field 'delay' twice",
        ),
    ] {
        assert_eq!(refusal(&write(&folder, "x.jsonl", text)).await, expected);
    }
}

#[tokio::test]
async fn values_are_refused_with_column_row_and_value() {
    let folder = folder();
    let mut text = "tail_number,landed,reported,delay\n".to_owned();
    for row in 1..=20_000 {
        let delay = if row == 17_017 { "late" } else { "1" };
        writeln!(text, "N{row},2013-07-01T12:00:00Z,2013-07-01T12:00:00Z,{delay}").expect("text");
    }
    assert_eq!(
        refusal(&write(&folder, "x.csv", text)).await,
        "could not read 'x.csv': column 'delay', row 17017: 'late' is no float32: only an empty field or null is a \
         missing value"
    );
    assert_eq!(
        refusal(&write(&folder, "x.csv", "tail_number,landed,reported,delay\na,b,c,1\na,b,c\n")).await,
        "could not read 'x.csv': row 2 has 3 fields, and the header has 4: the file is damaged or a field lacks quotes"
    );
    let mut columns = parquet_columns();
    columns[2].1 = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    assert_eq!(
        refusal(&write(&folder, "x.parquet", parquet_bytes(columns))).await,
        "could not read 'x.parquet': column 'tail_number' is Float64, and entity key 'tailnum' wants string: a key is \
         exact, and floats are not; with pandas, df[column].astype(\"Int64\") keeps integers whole beside nulls"
    );
    let mut columns = parquet_columns();
    columns[3].1 = Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]));
    assert_eq!(
        refusal(&write(&folder, "x.parquet", parquet_bytes(columns))).await,
        "could not read 'x.parquet': column 'landed', row 2: null is refused as event time: every row needs one"
    );
}

#[tokio::test]
async fn damaged_parquet_is_refused_as_such() {
    let folder = folder();
    let rows = 100_000;
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).expect("a writer");
    let values: ArrayRef = Arc::new(
        (0..rows).map(|row: i64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())).collect::<Int64Array>(),
    );
    writer.write(&RecordBatch::try_new(schema, vec![values]).expect("a batch")).expect("rows");
    let whole = writer.into_inner().expect("a file");
    for cut in [whole.len() - 1, whole.len() / 2, 11, 4] {
        let path = write(&folder, "cut.parquet", &whole[..cut]);
        let error = taken(&open(&path).await, ExtraColumns::Refuse).await.expect_err("it is truncated");
        assert_eq!(
            without(&error, &path),
            "could not read 'cut.parquet': it is truncated, for a Parquet file ends with a footer and this one does \
             not; nothing of it was taken: write or copy it again"
        );
        assert!(matches!(open(&path).await.stream().await, Err(InputError::Truncated { .. })));
    }
    // a hole where pages were: the footer is whole, the rows are not
    let mut holed = whole[..whole.len() / 4].to_vec();
    holed.extend(vec![0xff; whole.len() / 2 - whole.len() / 4]);
    holed.extend(&whole[whole.len() / 2..]);
    for cut_out in [&holed[..], &[&whole[..whole.len() / 4], &whole[whole.len() / 2..]].concat()[..]] {
        let path = write(&folder, "hole.parquet", cut_out);
        let read = open(&path).await.stream().await.expect("the footer is whole").try_collect::<Vec<_>>().await;
        if let Ok(batches) = &read {
            // plain pages have no checksum, so changed values may pass; rows never go missing
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100_000);
            continue;
        }
        let error = read.expect_err("handled above");
        assert!(matches!(error, InputError::Corrupt { .. } | InputError::Stopped { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_reader_that_dies_is_an_error_and_not_an_end() {
    let folder = folder();
    let input = open(&write(&folder, "legs.csv", CSV)).await;
    let schema = legs().schema();
    let batch = RecordBatch::new_empty(Arc::clone(&schema));
    let dying = Batches::spawn(schema, Arc::clone(&input.files), move |_, sink| {
        sink.put(batch)?;
        panic!("a decoder's fault");
    });
    let error = dying.try_collect::<Vec<_>>().await.expect_err("it must not look complete");
    assert!(matches!(error, InputError::Stopped { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_is_refused() {
    let folder = folder();
    let path = write(&folder, "legs.csv", CSV);
    let input = open(&path).await;
    let before = input.content_hash().await.expect("a hash");
    std::fs::write(&path, format!("{CSV}N2,2013-07-01T12:00:00Z")).expect("a file");
    assert!(matches!(input.content_hash().await, Err(InputError::Changed { .. })));
    std::fs::write(&path, CSV.replace("N1", "N2") + "\n").expect("a file");
    let error = taken(&input, ExtraColumns::Refuse).await.expect_err("it changed");
    assert_eq!(error.kind(), Kind::Conflict);
    assert_ne!(open(&path).await.content_hash().await.expect("a hash"), before);
}

#[tokio::test]
async fn content_is_hashed_byte_by_byte_and_file_by_file() {
    let folder = folder();
    let path = write(&folder, "a.csv", "abc");
    let sha256_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(open(&path).await.content_hash().await.expect("a hash"), sha256_of_abc);
    let both = |first: &str, second: &str| {
        let locations = [write(&folder, "a.csv", first), write(&folder, "b.csv", second)].map(|path| local(&path));
        async move {
            let input = Input::open(locations, &Options::default()).await.expect("files");
            input.content_hash().await.expect("a hash")
        }
    };
    let one = both("ab", "c").await;
    assert_eq!(both("ab", "c").await, one);
    assert_ne!(both("a", "bc").await, one);
}

#[tokio::test]
async fn spines_keep_their_types_and_text_gets_its_own() {
    let folder = folder();
    let path = write(
        &folder,
        "spine.csv",
        "id,at,zip,label,late,day,empty\n1,2013-07-01 05:00:00.0000019,007,0.5,True,2013-07-01,\n2,2013-07-01T05:00:00Z,\"\",2,False,,\n",
    );
    let spine = open(&path).await.stream().await.expect("a spine");
    let types: Vec<_> = spine.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types, ["Int64", "Timestamp(µs, \"UTC\")", "Utf8", "Float64", "Boolean", "Date32", "Utf8"]);
    let batches: Vec<_> = spine.try_collect().await.expect("rows");
    let times = batches[0]["at"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().to_vec(), [1_372_654_800_000_001, 1_372_654_800_000_000]);
    assert_eq!(batches[0]["zip"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("007"), Some("")]);

    let json = write(&folder, "spine.jsonl", "{\"id\":1,\"at\":\"2013-07-01T05:00:00Z\"}\n{\"x\":\"7\",\"id\":null}\n");
    let batches: Vec<_> = open(&json).await.stream().await.expect("a spine").try_collect().await.expect("rows");
    assert_eq!(batches[0]["id"].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(batches[0]["x"].as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("7")]);
    assert_eq!(batches[0]["at"].data_type(), &crate::types::time_type());

    let kept = write(&folder, "spine.parquet", parquet_bytes(parquet_columns()));
    let batches: Vec<_> = open(&kept).await.stream().await.expect("a spine").try_collect().await.expect("rows");
    for (name, array) in parquet_columns() {
        assert_eq!(&batches[0][name], &array, "{name}");
    }
}

#[tokio::test]
async fn spine_files_must_be_of_one_schema() {
    let folder = folder();
    let wide = write(&folder, "a.parquet", parquet_bytes(vec![("id", Arc::new(Int64Array::from(vec![1])))]));
    let narrow = write(&folder, "b.parquet", parquet_bytes(vec![("id", Arc::new(Int32Array::from(vec![1])))]));
    let input = Input::open([local(&wide), local(&narrow)], &Options::default()).await.expect("files");
    let error = input.stream().await.expect_err("their types differ");
    assert_eq!(
        without(&error, &wide),
        "could not read 'b.parquet': its column 'id' is Int32 at place 1, and in 'a.parquet' it is Int64 at place 1; \
         give files of one schema"
    );
    // in text the types are those of all files together
    let whole = write(&folder, "a.csv", "id\n1\n");
    let part = write(&folder, "b.csv", "id\n1.5\n");
    let input = Input::open([local(&whole), local(&part)], &Options::default()).await.expect("files");
    let batches: Vec<_> = input.stream().await.expect("a spine").try_collect().await.expect("rows");
    assert_eq!(batches.iter().map(|batch| batch["id"].data_type()).collect::<Vec<_>>(), [&DataType::Float64; 2]);
}
