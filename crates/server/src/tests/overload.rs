//! Deadlines, and a server of which more is asked than it lets in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hitherto_core::{Kind, Value};
use hitherto_engine::ReadCounts;
use hitherto_online::{EmbeddedStore, OnlineStore};
use hitherto_proto::v1::GetFeaturesRequest;
use tokio::task::JoinHandle;
use tonic::server::UnaryService;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use super::fixture::{Running, engine_over, eventually, of_airports, options, set, start};
use super::gate::Gated;
use crate::admission::Load;
use crate::online_features::GetFeaturesService;
use crate::places::Places;
use crate::shared::Shared;
use crate::{Limits, Options};

/// The service itself over a store whose reads wait, and a server over the same store, which filled it. A client of the wire
/// keeps its own deadline, and would not see what the service answers at it.
struct Held {
    shared: Arc<Shared>,
    gate: Arc<Gated>,
    server: Running,
}

async fn held(requests: Limits) -> Held {
    let folder = tempfile::tempdir().expect("a folder");
    let online = EmbeddedStore::open(folder.path().join("online"), &"default".parse().expect("a name"));
    let gate = Gated::new(Arc::new(online.expect("an online store")));
    let engine = engine_over(folder.path(), Arc::clone(&gate) as Arc<dyn OnlineStore>).await;
    let options = Options { requests, ..options() };
    let server = start(folder, engine.clone(), options.clone()).await;
    server.fill().await;
    let shared = Shared::new(engine, Places::default(), &options).await.expect("the registry can be read");
    Held { shared: Arc::new(shared), gate, server }
}

impl Held {
    /// Asks for JFK in a task of its own.
    fn ask(&self, timeout: Option<Duration>) -> JoinHandle<Result<Response<Vec<u8>>, Status>> {
        let message = GetFeaturesRequest::try_from(of_airports(set("outlook"), &["JFK"])).expect("it can be sent");
        let mut request = Request::new(message);
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        tokio::spawn(GetFeaturesService(Arc::clone(&self.shared)).call(request))
    }

    /// Asks once, and is answered: the plan is compiled then, and what comes later is quick.
    async fn warm_up(&self) {
        let asked = self.ask(None);
        self.gate.arrived.notified().await;
        self.gate.open.notify_one();
        asked.await.expect("no panic").expect("features");
    }

    fn asked(&self) -> usize {
        self.gate.asked.load(Ordering::Relaxed)
    }

    async fn has_queued(&self, queued: usize) {
        eventually(async || self.shared.reads.load().queued == queued).await;
    }

    fn metrics(&self) -> String {
        self.shared.metrics.load([&self.shared.reads, &self.shared.pushes], ReadCounts::default());
        self.shared.metrics.render()
    }
}

async fn refused(asked: JoinHandle<Result<Response<Vec<u8>>, Status>>) -> Status {
    asked.await.expect("no panic").expect_err("it is refused")
}

