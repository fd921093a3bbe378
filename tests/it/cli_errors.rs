//! Errors that one would thank us for: each names the thing, the reason and the remedy, word for word.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use crate::support::Hitherto;

const DEFINITIONS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
created_timestamp: created_timestamp
features:
  arr_delay: float32
  dep_delay: float32
---
kind: feature_set
name: late
features: [legs:*]
";

const LEGS: &str = "\
tailnum,event_timestamp,created_timestamp,arr_delay,dep_delay
N1,2013-01-01T10:00:00Z,2013-01-01T12:00:00Z,5,1
N2,2013-01-01T10:00:00Z,2013-01-01T12:00:00Z,-3,
";

const SPINE: &str = "tailnum,event_timestamp,label\nN1,2013-01-01T13:00:00Z,1\nN9,2013-01-01T13:00:00Z,0\n";

#[test]
fn problems_of_all_definition_files_are_told_at_once() {
    let place = Hitherto::new();
    place.write(
        "a.yaml",
        "kind: feature_view\nname: legs\nentity: aircraft\ntll: 2d\nfeatures:\n  arr_delay: float16\n",
    );
    place.write("b.yaml", "kind: entity\nname: aircraft\njoin_keys: {tailnum: float64}\n---\nkind: model\nname: m\n");
    let expected = "\
error: a.yaml:4:1: unknown field 'tll' in feature_view 'legs' (did you mean 'ttl'?)
a.yaml:6:14: feature 'arr_delay': 'float16' is not a type: use bool, int32, int64, float32, float64, string, bytes, \
timestamp, date, list<T> or vector<float32, N>
b.yaml:3:22: join key 'tailnum': a key cannot be float64: floats that print alike may differ; use int64 or string
";
    let said = place.fails("plan -f a.yaml b.yaml");
    assert!(said.starts_with(expected), "{said}");
    assert!(said[expected.len()..].starts_with("b.yaml:5:7: ") && said.contains("'model'"), "{said}");
    assert_eq!(place.fails("apply -f a.yaml b.yaml"), said, "apply says what plan says");
    assert_eq!(place.ok("list entities"), "NAME  VERSION  JOIN KEYS  DESCRIPTION\n", "and nothing is applied");
}

