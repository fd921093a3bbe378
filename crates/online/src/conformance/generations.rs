//! Generations: a rebuild beside what is read, the switch, and what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hitherto_core::Timestamp;

use super::{held, reading, row, version, write};
use crate::{
    Advance, Error, Generation, Generations, Group, Marks, OldGeneration, OnlineRow, OnlineStore, Reading, Run, Switch,
    Write,
};

const DUE: Timestamp = Timestamp(77);

fn marks(sequence: i64, clock: i64) -> Marks {
    Marks { sequence, clock: Timestamp(clock) }
}

/// A row that is equal to [`row`] by its version, with other values.
fn rebuilt(key: &[u8], event: i64, values: &str) -> Write {
    let values = Bytes::from(values.to_owned());
    Write { key: key.to_vec(), row: OnlineRow { values, ..row(version(event, None, event)) } }
}

/// Brings rows to the current generation, and its marks to `to`.
async fn bring(store: &dyn OnlineStore, reading: &Reading, writes: &[Write], to: Marks) {
    let run = store.begin(reading).await.expect("a run");
    store.write(reading, &run, writes).await.expect("rows");
    assert_eq!(store.advance(reading, &run, to).await.expect("an answer"), Advance::Done);
}

async fn start(store: &dyn OnlineStore, reading: &Reading) -> Generation {
    store.start_generation(reading, None, DUE).await.expect("an answer").expect("none is under way")
}

async fn beside(store: &dyn OnlineStore, reading: &Reading, generation: Generation) -> Run {
    store.begin_beside(reading, generation).await.expect("an answer").expect("it is under way")
}

/// Brings rows to a next generation, and its marks to `to`.
async fn fill(store: &dyn OnlineStore, reading: &Reading, generation: Generation, writes: &[Write], to: Marks) {
    let run = beside(store, reading, generation).await;
    store.write(reading, &run, writes).await.expect("rows");
    assert_eq!(store.advance(reading, &run, to).await.expect("an answer"), Advance::Done);
}

async fn switch(store: &dyn OnlineStore, reading: &Reading, generation: Generation) -> Switch {
    store.switch_generation(reading, generation, DUE).await.expect("an answer")
}

async fn generations(store: &dyn OnlineStore, reading: &Reading) -> Generations {
    store.generations(reading).await.expect("generations")
}

async fn dropped(store: &dyn OnlineStore, reading: &Reading, generation: Generation, keys: &[Vec<u8>]) -> u64 {
    store.drop_rows(reading, generation, keys).await.expect("an answer")
}

async fn is_overtaken(store: &dyn OnlineStore, reading: &Reading, run: &Run) -> bool {
    let late = store.write(reading, run, &[write(b"late", version(99, None, 99))]).await;
    matches!(late, Err(Error::Overtaken { .. }))
}

async fn marks_of(store: &dyn OnlineStore, reading: &Reading) -> Option<Marks> {
    store.marks(std::slice::from_ref(reading)).await.expect("marks")[0]
}

pub(super) async fn a_rebuild_takes_the_place_of_what_was_read(store: &dyn OnlineStore, other: &dyn OnlineStore) {
    let (reading, same) = (reading("rebuilt"), reading("rebuilt"));
    assert_eq!(generations(store, &reading).await, Generations::default());
    let rows =
        [write(b"a", version(1, None, 1)), write(b"b", version(1, None, 1)), write(b"stray", version(1, None, 1))];
    bring(store, &reading, &rows, marks(1, 1)).await;
    bring(other, &reading, &rows, marks(1, 1)).await;

    let generation = start(store, &reading).await;
    assert!(generation > Generation::FIRST);
    let first = beside(store, &reading, generation).await;
    assert_eq!((first.marks(), first.beside()), (None, None));
    store.write(&reading, &first, &[rebuilt(b"a", 1, "mended"), rebuilt(b"b", 1, "mended")]).await.expect("rows");
    // nothing of it is read
    assert_eq!(held(store, &reading, b"a").await, Some(rows[0].row.clone()));
    // whoever brings rows meanwhile is told, and brings them to both
    let run = store.begin(&reading).await.expect("a run");
    assert_eq!((run.marks(), run.beside()), (Some(marks(1, 1)), Some(generation)));
    let new = [write(b"c", version(2, None, 2))];
    store.write(&reading, &run, &new).await.expect("a row");
    store.write(&reading, &first, &new).await.expect("a row");
    assert_eq!(store.advance(&reading, &run, marks(2, 2)).await.expect("an answer"), Advance::Done);
    assert_eq!(store.advance(&reading, &first, marks(2, 2)).await.expect("an answer"), Advance::Done);
    let (on_old, on_new) = (store.begin(&reading).await.expect("a run"), beside(store, &reading, generation).await);
    assert_eq!((on_old.marks(), on_new.marks()), (Some(marks(2, 2)), Some(marks(2, 2))));

    assert_eq!(switch(store, &same, generation).await, Switch::Done);
    assert_eq!(switch(store, &reading, generation).await, Switch::Done, "saying it again is no conflict");
    let keys = [b"a".to_vec(), b"b".to_vec(), b"stray".to_vec(), b"c".to_vec()];
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    let mended = Some(rebuilt(b"", 1, "mended").row);
    assert_eq!(answers[0].rows, [mended.clone(), mended, None, Some(new[0].row.clone())]);
    assert_eq!((answers[0].marks, answers[0].is_stale), (Some(marks(2, 2)), false));
    assert_eq!(held(other, &reading, b"a").await, Some(rows[0].row.clone()), "another project has its own");
    let old = vec![OldGeneration { generation: Generation::FIRST, due: DUE }];
    assert_eq!(generations(store, &reading).await, Generations { current: generation, next: None, old });

    // no run that began before goes on, on either
    for run in [&run, &on_old, &on_new, &first] {
        assert!(is_overtaken(store, &reading, run).await);
        let moved = store.advance(&reading, run, marks(9, 9)).await.expect("an answer");
        assert!(matches!(moved, Advance::Moved(_)), "{moved:?}");
    }
    bring(store, &reading, &[write(b"a", version(3, None, 3))], marks(3, 3)).await;
    assert_eq!(held(store, &reading, b"a").await, Some(row(version(3, None, 3))));
}

