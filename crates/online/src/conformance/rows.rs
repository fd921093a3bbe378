//! Rows: which of them stays, and that it comes back whole.

use std::sync::Arc;

use super::{held, put, reading, row, version, write};
use crate::{Answer, Group, OnlineRow, OnlineStore, Reading, RowVersion, Write, Written};

pub(super) async fn unknown_keys_and_empty_groups(store: &dyn OnlineStore) {
    assert_eq!(store.read(&[]).await.expect("a read of nothing"), []);
    assert_eq!(store.marks(&[]).await.expect("marks of nothing"), []);
    let reading = reading("unknown");
    assert_eq!(put(store, &reading, &[]).await.expect("a write of nothing"), Written::default());
    let keys = [b"a".to_vec(), Vec::new(), b"a".to_vec()];
    let groups = [Group { reading: &reading, keys: &keys }, Group { reading: &reading, keys: &[] }];
    let answer = |rows: usize| Answer { marks: None, is_stale: false, rows: vec![None; rows] };
    let expected = [answer(3), answer(0)];
    assert_eq!(store.read(&groups).await.expect("a read"), expected);
}

pub(super) async fn the_greatest_wins_in_any_order_of_arrival(store: &dyn OnlineStore) {
    let reading = reading("order");
    // event before created before sequence
    let rows = [version(5, Some(1), 9), version(5, Some(7), 1), version(5, Some(7), 2), version(6, Some(0), 0)];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2], [0, 3, 2, 1]];
    for (number, order) in orders.iter().enumerate() {
        let key = format!("k{number}");
        let mut greatest = None;
        for &index in order {
            put(store, &reading, &[write(key.as_bytes(), rows[index])]).await.expect("a write");
            greatest = greatest.max(Some(rows[index]));
            assert_eq!(held(store, &reading, key.as_bytes()).await, greatest.map(row), "after {index} of {order:?}");
        }
    }
}

/// Times and sequences on both sides of what a byte, a word, a double and a signed integer can hold.
const EDGES: [i64; 22] = [
    i64::MIN,
    i64::MIN + 1,
    -(1 << 53) - 2,
    -(1 << 53) - 1,
    -(1 << 53),
    -(1 << 32) - 1,
    -(1 << 32),
    -257,
    -256,
    -1,
    0,
    1,
    127,
    128,
    255,
    256,
    1 << 32,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX - 1,
    i64::MAX,
];

pub(super) async fn neighbours_are_told_apart_at_every_size(store: &dyn OnlineStore) {
    let reading = reading("neighbours");
    let mut pairs: Vec<(RowVersion, RowVersion)> = Vec::new();
    for edges in EDGES.windows(2) {
        let (low, high) = (edges[0], edges[1]);
        // a lesser part never outweighs a greater one
        pairs.push((version(low, Some(high), high), version(high, Some(low), low)));
        pairs.push((version(low, None, high), version(high, None, low)));
        for event in [i64::MIN, -1_700_000_000_000_001, 0, i64::MAX] {
            pairs.push((version(event, Some(low), high), version(event, Some(high), low)));
            pairs.push((version(event, Some(high), low), version(event, Some(high), high)));
            pairs.push((version(event, None, low), version(event, None, high)));
        }
    }
    pairs.push((version(0, None, i64::MAX), version(0, Some(i64::MIN), i64::MIN)));
    let writes = |which: fn(&(RowVersion, RowVersion)) -> RowVersion, name: &str| -> Vec<Write> {
        let keyed = pairs.iter().enumerate();
        keyed.map(|(number, pair)| write(format!("{name}{number}"), which(pair))).collect()
    };
    let all = |more: [Vec<Write>; 2]| more.concat();
    let count = 2 * pairs.len() as u64;
    let first = all([writes(|pair| pair.0, "up"), writes(|pair| pair.1, "down")]);
    let second = all([writes(|pair| pair.1, "up"), writes(|pair| pair.0, "down")]);
    let written = put(store, &reading, &first).await.expect("a write");
    assert_eq!(written, Written { written: count, superseded: 0 });
    let written = put(store, &reading, &second).await.expect("a write");
    assert_eq!(written, Written { written: count / 2, superseded: count / 2 });
    let keys: Vec<Vec<u8>> = first.iter().map(|write| write.key.clone()).collect();
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    let greater: Vec<_> = pairs.iter().map(|pair| Some(row(pair.1))).collect();
    for (number, (found, expected)) in answers[0].rows.iter().zip(greater.iter().chain(&greater)).enumerate() {
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&keys[number]));
    }
}

