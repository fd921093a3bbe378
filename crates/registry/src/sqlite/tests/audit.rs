//! The audit log of a file whose owner writes to it past the registry; and files of the version before it.

use hitherto_core::{AuditEntry, AuditHead, NewModelVersion, Provenance, VersionedName, verify_against, verify_chain};

use super::*;

/// A registry with four entries, and its file's folder.
async fn audited() -> (TempDir, SqliteRegistry) {
    let folder = folder();
    let registry = SqliteRegistry::open(&folder.path().join("registry.db"), &project()).await.expect("opens");
    let registry = registry.with_actor("ada");
    for version in 1..=4 {
        registry.apply(i64::from(version) - 1, &[entity(version)], Timestamp(5)).await.expect("applies");
    }
    (folder, registry)
}

async fn log(registry: &SqliteRegistry) -> Vec<AuditEntry> {
    registry.audit_log(0, usize::MAX).await.expect("reads")
}

async fn head(registry: &SqliteRegistry) -> AuditHead {
    registry.audit_head().await.expect("reads").expect("there are entries")
}

async fn refused(registry: &SqliteRegistry, statement: &'static str) -> String {
    let error = sqlx::query(statement).execute(&registry.pool).await.expect_err("a trigger refuses it");
    error.as_database_error().expect("SQLite's own").message().to_owned()
}

async fn drop_triggers(registry: &SqliteRegistry) {
    for statement in ["DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_cut"] {
        execute(registry, statement).await;
    }
}

#[tokio::test]
async fn the_log_says_who_and_is_append_only() {
    let (_folder, registry) = audited().await;
    let entries = log(&registry).await;
    assert!(entries.iter().all(|entry| entry.who == "ada"), "{entries:?}");
    assert_eq!(verify_chain(&entries), Ok(Some(head(&registry).await)));
    for statement in ["UPDATE audit SET who = 'eve' WHERE number = 2", "DELETE FROM audit WHERE number = 4"] {
        assert_eq!(refused(&registry, statement).await, "the audit log is append-only", "{statement}");
    }
    assert_eq!(log(&registry).await, entries);
}

#[tokio::test]
async fn tampering_past_the_triggers_is_named() {
    let cases = [
        ("UPDATE audit SET who = 'eve' WHERE number = 2", "audit entry 2 (apply entity airport@2) was changed: "),
        ("UPDATE audit SET after = NULL WHERE number = 3", "audit entry 3 (apply entity airport@3) was changed: "),
        ("UPDATE audit SET hash = previous WHERE number = 3", "audit entry 3 (apply entity airport@3) was changed: "),
        ("DELETE FROM audit WHERE number = 2", "audit entry 2 is missing: entry 3 stands in its place"),
        ("DELETE FROM audit WHERE number = 1", "audit entry 1 is missing: entry 2 stands in its place"),
        ("UPDATE audit SET number = 9 WHERE number = 2", "audit entry 2 is missing: entry 3 stands in its place"),
    ];
    for (statement, message) in cases {
        let (_folder, registry) = audited().await;
        drop_triggers(&registry).await;
        execute(&registry, statement).await;
        let fault = verify_chain(&log(&registry).await).expect_err("it is not as it was written").to_string();
        assert!(fault.starts_with(message), "{statement}: {fault}");
    }
}

#[tokio::test]
async fn a_cut_tail_is_whole_but_for_whoever_knew_it() {
    let (_folder, registry) = audited().await;
    let anchor = head(&registry).await;
    drop_triggers(&registry).await;
    execute(&registry, "DELETE FROM audit WHERE number > 2").await;
    let cut = log(&registry).await;
    assert_eq!(verify_chain(&cut), Ok(Some(cut[1].head())));
    assert_eq!(
        verify_against(&cut, &anchor, "dataset d1").expect_err("it was cut").to_string(),
        "the audit log was cut: dataset d1 knows entry 4, and the log ends at entry 2"
    );
    // a log that goes on from where it was cut is another log
    registry.apply(4, &[entity(5)], Timestamp(6)).await.expect("applies");
    registry.apply(5, &[entity(6)], Timestamp(6)).await.expect("applies");
    let rewritten = log(&registry).await;
    assert_eq!(verify_chain(&rewritten), Ok(Some(head(&registry).await)));
    let fault = verify_against(&rewritten, &anchor, "dataset d1").expect_err("it was rewritten").to_string();
    assert!(fault.starts_with("the audit log was rewritten: dataset d1 knows entry 4 with the hash "), "{fault}");
}

