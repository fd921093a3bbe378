//! What was made of training sets that hold an entity is found, whatever became of them and however their files are called.

use std::fs;

use serde_json::json;

use super::report::{PASSED, ids, short, told};
use super::{SECRET, json as json_line, trained};
use crate::support::Hitherto;

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
