//! `lineage WHAT`: what a thing came from, and what was made of it.

use serde_json::{Value, json};

use super::{NOON, attributes, edges, id_of, ingest, json_of, legs, lineage, names, ok, trained, weather};
use crate::support::Hitherto;

#[test]
fn a_feature_leads_to_the_models_that_use_it_and_are_served() {
    let place = trained();
    ok(&place, "model register m --feature-set late");
    ok(&place, "model register other --feature-set clear");
    let id = id_of(&place, "first");
    let found = lineage(&place, "weather:wind_gust --down");
    assert_eq!(found["roots"], json!([{"kind": "feature", "name": "weather@1:wind_gust"}]));
    assert_eq!(names(&found, "feature_set"), ["late@1"]);
    assert_eq!(names(&found, "dataset"), std::slice::from_ref(&id));
    assert_eq!(names(&found, "model"), ["m@1", "m@2"]);
    assert_eq!(names(&found, "alias"), ["m@champion"]);
    assert_eq!(attributes(&found, "model", "m@1")["served_as"], json!(["champion"]));
    assert_eq!(attributes(&found, "model", "m@2")["served_as"], json!([]));
    assert_eq!(edges(&found, "feeds"), ["late@1 > m@1", "late@1 > m@2"]);
    assert_eq!(edges(&found, "trained"), [format!("{id} > m@1")]);
    assert_eq!(edges(&found, "answers"), ["m@1 > m@champion"]);
    assert_eq!(names(&found, "table"), Vec::<String>::new(), "nothing above it was asked for");

    let told = ok(&place, "lineage weather@1:wind_gust");
    let file = place.path("t.parquet").display().to_string();
    let expected = "\
feature weather@1:wind_gust, float32
  from
    feature view weather@1, source delay 10m, ttl 6h
      entity airport, origin: string
      table weather-1
        batch weather-1/0, 1 rows, _sequence 0 to 0, ingested 2013-01-03T12:00:00Z, id winter
          data file weather/weather-1/data/";
    assert!(told.starts_with(expected), "{told}");
    let into: Vec<&str> = told.lines().skip_while(|line| *line != "  into").collect();
    let hash = json_of(&place.ok("describe feature-set late --output json"))["hash"].as_str().expect("a hash")[..12]
        .to_owned();
    let expected = [
        "  into".to_owned(),
        format!("    feature set late@1, hash {hash}"),
        format!("      dataset first {}, 2 rows, mode knowledge, built 2013-01-03T12:00:00Z, in {file}", &id[..12]),
        "        model m@1, served now as champion, registered 2013-01-03T12:00:00Z".to_owned(),
        "          alias m@champion, at @1, since 2013-01-03T12:00:00Z, gate careful@1 passed".to_owned(),
        "      model m@1, served now as champion, registered 2013-01-03T12:00:00Z (as above)".to_owned(),
        "      model m@2, under no alias now, registered 2013-01-03T12:00:00Z".to_owned(),
    ];
    assert_eq!(into, expected, "{told}");
}

