//! psql: what there is, queries, refusals, cancelling, leaving.

use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{ENDLESS, place, serve};
use crate::support::process::{Served, signal, until};
use crate::support::psql::{asked, held, psql, ran, refused, rows};

#[test]
fn it_shows_what_there_is_with_types_and_comments() {
    let place = place();
    let (_server, at) = serve(&place);
    let tables = asked(&at, &["\\dt"]);
    assert!(tables.contains(" public | legs   | table | hitherto"), "{tables}");
    assert!(!tables.contains("latest"), "what is found without its schema: {tables}");
    let all = asked(&at, &["\\d"]);
    assert!(all.contains(" public | legs   | table | hitherto") && all.contains("legs@1"), "{all}");
    let described = asked(&at, &["\\dt+ legs"]);
    assert!(described.contains("what each leg was like"), "{described}");
    let latest = asked(&at, &["\\dv latest.*"]);
    assert!(latest.contains(" latest | legs   | view"), "{latest}");
    let schemas = asked(&at, &["\\dn"]);
    for schema in ["latest", "public", "registry", "training_sets"] {
        assert!(schemas.contains(schema), "{schemas}");
    }
    let databases = asked(&at, &["\\l"]);
    assert!(databases.contains("hitherto") && databases.contains("UTF-8"), "{databases}");

    let legs = asked(&at, &["\\d legs"]);
    assert!(legs.contains("Table \"public.legs\""), "{legs}");
    let lines: Vec<Vec<&str>> = legs.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    for (column, data_type) in [
        ("tailnum", "text"),
        ("event_timestamp", "timestamp with time zone"),
        ("delay", "double precision"),
        ("crew", "integer"),
        ("diverted", "boolean"),
        ("_sequence", "bigint"),
    ] {
        assert!(
            lines.iter().any(|line| line[..] != [""] && line[0] == column && line[1] == data_type),
            "{column}: {legs}"
        );
    }
    let more = asked(&at, &["\\d+ legs"]);
    for said in ["join key of aircraft", "when it was true in the world", "minutes late at the gate"] {
        assert!(more.contains(said), "{said}: {more}");
    }
    assert!(asked(&at, &["\\d latest.legs"]).contains("View \"latest.legs\""));
    assert_eq!(rows(&at, "select version()").len(), 1);
    assert_eq!(rows(&at, "select 'pg_class'::regclass::oid"), ["1259"]);
    assert_eq!(rows(&at, "select obj_description('legs'::regclass)"), ["what each leg was like"]);
    let of_tables = "select d.description from pg_catalog.pg_class c left join pg_catalog.pg_description d on c.oid = d.objoid \
                     and d.objsubid = 0 and d.classoid = 'pg_class'::regclass where c.relname = 'legs' and c.relkind = 'r' \
                     and c.relnamespace = 2200";
    assert_eq!(rows(&at, of_tables), ["what each leg was like"], "as JDBC asks");
    assert_eq!(rows(&at, "select current_user, current_database()"), ["ada|hitherto"]);
}