#[test]
fn definitions_that_name_what_is_not_there() {
    let place = applied();
    let set = |features: &str| format!("kind: feature_set\nname: other\nfeatures: [{features}]\n");
    for (features, problem) in [
        ("leg:arr_delay", "3:12: unknown feature_view 'leg' (did you mean 'legs'?)"),
        ("legs:arr_dely", "3:12: legs@1 has no feature 'arr_dely' (did you mean 'arr_delay'?)"),
        (
            "{ref: 'legs:arr_delay', as: delay}, {ref: 'legs:dep_delay', as: delay}",
            "3:48: 'delay' names both legs:arr_delay and legs:dep_delay: rename one of them",
        ),
    ] {
        place.write("other.yaml", set(features));
        assert_eq!(place.fails("plan -f other.yaml"), format!("error: other.yaml:{problem}\n"));
    }
    assert_eq!(
        place.fails("plan -f nothere.yaml"),
        "error: could not read nothere.yaml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_new_table_wants_to_be_asked_for() {
    let place = applied();
    place.write("wider.yaml", DEFINITIONS.replace("arr_delay: float32", "arr_delay: float64"));
    assert_eq!(
        place.fails("apply -f wider.yaml"),
        "error: wider.yaml:10:3: feature_view 'legs' would need a new table, whose history must be ingested again \
         (feature arr_delay float32 -> float64): if that is meant, apply with --allow-new-table\n"
    );
    let told = "! feature_view legs@2: new table legs-2, its history must be ingested again: feature arr_delay float32 -> \
                float64";
    assert!(place.ok("plan -f wider.yaml").contains(told));
    assert!(place.ok("apply -f wider.yaml --allow-new-table").contains(told));
}

#[test]
fn files_that_ingest_refuses() {
    let place = applied();
    let row = |text: &str| format!("tailnum,event_timestamp,created_timestamp,arr_delay,dep_delay\n{text}\n");
    let first = "N1,2013-01-01T10:00:00Z,2013-01-01T12:00:00Z,5,1";
    for (content, reason) in [
        (
            row(first).replace("dep_delay", "dep_delay,colour").replace("5,1", "5,1,red"),
            "no version of the feature view declares the column 'colour'; declare it, leave it out of the file, or ask to \
             ignore extra columns (--ignore-extra)",
        ),
        (
            row("N1,2013-01-01,2013-01-01T12:00:00Z,5,1"),
            "column 'event_timestamp', row 1: '2013-01-01' is a date, and a time is wanted: a day's aggregate dated midnight \
             leaks the day; write the time at which the fact was true or the day was over",
        ),
        (
            row(&format!("{first}\nN1,,2013-01-01T12:00:00Z,5,1")),
            "column 'event_timestamp', row 2: null is refused as event time: every row needs one",
        ),
        (
            row("N1,2013-01-01T10:00:00Z,,5,1"),
            "column 'created_timestamp', row 1: null is refused as created time: every row needs one",
        ),
        (
            row(first).replace(",dep_delay", "").replace("5,1", "5"),
            "it has no column 'dep_delay' (feature 'dep_delay')",
        ),
        (
            row(&first.replace("5,1", "five,1")),
            "column 'arr_delay', row 1: 'five' is no float32: only an empty field or null is a missing value",
        ),
    ] {
        place.write("bad.csv", content);
        assert_eq!(place.fails("ingest legs bad.csv"), format!("error: could not read 'bad.csv': {reason}\n"));
    }
    assert_eq!(place.fails("ingest leg bad.csv"), "error: no feature view 'leg' (did you mean 'legs'?)\n");
    assert_eq!(place.fails("ingest legs x.csv"), "error: could not open 'x.csv': there is no such file\n");
    assert_eq!(place.fails("ingest legs 'x/*.csv'"), "error: could not open 'x/*.csv': no file matches it\n");
    // nothing of a refused file was taken, the good rows before the bad one included
    assert_eq!(place.ok("sql 'select count(*) as rows from legs' --format csv"), "rows\n0\n");
}

#[test]
fn parquet_that_ingest_refuses() {
    let place = applied();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let number = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_357_034_400_000_000]).with_timezone("UTC"));
    let batch = |tailnum: ArrayRef, event: &ArrayRef| {
        let columns = [tailnum, Arc::clone(event), Arc::clone(&time), number(5.0), number(1.0)];
        let names = ["tailnum", "event_timestamp", "created_timestamp", "arr_delay", "dep_delay"];
        RecordBatch::try_from_iter(names.into_iter().zip(columns)).expect("columns of one length")
    };
    place.write_parquet("good.parquet", &batch(text("N1"), &time));
    place.write_parquet("float.parquet", &batch(number(1.5), &time));
    place.write_parquet("day.parquet", &batch(text("N1"), &(Arc::new(Date32Array::from(vec![15_706])) as ArrayRef)));
    let good = fs::read(place.path("good.parquet")).expect("the file");
    place.write("cut.parquet", &good[..good.len() - 20]);

    let truncated = "it is truncated, for a Parquet file ends with a footer and this one does not; nothing of it was taken: \
                     write or copy it again";
    assert_eq!(place.fails("ingest legs cut.parquet"), format!("error: could not read 'cut.parquet': {truncated}\n"));
    let float = place.fails("ingest legs float.parquet");
    assert!(float.starts_with("error: could not read 'float.parquet': column 'tailnum'"), "{float}");
    assert!(float.contains("float"), "{float}");
    let day = "column 'event_timestamp' is Date32, and the event time wants timestamp: a day's aggregate dated midnight leaks \
               the day; write the time at which the fact was true or the day was over";
    assert_eq!(place.fails("ingest legs day.parquet"), format!("error: could not read 'day.parquet': {day}\n"));
    assert_eq!(place.ok("ingest legs good.parquet"), "legs: 1 rows, _sequence 0 to 0\n");
}

