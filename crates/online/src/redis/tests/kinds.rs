//! Redis as people run it: behind certificates and passwords, watched by Sentinels, in a cluster.

use std::sync::Arc;

use hitherto_core::{Kind, Name};

use super::{marks, project, reading, write};
use crate::conformance::put;
use crate::fixture::{Certificates, Cluster, RedisServer, SecuredServer, Sentinels};
use crate::redis::keys::Keys;
use crate::{Advance, Error, Group, Location, OnlineStore, RedisStore, Tls, Write, conformance, open};

fn store(location: impl Into<Location>) -> RedisStore {
    RedisStore::new(location, &project()).expect("a store")
}

async fn conforms(location: &Location) {
    let other: Name = "other".parse().expect("a name");
    let other = RedisStore::new(location, &other).expect("a store");
    conformance::run(Arc::new(store(location)), Arc::new(other)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_certificates_and_a_user_who_may_do_little_conforms() {
    conforms(&SecuredServer::start().location()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_sentinels_conforms() {
    conforms(&Sentinels::start().url().as_str().into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_conforms() {
    let cluster = Cluster::start();
    conforms(&cluster.url().as_str().into()).await;
    for node in &cluster.nodes {
        let keys: u64 = node.command(&["DBSIZE"]);
        assert!(keys > 1000, "each server has its share: {keys}");
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_named_and_secrets_are_not() {
    let server = SecuredServer::start();
    store(server.location()).ping().await.expect("all is in order");
    let strangers = Certificates::generate();
    let alone = Tls { identity: None, ..server.certificates.tls() };
    let foreign = Tls { ca: server.certificates.tls().ca, ..strangers.tls() };
    let refused = async |location: Location| {
        let store = open(&location, &project()).expect("a url");
        let error = store.ping().await.expect_err("refused");
        let shown = format!("{error} {error:?} {store:?} {} {location:?}", store.describe());
        assert!(!shown.contains("s3cre") && !shown.contains("PRIVATE"), "{shown}");
        error
    };
    for (location, says) in [
        (server.location_with("s3cret", strangers.tls()), "online.tls.ca"),
        (server.location_with("s3cret", Tls::default()), "online.tls.ca"),
        (server.location_with("s3cre7", server.certificates.tls()), "check the user and password"),
    ] {
        let error = refused(location).await;
        assert_eq!((error.kind(), error.to_string().contains(says)), (Kind::InvalidArgument, true), "{error}");
    }
    // whom the server does not trust is sometimes told so, and sometimes only cut off
    for tls in [foreign, alone] {
        let error = refused(server.location_with("s3cret", tls)).await;
        assert!(matches!(error, Error::Untrusted { .. } | Error::Unavailable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_user_who_may_not_write_is_told_so() {
    let server = SecuredServer::start();
    let () = server.command(&["ACL", "SETUSER", "ann", "-evalsha"]);
    let error = put(&store(server.location()), &reading(), &[write("a", 1)]).await.expect_err("not allowed");
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("what its ACL allows"), "{error}");
}

#[tokio::test]
async fn a_policy_that_throws_rows_away_is_refused_at_once_and_after_a_reconnect() {
    let server = RedisServer::start();
    let policy = |policy: &str| server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", policy]);
    let refused = |error: Error, policy: &str| {
        let message = error.to_string();
        assert!(matches!(error, Error::Unfit { .. }), "{message}");
        assert_eq!(error.kind(), Kind::Unavailable);
        for part in [policy, "throws rows away", "set maxmemory-policy noeviction", &server.port().to_string()] {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    let early = store(&server.url());
    put(&early, &reading(), &[write("a", 1)]).await.expect("a write");
    for which in ["allkeys-lru", "volatile-ttl"] {
        policy(which);
        refused(store(&server.url()).ping().await.expect_err("it evicts"), which);
        refused(put(&store(&server.url()), &reading(), &[]).await.expect_err("it evicts"), which);
        let () = server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        refused(early.ping().await.expect_err("it evicts"), which);
        refused(put(&early, &reading(), &[write("a", 2)]).await.expect_err("it evicts"), which);
    }
    policy("noeviction");
    put(&early, &reading(), &[write("a", 2)]).await.expect("it does not evict");

    // one who may not ask by INFO is told by CONFIG
    policy("allkeys-lfu");
    let () = server.command(&["ACL", "SETUSER", "ann", "on", ">x", "~*", "+@all", "-info"]);
    let location = Location {
        password: Some("x".to_owned()),
        ..format!("redis://ann@127.0.0.1:{}", server.port()).as_str().into()
    };
    refused(store(&location).ping().await.expect_err("it evicts"), "allkeys-lfu");
}

#[tokio::test]
async fn servers_of_another_kind_are_told_apart() {
    let (sentinels, server) = (Sentinels::start(), RedisServer::start());
    let node = Cluster::lone_node();
    let sentinel = sentinels.url().replace("redis-sentinel", "redis").replace("127.0.0.1:1,", "").replace("/main", "");
    for (url, says) in [
        (sentinel, "redis-sentinel://"),
        (node.url(), "redis-cluster://"),
        (node.url().replace("redis:", "redis-cluster:"), "have no slots"),
        (server.url().replace("redis:", "redis-cluster:"), "no node of a Redis Cluster"),
        (sentinels.url().replace("/main", "/other"), "knows no master called 'other'"),
    ] {
        let error = store(&url).ping().await.expect_err(&url);
        assert!(error.to_string().contains(says), "{url}: {error}");
        assert_eq!(error.kind(), Kind::Unavailable, "{url}: {error}");
    }
}

/// An entity key whose bucket is that of a slot.
fn key_in(keys: &Keys, bucket: usize) -> String {
    (0..=u32::MAX).map(|number| number.to_string()).find(|key| keys.bucket(key.as_bytes()) == bucket).expect("a key")
}

#[tokio::test]
async fn a_slot_that_has_moved_or_is_moving_is_followed() {
    let cluster = Cluster::start();
    let (store, keys) = (store(&cluster.url()), Keys::of_cluster(&project()));
    store.ping().await.expect("it knows who has what");
    let count = |node: usize, slot: u16| -> u64 {
        cluster.nodes[node].command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()])
    };
    // the first bucket is the first server's
    let moved = keys.slot(0);
    cluster.move_slot(moved, 2);
    let row = write(&key_in(&keys, 0), 1);
    put(&store, &reading(), std::slice::from_ref(&row)).await.expect("a write");
    let wanted = [row.key.clone()];
    let answers = store.read(&[Group { reading: &reading(), keys: &wanted }]).await.expect("a read");
    assert_eq!(answers[0].rows, [Some(row.row)]);
    assert_eq!((count(0, moved), count(2, moved)), (0, 2), "marks and row");

    // half of what is in the second bucket is with another server already
    let (beside, moving) = (crate::Reading::new("t-2", hitherto_core::Span::ZERO), keys.slot(1));
    let row = write(&key_in(&keys, 1), 1);
    let run = store.begin(&beside).await.expect("a run");
    store.write(&beside, &run, std::slice::from_ref(&row)).await.expect("a write");
    assert_eq!(store.advance(&beside, &run, marks(1)).await.expect("an answer"), Advance::Done);
    let (id, text) =
        (|node: usize| -> String { cluster.nodes[node].command(&["CLUSTER", "MYID"]) }, moving.to_string());
    let () = cluster.nodes[1].command(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &id(0)]);
    let () = cluster.nodes[0].command(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &id(1)]);
    let migrate = |key: &str| {
        let port = cluster.nodes[1].port().to_string();
        cluster.nodes[0].command::<()>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    };
    migrate(&String::from_utf8(keys.marks(&beside, 1)).expect("text"));
    assert_eq!((count(0, moving), count(1, moving)), (2, 1), "the row and other marks; the marks");
    let wanted = [row.key.clone(), b"elsewhere".to_vec()];
    let answers = store.read(&[Group { reading: &beside, keys: &wanted }]).await.expect("a read");
    assert_eq!((answers[0].marks, &answers[0].rows), (Some(marks(1)), &vec![Some(row.row.clone()), None]));
    let run = store.begin(&beside).await.expect("a run");
    assert_eq!(run.marks(), Some(marks(1)), "who is asked has the marks");
    let error = store.write(&beside, &run, std::slice::from_ref(&row)).await.expect_err("rows and marks are apart");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");

    let left: Vec<String> = cluster.nodes[0].command(&["CLUSTER", "GETKEYSINSLOT", &text, "100"]);
    for key in &left {
        migrate(key);
    }
    cluster.move_slot(moving, 1);
    let run = store.begin(&beside).await.expect("a run");
    store.write(&beside, &run, &[write(&key_in(&keys, 1), 2)]).await.expect("they are together again");
    assert_eq!(store.advance(&beside, &run, marks(2)).await.expect("an answer"), Advance::Done);
    assert_eq!(store.marks(&[beside]).await.expect("marks"), [Some(marks(2))]);
}

#[tokio::test]
async fn a_server_of_a_cluster_that_lost_its_rows_has_lost_its_marks() {
    let mut cluster = Cluster::start();
    let store = store(&cluster.url());
    let rows: Vec<Write> = (0..300).map(|key| write(&key.to_string(), 1)).collect();
    let run = store.begin(&reading()).await.expect("a run");
    store.write(&reading(), &run, &rows).await.expect("rows");
    assert_eq!(store.advance(&reading(), &run, marks(1)).await.expect("marks"), Advance::Done);
    let begun_before = store.begin(&reading()).await.expect("a run");

    cluster.nodes[0].restart();
    cluster.wait();
    assert_eq!(store.marks(&[reading()]).await.expect("marks"), [None], "one server has none");
    let keys = Keys::of_cluster(&project());
    for row in &rows {
        let wanted = [row.key.clone()];
        let answers = store.read(&[Group { reading: &reading(), keys: &wanted }]).await.expect("a read");
        let is_lost = keys.slot(keys.bucket(&row.key)) < Cluster::first_slot(1);
        let expected = if is_lost { (None, None) } else { (Some(marks(1)), Some(row.row.clone())) };
        assert_eq!((answers[0].marks, answers[0].rows[0].clone()), expected, "marks are lost where rows are");
    }
    let moved = store.advance(&reading(), &begun_before, marks(2)).await.expect("an answer");
    assert_eq!(moved, Advance::Moved(None), "a run that began before must not claim the rows");
    let run = store.begin(&reading()).await.expect("a run");
    assert_eq!(run.marks(), None);
    store.write(&reading(), &run, &rows).await.expect("rows");
    assert_eq!(store.advance(&reading(), &run, marks(2)).await.expect("marks"), Advance::Done);
    assert_eq!(store.marks(&[reading()]).await.expect("marks"), [Some(marks(2))]);
}
