//! The client against a server of its own, through a socket.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use hitherto_core::{Alias, Kind, Name, Status, Timestamp, Value, ValueType, VersionedName};
use hitherto_proto::{
    Consumer, ExpectedAlias, Failure, FeatureColumn, Features, GetFeatures, MoveAlias, ViewAnswer, v1,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};
use v1::models_server::{Models, ModelsServer};
use v1::online_features_server::{OnlineFeatures, OnlineFeaturesServer};

use crate::{Client, Column, Error, Timeouts};

/// Answers every read with its first entity column as the only feature; refuses the set `absent`, never answers `slow`.
#[derive(Debug)]
struct Echo;

type Answer<T> = Result<Response<T>, tonic::Status>;

#[tonic::async_trait]
impl OnlineFeatures for Echo {
    async fn get_features(&self, request: Request<v1::GetFeaturesRequest>) -> Answer<v1::GetFeaturesResponse> {
        let wanted = GetFeatures::try_from(request.into_inner()).map_err(Failure::from)?;
        let Consumer::FeatureSet(set) = &wanted.consumer else {
            return Err(Failure::new(Kind::Unsupported, "sets only").into());
        };
        match set.name().as_str() {
            "absent" => {
                let failure = Failure::new(Kind::NotFound, "no feature set 'absent'");
                return Err(failure.with_hint("did you mean 'late'?").with_violation("feature_set", "unknown").into());
            }
            "slow" => return pending().await,
            "broken" => return Ok(Response::new(v1::GetFeaturesResponse::default())),
            _ => (),
        }
        let answer = v1::GetFeaturesResponse::try_from(echo(wanted)).map_err(Failure::from)?;
        Ok(Response::new(answer))
    }
}

fn echo(wanted: GetFeatures) -> Features {
    let rows = wanted.entities[0].len();
    let Column { name, value_type, values } = wanted.entities.into_iter().next().expect("an entity column");
    let status = |value: &Value| if *value == Value::Null { Status::NotFound } else { Status::Present };
    let statuses = values.iter().map(status).collect();
    let view = VersionedName { name: name_of("view"), version: 1 };
    Features {
        columns: vec![FeatureColumn { name, value_type, values, statuses, view: Some(0) }],
        views: vec![ViewAnswer { view, alias: name_of("view"), event_times: None, watermark: None }],
        feature_set: VersionedName { name: name_of("late"), version: 2 },
        feature_set_hash: "ab".to_owned(),
        model: None,
        clock: Timestamp(5),
        rows,
    }
}

#[tonic::async_trait]
impl Models for Echo {
    async fn register(&self, _: Request<v1::RegisterModelRequest>) -> Answer<v1::ModelVersion> {
        Err(Failure::new(Kind::Conflict, "somebody else was first").into())
    }

    async fn move_alias(&self, request: Request<v1::MoveAliasRequest>) -> Answer<v1::ModelAlias> {
        let wanted = MoveAlias::try_from(request.into_inner()).map_err(Failure::from)?;
        let MoveAlias { model, alias, version, .. } = wanted;
        Ok(Response::new(Alias::new(model, alias, version, Timestamp(1)).into()))
    }

    async fn get(&self, _: Request<v1::GetModelRequest>) -> Answer<v1::ModelVersion> {
        Err(tonic::Status::unauthenticated("who are you"))
    }

    async fn list(&self, _: Request<v1::ListModelsRequest>) -> Answer<v1::ListModelsResponse> {
        Ok(Response::new(v1::ListModelsResponse::default()))
    }

    async fn list_aliases(&self, request: Request<v1::ListAliasesRequest>) -> Answer<v1::ListAliasesResponse> {
        let model = request.into_inner().model.unwrap_or_else(|| "all".to_owned());
        let alias =
            v1::ModelAlias { model, alias: "champion".to_owned(), version: 7, moved_at_us: -1, ..Default::default() };
        Ok(Response::new(v1::ListAliasesResponse { aliases: vec![alias] }))
    }
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder()
        .add_service(OnlineFeaturesServer::new(Echo))
        .add_service(ModelsServer::new(Echo))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

async fn client() -> Client {
    Client::connect(&serve().await.to_string()).await.expect("a server listens")
}

fn name_of(text: &str) -> Name {
    text.parse().expect("a name")
}

fn read_of(set: &str) -> GetFeatures {
    let values = vec![Value::Int64(i64::MIN), Value::Null];
    let consumer = Consumer::FeatureSet(set.parse().expect("a selector"));
    GetFeatures::new(consumer, vec![Column::new("k", ValueType::Int64, values)])
}

#[tokio::test]
async fn features_come_back_as_they_were_answered() {
    let read = client().await.get_features(read_of("late")).await.expect("an answer");
    assert_eq!(read, echo(read_of("late")));
    assert_eq!(read.columns[0].statuses, [Status::Present, Status::NotFound]);
}

#[tokio::test]
async fn a_refusal_has_the_servers_words_kind_and_hint() {
    let error = client().await.get_features(read_of("absent")).await.expect_err("a refusal");
    assert_eq!(error.to_string(), "no feature set 'absent'");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::NotFound, false));
    assert_eq!(error.hint(), Some("did you mean 'late'?"));
    assert_eq!(error.violations()[0].field, "feature_set");
}

