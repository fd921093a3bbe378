//! From the verbs' errors to `google.rpc.Status`, and every answer counted.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use hitherto_core::{Kind, Problem};
use hitherto_engine::PushStage;
use hitherto_proto::Failure;
use tokio::time::Instant;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::account::{Account, Phase};
use crate::admission::{Admission, Work};
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::traces;

/// How long a caller should wait before it tries again what may succeed later.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Failure);

impl Refusal {
    /// What is asked for does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self(Failure::new(Kind::NotFound, message))
    }

    /// A field of the request is wrong.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Failure::new(Kind::InvalidArgument, message.clone()).with_violation(field, message))
    }
}

impl From<hitherto_engine::Error> for Refusal {
    fn from(error: hitherto_engine::Error) -> Self {
        let mut failure = Failure::new(error.kind(), text_of(&error));
        if let hitherto_engine::Error::Definitions(problems) = &error {
            for problem in problems {
                failure = failure.with_violation(place_of(problem), problem.message.clone());
            }
        }
        Self(failure)
    }
}

impl From<hitherto_registry::Error> for Refusal {
    fn from(error: hitherto_registry::Error) -> Self {
        hitherto_engine::Error::from(error).into()
    }
}

impl From<hitherto_offline::Error> for Refusal {
    fn from(error: hitherto_offline::Error) -> Self {
        hitherto_engine::Error::from(error).into()
    }
}

impl From<hitherto_proto::Error> for Refusal {
    fn from(error: hitherto_proto::Error) -> Self {
        Self(error.into())
    }
}

impl From<Refusal> for Status {
    fn from(Refusal(failure): Refusal) -> Self {
        let retryable = failure.kind.is_retryable();
        let status = Self::from(failure);
        if !retryable {
            return status;
        }
        let mut details = status.get_error_details();
        details.set_retry_info(Some(RETRY_AFTER));
        Self::with_error_details(status.code(), status.message(), details)
    }
}

/// Does `work` for `method`, counts it and how long it took, and logs what is a fault of ours.
pub(crate) async fn answer<T: Send>(
    metrics: &Metrics,
    method: &'static str,
    work: impl Future<Output = Result<T, Refusal>> + Send,
) -> Result<Response<T>, Status> {
    // a caller who hangs up drops this future, which counts as cancelled
    let mut call = Call { metrics, method, started: Instant::now(), code: Code::Cancelled };
    let outcome = work.await;
    match outcome {
        Ok(reply) => {
            call.code = Code::Ok;
            Ok(Response::new(reply))
        }
        Err(refusal) => {
            let status = refused(method, refusal);
            call.code = status.code();
            Err(status)
        }
    }
}

/// The same for what is let in by `admission` and has a deadline: `work` is not begun before there is a place for it, and is
/// dropped where it stands when its deadline has passed. Its message takes so many `bytes` of memory.
pub(crate) async fn answer_in_time<T: Send>(
    shared: &Shared,
    admission: &Admission,
    account: &Account,
    bytes: usize,
    work: impl Future<Output = Result<T, Refusal>> + Send,
) -> Result<Response<T>, Status> {
    let method = admission.work.method();
    let mut call = HeldCall { shared, method, account, code: Code::Cancelled };
    let let_in = async {
        let held = admission.hold(bytes)?;
        let place = admission.admit(account).await?;
        let outcome = work.await;
        drop((place, held));
        Ok::<_, Refusal>(outcome)
    };
    let status = match account.deadline.hold(let_in).await {
        Some(Ok(Ok(reply))) => {
            call.code = Code::Ok;
            return Ok(Response::new(reply));
        }
        Some(Ok(Err(refusal))) => refused(method, refusal),
        // the door has told it, and not once a request
        Some(Err(refusal)) => Status::from(refusal),
        None => late(method, admission.work, account),
    };
    call.code = status.code();
    Err(status)
}

/// Logs what is a fault of ours.
pub(crate) fn refused(method: &'static str, refusal: Refusal) -> Status {
    match refusal.0.kind {
        Kind::Internal => tracing::error!(method, "{}", refusal.0.message),
        Kind::Unavailable | Kind::Exhausted => tracing::warn!(method, "{}", refusal.0.message),
        _ => tracing::debug!(method, "{}", refusal.0.message),
    }
    Status::from(refusal)
}

