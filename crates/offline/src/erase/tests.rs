use std::collections::BTreeMap;

use futures::stream;
use hitherto_core::{Created, KeyType, KeyValue, Kind};
use object_store::ObjectStoreExt;
use proptest::prelude::*;

use super::*;
use crate::compact::samples::{Rows as Read, Sample, append, batch, history, memory, present, read, samples, table};
use crate::{Appended, BatchId, Reach};

const AT: Timestamp = Timestamp(1_000);

fn key(number: i64) -> EntityKey {
    EntityKey(vec![KeyValue::Int(number)])
}

/// Samples' keys are numbers less 3, and every fourth is null.
fn is_of(row: &BTreeMap<String, String>, number: i64) -> bool {
    row["k0"] == number.to_string()
}

fn erasing<'a>(id: &'a str, key: &'a EntityKey, delay: Span) -> Erasing<'a> {
    Erasing { id, key, at: AT, now: &present, delay }
}

async fn erase(history: &History, id: &str, number: i64, delay: Span) -> Erased {
    let key = key(number);
    let options = CompactOptions::default();
    history.erase(&erasing(id, &key, delay), &options, &|_, _| ()).await.expect("an erasure")
}

fn sample(key: u8, event: i64) -> Sample {
    Sample { key, event, created: event, deleted: None, seed: 1 }
}

fn days(days: i64) -> Span {
    Span::from_micros(days * 86_400_000_000).expect("a span")
}

fn far() -> Timestamp {
    present().saturating_add(days(30))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_row_of_the_key_goes_and_no_other_changes(
        batches in proptest::collection::vec(samples(), 1..5),
        number in -3_i64..9,
        compact_after in proptest::collection::vec(any::<bool>(), 5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let history = history(&memory(), &table(&[KeyType::Int64], Created::Column));
            let mut expected = Read::new();
            for (rows, compact) in batches.iter().zip(&compact_after) {
                append(&history, rows, AT, &mut expected).await;
                if *compact {
                    history.compact(&CompactOptions::default(), &|_, _| ()).await.expect("a compaction");
                }
            }
            let next = history.snapshot().await.expect("a snapshot").next_sequence;
            let of_key: Vec<i64> =
                expected.iter().filter(|(_, row)| is_of(row, number)).map(|(sequence, _)| *sequence).collect();
            let found = history.find(&key(number)).await.expect("a search");
            prop_assert_eq!((found.rows, found.first_sequence), (of_key.len() as u64, of_key.first().copied()));

            let erased = erase(&history, "e1", number, days(7)).await;
            prop_assert_eq!((erased.rows, erased.first_sequence), (found.rows, found.first_sequence));
            expected.retain(|_, row| !is_of(row, number));
            for last in [next - 1, next / 2] {
                let within: Read = expected.range(..=last).map(|(at, row)| (*at, row.clone())).collect();
                prop_assert_eq!(&read(&history, last).await, &within);
            }
            prop_assert_eq!(history.find(&key(number)).await.expect("a search").rows, 0);
            let snapshot = history.snapshot().await.expect("a snapshot");
            prop_assert_eq!(snapshot.next_sequence, next, "a sequence is given once");
            prop_assert_eq!(snapshot.erasures.len(), 1);
            prop_assert_eq!(snapshot.erasures[0].concerns(next - 1), !of_key.is_empty());

            // nothing is left of it in the store, and nobody notices
            let purged = history.purge(far()).await.expect("a purge");
            prop_assert_eq!(purged.erasures, ["e1".to_owned()]);
            prop_assert_eq!(&read(&history, i64::MAX).await, &expected);
            let other = self::history(history.store(), history.table());
            prop_assert_eq!(&read(&other, i64::MAX).await, &expected);
            let checked = other.check_files(&|_| ()).await.expect("a check");
            prop_assert_eq!((checked.unrecorded, checked.faults), (0, Vec::new()));
            append(&other, &batches[0], AT, &mut Read::new()).await;
            Ok(())
        })?;
    }
}

