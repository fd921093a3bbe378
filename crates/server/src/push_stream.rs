//! `Ingest/PushStream`: batches as they come, each acknowledged in its turn.
//!
//! One task reads the messages, one after the other: each gets its place among the rows that wait for their table before the next
//! is read, so that the order in which they were sent is their order in history. What is left, to wait for the commit, each does in
//! a task of its own, so that a client who does not read its answers keeps nobody from anything. It reads no further while so many
//! are unanswered, while the door before pushes is full, or while the table has too many rows that wait: the transport's own flow
//! control then holds the sender back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, StreamExt, unfold};
use hitherto_core::{Kind, Name};
use hitherto_engine::PlacedPush;
use hitherto_online::spans;
use hitherto_proto::Failure;
use hitherto_proto::v1::{PushRequest, PushResponse};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::account::{Account, Phase};
use crate::admission::Work;
use crate::answer::{Refusal, late, refused};
use crate::auth::{Caller, tell};
use crate::background::stopped;
use crate::deadline::Deadline;
use crate::ingest::{Wanted, ended, wanted};
use crate::shared::Shared;
use crate::traces::is_fault;

/// The method, as metrics call it.
const METHOD: &str = "Ingest/PushStream";
/// The same, as those who are refused hear it.
const PATH: &str = "hitherto.v1.Ingest/PushStream";
/// So many batches of one stream may be unanswered. A thousand a second that take 50 ms each are 50 at once.
const UNANSWERED_MAX: usize = 128;

/// The answers of a stream.
pub(crate) type Answers = BoxStream<'static, Result<PushResponse, Status>>;

/// What comes next among the answers.
enum Next {
    /// What becomes of a batch.
    Batch(Pushing),
    /// The stream ends before its time.
    End(Status),
}

/// Reads what is sent, until it ends or nobody reads the answers any more.
pub(crate) fn answers(
    shared: &Arc<Shared>,
    sent: Streaming<PushRequest>,
    caller: Option<Arc<Caller>>,
    deadline: Deadline,
) -> Answers {
    let (next, nexts) = mpsc::channel(UNANSWERED_MAX);
    let reader = Reader { shared: Arc::clone(shared), caller, deadline };
    let reading = async move {
        tokio::select! {
            // what waits in the channel is cut off with it
            () = next.closed() => {}
            () = reader.read_to_the_end(sent, &next) => {}
        }
    };
    // of the call, where it is traced: each batch is a step of it
    tokio::spawn(reading.instrument(Span::current()));
    let answers = unfold(nexts, |mut nexts| async move {
        let answer = match nexts.recv().await? {
            Next::Batch(pushing) => Ok(pushing.await),
            Next::End(status) => Err(status),
        };
        Some((answer, nexts))
    });
    answers.boxed()
}

struct Reader {
    shared: Arc<Shared>,
    caller: Option<Arc<Caller>>,
    /// Of the whole stream.
    deadline: Deadline,
}

impl Reader {
    async fn read_to_the_end(&self, sent: Streaming<PushRequest>, next: &mpsc::Sender<Next>) {
        let reading = async {
            tokio::select! {
                read = self.read(sent, next) => read,
                () = stopped(self.shared.ending.subscribe()) => Err(stopping()),
            }
        };
        let ended = self.deadline.hold(reading).await.unwrap_or_else(|| Err(self.over()));
        if let Err(status) = ended {
            // nobody may be there to hear it
            let _ = next.send(Next::End(status)).await;
        }
    }

    async fn read(&self, mut sent: Streaming<PushRequest>, next: &mpsc::Sender<Next>) -> Result<(), Status> {
        loop {
            let Ok(slot) = next.reserve().await else { return Ok(()) };
            let Some(message) = sent.message().await? else { return Ok(()) };
            if let Some(caller) = &self.caller
                && let Err(refused) = self.shared.access.still_admits(caller)
            {
                // a token may be revoked while a stream goes on
                tell(&self.shared, &refused, PATH, None);
                return Err(refused.status(PATH, None));
            }
            let call = Call::new(&self.shared, self.deadline_of_one());
            let span = tracing::trace_span!(
                target: spans::STEP,
                "batch",
                hitherto.view = Empty,
                hitherto.rows = Empty,
                rpc.grpc.status_code = Empty,
                otel.status_code = Empty,
            );
            let placed = self.place(message, &call.account).instrument(span.clone()).await;
            let pushing = match placed {
                Ok(placed) => Pushing(tokio::spawn(call.wait_for(placed).instrument(span))),
                Err(refusal) => Pushing(tokio::spawn(call.refuse(refusal).instrument(span))),
            };
            slot.send(Next::Batch(pushing));
        }
    }

