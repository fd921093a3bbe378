//! Changes: each is one transaction under the write lock; dropping it unfinished rolls it back.

use hitherto_core::{Alias, Dataset, ModelVersion, NewModelVersion, Record, Timestamp, VersionedName};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::{SqliteRegistry, read};
use crate::record::{FEATURE_SET, Key, decode_dataset, decode_definition, decode_table, encode, encode_record};
use crate::{Error, Expected, Recorded, Result, immutable, remedy, sql};

pub(super) async fn apply(registry: &SqliteRegistry, base: i64, records: &[Record], now: Timestamp) -> Result<i64> {
    let bodies: Vec<String> = records.iter().map(encode_record).collect::<Result<_>>()?;
    let mut tx = registry.begin_write().await?;
    let revision = raise_revision(registry, &mut tx).await?;
    if revision - 1 != base {
        return Err(Error::Conflict { base, found: revision - 1 });
    }
    if records.is_empty() {
        return Ok(base);
    }
    for (record, body) in records.iter().zip(&bodies) {
        put(registry, &mut tx, record, body, now).await?;
    }
    commit(registry, tx).await?;
    Ok(revision)
}

pub(super) async fn register_model(
    registry: &SqliteRegistry,
    new: NewModelVersion,
    now: Timestamp,
) -> Result<ModelVersion> {
    let mut tx = registry.begin_write().await?;
    raise_revision(registry, &mut tx).await?;
    require_feature_set(registry, &mut tx, &new).await?;
    require_dataset(registry, &mut tx, &new).await?;
    let failed = |error| registry.failed("register a model", error);
    let (latest,): (i64,) = sqlx::query_as(sql::LATEST_MODEL_VERSION)
        .bind(registry.project.as_str())
        .bind(new.name.as_str())
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
    let model = ModelVersion {
        name: new.name,
        version: latest as u32 + 1,
        feature_set: new.feature_set,
        feature_set_hash: new.feature_set_hash,
        dataset: new.dataset,
        tags: new.tags,
        registered_at: now,
    };
    sqlx::query(sql::ADD_MODEL_VERSION)
        .bind(registry.project.as_str())
        .bind(model.name.as_str())
        .bind(i64::from(model.version))
        .bind(&model.feature_set_hash)
        .bind(&model.dataset)
        .bind(encode(&model, || format!("model {}@{}", model.name, model.version))?)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    commit(registry, tx).await?;
    Ok(model)
}