/// Everything in the store that has these bytes.
async fn with_bytes(store: &crate::OfflineStore, bytes: &[u8]) -> Vec<String> {
    use futures::TryStreamExt;
    let all: Vec<_> = store.store().list(Some(store.base())).try_collect().await.expect("a list");
    let mut found = Vec::new();
    for file in all {
        let content = store.store().get(&file.location).await.expect("a file").bytes().await.expect("bytes");
        if content.windows(bytes.len()).any(|window| window == bytes) {
            found.push(file.location.to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_purge_leaves_no_trace_of_the_key_in_files_and_log() {
    let table = table(&[KeyType::String], Created::Column);
    let store = memory();
    let (history, beside) = (self::history(&store, &table), self::history(&store, &table));
    // keys are one letter, so many times: the longest is the greatest of its files
    let secret = "ä".repeat(10);
    for event in 0..25 {
        append(&history, &[sample(10, event), sample(1, event)], AT, &mut Read::new()).await;
    }
    assert!(!with_bytes(&store, secret.as_bytes()).await.is_empty(), "statistics name it");
    let before = beside.snapshot().await.expect("a snapshot");
    let key = EntityKey(vec![KeyValue::String(secret.clone())]);
    let wanted = erasing("e1", &key, days(7));
    let erased = history.erase(&wanted, &CompactOptions::default(), &|_, _| ()).await.expect("an erasure");
    assert_eq!((erased.rows, erased.files), (25, 25));

    // before its time nothing goes
    let early = history.purge(present().saturating_add(days(6))).await.expect("a purge");
    assert_eq!(early, crate::Purged::default());
    assert_eq!(with_bytes(&store, secret.as_bytes()).await.len(), 25 + 25 + 1, "rows, entries, a checkpoint");
    let purged = history.purge(present().saturating_add(days(7))).await.expect("a purge");
    assert_eq!((purged.files, purged.log_files >= 26), (25, true), "{purged:?}");
    assert_eq!(with_bytes(&store, secret.as_bytes()).await, Vec::<String>::new());
    assert_eq!(history.purge(far()).await.expect("another"), crate::Purged::default());
    let remembered = &history.snapshot().await.expect("a snapshot").erasures[0];
    assert_eq!((remembered.rows, &remembered.trace), (25, &None), "what is remembered cannot be tried out");

    // a process that read the log before goes on, and batches are still known
    let after = beside.snapshot().await.expect("the log is read on, or anew");
    assert_eq!((before.files.len(), after.files.len(), after.next_sequence), (25, 1, 50));
    append(&beside, &[sample(2, 1)], AT, &mut Read::new()).await;
    assert_eq!(history.snapshot().await.expect("a snapshot").next_sequence, 51);
}

#[tokio::test]
async fn a_purge_heeds_no_pin_as_a_vacuum_does() {
    let store = memory();
    let history = self::history(&store, &table(&[KeyType::String], Created::Column));
    append(&history, &[sample(10, 1), sample(1, 1)], AT, &mut Read::new()).await;
    let secret = "ä".repeat(10);
    let snapshot = history.snapshot().await.expect("a snapshot");
    let last = snapshot.next_sequence - 1;
    let pinned = PinnedTable::new(Arc::clone(store.store()), history.table().clone(), &snapshot.files, last);
    let watch = pinned.watch();
    let key = EntityKey(vec![KeyValue::String(secret.clone())]);
    let wanted = erasing("e1", &key, days(0));
    history.erase(&wanted, &CompactOptions::default(), &|_, _| ()).await.expect("an erasure");

    // whoever reads holds the file that has the rows, and a vacuum leaves it to him
    let pins = [watch.clone()];
    let kept = history.vacuum_but(&pins, days(0), far(), crate::Sweep::Delete).await.expect("a vacuum");
    assert_eq!((kept.deleted_files, kept.kept_files), (0, 1));
    assert!(!with_bytes(&store, secret.as_bytes()).await.is_empty());
    let purged = history.purge(far()).await.expect("a purge");
    assert_eq!((purged.files, purged.erasures), (1, vec!["e1".to_owned()]), "an erasure outranks who holds its rows");
    assert_eq!(with_bytes(&store, secret.as_bytes()).await, Vec::<String>::new());
    assert!(!watch.is_over(), "it was held all the while");
    drop(pinned);
    assert!(watch.is_over());
}

#[tokio::test]
async fn erasures_that_took_no_row_do_not_pile_up() {
    let history = self::history(&memory(), &table(&[KeyType::Int64], Created::Column));
    append(&history, &[sample(5, 1), sample(6, 1)], AT, &mut Read::new()).await;
    let left = async || {
        let snapshot = history.snapshot().await.expect("a snapshot");
        snapshot.erasures.iter().map(|erasure| (erasure.id.clone(), erasure.forgotten_in)).collect::<Vec<_>>()
    };
    for round in 1..=3 {
        for id in [format!("a{round}"), format!("b{round}")] {
            assert_eq!(erase(&history, &id, 100, days(7)).await.rows, 0);
        }
        let purged = history.purge(far()).await.expect("a purge");
        assert_eq!(purged.erasures, [format!("a{round}"), format!("b{round}")]);
        let version = history.snapshot().await.expect("a snapshot").version;
        assert_eq!(left().await, [(format!("b{round}"), version)]);
    }
    assert_eq!(history.purge(far()).await.expect("another"), crate::Purged::default());
}

#[tokio::test]
async fn an_append_that_began_before_does_not_bring_the_key_back() {
    let table = table(&[KeyType::Int64], Created::Column);
    let store = memory();
    let (history, other) = (self::history(&store, &table), self::history(&store, &table));
    append(&history, &[sample(5, 1), sample(6, 1)], AT, &mut Read::new()).await;
    for (number, is_refused) in [(2, true), (3, false)] {
        // the rows come after the erasure, in an append that began before it
        let rows = batch(&table, &[sample(4, 2), sample(5, 2)]);
        let id = format!("e{number}");
        let rows = stream::once(async {
            erase(&other, &id, number, days(7)).await;
            Ok(rows)
        });
        let before = history.snapshot().await.expect("a snapshot").next_sequence;
        let appended = Box::pin(history.append(BatchId::Unremembered, rows, &|| AT)).await;
        let after = history.snapshot().await.expect("a snapshot").next_sequence;
        if is_refused {
            let error = appended.expect_err("a row of it is among them");
            assert_eq!((error.kind(), after), (Kind::Conflict, before), "{error}");
            assert!(error.to_string().contains("1 of the rows are of an entity that was erased"), "{error}");
        } else {
            assert!(matches!(appended, Ok(Appended::Done(_))), "{appended:?}");
            assert_eq!(after, before + 2);
        }
    }
    // nor where the delay was so short that nobody can tell any more
    let rows = batch(&table, &[sample(9, 2)]);
    let rows = stream::once(async {
        erase(&other, "e0", 2, Span::ZERO).await;
        other.purge(far()).await.expect("a purge");
        Ok(rows)
    });
    let appended = Box::pin(history.append(BatchId::Unremembered, rows, &|| AT)).await;
    let error = appended.expect_err("they may be its rows");
    assert!(error.to_string().contains("its rows may be among these (e0)"), "{error}");
    // who begins afterwards may know it again
    append(&history, &[sample(5, 3)], AT, &mut Read::new()).await;
    assert_eq!(history.find(&key(2)).await.expect("a search").rows, 1);
}

#[tokio::test]
async fn of_batches_in_one_commit_only_those_with_the_key_are_refused() {
    let table = table(&[KeyType::Int64], Created::Column);
    let store = memory();
    let (history, other) = (self::history(&store, &table), self::history(&store, &table));
    append(&history, &[sample(5, 1), sample(6, 1)], AT, &mut Read::new()).await;
    let mut ready = Vec::new();
    for (id, key) in [("a", 4), ("b", 5), ("c", 6), ("b", 5), ("d", 5)] {
        let id = BatchId::Given(id.to_owned());
        ready.push(history.ready(id, &batch(&table, &[sample(key, 2)])).await.expect("it fits"));
    }
    erase(&other, "e1", 2, days(7)).await;
    // one that began afterwards may bring it back
    other.snapshot().await.expect("a snapshot");
    let late = other.ready(BatchId::Unremembered, &batch(&table, &[sample(5, 3)])).await.expect("it fits");
    ready.push(late);
    let appended = history.append_all(&ready, &|| AT).await.expect("the store is whole");
    let told: Vec<Option<i64>> = appended
        .iter()
        .map(|appended| match appended {
            Ok(Appended::Done(commit)) => Some(commit.first_sequence),
            Err(error) if error.to_string().contains("1 of the rows are of an entity that was erased") => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [Some(2), None, Some(3), None, None, Some(4)]);
    assert_eq!(history.find(&key(2)).await.expect("a search").rows, 1);
    // what was refused is not known either: it may be appended when somebody means it
    let again = history.ready(BatchId::Given("b".to_owned()), &batch(&table, &[sample(5, 2)])).await.expect("it fits");
    let again = history.append_all(&[again], &|| AT).await.expect("the store is whole");
    assert!(matches!(again[..], [Ok(Appended::Done(_))]), "{again:?}");
}

#[tokio::test]
async fn a_table_may_lose_all_its_rows_and_goes_on_counting() {
    let history = history(&memory(), &table(&[KeyType::Int64], Created::Absent));
    assert_eq!(erase(&history, "none", 2, days(7)).await, Erased::default(), "there is no table yet");
    append(&history, &[sample(5, 1), sample(5, 2)], AT, &mut Read::new()).await;
    let erased = erase(&history, "all", 2, Span::ZERO).await;
    assert_eq!((erased.rows, erased.first_sequence), (2, Some(0)));
    assert_eq!(read(&history, i64::MAX).await, Read::new());
    history.purge(far()).await.expect("a purge");
    let commit = append(&history, &[sample(5, 1)], AT, &mut Read::new()).await;
    assert_eq!(commit.first_sequence, 2);
    let snapshot = history.snapshot().await.expect("a snapshot");
    assert!(snapshot.erasures[0].concerns(1) && snapshot.files.len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn compactions_and_appends_at_the_same_time_keep_everything_but_the_key() {
    let table = table(&[KeyType::Int64], Created::Column);
    for round in 0..8 {
        let store = memory();
        let [appending, compacting, erasing] = std::array::from_fn(|_| self::history(&store, &table));
        let mut expected = Read::new();
        for event in 0..6 {
            append(&appending, &[sample(5, event), sample(6, event)], AT, &mut expected).await;
        }
        let options = CompactOptions { reach: Reach::All, ..CompactOptions::default() };
        let ((), compacted, erased) = tokio::join!(
            async {
                for event in 6..9 {
                    append(&appending, &[sample(6, event)], AT, &mut expected).await;
                }
            },
            compacting.compact(&options, &|_, _| ()),
            erase(&erasing, "e1", 2, days(7)),
        );
        compacted.expect("a compaction, or one that was overtaken");
        assert_eq!(erased.rows, 6, "round {round}");
        expected.retain(|_, row| !is_of(row, 2));
        assert_eq!(read(&appending, i64::MAX).await, expected, "round {round}");
    }
}

#[tokio::test]
async fn asking_again_tells_what_went_before_and_files_that_came_meanwhile_go_too() {
    let table = table(&[KeyType::String], Created::Column);
    let store = memory();
    let history = self::history(&store, &table);
    let secret = "ä".repeat(10);
    let key = EntityKey(vec![KeyValue::String(secret.clone())]);
    append(&history, &[sample(10, 1), sample(1, 1)], AT, &mut Read::new()).await;
    for (id, rows, files, first) in [("e1", 1, 1, Some(0)), ("e2", 0, 0, None)] {
        let erased = history.erase(&erasing(id, &key, days(7)), &CompactOptions::default(), &|_, _| ()).await;
        let erased = erased.expect("an erasure");
        assert_eq!((erased.rows, erased.files, erased.first_sequence), (rows, files, first), "{id}");
        let is_told = id == "e2";
        assert_eq!(erased.earlier, if is_told { [("e1".to_owned(), 1)].into() } else { BTreeMap::new() });
        assert_eq!(erased.before, if is_told { [("e1".to_owned(), 0)].into() } else { BTreeMap::new() });
    }
    // a writer that was killed left this a moment after the erasure
    let left = history.root().clone().join("data").join("left.parquet");
    store.store().put(&left, secret.clone().into_bytes().into()).await.expect("a file");
    history.purge(far()).await.expect("a purge");
    assert_eq!(with_bytes(&store, secret.as_bytes()).await, Vec::<String>::new());
    let forgotten = Erased { before: [("e1".to_owned(), 0)].into(), ..Erased::default() };
    assert_eq!(history.find(&key).await.expect("a search"), forgotten, "whose rows they were nobody can tell");
}

#[tokio::test]
async fn rows_with_null_parts_are_counted_and_stay() {
    let table = table(&[KeyType::Int64, KeyType::String], Created::Column);
    let history = history(&memory(), &table);
    // (3, null), (null, "ä"), (-1, "ä"), (null, null), (2, "ää")
    let mut rows = Read::new();
    append(&history, &[sample(6, 1), sample(3, 1), sample(2, 1)], AT, &mut rows).await;
    append(&history, &[sample(7, 1), sample(5, 1)], AT, &mut rows).await;
    let key = |number, text: &str| EntityKey(vec![KeyValue::Int(number), KeyValue::String(text.to_owned())]);
    let counted = async |key: EntityKey| history.null_parts(&key).await.expect("a search");
    assert_eq!((counted(key(3, "ä")).await, counted(key(-1, "ä")).await, counted(key(2, "ää")).await), (2, 1, 0));
    let wanted = key(-1, "ä");
    let erased = history.erase(&erasing("e1", &wanted, days(7)), &CompactOptions::default(), &|_, _| ()).await;
    assert_eq!(erased.expect("an erasure").rows, 1);
    history
        .compact(&CompactOptions { reach: Reach::All, ..CompactOptions::default() }, &|_, _| ())
        .await
        .expect("done");
    assert_eq!(counted(wanted).await, 1, "it is of no entity, so it stays");
    assert_eq!(read(&history, i64::MAX).await.len(), 4);
    let single = self::history(&memory(), &self::table(&[KeyType::Int64], Created::Column));
    append(&single, &[sample(7, 1)], AT, &mut Read::new()).await;
    assert_eq!(single.null_parts(&self::key(2)).await.expect("a search"), 0);
}
