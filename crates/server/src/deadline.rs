//! Deadlines: until when a caller waits for its answer, as its `grpc-timeout` says.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Notes when a request came, before its message is read. It stands before every service.
///
/// The transport gives up a request at the same deadline, counted from a moment after this one and with a status that says
/// nothing; so ours comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoteArrival;

#[derive(Clone, Copy, Debug)]
struct Arrival(Instant);

impl Interceptor for NoteArrival {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.extensions_mut().insert(Arrival(Instant::now()));
        Ok(request)
    }
}

/// When a request came, and how long its caller waits, if it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) arrived: Instant,
    pub(crate) timeout: Option<Duration>,
}

impl Deadline {
    /// That of `request`.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let arrived = request.extensions().get::<Arrival>().map_or_else(Instant::now, |arrival| arrival.0);
        let sent = request.metadata().get("grpc-timeout");
        Self { arrived, timeout: sent.and_then(|text| timeout(text.to_str().ok()?)) }
    }

    /// What `work` gives; nothing if it is not done by the deadline, and then it is dropped where it stands: past the
    /// deadline it is not gone on with, not even begun.
    pub(crate) async fn hold<T: Send>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        let Some(end) = self.timeout.and_then(|timeout| self.arrived.checked_add(timeout)) else {
            return Some(work.await);
        };
        let (mut work, mut passed) = (pin!(work), pin!(sleep_until(end)));
        poll_fn(|context| {
            // looked at first: whoever was woken late must not ask a store on behalf of somebody who has left
            if Instant::now() >= end {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            passed.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// Up to eight digits and a unit. What is written otherwise is no timeout, as the transport sees it, too.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("4S", Some(Duration::from_secs(4))),
            ("50m", Some(Duration::from_millis(50))),
            ("250u", Some(Duration::from_micros(250))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("0m", Some(Duration::ZERO)),
            ("100000000n", None),
            ("-1S", None),
            ("+1S", None),
            ("m", None),
            ("5", None),
            ("5x", None),
            ("5\u{e9}", None),
            ("", None),
        ] {
            assert_eq!(timeout(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn work_is_dropped_at_the_deadline_and_not_begun_past_it() {
        let mut request = NoteArrival.call(Request::new(())).expect("it passes");
        request.set_timeout(Duration::from_millis(20));
        let deadline = Deadline::of(&request);
        assert_eq!(deadline.timeout, Some(Duration::from_millis(20)));
        assert_eq!(deadline.hold(std::future::pending::<()>()).await, None);
        assert!(deadline.arrived.elapsed() >= Duration::from_millis(20));
        let mut is_begun = false;
        assert_eq!(deadline.hold(async { is_begun = true }).await, None);
        assert!(!is_begun);
        for timeout in [None, Some(Duration::from_mins(1)), Some(Duration::MAX)] {
            let patient = Deadline { timeout, ..deadline };
            assert_eq!(patient.hold(async { 7 }).await, Some(7), "{timeout:?}");
        }
    }
}