#[test]
fn a_batch_id_stands_for_one_content() {
    let place = applied();
    place.write("legs.csv", LEGS).write("other.csv", LEGS.replace(",5,1", ",6,1"));
    assert_eq!(place.ok("ingest legs legs.csv --batch-id monday"), "legs: 2 rows, _sequence 0 to 1\n");
    let again = place.ok("ingest legs legs.csv --batch-id monday");
    assert_eq!(again, "legs: nothing changed, batch monday was ingested before\n");
    assert_eq!(
        place.fails("ingest legs other.csv --batch-id monday"),
        "error: the batch id 'monday' was used before with other content; use a new id, or leave it out to let the content \
         decide\n"
    );
    assert_eq!(place.ok("sql 'select count(*) as rows from legs' --format csv"), "rows\n2\n");
}

#[test]
fn spines_that_are_refused() {
    let place = ingested();
    let nearest =
        "the spine has no column 'tailnum' for key 'tailnum' (string) of legs (it has event_timestamp, label)";
    for (content, reason) in [
        ("event_timestamp,label\n2013-01-01T13:00:00Z,1\n", nearest),
        (
            "tailnun,event_timestamp\nN1,2013-01-01T13:00:00Z\n",
            "the spine has no column 'tailnum' for key 'tailnum' (string) of legs (did you mean 'tailnun'?)",
        ),
        (
            "tailnum,label\nN1,1\n",
            "the spine has no column 'event_timestamp' for the times of prediction (it has tailnum, label)",
        ),
        (
            "tailnum,event_timestamp\nN1,2013-01-01T13:00:00Z\nN9,\n",
            "the spine's column 'event_timestamp' is null in row 2: every row needs its time of prediction",
        ),
        (
            "tailnum,event_timestamp\n1,2013-01-01T13:00:00Z\n",
            "the spine's column 'tailnum' is int64, and the key of legs that it stands for is string",
        ),
        (
            "tailnum,event_timestamp\nN1,2013-01-01\n",
            "the spine's column 'event_timestamp' is a date, not a time: say at which moment of the day the prediction is made",
        ),
        (
            "tailnum,event_timestamp,legs__arr_delay\nN1,2013-01-01T13:00:00Z,1\n",
            "the spine has a column 'legs__arr_delay', and so would the training set: rename the spine's column, or the \
             feature with `as:`",
        ),
    ] {
        place.write("bad.csv", content);
        let said = place.fails("training-set --feature-set late --spine bad.csv --out bad.parquet");
        assert_eq!(said, format!("error: {reason}\n"));
        assert!(!place.path("bad.parquet").exists(), "a refused job leaves no file");
    }
    place.write("float.ndjson", "{\"tailnum\": 1.5, \"event_timestamp\": \"2013-01-01T13:00:00Z\"}\n");
    let float = place.fails("training-set --feature-set late --spine float.ndjson --out bad.parquet");
    assert!(float.contains("'tailnum'") && float.contains("pandas") && float.contains("cast the column"), "{float}");
    assert_eq!(place.ok("list datasets").lines().count(), 1, "a refused job leaves no dataset");
}

#[test]
fn names_that_are_not_there() {
    let place = ingested();
    let out = "--spine spine.csv --out t.parquet";
    for (command, reason) in [
        (format!("training-set --feature-set lat {out}"), "no feature set 'lat' (did you mean 'late'?)"),
        (format!("training-set --feature-set late@7 {out}"), "no feature set 'late@7': its latest version is @1"),
        (
            format!("training-set --feature-set late@best {out}"),
            "'late@best': a feature set has versions (@1); aliases belong to models",
        ),
        (
            "training-set --feature-set late --spine no.csv --out t.parquet".to_owned(),
            "could not open 'no.csv': there is no such file",
        ),
        (
            "training-set --feature-set late --spine-sql 'select * from lgs' --out t.parquet".to_owned(),
            "no feature view 'lgs' (did you mean 'legs'?)",
        ),
        ("describe feature-view leg".to_owned(), "no feature view 'leg' (did you mean 'legs'?)"),
        ("materialize leg".to_owned(), "no feature view 'leg' (did you mean 'legs'?)"),
        ("sql 'select * from leg'".to_owned(), "no feature view 'leg' (did you mean 'legs'?)"),
        ("sql 'select * from \"legs@2\"'".to_owned(), "no feature view 'legs@2' (did you mean 'legs'?)"),
        ("model register m --feature-set lat".to_owned(), "no feature set 'lat' (did you mean 'late'?)"),
        ("--config no.toml list entities".to_owned(), "--config no.toml: there is no such file"),
    ] {
        assert_eq!(place.fails(&command), format!("error: {reason}\n"), "$ hitherto {command}");
    }
    let column = place.fails("sql 'select arr_dely from legs'");
    assert!(
        column
            .starts_with("error: could not plan the query: No field named arr_dely. Did you mean 'legs.arr_delay'?\n"),
        "{column}"
    );
}

