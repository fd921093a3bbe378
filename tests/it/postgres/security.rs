//! Tokens by SCRAM, TLS, and what is refused.

use std::fs::Permissions;
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::place;
use crate::support::Hitherto;
use crate::support::certificates::Authority;
use crate::support::process::until;
use crate::support::psql::{held, psql, ran};

/// A new token and its id.
fn token(place: &Hitherto, flags: &str) -> (String, String) {
    let created: Value = serde_json::from_str(&place.ok(&format!("token create {flags} --output json"))).expect("JSON");
    let text = |field: &str| created[field].as_str().expect("a text").to_owned();
    (text("token"), text("id"))
}

const GUARDED: &str = "[server]\nauth = \"token\"\n[server.tls]\ncert = \"server.pem\"\nkey = \"server.key\"\n";

#[test]
fn a_client_shows_its_token_by_scram_over_tls() {
    let place = place();
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    root.write_root(&place, "root");
    other.write_root(&place, "other");
    root.write_certificate(&place, "server");
    place.write("hitherto.toml", GUARDED);
    let (reader, id) = token(&place, "dash --role reader");
    let (another, another_id) = token(&place, "other --role admin");
    // beyond loopback, as far as a test may: every address of this machine
    let server = place.serve_at("0.0.0.0:0", "--postgres 0.0.0.0:0");
    let at = server.postgres.clone().expect("it says where it is");
    let at = at.replace("127.0.0.1", "localhost");
    let (ours, theirs) = (place.path("root.ca.pem"), place.path("other.ca.pem"));
    let [ours, theirs] = [&ours, &theirs].map(|path| path.to_str().expect("a path"));
    let asked = |user: &str, password: &str, more: &[(&str, &str)], query: &str| {
        let known = [("PGUSER", user), ("PGPASSWORD", password), ("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", ours)];
        let environment: Vec<_> =
            known.into_iter().chain([("PGHOSTADDR", "127.0.0.1")]).chain(more.iter().copied()).collect();
        let mut command = psql(&at, &environment);
        command.args(["-v", "VERBOSITY=verbose", "-A", "-t", "-c", query]);
        ran(command)
    };
    let whole = asked(&id, &reader, &[], "select count(*) from legs").expect_code(0);
    assert_eq!(whole.stdout, "3\n");
    let bound = asked(&id, &reader, &[("PGCHANNELBINDING", "require")], "select current_user").expect_code(0);
    assert_eq!(bound.stdout, format!("{id}\n"), "bound to the TLS beneath");

    let none: &[(&str, &str)] = &[];
    let secret = reader.rsplit('_').next().expect("a secret");
    for (user, password, more, reason) in [
        (&*id, "hth_wrong", none, "password authentication failed for user"),
        (&*id, &*another, none, "password authentication failed for user"),
        (&*another_id, &*reader, none, "password authentication failed for user"),
        ("postgres", &*reader, none, "password authentication failed for user"),
        (&*id, &*reader, &[("PGSSLMODE", "disable")], "the connection is not encrypted, and must be"),
        (&*id, &*reader, &[("PGSSLROOTCERT", theirs)], "certificate verify failed"),
        (&*id, &*reader, &[("PGDATABASE", "shop")], "there is no database 'shop'"),
    ] {
        let said = asked(user, password, more, "select 1").expect_code(2).stderr;
        assert!(said.contains(reason) && !said.contains(secret), "{user} {more:?}: {said}");
    }
    let again = asked(&id, &reader, &[], "select 1").stdout;
    assert_eq!(again, "1\n", "who was refused before is let in with the right one");
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the wire of PostgreSQL") && said.contains("unknown"), "refusals are logged: {said}");
    assert!(!said.contains(secret), "and the secret is not: {said}");
}

#[test]
fn a_token_that_was_revoked_ends_its_connections() {
    let place = place();
    place.write("hitherto.toml", "[server]\nauth = \"token\"\n");
    let (reader, id) = token(&place, "dash --role reader");
    let (watching, _) = token(&place, "watch --role reader");
    let server = place.serve("--postgres 127.0.0.1:0");
    let at = server.postgres.clone().expect("it says where it is");
    let environment = [("PGUSER", id.as_str()), ("PGPASSWORD", reader.as_str())];
    let (child, mut stdin, mut stdout) = held(&at, &environment);
    place.ok(&format!("token revoke {id}"));
    let refused = until("the server knows of it", || {
        let mut command = psql(&at, &environment);
        command.args(["-v", "VERBOSITY=verbose", "-c", "select 1"]);
        let ran = ran(command);
        (ran.code == 2).then_some(ran.stderr)
    });
    assert!(refused.contains(&format!("the token {id} (dash) was revoked")), "{refused}");
    // the connection that was there before gives its place back, though it says nothing
    until("the idle connection is closed", || {
        let (_, page) = server.page_as("/metrics", &watching);
        page.contains("hitherto_connections_open{address=\"postgres\"} 0\n").then_some(())
    });
    writeln!(stdin, "select 2;").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("was revoked") && !output.status.success(), "{said}");
    let mut rest = String::new();
    stdout.read_line(&mut rest).expect("it is read");
    assert_eq!(rest, "");
}

