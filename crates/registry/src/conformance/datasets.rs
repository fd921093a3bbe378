//! Training sets.

use hitherto_core::{Kind, NewModelVersion, StoredVerdict, Timestamp};

use super::models::with_set;
use super::sample::{NOW, dataset, model, name};
use crate::{Recorded, Registry};

pub(super) async fn the_first_recording_stays(registry: &dyn Registry) {
    let first = dataset("d1", None);
    assert_eq!(registry.record_dataset(&first).await.expect("records"), Recorded::New);
    assert_eq!(registry.revision().await.expect("reads"), 1);
    let same = registry.record_dataset(&first).await.expect("records");
    assert_eq!(same, Recorded::Existing(Box::new(first.clone())));
    assert_eq!(registry.revision().await.expect("reads"), 1, "nothing changed");

    let mut elsewhere = dataset("d1", Some("june"));
    "s3://bucket/d1.parquet".clone_into(&mut elsewhere.location);
    elsewhere.built_at = Timestamp(0);
    let mut kept = first.clone();
    kept.location.clone_from(&elsewhere.location);
    kept.name.clone_from(&elsewhere.name);
    let again = registry.record_dataset(&elsewhere).await.expect("records");
    assert_eq!(again, Recorded::Existing(Box::new(kept.clone())), "location and name follow");
    assert_eq!(registry.revision().await.expect("reads"), 2);

    let mut other_bytes = dataset("d1", Some("july"));
    "other".clone_into(&mut other_bytes.file_hash);
    let refused = registry.record_dataset(&other_bytes).await.expect("says what is kept");
    assert_eq!(refused, Recorded::Existing(Box::new(kept.clone())), "other bytes change nothing");
    assert_eq!(registry.revision().await.expect("reads"), 2);
    assert_eq!(registry.dataset("d1").await.expect("reads"), kept);
    assert_eq!(registry.datasets().await.expect("reads"), [kept.clone()]);

    let mut read = dataset("d1", None);
    read.location.clone_from(&kept.location);
    read.build.spine_tables.insert("weather-1".to_owned(), 7);
    read.build.spine_datasets.insert("d0".to_owned());
    registry.record_dataset(&read).await.expect("records");
    let found = registry.dataset("d1").await.expect("reads");
    assert_eq!(
        (&found.build.spine_tables, &found.build.spine_datasets),
        (&read.build.spine_tables, &read.build.spine_datasets)
    );
    let kept = found;

    registry.record_copy("d1", &kept.location, NOW).await.expect("that is told already");
    assert_eq!(registry.revision().await.expect("reads"), 3);
    registry.record_copy("d1", "/sets/copy.parquet", NOW).await.expect("records");
    assert_eq!(registry.datasets().await.expect("reads"), [kept], "a copy changes no entry");
    let last = registry.audit_log(0, 100).await.expect("reads").pop().expect("an entry");
    assert_eq!((last.verb.as_str(), last.subject.as_str(), last.before), ("copy_dataset", "dataset d1", None));
    assert!(last.after.is_some_and(|after| after.contains("\"location\":\"/sets/copy.parquet\"")));
    let unknown = registry.record_copy("d", "/sets/copy.parquet", NOW).await.expect_err("a beginning is no id");
    assert_eq!(unknown.kind(), Kind::NotFound);
}

pub(super) async fn they_are_found_by_id_name_and_prefix(registry: &dyn Registry) {
    let june = dataset("ab12", Some("june"));
    let june_again = dataset("ab34", Some("june"));
    let oldest = dataset("ff00", None);
    let named_like_a_prefix = dataset("c0de", Some("ff"));
    for dataset in [&oldest, &june, &june_again, &named_like_a_prefix] {
        assert_eq!(registry.record_dataset(dataset).await.expect("records"), Recorded::New);
    }
    let cases = [
        ("ab12", &june),
        ("june", &june_again),
        ("ab3", &june_again),
        ("ff0", &oldest),
        ("ff", &named_like_a_prefix),
        ("c", &named_like_a_prefix),
    ];
    for (wanted, found) in cases {
        assert_eq!(&registry.dataset(wanted).await.expect("it is there"), found, "{wanted}");
    }
    let ambiguous = registry.dataset("ab").await.expect_err("two begin so");
    assert_eq!(ambiguous.kind(), Kind::InvalidArgument);
    assert_eq!(ambiguous.to_string(), "could not tell which dataset 'ab' is: ab12, ab34 begin so; give more of it");
    let missing = registry.dataset("jun").await.expect_err("no such name");
    assert_eq!(missing.to_string(), "could not find dataset 'jun': did you mean 'june'?");
    for wanted in ["", "%", "_b12", "AB12"] {
        assert_eq!(registry.dataset(wanted).await.expect_err("no such dataset").kind(), Kind::NotFound, "{wanted}");
    }
    let all = registry.datasets().await.expect("reads");
    assert_eq!(all, [oldest, june, june_again, named_like_a_prefix], "in the order of recording");
    assert_eq!(all[1].name, Some(name("june")));
}

pub(super) async fn one_that_no_model_needs_is_forgotten(registry: &dyn Registry) {
    with_set(registry).await;
    for id in ["d1", "d2"] {
        registry.record_dataset(&dataset(id, Some("june"))).await.expect("records");
        let verdict = StoredVerdict {
            dataset: id.to_owned(),
            file_hash: format!("file {id}"),
            proven: true,
            at: NOW,
            by: "ada".to_owned(),
            report: serde_json::Value::Null,
        };
        registry.record_verdict(&verdict).await.expect("records");
    }
    for _ in 0..2 {
        let trained = NewModelVersion { dataset: Some("d1".to_owned()), ..model("delay") };
        registry.register_model(trained, NOW).await.expect("registers");
    }
    let before = registry.revision().await.expect("reads");
    let needed = registry.forget_dataset("d1", NOW).await.expect_err("models were trained on it");
    assert_eq!(
        (needed.kind(), needed.to_string().as_str()),
        (
            Kind::InvalidArgument,
            "could not delete dataset 'd1': it is needed by delay@1, delay@2; model versions are kept"
        )
    );
    let unknown = registry.forget_dataset("d", NOW).await.expect_err("a beginning is no id");
    assert_eq!(unknown.kind(), Kind::NotFound);
    assert_eq!(registry.revision().await.expect("reads"), before, "nothing changed");

    registry.forget_dataset("d2", NOW).await.expect("nobody needs it");
    assert_eq!(registry.revision().await.expect("reads"), before + 1);
    assert_eq!(registry.dataset("june").await.expect("the other is left").id, "d1");
    assert_eq!(registry.datasets().await.expect("reads").len(), 1);
    assert_eq!(registry.verdicts("d1").await.expect("reads").len(), 1);
    assert_eq!(registry.verdicts("d2").await.expect_err("they went with it").kind(), Kind::NotFound);
    let last = registry.audit_log(0, 100).await.expect("reads").pop().expect("an entry");
    assert_eq!((last.verb.as_str(), last.subject.as_str(), last.after), ("forget_dataset", "dataset d2", None));
    assert!(last.before.is_some_and(|before| before.contains("\"file_hash\":\"file d2\"")));

    assert_eq!(registry.record_dataset(&dataset("d2", None)).await.expect("records"), Recorded::New, "built again");
    assert_eq!(registry.verdicts("d2").await.expect("reads"), []);
}
