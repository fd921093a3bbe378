//! The audit log: every change is told, and whoever tampers with it is found out.

use std::fs;

use serde_json::Value;

use crate::support::{Hitherto, LEGS, Ran, python};

const DROP: [&str; 2] = ["DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_cut"];

/// Run a command as `who`.
fn run_as(place: &Hitherto, who: &str, line: &str) -> Ran {
    let output = place.command(line).env("HITHERTO_ACTOR", who).output().expect("the binary can be started");
    Ran::of(line, output).expect_code(0)
}

/// Eight changes by two people: two definitions and a table, a set, a dataset, a model version, an evaluation, a move.
fn changed() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", LEGS);
    place.write("legs.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\n");
    place.write("spine.csv", "tailnum,event_timestamp\nN1,2013-01-02T10:00:00Z\n");
    run_as(&place, "ada", "apply -f d.yaml");
    place.ok("ingest legs legs.csv --to both");
    run_as(&place, "ada", "training-set --feature-set late --spine spine.csv --out t.parquet --name first");
    run_as(&place, "ben", "model register m --dataset first");
    run_as(&place, "ben", "model evaluate m@1 --metric auc=0.7 --grader human:ben");
    run_as(&place, "ben", "model alias m@1 champion");
    place
}

/// Statements for the registry's file, past the registry and its triggers.
fn tamper(place: &Hitherto, statements: &[&str]) {
    let file = place.path(".hitherto/registry.db").display().to_string();
    let all: Vec<&str> = [file.as_str()].into_iter().chain(DROP).chain(statements.iter().copied()).collect();
    python("run_sql.py", &all);
}

fn anchors(place: &Hitherto) -> Vec<String> {
    let folder = place.path(".hitherto/offline/_audit/default");
    let files = fs::read_dir(folder).expect("a folder of anchors");
    let mut names: Vec<String> =
        files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What `audit verify` says is wrong, a line each.
fn faults(place: &Hitherto) -> Vec<String> {
    let said = place.fails("audit verify");
    let lines = said.strip_prefix("error: the audit log is not as it was written:\n").expect("what is wrong");
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn every_change_is_told_and_anchored() {
    let place = changed();
    let log: Value = serde_json::from_str(&place.ok("audit list --output json")).expect("JSON");
    let text = |entry: &Value, field: &str| entry[field].as_str().expect("a text").to_owned();
    let told: Vec<String> = log
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| {
            format!("{} {} {} {}", entry["number"], text(entry, "who"), text(entry, "verb"), text(entry, "subject"))
        })
        .collect();
    let id = place.ok("dataset show first --output json");
    let dataset: Value = serde_json::from_str(&id).expect("JSON");
    let id = text(&dataset, "id");
    let expected = [
        "1 ada apply entity aircraft@1".to_owned(),
        "2 ada apply table legs-1".to_owned(),
        "3 ada apply feature_view legs@1".to_owned(),
        "4 ada apply feature_set late@1".to_owned(),
        format!("5 ada record_dataset dataset {id}"),
        "6 ben register_model model m@1".to_owned(),
        "7 ben evaluate model m@1".to_owned(),
        "8 ben move_alias alias m@champion".to_owned(),
    ];
    assert_eq!(told, expected);
    assert_eq!(dataset["build"]["audit_head"]["number"], 4, "the dataset carries the head before it");
    assert_eq!(dataset["build"]["audit_head"]["hash"], log[3]["hash"]);
    let files = ["0000000004.json", "0000000005.json", "0000000006.json", "0000000007.json", "0000000008.json"];
    assert_eq!(anchors(&place), files, "one after each command that changed something");
    let whole = format!(
        "8 entries, whole up to {}; 5 anchors of the object store and 1 of datasets agree\n",
        text(&log[7], "hash")
    );
    assert_eq!(place.ok("audit verify"), whole);

    let listed = place.ok("audit list --after 6 --limit 1");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[1].starts_with("7 ") && lines[1].contains(" ben  evaluate  model m@1 "), "{listed}");

    // what changes nothing is neither told nor anchored
    place.ok("apply -f d.yaml");
    place.ok("model alias m@1 champion");
    assert_eq!((place.ok("audit verify"), anchors(&place).len()), (whole, 5));
}

