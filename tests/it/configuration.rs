//! Where configuration comes from, and which of its sources wins: the file, then the environment, then flags.

use std::fs;

use crate::support::{Hitherto, Ran};

const ENTITY: &str = "kind: entity\nname: aircraft\njoin_keys: {tailnum: string}\n";
const NONE: &str = "NAME  VERSION  JOIN KEYS  DESCRIPTION\n";

#[test]
fn the_nearest_folder_upward_counts() {
    let place = Hitherto::new();
    place.write("d.yaml", ENTITY).write("below/deep/x", "");
    place.ok("apply -f d.yaml");
    let deep = Hitherto::in_folder(place.path("below/deep"));
    let listed = deep.ok("list entities");
    assert!(listed.contains("aircraft  @1"), "{listed}");
    assert!(!deep.path(".hitherto").exists());
    // a nearer file hides the folder above, and its own folder is where things lie
    place.write("below/hitherto.toml", "");
    assert_eq!(deep.ok("list entities"), NONE);
    deep.ok("apply -f ../../d.yaml");
    assert!(place.path("below/.hitherto/registry.db").is_file());
    // a file that is named hides all others
    place.write("other/hitherto.toml", "");
    assert_eq!(place.ok("--config other/hitherto.toml list entities"), NONE);
    let other = Hitherto::in_folder(place.path("other"));
    assert_eq!(other.ok("--config hitherto.toml list entities"), NONE);
    assert_eq!(place.fails("--config no.toml list entities"), "error: --config no.toml: there is no such file\n");
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let place = Hitherto::new();
    place.write("d.yaml", ENTITY);
    place.ok("apply -f d.yaml");
    let mine = format!("sqlite://{}", place.path(".hitherto/registry.db").display());
    let theirs = format!("sqlite://{}", place.path("theirs.db").display());
    place.write("hitherto.toml", format!("[registry]\nurl = \"{theirs}\"\n"));
    assert_eq!(place.ok("list entities"), NONE);
    let list = |variables: &[(&str, &str)]| with(&place, variables, "list entities").expect_code(0).stdout;
    assert!(list(&[("HITHERTO_REGISTRY__URL", &mine)]).contains("aircraft"));
    // a project sees its own alone
    assert_eq!(list(&[("HITHERTO_REGISTRY__URL", &mine), ("HITHERTO_PROJECT", "other")]), NONE);
    // a URL of one source wins over a file with a URL of an earlier one
    place.write("secret", format!("{theirs}\n")).write("mine", format!("{mine}\n"));
    place.write("hitherto.toml", "[registry]\nurl_file = \"secret\"\n");
    assert_eq!(place.ok("list entities"), NONE);
    assert!(list(&[("HITHERTO_REGISTRY__URL", &mine)]).contains("aircraft"));
    place.write("hitherto.toml", format!("[registry]\nurl = \"{theirs}\"\n"));
    assert!(list(&[("HITHERTO_REGISTRY__URL_FILE", "mine")]).contains("aircraft"));

    place.write("hitherto.toml", "[server]\nlisten = \"192.0.2.1:1\"\n");
    let refused = |variables: &[(&str, &str)], command: &str| {
        let said = with(&place, variables, command).expect_code(1).stderr;
        said.split(": it can be reached").next().unwrap_or_default().replace("could not listen on ", "")
    };
    assert_eq!(refused(&[], "serve"), "error: 192.0.2.1:1");
    let variable = [("HITHERTO_SERVER__LISTEN", "192.0.2.2:2")];
    assert_eq!(refused(&variable, "serve"), "error: 192.0.2.2:2");
    assert_eq!(refused(&variable, "serve --listen 192.0.2.3:3"), "error: 192.0.2.3:3");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of what may be wrong")]
fn what_is_wrong_is_told_with_its_place() {
    let place = Hitherto::new();
    let toml = place.path("hitherto.toml").display().to_string();
    for (text, reason) in [
        (
            "projet = \"a\"",
            format!(
                "could not read {toml}: unknown field `projet`, expected one of `project`, `offline`, `online`, `registry`, \
                 `lineage`, `server`, `client`, `sql`, `telemetry`"
            ),
        ),
        ("project = \"team-a\"", "project: the name 'team-a' may have letters, digits and '_' only".to_owned()),
        (
            "[online]\nfollow = \"often\"",
            "online.follow: 'often' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, 10m, 3h or 2d"
                .to_owned(),
        ),
        (
            "[offline]\nvacuum_every = \"hourly\"",
            "offline.vacuum_every: 'hourly' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, 10m, 3h or 2d"
                .to_owned(),
        ),
        (
            "[offline]\nvacuum_retention = \"8d\"",
            "offline.vacuum_retention: 8d is not between 10m, which whoever reads or writes needs, and 7d, for which a table remembers \
             what it replaced"
                .to_owned(),
        ),
        (
            "[offline]\nlog_retention = \"59m\"",
            "offline.log_retention: 59m is less than 1h; write 0s to keep all of it".to_owned(),
        ),
        (
            "[sql]\ntimeout = \"5 minutes\"",
            "sql.timeout: '5 minutes' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, 10m, 3h or 2d"
                .to_owned(),
        ),
        (
            "[server]\nslow_request = \"soon\"",
            "server.slow_request: 'soon' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, 10m, 3h or 2d"
                .to_owned(),
        ),
        (
            "[server]\nmax_concurrent_requests = 0",
            "server.max_concurrent_requests: it must be at least 1".to_owned(),
        ),
        ("[server]\nmax_connections = 0", "server.max_connections: it must be at least 1".to_owned()),
        (
            "[server]\nmax_postgres_connections = 0",
            "server.max_postgres_connections: it must be at least 1".to_owned(),
        ),
        (
            "[telemetry]\notlp_sample_ratio = 10",
            "telemetry.otlp_sample_ratio: it must be from 0 to 1, not 10".to_owned(),
        ),
        (
            "[registry]\nurl = \"sqlite:///r.db\"\nurl_file = \"secret\"",
            "[registry] has both url and url_file: which one counts?".to_owned(),
        ),
        (
            "[registry]\nurl_file = \"secret\"",
            format!("[registry] url_file {}: No such file or directory (os error 2)", place.path("secret").display()),
        ),
        (
            "[online]\npassword = \"s3cret\"\npassword_file = \"secret\"",
            "[online] has both password and password_file: which one counts?".to_owned(),
        ),
        (
            "[online]\nurl = \"redis://:s3cret@host\"\npassword = \"s3cret\"",
            "could not use the online store's url: it has a password, and so has online.password: which one counts?; write it \
             like embedded:///path or redis://host:6379"
                .to_owned(),
        ),
        (
            "[online.tls]\nca = \"no.pem\"",
            format!("[online.tls] ca {}: No such file or directory (os error 2)", place.path("no.pem").display()),
        ),
        ("[online.tls]\nkey = \"hitherto.toml\"", "[online.tls] has a key and no cert".to_owned()),
        (
            "[online]\nurl = \"rediss://host\"\ntls = {ca = \"hitherto.toml\"}",
            "could not use the certificates of online.tls: online.tls.ca holds no certificate in PEM".to_owned(),
        ),
        (
            "[registry]\nurl = \"mysql://user:password@host/db\"",
            "could not open the registry 'mysql://…': 'mysql' is no kind of registry; use sqlite:///path/registry.db".to_owned(),
        ),
        (
            "[online]\nurl = \"mongo://user:password@host\"",
            "could not use an online store of the kind 'mongo://': this version knows embedded://, redis://, redis-sentinel:// and \
             redis-cluster://, and rediss… for encrypted ones"
                .to_owned(),
        ),
    ] {
        place.write("hitherto.toml", text);
        assert_eq!(place.fails("list entities"), format!("error: {reason}\n"), "{text}");
    }
    place.write("hitherto.toml", "project = \n");
    let broken = place.fails("list entities");
    assert!(
        broken.starts_with(&format!("error: could not read {toml}: TOML parse error at line 1, column 11\n")),
        "{broken}"
    );
    fs::remove_file(place.path("hitherto.toml")).expect("the file");
    let misspelt = with(&place, &[("HITHERTO_ONLINE__FOLOW", "1s")], "list entities").expect_code(1);
    assert_eq!(
        misspelt.stderr,
        "error: the environment sets HITHERTO_ONLINE__FOLOW, which means nothing (did you mean HITHERTO_ONLINE__FOLLOW?)\n"
    );
    assert!(!place.path(".hitherto").exists());
}

/// Run with variables of the environment.
fn with(place: &Hitherto, variables: &[(&str, &str)], line: &str) -> Ran {
    let mut command = place.command(line);
    command.envs(variables.iter().copied());
    Ran::of(line, command.output().expect("the binary can be started"))
}