#[test]
fn a_model_leads_to_the_batches_files_and_definitions_that_it_came_from() {
    let place = trained();
    let id = id_of(&place, "first");
    let found = lineage(&place, "m@champion --up");
    assert_eq!(found["roots"], json!([{"kind": "alias", "name": "m@champion"}]));
    assert_eq!(names(&found, "batch"), ["legs-1/0", "legs-1/1", "weather-1/0"], "and not what came later");
    let tuesday = json!({
        "table": "legs-1", "batch_id": "tuesday", "ingested_at": "2013-01-03T12:00:00Z", "rows": 2, "first_sequence": 1,
        "last_sequence": 2, "log_version": 1,
    });
    assert_eq!(attributes(&found, "batch", "legs-1/1"), &tuesday);
    let files = names(&found, "data_file");
    assert_eq!(files.len(), 3);
    for file in &files {
        let on_disk = place.path(".hitherto/offline").join(file);
        let bytes = std::fs::metadata(&on_disk).expect("a file of history").len();
        assert_eq!(attributes(&found, "data_file", file)["bytes"], bytes);
        assert_eq!(attributes(&found, "data_file", file)["is_current"], true);
    }
    assert_eq!(names(&found, "feature_view"), ["legs@1", "weather@1"]);
    assert_eq!(names(&found, "feature"), ["legs@1:arr_delay", "weather@1:wind_gust"], "what the set has, and no more");
    assert_eq!(names(&found, "entity"), ["aircraft", "airport"]);
    assert_eq!(names(&found, "spine"), [place.path("spine.csv").display().to_string()]);
    assert_eq!(
        attributes(&found, "feature_set", "late@1")["transforms"],
        json!({"is_gusty": "coalesce(gust, 0) > 25"})
    );
    let read: Vec<(Value, Value)> = found["edges"]
        .as_array()
        .expect("edges")
        .iter()
        .filter(|edge| edge["relation"] == "read_for" && edge["from_kind"] == "table")
        .map(|edge| (edge["from_name"].clone(), edge["last_sequence"].clone()))
        .collect();
    assert_eq!(read, [(json!("legs-1"), json!(2)), (json!("weather-1"), json!(0))]);
    assert_eq!(edges(&found, "guards"), ["careful@1 > m@champion"]);
    let alias = attributes(&found, "alias", "m@champion");
    assert_eq!((&alias["evidence"]["gate"], &alias["evidence"]["is_passed"]), (&json!("careful@1"), &json!(true)));
    assert_eq!(alias["evidence"]["conditions"].as_array().map(Vec::len), Some(2));
    let dataset = attributes(&found, "dataset", &id);
    assert_eq!((&dataset["name"], &dataset["rows"], &dataset["verdict"]), (&json!("first"), &json!(2), &Value::Null));
    place.ok("dataset verify first");
    let verified = lineage(&place, &id[..8]);
    assert_eq!(attributes(&verified, "dataset", &id)["verdict"]["is_proven"], true);
    assert_eq!(names(&verified, "alias"), ["m@champion"], "a dataset is followed both ways");

    let told = ok(&place, "lineage m@1 --up");
    let below: Vec<&str> = told.lines().skip_while(|line| !line.contains("table legs-1, up to")).take(4).collect();
    assert_eq!(below[0], "      table legs-1, up to _sequence 2", "{told}");
    assert!(below[1].starts_with("        batch legs-1/0, 1 rows, _sequence 0 to 0,"), "{told}");
    assert!(below[2].starts_with("          data file legs/legs-1/data/"), "{told}");
    assert!(below[3].starts_with("        batch legs-1/1, 2 rows, _sequence 1 to 2,"), "{told}");
    assert!(!told.contains("wednesday"), "{told}");
}

#[test]
fn a_batch_leads_to_the_models_that_were_trained_on_it_through_a_compaction() {
    let place = trained();
    place.ok("compact legs --full");
    ok(&place, "training-set --feature-set late --spine spine.csv --out u.parquet --name second");
    ok(&place, "model register m --dataset second");
    let (first, second) = (id_of(&place, "first"), id_of(&place, "second"));
    let monday = lineage(&place, "monday");
    assert_eq!(monday["roots"], json!([{"kind": "batch", "name": "legs-1/0"}]));
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(names(&monday, "dataset"), both);
    assert_eq!(names(&monday, "model"), ["m@1", "m@2"]);
    let files = names(&monday, "data_file");
    assert_eq!(files.len(), 2, "its own and the one that took its place");
    assert_eq!(edges(&monday, "rewritten_as").len(), 1);
    let wednesday = lineage(&place, "wednesday --kind batch --down");
    assert_eq!(names(&wednesday, "dataset"), std::slice::from_ref(&second), "the first was built before");
    assert_eq!(names(&wednesday, "model"), ["m@2"]);
    assert_eq!(names(&wednesday, "table"), ["legs-1"]);
    assert_eq!(names(&wednesday, "feature_view"), Vec::<String>::new());

    // the second read the run, and the run came from all three batches
    let up = lineage(&place, "second --up");
    assert_eq!(names(&up, "batch"), ["legs-1/0", "legs-1/1", "legs-1/2", "weather-1/0"]);
    assert_eq!(names(&up, "data_file").len(), 5);
    let read: Vec<String> = edges(&up, "read_for").into_iter().filter(|edge| edge.starts_with("legs/")).collect();
    assert_eq!(read.len(), 1, "{read:?}");
    let run = read[0].split(" > ").next().expect("a file");
    assert_eq!(attributes(&up, "data_file", run)["is_current"], true);
    assert_eq!(attributes(&up, "data_file", run)["rows"], 4);
    assert_eq!(edges(&up, "rewritten_as").len(), 3);
    // the first is told as it was built, from files that were replaced since
    let up = lineage(&place, "first --up");
    assert_eq!(names(&up, "batch"), ["legs-1/0", "legs-1/1", "weather-1/0"]);
    let replaced =
        names(&up, "data_file").iter().filter(|file| attributes(&up, "data_file", file)["is_current"] == false).count();
    assert_eq!(replaced, 2);
    // a file, by the end of its path
    let name = run.rsplit('/').next().expect("a name");
    let file = lineage(&place, name);
    assert_eq!(file["roots"], json!([{"kind": "data_file", "name": run}]));
    assert_eq!(names(&file, "batch"), ["legs-1/0", "legs-1/1", "legs-1/2"]);
    assert_eq!(names(&file, "model"), ["m@2"]);
}