pub(super) async fn move_alias(registry: &SqliteRegistry, to: Alias, expected: Expected) -> Result<Alias> {
    let mut tx = registry.begin_write().await?;
    let revision = raise_revision(registry, &mut tx).await?;
    read::model_version(registry, &mut tx, &to.model, to.version).await?;
    let before = read::alias_of(registry, &mut tx, &to.model, &to.alias).await?;
    let from = before.as_ref().map(|before| before.version);
    if let Expected::Version(expected) = expected
        && expected != from
    {
        return Err(Error::AliasMoved { model: to.model, alias: to.alias, expected, found: from });
    }
    if let Some(before) = before
        && before.version == to.version
    {
        return Ok(before);
    }
    let failed = |error| registry.failed("move an alias", error);
    sqlx::query(sql::PUT_ALIAS)
        .bind(registry.project.as_str())
        .bind(to.model.as_str())
        .bind(to.alias.as_str())
        .bind(i64::from(to.version))
        .bind(to.moved_at.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    sqlx::query(sql::ADD_ALIAS_MOVE)
        .bind(registry.project.as_str())
        .bind(revision)
        .bind(to.model.as_str())
        .bind(to.alias.as_str())
        .bind(from.map(i64::from))
        .bind(i64::from(to.version))
        .bind(to.moved_at.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    commit(registry, tx).await?;
    Ok(to)
}

pub(super) async fn record_dataset(registry: &SqliteRegistry, dataset: &Dataset) -> Result<Recorded> {
    let mut tx = registry.begin_write().await?;
    let revision = raise_revision(registry, &mut tx).await?;
    let Some(first) = dataset_of(registry, &mut tx, &dataset.id).await? else {
        put_dataset(registry, &mut tx, dataset, revision).await?;
        commit(registry, tx).await?;
        return Ok(Recorded::New);
    };
    let mut kept = first.clone();
    if first.file_hash == dataset.file_hash && first.rows == dataset.rows {
        kept.location.clone_from(&dataset.location);
        kept.name = dataset.name.clone().or(kept.name);
    }
    if kept != first {
        put_dataset(registry, &mut tx, &kept, revision).await?;
        commit(registry, tx).await?;
    }
    Ok(Recorded::Existing(Box::new(kept)))
}

/// The first statement of every change; returns the revision that the change will make.
async fn raise_revision(registry: &SqliteRegistry, connection: &mut SqliteConnection) -> Result<i64> {
    let raised: Result<(i64,), _> =
        sqlx::query_as(sql::RAISE_REVISION).bind(registry.project.as_str()).fetch_one(connection).await;
    Ok(raised.map_err(|error| registry.failed("change the registry", error))?.0)
}

async fn commit(registry: &SqliteRegistry, tx: Transaction<'static, Sqlite>) -> Result<()> {
    tx.commit().await.map_err(|error| registry.failed("commit to the registry", error))
}

/// Inserts a record, or replaces what may be replaced.
async fn put(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    record: &Record,
    body: &str,
    now: Timestamp,
) -> Result<()> {
    let key = Key::of(record);
    match stored(registry, connection, key).await? {
        Some(old) if immutable::may_replace(&old, record) => {}
        Some(_) => return Err(Error::Immutable { what: key.describe() }),
        None => require_next(registry, connection, key).await?,
    }
    let project = registry.project.as_str();
    let query = match key {
        Key::Table { id } => sqlx::query(sql::PUT_TABLE).bind(project).bind(id),
        Key::Definition { kind, name, version, hash } => sqlx::query(sql::PUT_DEFINITION)
            .bind(project)
            .bind(kind)
            .bind(name.as_str())
            .bind(i64::from(version))
            .bind(hash),
    };
    let done = query.bind(body).bind(now.0).execute(connection).await;
    done.map_err(|error| registry.failed("write definitions", error))?;
    Ok(())
}

async fn stored(registry: &SqliteRegistry, connection: &mut SqliteConnection, key: Key<'_>) -> Result<Option<Record>> {
    let project = registry.project.as_str();
    let query = match key {
        Key::Table { id } => sqlx::query_as(sql::TABLE).bind(project).bind(id),
        Key::Definition { kind, name, version, .. } => {
            sqlx::query_as(sql::DEFINITION).bind(project).bind(kind).bind(name.as_str()).bind(i64::from(version))
        }
    };
    let body: Result<Option<(String,)>, _> = query.fetch_optional(connection).await;
    let Some((body,)) = body.map_err(|error| registry.failed("read definitions", error))? else {
        return Ok(None);
    };
    let record = match key {
        Key::Table { id } => Record::Table(decode_table(id, &body)?),
        Key::Definition { kind, name, version, .. } => {
            decode_definition(kind, name.as_str(), i64::from(version), &body)?
        }
    };
    Ok(Some(record))
}

/// A new version must follow the last one: a gap or a second beginning would be a fault of the caller's.
async fn require_next(registry: &SqliteRegistry, connection: &mut SqliteConnection, key: Key<'_>) -> Result<()> {
    let Key::Definition { kind, name, version, .. } = key else {
        return Ok(());
    };
    let latest: Result<(i64,), _> = sqlx::query_as(sql::LATEST_DEFINITION)
        .bind(registry.project.as_str())
        .bind(kind)
        .bind(name.as_str())
        .fetch_one(connection)
        .await;
    let next = latest.map_err(|error| registry.failed("read definitions", error))?.0 as u32 + 1;
    if version == next { Ok(()) } else { Err(Error::NotNext { what: key.describe(), next }) }
}

/// The feature set version that a model names must be there with the hash that the model gives.
async fn require_feature_set(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    new: &NewModelVersion,
) -> Result<()> {
    let sets: Result<Vec<(String, i64, Option<String>)>, _> =
        sqlx::query_as(sql::SETS).bind(registry.project.as_str()).bind(FEATURE_SET).fetch_all(connection).await;
    let sets = sets.map_err(|error| registry.failed("read feature sets", error))?;
    let given = new.feature_set_hash.as_str();
    if !sets.iter().any(|(_, _, hash)| hash.as_deref() == Some(given)) {
        return Err(remedy::no_hash(given));
    }
    let VersionedName { name, version } = &new.feature_set;
    let named = sets.iter().find(|(set, number, _)| set == name.as_str() && *number == i64::from(*version));
    match named {
        None => {
            let known: Vec<String> = sets.iter().map(|(set, number, _)| format!("{set}@{number}")).collect();
            Err(remedy::no_feature_set(&new.feature_set, &known))
        }
        Some((_, _, hash)) => {
            let what = format!("feature set '{}'", new.feature_set);
            require_equal(new, what, hash.as_deref().unwrap_or_default())
        }
    }
}

/// The dataset that a model names must be there, and made from the model's feature set.
async fn require_dataset(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    new: &NewModelVersion,
) -> Result<()> {
    let Some(id) = &new.dataset else {
        return Ok(());
    };
    match dataset_of(registry, connection, id).await? {
        None => Err(remedy::no_dataset_id(id)),
        Some(dataset) => require_equal(new, format!("dataset '{id}'"), &dataset.feature_set_hash),
    }
}

fn require_equal(new: &NewModelVersion, what: String, found: &str) -> Result<()> {
    let given = &new.feature_set_hash;
    if found == given {
        return Ok(());
    }
    Err(Error::Mismatch { model: new.name.clone(), what, found: found.to_owned(), given: given.clone() })
}

async fn dataset_of(registry: &SqliteRegistry, connection: &mut SqliteConnection, id: &str) -> Result<Option<Dataset>> {
    let row: Result<Option<(String, String)>, _> =
        sqlx::query_as(sql::DATASET).bind(registry.project.as_str()).bind(id).fetch_optional(connection).await;
    let row = row.map_err(|error| registry.failed("read datasets", error))?;
    row.map(|(id, body)| decode_dataset(&id, &body)).transpose()
}

/// `revision` counts only for a new dataset.
async fn put_dataset(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    dataset: &Dataset,
    revision: i64,
) -> Result<()> {
    let done = sqlx::query(sql::PUT_DATASET)
        .bind(registry.project.as_str())
        .bind(&dataset.id)
        .bind(dataset.name.as_ref().map(hitherto_core::Name::as_str))
        .bind(&dataset.feature_set_hash)
        .bind(encode(dataset, || format!("dataset {}", dataset.id))?)
        .bind(revision)
        .execute(connection)
        .await;
    done.map_err(|error| registry.failed("record a dataset", error))?;
    Ok(())
}
