//! Model versions and aliases.

use hitherto_core::{Alias, Kind, ModelVersion, Provenance, Selector, Timestamp, VersionedName};

use super::sample::{NOW, dataset, model, name, set};
use crate::{AliasMove, Error, Expected, Grounds, Registry};

const LATER: Timestamp = Timestamp(NOW.0 + 1);

fn select(text: &str) -> Selector {
    text.parse().expect("a selector")
}

pub(super) async fn with_set(registry: &dyn Registry) {
    let base = registry.revision().await.expect("reads");
    registry.apply(base, &[set("late", 1, "aa"), set("other", 1, "bb")], NOW).await.expect("applies");
}

async fn refused_move(registry: &dyn Registry, version: u32, expected: Expected) -> Error {
    registry
        .move_alias(&name("delay"), &name("champion"), version, expected, Grounds::default(), LATER)
        .await
        .expect_err("the move must be refused")
}

pub(super) async fn versions_count_from_one(registry: &dyn Registry) {
    with_set(registry).await;
    registry.record_dataset(&dataset("d1", None)).await.expect("records");
    let mut trained = model("delay");
    trained.dataset = Some("d1".to_owned());
    let first = registry.register_model(trained, NOW).await.expect("registers");
    let expected = ModelVersion {
        name: name("delay"),
        version: 1,
        feature_set: VersionedName { name: name("late"), version: 1 },
        feature_set_hash: "aa".to_owned(),
        dataset: Some("d1".to_owned()),
        provenance: Provenance::default(),
        tags: model("delay").tags,
        registered_at: NOW,
    };
    assert_eq!(first, expected);
    let second = registry.register_model(model("delay"), LATER).await.expect("registers");
    assert_eq!((second.version, second.registered_at), (2, LATER));
    let another = registry.register_model(model("another"), NOW).await.expect("registers");
    assert_eq!(another.version, 1);
    assert_eq!(registry.revision().await.expect("reads"), 5, "every registration raises the revision");

    assert_eq!(registry.models().await.expect("reads"), [another, second.clone()]);
    assert_eq!(registry.model_versions(&name("delay")).await.expect("reads"), [first.clone(), second.clone()]);
    assert_eq!(registry.model(&select("delay")).await.expect("the latest"), second);
    assert_eq!(registry.model(&select("delay@1")).await.expect("a version"), first);
}

pub(super) async fn unknown_and_foreign_references_are_refused(registry: &dyn Registry) {
    with_set(registry).await;
    let mut foreign = dataset("d2", None);
    "bb".clone_into(&mut foreign.feature_set_hash);
    registry.record_dataset(&foreign).await.expect("records");
    let before = registry.revision().await.expect("reads");
    let cases = [
        ("cc", "late", 1, None, Kind::NotFound, "could not find feature set hash 'cc'"),
        ("aa", "lake", 1, None, Kind::NotFound, "could not find feature set 'lake@1': did you mean 'late@1'?"),
        ("aa", "late", 2, None, Kind::NotFound, "could not find feature set 'late@2': did you mean 'late@1'?"),
        ("bb", "late", 1, None, Kind::InvalidArgument, "could not register model 'delay': feature set 'late@1' has"),
        ("aa", "late", 1, Some("d3"), Kind::NotFound, "could not find dataset 'd3'"),
        ("aa", "late", 1, Some("d2"), Kind::InvalidArgument, "could not register model 'delay': dataset 'd2' has"),
    ];
    for (hash, set, version, dataset, kind, message) in cases {
        let mut new = model("delay");
        new.feature_set_hash = hash.to_owned();
        new.feature_set = VersionedName { name: name(set), version };
        new.dataset = dataset.map(str::to_owned);
        let refused = registry.register_model(new, NOW).await.expect_err("its references are wrong");
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().starts_with(message), "{refused}");
    }
    assert_eq!(registry.revision().await.expect("reads"), before, "a refusal changes nothing");
    assert_eq!(registry.models().await.expect("reads"), Vec::new());
}

