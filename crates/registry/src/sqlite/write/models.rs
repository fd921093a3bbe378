//! Model versions, and where aliases point.

use hitherto_core::{Alias, GateReport, ModelVersion, NewModelVersion, Timestamp, VersionedName};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::datasets::dataset_of;
use crate::record::{FEATURE_SET, encode};
use crate::sqlite::change::{Change, Deed};
use crate::sqlite::{SqliteRegistry, read};
use crate::{Error, Expected, Grounds, Result, remedy, sql};

pub(in crate::sqlite) async fn register_model(
    registry: &SqliteRegistry,
    new: NewModelVersion,
    now: Timestamp,
) -> Result<ModelVersion> {
    if let Some(reason) = new.provenance.problem() {
        return Err(Error::Invalid { doing: format!("register model '{}'", new.name), reason });
    }
    let mut change = Change::begin(registry).await?;
    require_feature_set(registry, change.connection(), &new).await?;
    require_dataset(registry, change.connection(), &new).await?;
    let failed = |error| registry.failed("register a model", error);
    let (latest,): (i64,) = sqlx::query_as(sql::LATEST_MODEL_VERSION)
        .bind(registry.project.as_str())
        .bind(new.name.as_str())
        .fetch_one(change.connection())
        .await
        .map_err(failed)?;
    let model = ModelVersion {
        name: new.name,
        version: latest as u32 + 1,
        feature_set: new.feature_set,
        feature_set_hash: new.feature_set_hash,
        dataset: new.dataset,
        provenance: new.provenance,
        tags: new.tags,
        registered_at: now,
    };
    let subject = format!("model {}@{}", model.name, model.version);
    let body = encode(&model, || subject.clone())?;
    sqlx::query(sql::ADD_MODEL_VERSION)
        .bind(registry.project.as_str())
        .bind(model.name.as_str())
        .bind(i64::from(model.version))
        .bind(&model.feature_set_hash)
        .bind(&model.dataset)
        .bind(&body)
        .execute(change.connection())
        .await
        .map_err(failed)?;
    change.commit(now, vec![Deed { verb: "register_model", subject, before: None, after: Some(body) }]).await?;
    Ok(model)
}

/// A change of an alias as the audit log says it.
#[derive(Serialize)]
struct Grounded<'a> {
    #[serde(flatten)]
    alias: &'a Alias,
    evidence: &'a [GateReport],
    override_reason: &'a Option<String>,
}

/// What the audit log says of an alias after a change.
pub(super) fn grounded(alias: &Alias, grounds: &Grounds) -> Result<String> {
    let Grounds { evidence, override_reason } = grounds;
    encode(&Grounded { alias, evidence, override_reason }, || format!("alias {}@{}", alias.model, alias.alias))
}

/// An override says why.
pub(super) fn require_reason(grounds: &Grounds, doing: &str, to: &Alias) -> Result<()> {
    if grounds.override_reason.as_ref().is_none_or(|reason| !reason.trim().is_empty()) {
        return Ok(());
    }
    let doing = format!("{doing} alias '{}' of model '{}'", to.alias, to.model);
    Err(Error::Invalid { doing, reason: "an override needs a reason".to_owned() })
}

pub(in crate::sqlite) async fn move_alias(
    registry: &SqliteRegistry,
    to: Alias,
    expected: Expected,
    grounds: Grounds,
) -> Result<Alias> {
    require_reason(&grounds, "move", &to)?;
    let mut change = Change::begin(registry).await?;
    read::model_version(registry, change.connection(), &to.model, to.version).await?;
    let before = read::alias_of(registry, change.connection(), &to.model, &to.alias).await?;
    require_expected("move", &to, expected, before.as_ref())?;
    if let Some(before) = &before
        && before.version == to.version
        && before.split.is_empty()
        && before.shadow.is_none()
    {
        return Ok(before.clone());
    }
    put_alias(registry, change.connection(), &to).await?;
    let revision = change.revision;
    add_move(registry, change.connection(), revision, before.as_ref(), &to, &grounds).await?;
    let subject = format!("alias {}@{}", to.model, to.alias);
    let after = Some(grounded(&to, &grounds)?);
    let before = before.map(|before| encode(&before, || subject.clone())).transpose()?;
    change.commit(to.moved_at, vec![Deed { verb: "move_alias", subject, before, after }]).await?;
    Ok(to)
}

/// Refuses if the alias does not point where its mover thinks.
pub(super) fn require_expected(
    doing: &'static str,
    to: &Alias,
    expected: Expected,
    found: Option<&Alias>,
) -> Result<()> {
    let found = found.map(|found| found.version);
    match expected {
        Expected::Version(expected) if expected != found => {
            Err(Error::AliasMoved { doing, model: to.model.clone(), alias: to.alias.clone(), expected, found })
        }
        _ => Ok(()),
    }
}

pub(super) async fn put_alias(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    alias: &Alias,
) -> Result<()> {
    let split = match alias.split.as_slice() {
        [] => None,
        split => Some(encode(&split, || format!("alias {}@{}", alias.model, alias.alias))?),
    };
    let done = sqlx::query(sql::PUT_ALIAS)
        .bind(registry.project.as_str())
        .bind(alias.model.as_str())
        .bind(alias.alias.as_str())
        .bind(i64::from(alias.version))
        .bind(alias.moved_at.0)
        .bind(split)
        .bind(alias.shadow.map(i64::from))
        .execute(connection)
        .await;
    done.map_err(|error| registry.failed("write an alias", error))?;
    Ok(())
}

async fn add_move(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    revision: i64,
    from: Option<&Alias>,
    to: &Alias,
    grounds: &Grounds,
) -> Result<()> {
    let evidence = grounds.evidence.first();
    let evidence = evidence.map(|report| encode(report, || format!("the gate of {}@{}", to.model, to.alias)));
    let done = sqlx::query(sql::ADD_ALIAS_MOVE)
        .bind(registry.project.as_str())
        .bind(revision)
        .bind(to.model.as_str())
        .bind(to.alias.as_str())
        .bind(from.map(|from| i64::from(from.version)))
        .bind(i64::from(to.version))
        .bind(to.moved_at.0)
        .bind(evidence.transpose()?)
        .bind(&grounds.override_reason)
        .execute(connection)
        .await;
    done.map_err(|error| registry.failed("move an alias", error))?;
    Ok(())
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
