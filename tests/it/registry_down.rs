//! The registry cannot be read: a server goes on by what it read last, pushes and the follower too, and says so.

use hitherto_client::{Client, Column, Consumer, Destination, GetFeatures, Push};
use hitherto_core::{KeyType, KeyValue, Timestamp, Value, ValueType};
use serde_json::Value as Json;

use crate::support::process::{Served, until};
use crate::support::readings::READINGS;
use crate::support::{Hitherto, python_says};

/// Renames a table without which nothing of the registry can be read.
fn rename(place: &Hitherto, from: &str, to: &str) {
    let file = place.path(".hitherto/registry.db");
    let script = format!(
        "import sqlite3\n\
         connection = sqlite3.connect('{}', timeout=20, isolation_level=None)\n\
         connection.execute('ALTER TABLE {from} RENAME TO {to}')\n\
         connection.close()\n",
        file.display()
    );
    place.write("rename.py", script);
    python_says(&place.path("rename.py"));
}

/// A push of the value `v` of key 3, in second `v`.
fn row(v: i64, destination: Destination) -> Push {
    let columns = vec![
        Column::new("k", ValueType::Int64, vec![Value::Int64(3)]),
        Column::new("event_timestamp", ValueType::Timestamp, vec![Value::Timestamp(Timestamp(v * 1_000_000))]),
        Column::new("v", ValueType::Int64, vec![Value::Int64(v)]),
    ];
    Push { view: "readings".parse().expect("a name"), columns, batch_id: None, destination }
}

/// The value of key 3. Asked by the API: the command asks the server for the set's columns first, which the registry has.
async fn value(client: &Client) -> Value {
    let keys = Column::of_keys("k", KeyType::Int64, vec![Some(KeyValue::Int(3))]).expect("keys");
    let set = Consumer::FeatureSet("latest".parse().expect("a set"));
    let mut answer = client.get_features(GetFeatures::new(set, vec![keys])).await.expect("an answer");
    answer.columns.remove(0).values.remove(0)
}

/// Status of `/readyz`, and what keeps the registry from being read.
fn problem(served: &Served) -> (u16, Json) {
    let (status, body) = served.page("/readyz");
    let said: Json = serde_json::from_str(&body).expect("JSON");
    (status, said["registry"]["problem"].clone())
}

#[test]
fn reads_pushes_and_the_follower_go_on_without_it_and_readyz_says_so() {
    let place = Hitherto::new();
    place.write("hitherto.toml", "[online]\nfollow = \"50ms\"\n").write("definitions.yaml", READINGS);
    place.ok("apply -f definitions.yaml");
    place.ok("materialize");
    let served = place.serve("");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(Client::connect(&served.grpc)).expect("it answers");
    let push = |v, destination| runtime.block_on(client.push(row(v, destination)));
    assert_eq!(push(1, Destination::Both).expect("it is pushed").rows, 1);
    let value = || runtime.block_on(value(&client));
    assert_eq!(value(), Value::Int64(1));
    assert_eq!(problem(&served), (200, Json::Null));

    rename(&place, "revisions", "nowhere");
    let (status, said) = until("it has noticed", || Some(problem(&served)).filter(|(_, said)| !said.is_null()));
    assert_eq!(status, 200, "it serves by what it knows");
    assert!(said.as_str().is_some_and(|said| said.contains("could not read the revision of the registry")), "{said}");
    assert_eq!(push(2, Destination::Both).expect("it is pushed by the last definitions").online_rows, 1);
    assert_eq!(value(), Value::Int64(2));
    push(3, Destination::Offline).expect("it is pushed");
    until("the follower has brought it", || (value() == Value::Int64(3)).then_some(()));

    rename(&place, "nowhere", "revisions");
    until("it is read again", || (problem(&served) == (200, Json::Null)).then_some(()));
    place.write("definitions.yaml", READINGS.replace("name: latest", "name: other"));
    place.ok("apply -f definitions.yaml");
    let other = format!("get --feature-set other --entity k=3 --server {}", served.grpc);
    until("what is new is known", || (place.run(&other).code == 0).then_some(()));
}
