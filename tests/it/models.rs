//! Model versions, evaluations, gates and traffic, as a user meets them.

use std::fs;

use hitherto_core::{StoredVerdict, Timestamp};
use serde_json::{Value, json};

use crate::support::{Hitherto, LEGS};

const GATE: &str = "\
kind: gate
name: careful
model: m
alias: champion
dataset: verified
online: {max_lag: 1h}
metrics:
- {metric: auc, min: 0.7}
- {metric: auc, slice: carrier=AA, min: 0.6}
- {metric: auc, against: champion, min_change: -0.01}
- {metric: latency_p99_ms, max: 20}
";

const NOON: &str = "--clock 2013-01-02T12:00:00Z";

/// A dataset `first` of the feature set `late`, whose view is online at noon.
fn trained() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", LEGS);
    place.write("gate.yaml", GATE);
    place.write("legs.csv", "tailnum,event_timestamp,arr_delay\nN1,2013-01-01T10:00:00Z,5\n");
    place.write("spine.csv", "tailnum,event_timestamp\nN1,2013-01-02T10:00:00Z\n");
    place.ok("apply -f d.yaml");
    place.ok("ingest legs legs.csv");
    place.ok("training-set --feature-set late --spine spine.csv --out t.parquet --name first");
    place.ok(&format!("materialize {NOON}"));
    place
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}\n{text}"))
}

/// A verdict on the dataset `first`, as whoever verifies its file records it.
fn verdict(place: &Hitherto, proven: bool) {
    let dataset = json_of(&place.ok("dataset show first --output json"));
    let field = |name: &str| dataset[name].as_str().expect("a text").to_owned();
    let verdict = StoredVerdict {
        dataset: field("id"),
        file_hash: field("file_hash"),
        proven,
        at: Timestamp(1_357_128_000_000_000),
        by: "ada".to_owned(),
        report: json!({"rows": 1}),
    };
    let url = format!("sqlite://{}", place.path(".hitherto/registry.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let registry = hitherto_registry::open(&url, &"default".parse().expect("a name")).await.expect("opens");
        registry.record_verdict(&verdict).await.expect("records");
    });
}

#[test]
fn a_version_says_where_it_came_from() {
    let place = trained();
    place.write("model.bin", "weights");
    let registered = place.ok(
        "model register m --dataset first --artifact model.bin --run mlflow=3f2a --run wandb=x1 --code-version 1f2e3d \
         --param depth=6 --param loss=log --tag team=ops --output json",
    );
    let model = json_of(&registered);
    // printf weights | sha256sum
    let sha256 = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
    assert_eq!(model["artifact"]["uri"], place.path("model.bin").display().to_string());
    assert_eq!(model["artifact"]["sha256"], sha256);
    assert_eq!(model["runs"], json!({"mlflow": "3f2a", "wandb": "x1"}));
    assert_eq!(model["parameters"], json!({"depth": 6, "loss": "log"}));
    assert_eq!((&model["kind"], &model["code_version"]), (&json!("model"), &json!("1f2e3d")));
    let shown = json_of(&place.ok("model show m@1 --output json"));
    assert_eq!(shown["artifact"], model["artifact"]);
    assert_eq!((&shown["aliases"], &shown["evaluations"]), (&json!([]), &json!([])));

    // the same again is another version: nothing changes the first
    place.write("model.bin", "other weights");
    assert_eq!(place.ok("model register m --dataset first --artifact model.bin"), "m@2\n");
    let other = json_of(&place.ok("model show m@2 --output json"));
    assert_ne!(other["artifact"]["sha256"], model["artifact"]["sha256"]);
    assert_eq!(json_of(&place.ok("model show m@1 --output json"))["artifact"], model["artifact"]);

    let refused = place
        .fails(&format!("model register m --dataset first --artifact model.bin --artifact-sha256 {}", "a".repeat(64)));
    assert!(
        refused.contains("model.bin has the SHA-256 ") && refused.ends_with("which artifact is it?\n"),
        "{refused}"
    );
    let refused = place.fails("model register m --dataset first --artifact s3://b/m --artifact-sha256 A1");
    assert_eq!(
        refused,
        "error: could not register model 'm': 'A1' is no SHA-256: write 64 hexadecimal digits in lower case\n"
    );
}