    /// Has a batch take its place, as soon as there is one.
    async fn place(&self, message: PushRequest, account: &Account) -> Result<Placed, Refusal> {
        let door = self.shared.pushes.admit_patiently(account).await?;
        let Wanted { view, batch, batch_id, to } = wanted(message, account)?;
        let prepared = self.shared.engine().prepare_push(&view, &batch, batch_id, to).await?;
        Span::current().record("hitherto.view", view.as_str()).record("hitherto.rows", batch.num_rows() as i64);
        account.enter(Phase::Store);
        let push = prepared.place_when_there_is_room(&account.push).await;
        Ok(Placed { push, view, rows: batch.num_rows(), door })
    }

    /// A batch comes when it comes, and is to be answered before the stream's time is over.
    fn deadline_of_one(&self) -> Deadline {
        let now = Instant::now();
        let gone = now.saturating_duration_since(self.deadline.arrived);
        Deadline { arrived: now, timeout: self.deadline.timeout.map(|timeout| timeout.saturating_sub(gone)) }
    }

    fn over(&self) -> Status {
        let timeout = self.deadline.timeout.unwrap_or_default();
        Status::deadline_exceeded(format!(
            "{METHOD} was to end within {timeout:?}, its grpc-timeout: what has no answer was not kept, and can be pushed again \
             in another stream"
        ))
    }
}

/// The server's end is no fault of the client's.
fn stopping() -> Status {
    let message = format!("{METHOD}: the server stops; what has no answer was not kept");
    let hint = "push what has no answer again, to another server or in a moment";
    Refusal(Failure::new(Kind::Unavailable, message).with_hint(hint)).into()
}

/// A batch that has its place, and what it holds meanwhile.
struct Placed {
    push: PlacedPush,
    view: Name,
    rows: usize,
    door: OwnedSemaphorePermit,
}

/// One batch of a stream: counted when it ends, however it does.
struct Call {
    shared: Arc<Shared>,
    account: Account,
    code: Code,
}

impl Call {
    fn new(shared: &Arc<Shared>, deadline: Deadline) -> Self {
        // a client who hangs up drops this, which counts as cancelled
        Self { shared: Arc::clone(shared), account: Account::open(deadline), code: Code::Cancelled }
    }

    async fn wait_for(mut self, placed: Placed) -> PushResponse {
        let Placed { push, view, rows, door } = placed;
        let outcome = self.account.deadline.hold(push.done()).await;
        drop(door);
        let answered = match outcome {
            Some(outcome) => {
                ended(&self.shared, &view, rows, &self.account, outcome).map_err(|refusal| refused(METHOD, refusal))
            }
            None => Err(late(METHOD, Work::Pushes, &self.account)),
        };
        self.end(answered)
    }

    #[expect(clippy::unused_async, reason = "it takes the place of one that waits")]
    async fn refuse(mut self, refusal: Refusal) -> PushResponse {
        self.end(Err(refused(METHOD, refusal)))
    }

    fn end(&mut self, answered: Result<PushResponse, Status>) -> PushResponse {
        self.code = answered.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let span = Span::current();
        span.record("rpc.grpc.status_code", i64::from(self.code as i32));
        if is_fault(self.code) {
            span.record("otel.status_code", "ERROR");
        }
        answered.unwrap_or_else(|status| PushResponse { error: Some(status.into()), ..PushResponse::default() })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.metrics.request(METHOD, self.code, self.account.times().total());
        self.shared.slow.ended(METHOD, self.code, &self.account);
    }
}

/// What becomes of a batch; dropped, it takes its rows back where their commit has not begun.
struct Pushing(JoinHandle<PushResponse>);

impl Future for Pushing {
    type Output = PushResponse;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PushResponse> {
        Pin::new(&mut self.0).poll(context).map(|ended| {
            ended.unwrap_or_else(|error| {
                let status =
                    refused(METHOD, Refusal(Failure::new(Kind::Internal, format!("a push was cut off: {error}"))));
                PushResponse { error: Some(status.into()), ..PushResponse::default() }
            })
        })
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.0.abort();
    }
}