#[test]
fn its_queries_take_the_path_of_every_other() {
    let place = place();
    let (_server, at) = serve(&place);
    let all = rows(&at, "select tailnum, event_timestamp, delay, crew, diverted from legs order by crew");
    assert_eq!(all.len(), 3);
    assert_eq!(rows(&at, "select current_user, crew from legs where crew = 4"), ["ada|4"]);
    assert!(all[0].starts_with("N1|2013-01-01 00:00:00") && all[0].ends_with("+00|-3.5|4|f"), "{all:?}");
    assert!(all[2].ends_with("||6|"), "nulls are empty: {all:?}");
    let joined = rows(
        &at,
        "select s.k, l.crew from (values ('N1', timestamp '2013-01-01T01:30:00Z')) as s (k, t) \
         asof join legs l match_condition (s.t >= l.event_timestamp) on s.k = l.tailnum",
    );
    assert_eq!(joined, ["N1|4"]);
    let before = rows(&at, "select count(*) from legs for system_time as of timestamp '2000-01-01T00:00:00Z'");
    assert_eq!(before, ["0"]);
    assert_eq!(rows(&at, "select crew from value_at('legs', timestamp '2013-01-01T00:30:00Z')"), ["4"]);
    assert_eq!(
        rows(
            &at,
            "select table_name from information_schema.tables where table_name = 'legs' and table_schema = 'public'"
        ),
        ["legs"]
    );

    let types = "select data_type from information_schema.columns where table_name = 'legs' and table_schema = 'public' and column_name in \
                 ('tailnum', 'event_timestamp', 'delay', 'crew', 'diverted') order by ordinal_position";
    assert_eq!(
        rows(&at, types),
        ["text", "timestamp with time zone", "double precision", "integer", "boolean"],
        "in the words of SQL"
    );

    // several statements of one text, a transaction that changes nothing, settings
    assert_eq!(rows(&at, "begin; select 1; select 2; commit"), ["1", "2"]);
    assert_eq!(rows(&at, "set statement_timeout = '5s'; show statement_timeout"), ["5s"]);
    assert_eq!(rows(&at, "begin; set local statement_timeout = '5s'; show statement_timeout; commit"), ["5s"]);
    let mut local = psql(&at, &[]);
    local.args(["-A", "-t", "-c", "set local statement_timeout = '5s'; show statement_timeout"]);
    let local = ran(local).expect_code(0);
    assert_eq!(local.stdout, "0\n", "outside of a transaction it counts for nothing");
    assert!(local.stderr.contains("WARNING:  SET LOCAL counts until a transaction ends"), "{}", local.stderr);
    // psql is told of it without asking, and so knows what it was set to and what it became
    let mut reset = psql(&at, &[]);
    for text in ["set datestyle = 'ISO, DMY'", "reset all", "show datestyle"] {
        reset.args(["-c", text]);
    }
    assert!(ran(reset).expect_code(0).stdout.contains("ISO, MDY"));
    let long = format!("set application_name = '{}'; show application_name", "x".repeat(31_000));
    assert_eq!(rows(&at, &long), ["x".repeat(63)]);
    assert_eq!(rows(&at, "select current_setting('server_version_num')"), ["150000"]);
    let csv = asked(&at, &["\\copy (select tailnum, crew, diverted from legs order by crew) to stdout csv header"]);
    assert_eq!(csv, "tailnum,crew,diverted\nN1,4,f\nN2,5,t\nN1,6,\n");
}

