//! What was made of training sets that hold an entity is found, whatever became of them and however their files are called.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::report::{PASSED, ids, short, told};
use super::{DEFINITIONS, SECRET, json as json_line, trained};
use crate::support::{Hitherto, python};

/// The same, with a feature set of another view.
fn with_passed() -> Hitherto {
    let place = trained();
    place.write("passed.yaml", PASSED);
    place.ok("apply -f passed.yaml");
    place
}

/// A training set of another view than that which is erased from.
fn build(place: &Hitherto, name: &str, spine: &str) {
    place.ok(&format!("training-set --feature-set passed {spine} --out {name}.parquet --name {name}"));
}

fn look(place: &Hitherto) -> serde_json::Value {
    json_line(place, &format!("erase legs --entity tailnum={SECRET}"))
}

#[test]
fn what_was_made_of_a_forgotten_set_is_told_with_its_file_and_without() {
    let place = with_passed();
    let early = short(&place, "set_early");
    build(&place, "of_file", "--spine early.parquet");
    let query = "select tailnum, event_timestamp from training_sets.set_early where tailnum = 'N1'";
    build(&place, "of_query", &format!("--spine-sql \"{query}\""));
    let known = look(&place);
    place.ok("dataset forget set_early");
    let found = look(&place);
    assert_eq!((ids(&known).len(), ids(&found).len()), (4, 4), "{found:#}");
    fs::remove_file(place.path("early.parquet")).expect("it was there");
    let without = look(&place);
    assert_eq!(ids(&without).len(), 3, "nothing is left of it, and what was made of it is: {without:#}");
    for found in [&found, &without] {
        let of_query = told(&place, found, "of_query").expect("it is told");
        assert_eq!((&of_query["holds"], &of_query["rows"]), (&json!("possibly"), &json!(0)));
        assert_eq!(of_query["grounds"], json!([format!("its spine's query read training set {early}")]));
        let of_file = told(&place, found, "of_file").expect("it is told");
        let at = place.path("early.parquet").display().to_string();
        let ground = format!("its spine is the file of training set {early}: {at}");
        assert_eq!((&of_file["holds"], &of_file["grounds"]), (&json!("surely"), &json!([ground])));
    }
}

#[test]
fn a_spine_is_known_for_a_training_sets_file_wherever_it_lies() {
    let place = with_passed();
    place.write("third.csv", format!("tailnum,event_timestamp\n{SECRET},2013-01-07T12:00:00Z\n"));
    place.ok("training-set --feature-set late --spine third.csv --out third.parquet --name set_third");
    let at = |name: &str| place.path(name).display().to_string();
    fs::create_dir_all(at("parts")).expect("a folder");
    for (from, to) in [("with", "copied"), ("without", "parts/a"), ("with", "parts/b")] {
        fs::copy(at(&format!("{from}.parquet")), at(&format!("{to}.parquet"))).expect("a copy");
    }
    symlink(at("early.parquet"), at("linked.parquet")).expect("a link");
    build(&place, "copied_too", "--spine copied.parquet");
    build(&place, "linked_too", "--spine linked.parquet");
    build(&place, "around", "--spine parts/../third.parquet");
    build(&place, "together", "--spine 'parts/*.parquet'");
    let found = look(&place);
    let both = format!("{} {}", at("parts/a.parquet"), at("parts/b.parquet"));
    for (name, of, spine) in [
        ("copied_too", "set_with", at("copied.parquet")),
        ("linked_too", "set_early", at("linked.parquet")),
        ("around", "set_third", at("parts/../third.parquet")),
        ("together", "set_with", both),
    ] {
        let one = told(&place, &found, name).unwrap_or_else(|| panic!("{name} is not told: {found:#}"));
        let ground = format!("its spine is the file of training set {}: {spine}", short(&place, of));
        assert_eq!((&one["holds"], &one["grounds"]), (&json!("surely"), &json!([ground])), "{name}");
    }
}

#[test]
fn what_either_of_two_equal_requests_has_read_counts() {
    let place = with_passed();
    build(&place, "twice", "--spine-sql \"select tailnum, event_timestamp from checks\"");
    let id = json_line(&place, "dataset show twice")["id"].clone();
    assert_eq!(told(&place, &look(&place), "twice"), None, "it read nothing of it");
    let query = format!(
        "select tailnum, min(event_timestamp) as event_timestamp from legs where tailnum = '{SECRET}' group by 1"
    );
    build(&place, "twice", &format!("--spine-sql \"{query}\""));
    let shown = json_line(&place, "dataset show twice");
    assert_eq!((&shown["id"], &shown["build"]["spine_tables"]), (&id, &json!({"checks-1": 0, "legs-1": 29})));
    let twice = told(&place, &look(&place), "twice").expect("it is told");
    assert_eq!(twice["grounds"], json!(["its spine's query read table legs-1 up to _sequence 29"]));

    // another file of the same rows, and a training set that is built again elsewhere
    fs::copy(place.path("with.csv"), place.path("with2.csv")).expect("a copy");
    fs::copy(place.path("early.csv"), place.path("early2.csv")).expect("a copy");
    place.ok("training-set --feature-set late --spine with2.csv --out with.parquet --name set_with");
    place.ok("training-set --feature-set late --spine early2.csv --out again.parquet --name set_early");
    let found = look(&place);
    for name in ["with", "early"] {
        let one = told(&place, &found, &format!("set_{name}")).expect("it is told");
        assert_eq!(one["spine"], place.path(&format!("{name}.csv")).display().to_string());
        assert_eq!(one["other_spines"], json!([place.path(&format!("{name}2.csv")).display().to_string()]));
    }
}