#[test]
fn a_prompt_is_a_model_version() {
    let place = trained();
    place.write("prompt.txt", "How late is {arr_delay}?\nSay a number.\n");
    place.ok("model register p --dataset first --prompt-file prompt.txt --param temperature=0.2");
    let shown = place.ok("model show p");
    for line in [
        "kind             prompt\n",
        "parameter        temperature=0.2\n",
        "prompt           How late is {arr_delay}?\nprompt           Say a number.\n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
    let fails = |flags: &str, reason: &str| {
        assert_eq!(place.fails(&format!("model register p --dataset first {flags}")), format!("error: {reason}\n"));
    };
    fails("--prompt ' '", "could not register model 'p': its prompt is empty");
    fails("--kind prompt", "a prompt needs its text: give --prompt or --prompt-file");
    fails("--kind model --prompt hi", "a model of kind 'model' has no prompt: leave --kind out");
    fails("--param a=1 --param a=2", "--param a is given twice");
}

#[test]
fn evaluations_are_many_and_stay() {
    let place = trained();
    place.ok("model register m --dataset first");
    place.ok("model register judge --dataset first");
    place.write("report.html", "<p>good");
    let said = place.ok(
        "model evaluate m@1 --metric auc=0.71 --metric f1=0.5 --dataset first --grader model:judge@1 --cost usd=1.2 \
         --latency p99_ms=12 --report report.html",
    );
    assert_eq!(said, "m@1 auc=0.71, f1=0.5, cost_usd=1.2, latency_p99_ms=12\n");
    place.ok("model evaluate m --metric auc=0.6 --slice carrier=AA --grader human:ada");
    place.write(
        "e.json",
        r#"{"metrics": {"auc": 0.72}, "slices": {"carrier=UA": {"auc": 0.8}}, "grader": "code:1f2e3d"}"#,
    );
    place.ok("model evaluate m@1 --from e.json");

    let shown = json_of(&place.ok("model show m@1 --output json"));
    let evaluations = shown["evaluations"].as_array().expect("evaluations");
    assert_eq!(evaluations.len(), 3);
    let dataset = json_of(&place.ok("dataset show first --output json"));
    assert_eq!(evaluations[0]["dataset"], dataset["id"], "the full id");
    assert_eq!(evaluations[0]["report"]["location"], place.path("report.html").display().to_string());
    assert_eq!(evaluations[0]["figures"], json!({"cost_usd": 1.2, "latency_p99_ms": 12.0}));
    assert_eq!(evaluations[1]["slices"], json!({"carrier=AA": {"auc": 0.6}}));
    assert_eq!(evaluations[2]["grader"], "code:1f2e3d");
    let text = place.ok("model show m@1");
    let ends: Vec<&str> = text.lines().filter(|line| line.starts_with("evaluation ")).collect();
    assert!(ends[1].ends_with("Z: carrier=AA: auc=0.6 by human:ada"), "{text}");

    let fails = |flags: &str, reason: &str| {
        assert_eq!(place.fails(&format!("model evaluate {flags}")), format!("error: {reason}\n"));
    };
    fails("m@2 --metric auc=1 --grader human:a", "could not find model version 'm@2': its only version is 1");
    fails("m@1 --metric auc=1 --grader model:judge@4", "could not find model version 'judge@4': its only version is 1");
    fails("m@1 --metric auc=1 --grader human:a --dataset fist", "could not find dataset 'fist': did you mean 'first'?");
    fails(
        "m@1 --grader human:a",
        "could not record an evaluation of m@1: it has no number: give a metric like auc=0.71",
    );
    fails("m@1 --metric auc=1 --metric auc=2 --grader human:a", "auc is given twice: which number counts?");
    let usage = place.run("model evaluate m@1 --metric auc=much --grader human:a").expect_code(2).stderr;
    assert!(usage.contains("'auc=much' is no number with a name: write it like auc=0.81"), "{usage}");
    place.run("model evaluate m@1 --metric auc=1 --grader robot:1").expect_code(2);
    place.run("model evaluate m@1 --metric auc=1").expect_code(2);
}

#[test]
fn a_gate_refuses_with_every_reason_until_all_is_mended() {
    let place = trained();
    place.ok("model register m --dataset first");
    let applied = place.ok("apply -f gate.yaml");
    assert_eq!(
        applied,
        "+ gate careful (m@champion, dataset: verified, online: max_lag 1h, auc min 0.7, auc of carrier=AA min 0.6, auc \
         against champion min_change -0.01, latency_p99_ms max 20)\n"
    );
    let late = "--clock 2013-01-02T13:00:00.000001Z";
    let dataset: String = place.ok("dataset show first --output json");
    let id = json_of(&dataset)["id"].as_str().expect("an id")[..12].to_owned();
    let refusal = format!(
        "error: m@1 cannot become 'champion': gate careful@1 refuses it:
  the dataset is verified: nobody has verified the file of dataset {id}
  every view is at most 1h behind: legs@1 is 3601s behind
  auc is at least 0.7: no evaluation of m@1 has auc
  auc of carrier=AA is at least 0.6: no evaluation of m@1 has auc of carrier=AA
  latency_p99_ms is at most 20: no evaluation of m@1 has latency_p99_ms
mend that, or say with --override why it is moved all the same
"
    );
    assert_eq!(place.fails(&format!("model alias m@1 champion {late}")), refusal);
    let checked = place.run(&format!("model check m@1 --alias champion {late}")).expect_code(1);
    assert_eq!(checked.stderr, "error: m@1 may not become 'champion': 5 of 7 conditions failed (gate careful@1)\n");
    assert_eq!(checked.stdout.matches("FAIL  ").count(), 5, "{}", checked.stdout);
    assert!(
        checked.stdout.contains("pass  auc against champion changes by at least -0.01: there is no champion yet\n")
    );
    assert_eq!(place.ok("model history m"), "", "nothing moved");

    place.ok("model evaluate m@1 --metric auc=0.65 --latency p99_ms=12 --grader code:a1");
    place.ok("model evaluate m@1 --metric auc=0.66 --slice carrier=AA --grader code:a1");
    verdict(&place, true);
    verdict(&place, false);
    let refused = place.fails(&format!("model alias m@1 champion {NOON}"));
    assert!(refused.contains(&format!("dataset {id} was not proven by ada at 2013-01-02T12:00:00Z")), "{refused}");
    assert!(refused.contains("auc is at least 0.7: 0.65\n"), "{refused}");
    assert_eq!(refused.lines().count(), 4, "two reasons: {refused}");

    // the latest counts, of verdicts and of evaluations
    verdict(&place, true);
    place.ok("model evaluate m@1 --metric auc=0.7 --grader code:a1");
    place.ok(&format!("model check m@1 --alias champion {NOON}"));
    assert_eq!(place.ok(&format!("model alias m@1 champion {NOON}")), "m@champion -> m@1\n");
    // another alias has no gate
    place.ok(&format!("model alias m@1 spare {late}"));
    let history = json_of(&place.ok("model history m --output json"));
    assert_eq!(history[0]["evidence"]["gate"], json!({"name": "careful", "version": 1}));
    assert_eq!(history[0]["evidence"]["conditions"].as_array().map(Vec::len), Some(7));
    assert_eq!((&history[0]["evidence"]["passed"], &history[0]["override_reason"]), (&json!(true), &Value::Null));
    assert_eq!(history[1]["evidence"]["gate"], Value::Null);
}

#[test]
fn a_gate_compares_with_the_holder_and_an_override_is_recorded() {
    let place = trained();
    let gate = "kind: gate\nname: careful\nmodel: m\nalias: champion\nmetrics:\n- {metric: auc, against: champion, min_change: -0.01}\n";
    place.write("gate.yaml", gate);
    place.ok("apply -f gate.yaml");
    for auc in ["0.71", "0.69", "0.70"] {
        let version = place.ok("model register m --dataset first");
        place.ok(&format!("model evaluate {} --metric auc={auc} --grader code:a1", version.trim()));
    }
    place.ok("model alias m@1 champion");
    let refused = place.fails("model alias m@2 champion --expected 1");
    assert!(
        refused.contains("auc against champion changes by at least -0.01: 0.69 after 0.71 of m@1, a change of -0.02\n"),
        "{refused}"
    );
    assert_eq!(place.ok("model alias m@3 champion"), "m@champion -> m@3\n", "0.70 is just within");
    assert_eq!(place.ok("model alias m@2 champion"), "m@champion -> m@2\n", "and 0.69 is, of that");
    place.ok("model alias m@3 champion");
    place.ok("model alias m@1 champion");
    assert_eq!(
        place.fails("model alias m@2 champion --override ' '"),
        "error: an override needs a reason: it is recorded with the move\n"
    );
    place.ok("model alias m@2 champion --override 'm@1 reads a broken sensor'");
    let history = place.ok("model history m");
    let last: Vec<&str> = history.lines().rev().take(4).collect();
    assert_eq!(last[0], "  overridden: m@1 reads a broken sensor", "{history}");
    assert!(last[1].starts_with("  FAIL  auc against champion "), "{history}");
    assert!(last[3].ends_with(" champion: @1 -> @2, gate careful@1"), "{history}");
    // a reason where nothing is refused overrides nothing
    place.ok("model alias m@1 champion --override 'to be sure'");
    let moves = json_of(&place.ok("model history m --output json"));
    assert_eq!(
        moves.as_array().and_then(|moves| moves.last()).map(|last| &last["override_reason"]),
        Some(&Value::Null)
    );

    // a gate has versions like any definition, and the evidence says which was asked
    place.write("gate.yaml", gate.replace("-0.01", "0.05"));
    assert_eq!(
        place.ok("apply -f gate.yaml"),
        "~ gate careful@2 (was @1): + auc against champion min_change 0.05, - auc against champion min_change -0.01\n"
    );
    let said = place.run("model check m@3 --alias champion").expect_code(1).stderr;
    assert_eq!(said, "error: m@3 may not become 'champion': 1 of 2 conditions failed (gate careful@2)\n");
    assert_eq!(place.ok("list gates").lines().nth(1), Some("careful  @2       m@champion  1"));
    assert!(place.ok("describe gate careful").contains("auc against champion min_change 0.05\n"));
}

#[test]
fn traffic_is_shared_among_versions_that_pass() {
    let place = trained();
    place.write(
        "gate.yaml",
        "kind: gate\nname: careful\nmodel: m\nalias: champion\nmetrics:\n- {metric: auc, min: 0.7}\n",
    );
    for auc in ["0.71", "0.72", "0.1"] {
        let version = place.ok("model register m --dataset first");
        place.ok(&format!("model evaluate {} --metric auc={auc} --grader code:a1", version.trim()));
    }
    place.ok("apply -f gate.yaml");
    place.ok("model alias m@1 champion");
    let said = place.ok("model traffic m champion --split 1=90,2=10 --shadow 3");
    assert_eq!(said, "m@champion -> m@1, 90 of 100 to @1, 10 of 100 to @2, shadow @3\n", "a shadow answers nobody");
    assert!(
        place.ok("model show m@1").contains("aliases          champion, 90 of 100 to @1, 10 of 100 to @2, shadow @3\n")
    );
    let refused = place.fails("model traffic m champion --split 1=90,3=10");
    assert!(refused.starts_with("error: m@3 cannot become 'champion': gate careful@1 refuses it:\n"), "{refused}");
    assert!(refused.contains("auc is at least 0.7: 0.1\n"), "{refused}");
    let shared = json_of(&place.ok("model traffic m champion --split 1=90,3=10 --override 'a trial' --output json"));
    assert_eq!(shared["split"], json!([{"version": 1, "weight": 90}, {"version": 3, "weight": 10}]));
    let log = json_of(&place.ok("audit list --output json"));
    let last = log.as_array().and_then(|log| log.last()).expect("an entry");
    assert_eq!(last["verb"], "set_traffic");
    let after = json_of(last["after"].as_str().expect("JSON"));
    assert_eq!((&after["override_reason"], &after["evidence"][0]["passed"]), (&json!("a trial"), &json!(false)));

    assert_eq!(place.ok("model traffic m champion --clear"), "m@champion -> m@1\n");
    assert_eq!(
        place.fails("model traffic m champion --split 1=1,1=2"),
        "error: could not share the traffic of m@champion: version 1 stands twice in the split\n"
    );
    assert_eq!(
        place.fails("model traffic m champoin --split 1=1"),
        "error: could not find model alias 'm@champoin': did you mean 'champion'?\n"
    );
    place.run("model traffic m champion").expect_code(2);
    place.run("model traffic m champion --clear --shadow 2").expect_code(2);
    assert_eq!(place.ok("model history m").lines().filter(|line| !line.starts_with(' ')).count(), 1, "no move of it");
}

#[test]
fn a_gate_takes_the_word_of_the_last_verification() {
    let place = trained();
    place.write("gate.yaml", "kind: gate\nname: careful\nmodel: m\nalias: champion\ndataset: verified\n");
    place.ok("apply -f gate.yaml");
    place.ok("model register m --dataset first");
    let check = format!("model check m@1 --alias champion {NOON}");
    let said = place.run(&check).expect_code(1).stdout;
    assert!(said.contains("FAIL  the dataset is verified: nobody has verified the file of dataset "), "{said}");
    place.ok("dataset verify first");
    place.ok(&check);
    let written = fs::read(place.path("t.parquet")).expect("the file");
    let mut changed = written.clone();
    changed[written.len() / 2] ^= 1;
    place.write("t.parquet", changed);
    place.run("dataset verify first").expect_code(1);
    let said = place.run(&check).expect_code(1).stdout;
    assert!(said.contains("FAIL  the dataset is verified: "), "{said}");
    // a file that is not there any more is no proof of anything
    fs::remove_file(place.path("t.parquet")).expect("removed");
    place.fails("dataset verify first");
    let said = place.run(&check).expect_code(1).stdout;
    assert!(said.contains("FAIL  the dataset is verified: ") && said.contains(" was not proven by "), "{said}");
    place.write("t.parquet", written);
    place.ok("dataset verify first");
    assert_eq!(place.ok(&format!("model alias m@1 champion {NOON}")), "m@champion -> m@1\n");
    let log = json_of(&place.ok("audit list --output json"));
    let verbs: Vec<&Value> = log.as_array().expect("a log").iter().map(|entry| &entry["verb"]).collect();
    assert_eq!(verbs.iter().filter(|verb| **verb == "record_verdict").count(), 4, "{verbs:?}");
}
