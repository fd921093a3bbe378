//! Pages over HTTP.

use serde_json::json;

use super::fixture::{of_airports, running, set};

#[tokio::test]
async fn readyz_tells_revision_lag_and_a_pretended_clock() {
    let server = running().await;
    assert_eq!(server.page("/healthz").await, (200, "ok\n".to_owned()));
    let (status, body) = server.page("/readyz").await;
    let said: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &said["ready"], &said["project"]), (200, &json!(true), &json!("default")));
    assert_eq!(said["registry"], json!({"revision": 1, "problem": null}));
    assert_eq!(said["online"]["problem"], json!(null));
    assert_eq!(
        said["views"],
        json!([{
            "view": "weather", "reading": "weather-1:0", "sequence": 2, "clock": "2013-01-01T12:00:00Z", "lag_us": 0,
            "stale": false
        }])
    );
    assert_eq!(said["clock"]["pretended"], json!(true));
    assert_eq!(said["clock"]["warning"], json!("THE CLOCK IS PRETENDED: it stands still at 2013-01-01T12:00:00Z"));
    assert_eq!(server.page("/elsewhere").await.0, 404);
    server.end().await;
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let server = running().await;
    for airports in [&["JFK", "LGA", "XXX"][..], &["EWR"][..]] {
        server.client.get_features(of_airports(set("outlook"), airports)).await.expect("features");
    }
    server.client.get_features(of_airports(set("absent"), &["JFK"])).await.expect_err("no such set");
    let (status, metrics) = server.page("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\",code=\"Ok\"} 2",
        "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\",code=\"NotFound\"} 1",
        "hitherto_grpc_request_seconds_count{method=\"OnlineFeatures/GetFeatures\"} 3",
        "hitherto_feature_statuses_total{view=\"weather@1\",status=\"PRESENT\"} 3",
        "hitherto_feature_statuses_total{view=\"weather@1\",status=\"NULL_VALUE\"} 1",
        "hitherto_feature_statuses_total{view=\"weather@1\",status=\"NOT_FOUND\"} 2",
        "hitherto_feature_statuses_total{view=\"weather@1\",status=\"OUTSIDE_MAX_AGE\"} 2",
        "hitherto_feature_age_seconds_bucket{view=\"weather@1\",le=\"3600\"} 2",
        "hitherto_feature_age_seconds_count{view=\"weather@1\"} 3",
        "hitherto_view_lag_seconds{view=\"weather\",reading=\"weather-1:0\"} 0",
        "hitherto_serving_requests_total{feature_set=\"outlook@1\",model=\"\",code=\"Ok\"} 2",
        "hitherto_serving_seconds_count{feature_set=\"outlook@1\",model=\"\",phase=\"own\"} 2",
        "hitherto_serving_seconds_count{feature_set=\"outlook@1\",model=\"\",phase=\"store\"} 2",
        // the transform is present for JFK alone, and null for the other three
        "hitherto_serving_values_total{feature_set=\"outlook@1\",model=\"\",status=\"PRESENT\"} 4",
        "hitherto_serving_values_total{feature_set=\"outlook@1\",model=\"\",status=\"NULL_VALUE\"} 4",
        "hitherto_serving_values_total{feature_set=\"outlook@1\",model=\"\",status=\"NOT_FOUND\"} 2",
        "hitherto_serving_values_total{feature_set=\"outlook@1\",model=\"\",status=\"OUTSIDE_MAX_AGE\"} 2",
        // the oldest row is of three hours ago in the first answer, and of one in the second
        "hitherto_serving_oldest_age_seconds_bucket{feature_set=\"outlook@1\",model=\"\",le=\"3600\"} 1",
        "hitherto_serving_oldest_age_seconds_bucket{feature_set=\"outlook@1\",model=\"\",le=\"21600\"} 2",
        "hitherto_requests_in_flight{method=\"OnlineFeatures/GetFeatures\"} 0",
        "hitherto_store_reads_total{round_trip=\"own\"} 2",
        "hitherto_store_reads_total{round_trip=\"shared\"} 0",
        "hitherto_pushed_rows_total{view=\"weather\"} 3",
        "hitherto_follower_failures_total 0",
        "# TYPE hitherto_grpc_request_seconds histogram",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no line '{line}' in\n{metrics}");
    }
    let series = "hitherto_serving_answer_bytes_total{feature_set=\"outlook@1\",model=\"\"} ";
    let bytes: Option<u64> = metrics.lines().find_map(|line| line.strip_prefix(series)?.parse().ok());
    assert!(bytes.is_some_and(|bytes| (200..2_000).contains(&bytes)), "{bytes:?} bytes");
    server.end().await;
}

#[tokio::test]
async fn servers_of_one_process_count_apart() {
    let (first, second) = (running().await, running().await);
    first.client.get_features(of_airports(set("outlook"), &["JFK"])).await.expect("features");
    let counted = "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\",code=\"Ok\"} 1";
    assert!(first.page("/metrics").await.1.contains(counted));
    let uncounted = "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\"";
    assert!(!second.page("/metrics").await.1.contains(uncounted));
    first.end().await;
    second.end().await;
}
