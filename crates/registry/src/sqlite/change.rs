//! A change: one transaction under the write lock, whose commit writes the audit log.

use hitherto_core::{AuditEntry, Timestamp};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::{SqliteRegistry, log};
use crate::{Result, sql};

/// A change under way. Dropped unfinished, it is rolled back.
///
/// It ends in [`Change::commit`] alone, so nothing is changed that the audit log does not say.
pub(super) struct Change<'a> {
    registry: &'a SqliteRegistry,
    tx: Transaction<'static, Sqlite>,
    /// The revision that it makes.
    pub(super) revision: i64,
}

/// One thing that a change does, as the audit log says it.
pub(super) struct Deed {
    pub(super) verb: &'static str,
    pub(super) subject: String,
    /// JSON; none where the subject is new.
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

impl<'a> Change<'a> {
    /// Takes the write lock and raises the revision.
    pub(super) async fn begin(registry: &'a SqliteRegistry) -> Result<Self> {
        let mut tx = registry.begin_write().await?;
        let raised: Result<(i64,), _> =
            sqlx::query_as(sql::RAISE_REVISION).bind(registry.project.as_str()).fetch_one(&mut *tx).await;
        let (revision,) = raised.map_err(|error| registry.failed("change the registry", error))?;
        Ok(Self { registry, tx, revision })
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// Writes `deeds` to the audit log and commits. Without a deed nothing is committed.
    pub(super) async fn commit(mut self, at: Timestamp, deeds: Vec<Deed>) -> Result<()> {
        if deeds.is_empty() {
            return Ok(());
        }
        let registry = self.registry;
        let head = log::head(registry, &mut self.tx).await?;
        let (mut number, mut previous) = head.map_or((0, String::new()), |head| (head.number, head.hash));
        for Deed { verb, subject, before, after } in deeds {
            number += 1;
            let who = registry.actor.clone();
            let verb = verb.to_owned();
            let mut entry = AuditEntry { number, at, who, verb, subject, before, after, previous, hash: String::new() };
            entry.hash = entry.content_hash();
            log::append(registry, &mut self.tx, &entry).await?;
            previous = entry.hash;
        }
        self.tx.commit().await.map_err(|error| registry.failed("commit to the registry", error))
    }
}
