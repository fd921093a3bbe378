//! Erasure: a row goes, and nothing that began before brings it back.

use std::sync::Arc;

use hitherto_core::Kind;

use super::{held, put, reading, row, version, write};
use crate::{Advance, Error, Marks, OnlineStore};

fn marks(sequence: i64) -> Marks {
    Marks { sequence, clock: hitherto_core::Timestamp(sequence) }
}

pub(super) async fn a_row_is_erased_with_every_run_before(store: &dyn OnlineStore, other: &dyn OnlineStore) {
    let (reading, beside) = (reading("erased"), reading("erased-beside"));
    let run = store.begin(&reading).await.expect("a run");
    store.advance(&reading, &run, marks(3)).await.expect("marks");
    for one in [store, other] {
        put(one, &reading, &[write(b"gone", version(1, None, 1)), write(b"stays", version(1, None, 2))])
            .await
            .expect("rows");
        put(one, &beside, &[write(b"gone", version(1, None, 1))]).await.expect("rows");
    }
    let (before, elsewhere) =
        (store.begin(&reading).await.expect("a run"), store.begin(&beside).await.expect("another"));
    assert!(store.erase(&reading, b"gone").await.expect("an erasure"));

    assert_eq!(held(store, &reading, b"gone").await, None);
    assert_eq!(held(store, &reading, b"stays").await, Some(row(version(1, None, 2))));
    assert_eq!(held(store, &beside, b"gone").await, Some(row(version(1, None, 1))), "another reading has its own");
    assert_eq!(held(other, &reading, b"gone").await, Some(row(version(1, None, 1))), "another project has its own");
    assert_eq!(store.marks(std::slice::from_ref(&reading)).await.expect("marks"), [Some(marks(3))]);

    // what the run has read of the key must not come back, however new it is
    let rows = [write(b"gone", version(9, None, 9)), write(b"new", version(9, None, 10))];
    let error = store.write(&reading, &before, &rows).await.expect_err("the run began before");
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    assert_eq!((error.kind(), error.to_string().contains(reading.as_str())), (Kind::Conflict, true), "{error}");
    for key in [&b"gone"[..], b"new"] {
        assert_eq!(held(store, &reading, key).await, None);
    }
    store.write(&beside, &elsewhere, &rows).await.expect("runs of other readings go on");

    // whoever begins now goes on from the same marks, and may know the key again
    let after = store.begin(&reading).await.expect("a run");
    assert_eq!(after.marks(), Some(marks(3)));
    store.write(&reading, &after, &rows).await.expect("a write");
    assert_eq!(store.advance(&reading, &after, marks(10)).await.expect("an answer"), Advance::Done);
    assert_eq!(held(store, &reading, b"gone").await, Some(row(version(9, None, 9))));
}

pub(super) async fn erasing_what_is_not_there_stops_runs_as_well(store: &dyn OnlineStore) {
    let reading = reading("erased-nothing");
    let run = store.begin(&reading).await.expect("a run");
    for key in [b"k".to_vec(), vec![7; 2000]] {
        let run = store.begin(&reading).await.expect("a run");
        assert!(!store.erase(&reading, &key).await.expect("an erasure"));
        let row = [write(key.clone(), version(1, None, 1))];
        let error = store.write(&reading, &run, &row).await.expect_err("the run began before");
        assert!(matches!(error, Error::Overtaken { .. }), "{error}");
        put(store, &reading, &row).await.expect("a write");
        assert!(store.erase(&reading, &key).await.expect("an erasure"));
        assert_eq!(held(store, &reading, &key).await, None);
    }
    let error = store.write(&reading, &run, &[write(b"k", version(1, None, 1))]).await.expect_err("long overtaken");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(store.marks(&[reading]).await.expect("marks"), [None]);
}

pub(super) async fn a_race_never_brings_a_row_back(store: Arc<dyn OnlineStore>) {
    let reading = reading("erased-race");
    for round in 0..12_i64 {
        let run = store.begin(&reading).await.expect("a run");
        let writer = tokio::spawn({
            let (store, reading) = (Arc::clone(&store), reading.clone());
            async move {
                for event in 0..20 {
                    let row = write(b"k", version(round * 100 + event, None, event));
                    if store.write(&reading, &run, &[row]).await.is_err() {
                        return;
                    }
                }
            }
        });
        store.erase(&reading, b"k").await.expect("an erasure");
        writer.await.expect("a writer that ends");
        assert_eq!(held(store.as_ref(), &reading, b"k").await, None, "round {round}");
    }
}
