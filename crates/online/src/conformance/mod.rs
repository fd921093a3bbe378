//! What every online store must do, as a suite that each of them runs.
//!
//! ```no_run
//! # async fn test(store: std::sync::Arc<dyn hitherto_online::OnlineStore>, other: std::sync::Arc<dyn hitherto_online::OnlineStore>) {
//! hitherto_online::conformance::run(store, other).await;
//! # }
//! ```

mod erasure;
mod generations;
mod marks;
mod rows;

use std::sync::Arc;

use bytes::Bytes;
use hitherto_core::{Span, Timestamp};

use crate::{Group, OnlineRow, OnlineStore, Reading, Result, RowVersion, Write, Written};

/// Runs the suite on two stores that are empty: `store`, and `other` of another project in the same place. Needs a
/// tokio runtime.
///
/// # Panics
/// When a store does not do what it must.
pub async fn run(store: Arc<dyn OnlineStore>, other: Arc<dyn OnlineStore>) {
    let one = store.as_ref();
    one.ping().await.expect("it answers");
    assert_eq!(one.describe(), other.describe(), "the same place, and no project in its name");
    rows::unknown_keys_and_empty_groups(one).await;
    rows::the_greatest_wins_in_any_order_of_arrival(one).await;
    rows::neighbours_are_told_apart_at_every_size(one).await;
    rows::repeating_does_nothing(one).await;
    rows::duplicates_within_a_write(one).await;
    rows::tombstones_are_held(one).await;
    rows::keys_of_any_bytes(one).await;
    rows::values_of_any_size(one).await;
    rows::readings_and_projects_are_apart(one, other.as_ref()).await;
    rows::many_rows_at_once(one).await;
    rows::concurrent_writers(Arc::clone(&store)).await;
    erasure::a_row_is_erased_with_every_run_before(one, other.as_ref()).await;
    erasure::erasing_what_is_not_there_stops_runs_as_well(one).await;
    erasure::a_race_never_brings_a_row_back(Arc::clone(&store)).await;
    marks::marks_are_compared_and_set(one).await;
    marks::marks_never_go_back(one).await;
    marks::marks_come_with_rows(one, other.as_ref()).await;
    marks::one_of_many_runs_moves_the_marks(Arc::clone(&store)).await;
    generations::a_rebuild_takes_the_place_of_what_was_read(one, other.as_ref()).await;
    generations::who_began_before_a_rebuild_begins_again(one).await;
    generations::nothing_is_switched_before_it_has_caught_up(one).await;
    generations::a_rebuild_that_was_killed_is_replaced(one).await;
    generations::one_of_many_rebuilds_begins(Arc::clone(&store)).await;
    generations::readers_miss_nothing_while_generations_change(Arc::clone(&store)).await;
    generations::what_is_left_is_dropped_and_nothing_else(one).await;
    generations::an_erasure_reaches_every_generation(one).await;
}

fn reading(name: &str) -> Reading {
    Reading::new(&format!("conformance-{name}"), Span::ZERO)
}

fn version(event: i64, created: Option<i64>, sequence: i64) -> RowVersion {
    RowVersion { event: Timestamp(event), created: created.map(Timestamp), sequence }
}

/// A row whose values say its version, so that a mixture of two rows would show.
fn row(version: RowVersion) -> OnlineRow {
    OnlineRow { version, deleted: false, values: Bytes::from(format!("{version:?}")) }
}

fn write(key: impl Into<Vec<u8>>, version: RowVersion) -> Write {
    Write { key: key.into(), row: row(version) }
}

/// Writes in a run of its own.
pub(crate) async fn put(store: &dyn OnlineStore, reading: &Reading, writes: &[Write]) -> Result<Written> {
    let run = store.begin(reading).await?;
    store.write(reading, &run, writes).await
}

async fn held(store: &dyn OnlineStore, reading: &Reading, key: &[u8]) -> Option<OnlineRow> {
    let answers = store.read(&[Group { reading, keys: &[key.to_vec()] }]).await.expect("a read");
    assert_eq!((answers.len(), answers[0].rows.len()), (1, 1));
    answers[0].rows[0].clone()
}
