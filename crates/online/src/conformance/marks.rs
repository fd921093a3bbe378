//! Marks: what has reached the store, moved by one run at a time.

use std::sync::Arc;

use hitherto_core::{Kind, Timestamp};

use super::{put, reading, row, version, write};
use crate::{Advance, Answer, Group, Marks, OnlineStore};

fn marks(sequence: i64, clock: i64) -> Marks {
    Marks { sequence, clock: Timestamp(clock) }
}

pub(super) async fn marks_are_compared_and_set(store: &dyn OnlineStore) {
    let reading = reading("marks");
    let (low, high) = (marks(i64::MIN, i64::MIN), marks(i64::MAX, i64::MAX));
    let first = store.begin(&reading).await.expect("a run");
    assert_eq!(first.marks(), None);
    // to have begun is not to have reached anything
    assert_eq!(store.marks(std::slice::from_ref(&reading)).await.expect("marks"), [None]);
    assert_eq!(store.advance(&reading, &first, low).await.expect("an answer"), Advance::Done);
    assert_eq!(store.marks(std::slice::from_ref(&reading)).await.expect("marks"), [Some(low)]);
    // another run that began as early comes too late, unless it says the same
    assert_eq!(store.advance(&reading, &first, marks(5, 5)).await.expect("an answer"), Advance::Moved(Some(low)));
    assert_eq!(store.advance(&reading, &first, low).await.expect("an answer"), Advance::Done);
    let mut last = low;
    for next in [marks(-5, -1), marks(-5, 0), marks((1 << 53) + 1, 0), marks((1 << 53) + 2, 0), high] {
        let run = store.begin(&reading).await.expect("a run");
        assert_eq!(run.marks(), Some(last));
        assert_eq!(store.advance(&reading, &run, next).await.expect("an answer"), Advance::Done);
        assert_eq!(store.marks(std::slice::from_ref(&reading)).await.expect("marks"), [Some(next)]);
        last = next;
    }
    assert_eq!(store.advance(&reading, &first, marks(0, 0)).await.expect("an answer"), Advance::Moved(Some(high)));
}

pub(super) async fn marks_never_go_back(store: &dyn OnlineStore) {
    let reading = reading("backward");
    let run = store.begin(&reading).await.expect("a run");
    store.advance(&reading, &run, marks(5, 5)).await.expect("an answer");
    let run = store.begin(&reading).await.expect("a run");
    for to in [marks(4, 9), marks(9, 4)] {
        let error = store.advance(&reading, &run, to).await.expect_err("one half goes back");
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(reading.as_str()), "{error}");
    }
    assert_eq!(store.marks(&[reading]).await.expect("marks"), [Some(marks(5, 5))]);
}

pub(super) async fn marks_come_with_rows(store: &dyn OnlineStore, other: &dyn OnlineStore) {
    let readings = [reading("with-rows"), reading("with-rows-2"), reading("without-marks")];
    for (number, reading) in (0..).zip(&readings[..2]) {
        let run = store.begin(reading).await.expect("a run");
        put(store, reading, &[write(b"k", version(number, None, number))]).await.expect("a write");
        store.advance(reading, &run, marks(number, 7)).await.expect("an answer");
    }
    let keys = [b"k".to_vec()];
    let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &keys }).collect();
    let expected = [
        Answer { marks: Some(marks(0, 7)), is_stale: false, rows: vec![Some(row(version(0, None, 0)))] },
        Answer { marks: Some(marks(1, 7)), is_stale: false, rows: vec![Some(row(version(1, None, 1)))] },
        Answer { marks: None, is_stale: false, rows: vec![None] },
    ];
    assert_eq!(store.read(&groups).await.expect("a read"), expected);
    assert_eq!(store.marks(&readings).await.expect("marks"), [Some(marks(0, 7)), Some(marks(1, 7)), None]);
    assert_eq!(other.marks(&readings).await.expect("marks"), [None, None, None]);
}

pub(super) async fn one_of_many_runs_moves_the_marks(store: Arc<dyn OnlineStore>) {
    let reading = reading("race");
    for round in 0..5 {
        let run = store.begin(&reading).await.expect("a run");
        let racers: Vec<_> = (1..=8)
            .map(|racer| {
                let (store, reading, run) = (Arc::clone(&store), reading.clone(), run.clone());
                let to = marks(round * 10 + racer, round);
                tokio::spawn(async move { (store.advance(&reading, &run, to).await.expect("an answer"), to) })
            })
            .collect();
        let mut winners = Vec::new();
        let mut seen_by_losers = Vec::new();
        for racer in racers {
            match racer.await.expect("a racer that did not panic") {
                (Advance::Done, to) => winners.push(Some(to)),
                (Advance::Moved(held), _) => seen_by_losers.push(held),
            }
        }
        assert_eq!(winners.len(), 1, "of {winners:?}");
        assert_eq!(seen_by_losers, vec![winners[0]; 7]);
        assert_eq!(store.marks(std::slice::from_ref(&reading)).await.expect("marks"), winners);
    }
}
