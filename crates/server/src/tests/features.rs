//! Features by set and by model, and what is answered to requests that are wrong.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use arrow::ipc::reader::StreamReader;
use hitherto_client::{
    AnswerFormat, Column, Consumer, EventTimes, ExpectedAlias, GetFeatures, MoveAlias, RegisterModel,
};
use hitherto_core::{Action, Kind, Status, Timestamp, Value, ValueType};

use super::fixture::{DEFINITIONS, HOUR_US, NOW, of_airports, running, set, strings};

#[tokio::test]
async fn features_come_with_statuses_event_times_and_lag() {
    let server = running().await;
    let wanted = of_airports(set("outlook"), &["LGA", "JFK", "XXX", "EWR"]);
    let found = server.client.get_features(wanted).await.expect("features");
    let gust = &found.columns[0];
    assert_eq!((gust.name.as_str(), gust.view), ("gust", Some(0)));
    assert_eq!(gust.values, [Value::Null, Value::Float64(31.0), Value::Null, Value::Null]);
    assert_eq!(gust.statuses, [Status::OutsideMaxAge, Status::Present, Status::NotFound, Status::NullValue]);
    let visibility = &found.columns[1];
    assert_eq!(visibility.name, "weather__visibility");
    assert_eq!(visibility.statuses, [Status::OutsideMaxAge, Status::Present, Status::NotFound, Status::Present]);
    let gusty = &found.columns[2];
    assert_eq!((gusty.name.as_str(), gusty.view), ("is_gusty", None));
    assert_eq!(gusty.values, [Value::Null, Value::Bool(true), Value::Null, Value::Null]);
    let view = &found.views[0];
    assert_eq!((view.view.to_string(), view.alias.as_str()), ("weather@1".to_owned(), "weather"));
    let ago = |hours: i64| Some(Timestamp(NOW.0 - hours * HOUR_US));
    assert_eq!(view.event_times, Some(vec![ago(3), ago(1), None, ago(1)]));
    let watermark = view.watermark.expect("a watermark");
    assert_eq!((watermark.sequence, watermark.clock, watermark.lag.micros()), (2, NOW, 0));
    assert_eq!((found.feature_set.to_string().as_str(), found.clock, found.rows), ("outlook@1", NOW, 4));
    server.end().await;
}

#[tokio::test]
async fn values_may_come_as_one_arrow_record_batch() {
    let server = running().await;
    let wanted = of_airports(set("outlook"), &["LGA", "JFK", "XXX", "EWR"]);
    let plain = server.client.get_features(wanted.clone()).await.expect("features");
    assert_eq!(plain.arrow, None);
    let mut found =
        server.client.get_features(GetFeatures { format: AnswerFormat::Arrow, ..wanted }).await.expect("features");
    let bytes = found.arrow.take().expect("Arrow");
    let batches: Vec<_> = StreamReader::try_new(bytes.as_slice(), None).expect("a stream of Arrow").collect();
    let [Ok(batch)] = batches.as_slice() else { panic!("no single batch, but {batches:?}") };
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((names.as_slice(), batch.num_rows()), (&["gust", "weather__visibility", "is_gusty"][..], 4));
    let gust = batch.column(0).as_primitive::<Float64Type>();
    assert_eq!(gust.iter().collect::<Vec<_>>(), [None, Some(31.0), None, None]);
    assert_eq!(batch.column(2).as_boolean().iter().collect::<Vec<_>>(), [None, Some(true), None, None]);
    for (column, plain) in found.columns.iter_mut().zip(&plain.columns) {
        assert!(column.values.is_empty(), "{} is sent twice", column.name);
        column.values.clone_from(&plain.values);
    }
    assert_eq!(found, plain, "all else is as ever");
    server.end().await;
}

#[tokio::test]
async fn a_model_is_served_its_own_version_by_alias() {
    let server = running().await;
    let name = "late".parse().expect("a name");
    let sets = server.client.feature_sets().await.expect("sets");
    let hash = sets[0].hash.clone();
    let wanted = |hash: Option<&str>| RegisterModel {
        name: "late".parse().expect("a name"),
        feature_set: Some("outlook".parse().expect("a selector")),
        feature_set_hash: hash.map(str::to_owned),
        dataset: None,
        tags: [("run".to_owned(), "r1".to_owned())].into(),
    };
    let registered = server.client.register_model(wanted(Some(&hash))).await.expect("a model");
    assert_eq!((registered.version, registered.feature_set_hash.as_str()), (1, hash.as_str()));
    let refused = server.client.register_model(wanted(Some("beef"))).await.expect_err("another hash");
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert_eq!(refused.violations()[0].field, "feature_set_hash");

    let alias = "champion".parse().expect("a name");
    let champion = MoveAlias { model: name, alias, version: 1, expected: ExpectedAlias::Nowhere };
    server.client.move_alias(champion.clone()).await.expect("moved");
    let model = Consumer::Model("late@champion".parse().expect("a selector"));
    let found = server.client.get_features(of_airports(model, &["JFK"])).await.expect("features");
    let pin = found.model.expect("a model");
    assert_eq!(
        (pin.version.to_string().as_str(), pin.alias.as_ref().map(hitherto_core::Name::as_str)),
        ("late@1", Some("champion"))
    );
    assert_eq!(found.feature_set_hash, hash);
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);

    let unknown = Consumer::Model("late@challenger".parse().expect("a selector"));
    let error = server.client.get_features(of_airports(unknown, &["JFK"])).await.expect_err("no such alias");
    assert_eq!(error.kind(), Kind::NotFound);
    let expected = MoveAlias { expected: ExpectedAlias::Version(7), ..champion };
    let error = server.client.move_alias(expected).await.expect_err("it points elsewhere");
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(server.client.aliases(None).await.expect("aliases").len(), 1);
    server.end().await;
}

