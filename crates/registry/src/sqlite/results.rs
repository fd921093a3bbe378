//! Evaluations and verdicts, read.

use hitherto_core::{Evaluation, Name, StoredVerdict};

use super::{SqliteRegistry, read, write};
use crate::record::{decode_evaluation, decode_verdict};
use crate::{Result, remedy, sql};

pub(super) async fn evaluations(registry: &SqliteRegistry, model: &Name, version: u32) -> Result<Vec<Evaluation>> {
    let mut tx = registry.begin_read().await?;
    read::model_version(registry, &mut tx, model, version).await?;
    let rows: Result<Vec<(i64, String)>, _> = sqlx::query_as(sql::EVALUATIONS)
        .bind(registry.project.as_str())
        .bind(model.as_str())
        .bind(i64::from(version))
        .fetch_all(&mut *tx)
        .await;
    let rows = rows.map_err(|error| registry.failed("read evaluations", error))?;
    rows.iter().map(|(revision, body)| decode_evaluation(*revision, model, version, body)).collect()
}

pub(super) async fn verdicts(registry: &SqliteRegistry, dataset: &str) -> Result<Vec<StoredVerdict>> {
    let mut tx = registry.begin_read().await?;
    if write::dataset_of(registry, &mut tx, dataset).await?.is_none() {
        return Err(remedy::no_dataset_id(dataset));
    }
    let rows: Result<Vec<(i64, String)>, _> =
        sqlx::query_as(sql::VERDICTS).bind(registry.project.as_str()).bind(dataset).fetch_all(&mut *tx).await;
    let rows = rows.map_err(|error| registry.failed("read verdicts", error))?;
    rows.iter().map(|(revision, body)| decode_verdict(*revision, dataset, body)).collect()
}
