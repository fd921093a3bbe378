//! Redis goes away and comes back, with or without what it held: clear and quick errors, nothing lost, nothing to mend.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use hitherto_core::Timestamp;
use hitherto_online::fixture::{Certificates, RedisServer, SecuredServer};
use hitherto_online::{Marks, Reading};
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::process::{Served, signal, until};
use crate::support::readings::READINGS;
use crate::support::{Hitherto, Ran};

/// Nobody waits longer than that to hear that Redis is down.
const QUICK: Duration = Duration::from_secs(5);

/// A folder whose online store is the Redis at `port`, with ten rows of value 1 in both stores.
fn filled(port: u16, follow: &str) -> Hitherto {
    let place = Hitherto::new();
    place.write("hitherto.toml", format!("[online]\nurl = \"redis://127.0.0.1:{port}\"\nfollow = \"{follow}\"\n"));
    place.write("definitions.yaml", READINGS);
    place.ok("apply -f definitions.yaml");
    write_rows(&place, "1.csv", 1);
    place.ok("ingest readings 1.csv --to both");
    place
}

/// Ten keys that have the value `v` from second `v` on.
fn write_rows(place: &Hitherto, name: &str, v: i64) {
    let rows = (0..10).map(|k| format!("{k},2024-01-01T00:00:{v:02}Z,{v}\n"));
    place.write(name, format!("k,event_timestamp,v\n{}", rows.collect::<String>()));
}

/// Run a command that must fail soon.
#[track_caller]
fn fails_soon(place: &Hitherto, line: &str, server: &RedisServer) -> String {
    let begun = Instant::now();
    let message = place.fails(line);
    assert!(begun.elapsed() < QUICK, "{line} took {:?}", begun.elapsed());
    assert!(message.contains(&format!("redis at 127.0.0.1:{}/0: ", server.port())), "{line}: {message}");
    assert!(message.contains("check that it runs and that online.url names it"), "{line}: {message}");
    message
}

/// Value and status of key 3.
fn got(ran: &str) -> (Value, String) {
    let answer: Value = serde_json::from_str(ran).expect("JSON");
    let cell = &answer["rows"][0]["features"]["readings__v"];
    (cell["value"].clone(), cell["status"].as_str().expect("a status").to_owned())
}

fn get(place: &Hitherto, flags: &str) -> (Value, String) {
    got(&place.ok(&format!("--output json get --feature-set latest --entity k=3 {flags}")))
}

/// Whether a server answers, and with `v`.
fn serves(place: &Hitherto, remote: &str, v: i64) -> bool {
    let ran = place.run(&format!("--output json get --feature-set latest --entity k=3 {remote}"));
    ran.code == 0 && got(&ran.stdout) == present(v)
}

