//! What SQLite alone can show: files, corrupt rows, several processes.

mod audit;

use std::process::{Command, Stdio};
use std::sync::Arc;

use hitherto_core::{Entity, EntityVersion, Kind, Notes, Role, ScramVerifier};
use tempfile::TempDir;

use super::*;
use crate::conformance;

const SHARED_FILE: &str = "HITHERTO_TEST_REGISTRY";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn project() -> Name {
    "p".parse().expect("a name")
}

fn entity(version: u32) -> Record {
    let name = "airport".parse().expect("a name");
    Record::Entity(EntityVersion {
        version,
        definition: Entity { name, join_keys: std::collections::BTreeMap::new(), notes: Notes::default() },
    })
}

async fn execute(registry: &SqliteRegistry, statement: &'static str) {
    sqlx::query(statement).execute(&registry.pool).await.expect("the statement runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    conformance::run(|project| {
        let path = path.clone();
        async move { Arc::new(SqliteRegistry::open(&path, &project).await.expect("opens")) as Arc<dyn Registry> }
    })
    .await;
}

#[tokio::test]
async fn commits_are_synced_and_readers_do_not_block() {
    let folder = folder();
    let registry = SqliteRegistry::open(&folder.path().join("registry.db"), &project()).await.expect("opens");
    let read = |pragma: &'static str| sqlx::query_as::<_, (i64,)>(pragma).fetch_one(&registry.pool);
    assert_eq!(read("PRAGMA synchronous").await.expect("reads"), (2,), "FULL");
    assert_eq!(read("PRAGMA foreign_keys").await.expect("reads"), (1,));
    let mode: (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(&registry.pool).await.expect("reads");
    assert_eq!(mode.0, "wal");
}

#[tokio::test]
async fn a_change_in_progress_is_not_seen() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    let writer = SqliteRegistry::open(&path, &project()).await.expect("opens");
    writer.apply(0, &[entity(1)], Timestamp(0)).await.expect("applies");
    let before = writer.catalog().await.expect("reads");

    let mut tx = writer.begin_write().await.expect("takes the write lock");
    sqlx::query(crate::sql::RAISE_REVISION).bind("p").execute(&mut *tx).await.expect("writes");
    sqlx::query("DELETE FROM definitions").execute(&mut *tx).await.expect("writes");
    // opened while another holds the write lock
    let reader = SqliteRegistry::open_existing(&path, &project()).await.expect("opens").expect("it is there");
    assert_eq!(reader.catalog().await.expect("reads"), before);
    drop(tx);
    assert_eq!(reader.catalog().await.expect("reads"), before, "an unfinished change is rolled back");
    assert_eq!(reader.apply(1, &[entity(2)], Timestamp(0)).await.expect("the lock is free"), 2);
}

#[tokio::test]
async fn a_read_is_of_one_revision() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    let [writer, reader] = [
        SqliteRegistry::open(&path, &project()).await.expect("opens"),
        SqliteRegistry::open(&path, &project()).await.expect("opens"),
    ];
    writer.apply(0, &[entity(1)], Timestamp(0)).await.expect("applies");
    let mut tx = reader.begin_read().await.expect("begins");
    let revision: (i64,) = sqlx::query_as(crate::sql::REVISION).bind("p").fetch_one(&mut *tx).await.expect("reads");
    assert_eq!(writer.apply(1, &[entity(2)], Timestamp(0)).await.expect("a reader holds up no writer"), 2);
    let rows: Vec<crate::record::DefinitionRow> =
        sqlx::query_as(crate::sql::DEFINITIONS).bind("p").fetch_all(&mut *tx).await.expect("reads");
    assert_eq!((revision.0, rows.len()), (1, 1), "both of the revision at which the read began");
}

#[tokio::test]
async fn a_corrupt_row_is_named() {
    let folder = folder();
    let registry = SqliteRegistry::open(&folder.path().join("registry.db"), &project()).await.expect("opens");
    registry.apply(0, &[entity(1)], Timestamp(0)).await.expect("applies");
    let corruptions = [
        ("UPDATE definitions SET body = '{\"version\": 1}'", "missing field `definition` at line 1 column 14"),
        ("UPDATE definitions SET body = '{\"version\": 1'", "EOF while parsing an object at line 1 column 13"),
        (
            "UPDATE definitions SET body = '{\"version\":7,\"definition\":{\"name\":\"a\",\"join_keys\":{},\"notes\":{\"description\":null,\"tags\":{}}}}'",
            "its body is of entity a@7",
        ),
    ];
    for (statement, reason) in corruptions {
        execute(&registry, statement).await;
        let corrupt = registry.catalog().await.expect_err("the body is wrong");
        assert_eq!(corrupt.kind(), Kind::Internal);
        assert_eq!(
            corrupt.to_string(),
            format!("could not read table 'definitions' of the registry: row entity airport@1 is corrupt: {reason}")
        );
    }
}

