//! The schema `registry` of SQL.

use std::fs;

use serde_json::{Value, json};

use super::{id_of, json_of, lineage, names, ok, trained};
use crate::support::Hitherto;

/// The rows of a query, as JSON objects.
fn rows(place: &Hitherto, query: &str) -> Vec<Value> {
    place.ok(&format!("sql \"{query}\" --format json")).lines().map(json_of).collect()
}

#[test]
fn each_table_has_what_is_recorded() {
    let place = trained();
    let id = id_of(&place, "first");
    let features = rows(
        &place,
        "select name, type, is_latest, description, entities, table_id from registry.features where view = 'weather' order by name",
    );
    let visib = json!({
        "name": "weather@1:visib", "type": "float32", "is_latest": true, "entities": "[\"airport\"]", "table_id": "weather-1",
    });
    assert_eq!(features[0], visib);
    assert_eq!(features[1]["description"], "miles an hour");
    let sets = rows(&place, "select name, features, transforms from registry.feature_sets order by name");
    let late = json!({
        "name": "late@1", "features": "[\"legs@1:arr_delay\",\"weather@1:wind_gust\"]",
        "transforms": "{\"is_gusty\":\"coalesce(gust, 0) > 25\"}",
    });
    assert_eq!(sets[1], late);
    let datasets = rows(&place, "select id, name, feature_set, mode, tables, rows, built_at from registry.datasets");
    let first = json!({
        "id": id, "name": "first", "feature_set": "late@1", "mode": "knowledge",
        "tables": "{\"legs-1\":2,\"weather-1\":0}", "rows": 2, "built_at": "2013-01-03T12:00:00Z",
    });
    assert_eq!(datasets, [first]);
    let models = rows(&place, "select name, kind, dataset, aliases, registered_at from registry.models");
    let model = json!({
        "name": "m@1", "kind": "model", "dataset": id, "aliases": "[\"champion\"]", "registered_at": "2013-01-03T12:00:00Z",
    });
    assert_eq!(models, [model]);
    let aliases = rows(&place, "select name, version, split, gate, is_passed from registry.aliases");
    let champion = json!({"name": "m@champion", "version": 1, "split": "{}", "gate": "careful@1", "is_passed": true});
    assert_eq!(aliases, [champion]);
    let evaluations = rows(&place, "select metric, value, slice, grader from registry.evaluations order by value");
    let expected = [
        json!({"metric": "auc", "value": 0.7, "slice": "carrier=AA", "grader": "human:ada"}),
        json!({"metric": "auc", "value": 0.75, "grader": "human:ada"}),
    ];
    assert_eq!(evaluations, expected);
    let batches = rows(
        &place,
        "select name, batch_id, rows, first_sequence, last_sequence, ingested_at from registry.batches where view = 'legs' order by first_sequence desc limit 1",
    );
    let wednesday = json!({
        "name": "legs-1/2", "batch_id": "wednesday", "rows": 1, "first_sequence": 3, "last_sequence": 3,
        "ingested_at": "2013-01-03T12:00:00Z",
    });
    assert_eq!(batches, [wednesday]);
    let audit = rows(&place, "select verb, subject from registry.audit order by number desc limit 1");
    assert_eq!(audit, [json!({"verb": "move_alias", "subject": "alias m@champion"})]);
    let log = json_of(&place.ok("audit list --output json"));
    let count = rows(&place, "select count(*) as entries, max(number) as last from registry.audit");
    let entries = log.as_array().expect("entries").len();
    assert_eq!(count, [json!({"entries": entries, "last": entries})]);
}

#[test]
fn lineage_answers_which_batches_a_model_was_trained_on_and_what_a_feature_reaches() {
    let place = trained();
    let trained_on = "select b.batch_id from registry.lineage as d \
                      join registry.lineage as r on r.to_name = d.from_name and r.from_kind = 'batch' \
                      join registry.batches as b on b.name = r.from_name \
                      where d.relation = 'trained' and d.to_name = 'm@1' order by b.batch_id";
    let batches: Vec<Value> = rows(&place, trained_on).iter().map(|row| row["batch_id"].clone()).collect();
    assert_eq!(batches, ["monday", "tuesday", "winter"]);
    let reached = "with recursive down(kind, name) as ( \
                     select 'feature', 'weather@1:wind_gust' union \
                     select l.to_kind, l.to_name from registry.lineage as l \
                     join down on l.from_kind = down.kind and l.from_name = down.name) \
                   select kind, name from down where kind in ('model', 'alias') order by kind";
    let expected = [json!({"kind": "alias", "name": "m@champion"}), json!({"kind": "model", "name": "m@1"})];
    assert_eq!(rows(&place, reached), expected);
    // the command tells the same edges
    let edges = json_of(&place.ok("lineage m@champion --output json"));
    for edge in edges["edges"].as_array().expect("edges") {
        let text = |field: &str| edge[field].as_str().expect("a text").replace('\'', "''");
        let query = format!(
            "select count(*) as found from registry.lineage where from_kind = '{}' and from_name = '{}' and to_kind = '{}' \
             and to_name = '{}' and relation = '{}'",
            text("from_kind"),
            text("from_name"),
            text("to_kind"),
            text("to_name"),
            text("relation"),
        );
        assert_eq!(rows(&place, &query), [json!({"found": 1})], "{edge}");
    }
}

