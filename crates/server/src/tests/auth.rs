//! Tokens and roles through the wire.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use futures::{TryStreamExt, stream};
use hitherto_client::{Client, Credentials, Definitions, ExpectedAlias, MoveAlias, RegisterModel, Timeouts};
use hitherto_core::{Kind, NewTables, Role, Span, Timestamp};
use hitherto_engine::{Clock, Engine, IssuedToken};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::fixture::{
    DEFINITIONS, HOUR_US, NOW, Running, engine, eventually, of_airports, options, push_weather, set, start, weather,
};
use crate::auth::{Access, Reason};
use crate::{Auth, Options};

/// A server that wants tokens, and the engine that makes them.
struct Guarded {
    server: Running,
    engine: Engine,
    /// A reader's, a writer's and an admin's.
    tokens: [IssuedToken; 3],
}

async fn guarded() -> Guarded {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let tokens = [
        token(&engine, "dash", Role::Reader).await,
        token(&engine, "trainer", Role::Writer).await,
        token(&engine, "ops", Role::Admin).await,
    ];
    let server = start(folder, engine.clone(), Options { auth: Auth::Token, ..options() }).await;
    Guarded { server, engine, tokens }
}

async fn token(engine: &Engine, name: &str, role: Role) -> IssuedToken {
    let hour: Span = "1h".parse().expect("a span");
    engine.create_token(name.parse().expect("a name"), role, Some(hour)).await.expect("a token")
}

impl Guarded {
    async fn client(&self, token: &str) -> Client {
        let credentials = Credentials { token: Some(token.to_owned()), ..Credentials::default() };
        let url = format!("http://{}", self.server.grpc);
        Client::connect_as(&url, Timeouts::default(), &credentials).await.expect("it answers")
    }

    /// A reader's, a writer's and an admin's.
    async fn clients(&self) -> [Client; 3] {
        let [reader, writer, admin] = &self.tokens;
        [self.client(&reader.text).await, self.client(&writer.text).await, self.client(&admin.text).await]
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.server.grpc)).expect("a url");
        endpoint.connect().await.expect("it answers")
    }

    async fn refusals(&self, reason: &str) -> u64 {
        let (status, metrics) = self.server.page_with("/metrics", &self.tokens[0].text).await;
        assert_eq!(status, 200, "{metrics}");
        let start = format!("hitherto_refusals_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&start)).expect("each reason has a line");
        count.parse().expect("a number")
    }
}

impl Guarded {
    /// A training set of so many rows, for the token of this number.
    async fn built(&self, token: usize, rows: usize, name: Option<&str>) -> Result<(), Status> {
        let query =
            format!("SELECT airport, event_timestamp, 1.0 AS prepaid FROM weather ORDER BY airport LIMIT {rows}");
        let command = json!({"training_set": {"feature_set": "outlook", "spine_sql": query, "name": name}});
        let command = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(command.to_string()));
        let request = showing(stream::iter([command]), &self.tokens[token].text);
        let answer = FlightServiceClient::new(self.channel().await).do_exchange(request).await?.into_inner();
        let messages: Vec<FlightData> = answer.try_collect().await?;
        assert!(!messages.is_empty());
        Ok(())
    }
}

fn definitions() -> Definitions {
    let files = vec![("features.yaml".to_owned(), DEFINITIONS.to_owned())];
    Definitions { files, new_tables: NewTables::Refuse }
}

fn showing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let shown: MetadataValue<Ascii> = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", shown);
    request
}

#[tokio::test]
async fn each_role_may_what_it_may_and_no_more() {
    let guarded = guarded().await;
    let [reader, writer, admin] = guarded.clients().await;
    for client in [&reader, &writer] {
        let error = client.apply(definitions()).await.expect_err("definitions are an admin's").to_string();
        assert!(error.starts_with("could not call hitherto.v1.Registry/Apply: the token "), "{error}");
        assert!(error.ends_with("`hitherto token create NAME --role admin`"), "{error}");
        client.plan(definitions()).await.expect("to look at them is not");
    }
    admin.apply(definitions()).await.expect("it applies");
    let error = push_weather(&reader, None).await.expect_err("a reader adds no rows").to_string();
    assert!(error.contains("has the role reader, and this needs writer"), "{error}");
    for client in [&writer, &admin] {
        push_weather(client, None).await.expect("it is pushed");
    }
    for client in [&reader, &writer, &admin] {
        let found = client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect("features");
        assert_eq!(found.rows, 1);
    }
    assert_eq!(guarded.refusals("role").await, 3);
    guarded.server.end().await;
}

