use std::process::Command;
use std::sync::Arc;

use hitherto_core::{Kind, Name, Span, Timestamp};

use super::EmbeddedStore;
use crate::conformance::put;
use crate::{
    Advance, Group, Marks, OnlineRow, OnlineStore, Reading, RowVersion, Write, Written, conformance, open,
    open_existing,
};

fn project() -> Name {
    "default".parse().expect("a name")
}

fn write(key: u64, event: i64, length: usize) -> Write {
    let version = RowVersion { event: Timestamp(event), created: None, sequence: event };
    Write {
        key: key.to_be_bytes().to_vec(),
        row: OnlineRow { version, deleted: false, values: vec![event as u8; length].into() },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), &project()).expect("a store");
    let other = EmbeddedStore::open(folder.path(), &"other".parse().expect("a name")).expect("a store");
    conformance::run(Arc::new(store), Arc::new(other)).await;
}

#[tokio::test]
async fn reading_commands_make_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a b").join("online");
    let url = format!("embedded://{}", path.display()).replace(' ', "%20");
    assert!(open_existing(&url, &project()).expect("nothing wrong").is_none());
    assert!(!path.exists());
    let store = open(&url, &project()).expect("a store");
    assert_eq!(store.describe(), format!("embedded store at {}", path.display()));
    let again = open_existing(&url, &project()).expect("nothing wrong").expect("a store");
    again.ping().await.expect("it answers");
}

#[tokio::test]
async fn rows_and_marks_survive_closing_and_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    let reading = Reading::new("t-1", Span::ZERO);
    let marks = Marks { sequence: 9, clock: Timestamp(-3) };
    for round in 0..3 {
        // what was open is closed at the end of each round, as no other store holds it
        let store = EmbeddedStore::open(folder.path(), &project()).expect("a store");
        let written = put(&store, &reading, &[write(7, 1, 3)]).await.expect("a write");
        assert_eq!(written.written, u64::from(round == 0));
        let run = store.begin(&reading).await.expect("a run");
        assert_eq!(run.marks(), (round > 0).then_some(marks));
        assert_eq!(store.advance(&reading, &run, marks).await.expect("marks"), Advance::Done);
    }
}

#[tokio::test]
async fn a_full_map_is_exhausted_names_the_path_and_keeps_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open_small(folder.path(), 256 << 10, &project()).expect("a store");
    let reading = Reading::new("t-1", Span::ZERO);
    put(&store, &reading, &[write(1, 1, 100)]).await.expect("room for a row");
    let many: Vec<Write> = (0..1000).map(|key| write(key, 2, 1000)).collect();
    let error = put(&store, &reading, &many).await.expect_err("no room for a megabyte");
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
    let keys = [write(1, 1, 100).key];
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    assert_eq!(answers[0].rows, [Some(write(1, 1, 100).row)]);
}

#[tokio::test]
async fn a_store_of_a_later_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let store = super::environment::Environment::open(folder.path()).expect("a store");
        let mut txn = store.env.write_txn().expect("a transaction");
        store.records.put(&mut txn, b"\0format", &[2]).expect("a put");
        txn.commit().expect("a commit");
    }
    let error = EmbeddedStore::open(folder.path(), &project()).expect_err("format 2");
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("data.mdb"), vec![7; 9000]).expect("a file");
    let error = EmbeddedStore::open(folder.path(), &project()).expect_err("not LMDB's");
    assert!(error.to_string().contains("materialize again"), "{error}");
}

const CHILD: &str = "HITHERTO_TEST_EMBEDDED_CHILD";

/// Not a test of its own: what the processes of the next test do.
#[tokio::test]
async fn child_process() {
    let Some(task) = std::env::var_os(CHILD) else { return };
    let (path, first) = task.to_str().and_then(|task| task.rsplit_once('|')).expect("a task");
    let first: i64 = first.parse().expect("a number");
    let store = EmbeddedStore::open(path, &project()).expect("a store");
    let reading = Reading::new("t-1", Span::ZERO);
    for event in (0..40).map(|n| n * 4 + first) {
        let writes: Vec<Write> = (0..50).map(|key| write(key, event, 10)).collect();
        put(&store, &reading, &writes).await.expect("a write");
    }
}

#[tokio::test]
async fn several_processes_write_and_this_one_reads_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), &project()).expect("a store");
    let reading = Reading::new("t-1", Span::ZERO);
    let program = std::env::current_exe().expect("this program");
    let spawn = |first: i64| {
        Command::new(&program)
            .args(["--exact", "embedded::tests::child_process"])
            .env(CHILD, format!("{}|{first}", folder.path().display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a process")
    };
    let mut children: Vec<_> = (0..4).map(spawn).collect();
    let keys: Vec<Vec<u8>> = (0..50).map(|key| write(key, 0, 0).key).collect();
    let mut last = vec![None; 50];
    while children.iter_mut().any(|child| child.try_wait().expect("a status").is_none()) {
        let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
        let now: Vec<_> = answers[0].rows.iter().map(|row| row.as_ref().map(|row| row.version)).collect();
        assert!(last.iter().zip(&now).all(|(before, after)| before <= after), "a row never goes back");
        last = now;
    }
    for mut child in children {
        assert!(child.wait().expect("a status").success());
    }
    let answers = store.read(&[Group { reading: &reading, keys: &keys }]).await.expect("a read");
    let expected: Vec<_> = (0..50).map(|key| Some(write(key, 39 * 4 + 3, 10).row)).collect();
    assert_eq!(answers[0].rows, expected);
    let again = put(&store, &reading, &[write(3, 39 * 4 + 2, 10)]).await.expect("a write");
    assert_eq!(again, Written { written: 0, superseded: 1 });
}
