//! A store that was restarted or replaced says so, until a run has looked.

use super::{marks, project, reading, started, write};
use crate::conformance::put;
use crate::fixture::Sentinels;
use crate::{Advance, Answer, Group, OnlineStore, RedisStore};

async fn read(store: &RedisStore, key: &str) -> Answer {
    let keys = [key.as_bytes().to_vec()];
    let mut answers = store.read(&[Group { reading: &reading(), keys: &keys }]).await.expect("a read");
    answers.remove(0)
}

/// A run that writes a row and moves the marks to its time.
async fn bring(store: &RedisStore, key: &str, event: i64) {
    let run = store.begin(&reading()).await.expect("a run");
    store.write(&reading(), &run, &[write(key, event)]).await.expect("a write");
    assert_eq!(store.advance(&reading(), &run, marks(event)).await.expect("marks"), Advance::Done);
}

#[tokio::test]
async fn a_restart_is_told_of_until_a_run_has_ended() {
    let (mut server, store) = started();
    bring(&store, "a", 1).await;
    let () = server.command(&["SAVE"]);
    bring(&store, "a", 2).await;
    assert_eq!(read(&store, "a").await, answer(2, false));
    server.restart();
    assert_eq!(read(&store, "a").await, answer(1, true), "older, and it says so");
    let other = RedisStore::new(&server.url(), &project()).expect("a store");
    assert_eq!(read(&other, "a").await, answer(1, true), "and to who was not there before");
    // to have begun is not to have looked
    let run = store.begin(&reading()).await.expect("a run");
    assert_eq!(run.marks(), Some(marks(1)));
    assert!(read(&store, "a").await.is_stale);
    bring(&store, "a", 2).await;
    for store in [&store, &other] {
        assert_eq!(read(store, "a").await, answer(2, false));
    }
    // an erasure keeps what is known of the marks
    assert!(store.erase(&reading(), b"a").await.expect("an erasure"));
    server.command::<()>(&["SAVE"]);
    server.restart();
    let gone = read(&store, "a").await;
    assert_eq!((gone.marks, gone.is_stale, gone.rows), (Some(marks(2)), true, vec![None]));
}

fn answer(event: i64, is_stale: bool) -> Answer {
    Answer { marks: Some(marks(event)), is_stale, rows: vec![Some(write("a", event).row)] }
}

#[tokio::test]
async fn a_failover_is_followed_and_nothing_is_invented() {
    let mut sentinels = Sentinels::start();
    let store = RedisStore::new(&sentinels.url(), &project()).expect("a store");
    bring(&store, "a", 1).await;
    sentinels.wait_for_copy();
    assert_eq!(read(&store, "a").await, answer(1, false));
    // this one may or may not be with the replica in time
    let run = store.begin(&reading()).await.expect("a run");
    store.write(&reading(), &run, &[write("a", 2)]).await.expect("a write");

    sentinels.fail_over();
    let found = read(&store, "a").await;
    assert_eq!((found.marks, found.is_stale), (Some(marks(1)), true));
    let rows = [vec![Some(write("a", 1).row)], vec![Some(write("a", 2).row)]];
    assert!(rows.contains(&found.rows), "{found:?}");
    // the run that began on the lost master must not claim its rows
    let moved = store.advance(&reading(), &run, marks(2)).await.expect("an answer");
    assert_eq!(moved, Advance::Moved(Some(marks(1))));
    bring(&store, "a", 2).await;
    assert_eq!(read(&store, "a").await, answer(2, false));
    put(&store, &reading(), &[write("b", 3)]).await.expect("the replica takes writes");
}