pub(super) async fn aliases_move_and_are_remembered(registry: &dyn Registry) {
    with_set(registry).await;
    for _ in 0..3 {
        registry.register_model(model("delay"), NOW).await.expect("registers");
    }
    let [delay, champion, shadow] = [name("delay"), name("champion"), name("shadow")];
    let at =
        |alias: &hitherto_core::Name, version, moved_at| Alias::new(name("delay"), alias.clone(), version, moved_at);
    let base = registry.revision().await.expect("reads");
    let moved = registry
        .move_alias(&delay, &champion, 1, Expected::Version(None), Grounds::default(), NOW)
        .await
        .expect("it is new");
    assert_eq!(moved, at(&champion, 1, NOW));
    let moved = registry
        .move_alias(&delay, &champion, 3, Expected::Version(Some(1)), Grounds::default(), LATER)
        .await
        .expect("from 1");
    assert_eq!(moved, at(&champion, 3, LATER));
    registry.move_alias(&delay, &shadow, 1, Expected::Anything, Grounds::default(), NOW).await.expect("anything goes");
    let same = registry
        .move_alias(&delay, &champion, 3, Expected::Anything, Grounds::default(), NOW)
        .await
        .expect("it is there");
    assert_eq!(same, at(&champion, 3, LATER), "a move to where it is changes nothing");

    for (expected, message) in [
        (
            Expected::Version(Some(1)),
            "could not move alias 'champion' of model 'delay': it points at version 3, not at version 1",
        ),
        (
            Expected::Version(None),
            "could not move alias 'champion' of model 'delay': it points at version 3, not at no version",
        ),
    ] {
        let refused = refused_move(registry, 2, expected).await;
        assert_eq!((refused.kind(), refused.to_string().as_str()), (Kind::Conflict, message));
    }
    let refused = refused_move(registry, 4, Expected::Anything).await;
    assert_eq!(refused.to_string(), "could not find model version 'delay@4': its versions are 1 to 3");

    assert_eq!(registry.revision().await.expect("reads"), base + 3);
    assert_eq!(registry.aliases(&delay).await.expect("reads"), [at(&champion, 3, LATER), at(&shadow, 1, NOW)]);
    assert_eq!(registry.model(&select("delay@champion")).await.expect("resolves").version, 3);
    let was = |revision, alias: &hitherto_core::Name, from, to, moved_at| AliasMove {
        revision,
        model: name("delay"),
        alias: alias.clone(),
        from,
        to,
        moved_at,
        evidence: None,
        override_reason: None,
    };
    assert_eq!(
        registry.alias_moves(&delay).await.expect("reads"),
        [
            was(base + 1, &champion, None, 1, NOW),
            was(base + 2, &champion, Some(1), 3, LATER),
            was(base + 3, &shadow, None, 1, NOW),
        ]
    );
}

pub(super) async fn what_is_missing_is_named_with_its_like(registry: &dyn Registry) {
    let none = registry.model(&select("delay")).await.expect_err("no model at all");
    assert_eq!(none.to_string(), "could not find model 'delay': there are none yet");
    with_set(registry).await;
    registry.register_model(model("delay"), NOW).await.expect("registers");
    registry
        .move_alias(&name("delay"), &name("champion"), 1, Expected::Anything, Grounds::default(), NOW)
        .await
        .expect("moves");
    let cases = [
        ("dealy", "could not find model 'dealy': did you mean 'delay'?"),
        ("dealy@champion", "could not find model 'dealy': did you mean 'delay'?"),
        ("dealy@1", "could not find model 'dealy': did you mean 'delay'?"),
        ("fraud", "could not find model 'fraud': there are delay"),
        ("delay@2", "could not find model version 'delay@2': its only version is 1"),
        ("delay@champoin", "could not find model alias 'delay@champoin': did you mean 'champion'?"),
    ];
    for (wanted, message) in cases {
        let missing = registry.model(&select(wanted)).await.expect_err("it is not there");
        assert_eq!((missing.kind(), missing.to_string().as_str()), (Kind::NotFound, message));
    }
    let dealy = name("dealy");
    for missing in [
        registry.aliases(&dealy).await.expect_err("no such model"),
        registry.alias_moves(&dealy).await.expect_err("no such model"),
        registry.model_versions(&dealy).await.expect_err("no such model"),
        registry
            .move_alias(&dealy, &dealy, 1, Expected::Anything, Grounds::default(), NOW)
            .await
            .expect_err("no such model"),
    ] {
        assert_eq!(missing.to_string(), cases[0].1);
    }
}
