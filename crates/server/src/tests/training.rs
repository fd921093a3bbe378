//! Training sets through the wire, under `server.allowed_urls`.

use std::fs::File;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use hitherto_client::{NewTrainingSet, Spine};
use hitherto_core::Kind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::fixture::{Running, engine, options, start};
use crate::Options;

const SPINE: &str = "airport,event_timestamp,prepaid\n\
    JFK,2013-01-01T11:30:00Z,1\n\
    JFK,2013-01-01T10:30:00Z,2\n\
    EWR,2013-01-01T11:30:00Z,3\n";

async fn allowing_spines() -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["allowed", "secret"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
        std::fs::write(folder.path().join(name).join("spine.csv"), SPINE).expect("a spine");
    }
    let engine = engine(folder.path()).await;
    let allowed_urls = vec![format!("file://{}/allowed/", folder.path().display())];
    let server = start(folder, engine, Options { allowed_urls, ..options() }).await;
    server.fill().await;
    server
}

impl Running {
    fn wanted(&self, spine: &str, out: &str) -> NewTrainingSet {
        let place = |name: &str| self.folder.path().join(name).display().to_string();
        let set = "outlook".parse().expect("a selector");
        NewTrainingSet::new(set, Spine::Url(place(spine)), place(out))
    }
}

#[tokio::test]
async fn a_training_set_is_built_under_an_allowed_folder_and_remembered() {
    let server = allowing_spines().await;
    let wanted = server.wanted("allowed/spine.csv", "allowed/train.parquet");
    let built = server.client.create_training_set(wanted).await.expect("built");
    assert_eq!((built.rows, built.feature_set.to_string().as_str()), (3, "outlook@1"));
    let file = File::open(server.folder.path().join("allowed/train.parquet")).expect("a file");
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
    let batch = batches.next().expect("a batch").expect("rows");
    let gust = batch.column_by_name("gust").expect("a feature").as_primitive::<Float64Type>();
    assert_eq!(gust.iter().collect::<Vec<_>>(), [Some(31.0), None, None]);
    assert_eq!(server.client.training_set(&built.id).await.expect("known"), built);
    assert_eq!(server.client.training_sets().await.expect("all"), [built]);
    server.end().await;
}

#[tokio::test]
async fn a_file_that_is_there_is_written_over_by_nobody() {
    let server = allowing_spines().await;
    let again = || server.wanted("allowed/spine.csv", "allowed/train.parquet");
    let built = server.client.create_training_set(again()).await.expect("built");
    assert_eq!(server.client.create_training_set(again()).await.expect("it is there"), built);
    let file = server.folder.path().join("allowed/train.parquet");
    let bytes = std::fs::read(&file).expect("a file");
    let mut other = again();
    other.evidence = true;
    let refused = server.client.create_training_set(other).await.expect_err("another is there");
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert!(refused.to_string().contains("another file is there, and it stays"), "{refused}");
    let over_spine = server.wanted("allowed/spine.csv", "allowed/spine.csv");
    let refused = server.client.create_training_set(over_spine).await.expect_err("it is no training set");
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert_eq!(std::fs::read(&file).expect("a file"), bytes);
    server.end().await;
}

#[tokio::test]
async fn a_spine_may_be_a_query() {
    let server = allowing_spines().await;
    let mut wanted = server.wanted("", "allowed/train.parquet");
    let query = "SELECT airport, event_timestamp, 1.0 AS prepaid FROM weather ORDER BY _sequence";
    wanted.spine = Spine::Sql(query.to_owned());
    let built = server.client.create_training_set(wanted).await.expect("built");
    assert_eq!((built.rows, built.spine.as_str()), (3, query));
    server.end().await;
}

#[tokio::test]
async fn files_elsewhere_are_neither_read_nor_written() {
    let server = allowing_spines().await;
    for (spine, out, field) in [
        ("secret/spine.csv", "allowed/train.parquet", "spine_url"),
        ("secret/absent.csv", "allowed/train.parquet", "spine_url"),
        ("allowed/../secret/spine.csv", "allowed/train.parquet", "spine_url"),
        ("allowed/spine.csv", "secret/train.parquet", "out_url"),
        ("allowed/spine.csv", "train.parquet", "out_url"),
    ] {
        let error = server.client.create_training_set(server.wanted(spine, out)).await.expect_err(spine);
        assert_eq!((error.kind(), error.violations()[0].field.as_str()), (Kind::InvalidArgument, field));
        let message = error.to_string();
        assert!(message.contains("server.allowed_urls") || message.contains("'..'"), "{message}");
    }
    assert!(!server.folder.path().join("secret/train.parquet").exists());
    assert!(!server.folder.path().join("allowed/train.parquet").exists());
    server.end().await;
}
