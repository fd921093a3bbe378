//! Tokens and TLS, as a user sets them up.

use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::process::{Served, until};
use crate::support::{Hitherto, Ran};

const DEFINITIONS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
features: {arr_delay: float32}
---
kind: feature_set
name: late
features: [legs:*]
";

const CLOCK: &str = "--clock 2013-01-02T10:00:00Z";

/// History, and what was known of it online at the clock.
fn filled() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    place.write("legs.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\n");
    place.ok("apply -f d.yaml");
    place.ok(&format!("ingest legs legs.csv --to both {CLOCK}"));
    place
}

/// A new token and its id.
fn token(place: &Hitherto, flags: &str) -> (String, String) {
    let created: Value = serde_json::from_str(&place.ok(&format!("token create {flags} --output json"))).expect("JSON");
    let text = |field: &str| created[field].as_str().expect("a text").to_owned();
    (text("token"), text("id"))
}

fn get(place: &Hitherto, server: &Served, token: &str, flags: &str) -> Ran {
    let line = format!("get --server {} {flags} --feature-set late --entity tailnum=N1", server.grpc);
    let mut command = place.command(&line);
    if !token.is_empty() {
        command.env("HITHERTO_TOKEN", token);
    }
    Ran::of(&line, command.output().expect("the binary can be started"))
}

#[test]
fn a_token_is_shown_once_listed_without_its_secret_and_revoked_for_ever() {
    let place = Hitherto::new();
    let created = place.run(&format!("token create etl --role writer {CLOCK}")).expect_code(0);
    let text = created.stdout.trim();
    let [prefix, id, secret] = text.split('_').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((prefix, id.len(), secret.len()), ("hth", 12, 64), "{text}");
    let expected = format!("token {id} of etl, writer, expires at 2013-04-02T10:00:00Z; it cannot be shown again\n");
    assert_eq!(created.stderr, expected);
    let (_, endless) = token(&place, "ops --role admin --expires never");

    let list = place.ok(&format!("token list {CLOCK}"));
    let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..5], [id, "etl", "writer", "valid", "2013-04-02T10:00:00Z"], "{list}");
    assert_eq!(rows[1][..5], [endless.as_str(), "ops", "admin", "valid", "never"], "{list}");
    assert!(place.ok("token list --clock 2013-04-02T10:00:00Z").contains("expired"));

    let revoked = place.ok(&format!("token revoke {id} {CLOCK}"));
    assert!(revoked.starts_with(&format!("token {id} of etl was revoked at 2013-01-02T10:00:00Z by ")), "{revoked}");
    assert_eq!(place.ok(&format!("token revoke {text}")), revoked, "the first counts, and a whole token names itself");
    assert_eq!(
        place.fails("token revoke 000000000000"),
        "error: could not find token '000000000000': `hitherto token list` has all\n"
    );
    let mistyped = place.fails(&format!("token revoke {}x", &text[..text.len() - 1]));
    assert!(mistyped.contains("no token's id") && !mistyped.contains(&secret[..8]), "{mistyped}");

    let told = place.ok("audit list --output json");
    for verb in ["create_token", "revoke_token"] {
        assert!(told.contains(verb), "{told}");
    }
    assert!(place.ok("audit verify").starts_with("3 entries, whole"), "and anchored");
    // neither in what is printed later, nor anywhere on disk
    let listed = place.ok("token list --output json");
    assert!(!told.contains(secret) && !listed.contains(secret));
    for file in ["registry.db", "registry.db-wal"] {
        let bytes = std::fs::read(place.path(".hitherto").join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
    assert_eq!(place.run("token create x --role root").expect_code(2).stdout, "");
}

#[test]
fn a_server_wants_tls_and_a_token_and_forgets_a_revoked_one() {
    let place = filled();
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    root.write_root(&place, "root");
    other.write_root(&place, "other");
    root.write_certificate(&place, "server");
    place.write(
        "hitherto.toml",
        "[server]\nauth = \"token\"\n[server.tls]\ncert = \"server.pem\"\nkey = \"server.key\"\n",
    );
    let (reader, id) = token(&place, "dash --role reader");
    // beyond loopback, as far as a test may: every address of this machine
    let server = place.serve_at("0.0.0.0:0", CLOCK);
    assert!(server.grpc.starts_with("https://"), "{}", server.grpc);

    let read = get(&place, &server, &reader, "--ca root.ca.pem").expect_code(0);
    assert!(read.stdout.contains("PRESENT"), "{}", read.stdout);
    place.write("token", format!("{reader}\n"));
    get(&place, &server, "", "--ca root.ca.pem --token-file token").expect_code(0);

    let refused = |token: &str, flags: &str| get(&place, &server, token, flags).expect_code(1).stderr;
    let missing = refused("", "--ca root.ca.pem");
    assert!(missing.contains("no token was shown: send `authorization: Bearer TOKEN`"), "{missing}");
    let wrong = refused(&reader, "--ca other.ca.pem");
    assert!(wrong.contains("could not connect to https://") && wrong.contains("certificate"), "{wrong}");
    let unbelieved = refused(&reader, "");
    assert!(unbelieved.contains("https://") && !unbelieved.contains(&reader), "{unbelieved}");
    let secret = reader.rsplit('_').next().expect("a secret");
    let mut clear = place.command("get --server http://192.0.2.1:7420 --feature-set late --entity tailnum=N1");
    let clear = clear.env("HITHERTO_TOKEN", &reader).output().expect("the binary can be started");
    let clear = Ran::of("get", clear).expect_code(1);
    assert!(clear.stderr.contains("would travel in clear") && !clear.stderr.contains(secret), "{}", clear.stderr);

    place.ok(&format!("token revoke {id}"));
    let cut = until("the server knows of it", || {
        let ran = get(&place, &server, &reader, "--ca root.ca.pem");
        (ran.code == 1).then_some(ran.stderr)
    });
    assert!(cut.contains(&format!("the token {id} (dash) was revoked")), "{cut}");
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("revoked") && said.contains(&id), "it is logged who was refused, and why: {said}");
    assert!(!said.contains(secret), "and the secret is not: {said}");
}

