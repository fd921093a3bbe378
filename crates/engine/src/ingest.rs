//! `ingest`: rows of users' files appended to a view's history, exactly once per batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use futures::{Stream, StreamExt};
use hitherto_core::{Catalog, Created, Name, Selector, Table, Timestamp, ViewVersion};
use hitherto_offline::input::{Canonical, ExtraColumns, Input, Role, Target, TargetColumn, canonical};
use hitherto_offline::{Appended, BatchId, CREATED, Commit, DELETED, EVENT};
use hitherto_online::spans;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::engine::find_view;
use crate::{Engine, Error, Materialized, Result};

/// Where ingested rows go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To history; the online store follows by itself where `serve` runs.
    #[default]
    Offline,
    /// To history, then at once to the online store.
    Both,
}

/// What an ingest did.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// The view.
    pub view: Name,
    /// What was committed; none where nothing changed.
    pub commit: Option<Commit>,
    /// The id of a batch that was there already.
    pub already: Option<String>,
    /// Rows with a null in their key: kept in history, they match nothing.
    pub null_keys: u64,
    /// Rows that were available before this commit: they change past answers.
    pub backdated: u64,
    /// What reached the online store.
    pub online: Vec<Materialized>,
}

/// What an ingest feeds, as the registry says when it begins.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) catalog: Catalog,
    pub(crate) table: Table,
    /// How the source's columns become the table's.
    pub(crate) target: Target,
}