#[test]
fn nothing_is_read_but_what_a_query_names() {
    let place = trained();
    // a log that cannot be read is in nobody's way who does not ask for it
    let log = place.path(".hitherto/offline/weather/weather-1/_delta_log/00000000000000000000.json");
    let written = fs::read(&log).expect("a log");
    fs::write(&log, "{").expect("written");
    assert_eq!(rows(&place, "select count(*) as n from registry.models"), [json!({"n": 1})]);
    assert_eq!(rows(&place, "select count(*) as n from legs"), [json!({"n": 4})]);
    assert!(place.fails("sql 'select * from registry.batches'").contains("weather-1"));
    assert!(place.fails("sql 'select * from weather'").contains("weather-1"));
    // nor who asks for what other logs or the registry have
    let batches = "select count(*) as n from registry.batches where view = 'legs'";
    assert_eq!(rows(&place, batches), [json!({"n": 3})]);
    let trained = "select t.to_name, e.from_name from registry.lineage as t \
                   join registry.lineage as e on e.relation = 'feeds' and e.from_kind = 'feature_set' \
                   where t.relation = 'trained' and t.to_kind = 'model'";
    assert_eq!(rows(&place, trained), [json!({"to_name": "m@1", "from_name": "late@1"})]);
    assert!(place.fails("sql 'select * from registry.lineage'").contains("weather-1"));
    // nor who misspells a name, or asks for what another log has
    let said = place.fails("lineage weathr");
    assert!(said.starts_with("error: nothing is called 'weathr' (did you mean 'weather'?)"), "{said}");
    let said = place.fails("lineage nosuch/thing");
    assert!(said.contains("error: nothing is called 'nosuch/thing'; ") && said.contains("weather-1"), "{said}");
    assert_eq!(names(&lineage(&place, "monday"), "batch"), ["legs-1/0"]);
    fs::write(&log, written).expect("written");
    assert_eq!(rows(&place, "select count(*) as n from registry.batches"), [json!({"n": 4})]);
}

#[test]
fn a_feature_view_of_the_same_name_is_not_in_the_way() {
    let place = trained();
    place.write("h.yaml", "kind: feature_view\nname: registry\nentity: aircraft\nfeatures: {models: int32}\n");
    ok(&place, "apply -f h.yaml");
    place.write("h.csv", "tailnum,event_timestamp,models\nN1,2013-01-01T10:00:00Z,7\n");
    ok(&place, "ingest registry h.csv");
    assert_eq!(rows(&place, "select registry.models from registry"), [json!({"models": 7})]);
    assert_eq!(rows(&place, "select name from registry.models"), [json!({"name": "m@1"})]);
    assert_eq!(rows(&place, "select models from public.registry"), [json!({"models": 7})]);
}

#[test]
fn tables_are_listed_and_a_misspelt_one_is_told() {
    let place = trained();
    let listed =
        rows(&place, "select table_name from information_schema.tables where table_schema = 'registry' order by 1");
    let listed: Vec<&str> = listed.iter().map(|row| row["table_name"].as_str().expect("a name")).collect();
    let expected = [
        "aliases",
        "audit",
        "batches",
        "datasets",
        "evaluations",
        "feature_sets",
        "feature_views",
        "features",
        "lineage",
        "models",
    ];
    assert_eq!(listed, expected);
    let types = rows(
        &place,
        "select data_type from information_schema.columns where table_schema = 'registry' and column_name = 'built_at'",
    );
    assert_eq!(types.len(), 1);
    assert_eq!(
        place.fails("sql 'select * from registry.model'"),
        "error: no table of the schema registry 'model' (did you mean 'models'?)\n"
    );
    for query in
        ["drop table registry.models", "insert into registry.models values (1)", "create table registry.x as select 1"]
    {
        place.run(&format!("sql '{query}'")).expect_code(1);
    }
}