pub(super) async fn repeating_does_nothing(store: &dyn OnlineStore) {
    let reading = reading("repeat");
    let writes = [write(b"a", version(1, Some(1), 1)), write(b"b", version(2, None, 2))];
    let first = put(store, &reading, &writes).await.expect("a write");
    assert_eq!(first, Written { written: 2, superseded: 0 });
    for _ in 0..3 {
        let again = put(store, &reading, &writes).await.expect("a write");
        assert_eq!(again, Written { written: 0, superseded: 2 });
    }
    assert_eq!(held(store, &reading, b"a").await.as_ref(), Some(&writes[0].row));
    assert_eq!(held(store, &reading, b"b").await.as_ref(), Some(&writes[1].row));
}

pub(super) async fn duplicates_within_a_write(store: &dyn OnlineStore) {
    let reading = reading("duplicates");
    // far enough apart that a store which cuts its writes sees them in different pieces
    let mut writes: Vec<Write> = (0..9_000_i64).map(|n| write(b"k", version(n * 7919 % 9_000, None, n))).collect();
    writes.push(write(b"other", version(0, None, 0)));
    let written = put(store, &reading, &writes).await.expect("a write");
    assert_eq!(written.written + written.superseded, 9_001);
    let greatest = writes[..9_000].iter().map(|write| write.row.version).max();
    assert_eq!(held(store, &reading, b"k").await, greatest.map(row));
    let keys = vec![b"k".to_vec(); 3];
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    assert_eq!(answers[0].rows, vec![greatest.map(row); 3]);
}

pub(super) async fn tombstones_are_held(store: &dyn OnlineStore) {
    let reading = reading("tombstones");
    let tombstone = OnlineRow { version: version(5, None, 5), deleted: true, values: bytes::Bytes::new() };
    put(store, &reading, &[write(b"k", version(4, None, 4))]).await.expect("a write");
    put(store, &reading, &[Write { key: b"k".to_vec(), row: tombstone.clone() }]).await.expect("a write");
    let late = put(store, &reading, &[write(b"k", version(3, None, 9))]).await.expect("a write");
    assert_eq!(late, Written { written: 0, superseded: 1 });
    assert_eq!(held(store, &reading, b"k").await, Some(tombstone));
    let revival = version(6, None, 6);
    put(store, &reading, &[write(b"k", revival)]).await.expect("a write");
    assert_eq!(held(store, &reading, b"k").await, Some(row(revival)));
}

pub(super) async fn keys_of_any_bytes(store: &dyn OnlineStore) {
    let reading = reading("keys");
    let mut keys: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0, 0],
        b":".to_vec(),
        b"a:b".to_vec(),
        b"{a}".to_vec(),
        b"* ?\r\n".to_vec(),
        (0..=255).collect(),
        vec![0xff; 3],
        "\u{e9}\u{1f6eb}".into(),
    ];
    // around every limit that a store may have on its keys, and equal but for the last byte
    for length in [300, 399, 400, 401, 450, 509, 510, 511, 512, 5_000] {
        keys.push([vec![b'x'; length], vec![1]].concat());
        keys.push([vec![b'x'; length], vec![2]].concat());
    }
    let writes: Vec<Write> = (0..).zip(&keys).map(|(n, key)| write(key.clone(), version(n, None, n))).collect();
    put(store, &reading, &writes).await.expect("a write");
    let again = put(store, &reading, &writes).await.expect("a write");
    assert_eq!(again, Written { written: 0, superseded: keys.len() as u64 });
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    let expected: Vec<_> = writes.into_iter().map(|write| Some(write.row)).collect();
    assert_eq!(answers[0].rows, expected);
}

pub(super) async fn values_of_any_size(store: &dyn OnlineStore) {
    let reading = reading("values");
    for length in [0, 1, 4_096, 100_000, 3_000_000] {
        let values: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        let stored = OnlineRow { version: version(1, None, 1), deleted: false, values: values.into() };
        let key = length.to_string();
        put(store, &reading, &[Write { key: key.clone().into(), row: stored.clone() }]).await.expect("a write");
        assert_eq!(held(store, &reading, key.as_bytes()).await, Some(stored), "{length} bytes");
    }
}

