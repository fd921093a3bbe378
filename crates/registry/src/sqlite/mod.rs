//! The registry in one SQLite file, shared by any number of processes of one machine.

mod change;
mod log;
mod read;
mod results;
mod setup;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::{
    Alias, ApiToken, AuditEntry, AuditHead, Catalog, Dataset, Erasure, Evaluation, ModelVersion, Name, NewApiToken,
    NewEvaluation, NewModelVersion, Record, Selector, StoredVerdict, Timestamp, TokenId, Traffic,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::{AliasMove, Expected, Grounds, Recorded, Registry, Result};

/// How long a change waits for those of other processes. They take milliseconds each.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Each is a thread. Changes wait for each other anyway, and reads are short.
const CONNECTIONS_MAX: u32 = 4;

/// A registry in a SQLite file.
///
/// The file is in WAL mode: readers never wait for a writer and see one revision wholly. Writers take the write lock
/// when they begin, so they wait for each other instead of failing half-way, and a commit is synced to disk.
#[derive(Clone, Debug)]
pub struct SqliteRegistry {
    path: PathBuf,
    project: Name,
    /// Who changes it, for the audit log.
    actor: String,
    pool: SqlitePool,
}

impl SqliteRegistry {
    /// Opens the file at `path`; creates it and its folders if they are not there, and brings its tables up to date.
    pub async fn open(path: &Path, project: &Name) -> Result<Self> {
        setup::create_folder(path).await?;
        Self::connect(path, project, options(path).create_if_missing(true)).await
    }

    /// Opens the file at `path` and brings its tables up to date, or returns `None` if it is not there.
    pub async fn open_existing(path: &Path, project: &Name) -> Result<Option<Self>> {
        match tokio::fs::try_exists(path).await {
            Ok(true) => Self::connect(path, project, options(path)).await.map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(setup::failed("look for the registry", path, sqlx::Error::Io(error))),
        }
    }

    async fn connect(path: &Path, project: &Name, options: SqliteConnectOptions) -> Result<Self> {
        setup::prepare(&options).await.map_err(|error| setup::refused(path, error))?;
        // a file that vanishes under a running process must be an error, not a fresh file without tables
        let options = options.create_if_missing(false);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_lazy_with(options);
        Ok(Self { path: path.to_owned(), project: project.clone(), actor: "unknown".to_owned(), pool })
    }

    /// The same for somebody whom the audit log calls `actor`; `unknown` without this.
    #[must_use]
    pub fn with_actor(self, actor: &str) -> Self {
        Self { actor: actor.to_owned(), ..self }
    }

    async fn begin_read(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin().await.map_err(|error| self.failed("read the registry", error))
    }

    async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>> {
        // a deferred transaction that reads first and writes later fails at once if another has written in between
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.failed("change the registry", error))
    }

    fn failed(&self, doing: &'static str, error: sqlx::Error) -> crate::Error {
        setup::failed(doing, &self.path, error)
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn revision(&self) -> Result<i64> {
        read::revision(self).await
    }

    async fn catalog(&self) -> Result<Catalog> {
        read::catalog(self).await
    }

    async fn apply(&self, base_revision: i64, records: &[Record], now: Timestamp) -> Result<i64> {
        write::apply(self, base_revision, records, now).await
    }

    async fn register_model(&self, new: NewModelVersion, now: Timestamp) -> Result<ModelVersion> {
        write::register_model(self, new, now).await
    }

    async fn move_alias(
        &self,
        model: &Name,
        alias: &Name,
        version: u32,
        expected: Expected,
        grounds: Grounds,
        now: Timestamp,
    ) -> Result<Alias> {
        write::move_alias(self, Alias::new(model.clone(), alias.clone(), version, now), expected, grounds).await
    }

    async fn set_traffic(
        &self,
        model: &Name,
        alias: &Name,
        traffic: Traffic,
        expected: Expected,
        grounds: Grounds,
        now: Timestamp,
    ) -> Result<Alias> {
        let at = Alias::new(model.clone(), alias.clone(), 0, now);
        write::set_traffic(self, at, traffic, expected, grounds).await
    }

    async fn record_evaluation(
        &self,
        model: &Name,
        version: u32,
        new: NewEvaluation,
        now: Timestamp,
    ) -> Result<Evaluation> {
        write::record_evaluation(self, model, version, new, now).await
    }

    async fn evaluations(&self, model: &Name, version: u32) -> Result<Vec<Evaluation>> {
        results::evaluations(self, model, version).await
    }

    async fn models(&self) -> Result<Vec<ModelVersion>> {
        read::models(self).await
    }

    async fn model_versions(&self, model: &Name) -> Result<Vec<ModelVersion>> {
        read::model_versions(self, model).await
    }

    async fn model(&self, selector: &Selector) -> Result<ModelVersion> {
        read::model(self, selector).await
    }

    async fn aliases(&self, model: &Name) -> Result<Vec<Alias>> {
        read::aliases(self, model).await
    }

    async fn alias_moves(&self, model: &Name) -> Result<Vec<AliasMove>> {
        read::alias_moves(self, model).await
    }

    async fn record_dataset(&self, dataset: &Dataset) -> Result<Recorded> {
        write::record_dataset(self, dataset).await
    }

    async fn dataset(&self, wanted: &str) -> Result<Dataset> {
        read::dataset(self, wanted).await
    }

    async fn datasets(&self) -> Result<Vec<Dataset>> {
        read::datasets(self).await
    }

    async fn record_verdict(&self, verdict: &StoredVerdict) -> Result<()> {
        write::record_verdict(self, verdict).await
    }

    async fn verdicts(&self, dataset: &str) -> Result<Vec<StoredVerdict>> {
        results::verdicts(self, dataset).await
    }

    async fn forget_dataset(&self, id: &str, now: Timestamp) -> Result<()> {
        write::forget_dataset(self, id, now).await
    }

    async fn record_copy(&self, id: &str, place: &str, now: Timestamp) -> Result<()> {
        write::record_copy(self, id, place, now).await
    }

    async fn record_erasure(&self, erasure: &Erasure, now: Timestamp) -> Result<()> {
        write::record_erasure(self, erasure, now).await
    }

    async fn create_token(&self, new: NewApiToken, now: Timestamp) -> Result<ApiToken> {
        write::create_token(self, new, now).await
    }

    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<ApiToken> {
        write::revoke_token(self, id, now).await
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>> {
        tokens::tokens(self).await
    }

    async fn audit_log(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>> {
        log::entries(self, after, limit).await
    }

    async fn audit_head(&self) -> Result<Option<AuditHead>> {
        log::head(self, &mut *self.begin_read().await?).await
    }

    fn acting_as(&self, actor: &str) -> Arc<dyn Registry> {
        Arc::new(self.clone().with_actor(actor))
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn describe(&self) -> String {
        format!("sqlite://{} (project {})", self.path.display(), self.project)
    }
}
