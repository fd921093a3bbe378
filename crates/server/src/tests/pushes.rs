//! Pushes: many at once, and their small files.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use hitherto_client::Pushed;
use hitherto_core::{Kind, Name, Span, Value};
use hitherto_engine::Retention;
use hitherto_proto::v1::ingest_client::IngestClient;
use hitherto_proto::v1::{PushRequest, PushResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

use super::fixture::{
    DEFINITIONS, Running, engine, eventually, of_airports, options, push_weather, running, set, start, weather,
};
use crate::{Limits, Options, Upkeep};

/// The files of the view's data: in all, and those of runs.
fn data_files(folder: &Path) -> (usize, usize) {
    let entries = std::fs::read_dir(folder.join("offline/weather/weather-1/data")).expect("a folder");
    let names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    (names.len(), names.iter().filter(|name| name.ends_with("-00000.parquet")).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_acknowledged_and_share_files() {
    const PUSHES: usize = 60;
    let server = running().await;
    let pushes = (0..PUSHES).map(|n| {
        let client = server.client.clone();
        // each second one is sent twice
        tokio::spawn(async move { push_weather(&client, Some(&format!("id {}", n - n % 2))).await })
    });
    let mut firsts = BTreeSet::new();
    let mut already = 0;
    for pushed in join_all(pushes).await {
        let pushed = pushed.expect("no panic").expect("it is pushed");
        match pushed.first_sequence {
            Some(first) => assert!(firsts.insert(first)),
            None => already += usize::from(pushed.already),
        }
    }
    assert_eq!((firsts.len(), already), (PUSHES / 2, PUSHES / 2));
    // three rows each, after those of the first push
    assert!(firsts.iter().copied().eq((0..PUSHES as i64 / 2).map(|push| 3 + push * 3)), "{firsts:?}");
    let (files, _) = data_files(server.folder.path());
    assert!(files < 1 + PUSHES / 2, "{files} files");
    server.end().await;
}

#[tokio::test]
async fn small_files_are_compacted_in_the_background() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let options = Options { compact_after: NonZeroUsize::new(3), ..options() };
    let server = start(folder, engine, options).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    for _ in 0..4 {
        server.push_weather(None).await.expect("it is pushed");
    }
    eventually(async || data_files(server.folder.path()).1 > 0).await;
    let found = server.client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect("features");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    assert_eq!(server.push_weather(None).await.expect("it is pushed").first_sequence, Some(12));
    server.end().await;
}

#[tokio::test]
async fn what_compactions_replace_goes_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let second = Span::from_micros(1_000_000).expect("a length of time");
    let retention = Retention { files: second, log: Some(second) };
    let upkeep = Some(Upkeep { every: Duration::from_millis(50), retention });
    let server = start(folder, engine, Options { compact_after: NonZeroUsize::new(3), upkeep, ..options() }).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    for _ in 0..4 {
        server.push_weather(None).await.expect("it is pushed");
    }
    // a run, and at most two that were too few to be compacted with it
    eventually(async || matches!(data_files(server.folder.path()), (1..=3, 1))).await;
    let counted = "hitherto_deleted_files_total{view=\"weather\",kind=\"data\"} ";
    eventually(async || {
        let (_, metrics) = server.page("/metrics").await;
        let deleted = metrics.lines().find_map(|line| line.strip_prefix(counted)?.parse::<u64>().ok());
        deleted.is_some_and(|files| files >= 3)
    })
    .await;
    let found = server.client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect("features");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    assert_eq!(server.push_weather(None).await.expect("it is pushed").first_sequence, Some(12));
    server.end().await;
}

/// A connection of a client that holds few answers which nobody reads.
async fn channel(server: &Running) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).expect("a url");
    endpoint.initial_stream_window_size(1_000).connect().await.expect("it answers")
}

/// A stream as the wire has it, to a server that it may outlive.
async fn opened(server: &Running, timeout: Option<Duration>) -> (mpsc::Sender<PushRequest>, Streaming<PushResponse>) {
    opened_over(channel(server).await, timeout).await
}

async fn opened_over(
    channel: Channel,
    timeout: Option<Duration>,
) -> (mpsc::Sender<PushRequest>, Streaming<PushResponse>) {
    let mut client = IngestClient::new(channel);
    let (sender, messages) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(messages));
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    (sender, client.push_stream(request).await.expect("it is taken").into_inner())
}