#[test]
fn models_and_the_online_store_say_what_is_missing() {
    let place = ingested();
    place.ok("training-set --feature-set late --spine spine.csv --out t.parquet --name first");
    let fails = |command: &str, reason: &str| {
        assert_eq!(place.fails(command), format!("error: {reason}\n"), "$ hitherto {command}");
    };
    fails(
        "get --feature-set late --entity tailnum=N1",
        "there is no online store yet: `hitherto materialize` makes and fills it",
    );
    fails("model register m --dataset fist", "could not find dataset 'fist': did you mean 'first'?");
    assert_eq!(place.ok("model register m --dataset first --tag run=1"), "m@1\n");
    fails(
        "model alias m@1 champion",
        "m@1 cannot become 'champion' yet: not in the online store: legs@1; run `hitherto materialize` first",
    );
    fails("model alias m champion", "'m' names no version: write it like m@1");
    fails("model alias m@9 champion", "could not find model version 'm@9': its only version is 1");

    place.ok("materialize --clock 2013-01-05T00:00:00Z");
    fails(
        "materialize --clock 2013-01-04T00:00:00Z",
        "could not materialize legs at 2013-01-04T00:00:00Z: its online rows have been brought up to 2013-01-05T00:00:00Z \
         already, and time does not run back there; use a later --clock, or another online store",
    );
    fails(
        "get --feature-set late --entity tailnum=N1 --clock 2013-01-04T00:00:00Z",
        "could not read legs@1 at 2013-01-04T00:00:00Z: the online store has been brought up to 2013-01-05T00:00:00Z; it keeps \
         the latest values only, so an earlier moment cannot be answered",
    );
    fails("get --model m@champion --entity tailnum=N1", "model 'm' has no alias 'champion'; it has none yet");
    assert_eq!(place.ok("model alias m@1 champion"), "m@champion -> m@1\n");
    let at = "--clock 2013-01-05T00:00:00Z";
    fails(
        &format!("get --model m@champon --entity tailnum=N1 {at}"),
        "model 'm' has no alias 'champon' (did you mean 'champion'?)",
    );
    fails(&format!("get --model n@champion --entity tailnum=N1 {at}"), "no model 'n' (did you mean 'm'?)");
    fails(
        &format!("get --model m@champion --entity tailnm=N1 {at}"),
        "'tailnm' is no entity key or request field of late@1 (did you mean 'tailnum'?)",
    );
    fails(&format!("get --model m@champion --entity tailnum {at}"), "--entity tailnum: write it like tailnum=N14228");
    let row = place.ok(&format!("get --model m@champion --entity tailnum=N2 {at}"));
    let lines: Vec<Vec<&str>> = row.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["tailnum=N2", "legs__arr_delay", "-3.0", "PRESENT", "2013-01-01T10:00:00Z"]);
    assert_eq!(lines[1], ["tailnum=N2", "legs__dep_delay", "NULL_VALUE", "2013-01-01T10:00:00Z"]);
}