/// The deadline has passed: where the time went, and what to do about it.
pub(crate) fn late(method: &'static str, work: Work, account: &Account) -> Status {
    let timeout = account.deadline.timeout.unwrap_or_default();
    let mut message =
        format!("{method} was not done within {timeout:?}, the request's grpc-timeout: {}", account.times());
    let hint = match account.phase() {
        Phase::Queue => {
            let [of_places, _] = work.settings();
            format!("the server has more to do than {of_places} lets in: wait longer, or ask another server")
        }
        Phase::Store => "the store is slow, or much is asked of it at once: wait longer, or send fewer rows".to_owned(),
        Phase::Receive | Phase::Own => "wait longer, or send fewer rows at once".to_owned(),
    };
    if work == Work::Pushes {
        // by now the work is dropped, so that what waits does so no longer
        message.push_str(match account.push.stage() {
            PushStage::Waiting => "; nothing of the rows was kept",
            PushStage::Committing => {
                "; whether the rows were kept is not known, with a batch id they can be pushed again"
            }
            PushStage::Kept => {
                "; the rows are kept, and reach the online store by themselves where `hitherto serve` follows"
            }
        });
    }
    let status = Status::from(Failure::new(Kind::Unavailable, message).with_hint(hint));
    let mut details = status.get_error_details();
    // no kind of ours: to whoever reads kinds, it is a server that cannot be reached in time
    let domain = details.error_info().map(|said| said.domain.clone()).unwrap_or_default();
    details.set_error_info("DEADLINE_EXCEEDED", domain, HashMap::new());
    Status::with_error_details(Code::DeadlineExceeded, status.message(), details)
}

/// A call with an account.
struct HeldCall<'a> {
    shared: &'a Shared,
    method: &'static str,
    account: &'a Account,
    code: Code,
}

impl Drop for HeldCall<'_> {
    fn drop(&mut self) {
        self.shared.metrics.request(self.method, self.code, self.account.times().total());
        self.shared.metrics.served(self.account, self.code);
        self.shared.slow.ended(self.method, self.code, self.account);
        if self.shared.traces.is_some() {
            traces::note(self.account);
        }
    }
}

struct Call<'a> {
    metrics: &'a Metrics,
    method: &'static str,
    started: Instant,
    code: Code,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.metrics.request(self.method, self.code, self.started.elapsed());
    }
}

/// An error with those of its causes that it does not name itself.
pub(crate) fn text_of(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let named = inner.to_string();
        if !text.contains(&named) {
            text.push_str(": ");
            text.push_str(&named);
        }
        cause = inner.source();
    }
    text
}

fn place_of(problem: &Problem) -> String {
    if problem.line == 0 {
        return problem.file.clone();
    }
    format!("{}:{}:{}", problem.file, problem.line, problem.column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;

    #[test]
    fn only_what_may_succeed_later_says_when_to_retry() {
        let status = |kind| Status::from(Refusal(Failure::new(kind, "no")));
        let unavailable = status(Kind::Unavailable);
        assert_eq!(unavailable.code(), Code::Unavailable);
        let details = unavailable.get_error_details();
        assert_eq!(details.retry_info().and_then(|retry| retry.retry_delay), Some(RETRY_AFTER));
        let said = details.error_info().map(|said| (said.reason.as_str(), said.domain.as_str()));
        assert_eq!(said, Some(("UNAVAILABLE", "hitherto")));
        assert!(status(Kind::InvalidArgument).get_error_details().retry_info().is_none());
    }

    #[test]
    fn a_push_that_waits_is_told_that_nothing_was_kept() {
        let account = Account::open(Deadline { arrived: Instant::now(), timeout: Some(Duration::ZERO) });
        let message = |work: Work| late(work.method(), work, &account).message().to_owned();
        assert!(message(Work::Pushes).ends_with("; nothing of the rows was kept"), "{}", message(Work::Pushes));
        assert!(!message(Work::Reads).contains("kept"), "{}", message(Work::Reads));
    }

    #[test]
    fn every_problem_of_definitions_is_a_violation() {
        let problem = |line, message: &str| Problem { file: "a.yaml".into(), line, column: 3, message: message.into() };
        let error = hitherto_engine::Error::Definitions(vec![problem(2, "is odd"), problem(9, "is even")]);
        let Refusal(failure) = error.into();
        let said: Vec<_> =
            failure.violations.iter().map(|said| (said.field.as_str(), said.description.as_str())).collect();
        assert_eq!(said, [("a.yaml:2:3", "is odd"), ("a.yaml:9:3", "is even")]);
        assert_eq!(failure.message, "a.yaml:2:3: is odd\na.yaml:9:3: is even");
    }
}
