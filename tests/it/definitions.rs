//! Versions, pinning and plans, as a user meets them.

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;

use crate::support::{Hitherto, Ran};

const ENTITY: &str = "kind: entity\nname: aircraft\njoin_keys: {tailnum: string}\n---\n";
const SET: &str = "---\nkind: feature_set\nname: late\nfeatures: [legs:*]\n";
const HEADING: &str = "tailnum,event_timestamp,arr_delay,dep_delay\n";

/// The view `legs` with `rest` after its name, entity and time.
fn view(rest: &str) -> String {
    format!("kind: feature_view\nname: legs\nentity: aircraft\n{rest}\n")
}

/// Apply definitions; what the plan said.
fn apply(place: &Hitherto, text: &str) -> String {
    place.write("d.yaml", text);
    let planned = place.ok("plan -f d.yaml");
    assert_eq!(place.ok("apply -f d.yaml"), planned, "apply does what plan shows");
    planned
}

fn csv(place: &Hitherto, query: &str) -> String {
    place.ok(&format!("sql '{query}' --format csv"))
}

#[test]
fn versions_are_readings_of_one_table() {
    let place = Hitherto::new();
    let first = view("ttl: 1d\nfeatures: {arr_delay: float32}");
    apply(&place, &format!("{ENTITY}{first}"));
    place.write("one.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\n");
    assert_eq!(place.ok("ingest legs one.csv"), "legs: 1 rows, _sequence 0 to 0\n");

    let said = apply(&place, &view("ttl: 2d\nfeatures: {arr_delay: float32}"));
    assert_eq!(said, "~ feature_view legs@2 (was @1): ttl 1d -> 2d\n");
    let said = apply(&place, &view("ttl: 2d\nfeatures: {arr_delay: float32, dep_delay: float32}"));
    assert_eq!(said, "~ feature_view legs@3 (was @2): + feature dep_delay: float32\n");

    // one ingest feeds them all, and what is added is null in rows that came before
    place.write("two.csv", format!("{HEADING}N1,2013-01-02T10:00:00Z,7,2\n"));
    assert_eq!(place.ok("ingest legs two.csv"), "legs: 1 rows, _sequence 1 to 1\n");
    let rows = csv(&place, "select arr_delay, dep_delay, _sequence from legs order by _sequence");
    assert_eq!(rows, "arr_delay,dep_delay,_sequence\n5.0,,0\n7.0,2.0,1\n");
    for version in ["legs@1", "legs@2"] {
        let rows = csv(&place, &format!("select arr_delay, _sequence from \"{version}\" order by _sequence"));
        assert_eq!(rows, "arr_delay,_sequence\n5.0,0\n7.0,1\n", "{version}");
        let refused = place.fails(&format!("sql 'select dep_delay from \"{version}\"'"));
        assert!(refused.contains("No field named dep_delay"), "{version} has no such feature: {refused}");
    }

    // a file that still lacks the new feature is refused: the latest version wants it
    place.write("three.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-03T10:00:00Z,9\n");
    let refused = place.fails("ingest legs three.csv");
    assert_eq!(refused, "error: could not read 'three.csv': it has no column 'dep_delay' (feature 'dep_delay')\n");

    // a feature that leaves the latest version stays in the older ones, and its column is read where it is there
    let said = apply(&place, &view("ttl: 2d\nfeatures: {dep_delay: float32}"));
    assert_eq!(said, "~ feature_view legs@4 (was @3): - feature arr_delay\n");
    place.write("four.csv", format!("{HEADING}N1,2013-01-04T10:00:00Z,11,4\n"));
    place.write("five.csv", "tailnum,event_timestamp,dep_delay\nN1,2013-01-05T10:00:00Z,5\n");
    place.ok("ingest legs four.csv");
    place.ok("ingest legs five.csv");
    let rows = csv(&place, "select arr_delay, dep_delay from \"legs@3\" order by _sequence");
    assert_eq!(rows, "arr_delay,dep_delay\n5.0,\n7.0,2.0\n11.0,4.0\n,5.0\n");
}

#[test]
fn a_feature_set_pins_until_it_is_applied_again() {
    let place = Hitherto::new();
    let said = apply(&place, &format!("{ENTITY}{}{SET}", view("ttl: 1d\nfeatures: {arr_delay: float32}")));
    assert!(said.contains("+ feature_set late (legs__arr_delay: float32)\n"), "{said}");
    place.write("one.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\n");
    place.ok("ingest legs one.csv");
    place.write("spine.csv", "tailnum,event_timestamp\nN1,2013-01-02T09:00:00Z\nN1,2013-01-02T22:00:00Z\n");

    // applying the view touches no set
    let longer = view("ttl: 2d\nfeatures: {arr_delay: float32}");
    apply(&place, &longer);
    let id = place.ok("training-set --feature-set late --spine spine.csv --out one.parquet");
    assert_eq!(delays(&place, "one.parquet"), [Some(5.0), None], "late@1 reads legs@1: a day");

    // applying the set again is what makes the next version
    let said = apply(&place, SET.trim_start_matches("---\n"));
    assert!(said.starts_with("~ feature_set late@2 (was @1): "), "{said}");
    let other = place.ok("training-set --feature-set late --spine spine.csv --out two.parquet");
    assert_eq!(delays(&place, "two.parquet"), [Some(5.0), Some(5.0)], "late@2 reads legs@2: two days");
    assert_eq!(place.ok("training-set --feature-set late@1 --spine spine.csv --out again.parquet"), id);
    assert_eq!(delays(&place, "again.parquet"), [Some(5.0), None]);
    assert_ne!(other, id);

    // and once more changes nothing
    let ran = place.run("apply -f d.yaml").expect_code(0);
    assert_eq!(ran.stdout, "= feature_set late@2 unchanged\n");
    assert!(ran.stderr.starts_with("nothing to change; the registry is at revision "), "{}", ran.stderr);
}