#[test]
fn a_client_may_be_asked_for_a_certificate() {
    let place = filled();
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    root.write_root(&place, "root");
    root.write_certificate(&place, "server");
    clients.write_root(&place, "clients");
    clients.write_certificate(&place, "me");
    root.write_certificate(&place, "stranger");
    let config = |client: &str| {
        let server = "[server]\nauth = \"token\"\n[server.tls]\ncert = \"server.pem\"\nkey = \"server.key\"\n";
        format!("{server}client_ca = \"clients.ca.pem\"\n[client]\nca = \"root.ca.pem\"\n{client}")
    };
    place.write("hitherto.toml", config("cert = \"me.pem\"\nkey = \"me.key\"\n"));
    let (reader, _) = token(&place, "dash --role reader");
    let server = place.serve(CLOCK);
    get(&place, &server, &reader, "").expect_code(0);
    for (client, what) in [("", "none"), ("cert = \"stranger.pem\"\nkey = \"stranger.key\"\n", "another's")] {
        place.write("hitherto.toml", config(client));
        let refused = get(&place, &server, &reader, "").expect_code(1).stderr;
        assert!(refused.contains("https://"), "{what}: {refused}");
    }
    place.write("hitherto.toml", config("cert = \"me.pem\"\n"));
    let half = get(&place, &server, &reader, "").expect_code(1).stderr;
    assert_eq!(half, "error: [client] has one of cert and key: a certificate is of no use without its key\n");
    place.write("hitherto.toml", "[server.tls]\ncert = \"c\"\nkey = \"k\"\nclient_auth = \"required\"\n");
    assert_eq!(
        place.fails("list entities"),
        "error: server.tls has client_auth and no client_ca: which roots vouch for clients?\n"
    );
}
