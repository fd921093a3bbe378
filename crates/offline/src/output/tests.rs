use std::fs;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::compute::concat_batches;
use futures::{FutureExt, stream};
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn rows(count: i64) -> RecordBatch {
    let texts: StringArray = (0..count).map(|n| (n % 5 != 0).then(|| format!("row {}", n % 1000))).collect();
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef),
        ("text", Arc::new(texts)),
        ("half", Arc::new(Float64Array::from_iter_values((0..count).map(|n| n as f64 / 2.0)))),
    ])
    .expect("a batch")
}

async fn write(location: &OutputLocation, batch: &RecordBatch, step: usize) -> Written {
    let parts = (0..batch.num_rows()).step_by(step);
    let parts = parts.map(|from| Ok(batch.slice(from, step.min(batch.num_rows() - from))));
    let mut progress = Vec::new();
    let metadata = ready(Ok(vec![("hitherto.set".to_owned(), "late@1".to_owned())]));
    let written = write_parquet(location, batch.schema(), stream::iter(parts), metadata, |rows| progress.push(rows));
    let written = written.await.expect("a file");
    assert_eq!(progress.last().copied().unwrap_or(0), written.rows);
    assert!(progress.is_sorted());
    written
}

fn names(folder: &FilePath) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a name").path()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn bytes_depend_on_rows_not_on_batches_or_places() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // several pages, for it is pages that batches could shape
    let batch = rows(45_000);
    let path = folder.path().join("a b.parquet");
    let first = write(&OutputLocation::file(&path).expect("a place"), &batch, 45_000).await;
    let bytes = fs::read(&path).expect("the file");
    assert_eq!((first.rows, first.bytes), (45_000, bytes.len() as u64));
    assert_eq!(first.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(names(folder.path()), [path]);
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for step in [7, 1_000, 9_999] {
        let location = OutputLocation::object(Arc::clone(&store), Path::from("out"), "memory:///out");
        assert_eq!(write(&location, &batch, step).await, first, "in batches of {step}");
    }
    let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
    let metadata = read.metadata().file_metadata();
    assert_eq!(metadata.created_by(), Some("hitherto"));
    let pairs = metadata.key_value_metadata().expect("metadata");
    assert!(pairs.contains(&KeyValue::new("hitherto.set".to_owned(), "late@1".to_owned())), "{pairs:?}");
    let read: Vec<RecordBatch> = read.build().expect("a reader").map(|batch| batch.expect("rows")).collect();
    assert_eq!(concat_batches(&read[0].schema(), &read).expect("a batch").columns(), batch.columns());
}

#[tokio::test]
async fn a_way_up_leads_to_the_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("below")).expect("a folder");
    let location = OutputLocation::file(&folder.path().join("below/../out.parquet")).expect("a place");
    let folder = folder.path().canonicalize().expect("a folder");
    assert_eq!(location.place(), folder.join("out.parquet").display().to_string());
    write(&location, &rows(1), 1).await;
    assert!(folder.join("out.parquet").is_file());
}

#[tokio::test]
async fn no_rows_are_a_file_too() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let location = OutputLocation::object(Arc::clone(&store), Path::from("out"), "out");
    assert_eq!(write(&location, &rows(0), 1).await.rows, 0);
    let bytes = store.get(&Path::from("out")).await.expect("a file").bytes().await.expect("bytes");
    let read = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file");
    assert_eq!(read.schema().fields(), rows(0).schema().fields());
}

#[tokio::test]
async fn a_failure_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("out.parquet");
    let location = OutputLocation::file(&path).expect("a place");
    let failing = || stream::iter([Ok(rows(10_000)), Err(Error::Invalid("row 10000 is odd".to_owned()))]);
    for there in [false, true] {
        if there {
            fs::write(&path, "precious").expect("a file");
        }
        let error = write_parquet(&location, rows(0).schema(), failing(), ready(Ok(Vec::new())), |_| ())
            .await
            .expect_err("a failure");
        assert_eq!(error.to_string(), "row 10000 is odd");
        assert_eq!(fs::read(&path).ok(), there.then(|| b"precious".to_vec()));
        assert_eq!(names(folder.path()).len(), usize::from(there), "no staging file stays");
    }
}

#[tokio::test]
async fn a_place_is_judged_before_a_file_is_begun_and_before_it_comes_into_being() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("out.parquet");
    for allowed in [0, 1, 2] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let judge: Judge = Arc::new(move || {
            let is_allowed = count.fetch_add(1, Ordering::Relaxed) < allowed;
            let refused = || Error::Invalid("it leads elsewhere now".to_owned());
            ready(if is_allowed { Ok(()) } else { Err(refused()) }).boxed()
        });
        let location = OutputLocation::file(&path).expect("a place").judged_by(judge);
        let one = stream::iter([Ok(rows(1))]);
        let written = write_parquet(&location, rows(1).schema(), one, ready(Ok(Vec::new())), |_| ()).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2.min(allowed + 1));
        if allowed == 2 {
            assert_eq!(written.expect("a file").rows, 1);
        } else {
            assert_eq!(written.expect_err("refused").to_string(), "it leads elsewhere now");
            assert_eq!(names(folder.path()), Vec::<PathBuf>::new(), "nothing is left of it");
        }
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = OutputLocation::file(folder.path()).expect_err("a folder");
    assert!(error.to_string().ends_with("it is a folder; name a file"), "{error}");
    fs::write(folder.path().join("file"), "").expect("a file");
    let location = OutputLocation::file(&folder.path().join("file/out.parquet")).expect("a place");
    let one = stream::iter([Ok(rows(1))]);
    let error =
        write_parquet(&location, rows(1).schema(), one, ready(Ok(Vec::new())), |_| ()).await.expect_err("below a file");
    assert!(error.to_string().starts_with("could not write '"), "{error}");
}