#[test]
fn notes_make_no_version() {
    let place = Hitherto::new();
    let features = "features: {arr_delay: float32}";
    apply(&place, &format!("{ENTITY}{}{SET}", view(features)));
    let hash = hash_of(&place);
    let said = apply(&place, &view(&format!("description: the latest leg\ntags: {{owner: ops}}\n{features}")));
    assert_eq!(said, ". feature_view legs@1: description and tags only\n");
    let listed = place.ok("list feature-views");
    assert!(listed.contains("@1") && listed.contains("the latest leg"), "{listed}");
    let said = apply(&place, &format!("{}description: what is known\n", SET.trim_start_matches("---\n")));
    assert_eq!(said, ". feature_set late@1: description only\n");
    assert_eq!(hash_of(&place), hash, "a set's identity is what decides its values");
}

#[test]
fn two_applies_at_once_never_mix() {
    let place = Hitherto::new();
    let both = |ttl: usize| {
        let view = |name: &str| {
            format!(
                "kind: feature_view\nname: {name}\nentity: aircraft\nttl: {ttl}m\nfeatures: {{arr_delay: float32}}\n---\n"
            )
        };
        let set = "kind: feature_set\nname: late\nfeatures: [legs:arr_delay, {ref: 'hops:arr_delay', as: hop}]\n";
        format!("{ENTITY}{}{}{set}", view("legs"), view("hops"))
    };
    place.write("d.yaml", both(1));
    place.ok("apply -f d.yaml");
    let mut version = 1;
    for round in 1..=10 {
        let (one, two) = (round * 10, round * 10 + 1);
        place.write("one.yaml", both(one)).write("two.yaml", both(two));
        let commands = ["apply -f one.yaml", "apply -f two.yaml"];
        let running = commands.map(|line| {
            let mut command = place.command(line);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            (line, command.spawn().expect("the binary can be started"))
        });
        let ran = running.map(|(line, child)| Ran::of(line, child.wait_with_output().expect("it ends")));
        let done = ran.iter().filter(|ran| ran.code == 0).count();
        for refused in ran.iter().filter(|ran| ran.code != 0) {
            assert!(refused.stderr.contains("conflict") || refused.stderr.contains("another"), "{refused:?}");
        }
        assert!(done >= 1, "one of two must be done: {ran:?}");
        version += done;
        let views = json(&place, "list feature-views --output json");
        let ttl = views[0]["ttl"].as_str().expect("a ttl").to_owned();
        assert!([one, two].iter().any(|minutes| same_span(&ttl, *minutes)), "round {round}: {views}");
        for view in views.as_array().expect("views") {
            assert_eq!(view["ttl"], *ttl, "round {round}: one apply's ttl in both views: {views}");
            assert_eq!(view["version"], *format!("@{version}"), "round {round}: {views}");
        }
        let sets = json(&place, "list feature-sets --output json");
        assert_eq!(sets[0]["version"], *format!("@{version}"), "round {round}: {sets}");
    }
}

#[test]
fn a_transform_that_training_and_serving_would_see_differently_is_refused() {
    let place = Hitherto::new();
    let features = view("ttl: 1d\nfeatures: {arr_delay: float32}");
    let set = |expr: &str| {
        format!("{ENTITY}{features}{SET}request: {{seats: int64}}\ntransforms: [{{name: many, expr: \"{expr}\"}}]\n")
    };
    // a zero alone is never divided by; in a block with others it is
    place.write("d.yaml", set("seats <> 0 and 10 / seats > 1"));
    for command in ["plan -f d.yaml", "apply -f d.yaml"] {
        let refused = place.fails(command);
        let begin = "error: transform 'many': a model would be trained on other values than it is served: where ";
        assert!(refused.starts_with(begin), "{refused}");
        assert!(refused.contains("seats: Int64("), "the row is told: {refused}");
    }
    let said = place.ok("list feature-sets");
    assert!(!said.contains("late"), "nothing was applied: {said}");
    place.write("d.yaml", set("coalesce(10 / nullif(seats, 0) > 1, false)"));
    place.ok("apply -f d.yaml");
    // with rows of history beside those at the edges of types
    place.write("one.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\nN2,2013-01-02T10:00:00Z,\n");
    place.ok("ingest legs one.csv");
    place.write("d.yaml", set("coalesce(legs__arr_delay, 0) * seats > 100"));
    place.ok("apply -f d.yaml");
}

/// Whether a ttl as it is printed is so many minutes.
fn same_span(printed: &str, minutes: usize) -> bool {
    let span: hitherto_core::Span = printed.parse().expect("a duration");
    span.micros() == minutes as i64 * 60_000_000
}

fn json(place: &Hitherto, command: &str) -> serde_json::Value {
    serde_json::from_str(&place.ok(command)).expect("JSON")
}

fn hash_of(place: &Hitherto) -> String {
    json(place, "list feature-sets --output json")[0]["hash"].as_str().expect("a hash").to_owned()
}

fn delays(place: &Hitherto, file: &str) -> Vec<Option<f32>> {
    let batch = place.read_parquet(file);
    let column = batch.column_by_name("legs__arr_delay").expect("the feature");
    column.as_primitive::<Float32Type>().iter().collect()
}
