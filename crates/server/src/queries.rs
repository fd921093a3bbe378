//! Queries of SQL that run: limited in time and rows, counted, and ended when nobody waits for their rows any more.

use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{FutureExt, TryStreamExt};
use hitherto_core::Kind;
use hitherto_engine::PlannedQuery;
use hitherto_online::spans;
use hitherto_proto::Failure;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::answer::Refusal;
use crate::delivery::{Delivery, delivery};
use crate::shared::Shared;
use crate::turns::Turns;

/// Batches that are made before the client asks for them; with more than these the query waits.
const AHEAD: usize = 2;

/// So long the last rows wait at least.
const READ_MIN: Duration = Duration::from_mins(1);
/// A query's text: more is no question that anybody writes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The rows of a query, or why there are no more.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch, Refusal>>;

/// Runs the query; what it holds is let go as soon as the rows are dropped, or a limit is reached.
pub(crate) fn run(shared: &Arc<Shared>, query: PlannedQuery) -> Rows {
    let (delivery, rows) = delivery(AHEAD);
    // beside the client's call, so that the time limit holds for a client that reads nothing
    let span = tracing::trace_span!(target: spans::STEP, "run query", hitherto.rows = Empty, otel.status_code = Empty);
    let driven = drive(query, delivery, Running::begin(Arc::clone(shared))).instrument(span);
    drop(shared.threads.spawn(driven));
    rows
}

/// Plans a query that somebody sent.
pub(crate) async fn plan(shared: &Shared, query: &str) -> Result<PlannedQuery, Refusal> {
    let (engine, text) = (shared.engine().clone(), query.to_owned());
    plan_by(shared, query, Box::pin(async move { engine.plan_sql(&text).await })).await
}

/// The same where `planning` does it, over other tables than the engine's.
pub(crate) async fn plan_by(
    shared: &Shared,
    query: &str,
    planning: impl Future<Output = Result<PlannedQuery, hitherto_engine::Error>> + Send + 'static,
) -> Result<PlannedQuery, Refusal> {
    if query.len() > TEXT_BYTES_MAX {
        let message = format!(
            "the query has {} bytes, and {TEXT_BYTES_MAX} are the most: put lists of values into parameters or a view",
            query.len()
        );
        return Err(Refusal::invalid("query", message));
    }
    within(shared, planning).await
}

/// On threads of its own: planning may compute for long, and whoever waits for it is told in time all the same. Its place is
/// free when it has ended, and not before.
async fn in_turn<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<T, hitherto_engine::Error>> + Send + 'static,
) -> Result<T, Refusal> {
    let turn = shared.turns.turn().await;
    let work = async move {
        let done = work.await;
        drop(turn);
        done
    };
    let planning = tracing::trace_span!(target: spans::STEP, "plan query");
    let done = shared.threads.run(work.instrument(planning));
    match done.await {
        Some(done) => Ok(done?),
        None => Err(died("the query died while it was planned, of a fault of the server: the server's log says where")),
    }
}

fn died(message: &str) -> Refusal {
    tracing::error!("{message}");
    Refusal(Failure::new(Kind::Internal, message))
}

/// Does what comes before the rows when its turn has come, under the same time limit.
pub(crate) async fn within<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<T, hitherto_engine::Error>> + Send + 'static,
) -> Result<T, Refusal> {
    let _open = shared.turns.open()?;
    tokio::select! {
        done = in_turn(shared, work) => done,
        refusal = too_long(shared.sql.timeout) => Err(refusal),
    }
}

async fn drive(query: PlannedQuery, delivery: Delivery<RecordBatch, Refusal>, mut running: Running) {
    let begun = Instant::now();
    let (shared, limits) = (Arc::clone(&running.shared), running.shared.sql);
    let ended = tokio::select! {
        biased;
        // nobody is there any more: the query is dropped, and was counted as cancelled from the start
        () = delivery.closed() => return,
        refusal = too_long(limits.timeout) => Err(refusal),
        ended = unless_it_dies(send(query, &shared.turns, limits.rows_max, &delivery)) => ended,
    };
    running.outcome = if ended.is_ok() { "done" } else { "failed" };
    drop(running);
    let ended = match (ended, limits.timeout) {
        (Ok(()), Some(timeout)) => read_within(timeout.saturating_sub(begun.elapsed()), &delivery).await,
        (ended, _) => ended,
    };
    if let Err(refusal) = ended {
        Span::current().record("otel.status_code", "ERROR");
        tracing::debug!("{}", refusal.0.message);
        delivery.fail(refusal);
    }
}

/// The last rows wait for their client as long as the query had time, and long enough for one that reads at all.
async fn read_within(time: Duration, delivery: &Delivery<RecordBatch, Refusal>) -> Result<(), Refusal> {
    let time = time.max(READ_MIN);
    tokio::time::timeout(time, delivery.read()).await.map_err(|_| {
        let message = format!(
            "the query's last rows were not read within {time:?}: read them as they come, or raise the limit (`sql.timeout`)"
        );
        Refusal(Failure::new(Kind::Exhausted, message))
    })
}

/// Rows that only stopped would pass for a whole answer: work that panics fails like other work.
async fn unless_it_dies(work: impl Future<Output = Result<(), Refusal>> + Send) -> Result<(), Refusal> {
    let message = "the query died of a fault of the server, and its rows are not whole: the server's log says where";
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(died(message)))
}

async fn send(
    query: PlannedQuery,
    turns: &Turns,
    rows_max: Option<u64>,
    delivery: &Delivery<RecordBatch, Refusal>,
) -> Result<(), Refusal> {
    let _open = turns.open()?;
    let mut turn = turns.turn().await;
    let mut rows = query.run()?.map_err(hitherto_engine::Error::of_query);
    let mut count = 0;
    while let Some(batch) = rows.try_next().await? {
        // a client that reads slowly holds up no other query
        drop(turn);
        count += batch.num_rows() as u64;
        if let Some(max) = rows_max.filter(|max| count > *max) {
            let message = format!(
                "the query has more than {max} rows, which is the limit (`sql.max_rows`): ask for fewer, with a \
                 condition or LIMIT, or raise it"
            );
            return Err(Refusal(Failure::new(Kind::Exhausted, message)));
        }
        if !delivery.send(batch).await {
            break;
        }
        turn = turns.turn().await;
    }
    Span::current().record("hitherto.rows", count as i64);
    Ok(())
}

async fn too_long(timeout: Option<Duration>) -> Refusal {
    let Some(timeout) = timeout else { return pending().await };
    tokio::time::sleep(timeout).await;
    let message = format!(
        "the query took longer than {timeout:?}, which is the limit (`sql.timeout`): ask for less, such as a shorter \
         window of event_timestamp, or raise it"
    );
    Refusal(Failure::new(Kind::Exhausted, message))
}

/// Counts a query while it runs, and how it ended.
struct Running {
    shared: Arc<Shared>,
    outcome: &'static str,
}

impl Running {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.metrics.query_started();
        Self { shared, outcome: "cancelled" }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.metrics.query_ended(self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_that_panics_fails() {
        let died = unless_it_dies(async { panic!("a fault that no query should have") }).await;
        let Refusal(failure) = died.expect_err("it died");
        assert_eq!(failure.kind, Kind::Internal);
        assert!(failure.message.starts_with("the query died of a fault of the server"), "{}", failure.message);
        assert!(unless_it_dies(async { Ok(()) }).await.is_ok());
    }
}
