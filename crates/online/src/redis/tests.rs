mod kinds;
mod lost;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hitherto_core::{Kind, Name, Span, Timestamp};

use super::RedisStore;
use super::script::{Begun, Entry, Witness, nonce, parse};
use crate::conformance::put;
use crate::fixture::RedisServer;
use crate::generation::Numbers;
use crate::{
    Advance, Error, Generation, GenerationStore, Group, Marks, OnlineRow, OnlineStore, Reading, RowVersion, Switch,
    Write, Written, conformance, open,
};

fn project() -> Name {
    "default".parse().expect("a name")
}

fn reading() -> Reading {
    Reading::new("t-1", Span::ZERO)
}

fn marks(sequence: i64) -> Marks {
    Marks { sequence, clock: Timestamp(sequence) }
}

fn write(key: &str, event: i64) -> Write {
    let version = RowVersion { event: Timestamp(event), created: None, sequence: event };
    Write { key: key.into(), row: OnlineRow { version, deleted: false, values: b"values".as_slice().into() } }
}

fn started() -> (RedisServer, RedisStore) {
    let server = RedisServer::start();
    let store = RedisStore::new(&server.url(), &project()).expect("a store");
    (server, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let (server, store) = started();
    let other = RedisStore::new(&server.url(), &"other".parse().expect("a name")).expect("a store");
    conformance::run(Arc::new(store), Arc::new(other)).await;
}

#[tokio::test]
async fn golden_keys_and_values() {
    let (server, store) = started();
    let mut row = write("k", -1);
    row.row.version.sequence = 258;
    put(&store, &reading(), &[row]).await.expect("a write");
    let mut keys: Vec<String> = server.command(&["KEYS", "*"]);
    keys.sort_unstable();
    assert_eq!(keys, ["hitherto:default:m:t-1:0", "hitherto:default:r:t-1:0:k"]);
    let value: Vec<u8> = server.command(&["GET", "hitherto:default:r:t-1:0:k"]);
    let golden =
        b"\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x01\x02\x10values";
    assert_eq!(value, golden);
    let run = store.begin(&reading()).await.expect("a run");
    store.advance(&reading(), &run, marks(-2)).await.expect("marks");
    let value: Vec<u8> = server.command(&["GET", "hitherto:default:m:t-1:0"]);
    assert_eq!(value[16..33], *b"\x01\x7f\xff\xff\xff\xff\xff\xff\xfe\x7f\xff\xff\xff\xff\xff\xff\xfe");
    let told: String = server.command(&["INFO", "server"]);
    let run = told.lines().find_map(|line| line.strip_prefix("run_id:")).expect("its run");
    assert_eq!((value.len(), &value[33..]), (73, run.as_bytes()));
}

#[test]
fn entries_of_marks_come_back_and_foreign_ones_are_refused() {
    let own = nonce();
    assert_ne!(own, nonce());
    let rebuilt = Numbers::default().switched(Generation(3)).started(Generation(258));
    for (held, numbers) in [None, Some(marks(i64::MIN)), Some(marks(i64::MAX))]
        .into_iter()
        .flat_map(|held| [(held, Numbers::default()), (held, rebuilt)])
    {
        let entry = Entry { numbers, marks: held, ..Entry::empty(&own) };
        assert_eq!(parse(&entry.bytes()), Ok(entry));
    }
    let server = [b'a'; 40];
    let entry = Entry { marks: Some(marks(1)), server: &server, ..Entry::empty(&own) };
    let bytes = entry.bytes();
    assert_eq!(bytes.len(), 73, "as it was before there were generations");
    assert_eq!(parse(&bytes), Ok(entry));
    let golden = Entry { numbers: rebuilt, ..Entry::empty(&own) }.bytes();
    assert_eq!(golden[16..], [2, 0, 0, 0, 3, 0, 0, 1, 2, 0, 0, 1, 2]);

    let begun = Begun { entry: bytes, server: server.to_vec() };
    let left_out = Begun { entry: Vec::new(), server: server.to_vec() };
    for beside in [None, Some(Generation(7))] {
        let witness = Witness { beside, buckets: vec![begun.clone(), left_out.clone(), begun.clone()] };
        assert_eq!(Witness::parse(&witness.bytes()), Some(witness));
    }
    let none = Witness { beside: None, buckets: Vec::new() };
    assert_eq!(Witness::parse(&[0; 4]), Some(none));
    let whole = Witness { beside: None, buckets: vec![begun] }.bytes();
    for cut in (0..4).chain(5..whole.len()) {
        assert_eq!(Witness::parse(&whole[..cut]), None, "cut at {cut}");
    }
    let mut foreign = vec![&b""[..], &[0; 16], &[4; 17], &[1; 17], &[1; 34], &[0; 18], &[2; 17]];
    foreign.extend([&golden[..28], &golden[..17]]);
    for bad in foreign {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn golden_keys_of_a_rebuild_and_what_is_left_of_it() {
    let (server, store) = started();
    let row = write("k", 1);
    bring(&store, std::slice::from_ref(&row), 1).await;
    let keys = || {
        let mut keys: Vec<String> = server.command(&["KEYS", "*"]);
        keys.sort_unstable();
        keys
    };
    let generation =
        store.start_generation(&reading(), None, Timestamp(9)).await.expect("an answer").expect("a number");
    store.beat(&reading()).await.expect("a beat");
    let run = store.begin_beside(&reading(), generation).await.expect("an answer").expect("it is under way");
    store.write(&reading(), &run, &[row]).await.expect("a write");
    store.advance(&reading(), &run, marks(1)).await.expect("marks");
    let during = ["b:t-1:0", "m1:t-1:0", "m:t-1:0", "r1:t-1:0:k", "r:t-1:0:k"];
    assert_eq!(keys(), during.map(|key| format!("hitherto:default:{key}")));
    assert_eq!(store.switch_generation(&reading(), generation, Timestamp(9)).await.expect("an answer"), Switch::Done);
    let old: Vec<u8> = server.command(&["GET", "hitherto:default:o:t-1:0"]);
    assert_eq!(old, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    let dropped = store.drop_rows(&reading(), Generation::FIRST, &[b"k".to_vec(), b"l".to_vec()]).await;
    assert_eq!(dropped.expect("an answer"), 1);
    store.forget_generation(&reading(), Generation::FIRST).await.expect("it is forgotten");
    assert_eq!(keys(), ["b:t-1:0", "m:t-1:0", "r1:t-1:0:k"].map(|key| format!("hitherto:default:{key}")));
    let entry: Vec<u8> = server.command(&["GET", "hitherto:default:m:t-1:0"]);
    assert_eq!(entry[16..29], [3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn rows_that_were_rolled_back_to_be_the_current_ones_are_not_dropped() {
    let (mut server, store) = started();
    let row = write("k", 1);
    bring(&store, std::slice::from_ref(&row), 1).await;
    let () = server.command(&["SAVE"]);
    let generation =
        store.start_generation(&reading(), None, Timestamp(9)).await.expect("an answer").expect("a number");
    let run = store.begin_beside(&reading(), generation).await.expect("an answer").expect("it is under way");
    store.write(&reading(), &run, std::slice::from_ref(&row)).await.expect("a write");
    store.advance(&reading(), &run, marks(1)).await.expect("marks");
    store.switch_generation(&reading(), generation, Timestamp(9)).await.expect("an answer");
    let keys = [row.key.clone()];
    let read = async || store.read(&[Group { reading: &reading(), keys: &keys }]).await.expect("a read").remove(0);
    assert_eq!(read().await.rows, [Some(row.row.clone())]);
    server.restart();
    // whoever was about to drop the first generation finds that it is the current one again
    assert_eq!(store.drop_rows(&reading(), Generation::FIRST, &keys).await.expect("an answer"), 0);
    let found = read().await;
    assert_eq!((found.marks, found.is_stale, found.rows), (Some(marks(1)), true, vec![Some(row.row)]));
}

/// A run that writes rows and moves the marks.
async fn bring(store: &RedisStore, rows: &[Write], to: i64) {
    let run = store.begin(&reading()).await.expect("a run");
    store.write(&reading(), &run, rows).await.expect("a write");
    assert_eq!(store.advance(&reading(), &run, marks(to)).await.expect("marks"), Advance::Done);
}

#[tokio::test]
async fn a_flush_is_noticed_by_the_marks_and_by_a_run_in_progress() {
    let (server, store) = started();
    let first = store.begin(&reading()).await.expect("a run");
    assert_eq!(first.marks(), None);
    put(&store, &reading(), &[write("a", 1)]).await.expect("a write");
    let () = server.command(&["FLUSHALL"]);
    put(&store, &reading(), &[write("b", 1)]).await.expect("a write");
    // the first half of the run's rows is gone, and with it the entry that the run began on
    assert_eq!(store.advance(&reading(), &first, marks(1)).await.expect("an answer"), Advance::Moved(None));
    // not even when somebody else has begun again meanwhile
    let second = store.begin(&reading()).await.expect("a run");
    assert_eq!(second.marks(), None);
    assert_eq!(store.advance(&reading(), &first, marks(1)).await.expect("an answer"), Advance::Moved(None));
    assert_eq!(store.advance(&reading(), &second, marks(1)).await.expect("an answer"), Advance::Done);
    let () = server.command(&["FLUSHALL"]);
    assert_eq!(store.marks(&[reading()]).await.expect("marks"), [None]);
}

#[tokio::test]
async fn rows_that_outlive_their_marks_are_only_compared_again() {
    let (server, store) = started();
    let run = store.begin(&reading()).await.expect("a run");
    put(&store, &reading(), &[write("a", 1), write("b", 5)]).await.expect("a write");
    store.advance(&reading(), &run, marks(5)).await.expect("marks");
    let () = server.command(&["DEL", "hitherto:default:m:t-1:0"]);
    let run = store.begin(&reading()).await.expect("a run");
    assert_eq!(run.marks(), None);
    let again = put(&store, &reading(), &[write("a", 1), write("b", 2), write("c", 3)]).await.expect("a write");
    assert_eq!(again, Written { written: 1, superseded: 2 });
    assert_eq!(store.advance(&reading(), &run, marks(5)).await.expect("an answer"), Advance::Done);
}

#[tokio::test]
async fn a_restart_is_survived_and_a_rollback_within_a_run_noticed() {
    let (mut server, store) = started();
    let run = store.begin(&reading()).await.expect("a run");
    assert_eq!(store.advance(&reading(), &run, marks(1)).await.expect("an answer"), Advance::Done);
    let run = store.begin(&reading()).await.expect("a run");
    let () = server.command(&["SAVE"]);
    put(&store, &reading(), &[write("lost", 2)]).await.expect("a write");
    server.restart();
    // the broken connection and the forgotten script are the store's own business
    put(&store, &reading(), &[write("kept", 2)]).await.expect("a write");
    let keys = [b"lost".to_vec(), b"kept".to_vec()];
    let answers = store.read(&[Group { reading: &reading(), keys: &keys }]).await.expect("a read");
    assert_eq!(answers[0].rows, [None, Some(write("kept", 2).row)]);
    // the marks are those that the run began with, and yet a row is missing
    assert_eq!(answers[0].marks, run.marks());
    let moved = store.advance(&reading(), &run, marks(2)).await.expect("an answer");
    assert_eq!(moved, Advance::Moved(Some(marks(1))));
    let run = store.begin(&reading()).await.expect("a run");
    assert_eq!(store.advance(&reading(), &run, marks(2)).await.expect("an answer"), Advance::Done);
    // saying it again, after an answer was lost, is no conflict
    assert_eq!(store.advance(&reading(), &run, marks(2)).await.expect("an answer"), Advance::Done);
}

#[tokio::test]
async fn a_redis_that_is_down_is_said_clearly_and_quickly_and_comes_back() {
    let (mut server, store) = started();
    server.kill();
    let address = format!("127.0.0.1:{}/0", server.port());
    let begun = Instant::now();
    let error = store.read(&[Group { reading: &reading(), keys: &[] }]).await.expect_err("redis is down");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true));
    assert!(error.to_string().contains(&address) && error.to_string().contains("check that it runs"), "{error}");
    let error = put(&store, &reading(), &[write("a", 1)]).await.expect_err("redis is down");
    assert_eq!(error.kind(), Kind::Unavailable);
    let fresh = open(&server.url(), &project()).expect("opening asks nothing of the server");
    let error = fresh.begin(&reading()).await.expect_err("redis is down");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(3), "three calls took {:?}", begun.elapsed());
    server.restart();
    let written = put(&store, &reading(), &[write("a", 1)]).await.expect("redis is back");
    assert_eq!(written, Written { written: 1, superseded: 0 });
    store.ping().await.expect("redis is back");
    fresh.begin(&reading()).await.expect("redis is back");
}

#[tokio::test]
async fn passwords_work_and_are_never_shown() {
    let (server, _) = started();
    let () = server.command(&["ACL", "SETUSER", "ann", "on", ">s3cret", "~hitherto:*", "+@all"]);
    let () = server.command(&["CONFIG", "SET", "requirepass", "t0p"]);
    let at = format!("127.0.0.1:{}", server.port());
    for good in [format!("redis://ann:s3cret@{at}"), format!("redis://:t0p@{at}/1")] {
        let store = open(&good, &project()).expect("a url");
        put(store.as_ref(), &reading(), &[write("a", 1)]).await.expect("a write");
        let shown = format!("{store:?} {}", store.describe());
        assert!(shown.contains(&at) && !shown.contains("s3cret") && !shown.contains("t0p"), "{shown}");
    }
    for bad in [format!("redis://ann:s3cre7@{at}"), format!("redis://{at}")] {
        let error = open(&bad, &project()).expect("a url").ping().await.expect_err("the wrong password");
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cre"), "{error}");
    }
    let error = RedisStore::new("redis://:s3cret@[bad", &project()).expect_err("no url");
    assert!(matches!(error, Error::Url { .. }) && !format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_full_redis_is_exhausted() {
    let (server, store) = started();
    let () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = put(&store, &reading(), &[write("a", 1)]).await.expect_err("no memory");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Exhausted, true), "{error}");
    assert!(error.to_string().contains("maxmemory"), "{error}");
}