#[test]
fn what_a_spines_query_read_is_part_of_what_a_dataset_came_from() {
    let place = trained();
    let query = "select tailnum as origin, event_timestamp from legs";
    ok(&place, &format!("training-set --feature-set clear --spine-sql '{query}' --out s.parquet --name queried"));
    ingest(&place, "legs", "thursday", &legs(&["N1,2013-01-02T12:00:00Z,9,64"]));
    let id = id_of(&place, "queried");
    let manifest = json_of(&place.ok("dataset show queried --output json"));
    assert_eq!(manifest["build"]["spine_tables"], json!({"legs-1": 3}));
    assert_eq!(manifest["build"]["delta_versions"], json!({"legs-1": 2, "weather-1": 0}));
    assert_eq!(manifest["tables"], json!({"weather-1": 0}), "what decides the id is what it was");
    let found = lineage(&place, "queried --up");
    assert_eq!(names(&found, "batch"), ["legs-1/0", "legs-1/1", "legs-1/2", "weather-1/0"]);
    assert_eq!(names(&found, "data_file").len(), 4);
    let read = edges(&found, "read_for");
    for edge in [format!("legs-1 > {query}"), format!("legs-1 > {id}"), format!("weather-1 > {id}")] {
        assert!(read.contains(&edge), "{edge} of {read:?}");
    }
    assert_eq!(names(&lineage(&place, "wednesday --down"), "dataset"), std::slice::from_ref(&id));
    assert_eq!(names(&lineage(&place, "legs-1 --down"), "spine"), [query]);
    let query = format!("select count(*) as n from registry.lineage where to_name = '{id}' and from_name like 'legs%'");
    let counted = place.ok(&format!("sql \"{query}\" --format json"));
    assert_eq!(counted, "{\"n\":7}\n", "the table, three batches and their files");
}

#[test]
fn a_batch_and_a_file_are_told_with_what_was_made_of_them_on_the_right_side() {
    let place = trained();
    let file = names(&lineage(&place, "monday"), "data_file").remove(0);
    let bytes = std::fs::metadata(place.path(".hitherto/offline").join(&file)).expect("a file of history").len();
    let made = format!(
        "    dataset first {}, 2 rows, mode knowledge, built {NOON}, in {}\n      \
         model m@1, served now as champion, registered {NOON}\n        \
         alias m@champion, at @1, since {NOON}, gate careful@1 passed\n",
        &id_of(&place, "first")[..12],
        place.path("t.parquet").display()
    );
    let batch = format!("batch legs-1/0, 1 rows, _sequence 0 to 0, ingested {NOON}, id monday\n");
    let data_file = format!("data file {file}, 1 rows, {} bytes\n", thousands(bytes));
    let into = format!("{batch}  into\n    table legs-1\n    {data_file}{made}");
    assert_eq!(place.ok("lineage monday"), into);
    assert_eq!(place.ok("lineage monday --down"), into);
    assert_eq!(place.ok("lineage legs-1/0 --up"), batch);
    let from = format!("{data_file}  from\n    {batch}");
    let into = format!("  into\n{made}    table legs-1\n");
    assert_eq!(place.ok(&format!("lineage {file}")), format!("{from}{into}"));
    assert_eq!(place.ok(&format!("lineage {file} --up")), from);
    assert_eq!(place.ok(&format!("lineage {file} --down")), format!("{data_file}{into}"));
}

/// `1,234`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    match digits.split_at_checked(digits.len().saturating_sub(3)) {
        Some((before, after)) if !before.is_empty() => format!("{before},{after}"),
        _ => digits,
    }
}