#[test]
fn beyond_loopback_is_not_listened_on_without_tls_and_tokens() {
    let place = Hitherto::new();
    let refused = |address: &str, lacking: &str| {
        format!(
            "error: could not listen on {address}: it can be reached from other machines, and there is {lacking}; configure \
             `server.tls` and `server.auth = \"token\"`, or listen on 127.0.0.1 and put a proxy that has both in front\n"
        )
    };
    for flag in ["listen", "http", "postgres"] {
        for address in ["0.0.0.0:7420", "[::]:7420", "192.0.2.1:7420"] {
            let said = place.fails(&format!("serve --{flag} {address}"));
            assert_eq!(said, refused(address, "neither TLS nor authentication"));
        }
    }
    for (config, lacking) in [
        ("[server]\nauth = \"token\"\n", "no TLS"),
        ("[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n", "no authentication"),
    ] {
        place.write("half.toml", config);
        let said = place.fails("--config half.toml serve --listen 0.0.0.0:7420");
        assert_eq!(said, refused("0.0.0.0:7420", lacking));
    }
    let nonsense = "error: 'localhost' is not an address: write it like 127.0.0.1:7420\n";
    assert_eq!(place.fails("serve --listen localhost"), nonsense);
    assert!(!place.path(".hitherto").exists(), "a refused address makes no store");
}

#[test]
fn commands_that_read_create_nothing() {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    assert_eq!(place.ok("list entities"), "NAME  VERSION  JOIN KEYS  DESCRIPTION\n");
    assert_eq!(place.ok("list models").lines().count(), 1);
    assert_eq!(place.ok("list datasets --output json"), "[]\n");
    assert_eq!(place.ok("plan -f d.yaml").lines().count(), 3);
    assert_eq!(place.ok("sql 'select 1 as one' --format csv"), "one\n1\n");
    for (command, reason) in [
        ("get --feature-set late --entity tailnum=N1", "no feature set 'late'; there is none yet"),
        ("get --model m@champion --entity tailnum=N1", "no model 'm'; there is none yet"),
        ("sql 'select * from legs'", "no feature view 'legs'; there is none yet"),
        ("describe feature-view legs", "no feature view 'legs'; there is none yet"),
        ("model show m", "could not find model 'm': there are none yet"),
        ("dataset show d", "could not find dataset 'd': there are none yet"),
        ("dataset verify d", "could not find dataset 'd': there are none yet"),
    ] {
        assert_eq!(place.fails(command), format!("error: {reason}\n"), "$ hitherto {command}");
    }
    let left: Vec<_> =
        fs::read_dir(place.folder()).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["d.yaml"]);
}

#[test]
fn wrong_usage_is_another_exit_code() {
    let place = Hitherto::new();
    for (command, says) in [
        ("", "Usage: hitherto"),
        ("nonsense", "unrecognized subcommand 'nonsense'"),
        ("list", "<KIND>"),
        ("list widgets", "[possible values: entities, feature-views, feature-sets, gates, models, datasets]"),
        ("apply", "--file <PATH>..."),
        ("training-set --out t.parquet --spine s.csv", "--feature-set <NAME[@VERSION]>"),
        ("training-set --feature-set s --spine a --spine-sql b --out t", "cannot be used with"),
        ("get --feature-set late", "--entity <K=V,…>"),
        ("get --feature-set late --model m --entity a=1", "cannot be used with"),
        ("ingest 9legs a.csv", "the name '9legs' must begin with a letter"),
        ("model alias m@1 7", "the name '7' must begin with a letter"),
        ("--clock yesterday list entities", "'yesterday' is not a time: write it like 2013-07-01T12:00:00Z"),
        ("--output xml list entities", "[possible values: table, json]"),
    ] {
        let ran = place.run(command).expect_code(2);
        assert!(ran.stderr.contains(says), "$ hitherto {command}\n{}", ran.stderr);
        assert_eq!(ran.stdout, "", "$ hitherto {command}");
    }
    assert!(place.ok("--help").contains("0 done, 1 failed, 2 wrong usage"));
    assert_eq!(place.ok("--version"), format!("hitherto {}\n", env!("CARGO_PKG_VERSION")));
}

/// With the definitions applied.
fn applied() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    place.ok("apply -f d.yaml");
    place
}

/// With two legs in history and a spine beside it.
fn ingested() -> Hitherto {
    let place = applied();
    place.write("legs.csv", LEGS).write("spine.csv", SPINE);
    assert_eq!(place.ok("ingest legs legs.csv"), "legs: 2 rows, _sequence 0 to 1\n");
    place
}