#[tokio::test]
async fn kinds_survive_the_wire() {
    let client = client().await;
    let model: hitherto_core::Selector = "late".parse().expect("a selector");
    let wanted = crate::RegisterModel {
        name: name_of("late"),
        feature_set: Some(model.clone()),
        feature_set_hash: None,
        dataset: None,
        tags: [].into(),
    };
    let error = client.register_model(wanted).await.expect_err("a conflict");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
    let error = client.model(&model).await.expect_err("a refusal");
    assert_eq!((error.kind(), error.hint()), (Kind::InvalidArgument, None));
    let error = client.catalog_revision().await.expect_err("a server without a registry");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[tokio::test]
async fn models_and_aliases_travel() {
    let client = client().await;
    let wanted =
        MoveAlias { model: name_of("late"), alias: name_of("champion"), version: 3, expected: ExpectedAlias::Nowhere };
    assert_eq!(client.move_alias(wanted).await.expect("a move").version, 3);
    assert_eq!(client.models(None).await.expect("a list"), []);
    let aliases = client.aliases(Some(&name_of("late"))).await.expect("a list");
    assert_eq!((aliases[0].model.as_str(), aliases[0].version, aliases[0].moved_at), ("late", 7, Timestamp(-1)));
    assert_eq!(client.aliases(None).await.expect("a list")[0].model.as_str(), "all");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_not() {
    let mut wanted = read_of("late");
    wanted.entities.push(Column::new("k2", ValueType::Int64, vec![Value::Null]));
    let error = client().await.get_features(wanted).await.expect_err("columns of different lengths");
    assert_eq!(error.to_string(), "could not get features: the column 'k2' has 1 rows, but 'k' has 2");
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_a_fault() {
    let error = client().await.get_features(read_of("broken")).await.expect_err("an empty answer");
    assert!(error.to_string().contains("'feature_set' is not set"), "{error}");
    assert_eq!(error.kind(), Kind::Internal);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let timeouts = Timeouts { request: Duration::from_millis(50), ..Timeouts::default() };
    let url = format!("http://{}", serve().await);
    let client = Client::connect_with(&url, timeouts).await.expect("a server listens");
    let error = client.get_features(read_of("slow")).await.expect_err("no answer");
    assert_eq!(error.to_string(), format!("could not get features: {url} did not answer within 50ms"));
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true));
}

#[tokio::test]
async fn where_nothing_listens_the_error_says_how_to_start_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = Client::connect(&url).await.expect_err("nothing listens");
    let text = error.to_string();
    assert!(text.starts_with(&format!("could not connect to {url}: ")), "{text}");
    assert!(text.contains("refused") && text.contains("`hitherto serve`"), "{text}");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true));
}

#[tokio::test]
async fn a_connection_that_breaks_is_said_to_be_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    // accepts one connection, and closes it and the port as soon as a request comes
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut preface = [0; 24];
        while stream.readable().await.is_ok() {
            if stream.try_read(&mut preface).is_ok() {
                break;
            }
        }
    });
    let client = Client::connect(&address.to_string()).await.expect("a connection");
    let error = client.get_features(read_of("late")).await.expect_err("a broken connection");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true), "{error}");
}

#[tokio::test]
async fn addresses_are_checked_before_anything_is_sent() {
    for (url, reason) in [
        ("", "it is empty"),
        ("http://", "it names no host"),
        ("https://", "it names no host"),
        ("redis://127.0.0.1", "its scheme is neither http nor https"),
        ("http://a b", "invalid uri"),
    ] {
        let error = Client::connect(url).await.expect_err("must be refused");
        assert!(matches!(error, Error::Url { .. }) && error.to_string().contains(reason), "{error}");
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }
}