#[tokio::test]
async fn what_is_changed_is_told_under_the_tokens_name() {
    let guarded = guarded().await;
    let [_, writer, admin] = guarded.clients().await;
    admin.apply(definitions()).await.expect("it applies");
    push_weather(&writer, None).await.expect("it is pushed");
    let model = RegisterModel {
        name: "late".parse().expect("a name"),
        feature_set: Some("outlook".parse().expect("a selector")),
        feature_set_hash: None,
        dataset: None,
        tags: [].into(),
    };
    writer.register_model(model).await.expect("it registers");
    let champion = MoveAlias {
        model: "late".parse().expect("a name"),
        alias: "champion".parse().expect("a name"),
        version: 1,
        expected: ExpectedAlias::Nowhere,
    };
    writer.move_alias(champion).await.expect("no gate stands before it");
    let log = guarded.engine.registry().audit_log(0, 100).await.expect("the log");
    let who = |verb: &str| -> Vec<&str> {
        log.iter().filter(|entry| entry.verb == verb).map(|entry| entry.who.as_str()).collect()
    };
    assert!(!who("apply").is_empty() && who("apply").iter().all(|who| *who == "ops"), "{log:?}");
    assert_eq!((who("register_model"), who("move_alias")), (vec!["trainer"], vec!["trainer"]));
    assert_eq!(who("create_token"), ["unknown"; 3], "whoever has the registry itself");
    guarded.server.end().await;
}

#[tokio::test]
async fn a_training_set_over_flight_is_told_under_the_tokens_name() {
    let guarded = guarded().await;
    let [reader, writer, admin] = guarded.clients().await;
    admin.apply(definitions()).await.expect("it applies");
    push_weather(&writer, None).await.expect("it is pushed");
    guarded.built(0, 3, None).await.expect("a reader may");
    let [dataset]: [_; 1] = reader.training_sets().await.expect("all").try_into().expect("one");
    assert_eq!(dataset.build.actor, "dash");
    let log = guarded.engine.registry().audit_log(0, 100).await.expect("the log");
    let who = log.iter().filter(|entry| entry.verb == "record_dataset").map(|entry| entry.who.as_str());
    assert_eq!(who.collect::<Vec<_>>(), ["dash"]);
    guarded.server.end().await;
}

#[tokio::test]
async fn a_reader_says_not_what_names_of_datasets_mean() {
    let guarded = guarded().await;
    let [reader, writer, admin] = guarded.clients().await;
    admin.apply(definitions()).await.expect("it applies");
    push_weather(&writer, None).await.expect("it is pushed");
    guarded.built(1, 3, Some("june")).await.expect("a writer names");
    guarded.built(0, 3, Some("june")).await.expect("it is called so");
    let other = guarded.built(0, 2, Some("june")).await.expect_err("another is called so");
    assert!(other.message().contains("the name 'june' means dataset"), "{other:?}");
    let renamed = guarded.built(0, 3, Some("july")).await.expect_err("it has another name");
    assert!(renamed.message().contains("has the name 'june' already"), "{renamed:?}");
    let like_an_id = guarded.built(1, 2, Some("deadbeef")).await.expect_err("nobody could tell");
    assert!(like_an_id.message().contains("could be meant for a dataset's id"), "{like_an_id:?}");
    let rows = async |name: &str| reader.training_set(name).await.expect("it is there").rows;
    assert_eq!((rows("june").await, reader.training_sets().await.expect("all").len()), (3, 1));
    guarded.built(0, 2, Some("august")).await.expect("a new one has a new name");
    guarded.built(1, 2, Some("june")).await.expect("a writer says what names mean");
    assert_eq!(rows("june").await, 2);
    guarded.server.end().await;
}