#[test]
fn one_token_does_not_take_all_places() {
    let place = place();
    place.write("hitherto.toml", "[server]\nauth = \"token\"\nmax_postgres_connections = 2\n");
    let (one, one_id) = token(&place, "one --role reader");
    let (other, other_id) = token(&place, "other --role reader");
    let server = place.serve("--postgres 127.0.0.1:0");
    let at = server.postgres.clone().expect("it says where it is");
    let of_one = [("PGUSER", one_id.as_str()), ("PGPASSWORD", one.as_str())];
    let of_other = [("PGUSER", other_id.as_str()), ("PGPASSWORD", other.as_str())];
    let asked = |environment: &[(&str, &str)]| {
        let mut command = psql(&at, environment);
        command.args(["-A", "-t", "-c", "select 1"]);
        ran(command)
    };
    let (mut child, stdin, _) = held(&at, &of_one);
    let said = asked(&of_one).expect_code(2).stderr;
    let reason = format!("the token {one_id} has as many connections as may be open");
    assert!(said.contains(&reason), "{said}");
    assert_eq!(asked(&of_other).expect_code(0).stdout, "1\n", "half is left for others");
    let (_, page) = server.page_as("/metrics", &other);
    for line in
        ["hitherto_connections_open{address=\"postgres\"} ", "hitherto_refusals_total{reason=\"connections\"} 1\n"]
    {
        assert!(page.contains(line), "{page}");
    }
    drop(stdin);
    child.wait().expect("it ends");
    until("its place is free", || (asked(&of_one).code == 0).then_some(()));
}

#[test]
fn a_client_may_be_asked_for_a_certificate() {
    let place = place();
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    root.write_root(&place, "root");
    root.write_certificate(&place, "server");
    clients.write_root(&place, "clients");
    clients.write_certificate(&place, "me");
    root.write_certificate(&place, "stranger");
    place.write("hitherto.toml", format!("{GUARDED}client_ca = \"clients.ca.pem\"\nclient_auth = \"required\"\n"));
    let (reader, id) = token(&place, "dash --role reader");
    let server = place.serve("--postgres 127.0.0.1:0");
    let at = server.postgres.clone().expect("it says where it is").replace("127.0.0.1", "localhost");
    let path = |name: &str| place.path(name).to_str().expect("a path").to_owned();
    let asked = |name: &str| {
        let (certificate, key, ca) = (path(&format!("{name}.pem")), path(&format!("{name}.key")), path("root.ca.pem"));
        let environment = [
            ("PGUSER", id.as_str()),
            ("PGPASSWORD", reader.as_str()),
            ("PGHOSTADDR", "127.0.0.1"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", ca.as_str()),
            ("PGSSLCERT", certificate.as_str()),
            ("PGSSLKEY", key.as_str()),
        ];
        let mut command = psql(&at, &environment);
        command.args(["-A", "-t", "-c", "select count(*) from legs"]);
        ran(command)
    };
    for name in ["me.key", "stranger.key"] {
        // psql reads no key that others may read
        std::fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).expect("it is ours");
    }
    assert_eq!(asked("me").expect_code(0).stdout, "3\n");
    for name in ["stranger", "nobody"] {
        let refused = asked(name).expect_code(2);
        assert_eq!(refused.stdout, "", "{name}: the token alone is not enough");
    }
}

#[test]
fn a_token_that_has_expired_opens_nothing() {
    let place = Hitherto::new();
    place.write("hitherto.toml", "[server]\nauth = \"token\"\n");
    let (reader, id) = token(&place, "dash --role reader --expires 1d --clock 2013-01-02T10:00:00Z");
    let asked = |clock: &str| {
        let server = place.serve(&format!("--postgres 127.0.0.1:0 --clock {clock}"));
        let at = server.postgres.clone().expect("it says where it is");
        let mut command = psql(&at, &[("PGUSER", &id), ("PGPASSWORD", &reader)]);
        command.args(["-A", "-t", "-c", "select 1"]);
        ran(command)
    };
    assert_eq!(asked("2013-01-03T09:59:59Z").expect_code(0).stdout, "1\n");
    let refused = asked("2013-01-03T10:00:01Z").expect_code(2).stderr;
    assert!(refused.contains(&format!("the token {id} (dash) has expired")), "{refused}");
}
