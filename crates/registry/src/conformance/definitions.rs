//! Applying definitions and reading them back.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Kind, Notes, Record, Timestamp};

use super::sample::{NOW, entity, name, set, table, view};
use crate::{Error, Registry};

pub(super) async fn an_empty_registry_reads_as_empty(registry: &dyn Registry) {
    assert_eq!(registry.revision().await.expect("reads"), 0);
    assert_eq!(registry.catalog().await.expect("reads"), Catalog::default());
    assert_eq!(registry.models().await.expect("reads"), Vec::new());
    assert_eq!(registry.datasets().await.expect("reads"), Vec::new());
    assert_eq!(registry.apply(0, &[], NOW).await.expect("nothing to do"), 0);
    assert_eq!(registry.revision().await.expect("reads"), 0, "applying nothing changes nothing");
}

pub(super) async fn applied_records_come_back(registry: &dyn Registry) {
    let first = [
        entity("airport", 1),
        table("weather-1", &["gust"]),
        Record::View(view(1, Notes::default())),
        set("late", 1, "aa"),
    ];
    assert_eq!(registry.apply(0, &first, NOW).await.expect("applies"), 1);
    // twelve versions: their order is that of numbers, not of texts
    for version in 2..=12 {
        let base = registry.revision().await.expect("reads");
        let records = [entity("airport", version), set("late", version, "aa")];
        assert_eq!(registry.apply(base, &records, Timestamp(NOW.0 + 1)).await.expect("applies"), base + 1);
    }
    let catalog = registry.catalog().await.expect("reads");
    assert_eq!(catalog.revision, 12);
    assert_eq!(registry.revision().await.expect("reads"), 12);
    assert_eq!(
        catalog.tables.values().cloned().map(Record::Table).collect::<Vec<_>>(),
        [table("weather-1", &["gust"])]
    );
    assert_eq!(catalog.views[&name("weather")], [view(1, Notes::default())]);
    let airports: Vec<Record> = catalog.entities[&name("airport")].iter().cloned().map(Record::Entity).collect();
    assert_eq!(airports, (1..=12).map(|version| entity("airport", version)).collect::<Vec<_>>());
    let sets: Vec<Record> = catalog.sets[&name("late")].iter().cloned().map(Record::Set).collect();
    assert_eq!(sets, (1..=12).map(|version| set("late", version, "aa")).collect::<Vec<_>>());
}

pub(super) async fn a_stale_apply_changes_nothing(registry: &dyn Registry) {
    assert_eq!(registry.apply(0, &[entity("airport", 1)], NOW).await.expect("applies"), 1);
    let before = registry.catalog().await.expect("reads");
    for base in [0, 2, -1] {
        let refused = registry.apply(base, &[entity("carrier", 1)], NOW).await.expect_err("another base");
        assert!(matches!(refused, Error::Conflict { base: b, found: 1 } if b == base), "{refused}");
        assert!(refused.is_retryable(), "planning again may succeed");
    }
    assert_eq!(registry.catalog().await.expect("reads"), before);
}

pub(super) async fn a_refused_record_takes_the_others_with_it(registry: &dyn Registry) {
    let records = [entity("airport", 1), table("weather-1", &["gust"]), entity("carrier", 2)];
    let refused = registry.apply(0, &records, NOW).await.expect_err("carrier has no version 1");
    assert_eq!(refused.to_string(), "could not apply entity carrier@2: its next version is 1");
    assert_eq!(registry.catalog().await.expect("reads"), Catalog::default());
}

pub(super) async fn only_notes_and_columns_change(registry: &dyn Registry) {
    let notes =
        Notes { description: Some("gusts".to_owned()), tags: BTreeMap::from([("owner".to_owned(), "ops".to_owned())]) };
    let first = [table("weather-1", &["gust"]), Record::View(view(1, Notes::default())), set("late", 1, "aa")];
    assert_eq!(registry.apply(0, &first, NOW).await.expect("applies"), 1);
    let second = [table("weather-1", &["gust", "rain"]), Record::View(view(1, notes.clone()))];
    assert_eq!(registry.apply(1, &second, NOW).await.expect("notes and columns may change"), 2);

    let mut another_ttl = view(1, notes.clone());
    another_ttl.definition.ttl = None;
    let mut another_column = view(1, notes.clone());
    "GUST".clone_into(&mut another_column.definition.features[0].column);
    let wrong = [
        (Record::View(another_ttl), "feature_view weather@1"),
        (Record::View(another_column), "feature_view weather@1"),
        (set("late", 1, "bb"), "feature_set late@1"),
        (table("weather-1", &["gust"]), "table weather-1"),
        (table("weather-1", &["rain", "gust"]), "table weather-1"),
    ];
    for (record, what) in wrong {
        let refused = registry.apply(2, &[record], NOW).await.expect_err("it would change values");
        assert_eq!(refused.kind(), Kind::AlreadyExists);
        assert!(refused.to_string().starts_with(&format!("could not change {what}:")), "{refused}");
    }
    let catalog = registry.catalog().await.expect("reads");
    assert_eq!(catalog.revision, 2);
    assert_eq!(catalog.views[&name("weather")], [view(1, notes)]);
    assert_eq!(Record::Table(catalog.tables["weather-1"].clone()), table("weather-1", &["gust", "rain"]));
    assert_eq!(Record::Set(catalog.sets[&name("late")][0].clone()), set("late", 1, "aa"));
}

pub(super) async fn versions_follow_each_other(registry: &dyn Registry) {
    let both = [entity("airport", 1), entity("airport", 2)];
    assert_eq!(registry.apply(0, &both, NOW).await.expect("two versions in order"), 1);
    let refused = registry.apply(1, &[entity("airport", 4)], NOW).await.expect_err("a gap");
    assert_eq!(refused.to_string(), "could not apply entity airport@4: its next version is 3");
}

pub(super) async fn projects_do_not_see_each_other(left: &dyn Registry, right: &dyn Registry) {
    assert_eq!(left.apply(0, &[entity("airport", 1)], NOW).await.expect("applies"), 1);
    assert_eq!(right.catalog().await.expect("reads"), Catalog::default());
    assert_eq!(right.apply(0, &[entity("airport", 1), entity("airport", 2)], NOW).await.expect("applies"), 1);
    assert_eq!(left.catalog().await.expect("reads").entities[&name("airport")].len(), 1);
}