#[test]
fn what_writes_is_refused_and_what_is_not_there_is_named() {
    let place = place();
    let (_server, at) = serve(&place);
    for statement in [
        "insert into legs select * from legs",
        "delete from legs",
        "update legs set crew = 1",
        "drop table legs",
        "create table x (a int)",
        "copy legs from stdin",
        "copy (select 1) to '/tmp/x'",
        "truncate legs",
        "with x as (insert into legs select * from legs) select 1",
        "select crew into crews from legs",
        "explain insert into legs select * from legs",
        "begin read write",
        "set default_transaction_read_only = off",
    ] {
        let said = refused(&at, &[], statement);
        assert!(said.contains("ERROR:  25006: "), "{statement}: {said}");
        assert!(said.contains("HINT:  SQL only reads: rows come by `hitherto ingest`"), "{statement}: {said}");
    }
    for (query, state, reason) in [
        ("select * from leg", "42P01", "no feature view 'leg' (did you mean 'legs'?)"),
        ("selec 1", "42000", "could not plan the query"),
        ("select crew from legs where tailnum = $1", "08P01", "the query has parameters without a value ($1)"),
        ("select 1 / (crew - crew) from legs", "22000", "could not run the query"),
        ("set client_encoding = 'LATIN1'", "22023", "client_encoding cannot be 'LATIN1' here"),
        ("set datafusion.execution.batch_size = 1", "42704", "there is no setting"),
        ("commit and chain", "0A000", "no transaction begins with the end of another"),
        ("select to_char(event_timestamp, 'YYYY-MM') from legs", "0A000", "the pattern 'YYYY-MM' of to_char has no %"),
        ("declare c cursor for select 1", "0A000", "there are no cursors in SQL"),
        ("select * from pg_catalog.pg_no_such", "42", "pg_no_such"),
    ] {
        let said = refused(&at, &[], query);
        assert!(said.contains(&format!("ERROR:  {state}")) && said.contains(reason), "{query}: {said}");
    }
    let mut unknown = psql(&at, &[("PGOPTIONS", "-c statment_timeout=300")]);
    unknown.args(["-c", "select 1"]);
    let said = ran(unknown).expect_code(2).stderr;
    assert!(said.contains("there is no setting 'statment_timeout'"), "an option is not passed over: {said}");
    // of a transaction in which something was refused nothing goes on
    let mut command = psql(&at, &[]);
    command.args(["-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose", "-A", "-t"]);
    for text in ["begin", "select * from leg", "select 1", "rollback", "select 2"] {
        command.args(["-c", text]);
    }
    let ran = ran(command);
    assert_eq!(ran.stdout, "2\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("ERROR:  25P02: "), "{}", ran.stderr);
    assert_eq!(rows(&at, "select count(*) from legs"), ["3"]);
    // but what was refused after a savepoint
    let mut command = psql(&at, &[]);
    command.args(["-v", "ON_ERROR_STOP=0", "-A", "-t", "-q"]);
    for text in
        ["begin", "savepoint a", "select * from leg", "rollback to savepoint a", "select 3", "release a", "commit"]
    {
        command.args(["-c", text]);
    }
    let ran = self::ran(command);
    assert_eq!(ran.stdout, "3\n", "{}", ran.stderr);
    assert!(refused(&at, &[], "savepoint a").contains("25P01"));
}

#[test]
fn questions_about_the_catalog_have_the_bounds_of_all() {
    let place = place();
    let (_server, at) = serve(&place);
    let beside = format!("select 1 from pg_class a{}", ", pg_class".repeat(400));
    for (query, reason) in [
        ("select length(repeat('x', 2000000000)) from pg_class limit 1", "repeat"),
        ("select relname from pg_catalog.pg_class tablesample system (1)", "TABLESAMPLE is not supported"),
        ("select relname from pg_catalog.pg_class for update", "FOR UPDATE or SHARE is not supported"),
        (beside.as_str(), "tables stand beside others in FROM"),
    ] {
        let said = refused(&at, &[], query);
        assert!(said.contains(reason), "{query}: {said}");
    }
    assert_eq!(rows(&at, "select length(repeat('x', 20)) from pg_class limit 1"), ["20"]);
}

fn running(server: &Served, count: u32) {
    let wanted = format!("hitherto_sql_queries_running {count}\n");
    until(&format!("{count} queries run"), || server.page("/metrics").1.contains(&wanted).then_some(()));
}

#[test]
fn a_statement_ends_when_it_is_cancelled() {
    let place = place();
    let (server, at) = serve(&place);
    let mut command = psql(&at, &[]);
    command.args(["-v", "VERBOSITY=verbose", "-c", ENDLESS]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("psql can be started");
    running(&server, 1);
    // as Ctrl-C does
    signal("INT", child.id());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ERROR:  57014: the statement was cancelled, as its user asked"), "{said}");
    running(&server, 0);
    let (_, page) = server.page("/metrics");
    assert!(page.contains("hitherto_sql_queries_total{outcome=\"cancelled\"} 1"), "{page}");
    assert_eq!(rows(&at, "select 1"), ["1"]);
}

#[test]
fn a_statement_ends_when_its_client_leaves() {
    let place = place();
    let (server, at) = serve(&place);
    let mut command = psql(&at, &[]);
    let mut child = command.args(["-c", ENDLESS]).stdout(Stdio::null()).spawn().expect("psql can be started");
    running(&server, 1);
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    running(&server, 0);
}

#[test]
fn limits_are_named_with_their_remedy() {
    let place = place();
    let (server, at) = serve(&place);
    let said = refused(&at, &[("PGOPTIONS", "-c statement_timeout=300")], ENDLESS);
    assert!(
        said.contains("57014: the statement took longer than 300ms") && said.contains("statement_timeout"),
        "{said}"
    );
    running(&server, 0);
    drop(server);
    place.write("hitherto.toml", "[sql]\nmax_rows = 2\n");
    let (_server, at) = serve(&place);
    let said = refused(&at, &[], "select crew from legs");
    assert!(said.contains("53000: the query has more than 2 rows") && said.contains("`sql.max_rows`"), "{said}");
}

#[test]
fn a_server_that_stops_says_so() {
    let place = place();
    let (server, at) = serve(&place);
    let (child, mut stdin, _stdout) = held(&at, &[]);
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "an idle connection holds up nobody: {said}");
    writeln!(stdin, "select 2;").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the server stops: connect again in a moment"), "{said}");
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    let place = place();
    let (server, at) = serve(&place);
    let mut client = TcpStream::connect(&at).expect("it listens");
    let message = |head: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len() + 4).expect("a short message").to_be_bytes();
        [head, &length, body].concat()
    };
    client.write_all(&message(b"", b"\0\x03\0\0user\0ada\0database\0hitherto\0\0")).expect("it reads");
    client.write_all(&message(b"Q", b"select repeat('x', 1000) from range(0, 1000000000)\0")).expect("it reads");
    running(&server, 1);
    let begun = Instant::now();
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(25), "it was waited for to the last");
    drop(client);
}