pub(super) async fn who_began_before_a_rebuild_begins_again(store: &dyn OnlineStore) {
    let reading = reading("rebuilt-before");
    bring(store, &reading, &[], marks(1, 1)).await;
    let before = store.begin(&reading).await.expect("a run");
    store.write(&reading, &before, &[write(b"early", version(2, None, 2))]).await.expect("nothing is in its way");
    let generation = start(store, &reading).await;
    assert!(is_overtaken(store, &reading, &before).await, "a row would be read that the next generation lacks");
    assert_eq!(held(store, &reading, b"late").await, None);
    let moved = store.advance(&reading, &before, marks(2, 2)).await.expect("an answer");
    assert_eq!(moved, Advance::Moved(Some(marks(1, 1))), "its rows are not in the next generation");
    let again = store.begin(&reading).await.expect("a run");
    assert_eq!((again.marks(), again.beside()), (Some(marks(1, 1)), Some(generation)));
    store.write(&reading, &again, &[write(b"k", version(2, None, 2))]).await.expect("it knows of the rebuild");
    assert_eq!(store.advance(&reading, &again, marks(2, 2)).await.expect("an answer"), Advance::Done);
}

pub(super) async fn nothing_is_switched_before_it_has_caught_up(store: &dyn OnlineStore) {
    let reading = reading("rebuilt-behind");
    bring(store, &reading, &[write(b"k", version(1, None, 1))], marks(5, 5)).await;
    assert_eq!(switch(store, &reading, Generation(1)).await, Switch::Gone);
    let generation = start(store, &reading).await;
    assert_eq!(switch(store, &reading, generation).await, Switch::Behind, "nothing has reached it");
    for (to, expected) in [
        (marks(4, 4), Switch::Behind),
        (marks(9, 4), Switch::Behind),
        // the second half: the first is far ahead
        (marks(9, 5), Switch::Done),
    ] {
        fill(store, &reading, generation, &[rebuilt(b"k", 1, "mended")], to).await;
        assert_eq!(switch(store, &reading, generation).await, expected, "at {to}");
    }
    assert_eq!(marks_of(store, &reading).await, Some(marks(9, 5)));
    assert_eq!(held(store, &reading, b"k").await, Some(rebuilt(b"k", 1, "mended").row));
    // marks of a next one are compared and set like others, and never go back
    let generation = start(store, &reading).await;
    let (one, two) = (beside(store, &reading, generation).await, beside(store, &reading, generation).await);
    assert_eq!(store.advance(&reading, &one, marks(9, 6)).await.expect("an answer"), Advance::Done);
    let moved = store.advance(&reading, &two, marks(9, 7)).await.expect("an answer");
    assert_eq!(moved, Advance::Moved(Some(marks(9, 6))));
    let third = beside(store, &reading, generation).await;
    store.advance(&reading, &third, marks(9, 5)).await.expect_err("backward");
    assert_eq!(marks_of(store, &reading).await, Some(marks(9, 5)), "those of the current one are its own");
}

