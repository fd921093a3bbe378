//! Pushes: many at once, and their small files.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;

use futures::future::join_all;
use hitherto_core::Value;

use super::fixture::{DEFINITIONS, engine, eventually, of_airports, options, push_weather, running, set, start};
use crate::Options;

/// The files of the view's data: in all, and those of runs.
fn data_files(folder: &Path) -> (usize, usize) {
    let entries = std::fs::read_dir(folder.join("offline/weather/weather-1/data")).expect("a folder");
    let names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    (names.len(), names.iter().filter(|name| name.ends_with("-00000.parquet")).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_acknowledged_and_share_files() {
    const PUSHES: usize = 60;
    let server = running().await;
    let pushes = (0..PUSHES).map(|n| {
        let client = server.client.clone();
        // each second one is sent twice
        tokio::spawn(async move { push_weather(&client, Some(&format!("id {}", n - n % 2))).await })
    });
    let mut firsts = BTreeSet::new();
    let mut already = 0;
    for pushed in join_all(pushes).await {
        let pushed = pushed.expect("no panic").expect("it is pushed");
        match pushed.first_sequence {
            Some(first) => assert!(firsts.insert(first)),
            None => already += usize::from(pushed.already),
        }
    }
    assert_eq!((firsts.len(), already), (PUSHES / 2, PUSHES / 2));
    // three rows each, after those of the first push
    assert!(firsts.iter().copied().eq((0..PUSHES as i64 / 2).map(|push| 3 + push * 3)), "{firsts:?}");
    let (files, _) = data_files(server.folder.path());
    assert!(files < 1 + PUSHES / 2, "{files} files");
    server.end().await;
}

#[tokio::test]
async fn small_files_are_compacted_in_the_background() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let options = Options { compact_after: NonZeroUsize::new(3), ..options() };
    let server = start(folder, engine, options).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    for _ in 0..4 {
        server.push_weather(None).await.expect("it is pushed");
    }
    eventually(async || data_files(server.folder.path()).1 > 0).await;
    let found = server.client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect("features");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    assert_eq!(server.push_weather(None).await.expect("it is pushed").first_sequence, Some(12));
    server.end().await;
}
