//! What becomes of a file whose recording does not go well: only what an entry names stays.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use hitherto_core::Kind;
use hitherto_engine::{Clock, Existing, Progress, Spine, SpineSources, TrainingSetRequest};
use hitherto_offline::OutputLocation;
use serde_json::json;

use super::report::{PASSED, ids, input, set, told};
use super::{SECRET, json as json_line, trained};
use crate::support::{Hitherto, python};

/// Does something once, when the first rows are written.
fn meanwhile(done: impl Fn() + Send + Sync) -> impl Fn(Progress) + Send + Sync {
    let is_done = AtomicBool::new(false);
    move |progress: Progress| {
        if matches!(progress, Progress::Writing(..)) && !is_done.swap(true, Ordering::Relaxed) {
            done();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_an_entry_stays_when_it_is_built_again_and_overtaken() {
    let place = trained();
    let engine = place.engine(None, Clock::System).await;
    let before = json_line(&place, "dataset show set_with");
    let bytes = fs::read(place.path("with.parquet")).expect("a file");
    let out = || OutputLocation::file(&place.path("with.parquet")).expect("a place");
    let folder = place.folder();
    let erasing = |tail: &'static str| {
        let line = format!("erase legs --entity tailnum={tail} --yes");
        meanwhile(move || drop(Hitherto::in_folder(folder).ok(&line)))
    };
    let known = engine.registry().dataset("set_with").await.expect("a dataset");
    let sources = SpineSources { spines: vec![input(&place, "with.csv").await], ..SpineSources::default() };
    let error =
        engine.rebuild_dataset(&known, &sources, out(), erasing("N2")).await.expect_err("an erasure came upon it");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(error.to_string().contains("the file is what it was before, and stays: run it again"), "{error}");
    assert_eq!(fs::read(place.path("with.parquet")).expect("it stays"), bytes);
    assert_eq!(json_line(&place, "dataset show set_with"), before);

    // a new one at the same place: another history, so another id
    let replace = Existing::Replace;
    let wanted = TrainingSetRequest {
        existing: replace,
        ..TrainingSetRequest::new(set("late"), sources.spines[0].clone(), out())
    };
    let error = engine.training_set(&wanted, erasing("N1")).await.expect_err("an erasure came upon it");
    assert!(error.to_string().contains("the file was removed: run it again"), "{error}");
    assert!(!place.path("with.parquet").exists(), "no entry names these bytes");
    assert_eq!(json_line(&place, "dataset show set_with"), before, "the entry of what lay there is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_as_it_was_when_its_new_file_is_overtaken() {
    let place = trained();
    let engine = place.engine(None, Clock::System).await;
    let before = json_line(&place, "dataset show set_with");
    let out = OutputLocation::file(&place.path("elsewhere.parquet")).expect("a place");
    let folder = place.folder();
    let wanted = TrainingSetRequest::new(set("late"), input(&place, "with.csv").await, out);
    let erasing = meanwhile(|| drop(Hitherto::in_folder(folder).ok("erase legs --entity tailnum=N2 --yes")));
    let error = engine.training_set(&wanted, erasing).await.expect_err("an erasure came upon it");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(place.path("with.parquet").exists() && !place.path("elsewhere.parquet").exists());
    assert_eq!(json_line(&place, "dataset show set_with"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_spines_query_reads_again_counts_when_a_training_set_is_built_again() {
    let place = trained();
    place.write("passed.yaml", PASSED);
    place.ok("apply -f passed.yaml");
    // in order: without, the rows come in that of files and threads, and would be another spine
    let query = "select tailnum, event_timestamp from legs where tailnum <> 'N2' order by tailnum, event_timestamp";
    place.ok(&format!("training-set --feature-set passed --spine-sql \"{query}\" --out q.parquet --name queried"));
    let engine = place.engine(None, Clock::System).await;
    let known = engine.registry().dataset("queried").await.expect("a dataset");
    let sources = SpineSources { spines: vec![Spine::Sql(query.to_owned())], ..SpineSources::default() };
    let out = OutputLocation::file(&place.path("rebuilt.parquet")).expect("a place");
    let folder = place.folder();
    let erasing = meanwhile(|| drop(Hitherto::in_folder(folder).ok("erase legs --entity tailnum=N1 --yes")));
    let error = engine.rebuild_dataset(&known, &sources, out, erasing).await.expect_err("an erasure came upon it");
    assert!(error.to_string().contains("took 10 rows of table legs-1 while it was built"), "{error}");
    assert!(!place.path("rebuilt.parquet").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_training_set_while_its_rows_are_erased_is_not_kept() {
    let place = trained();
    place.write("passed.yaml", PASSED);
    place.ok("apply -f passed.yaml");
    let engine = place.engine(None, Clock::System).await;
    let folder = place.folder();
    let query = "select tailnum, event_timestamp from training_sets.set_without";
    for (spine, tail) in [(input(&place, "with.parquet").await, SECRET), (Spine::Sql(query.to_owned()), "N2")] {
        let out = || OutputLocation::file(&place.path("made.parquet")).expect("a place");
        let erasing = meanwhile(|| {
            drop(Hitherto::in_folder(folder).ok(&format!("erase legs --entity tailnum={tail} --yes")));
        });
        let wanted = TrainingSetRequest::new(set("passed"), spine, out());
        let error = engine.training_set(&wanted, erasing).await.expect_err("an erasure came upon it");
        assert!(error.to_string().contains("took 10 rows of table legs-1 while it was built"), "{error}");
        assert!(!place.path("made.parquet").exists());
        // once more it is made of a file that is known to hold it
        let made = engine.training_set(&wanted, |_| ()).await.expect("nothing comes upon it");
        assert_eq!(made.build.spine_datasets.len(), 1);
        let found = json_line(&place, &format!("erase legs --entity tailnum={tail}"));
        assert!(ids(&found).contains(&&json!(made.id)), "{found:#}");
        out().remove().await.expect("it is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_recorded_is_not_left() {
    let place = trained();
    let engine = place.engine(None, Clock::System).await;
    let out = OutputLocation::file(&place.path("new.parquet")).expect("a place");
    let registry = place.path(".hitherto/registry.db").display().to_string();
    let full = "CREATE TRIGGER audit_is_full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'it is full'); END";
    let wanted = TrainingSetRequest::new(set("late"), input(&place, "without.csv").await, out);
    let failing = meanwhile(|| drop(python("run_sql.py", &[registry.as_str(), full])));
    let error = engine.training_set(&wanted, failing).await.expect_err("the log takes no entry");
    assert_ne!(error.kind(), Kind::Conflict, "{error}");
    assert!(!place.path("new.parquet").exists(), "nobody would be told of it");
    assert!(place.path("without.parquet").exists(), "the same training set elsewhere stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_maker_may_move_no_entry_is_found() {
    let place = trained();
    let engine = place.engine(None, Clock::System).await.keeping_entries();
    let at = |name: &str| place.path(name).display().to_string();
    let out = OutputLocation::file(&place.path("copy.parquet")).expect("a place");
    let wanted = TrainingSetRequest {
        existing: Existing::Keep,
        ..TrainingSetRequest::new(set("late"), input(&place, "with.csv").await, out)
    };
    engine.training_set(&wanted, |_| ()).await.expect("built");
    assert_eq!(json_line(&place, "dataset show set_with")["location"], at("with.parquet"), "the entry stays");
    let found = json_line(&place, &format!("erase legs --entity tailnum={SECRET}"));
    let with = told(&place, &found, "set_with").expect("it is told");
    assert_eq!((&with["location"], &with["copies"]), (&json!(at("with.parquet")), &json!([at("copy.parquet")])));
    place.ok("audit verify --history");
}
