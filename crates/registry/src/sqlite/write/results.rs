//! What was found of model versions and of datasets, evaluations and verdicts; and what was erased.

use hitherto_core::{Erasure, Evaluation, Name, NewEvaluation, StoredVerdict, Timestamp, digest};
use serde_json::json;

use super::datasets::dataset_of;
use crate::record::encode;
use crate::sqlite::change::{Change, Deed};
use crate::sqlite::{SqliteRegistry, read};
use crate::{Error, Result, remedy, sql};

pub(in crate::sqlite) async fn record_evaluation(
    registry: &SqliteRegistry,
    model: &Name,
    version: u32,
    new: NewEvaluation,
    now: Timestamp,
) -> Result<Evaluation> {
    if let Some(reason) = new.problem() {
        return Err(Error::Invalid { doing: format!("record an evaluation of {model}@{version}"), reason });
    }
    let mut change = Change::begin(registry).await?;
    read::model_version(registry, change.connection(), model, version).await?;
    let evaluation = new.of(model.clone(), version, now);
    let body = encode(&evaluation, || format!("an evaluation of {model}@{version}"))?;
    let revision = change.revision;
    let done = sqlx::query(sql::ADD_EVALUATION)
        .bind(registry.project.as_str())
        .bind(revision)
        .bind(model.as_str())
        .bind(i64::from(version))
        .bind(&body)
        .execute(change.connection())
        .await;
    done.map_err(|error| registry.failed("record an evaluation", error))?;
    let subject = format!("model {model}@{version}");
    change.commit(now, vec![Deed { verb: "evaluate", subject, before: None, after: Some(body) }]).await?;
    Ok(evaluation)
}

pub(in crate::sqlite) async fn record_verdict(registry: &SqliteRegistry, verdict: &StoredVerdict) -> Result<()> {
    let mut change = Change::begin(registry).await?;
    if dataset_of(registry, change.connection(), &verdict.dataset).await?.is_none() {
        return Err(remedy::no_dataset_id(&verdict.dataset));
    }
    let body = encode(verdict, || format!("a verdict on dataset {}", verdict.dataset))?;
    let revision = change.revision;
    let done = sqlx::query(sql::ADD_VERDICT)
        .bind(registry.project.as_str())
        .bind(revision)
        .bind(&verdict.dataset)
        .bind(&body)
        .execute(change.connection())
        .await;
    done.map_err(|error| registry.failed("record a verdict", error))?;
    // not the report, which may hold values of rows: what is in the log can never be erased from it
    let after = json!({
        "body_sha256": digest(&body),
        "by": verdict.by,
        "file_hash": verdict.file_hash,
        "proven": verdict.proven,
    });
    let subject = format!("dataset {}", verdict.dataset);
    let deed = Deed { verb: "record_verdict", subject, before: None, after: Some(after.to_string()) };
    change.commit(verdict.at, vec![deed]).await
}

/// The log is all that remembers it here; the tables themselves remember it too.
pub(in crate::sqlite) async fn record_erasure(
    registry: &SqliteRegistry,
    erasure: &Erasure,
    now: Timestamp,
) -> Result<()> {
    let change = Change::begin(registry).await?;
    let body = encode(erasure, || format!("erasure {}", erasure.id))?;
    let subject = format!("feature_view {}", erasure.view);
    change.commit(now, vec![Deed { verb: "erase", subject, before: None, after: Some(body) }]).await
}