#[tokio::test]
async fn wrong_reads_say_what_is_wrong() {
    let server = running().await;
    let get = async |wanted| server.client.get_features(wanted).await.expect_err("it is wrong");
    let error = get(of_airports(set("outlok"), &["JFK"])).await;
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("did you mean 'outlook'?"), "{error}");

    let mut misspelt = of_airports(set("outlook"), &["JFK"]);
    misspelt.entities = vec![strings("airprot", &["JFK"])];
    let error = get(misspelt).await;
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.to_string().contains("'airport' (string) is missing"), "{error}");
    assert!(error.to_string().contains("airprot"), "{error}");

    let mut typed = of_airports(set("outlook"), &["JFK"]);
    typed.entities = vec![Column::new("airport", ValueType::Float64, vec![Value::Float64(1.0)])];
    let error = get(typed).await;
    assert_eq!((error.kind(), error.violations()[0].field.as_str()), (Kind::InvalidArgument, "airport"));

    let mut fields = of_airports(set("outlook"), &["JFK"]);
    fields.request_fields[0].name = "prepaird".to_owned();
    let error = get(fields).await;
    assert!(error.to_string().contains("no request field 'prepaird' (did you mean 'prepaid'?)"), "{error}");
    let error = get(GetFeatures::new(set("outlook"), vec![strings("airport", &["JFK"])])).await;
    assert!(error.to_string().contains("request field 'prepaid' (float64) is missing"), "{error}");
    server.end().await;
}

#[tokio::test]
async fn callers_may_send_more_columns_and_narrower_numbers_and_spare_event_times() {
    let server = running().await;
    let mut wanted = of_airports(set("outlook"), &["JFK"]);
    wanted.entities.insert(0, strings("carrier", &["UA"]));
    wanted.request_fields[0] = Column::new("prepaid", ValueType::Int32, vec![Value::Int32(1)]);
    wanted.event_times = EventTimes::Omit;
    let found = server.client.get_features(wanted).await.expect("features");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    assert_eq!(found.views[0].event_times, None);
    server.end().await;
}

#[tokio::test]
async fn a_view_that_is_not_online_is_unavailable_for_now() {
    let server = running().await;
    let more = DEFINITIONS.replace("weather", "wind").replace("outlook", "storm");
    server.apply(&more).await.expect("it applies");
    let error = server.client.get_features(of_airports(set("storm"), &["JFK"])).await.expect_err("nothing online");
    assert!(error.is_retryable());
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("wind@1 is not in the online store"), "{error}");
    server.end().await;
}

#[tokio::test]
async fn the_same_batch_twice_changes_nothing() {
    let server = running().await;
    let again = server.push_weather(Some("first")).await.expect("known");
    assert_eq!((again.rows, again.already, again.first_sequence, again.online_rows), (3, true, None, 0));
    let fresh = server.push_weather(None).await.expect("pushed");
    assert_eq!((fresh.already, fresh.first_sequence, fresh.last_sequence), (false, Some(3), Some(5)));
    server.end().await;
}

#[tokio::test]
async fn definitions_are_applied_described_and_refused_with_every_problem() {
    let server = running().await;
    let again = server.apply(DEFINITIONS).await.expect("nothing new");
    assert_eq!(again.changes.iter().map(|change| change.action).collect::<Vec<_>>(), [Action::Unchanged; 3]);
    assert_eq!(server.client.catalog_revision().await.expect("a revision"), again.revision);
    let view = server.client.feature_view(&"weather@1".parse().expect("a selector")).await.expect("a view");
    assert_eq!((view.version, view.definition.features.len()), (1, 2));
    let error = server.client.entity(&"airprt".parse().expect("a selector")).await.expect_err("no such entity");
    assert_eq!((error.kind(), error.to_string().contains("did you mean 'airport'?")), (Kind::NotFound, true));

    let wrong = "kind: entity\nname: a\njoin_keys: {k: float64}\n---\nkind: entity\nname: b\njoin_kys: {k: string}\n";
    let error = server.apply(wrong).await.expect_err("two problems");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let fields: Vec<&str> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert!(fields.len() >= 2 && fields.iter().all(|field| field.starts_with("features.yaml:")), "{fields:?}");
    server.end().await;
}