#[tokio::test]
async fn strangers_are_refused_told_why_and_counted() {
    let guarded = guarded().await;
    let missing = guarded.server.client.catalog_revision().await.expect_err("no token");
    assert_eq!(missing.kind(), Kind::InvalidArgument);
    assert!(missing.to_string().contains("no token was shown: send `authorization: Bearer TOKEN`"), "{missing}");
    let text = &guarded.tokens[2].text;
    let last = if text.ends_with('0') { "1" } else { "0" };
    let guessed = format!("{}{last}", &text[..text.len() - 1]);
    let unknown = guarded.client(&guessed).await.catalog_revision().await.expect_err("another secret").to_string();
    assert!(unknown.contains("the token is not known here") && !unknown.contains(&guessed), "{unknown}");

    let before = Clock::Frozen(Timestamp(NOW.0 - 2 * HOUR_US));
    let old = token(&guarded.engine.with_clock(before), "old", Role::Admin).await;
    let client = guarded.client(&old.text).await;
    eventually(async || {
        let error = client.catalog_revision().await.expect_err("it never counts").to_string();
        error.contains(&format!("the token {} (old) has expired", old.token.id))
    })
    .await;
    assert_eq!(guarded.refusals("missing").await, 1);
    assert!(guarded.refusals("unknown").await >= 1 && guarded.refusals("expired").await >= 1);
    assert_eq!([guarded.refusals("revoked").await, guarded.refusals("handshake").await], [0, 0]);
    guarded.server.end().await;
}

#[tokio::test]
async fn a_revocation_counts_from_the_next_look_at_the_registry() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let issued = token(&engine, "dash", Role::Reader).await;
    let headers = showing((), &issued.text).metadata().clone().into_headers();
    let access = Access::new(Auth::Token, engine.clock());
    let reason = |access: &Access| access.admit(&headers, Role::Reader).err().map(|refused| refused.reason);
    assert_eq!(reason(&access), Some(Reason::Unknown), "nothing was read yet");
    access.refresh(engine.registry()).await.expect("it reads");
    assert_eq!(reason(&access), None);
    engine.revoke_token(&issued.token.id).await.expect("it is revoked");
    assert_eq!(reason(&access), None, "what was read stands, whatever becomes of the registry");
    access.refresh(engine.registry()).await.expect("it reads");
    assert_eq!(reason(&access), Some(Reason::Revoked));
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_cuts_the_stream_that_it_opened() {
    let guarded = guarded().await;
    let [reader, writer, _] = guarded.clients().await;
    let listing = || ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let (asking, questions) = tokio::sync::mpsc::channel(1);
    asking.send(listing()).await.expect("it is read");
    let request = showing(ReceiverStream::new(questions), &guarded.tokens[0].text);
    let mut reflection = ServerReflectionClient::new(guarded.channel().await);
    let mut answers = reflection.server_reflection_info(request).await.expect("a reader may").into_inner();
    answers.message().await.expect("no error").expect("an answer");

    let token = &guarded.tokens[0].token;
    guarded.engine.revoke_token(&token.id).await.expect("it is revoked");
    eventually(async || reader.catalog_revision().await.is_err()).await;
    let error = reader.catalog_revision().await.expect_err("it was revoked").to_string();
    assert!(error.contains(&format!("the token {} (dash) was revoked", token.id)), "{error}");
    asking.send(listing()).await.expect("it is read");
    let cut = answers.message().await.expect_err("the stream ends with its token");
    assert_eq!(cut.code(), Code::Unauthenticated, "{cut:?}");
    writer.catalog_revision().await.expect("another token counts");
    guarded.server.end().await;
}

