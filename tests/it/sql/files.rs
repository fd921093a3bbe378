//! The files of training sets as tables, and every other file out of reach.

use std::fs;

use super::gauged;
use crate::support::Hitherto;

fn csv(place: &Hitherto, query: &str) -> String {
    place.ok(&format!("sql \"{query}\" --format csv"))
}

#[test]
fn a_training_set_is_a_table_by_name_and_by_id() {
    let place = gauged();
    let whole = "k,event_timestamp,factor,label,gauge__value,twice\n\
                 7,2024-01-01T00:00:08Z,2,a,2,4\n8,2024-01-01T00:00:10Z,3,b,5,15\n";
    assert_eq!(csv(&place, "select * from training_sets.first order by k"), whole);
    // columns in another order than the file has them, and none at all
    assert_eq!(csv(&place, "select twice, k from training_sets.first order by k desc"), "twice,k\n15,8\n4,7\n");
    assert_eq!(csv(&place, "select count(*) as n from training_sets.first"), "n\n2\n");
    let shown: serde_json::Value = serde_json::from_str(&place.ok("dataset show first --output json")).expect("JSON");
    let id = shown["id"].as_str().expect("an id").to_owned();
    assert_eq!(place.ok(&format!("sql 'select count(*) as n from training_sets.\"{id}\"' --format csv")), "n\n2\n");
    let listed = "select table_name from information_schema.tables where table_schema = 'training_sets' order by 1";
    let listed = csv(&place, listed);
    assert!(listed.contains("\nfirst\n") && listed.contains(&id), "{listed}");
}

#[test]
fn a_training_set_whose_file_is_gone_or_another_is_told() {
    let place = gauged();
    let file = place.path("t.parquet");
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() - 1]).expect("written");
    let said = place.fails("sql 'select * from training_sets.first'");
    assert!(said.contains("t.parquet is not the file of training set"), "{said}");
    fs::remove_file(&file).expect("removed");
    let said = place.fails("sql 'select * from training_sets.first'");
    assert!(said.contains("is gone from") && said.contains("dataset rebuild"), "{said}");
    // who looks around is not stopped by it
    let columns =
        csv(&place, "select count(*) as n from information_schema.columns where table_schema = 'training_sets'");
    assert_eq!(columns, "n\n0\n");
    let said = place.fails("sql 'select * from training_sets.frist'");
    assert!(said.starts_with("error: no training set 'frist' (did you mean 'first'?)"), "{said}");
}

#[test]
fn no_statement_writes_and_no_file_is_read() {
    let place = gauged();
    place.write("secret.csv", "a\n1\n");
    let before = files(&place);
    let secret = place.path("secret.csv").display().to_string();
    for query in [
        "insert into gauge values (1)",
        "insert into latest.gauge values (1)",
        "insert into training_sets.first values (1)",
        "explain analyze insert into gauge select * from gauge",
        "explain insert into gauge select * from gauge",
        "update gauge set value = 1",
        "delete from gauge",
        "truncate table gauge",
        "copy gauge to 'out.csv'",
        "copy (select 1) to 'out.parquet'",
        "create table t as select 1",
        "create or replace table gauge as select 1",
        "create view v as select 1",
        "create schema s",
        "create database d",
        "create function f() returns int return 1",
        "create external table t stored as csv location 'secret.csv'",
        "drop table gauge",
        "drop schema latest",
        "alter table gauge add column x int",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "begin",
        "commit",
        "prepare p as select 1",
        "execute p",
        "deallocate p",
        "with t as (insert into gauge values (1) returning 1) select * from t",
        "select * into t from gauge",
        "select 1; delete from gauge",
        "select * from 'secret.csv'",
        "select * from `secret.csv`",
        "select * from 'file://secret.csv'",
        "select * from 'https://example.org/secret.csv'",
        "select * from read_csv('secret.csv')",
        "select * from read_parquet('t.parquet')",
        "select * from history('secret.csv')",
        "select * from value_at('secret.csv', timestamp '2024-01-01')",
        "select * from features_as_of('seen', 'secret.csv')",
        "select * from features_as_of('seen', 'copy gauge to ''out.csv''')",
        "select * from training_sets.\"../secret\"",
        "select * from training_sets.\"t.parquet\"",
    ] {
        let quote = if query.contains('"') { '\'' } else { '"' };
        let ran = place.run(&format!("sql {quote}{query}{quote}")).expect_code(1);
        assert!(ran.stderr.starts_with("error: "), "{query}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{query}");
    }
    let ran = place.run(&format!("sql 'select * from \"{secret}\"'")).expect_code(1);
    assert!(ran.stderr.contains("no feature view"), "{}", ran.stderr);
    assert_eq!(files(&place), before, "nothing came or went");
    assert_eq!(csv(&place, "select count(*) as n from gauge"), "n\n7\n");
}

/// The files of the folder.
fn files(place: &Hitherto) -> Vec<String> {
    let entries = fs::read_dir(place.folder()).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_a_spine_query_reads_about_time_is_told_of_the_dataset() {
    let place = gauged();
    let spine = "select k, event_timestamp, cast(2 as bigint) as factor from value_at('gauge', timestamp '2024-01-01T00:00:10Z')";
    place.ok(&format!("training-set --feature-set seen --spine-sql \"{spine}\" --out u.parquet --name second"));
    let shown: serde_json::Value = serde_json::from_str(&place.ok("dataset show second --output json")).expect("JSON");
    assert_eq!(shown["build"]["spine_tables"]["gauge-1"], 6, "{shown:#}");
    assert_eq!(csv(&place, "select k, twice from training_sets.second order by k"), "k,twice\n7,2\n8,10\n9,\n");
}

#[test]
fn a_description_that_changes_does_not_change_the_bytes_of_a_training_set() {
    let place = gauged();
    let spine = "select k, event_timestamp, value as v, cast(1 as bigint) as factor from gauge order by _sequence";
    let build =
        |out: &str| place.ok(&format!("training-set --feature-set seen --spine-sql \"{spine}\" --out {out} --fresh"));
    build("a.parquet");
    place.write("d.yaml", super::DEFINITIONS.replace("litres", "litres of fuel"));
    place.ok("apply -f d.yaml");
    let said = csv(&place, "select description from registry.features");
    assert_eq!(said, "description\nlitres of fuel\n");
    build("b.parquet");
    let bytes = |name: &str| fs::read(place.path(name)).expect("a file");
    assert!(bytes("a.parquet") == bytes("b.parquet"), "a spine's columns have no descriptions");
}