fn message(batch_id: Option<&str>) -> PushRequest {
    weather(batch_id).try_into().expect("it can be sent")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_is_answered_in_its_order_which_is_the_order_in_history() {
    const PUSHES: usize = 300;
    let server = running().await;
    let (mut pushes, mut answers) = server.client.push_stream().await.expect("it is taken");
    let sending = tokio::spawn(async move {
        for _ in 0..PUSHES {
            pushes.send(weather(None)).await.expect("it is sent");
        }
    });
    let mut firsts = Vec::new();
    while let Some(answer) = answers.next().await.expect("the stream goes on") {
        firsts.push(answer.expect("it is pushed").first_sequence.expect("rows"));
    }
    sending.await.expect("no panic");
    assert!(firsts.iter().copied().eq((0..PUSHES as i64).map(|push| 3 + push * 3)), "{firsts:?}");
    let (files, _) = data_files(server.folder.path());
    assert!(files < PUSHES / 2, "{files} files");
    let (_, metrics) = server.page("/metrics").await;
    let counted = format!("hitherto_grpc_requests_total{{method=\"Ingest/PushStream\",code=\"Ok\"}} {PUSHES}\n");
    assert!(metrics.contains(&counted), "{metrics}");
    server.end().await;
}

#[tokio::test]
async fn a_bad_batch_fails_alone_and_the_stream_goes_on() {
    let server = running().await;
    let (mut pushes, mut answers) = server.client.push_stream().await.expect("it is taken");
    let mut odd = weather(Some("odd"));
    odd.columns.pop();
    let unknown: Name = "wether".parse().expect("a name");
    let other = hitherto_client::Push { view: unknown, ..weather(None) };
    let mut fewer = weather(Some("one"));
    fewer.columns.iter_mut().for_each(|column| column.values.truncate(1));
    let mut told = Vec::new();
    for push in [weather(Some("one")), odd, weather(Some("one")), other, fewer, weather(None)] {
        pushes.send(push).await.expect("it is sent");
        told.push(answers.next().await.expect("the stream goes on").expect("an answer"));
    }
    drop(pushes);
    assert!(answers.next().await.expect("it ends well").is_none());
    let kinds: Vec<_> = told
        .iter()
        .map(|told| told.as_ref().map(|pushed| pushed.already).map_err(hitherto_client::Error::kind))
        .collect();
    let expected =
        [Ok(false), Err(Kind::InvalidArgument), Ok(true), Err(Kind::NotFound), Err(Kind::Conflict), Ok(false)];
    assert_eq!(kinds, expected);
    let refused = told[1].as_ref().expect_err("a column is missing").to_string();
    assert!(refused.contains("visibility"), "{refused}");
    let last: Pushed = *told[5].as_ref().expect("it is pushed");
    assert_eq!((last.first_sequence, last.online_rows), (Some(6), 3), "nothing of what was refused is in history");
    server.end().await;
}

#[tokio::test]
async fn a_stream_waits_for_its_place_where_a_single_push_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let pushes = Limits { at_once: 1, queued: 0 };
    let server = start(folder, engine, Options { pushes, ..options() }).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    let stream = async || {
        let (sender, answers) = opened(&server, None).await;
        let sending = tokio::spawn(async move {
            for _ in 0..20 {
                sender.send(message(None)).await.expect("it is sent");
            }
        });
        let told: Vec<_> = answers.collect().await;
        sending.await.expect("no panic");
        told
    };
    for told in join_all([stream(), stream()]).await {
        let refused: Vec<_> = told.iter().filter(|told| told.as_ref().is_ok_and(|told| told.error.is_some())).collect();
        assert!(told.len() == 20 && refused.is_empty(), "{refused:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_on_and_keeps_nobody_from_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let pushes = Limits { at_once: 8, queued: 0 };
    let server = start(folder, engine, Options { pushes, ..options() }).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    let (sender, answers) = opened(&server, None).await;
    // far more than may be unanswered, and than the window of the transport holds
    let sending = tokio::spawn(async move { while sender.send(message(None)).await.is_ok() {} });
    let stands_still = async {
        let mut before = None;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let kept = server.client.push(weather(None)).await.ok().and_then(|pushed| pushed.first_sequence);
            // nobody else has pushed between two of ours
            if kept.is_some() && before == kept.map(|kept| kept - 3) {
                break;
            }
            before = kept.or(before);
        }
    };
    tokio::time::timeout(Duration::from_mins(1), stands_still).await.expect("it is read no further");
    assert!(!sending.is_finished(), "it is held back, not refused");
    // whoever leaves takes along what was not taken
    sending.abort();
    drop(answers);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_is_not_read_on_leaves_its_connection_to_others() {
    let server = running().await;
    let channel = channel(&server).await;
    let (sender, answers) = opened_over(channel.clone(), None).await;
    // nobody reads its answers, so that in the end nothing more of it is taken: it has filled all that it may send ahead
    while let Ok(sent) = tokio::time::timeout(Duration::from_secs(2), sender.send(message(None))).await {
        sent.expect("the stream goes on");
    }
    let mut other = IngestClient::new(channel);
    let push = other.push(message(Some("other")));
    let pushed = tokio::time::timeout(Duration::from_secs(20), push).await.expect("nothing is in its way");
    assert_eq!(pushed.expect("it is pushed").into_inner().rows, 3);
    drop((sender, answers));
    server.end().await;
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_and_when_the_server_stops() {
    let mut server = running().await;
    let (sender, mut answers) = opened(&server, Some(Duration::from_millis(300))).await;
    sender.send(message(None)).await.expect("it is sent");
    let pushed = answers.message().await.expect("in time").expect("an answer");
    assert_eq!((pushed.rows, pushed.error), (3, None));
    let status = answers.message().await.expect_err("its time is over");
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");

    let (sender, mut answers) = opened(&server, None).await;
    sender.send(message(None)).await.expect("it is sent");
    assert_eq!(answers.message().await.expect("in time").expect("an answer").rows, 3);
    server.stop();
    let status = answers.message().await.expect_err("the server stops");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the server stops; what has no answer was not kept"), "{status:?}");
    server.task.await.expect("no panic").expect("it ends well");
}