fn hint(status: &Status) -> String {
    let details = status.get_error_details();
    details.help().and_then(|help| help.links.first()).map(|link| link.description.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_request_is_given_up_at_its_deadline_and_says_where_its_time_went() {
    let held = held(Limits::REQUESTS).await;
    held.warm_up().await;
    let late = refused(held.ask(Some(Duration::from_millis(500)))).await;
    assert_eq!((late.code(), held.asked()), (Code::DeadlineExceeded, 2));
    let message = late.message();
    let begin = "OnlineFeatures/GetFeatures was not done within 500ms, the request's grpc-timeout: receive ";
    assert!(message.starts_with(begin), "{message}");
    assert!(hint(&late).starts_with("the store is slow"), "{}", hint(&late));
    let details = late.get_error_details();
    let said = details.error_info().expect("error info");
    assert_eq!((said.reason.as_str(), said.domain.as_str()), ("DEADLINE_EXCEEDED", "hitherto"));
    // the store is not asked for somebody who has left
    let later = refused(held.ask(Some(Duration::ZERO))).await;
    assert_eq!((later.code(), held.asked()), (Code::DeadlineExceeded, 2));
    let metrics = held.metrics();
    for line in [
        "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\",code=\"DeadlineExceeded\"} 2",
        "hitherto_serving_requests_total{feature_set=\"outlook@1\",model=\"\",code=\"DeadlineExceeded\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no line '{line}' in\n{metrics}");
    }
    held.server.end().await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_gone_when_its_caller_is() {
    let held = held(Limits { at_once: 1, queued: 1 }).await;
    held.warm_up().await;
    let first = held.ask(None);
    held.gate.arrived.notified().await;
    let second = held.ask(Some(Duration::from_millis(500)));
    held.has_queued(1).await;

    let third = refused(held.ask(None)).await;
    assert_eq!(third.code(), Code::ResourceExhausted);
    assert_eq!(
        third.message(),
        "too much at once for OnlineFeatures/GetFeatures: 1 are in flight and 1 wait for their turn"
    );
    assert!(hint(&third).contains("server.max_concurrent_requests and server.max_queued_requests"), "{}", hint(&third));
    let retry = third.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    assert_eq!(held.shared.reads.load(), Load { in_flight: 1, queued: 1, refused: 1 });

    let second = refused(second).await;
    assert_eq!((second.code(), held.asked()), (Code::DeadlineExceeded, 2));
    assert!(hint(&second).contains("more to do than server.max_concurrent_requests lets in"), "{}", hint(&second));
    assert_eq!(held.shared.reads.load().queued, 0);
    let fourth = held.ask(None);
    held.has_queued(1).await;
    fourth.abort();
    assert!(fourth.await.expect_err("it is cut off").is_cancelled());
    assert_eq!(held.shared.reads.load().queued, 0);

    let fifth = held.ask(None);
    held.has_queued(1).await;
    for asked in [first, fifth] {
        held.gate.open.notify_one();
        asked.await.expect("no panic").expect("features");
    }
    assert_eq!((held.shared.reads.load(), held.asked()), (Load { in_flight: 0, queued: 0, refused: 1 }, 3));
    let metrics = held.metrics();
    for (code, count) in [("Ok", 3), ("DeadlineExceeded", 1), ("ResourceExhausted", 1), ("Cancelled", 1)] {
        let series = format!("hitherto_grpc_requests_total{{method=\"OnlineFeatures/GetFeatures\",code=\"{code}\"}}");
        assert!(
            metrics.lines().any(|found| found == format!("{series} {count}")),
            "{series} is not {count}:\n{metrics}"
        );
    }
    let refused = "hitherto_requests_refused_total{method=\"OnlineFeatures/GetFeatures\"} 1";
    assert!(metrics.lines().any(|found| found == refused), "{metrics}");
    held.server.end().await;
}

#[tokio::test]
async fn a_server_that_is_full_of_reads_answers_everything_else() {
    let held = held(Limits { at_once: 1, queued: 0 }).await;
    let server = &held.server;
    let client = server.client.clone();
    let first = tokio::spawn(async move { client.get_features(of_airports(set("outlook"), &["JFK"])).await });
    held.gate.arrived.notified().await;
    let error = server.client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect_err("it is full");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Exhausted, true));
    assert!(error.hint().is_some_and(|hint| hint.contains("server.max_queued_requests")), "{error}");
    assert_eq!(server.client.catalog_revision().await.expect("the registry answers"), 1);
    assert_eq!(server.page("/healthz").await.0, 200);
    assert_eq!(server.page("/readyz").await.0, 200);
    assert_eq!(server.push_weather(Some("second")).await.expect("pushes have a door of their own").rows, 3);
    let (_, metrics) = server.page("/metrics").await;
    for line in [
        "hitherto_requests_in_flight{method=\"OnlineFeatures/GetFeatures\"} 1",
        "hitherto_requests_queued{method=\"OnlineFeatures/GetFeatures\"} 0",
        "hitherto_requests_refused_total{method=\"OnlineFeatures/GetFeatures\"} 1",
        "hitherto_requests_refused_total{method=\"Ingest/Push\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no line '{line}' in\n{metrics}");
    }
    held.gate.open.notify_one();
    let found = first.await.expect("no panic").expect("features");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    held.server.end().await;
}