#[tokio::test]
async fn what_a_model_version_needs_is_not_deleted() {
    let folder = folder();
    let registry = SqliteRegistry::open(&folder.path().join("registry.db"), &project()).await.expect("opens");
    let ([view, set, table], dataset) = conformance::what_a_model_needs();
    registry.apply(0, &[table, view, set], Timestamp(0)).await.expect("applies");
    registry.record_dataset(&dataset).await.expect("records");
    execute(&registry, "INSERT INTO tables VALUES ('p', 'spare-1', '{}', 0)").await;
    let model = NewModelVersion {
        name: "delay".parse().expect("a name"),
        feature_set: VersionedName { name: "late".parse().expect("a name"), version: 1 },
        feature_set_hash: "aa".to_owned(),
        dataset: Some("d1".to_owned()),
        provenance: Provenance::default(),
        tags: std::collections::BTreeMap::new(),
    };
    for _ in 0..2 {
        registry.register_model(model.clone(), Timestamp(0)).await.expect("registers");
    }
    let cases = [
        (
            "DELETE FROM definitions WHERE kind = 'feature_set'",
            "model versions need this definition: the view model_needs names them",
        ),
        (
            "DELETE FROM definitions WHERE kind = 'feature_view'",
            "model versions need this definition: the view model_needs names them",
        ),
        ("DELETE FROM tables", "model versions need this table: the view model_needs names them"),
        ("DELETE FROM datasets", "model versions need this dataset: the view model_needs names them"),
        ("DELETE FROM model_versions", "model versions are immutable"),
        ("UPDATE model_versions SET body = '{}'", "model versions are immutable"),
    ];
    for (statement, message) in cases {
        assert_eq!(refused(&registry, statement).await, message, "{statement}");
    }
    execute(&registry, "DELETE FROM tables WHERE id = 'spare-1'").await;
    let needs: Vec<(String, String, String)> =
        sqlx::query_as("SELECT DISTINCT kind, name, model FROM model_needs WHERE project = 'p' ORDER BY kind, model")
            .fetch_all(&registry.pool)
            .await
            .expect("reads");
    let needs: Vec<String> = needs.into_iter().map(|(kind, name, model)| format!("{kind} {name} {model}")).collect();
    let expected = [
        "dataset d1 delay@1",
        "dataset d1 delay@2",
        "feature_set late delay@1",
        "feature_set late delay@2",
        "feature_view weather delay@1",
        "feature_view weather delay@2",
        "table weather-1 delay@1",
        "table weather-1 delay@2",
    ];
    assert_eq!(needs, expected);
}

#[tokio::test]
async fn a_token_is_revoked_and_changed_in_no_other_way() {
    let (_folder, registry) = audited().await;
    let new = hitherto_core::NewApiToken {
        id: TokenId::from_bytes([7; 6]),
        name: "etl".parse().expect("a name"),
        role: hitherto_core::Role::Reader,
        secret_hash: "aa".to_owned(),
        scram: hitherto_core::ScramVerifier::of_nobody("etl"),
        expires_at: Some(Timestamp(9)),
    };
    let created = registry.create_token(new, Timestamp(5)).await.expect("creates");
    for statement in [
        "UPDATE tokens SET role = 'admin'",
        "UPDATE tokens SET secret_hash = 'bb'",
        "UPDATE tokens SET scram = NULL",
        "UPDATE tokens SET revoked_at = 6, revoked_by = 'eve', scram = NULL",
        "UPDATE tokens SET expires_at = NULL",
        "UPDATE tokens SET revoked_at = 6, revoked_by = 'eve', role = 'admin'",
        "UPDATE tokens SET revoked_at = 6, revoked_by = 'eve', expires_at = 10",
    ] {
        let said = refused(&registry, statement).await;
        assert_eq!(said, "a token is revoked once, and changed in no other way", "{statement}");
    }
    assert_eq!(refused(&registry, "DELETE FROM tokens").await, "tokens are revoked, and not deleted");
    let revoked = registry.revoke_token(&created.id, Timestamp(6)).await.expect("revokes");
    let again = refused(&registry, "UPDATE tokens SET revoked_at = NULL, revoked_by = NULL").await;
    assert_eq!(again, "a token is revoked once, and changed in no other way");
    assert_eq!(registry.tokens().await.expect("reads"), [revoked]);
}

