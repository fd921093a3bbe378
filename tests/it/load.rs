//! The load generator against a running server: what it says was answered is what the server says it answered.

use std::time::Duration;

use hitherto_client::load::{Arrivals, Keys, Pace, Plan, Popularity, Pushes, Reads, Report, Target, Watched, run};
use hitherto_core::{Name, Selector};

use crate::support::Hitherto;
use crate::support::process::Served;

const DEFINITIONS: &str = "\
kind: entity
name: user
join_keys: {user_id: int64}
---
kind: feature_view
name: clicks
entity: user
features: {a: int64, b: int64}
---
kind: feature_view
name: visits
entity: user
features: {c: int64}
---
kind: feature_view
name: priced
entity: user
features: {price: float64}
---
kind: feature_set
name: all
features: ['clicks:*', 'visits:*']
---
kind: feature_set
name: asked
features: ['clicks:*']
request: {amount: float64}
";

/// The keys 0 to 9, of which `clicks` has them all and `visits` the even ones.
fn filled() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    let clicks: Vec<String> = (0..10).map(|key| format!("{key},2024-01-01T00:00:00Z,{key},7")).collect();
    let visits: Vec<String> = (0..10).step_by(2).map(|key| format!("{key},2024-01-01T00:00:00Z,{key}")).collect();
    place.write("clicks.csv", format!("user_id,event_timestamp,a,b\n{}\n", clicks.join("\n")));
    place.write("visits.csv", format!("user_id,event_timestamp,c\n{}\n", visits.join("\n")));
    place.ok("apply -f definitions.yaml");
    place.ok("ingest clicks clicks.csv --to both");
    place.ok("ingest visits visits.csv --to both");
    place
}

fn target(server: &Served, keys: u64) -> Target {
    Target {
        url: server.grpc.clone(),
        connections: 3,
        timeout: Duration::from_secs(30),
        keys: Keys::new(keys, Popularity::Zipf(1.0)),
        seed: 5,
    }
}

fn plan(pace: Pace, warm_up_ms: u64, measured_ms: u64) -> Plan {
    let [warm_up, measured] = [warm_up_ms, measured_ms].map(Duration::from_millis);
    Plan { pace, warm_up, measured, last: None, watched: Vec::new() }
}

fn set(name: &str) -> Selector {
    name.parse().expect("a selector")
}

/// The sum of the series of a metric whose labels have all of `labels`.
fn counted(server: &Served, metric: &str, labels: &[&str]) -> u64 {
    let (_, page) = server.page("/metrics");
    let series = page.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    let wanted = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn answered_by(server: &Served, method: &str) -> u64 {
    counted(server, "hitherto_grpc_requests_total", &[&format!("method=\"{method}\""), "code=\"Ok\""])
}

fn all_answered(report: &Report) -> u64 {
    assert!(report.failed.is_empty() && report.warm_up.failed == 0, "{report:?}");
    report.answered + report.warm_up.answered
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_as_many_as_the_server_counts() {
    let place = filled();
    let server = place.serve("");
    // keys 10 to 19 are nowhere
    let reads = Reads::connect(&target(&server, 20), &set("all"), 4).await.expect("a server");
    let open = Pace::Open { rate: 400.0, arrivals: Arrivals::Even, seed: 1 };
    let report = run(&plan(open, 100, 500), reads.clone()).await.expect("a run");
    let mut sent = all_answered(&report);
    assert_eq!((report.requests, sent), (200, 240));
    assert_eq!(answered_by(&server, "OnlineFeatures/GetFeatures"), sent);
    // three features for each of four entities
    assert_eq!(report.values_present + report.values_absent, 200 * 4 * 3);
    assert!(report.values_present > 0 && report.values_absent > 0, "{report:?}");
    let latency = report.latency_us.expect("answers");
    assert_eq!(latency.count, 200);
    assert!(latency.p50 > 0.0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max, "{latency:?}");

    let report = run(&plan(Pace::Closed { in_flight: 2 }, 20, 200), reads.clone()).await.expect("a run");
    sent += all_answered(&report);
    assert!(report.answered > 0 && report.values_present > 0);
    let report = run(&plan(Pace::Closed { in_flight: 1 }, 0, 100), reads.unread()).await.expect("a run");
    sent += all_answered(&report);
    assert_eq!(report.values_present + report.values_absent, 0);
    assert!(report.answered > 0);
    assert_eq!(answered_by(&server, "OnlineFeatures/GetFeatures"), sent);
    let statuses = counted(&server, "hitherto_feature_statuses_total", &[]);
    assert_eq!(statuses, sent * 4 * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_durable_and_readable_when_they_count_as_answered() {
    let place = filled();
    let server = place.serve("");
    let view: Name = "clicks".parse().expect("a name");
    let pushes = Pushes::connect(&target(&server, 1_000_000), &view, &set("all")).await.expect("a server");
    let open = Pace::Open { rate: 20.0, arrivals: Arrivals::Even, seed: 1 };
    let mut plan = plan(open, 100, 1_000);
    plan.last = Some(Duration::from_millis(500));
    let report = run(&plan, pushes).await.expect("a run");
    assert_eq!((report.requests, all_answered(&report)), (20, 22));
    assert_eq!(answered_by(&server, "Ingest/Push"), 22);
    let (done, acknowledged) = (report.latency_us.expect("pushes"), report.acknowledged_us.expect("pushes"));
    assert_eq!((done.count, acknowledged.count), (20, 20));
    assert!(acknowledged.max <= done.max && acknowledged.mean <= done.mean, "{report:?}");
    assert_eq!(report.last_latency_us.expect("pushes").count, 10);
    drop(server);
    assert!(place.ok("sql \"select count(*) as n from clicks\"").contains("| 32 |"));
    let newest = place.ok("sql \"select user_id from clicks order by event_timestamp desc limit 1\" --output json");
    let key: String = newest.chars().filter(char::is_ascii_digit).collect();
    let read = place.ok(&format!("get --feature-set all --entity user_id={key} --output json"));
    assert!(read.contains("PRESENT"), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_load_cannot_be_made_on_is_refused_with_the_reason() {
    let place = filled();
    let server = place.serve("");
    let target = target(&server, 10);
    let refusal = |error: hitherto_client::load::Error| error.to_string();
    let asked = refusal(Reads::connect(&target, &set("asked"), 1).await.expect_err("it has request fields"));
    assert_eq!(asked, "could not make load on asked: it has request fields, and none are sent");
    let absent = refusal(Reads::connect(&target, &set("absent"), 1).await.expect_err("no such set"));
    assert!(absent.contains("absent"), "{absent}");
    let view = |name: &str| -> Name { name.parse().expect("a name") };
    let priced = refusal(Pushes::connect(&target, &view("priced"), &set("all")).await.expect_err("not integers"));
    assert_eq!(priced, "could not make load on priced: its key and its features must be int64");
    let reads = Reads::connect(&target, &set("all"), 1).await.expect("a server");
    drop(server);
    let mut broken = plan(Pace::Closed { in_flight: 1 }, 0, 50);
    let report = run(&broken, reads.clone()).await.expect("a run");
    assert_eq!(report.answered, 0);
    assert!(report.failed.values().sum::<u64>() > 0, "{report:?}");
    broken.watched.push(Watched { name: "server".to_owned(), pid: Some(u32::MAX) });
    let unseen = refusal(run(&broken, reads).await.expect_err("no such process"));
    assert!(unseen.starts_with("could not read the processor time of server: "), "{unseen}");
}