pub(super) async fn a_rebuild_that_was_killed_is_replaced(store: &dyn OnlineStore) {
    let reading = reading("rebuilt-killed");
    bring(store, &reading, &[write(b"k", version(1, None, 1))], marks(1, 1)).await;
    let killed = start(store, &reading).await;
    let run = beside(store, &reading, killed).await;
    store.write(&reading, &run, &[rebuilt(b"k", 1, "half done")]).await.expect("a row");
    let beats = async || generations(store, &reading).await.next.map(|next| (next.generation, next.beat));
    let first = beats().await;
    assert_eq!(beats().await, first, "nobody beats");
    store.beat(&reading).await.expect("a beat");
    let second = beats().await;
    store.beat(&reading).await.expect("a beat");
    assert!(first != second && second != beats().await, "a beat is told from the one before");

    assert_eq!(store.start_generation(&reading, None, DUE).await.expect("an answer"), None, "one is under way");
    let next = store.start_generation(&reading, Some(killed), DUE).await.expect("an answer").expect("it is replaced");
    assert!(next > killed);
    assert_eq!(store.start_generation(&reading, Some(killed), DUE).await.expect("an answer"), None, "by one");
    assert_eq!(store.begin_beside(&reading, killed).await.expect("an answer"), None);
    assert!(is_overtaken(store, &reading, &run).await);
    assert_eq!(store.advance(&reading, &run, marks(9, 9)).await.expect("an answer"), Advance::Moved(None));
    assert_eq!(switch(store, &reading, killed).await, Switch::Gone);
    assert!(!store.abandon_generation(&reading, killed, DUE).await.expect("an answer"));
    let fresh = beside(store, &reading, next).await;
    assert_eq!(fresh.marks(), None);
    assert!(store.abandon_generation(&reading, next, Timestamp(78)).await.expect("an answer"));
    assert!(!store.abandon_generation(&reading, next, DUE).await.expect("an answer"), "once");
    let found = generations(store, &reading).await;
    let old = |generation, due| OldGeneration { generation, due: Timestamp(due) };
    assert_eq!(
        found,
        Generations { current: Generation::FIRST, next: None, old: vec![old(killed, 77), old(next, 78)] }
    );
    assert_eq!(store.begin(&reading).await.expect("a run").beside(), None);
    assert_eq!(held(store, &reading, b"k").await, Some(row(version(1, None, 1))), "the old one serves on");
    assert!(start(store, &reading).await > next, "no number is given twice");
}

pub(super) async fn one_of_many_rebuilds_begins(store: Arc<dyn OnlineStore>) {
    let reading = reading("rebuilt-race");
    let mut under_way = None;
    for _ in 0..3 {
        let racers = (0..6).map(|_| {
            let (store, reading) = (Arc::clone(&store), reading.clone());
            tokio::spawn(async move { store.start_generation(&reading, under_way, DUE).await.expect("an answer") })
        });
        let racers: Vec<_> = racers.collect();
        let mut winners = Vec::new();
        for racer in racers {
            winners.extend(racer.await.expect("a racer that did not panic"));
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        under_way = winners.pop();
        let found = generations(store.as_ref(), &reading).await;
        assert_eq!(found.next.map(|next| next.generation), under_way);
    }
}

pub(super) async fn readers_miss_nothing_while_generations_change(store: Arc<dyn OnlineStore>) {
    let reading = reading("rebuilt-read");
    let keys: Vec<Vec<u8>> = (0..20_u8).map(|key| vec![key]).collect();
    let rows = |values: &str| keys.iter().map(|key| rebuilt(key, 1, values)).collect::<Vec<_>>();
    bring(store.as_ref(), &reading, &rows("0"), marks(0, 0)).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let readers = (0..3).map(|_| {
        let (store, reading, keys) = (Arc::clone(&store), reading.clone(), keys.clone());
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let mut last = vec![0; keys.len()];
            let mut marks = None;
            while !is_over.load(Ordering::Relaxed) {
                let mut answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
                let answer = answers.remove(0);
                let goes_back = |before: Marks| answer.marks.is_none_or(|now| !now.have_reached(before));
                assert!(!marks.is_some_and(goes_back), "marks go back: {marks:?}, {:?}", answer.marks);
                marks = answer.marks;
                for (last, row) in last.iter_mut().zip(answer.rows) {
                    let values = row.expect("no reader misses a row").values;
                    let now: u32 = String::from_utf8(values.to_vec()).expect("text").parse().expect("a number");
                    assert!(now >= *last, "rows of a generation that was left: {now} after {last}");
                    *last = now;
                }
            }
            last
        })
    });
    let readers: Vec<_> = readers.collect();
    for round in 1..=12 {
        let generation = start(store.as_ref(), &reading).await;
        fill(store.as_ref(), &reading, generation, &rows(&round.to_string()), marks(round, round)).await;
        assert_eq!(switch(store.as_ref(), &reading, generation).await, Switch::Done);
        assert_eq!(held(store.as_ref(), &reading, &[7]).await, Some(rebuilt(&[7], 1, &round.to_string()).row));
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        let last = reader.await.expect("a reader that did not panic");
        assert!(last.iter().all(|last| *last <= 12), "{last:?}");
    }
}