#[test]
fn a_canary_a_shadow_and_a_test_set_are_told_apart() {
    let place = trained();
    place.write("test.csv", "tailnum,origin,event_timestamp\nN2,JFK,2013-01-03T10:00:00Z\n");
    ok(&place, "training-set --feature-set late --spine test.csv --out test.parquet --name test");
    for _ in 0..2 {
        ok(&place, "model register m --dataset first");
    }
    ok(&place, "model evaluate m@2 --metric auc=0.8 --dataset test --grader code:1");
    ok(&place, "model traffic m champion --split 1=90,2=10 --shadow 3");
    let found = lineage(&place, "m@champion --up");
    assert_eq!(edges(&found, "answers"), ["m@1 > m@champion", "m@2 > m@champion"]);
    assert_eq!(edges(&found, "shadows"), ["m@3 > m@champion"]);
    let test = id_of(&place, "test");
    assert_eq!(edges(&found, "measured"), [format!("{test} > m@2")]);
    // what it was measured on is named, and is no part of what it came from
    assert_eq!(names(&found, "batch"), ["legs-1/0", "legs-1/1", "weather-1/0"]);
    assert_eq!(names(&found, "spine"), [place.path("spine.csv").display().to_string()]);
    let down = ok(&place, "lineage m@2 --down");
    assert_eq!(
        down,
        "model m@2, served now as champion, registered 2013-01-03T12:00:00Z\n  into\n    \
         alias m@champion, weight 10, at @1, since 2013-01-03T12:00:00Z, gate careful@1 passed\n"
    );
    let down = ok(&place, "lineage test --kind dataset --down");
    assert_eq!(
        down.lines().nth(2),
        Some("    model m@2, measured only, served now as champion, registered 2013-01-03T12:00:00Z")
    );
}

#[test]
fn a_name_without_a_version_stands_for_every_version() {
    let place = trained();
    place.write("d2.yaml", super::DEFINITIONS.replace("ttl: 6h", "ttl: 3h"));
    ok(&place, "apply -f d2.yaml");
    let found = lineage(&place, "weather:wind_gust");
    let roots = json!([
        {"kind": "feature", "name": "weather@1:wind_gust"}, {"kind": "feature", "name": "weather@2:wind_gust"},
    ]);
    assert_eq!(found["roots"], roots);
    assert_eq!(names(&found, "feature_set"), ["late@1", "late@2"]);
    assert_eq!(names(&found, "feature_view"), ["weather@1", "weather@2"]);
    assert_eq!(names(&lineage(&place, "weather@2"), "feature_set"), ["clear@2", "late@2"]);
}

#[test]
fn what_is_ambiguous_or_unknown_is_told() {
    let place = trained();
    place.write("e.yaml", "kind: entity\nname: legs\njoin_keys: {leg: int64}\n");
    ok(&place, "apply -f e.yaml");
    assert_eq!(
        place.fails("lineage legs"),
        "error: 'legs' is the name of more than one thing (entity, feature view): say which with --kind entity or --kind \
         feature-view\n"
    );
    assert_eq!(names(&lineage(&place, "legs --kind entity"), "feature_view"), Vec::<String>::new());
    assert_eq!(names(&lineage(&place, "legs --kind feature-view --up"), "entity"), ["aircraft"]);
    for (line, said) in [
        (
            "lineage wether:wind_gust",
            "nothing is called 'wether:wind_gust' (did you mean 'weather:wind_gust'?); if it is a batch or a data file, say so \
             with --kind batch or --kind data-file",
        ),
        ("lineage monnday --kind batch", "no batch 'monnday'"),
        ("lineage m@challenger", "nothing is called 'm@challenger'"),
        ("lineage lat --kind feature-set", "no feature set 'lat' (did you mean 'late'?)"),
        ("lineage m@2", "nothing is called 'm@2'"),
    ] {
        assert_eq!(place.fails(line), format!("error: {said}\n"), "{line}");
    }
    // a batch id may come again in another table
    ingest(&place, "weather", "monday", &weather("JFK,2013-01-02T09:00:00Z,3,9"));
    assert_eq!(place.fails("lineage monday"), "error: 'monday' is more than one batch: say legs-1/0 or weather-1/1\n");
    assert_eq!(names(&lineage(&place, "weather-1/1 --up"), "batch"), ["weather-1/1"]);
    let usage = place.run("lineage legs --kind view").expect_code(2);
    assert!(usage.stderr.contains("it is one of entity, batch, data-file, table, feature-view,"), "{}", usage.stderr);
    place.run("lineage legs --up --down").expect_code(2);
}

#[test]
fn looking_creates_nothing() {
    let place = Hitherto::new();
    assert_eq!(place.fails("lineage weather"), "error: nothing is called 'weather'\n");
    let empty = place.ok("sql 'select count(*) as edges from registry.lineage' --format csv");
    assert_eq!(empty, "edges\n0\n");
    assert!(!place.path(".hitherto").exists());
}