#[tokio::test]
async fn a_revoked_token_cuts_the_upload_that_it_began() {
    let guarded = guarded().await;
    let [reader, _, admin] = guarded.clients().await;
    admin.apply(definitions()).await.expect("it applies");
    let (sending, messages) = tokio::sync::mpsc::channel(1);
    let command = json!({"training_set": {"feature_set": "outlook"}}).to_string();
    let command = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(command));
    sending.send(command).await.expect("it is read");
    let mut flight = FlightServiceClient::new(guarded.channel().await);
    let request = showing(ReceiverStream::new(messages), &guarded.tokens[0].text);
    let mut answers = flight.do_exchange(request).await.expect("a reader may").into_inner();
    guarded.engine.revoke_token(&guarded.tokens[0].token.id).await.expect("it is revoked");
    eventually(async || reader.catalog_revision().await.is_err()).await;
    sending.send(FlightData::new().with_app_metadata("more")).await.expect("it is read");
    let cut = answers.message().await.expect_err("the upload ends with its token");
    assert!(cut.message().contains("(dash) was revoked"), "{cut:?}");
    guarded.server.end().await;
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused_whoever_asks() {
    let guarded = guarded().await;
    let channel = guarded.channel().await;
    let call = async |path: &'static str, request: Request<HealthCheckRequest>| -> Code {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.expect("it is ready");
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let answer = grpc.unary(request, path.parse().expect("a path"), codec).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let admin = &guarded.tokens[2].text;
    for path in ["/hitherto.v1.Registry/Erase", "/hitherto.v2.Registry/Apply", "/elsewhere/Call"] {
        let request = HealthCheckRequest::default();
        assert_eq!(call(path, showing(request.clone(), admin)).await, Code::PermissionDenied, "{path}");
        assert_eq!(call(path, Request::new(request)).await, Code::Unauthenticated, "{path}");
    }
    guarded.server.end().await;
}

#[tokio::test]
async fn health_is_open_and_other_pages_are_not() {
    let guarded = guarded().await;
    let mut health = HealthClient::new(guarded.channel().await);
    health.check(HealthCheckRequest::default()).await.expect("a balancer has no token");
    let (server, reader) = (&guarded.server, &guarded.tokens[0].text);
    assert_eq!(server.page("/healthz").await, (200, "ok\n".to_owned()));
    let (status, body) = server.page("/readyz").await;
    assert_eq!((status, body.as_str()), (200, "{\n  \"ready\": true\n}\n"), "nothing of views and stores");
    let (status, body) = server.page_with("/readyz", reader).await;
    assert!(status == 200 && body.contains("\"views\""), "{body}");
    let (status, body) = server.page_with("/readyz", "hth_of_somebody").await;
    assert_eq!((status, body.as_str()), (200, "{\n  \"ready\": true\n}\n"));
    assert_eq!(guarded.refusals("unknown").await, 1, "who tries tokens is told of");
    let (status, body) = server.page("/metrics").await;
    assert!(status == 401 && body.starts_with("could not call the page: no token was shown"), "{body}");
    assert_eq!(server.page("/elsewhere").await.0, 401, "what may come to be there is not open by itself");
    assert_eq!(server.page_with("/elsewhere", reader).await.0, 404);
    guarded.server.end().await;
}

#[tokio::test]
async fn a_stream_of_pushes_ends_when_its_token_does() {
    let guarded = guarded().await;
    let [reader, writer, admin] = guarded.clients().await;
    admin.apply(definitions()).await.expect("definitions are an admin's");
    let refused = reader.push_stream().await.map(drop).expect_err("pushes are a writer's");
    assert!(refused.to_string().contains("has the role reader, and this needs writer"), "{refused}");
    let (mut pushes, mut answers) = writer.push_stream().await.expect("it is taken");
    pushes.send(weather(None)).await.expect("it is sent");
    let pushed = answers.next().await.expect("the stream goes on").expect("an answer").expect("it is pushed");
    assert_eq!(pushed.rows, 3);
    guarded.engine.revoke_token(&guarded.tokens[1].token.id).await.expect("it is revoked");
    let before = push_weather(&admin, None).await.expect("it is pushed").first_sequence;
    eventually(async || writer.catalog_revision().await.is_err()).await;
    // it may be sent, and is not taken
    drop(pushes.send(weather(None)).await);
    let error = answers.next().await.expect_err("the token counts no longer");
    assert!(error.to_string().contains("revoked"), "{error}");
    let after = push_weather(&admin, None).await.expect("it is pushed").first_sequence;
    assert_eq!(after, before.map(|before| before + 3), "nothing came between");
    guarded.server.end().await;
}
