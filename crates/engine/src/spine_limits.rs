//! How far the query of a spine may go: it runs for whoever sent it, as any query does.

use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};

use crate::{Error, Result};

/// The limits of a spine that is a query; none, unless set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpineLimits {
    /// How long it may take to its last row.
    pub timeout: Option<Duration>,
    /// How many rows it may have.
    pub rows_max: Option<u64>,
}

/// The limits of a query that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    limits: SpineLimits,
    end: Option<Instant>,
}

impl SpineLimits {
    pub(crate) fn begin(self) -> Begun {
        Begun { limits: self, end: self.timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }
}

impl Begun {
    /// Does what belongs to the query, unless it takes too long.
    pub(crate) async fn hold<T: Send>(self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let Some(end) = self.end else { return work.await };
        timeout_at(end, work).await.unwrap_or_else(|_| {
            let timeout = self.limits.timeout.unwrap_or_default();
            Err(Error::Exhausted(format!(
                "the spine's query took longer than {timeout:?}, which is the limit (`sql.timeout`): ask for less, such as \
                 a shorter window of event_timestamp, or raise it"
            )))
        })
    }

    /// The rows, as long as there are not too many and it is not too late.
    pub(crate) fn rows(self, rows: BoxStream<'static, Result<RecordBatch>>) -> BoxStream<'static, Result<RecordBatch>> {
        let limited = stream::try_unfold((rows, 0_u64), move |(mut rows, count)| async move {
            let Some(batch) = self.hold(rows.try_next()).await? else { return Ok(None) };
            let count = count + batch.num_rows() as u64;
            match self.limits.rows_max.filter(|max| count > *max) {
                Some(max) => Err(Error::Exhausted(format!(
                    "the spine's query has more than {max} rows, which is the limit (`sql.max_rows`): ask for fewer, or \
                     raise it"
                ))),
                None => Ok(Some((batch, (rows, count)))),
            }
        });
        limited.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn rows(count: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        RecordBatch::try_from_iter([("n", numbers)]).expect("a batch")
    }

    async fn read(limits: SpineLimits, batches: BoxStream<'static, Result<RecordBatch>>) -> (usize, Option<String>) {
        let mut limited = limits.begin().rows(batches);
        let mut count = 0;
        loop {
            match limited.try_next().await {
                Ok(Some(batch)) => count += batch.num_rows(),
                Ok(None) => return (count, None),
                Err(error) => return (count, Some(error.to_string())),
            }
        }
    }

    #[tokio::test]
    async fn a_query_that_goes_too_far_ends_with_the_limit() {
        let three = || stream::iter([Ok(rows(2)), Ok(rows(1))]).boxed();
        assert_eq!(read(SpineLimits::default(), three()).await, (3, None));
        let limits = SpineLimits { timeout: Some(Duration::from_mins(1)), rows_max: Some(3) };
        assert_eq!(read(limits, three()).await, (3, None));
        let (count, error) = read(SpineLimits { rows_max: Some(2), ..limits }, three()).await;
        assert!(count == 2 && error.is_some_and(|error| error.contains("more than 2 rows")));
        let endless = stream::iter([Ok(rows(2))]).chain(stream::pending()).boxed();
        let (count, error) = read(SpineLimits { timeout: Some(Duration::from_millis(20)), ..limits }, endless).await;
        let error = error.expect("it takes for ever");
        assert!(count == 2 && error.contains("took longer than 20ms"), "{error}");
    }
}