#[tokio::test]
async fn a_registry_of_the_version_before_reads_on() {
    let folder = folder();
    let path = folder.path().join("registry.db");
    let pool = SqlitePool::connect_with(options(&path).create_if_missing(true)).await.expect("a file");
    sqlx::raw_sql(include_str!("../../../migrations/sqlite/0001_registry.sql")).execute(&pool).await.expect("runs");
    // as sqlx notes a migration that was made
    let migrations = sqlx::migrate!("migrations/sqlite");
    let first = migrations.iter().next().expect("the first migration");
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
        execution_time BIGINT NOT NULL)",
    )
    .execute(&pool)
    .await
    .expect("runs");
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (1, 'registry', CURRENT_TIMESTAMP, TRUE, $1, 0)")
        .bind(first.checksum.to_vec())
        .execute(&pool)
        .await
        .expect("runs");
    for statement in BEFORE {
        sqlx::query(statement).execute(&pool).await.expect("runs");
    }
    pool.close().await;

    let registry = SqliteRegistry::open(&path, &project()).await.expect("opens");
    let delay: Name = "delay".parse().expect("a name");
    let champion: Name = "champion".parse().expect("a name");
    let model = registry.model(&"delay@champion".parse().expect("a selector")).await.expect("reads");
    assert_eq!((model.version, &model.provenance), (1, &Provenance::default()));
    assert_eq!(registry.aliases(&delay).await.expect("reads"), [Alias::new(delay.clone(), champion, 1, Timestamp(6))]);
    let moves = registry.alias_moves(&delay).await.expect("reads");
    assert_eq!((moves.len(), &moves[0].evidence, &moves[0].override_reason), (1, &None, &None));
    let dataset = registry.dataset("d1").await.expect("reads");
    assert_eq!((dataset.rows, dataset.build.audit_head), (3, None));
    assert_eq!(registry.audit_head().await.expect("reads"), None, "the log begins with the next change");
    registry.apply(7, &[entity(1)], Timestamp(9)).await.expect("applies");
    let entries = log(&registry).await;
    assert_eq!((entries.len(), entries[0].number, entries[0].previous.as_str()), (1, 1, ""));
}

const BEFORE: [&str; 5] = [
    "INSERT INTO revisions VALUES ('p', 7)",
    r#"INSERT INTO datasets VALUES ('p', 'd1', NULL, 'aa', '{"id":"d1","name":null,"feature_set":{"name":"late","version":1},
        "feature_set_hash":"aa","mode":"knowledge","spine":"s.csv","spine_fingerprint":"f0","event_timestamp":"t",
        "evidence":false,"tables":{},"location":"/t.parquet","rows":3,"file_hash":"bb","built_at":4}', 3)"#,
    r#"INSERT INTO model_versions VALUES ('p', 'delay', 1, 'aa', 'd1', '{"name":"delay","version":1,
        "feature_set":{"name":"late","version":1},"feature_set_hash":"aa","dataset":"d1","tags":{"run":"7"},
        "registered_at":5}')"#,
    "INSERT INTO aliases VALUES ('p', 'delay', 'champion', 1, 6)",
    "INSERT INTO alias_moves VALUES ('p', 7, 'delay', 'champion', NULL, 1, 6)",
];