pub(super) async fn what_is_left_is_dropped_and_nothing_else(store: &dyn OnlineStore) {
    let reading = reading("rebuilt-dropped");
    let keys: Vec<Vec<u8>> = (0..3000_u32).map(|key| key.to_be_bytes().to_vec()).collect();
    let rows: Vec<Write> = keys.iter().map(|key| write(key.clone(), version(1, None, 1))).collect();
    bring(store, &reading, &rows, marks(1, 1)).await;
    let generation = start(store, &reading).await;
    fill(store, &reading, generation, &rows, marks(1, 1)).await;
    assert_eq!(dropped(store, &reading, Generation::FIRST, &keys).await, 0, "it is read");
    assert_eq!(dropped(store, &reading, generation, &keys).await, 0, "it is filled");
    assert_eq!(switch(store, &reading, generation).await, Switch::Done);
    assert_eq!(dropped(store, &reading, generation, &keys).await, 0, "now this is read");

    let old = OldGeneration { generation: Generation::FIRST, due: DUE };
    let later = OldGeneration { due: Timestamp(99), ..old };
    assert!(store.postpone(&reading, old, later.due).await.expect("an answer"));
    assert!(!store.postpone(&reading, old, later.due).await.expect("an answer"), "somebody else drops it");
    assert_eq!(generations(store, &reading).await.old, [later]);

    let unknown = [b"unknown".to_vec()];
    assert_eq!(dropped(store, &reading, Generation::FIRST, &[&keys[..10], &unknown[..]].concat()).await, 10);
    assert_eq!(dropped(store, &reading, Generation::FIRST, &keys).await, 2990, "ten are gone already");
    assert_eq!(dropped(store, &reading, Generation::FIRST, &keys).await, 0);
    assert_eq!(dropped(store, &reading, Generation::FIRST, &[]).await, 0);
    store.forget_generation(&reading, Generation::FIRST).await.expect("it is forgotten");
    store.forget_generation(&reading, Generation::FIRST).await.expect("no harm");
    assert_eq!(generations(store, &reading).await, Generations { current: generation, ..Generations::default() });
    assert!(!store.postpone(&reading, later, Timestamp(111)).await.expect("an answer"), "there is none");
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    assert!(answers[0].rows.iter().all(|held| *held == Some(rows[0].row.clone())), "all that is read is there");
}

pub(super) async fn an_erasure_reaches_every_generation(store: &dyn OnlineStore) {
    let reading = reading("rebuilt-erased");
    let rows = [write(b"gone", version(1, None, 1)), write(b"stays", version(1, None, 1))];
    bring(store, &reading, &rows, marks(1, 1)).await;
    let second = start(store, &reading).await;
    fill(store, &reading, second, &rows, marks(1, 1)).await;
    assert_eq!(switch(store, &reading, second).await, Switch::Done);
    let third = start(store, &reading).await;
    fill(store, &reading, third, &rows, marks(1, 1)).await;
    let (run, filling) = (store.begin(&reading).await.expect("a run"), beside(store, &reading, third).await);

    assert!(store.erase(&reading, b"gone").await.expect("an erasure"));
    assert_eq!(held(store, &reading, b"gone").await, None);
    assert!(is_overtaken(store, &reading, &run).await, "it may have read the key");
    assert!(is_overtaken(store, &reading, &filling).await, "and so may this one");
    assert_eq!(marks_of(store, &reading).await, Some(marks(1, 1)));
    // who begins afterwards goes on
    fill(store, &reading, third, &[write(b"new", version(2, None, 2))], marks(2, 2)).await;
    assert_eq!(switch(store, &reading, third).await, Switch::Done);
    let keys = [b"gone".to_vec(), b"stays".to_vec(), b"new".to_vec()];
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    let held: Vec<bool> = answers[0].rows.iter().map(Option::is_some).collect();
    assert_eq!(held, [false, true, true]);
    for left in [Generation::FIRST, second] {
        assert_eq!(
            dropped(store, &reading, left, &keys).await,
            1,
            "of generation {left} only the row that stays was left"
        );
    }
    assert!(!store.erase(&reading, b"gone").await.expect("an erasure"), "there is none left");
}