#[test]
fn who_is_unknown_where_nobody_says() {
    let place = Hitherto::new();
    place.write("d.yaml", LEGS);
    let applied = place.command("apply -f d.yaml").env_remove("USER").output().expect("the binary can be started");
    Ran::of("apply -f d.yaml", applied).expect_code(0);
    let listed = place.ok("audit list --limit 1");
    assert!(listed.contains(" unknown  apply  entity aircraft@1 "), "{listed}");
}

#[test]
fn an_empty_log_is_whole() {
    let place = Hitherto::new();
    assert_eq!(
        place.ok("audit verify"),
        "0 entries, whole up to nothing yet; 0 anchors of the object store and 0 of datasets agree\n"
    );
    assert!(!place.path(".hitherto").exists(), "looking creates nothing");
}

#[test]
fn a_changed_row_is_named() {
    let place = changed();
    tamper(&place, &["UPDATE audit SET who = 'eve' WHERE number = 7"]);
    let faults = faults(&place);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("audit entry 7 (evaluate model m@1) was changed: its content has the hash "),
        "{faults:?}"
    );
}

#[test]
fn a_missing_row_is_named() {
    let place = changed();
    tamper(&place, &["DELETE FROM audit WHERE number = 6"]);
    let expected = [
        "audit entry 6 is missing: entry 7 stands in its place",
        "the audit log was cut: the anchor _audit/default/0000000006.json of the object store knows entry 6, and the log \
         ends at entry 8",
    ];
    assert_eq!(faults(&place), expected);
}

#[test]
fn a_cut_tail_is_named_by_the_object_store() {
    let place = changed();
    tamper(&place, &["DELETE FROM audit WHERE number > 6"]);
    let knows = |number| {
        format!(
            "the audit log was cut: the anchor _audit/default/{number:010}.json of the object store knows entry {number}, \
             and the log ends at entry 6"
        )
    };
    assert_eq!(faults(&place), [knows(7), knows(8)]);
    let json = place.run("audit verify --output json").expect_code(1).stdout;
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&report["entries"], report["faults"].as_array().map(Vec::len)), (&Value::from(6), Some(2)));

    // whoever goes on writing is told, and the old anchor stays
    let ran = place.run("model alias m@1 spare").expect_code(0);
    let told = "_audit/default/0000000007.json of the object store knows another entry 7: the log was cut or rewritten";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    let found = faults(&place);
    assert!(
        found[0].starts_with("the audit log was rewritten: the anchor _audit/default/0000000007.json "),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn an_erasure_a_name_and_a_forgotten_entry_that_were_cut_are_named() {
    let place = changed();
    place.ok("training-set --feature-set late --spine spine.csv --out t.parquet --name second");
    let early = "tailnum,event_timestamp\nN1,2013-01-01T09:00:00Z\n";
    place.write("early.csv", early);
    place.ok("training-set --feature-set late --spine early.csv --out early.parquet --name early");
    place.ok("dataset forget early");
    place.ok("erase legs --entity tailnum=N1 --yes");
    let log: Value = serde_json::from_str(&place.ok("audit list --output json")).expect("JSON");
    let entries = log.as_array().expect("entries");
    let verbs: Vec<&Value> = entries.iter().skip(8).map(|entry| &entry["verb"]).collect();
    assert_eq!(
        verbs,
        ["record_dataset", "record_dataset", "forget_dataset", "erase"],
        "a name, a set, its end, an erasure"
    );
    let last = anchors(&place).split_off(5);
    assert_eq!(last, ["0000000009.json", "0000000010.json", "0000000011.json", "0000000012.json"]);
    tamper(&place, &["DELETE FROM audit WHERE number > 11"]);
    let expected = "the audit log was cut: the anchor _audit/default/0000000012.json of the object store knows entry 12, and \
                    the log ends at entry 11";
    assert_eq!(faults(&place), [expected]);
}

#[test]
fn a_cut_or_rewritten_log_is_named_by_a_dataset_alone() {
    let place = changed();
    fs::remove_dir_all(place.path(".hitherto/offline/_audit")).expect("the anchors are there");
    tamper(&place, &["DELETE FROM audit WHERE number > 2"]);
    let cut = faults(&place);
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0].starts_with("the audit log was cut: dataset "), "{cut:?}");
    assert!(cut[0].ends_with(" knows entry 4, and the log ends at entry 2"), "{cut:?}");

    // a log that goes on from the cut is whole in itself, and another one
    place.write("e.yaml", "kind: entity\nname: origin\njoin_keys: {origin: string}\n");
    place.write("f.yaml", "kind: entity\nname: dest\njoin_keys: {dest: string}\n");
    place.ok("apply -f e.yaml f.yaml");
    let rewritten = faults(&place);
    assert_eq!(rewritten.len(), 1, "{rewritten:?}");
    assert!(rewritten[0].starts_with("the audit log was rewritten: dataset "), "{rewritten:?}");
    assert!(rewritten[0].contains(" knows entry 4 with the hash "), "{rewritten:?}");
}

