mod kinds;
mod lost;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hitherto_core::{Kind, Name, Span, Timestamp};

use super::RedisStore;
use super::script::{Begun, Entry, begun, nonce, parse, witness};
use crate::conformance::put;
use crate::fixture::RedisServer;
use crate::{
    Advance, Error, Group, Marks, OnlineRow, OnlineStore, Reading, RowVersion, Write, Written, conformance, open,
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
    for held in [None, Some(marks(i64::MIN)), Some(marks(i64::MAX))] {
        assert_eq!(parse(&Entry::bytes(&own, held)), Ok(Entry { nonce: &own, marks: held, server: b"" }));
    }
    let server = [b'a'; 40];
    let bytes = [Entry::bytes(&own, Some(marks(1))), server.to_vec()].concat();
    assert_eq!(parse(&bytes), Ok(Entry { nonce: &own, marks: Some(marks(1)), server: &server }));
    let buckets = vec![Begun { entry: bytes, server: server.to_vec() }; 3];
    assert_eq!(begun(&witness(&buckets)), Some(buckets.clone()));
    assert_eq!(begun(&[]), Some(Vec::new()));
    for cut in 1..witness(&buckets[..1]).len() {
        assert_eq!(begun(&witness(&buckets)[..cut]), None, "cut at {cut}");
    }
    for bad in [&b""[..], &[0; 16], &[2; 17], &[1; 17], &[1; 34], &[0; 18]] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
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
