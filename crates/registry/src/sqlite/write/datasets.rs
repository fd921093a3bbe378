//! Training sets.

use hitherto_core::{Dataset, Name, Timestamp, digest};
use serde_json::json;
use sqlx::SqliteConnection;

use crate::record::{decode_dataset, encode};
use crate::sqlite::SqliteRegistry;
use crate::sqlite::change::{Change, Deed};
use crate::{Error, Recorded, Result, remedy, sql};

pub(in crate::sqlite) async fn record_dataset(registry: &SqliteRegistry, dataset: &Dataset) -> Result<Recorded> {
    let mut change = Change::begin(registry).await?;
    let (first, recorded) = match dataset_of(registry, change.connection(), &dataset.id).await? {
        None => (None, Recorded::New),
        Some(first) => {
            let mut kept = first.clone();
            if first.file_hash == dataset.file_hash && first.rows == dataset.rows {
                kept.location.clone_from(&dataset.location);
                kept.name = dataset.name.clone().or(kept.name);
            }
            kept.add_grounds(dataset);
            if kept == first {
                return Ok(Recorded::Existing(Box::new(kept)));
            }
            (Some(first), Recorded::Existing(Box::new(kept)))
        }
    };
    let kept = match &recorded {
        Recorded::New => dataset,
        Recorded::Existing(kept) => kept,
    };
    let revision = change.revision;
    put_dataset(registry, change.connection(), kept, revision).await?;
    let deed = Deed {
        verb: "record_dataset",
        subject: format!("dataset {}", dataset.id),
        before: first.as_ref().map(summary).transpose()?,
        after: Some(summary(kept)?),
    };
    change.commit(dataset.built_at, vec![deed]).await?;
    Ok(recorded)
}

pub(in crate::sqlite) async fn forget_dataset(registry: &SqliteRegistry, id: &str, now: Timestamp) -> Result<()> {
    let mut change = Change::begin(registry).await?;
    let Some(dataset) = dataset_of(registry, change.connection(), id).await? else {
        return Err(remedy::no_dataset_id(id));
    };
    let needed: Result<Vec<(String,)>, _> = sqlx::query_as(sql::MODELS_OF_DATASET)
        .bind(registry.project.as_str())
        .bind(id)
        .fetch_all(change.connection())
        .await;
    let needed = needed.map_err(|error| registry.failed("read models", error))?;
    if !needed.is_empty() {
        let models: Vec<String> = needed.into_iter().map(|(model,)| model).collect();
        return Err(Error::Needed { what: format!("dataset '{id}'"), models: models.join(", ") });
    }
    for statement in sql::FORGET_DATASET {
        let done = sqlx::query(statement).bind(registry.project.as_str()).bind(id).execute(change.connection()).await;
        done.map_err(|error| registry.failed("forget a dataset", error))?;
    }
    let before = Some(summary(&dataset)?);
    let deed = Deed { verb: "forget_dataset", subject: format!("dataset {id}"), before, after: None };
    change.commit(now, vec![deed]).await
}

pub(in crate::sqlite) async fn record_copy(
    registry: &SqliteRegistry,
    id: &str,
    place: &str,
    now: Timestamp,
) -> Result<()> {
    let mut change = Change::begin(registry).await?;
    let Some(dataset) = dataset_of(registry, change.connection(), id).await? else {
        return Err(remedy::no_dataset_id(id));
    };
    if dataset.location == place {
        return Ok(());
    }
    let after = Some(json!({"id": id, "location": place}).to_string());
    let deed = Deed { verb: "copy_dataset", subject: format!("dataset {id}"), before: None, after };
    change.commit(now, vec![deed]).await
}

/// What the audit log says of a dataset: never its body, which may hold values of rows, because what is in the log can
/// never be erased from it.
fn summary(dataset: &Dataset) -> Result<String> {
    let body = encode(dataset, || format!("dataset {}", dataset.id))?;
    let summary = json!({
        "body_sha256": digest(&body),
        "feature_set": dataset.feature_set.to_string(),
        "file_hash": dataset.file_hash,
        "id": dataset.id,
        "location": dataset.location,
        "name": dataset.name,
        "rows": dataset.rows,
    });
    Ok(summary.to_string())
}

/// The dataset with this id.
pub(in crate::sqlite) async fn dataset_of(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<Option<Dataset>> {
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
        .bind(dataset.name.as_ref().map(Name::as_str))
        .bind(&dataset.feature_set_hash)
        .bind(encode(dataset, || format!("dataset {}", dataset.id))?)
        .bind(revision)
        .execute(connection)
        .await;
    done.map_err(|error| registry.failed("record a dataset", error))?;
    Ok(())
}