#[tokio::test]
async fn a_corrupt_token_does_not_hold_up_the_others() {
    let folder = folder();
    let registry = SqliteRegistry::open(&folder.path().join("registry.db"), &project()).await.expect("opens");
    let token = |byte: u8| NewApiToken {
        id: TokenId::from_bytes([byte; 6]),
        name: "etl".parse().expect("a name"),
        role: Role::Reader,
        secret_hash: "ab".repeat(32),
        scram: ScramVerifier::of_nobody("etl"),
        expires_at: None,
    };
    for byte in [2, 3] {
        registry.create_token(token(byte), Timestamp(1)).await.expect("creates");
    }
    registry.revoke_token(&TokenId::from_bytes([2; 6]), Timestamp(2)).await.expect("revokes");
    for corrupt in [
        "INSERT INTO tokens (project, id, name, role, secret_hash, created_at, created_by, revision)
            VALUES ('p', '010101010101', 'No name', 'reader', 'ab', 1, 'ada', 1)",
        "INSERT INTO tokens (project, id, name, role, secret_hash, created_at, created_by, revision)
            VALUES ('p', '040404040404', 'etl', X'ff', 'ab', 1, 'ada', 1)",
        "INSERT INTO tokens (project, id, name, role, secret_hash, created_at, created_by, revision, scram)
            VALUES ('p', '050505050505', 'etl', 'reader', 'ab', 1, 'ada', 1, '4096:no')",
    ] {
        execute(&registry, corrupt).await;
    }
    let known = registry.tokens().await.expect("they are read");
    let known: Vec<_> = known.iter().map(|token| (token.id.as_str(), token.revoked.is_some())).collect();
    assert_eq!(known, [("020202020202", true), ("030303030303", false)]);
}

#[tokio::test]
async fn files_that_are_no_registry_are_refused() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    assert!(SqliteRegistry::open_existing(&path, &project()).await.expect("looks").is_none());
    assert!(!path.exists(), "looking creates nothing");

    std::fs::write(&path, "this is a text and no database at all, however long one reads it").expect("writes");
    let refused = SqliteRegistry::open(&path, &project()).await.expect_err("no database");
    assert_eq!(
        refused.to_string(),
        format!(
            "could not open the registry at sqlite://{}: error returned from database: (code: 26) file is not a database",
            path.display()
        )
    );

    let under_a_file = path.join("registry.db");
    let refused = SqliteRegistry::open(&under_a_file, &project()).await.expect_err("a file is no folder");
    assert_eq!(refused.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_later_versions_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    let registry = SqliteRegistry::open(&path, &project()).await.expect("opens");
    execute(
        &registry,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, x'00', 0)",
    )
    .await;
    let refused = SqliteRegistry::open(&path, &project()).await.expect_err("its tables are unknown");
    assert_eq!(refused.kind(), Kind::Unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_create_it_at_once() {
    let folder = folder();
    let path = folder.path().join("new").join("registry.db");
    let openers: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteRegistry::open(&path, &project()).await?.revision().await })
        })
        .collect();
    for opener in openers {
        assert_eq!(opener.await.expect("no panic").expect("opens"), 0);
    }
}

/// Applies twenty versions, planning again after each conflict. Run by itself it has a file of its own; below, several
/// processes run it on one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_applies_succeed() {
    let own = folder();
    let path = std::env::var_os(SHARED_FILE).map_or_else(|| own.path().join("registry.db"), PathBuf::from);
    let registry = SqliteRegistry::open(&path, &project()).await.expect("opens");
    let mut done = 0;
    while done < 20 {
        let catalog = registry.catalog().await.expect("reads");
        let versions = catalog.entities.get("airport").map_or(0, Vec::len);
        assert_eq!(versions as i64, catalog.revision, "one revision, wholly");
        match registry.apply(catalog.revision, &[entity(versions as u32 + 1)], Timestamp(0)).await {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
        }
    }
    assert!(registry.revision().await.expect("reads") >= 20);
}

#[tokio::test]
async fn processes_that_create_it_and_apply_at_once_lose_nothing() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    let test = std::env::current_exe().expect("this test");
    let processes: Vec<_> = (0..4)
        .map(|_| {
            Command::new(&test)
                .args(["--exact", "sqlite::tests::twenty_applies_succeed"])
                .env(SHARED_FILE, &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts")
        })
        .collect();
    for process in processes {
        let output = process.wait_with_output().expect("it ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let registry = SqliteRegistry::open(&path, &project()).await.expect("opens");
    assert_eq!(registry.revision().await.expect("reads"), 80);
}