pub(super) async fn readings_and_projects_are_apart(store: &dyn OnlineStore, other: &dyn OnlineStore) {
    let delay = "10m".parse().expect("a duration");
    let readings = [
        Reading::new("conformance-apart", delay),
        reading("apart"),
        reading("apart:0"),
        reading("apar"),
        reading("Apart"),
    ];
    let row_of = |number: usize| version(number as i64, None, 0);
    for (number, reading) in readings.iter().enumerate() {
        put(store, reading, &[write(b"k", row_of(number))]).await.expect("a write");
    }
    put(other, &readings[0], &[write(b"k", row_of(99))]).await.expect("a write");
    for (number, reading) in readings.iter().enumerate() {
        assert_eq!(held(store, reading, b"k").await, Some(row(row_of(number))), "{reading}");
        let elsewhere = (number == 0).then(|| row(row_of(99)));
        assert_eq!(held(other, reading, b"k").await, elsewhere, "{reading} of the other project");
    }
    // several of them at once, in the order asked for
    let keys = [b"k".to_vec(), b"0:k".to_vec()];
    let groups: Vec<Group<'_>> = readings.iter().rev().map(|reading| Group { reading, keys: &keys }).collect();
    let answers = store.read(&groups).await.expect("a read");
    let expected: Vec<_> = (0..readings.len()).rev().map(|number| vec![Some(row(row_of(number))), None]).collect();
    assert_eq!(answers.into_iter().map(|answer| answer.rows).collect::<Vec<_>>(), expected);
}

pub(super) async fn many_rows_at_once(store: &dyn OnlineStore) {
    let reading = reading("many");
    let writes: Vec<Write> = (0..10_000).map(|n: i64| write(n.to_be_bytes(), version(n, Some(-n), n))).collect();
    let written = put(store, &reading, &writes).await.expect("a write");
    assert_eq!(written, Written { written: 10_000, superseded: 0 });
    let again = put(store, &reading, &writes).await.expect("a write");
    assert_eq!(again, Written { written: 0, superseded: 10_000 });
    // more keys than one of the store's own portions, every third of them unknown
    let keys: Vec<Vec<u8>> = (0..15_000).map(|n: i64| n.to_be_bytes().to_vec()).collect();
    let groups = [Group { reading: &reading, keys: &keys[..7] }, Group { reading: &reading, keys: &keys }];
    let answers = store.read(&groups).await.expect("a read");
    assert_eq!((answers[0].rows.len(), answers[1].rows.len()), (7, 15_000));
    assert_eq!(answers[0].rows, answers[1].rows[..7]);
    for (index, found) in answers[1].rows.iter().enumerate() {
        assert_eq!(found.as_ref(), writes.get(index).map(|write| &write.row), "key {index}");
    }
}

pub(super) async fn concurrent_writers(store: Arc<dyn OnlineStore>) {
    const WRITERS: i64 = 8;
    const ROUNDS: i64 = 12;
    let reading = reading("concurrent");
    let writer = |first: i64| {
        let (store, reading) = (Arc::clone(&store), reading.clone());
        async move {
            let mut written = 0;
            for round in 0..ROUNDS {
                // each in another order, and none of them in the order of the rows
                let event = (round * 5 + first * 7) % ROUNDS * WRITERS + first;
                let writes: Vec<Write> =
                    (0..40_u8).map(|key| write([key], version(event / 3, Some(event), first))).collect();
                written += put(store.as_ref(), &reading, &writes).await.expect("a write").written;
            }
            written
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|first| tokio::spawn(writer(first))).collect();
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("a writer that did not panic");
    }
    assert!((40..=40 * (WRITERS * ROUNDS) as u64).contains(&written), "{written} rows written");
    let greatest = WRITERS * ROUNDS - 1;
    let expected = row(version(greatest / 3, Some(greatest), WRITERS - 1));
    for key in 0..40_u8 {
        assert_eq!(held(store.as_ref(), &reading, &[key]).await, Some(expected.clone()), "key {key}");
    }
}