#[test]
fn where_a_file_cannot_be_read_its_spine_is_told_and_a_copy_is_counted() {
    let place = trained();
    // it moves, and both files are whole
    place.ok("training-set --feature-set late --spine with.csv --out moved.parquet");
    place.write("moved.parquet", "no Parquet").write("early.parquet", "no Parquet");
    let found = look(&place);
    let at = |name: &str| json!(place.path(name).display().to_string());
    let with = told(&place, &found, "set_with").expect("it is told");
    assert_eq!((&with["holds"], &with["rows"], &with["rows_with_values"]), (&json!("surely"), &json!(1), &json!(1)));
    assert_eq!((&with["location"], &with["spine"]), (&at("moved.parquet"), &at("with.csv")));
    assert_eq!(with["can_be_rebuilt"], with["fault"], "its own file cannot be read");
    let early = told(&place, &found, "set_early").expect("it is told");
    assert_eq!(
        (&early["holds"], &early["rows"], &early["spine"]),
        (&json!("possibly"), &json!(null), &at("early.csv"))
    );
    assert!(early["fault"].is_string(), "{early:#}");
}

#[test]
fn what_else_it_came_from_and_what_others_lost_counts_for_whether_it_can_be_built_again() {
    let place = trained();
    // it reads the table, at a time when nothing was known, and a training set that holds it
    let query = "select tailnum, event_timestamp - interval '10 days' as event_timestamp from training_sets.set_with";
    place.ok(&format!("training-set --feature-set late --spine-sql \"{query}\" --out both.parquet --name both"));
    let rebuilt = |found: &serde_json::Value, name: &str| {
        told(&place, found, name).unwrap_or_else(|| panic!("{name} is not told: {found:#}"))["can_be_rebuilt"].clone()
    };
    let found = look(&place);
    assert_eq!((rebuilt(&found, "set_early"), rebuilt(&found, "both")), (json!("yes"), json!("from its file alone")));
    place.ok("erase legs --entity tailnum=N1 --yes");
    let found = look(&place);
    let perhaps = json!("perhaps: rows of others were erased from what it read");
    assert_eq!((rebuilt(&found, "set_early"), rebuilt(&found, "set_with")), (perhaps, json!("no")));
}

#[test]
fn of_manifests_from_before_reads_were_noted_the_querys_text_tells() {
    let place = with_passed();
    let early = short(&place, "set_early");
    build(
        &place,
        "queried",
        "--spine-sql \"select 'N1' as tailnum, max(event_timestamp) as event_timestamp from legs\"",
    );
    let query = "select tailnum, event_timestamp from training_sets.set_early where tailnum = 'N1'";
    build(&place, "chained", &format!("--spine-sql \"{query}\""));
    let noted = "'$.build.spine_tables', '$.build.spine_erasures', '$.build.spine_datasets'";
    let registry = place.path(".hitherto/registry.db").display().to_string();
    python("run_sql.py", &[registry.as_str(), &format!("UPDATE datasets SET body = json_remove(body, {noted})")]);
    let are_told = || {
        let found = look(&place);
        let grounds = ["queried", "chained"].map(|name| {
            told(&place, &found, name).unwrap_or_else(|| panic!("{name} is not told: {found:#}"))["grounds"].clone()
        });
        let expected =
            ["its spine's query read table legs-1".to_owned(), format!("its spine's query read training set {early}")];
        assert_eq!(grounds, expected.map(|ground| json!([ground])));
    };
    are_told();
    // by the name of the view another table is meant by now, and by the training set's none
    let definitions = DEFINITIONS.replace("name: legs\nentity: aircraft", "name: legs\nentities: [aircraft, day]");
    let definitions = definitions.replace("---\nkind: feature_set\nname: late\nfeatures: [legs:arr_delay]\n", "");
    place.write("d2.yaml", format!("kind: entity\nname: day\njoin_keys: {{day: int64}}\n---\n{definitions}"));
    place.ok("apply -f d2.yaml --allow-new-table");
    place.ok("dataset forget set_early");
    are_told();
}