impl Engine {
    /// Append the rows of `input` to the history of `view`, all of them or none. `seen` is told how many rows were read.
    ///
    /// Columns are matched by name and mapping; every live version of the view is fed.
    pub async fn ingest(
        &self,
        view: &Name,
        input: &Input,
        batch: BatchId,
        extra: ExtraColumns,
        to: Destination,
        seen: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Ingested> {
        let run = self.begin_run();
        let (fed, done) = match self.feed(view).await {
            Ok(feed) => {
                let rows = canonical(input, feed.target.clone(), extra);
                let counts = rows.counts();
                let done = self.ingest_rows(&feed, view, rows, batch, to, seen).await;
                (Some((feed, counts)), done)
            }
            Err(error) => (None, Err(error)),
        };
        if let Some(run) = run {
            let fed = fed.as_ref().map(|(feed, counts)| (feed, counts.found(&feed.target)));
            self.tell_ingest(run, view, input, fed, &done).await;
        }
        done
    }

    async fn feed(&self, view: &Name) -> Result<Feed> {
        let catalog = self.registry().catalog().await?;
        let (table, target) = target_of(&catalog, view)?;
        Ok(Feed { catalog, table, target })
    }

    async fn ingest_rows(
        &self,
        feed: &Feed,
        view: &Name,
        rows: Canonical,
        batch: BatchId,
        to: Destination,
        seen: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Ingested> {
        let counts = rows.counts();
        let latest = find_view(&feed.catalog, &Selector::Latest(view.clone()))?;
        let backdated = Arc::new(AtomicU64::new(0));
        let rows = rows.map(|rows| rows.map_err(Into::into));
        let counted = self.count_backdated(rows, feed.table.created, latest, &backdated, seen);
        let mut done = self.append(&feed.table, view, batch, counted).await?;
        done.count(counts.null_key_rows(), backdated.load(Ordering::Relaxed));
        if to == Destination::Both {
            self.bring_online(&mut done).await?;
        }
        Ok(done)
    }

    /// Bring rows online that history has already: a failure says so, and does not take them back.
    async fn bring_online(&self, done: &mut Ingested) -> Result<()> {
        let online = self.materialize(std::slice::from_ref(&done.view)).await;
        done.brought_online(online)
    }

    /// Append canonical rows to the table of `view`.
    async fn append(
        &self,
        table: &Table,
        view: &Name,
        batch: BatchId,
        rows: impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send,
    ) -> Result<Ingested> {
        let clock = self.clock();
        let span = tracing::trace_span!(
            target: spans::STEP,
            "append",
            hitherto.view = %view,
            hitherto.rows = Empty,
            hitherto.commit = Empty,
            hitherto.first_sequence = Empty,
            hitherto.last_sequence = Empty,
        );
        let history = self.history(table)?;
        let appended = history.history().append(batch, rows, &move || clock.now()).instrument(span.clone()).await?;
        if let Appended::Done(commit) = &appended {
            span.record("hitherto.rows", commit.rows as i64);
            note_commit(&span, commit);
        }
        Ok(Ingested::new(view, appended))
    }

    fn count_backdated(
        &self,
        rows: impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send,
        created: Created,
        view: &ViewVersion,
        backdated: &Arc<AtomicU64>,
        seen: impl Fn(u64) + Send + Sync + 'static,
    ) -> impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send {
        let now = self.clock().now();
        let reading = view.reading();
        let backdated = Arc::clone(backdated);
        let mut read = 0;
        rows.inspect(move |batch| {
            let Ok(batch) = batch else { return };
            backdated.fetch_add(available_before(batch, created, reading, now), Ordering::Relaxed);
            read += batch.num_rows() as u64;
            seen(read);
        })
    }
}

impl Ingested {
    pub(crate) fn new(view: &Name, appended: Appended) -> Self {
        let (commit, already) = match appended {
            Appended::Done(commit) => (Some(commit), None),
            Appended::Already { batch_id } => (None, Some(batch_id)),
            Appended::Nothing => (None, None),
        };
        Self { view: view.clone(), commit, already, null_keys: 0, backdated: 0, online: Vec::new() }
    }

    /// Notes what became of its rows online.
    pub(crate) fn brought_online(&mut self, online: Result<Vec<Materialized>>) -> Result<()> {
        match online {
            Ok(online) => {
                self.online = online;
                Ok(())
            }
            Err(source) => {
                let sequences = self.commit.as_ref().map(|commit| (commit.first_sequence, commit.last_sequence));
                Err(Error::NotOnline { view: self.view.to_string(), sequences, source: Box::new(source) })
            }
        }
    }

    /// What is to be said of the rows, where they were appended.
    pub(crate) fn count(&mut self, null_keys: u64, backdated: u64) {
        if self.commit.is_some() {
            self.null_keys = null_keys;
            self.backdated = backdated;
        }
    }
}

/// Says in a span where rows came to lie.
pub(crate) fn note_commit(span: &Span, commit: &Commit) {
    span.record("hitherto.commit", commit.version as i64)
        .record("hitherto.first_sequence", commit.first_sequence)
        .record("hitherto.last_sequence", commit.last_sequence);
}

/// How many rows were available before `now`. None where a row is created by its commit: that is to come.
pub(crate) fn available_before(
    batch: &RecordBatch,
    created: Created,
    reading: hitherto_core::Reading,
    now: Timestamp,
) -> u64 {
    if created == Created::IngestedAt {
        return 0;
    }
    let time = |name: &str| batch.column_by_name(name).map(AsArray::as_primitive::<TimestampMicrosecondType>);
    let Some(event) = time(EVENT) else { return 0 };
    let created = time(CREATED);
    let available = |row: usize| {
        let row = hitherto_core::Row {
            event: Timestamp(event.value(row)),
            created: created.map(|created| Timestamp(created.value(row))),
            sequence: 0,
            deleted: false,
        };
        reading.available_at(&row)
    };
    (0..event.len()).filter(|row| available(*row) < now).count() as u64
}

/// The table that `view` is ingested into, and how the source's columns become its columns.
pub(crate) fn target_of(catalog: &Catalog, view: &Name) -> Result<(Table, Target)> {
    let latest = find_view(catalog, &Selector::Latest(view.clone()))?;
    let table = catalog.tables.get(&latest.table);
    let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", latest.table.clone()))?;
    let definition = &latest.definition;
    let mut columns = Vec::new();
    for key in &latest.keys {
        columns.push(TargetColumn::new(key.name.as_str(), &key.column, key.key_type.value_type(), Role::Key));
    }
    let time = hitherto_core::ValueType::Timestamp;
    columns.push(TargetColumn::new(EVENT, &definition.event_timestamp, time.clone(), Role::EventTime));
    if let (Created::Column, Some(created)) = (table.created, &definition.created_timestamp) {
        columns.push(TargetColumn::new(CREATED, created, time, Role::CreatedTime));
    }
    let live = catalog.live_versions(view.as_str());
    for (name, value_type) in &table.columns {
        // the latest version that has the feature says where it comes from
        let newest = live.iter().rev().find_map(|version| {
            let feature = version.definition.features.iter().find(|feature| feature.name == *name)?;
            Some((version.version == latest.version, feature.column.as_str()))
        });
        let Some((is_latest, column)) = newest else { continue };
        let feature = TargetColumn::new(name.as_str(), column, value_type.clone(), Role::Feature);
        columns.push(if is_latest { feature } else { feature.optional() });
    }
    columns.push(TargetColumn::new(DELETED, DELETED, hitherto_core::ValueType::Bool, Role::Deleted).optional());
    Ok((table.clone(), Target::new(columns)))
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use hitherto_core::{Reading, Span};

    use super::*;

    #[test]
    fn rows_created_by_their_commit_change_no_past() {
        let times = TimestampMicrosecondArray::from_iter_values([1, 5, 9]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([(EVENT, Arc::new(times) as _)]).expect("one column");
        let reading = Reading { source_delay: Span::from_micros(3).expect("a delay"), ttl: None };
        assert_eq!(available_before(&batch, Created::Absent, reading, Timestamp(9)), 2);
        assert_eq!(available_before(&batch, Created::IngestedAt, reading, Timestamp(9)), 0);
    }
}
