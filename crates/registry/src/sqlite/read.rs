//! Reads: each in one transaction, hence at one revision.

use hitherto_core::{Alias, Catalog, Dataset, ModelVersion, Name, Selector, Timestamp};
use sqlx::SqliteConnection;

use super::SqliteRegistry;
use crate::record::{
    self, AliasRow, DefinitionRow, decode, decode_alias, decode_dataset, decode_model, decode_name, decode_version,
};
use crate::{AliasMove, Error, Result, remedy, sql};

type ModelRow = (String, i64, String);
type DatasetRow = (String, String);
/// Revision, alias, version before and after, time, the gate's report, the reason to override it.
type MoveRow = (i64, String, Option<i64>, i64, i64, Option<String>, Option<String>);

pub(super) async fn revision(registry: &SqliteRegistry) -> Result<i64> {
    let found: Result<Option<(i64,)>, _> =
        sqlx::query_as(sql::REVISION).bind(registry.project.as_str()).fetch_optional(&registry.pool).await;
    let found = found.map_err(|error| registry.failed("read the revision of the registry", error))?;
    Ok(found.map_or(0, |(revision,)| revision))
}

pub(super) async fn catalog(registry: &SqliteRegistry) -> Result<Catalog> {
    let project = registry.project.as_str();
    let failed = |error| registry.failed("read definitions", error);
    let mut tx = registry.begin_read().await?;
    let revision: Option<(i64,)> =
        sqlx::query_as(sql::REVISION).bind(project).fetch_optional(&mut *tx).await.map_err(failed)?;
    let definitions: Vec<DefinitionRow> =
        sqlx::query_as(sql::DEFINITIONS).bind(project).fetch_all(&mut *tx).await.map_err(failed)?;
    let tables: Vec<(String, String)> =
        sqlx::query_as(sql::TABLES).bind(project).fetch_all(&mut *tx).await.map_err(failed)?;
    drop(tx);
    record::catalog(revision.map_or(0, |(revision,)| revision), &definitions, &tables)
}

pub(super) async fn models(registry: &SqliteRegistry) -> Result<Vec<ModelVersion>> {
    let rows: Result<Vec<ModelRow>, _> =
        sqlx::query_as(sql::LATEST_MODELS).bind(registry.project.as_str()).fetch_all(&registry.pool).await;
    decode_models(rows.map_err(|error| registry.failed("read models", error))?)
}

pub(super) async fn model_versions(registry: &SqliteRegistry, model: &Name) -> Result<Vec<ModelVersion>> {
    let mut tx = registry.begin_read().await?;
    let rows: Result<Vec<ModelRow>, _> = sqlx::query_as(sql::MODEL_VERSIONS)
        .bind(registry.project.as_str())
        .bind(model.as_str())
        .fetch_all(&mut *tx)
        .await;
    let versions = decode_models(rows.map_err(|error| registry.failed("read models", error))?)?;
    if versions.is_empty() { Err(unknown_model(registry, &mut tx, model).await?) } else { Ok(versions) }
}

pub(super) async fn model(registry: &SqliteRegistry, selector: &Selector) -> Result<ModelVersion> {
    let mut tx = registry.begin_read().await?;
    match selector {
        Selector::Latest(name) => latest_model(registry, &mut tx, name).await,
        Selector::Version(wanted) => model_version(registry, &mut tx, &wanted.name, wanted.version).await,
        Selector::Alias(name, alias) => {
            let found = required_alias(registry, &mut tx, name, alias).await?;
            model_version(registry, &mut tx, name, found.version).await
        }
    }
}

pub(super) async fn aliases(registry: &SqliteRegistry, model: &Name) -> Result<Vec<Alias>> {
    let mut tx = registry.begin_read().await?;
    latest_model(registry, &mut tx, model).await?;
    aliases_of(registry, &mut tx, model).await
}

pub(super) async fn alias_moves(registry: &SqliteRegistry, model: &Name) -> Result<Vec<AliasMove>> {
    let mut tx = registry.begin_read().await?;
    latest_model(registry, &mut tx, model).await?;
    let rows: Result<Vec<MoveRow>, _> =
        sqlx::query_as(sql::ALIAS_MOVES).bind(registry.project.as_str()).bind(model.as_str()).fetch_all(&mut *tx).await;
    let rows = rows.map_err(|error| registry.failed("read the moves of aliases", error))?;
    let decoded = rows.into_iter().map(|(revision, alias, from, to, moved_at, evidence, override_reason)| {
        let version = |version| decode_version("alias_moves", &alias, version);
        let report = |report: String| decode("alias_moves", || revision.to_string(), &report);
        Ok(AliasMove {
            revision,
            model: model.clone(),
            alias: decode_name("alias_moves", &alias)?,
            from: from.map(version).transpose()?,
            to: version(to)?,
            moved_at: Timestamp(moved_at),
            evidence: evidence.map(report).transpose()?,
            override_reason,
        })
    });
    decoded.collect()
}