#[test]
fn a_changed_anchor_is_named() {
    let place = changed();
    place.write(".hitherto/offline/_audit/default/0000000007.json", "{}");
    let faults = faults(&place);
    assert_eq!(faults.len(), 1, "{faults:?}");
    let name = "the anchor _audit/default/0000000007.json of the object store was changed: it cannot be read: ";
    assert!(faults[0].starts_with(name), "{faults:?}");
}

#[test]
fn a_store_that_is_away_holds_up_no_change() {
    let place = Hitherto::new();
    place.write("d.yaml", LEGS);
    place.write("offline", "a file where the folder would be");
    let url = format!("file://{}", place.path("offline").display());
    let applied = place.command("apply -f d.yaml").env("HITHERTO_OFFLINE__URL", &url).output();
    let ran = Ran::of("apply -f d.yaml", applied.expect("the binary can be started")).expect_code(0);
    assert!(
        ran.stderr.contains("the audit log's head is not anchored; the next change does it: could not "),
        "{}",
        ran.stderr
    );
    assert!(place.ok("list entities").contains("aircraft"), "the change is made");
}

#[test]
fn a_file_of_history_that_was_changed_or_is_gone_is_named() {
    let place = changed();
    // past a checkpoint of the table's log, which must keep the hashes; and through a compaction
    for minute in 10..32 {
        place.write("more.csv", format!("tailnum,event_timestamp,arr_delay\nN2,2013-01-01T10:{minute}:00Z,{minute}\n"));
        place.ok("ingest legs more.csv");
    }
    let said = place.ok("audit verify --history");
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("legs-1: 23 files, ")), "{said}");
    assert!(said.ends_with(" bytes, as they were written\n"), "{said}");
    place.ok("compact legs --full");
    let said = place.ok("audit verify --history");
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("legs-1: 1 files, ")), "{said}");
    place.ok("vacuum --retention 0s");

    let folder = place.path(".hitherto/offline/legs/legs-1/data");
    let mut files = fs::read_dir(&folder).expect("the table's files").map(|file| file.expect("a file").path());
    let (file, none) = (files.next().expect("a file"), files.next());
    assert_eq!(none, None, "one file is left");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let written = fs::read(&file).expect("the file");
    let mut changed = written.clone();
    changed[written.len() / 3] ^= 1;
    fs::write(&file, &changed).expect("written");
    assert!(place.ok("audit verify").contains("agree\n"), "the log itself is whole");
    let said = place.fails("audit verify --history");
    let fault = format!("  data/{name} of table 'legs-1' was changed: its SHA-256 is ");
    assert!(said.starts_with("error: history is not as it was written:\n") && said.contains(&fault), "{said}");
    let found: Value =
        serde_json::from_str(&place.run("audit verify --history --output json").expect_code(1).stdout).expect("JSON");
    assert_eq!(found["history"][0]["faults"].as_array().map(Vec::len), Some(1));

    fs::remove_file(&file).expect("removed");
    let said = place.fails("audit verify --history");
    assert!(said.contains(&format!("  data/{name} of table 'legs-1' is gone\n")), "{said}");
    fs::write(&file, &written).expect("written");
    place.ok("audit verify --history");
}
