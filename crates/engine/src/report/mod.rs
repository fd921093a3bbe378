//! The leakage report of a training set: what a join on event time alone would have read too early, why values are absent,
//! and how late rows really become known.
//!
//! Each view is joined twice over one index of the spine, by what was available and by event time. Both joins tell of the
//! winner even where its values are withheld, so that a null has a cause.

mod delay;
mod join;
mod unwithheld;
mod view;

use futures::TryStreamExt;
use hitherto_core::{Catalog, Dataset, Mode, Span, VersionedName, ViewVersion};
use serde::Serialize;

use self::join::ReportJoin;
use crate::rebuild::{Origins, SpineSources};
use crate::{Engine, Error, Result};

/// The leakage report of a training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeakageReport {
    /// The training set's id.
    pub dataset: String,
    /// Which rows it could see. The report compares both modes, whichever it was.
    pub mode: Mode,
    /// Its rows.
    pub rows: u64,
    /// Per view, in the set's order.
    pub views: Vec<ViewReport>,
    /// What its reader should know, each with its remedy.
    pub warnings: Vec<String>,
}

/// One view's part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewReport {
    /// Its alias in the set.
    pub alias: String,
    /// The pinned version.
    pub view: VersionedName,
    /// Rows whose winner would have been another in mode `event`, or none.
    pub winners: u64,
    /// Cells of features that would have differed.
    pub cells: u64,
    /// How early the other winners would have been read: how long after the row's moment they became available.
    pub early: Option<Distribution>,
    /// Per feature, in the set's order.
    pub features: Vec<FeatureReport>,
    /// Rows without values, by cause.
    pub absent: Absent,
    /// How late rows become known.
    pub delay: DelayReport,
    /// Whether all its rows about the past of the spine were created after the spine's last moment.
    pub backfilled: bool,
}

/// One feature's part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    /// Its column.
    pub column: String,
    /// Cells that would have differed in mode `event`.
    pub cells: u64,
    /// Nulls: rows without values, and values that are null in their row.
    pub nulls: u64,
}

/// Rows in which a view has no values, each with one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// All of them.
    pub rows: u64,
    /// History has no row of the key with an event up to the row's moment; or a part of the key is null.
    pub no_row: u64,
    /// It has one, which was not available yet.
    pub not_yet_available: u64,
    /// The winner was older than the ttl.
    pub expired: u64,
    /// The winner was a tombstone.
    pub deleted: u64,
}

/// Lengths of time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// The median.
    pub p50_us: i64,
    /// Nineteen of twenty are no longer.
    pub p95_us: i64,
    /// Ninety-nine of a hundred are no longer.
    pub p99_us: i64,
    /// The longest.
    pub max_us: i64,
}

/// How late a view's rows become known, beside what is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DelayReport {
    /// The declared source delay, in microseconds.
    pub declared_us: Span,
    /// The column whose distance from the event time was measured: `created_timestamp`, or `_ingested_at` where the view
    /// has no created times.
    pub measured_by: String,
    /// Rows of history that were measured.
    pub rows: u64,
    /// What was measured; none where history has no rows, or was ingested after all of the spine's moments.
    pub measured: Option<Distribution>,
    /// The measured p99, up to a whole second: what a source delay that covers nearly all rows would be.
    pub better_us: Option<Span>,
    /// Rows of the training set that would have another winner with that delay.
    pub rows_changed: Option<u64>,
}

impl Engine {
    /// The leakage report of `dataset`, over the history that it saw; its spine is the first of `sources` with the rows that
    /// it was built from.
    pub async fn leakage_report(&self, dataset: &Dataset, sources: &SpineSources) -> Result<LeakageReport> {
        let catalog = self.registry().catalog().await?;
        let origins = self.origins(&catalog, dataset, sources).await?;
        let last_moment = self.last_moment(&origins, &dataset.event_timestamp).await?;
        let mut delays = Vec::new();
        for view_use in &origins.set.resolved.uses {
            let pinned = origins.pins.get(&view_use.table);
            let pinned = pinned.ok_or_else(|| Error::internal("a table is not pinned", view_use.table.clone()))?;
            delays.push(self.measured_delay(pinned, version(&catalog, &view_use.view)?, last_moment).await?);
        }
        let better: Vec<Option<Span>> = delays.iter().map(|delay| delay.report.better_us).collect();
        let join = ReportJoin::plan(&origins, &dataset.event_timestamp, &better)?;
        let mut tallies = join.tallies();
        let mut batches = self.report_batches(&join)?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows() as u64;
            let moments = join.moments(&batch)?;
            tallies.iter_mut().try_for_each(|tally| tally.add(&batch, &moments))?;
        }
        let warnings = delays.iter().zip(&origins.set.resolved.uses);
        let warnings = warnings.filter_map(|(delay, view_use)| delay.warning(view_use.alias.as_str(), last_moment?));
        let warnings = warnings.collect();
        let views = tallies.into_iter().zip(delays).zip(&origins.set.resolved.uses);
        let views = views.map(|((tally, delay), view_use)| tally.report(view_use, delay));
        Ok(LeakageReport { dataset: dataset.id.clone(), mode: dataset.mode, rows, views: views.collect(), warnings })
    }

    /// The latest of the spine's moments.
    async fn last_moment(&self, origins: &Origins<'_>, event_timestamp: &str) -> Result<Option<i64>> {
        let time = join::time_column(&origins.spine.schema, event_timestamp)?;
        let mut batches = self.report_rows(&origins.spine.plan()?)?;
        let mut last = None;
        while let Some(batch) = batches.try_next().await? {
            last = last.max(arrow::compute::max(&join::micros(batch.column(time))?));
        }
        Ok(last)
    }
}

fn version<'a>(catalog: &'a Catalog, view: &VersionedName) -> Result<&'a ViewVersion> {
    let versions = catalog.views.get(view.name.as_str());
    let found = versions.and_then(|versions| versions.iter().find(|known| known.version == view.version));
    found.ok_or_else(|| Error::NotFound(format!("feature view {view} is gone")))
}