pub(super) async fn dataset(registry: &SqliteRegistry, wanted: &str) -> Result<Dataset> {
    let project = registry.project.as_str();
    let failed = |error| registry.failed("read datasets", error);
    let mut tx = registry.begin_read().await?;
    for exact in [sql::DATASET, sql::DATASET_BY_NAME] {
        let row: Option<DatasetRow> =
            sqlx::query_as(exact).bind(project).bind(wanted).fetch_optional(&mut *tx).await.map_err(failed)?;
        if let Some((id, body)) = row {
            return decode_dataset(&id, &body);
        }
    }
    let rows: Vec<DatasetRow> = if wanted.is_empty() {
        Vec::new()
    } else {
        sqlx::query_as(sql::DATASETS_BY_PREFIX).bind(project).bind(wanted).fetch_all(&mut *tx).await.map_err(failed)?
    };
    match rows.as_slice() {
        [] => {
            let names: Vec<(String,)> =
                sqlx::query_as(sql::DATASET_NAMES).bind(project).fetch_all(&mut *tx).await.map_err(failed)?;
            let names: Vec<String> = names.into_iter().map(|(name,)| name).collect();
            Err(remedy::no_dataset(wanted, &names))
        }
        [(id, body)] => decode_dataset(id, body),
        several => {
            let ids: Vec<&str> = several.iter().map(|(id, _)| id.get(..12).unwrap_or(id)).collect();
            Err(Error::Ambiguous { what: "dataset", given: wanted.to_owned(), candidates: ids.join(", ") })
        }
    }
}

pub(super) async fn datasets(registry: &SqliteRegistry) -> Result<Vec<Dataset>> {
    let rows: Result<Vec<DatasetRow>, _> =
        sqlx::query_as(sql::DATASETS).bind(registry.project.as_str()).fetch_all(&registry.pool).await;
    let rows = rows.map_err(|error| registry.failed("read datasets", error))?;
    rows.iter().map(|(id, body)| decode_dataset(id, body)).collect()
}

/// One version of a model, or why there is none.
pub(super) async fn model_version(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    model: &Name,
    version: u32,
) -> Result<ModelVersion> {
    let row: Result<Option<ModelRow>, _> = sqlx::query_as(sql::MODEL_VERSION)
        .bind(registry.project.as_str())
        .bind(model.as_str())
        .bind(i64::from(version))
        .fetch_optional(&mut *connection)
        .await;
    if let Some((name, version, body)) = row.map_err(|error| registry.failed("read models", error))? {
        return decode_model(&name, version, &body);
    }
    let latest = latest_model(registry, connection, model).await?.version;
    Err(remedy::no_model_version(&hitherto_core::VersionedName { name: model.clone(), version }, latest))
}

/// Where an alias points now.
pub(super) async fn alias_of(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    model: &Name,
    alias: &Name,
) -> Result<Option<Alias>> {
    let row: Result<Option<AliasRow>, _> = sqlx::query_as(sql::ALIAS)
        .bind(registry.project.as_str())
        .bind(model.as_str())
        .bind(alias.as_str())
        .fetch_optional(connection)
        .await;
    let row = row.map_err(|error| registry.failed("read aliases", error))?;
    row.map(|row| decode_alias(model, row)).transpose()
}

/// Where an alias points now, or the error that there is no such alias.
pub(super) async fn required_alias(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    model: &Name,
    alias: &Name,
) -> Result<Alias> {
    latest_model(registry, &mut *connection, model).await?;
    if let Some(found) = alias_of(registry, &mut *connection, model, alias).await? {
        return Ok(found);
    }
    let known = aliases_of(registry, connection, model).await?;
    let known: Vec<String> = known.into_iter().map(|known| known.alias.into()).collect();
    Err(remedy::no_alias(model, alias, &known))
}

async fn aliases_of(registry: &SqliteRegistry, connection: &mut SqliteConnection, model: &Name) -> Result<Vec<Alias>> {
    let rows: Result<Vec<AliasRow>, _> =
        sqlx::query_as(sql::ALIASES).bind(registry.project.as_str()).bind(model.as_str()).fetch_all(connection).await;
    let rows = rows.map_err(|error| registry.failed("read aliases", error))?;
    rows.into_iter().map(|row| decode_alias(model, row)).collect()
}

async fn latest_model(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    model: &Name,
) -> Result<ModelVersion> {
    let row: Result<Option<ModelRow>, _> = sqlx::query_as(sql::LATEST_MODEL)
        .bind(registry.project.as_str())
        .bind(model.as_str())
        .fetch_optional(&mut *connection)
        .await;
    match row.map_err(|error| registry.failed("read models", error))? {
        Some((name, version, body)) => decode_model(&name, version, &body),
        None => Err(unknown_model(registry, connection, model).await?),
    }
}

/// The error for a model without versions, or the error of looking for its like.
async fn unknown_model(registry: &SqliteRegistry, connection: &mut SqliteConnection, model: &Name) -> Result<Error> {
    let names: Result<Vec<(String,)>, _> =
        sqlx::query_as(sql::MODEL_NAMES).bind(registry.project.as_str()).fetch_all(connection).await;
    let names = names.map_err(|error| registry.failed("read models", error))?;
    let names: Vec<String> = names.into_iter().map(|(name,)| name).collect();
    Ok(remedy::no_model(model, &names))
}

fn decode_models(rows: Vec<ModelRow>) -> Result<Vec<ModelVersion>> {
    rows.iter().map(|(name, version, body)| decode_model(name, *version, body)).collect()
}