fn present(v: i64) -> (Value, String) {
    (v.into(), "PRESENT".to_owned())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn marks(place: &Hitherto, server: &RedisServer) -> Option<Marks> {
    runtime().block_on(async {
        let reading = Reading::new("readings-1", "0s".parse().expect("a duration"));
        place.online(Some(&server.url())).marks(&[reading]).await.expect("marks")[0]
    })
}

/// A command of Redis itself.
fn redis(server: &RedisServer, word: &str) {
    let mut connection = redis::Client::open(server.url()).and_then(|client| client.get_connection());
    let connection = connection.as_mut().expect("a connection");
    redis::cmd(word).query::<()>(connection).unwrap_or_else(|error| panic!("{word}: {error}"));
}

#[test]
fn what_needs_no_redis_goes_on_and_what_does_says_so() {
    let mut server = RedisServer::start();
    let place = filled(server.port(), "1s");
    let before = marks(&place, &server);
    assert!(before.is_some_and(|marks| marks.sequence == 9 && marks.clock > Timestamp(0)), "{before:?}");
    redis(&server, "SAVE");
    server.kill();

    fails_soon(&place, "materialize", &server);
    fails_soon(&place, "get --feature-set latest --entity k=3", &server);
    write_rows(&place, "2.csv", 2);
    assert_eq!(place.ok("ingest readings 2.csv"), "readings: 10 rows, _sequence 10 to 19\n");
    write_rows(&place, "3.csv", 3);
    let message = fails_soon(&place, "ingest readings 3.csv --to both", &server);
    assert!(
        message.contains("history of readings has the 10 rows now (_sequence 20 to 29), the online store has not: ")
    );
    assert!(message.contains("nothing is lost: they reach the online store with the next `hitherto materialize`"));
    let message = fails_soon(&place, "ingest readings 3.csv --to both", &server);
    assert!(message.contains("history of readings has had the batch before"), "{message}");
    assert_eq!(place.ok("sql --format csv 'select count(*) as n from readings'"), "n\n30\n");

    server.restart();
    assert_eq!(marks(&place, &server), before, "what failed moved no mark");
    assert_eq!(get(&place, ""), present(1));
    place.ok("materialize");
    assert_eq!(get(&place, ""), present(3));
    assert_eq!(marks(&place, &server).map(|marks| marks.sequence), Some(29));
}

#[test]
fn a_redis_that_hangs_is_given_up_soon() {
    let server = RedisServer::start();
    let place = filled(server.port(), "1s");
    let pid = server.pid().expect("it runs");
    signal("STOP", pid);
    fails_soon(&place, "get --feature-set latest --entity k=3", &server);
    fails_soon(&place, "materialize", &server);
    write_rows(&place, "2.csv", 2);
    let message = fails_soon(&place, "ingest readings 2.csv --to both", &server);
    assert!(message.contains("history of readings has the 10 rows now"), "{message}");
    signal("CONT", pid);
    place.ok("materialize");
    assert_eq!(get(&place, ""), present(2));
}

#[test]
fn a_redis_that_has_lost_rows_is_filled_again() {
    let mut server = RedisServer::start();
    let place = filled(server.port(), "1s");
    redis(&server, "SAVE");
    write_rows(&place, "2.csv", 2);
    place.ok("ingest readings 2.csv --to both");
    assert_eq!(get(&place, ""), present(2));
    // it comes back with what it had saved: marks and rows of an earlier day
    server.restart();
    assert_eq!(get(&place, ""), present(1));
    place.ok("materialize");
    assert_eq!(get(&place, ""), present(2));
    // it comes back with nothing
    redis(&server, "FLUSHALL");
    let message = place.fails("get --feature-set latest --entity k=3");
    assert!(
        message.contains("readings@1 is not in the online store: run `hitherto materialize readings`"),
        "{message}"
    );
    let done: Value = serde_json::from_str(&place.ok("--output json materialize")).expect("JSON");
    assert_eq!((&done[0]["rows"], &done[0]["written"]), (&"20".into(), &"20".into()), "{done}");
    assert_eq!(get(&place, ""), present(2));
}

/// The status of readiness, and what is wrong online.
fn readiness(served: &Served) -> (u16, Value) {
    let (status, body) = served.page("/readyz");
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (status, body["online"]["problem"].clone())
}

#[test]
fn a_server_outlives_its_redis_and_fills_the_next() {
    let mut server = RedisServer::start();
    let place = filled(server.port(), "50ms");
    let served = place.serve("");
    let remote = format!("--server {}", served.grpc);
    assert_eq!(readiness(&served), (200, Value::Null));
    assert_eq!(get(&place, &remote), present(1));

    server.kill();
    let problem = until("it is not ready", || {
        let (status, problem) = readiness(&served);
        (status == 503).then_some(problem)
    });
    assert!(problem.as_str().is_some_and(|problem| problem.contains("redis at 127.0.0.1:")), "{problem}");
    assert_eq!(served.page("/healthz"), (200, "ok\n".to_owned()), "it lives");
    let begun = Instant::now();
    let message = place.fails(&format!("get --feature-set latest --entity k=3 {remote}"));
    assert!(begun.elapsed() < QUICK && message.contains("redis at 127.0.0.1:"), "{:?}: {message}", begun.elapsed());
    write_rows(&place, "2.csv", 2);
    place.ok("ingest readings 2.csv");

    // another, empty one in its place: the follower brings all of history, and nobody restarts the server
    server.restart();
    until("the new rows are served", || serves(&place, &remote, 2).then_some(()));
    until("it is ready", || (readiness(&served).0 == 200).then_some(()));
    served.terminate();
    let (code, said) = served.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("the online store is not followed").count(), 1, "said once: {said}");
    assert!(said.contains("the follower is at work again"), "{said}");
}

#[test]
fn a_redis_behind_certificates_and_a_password_is_reached_with_their_files() {
    let server = SecuredServer::start();
    let place = Hitherto::new();
    let Certificates { ca, cert, key } = &server.certificates;
    place.write("ca.pem", ca).write("cert.pem", cert).write("key.pem", key).write("password", "s3cret\n");
    let url = server.location().url;
    let settings = |ca: &str| {
        format!(
            "[online]\nurl = \"{url}\"\npassword_file = \"password\"\n\
             [online.tls]\nca = \"{ca}\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n"
        )
    };
    place.write("hitherto.toml", settings("ca.pem")).write("definitions.yaml", READINGS);
    place.ok("apply -f definitions.yaml");
    write_rows(&place, "1.csv", 1);
    place.ok("ingest readings 1.csv --to both");
    assert_eq!(get(&place, ""), present(1));
    // a certificate that has signed nothing of the server's
    place.write("hitherto.toml", settings("cert.pem"));
    let message = place.fails("get --feature-set latest --entity k=3");
    assert!(message.contains("check online.tls.ca") && !message.contains("s3cret"), "{message}");
}

/// Which views an answer calls stale.
fn stale(place: &Hitherto, remote: &str) -> Value {
    let ran = place.ok(&format!("--output json get --feature-set latest --entity k=3 {remote}"));
    let answer: Value = serde_json::from_str(&ran).expect("JSON");
    answer["stale"].clone()
}

#[test]
fn a_redis_that_was_rolled_back_or_emptied_is_told_of_until_a_run_has_brought_the_rows_again() {
    let mut server = RedisServer::start();
    let place = filled(server.port(), "0s");
    redis(&server, "SAVE");
    let served = place.serve("");
    let remote = format!("--server {}", served.grpc);
    let is_well = |v: i64| {
        assert_eq!(readiness(&served), (200, Value::Null));
        assert_eq!((get(&place, &remote), stale(&place, &remote)), (present(v), json!([])));
    };
    is_well(1);
    write_rows(&place, "2.csv", 2);
    place.ok("ingest readings 2.csv --to both");
    is_well(2);
    let is_unwell = || {
        let (status, problem) = readiness(&served);
        assert_eq!(status, 503, "{problem}");
        let says = problem.as_str().is_some_and(|problem| problem.contains("may have lost rows of readings"));
        assert!(says, "{problem}");
    };

    server.restart();
    is_unwell();
    for remote in ["", &remote] {
        assert_eq!(
            (get(&place, remote), stale(&place, remote)),
            (present(1), json!(["readings@1"])),
            "older, and says so"
        );
    }
    place.ok("materialize");
    is_well(2);
    redis(&server, "FLUSHALL");
    is_unwell();
    place.ok("materialize");
    is_well(2);
}

#[test]
fn a_server_that_starts_before_its_redis_waits_for_it() {
    let mut server = RedisServer::start();
    let place = filled(server.port(), "50ms");
    server.kill();
    let served = place.serve("");
    assert_eq!(readiness(&served).0, 503);
    server.restart();
    until("it is ready", || (readiness(&served).0 == 200).then_some(()));
    let remote = format!("--server {}", served.grpc);
    until("the rows are served", || serves(&place, &remote, 1).then_some(()));
}

#[test]
fn a_server_that_starts_on_a_redis_that_was_emptied_meanwhile_is_ready_when_the_rows_are_there_again() {
    let mut server = RedisServer::start();
    let gate = Gate::before(server.port());
    let place = filled(gate.port(), "50ms");
    assert_eq!(get(&place, ""), present(1));
    server.restart();
    // the follower's first run waits at the gate
    gate.close("EVALSHA");
    let served = place.serve("");
    gate.wait();
    let (status, problem) = readiness(&served);
    assert_eq!(status, 503, "{problem}");
    assert!(problem.as_str().is_some_and(|problem| problem.contains("it has no rows of readings yet")), "{problem}");
    gate.open();
    until("it is ready", || (readiness(&served).0 == 200).then_some(()));
    assert_eq!(get(&place, &format!("--server {}", served.grpc)), present(1), "no earlier than the rows are there");
    // a view that is new is waited for by nobody
    place.write("more.yaml", READINGS.replace("name: readings", "name: more").replace("'readings:*'", "'more:*'"));
    gate.close("EVALSHA");
    place.ok("apply -f more.yaml");
    until("the server knows of it", || served.page("/readyz").1.contains("\"more\"").then_some(()));
    assert_eq!(readiness(&served), (200, Value::Null));
    gate.open();
}

#[test]
fn a_request_in_flight_is_answered_after_the_server_is_told_to_stop() {
    let server = RedisServer::start();
    let gate = Gate::before(server.port());
    let place = filled(gate.port(), "0s");
    let served = place.serve("");
    let line = format!("--output json get --feature-set latest --entity k=3 --server {}", served.grpc);
    assert_eq!(got(&place.ok(&line)), present(1));

    gate.close("MGET");
    let asked = place.start(&line);
    gate.wait();
    served.terminate();
    let address = served.grpc.trim_start_matches("http://").to_owned();
    until("it accepts no more", || TcpStream::connect(&address).is_err().then_some(()));
    gate.open();
    let Ran { code, stdout, stderr, .. } = asked.wait();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(got(&stdout), present(1));
    assert_eq!(served.end().0, Some(0));
}
