//! Properties of plans, over definitions made at random: applying a plan leaves nothing to plan, and what is applied
//! is never changed.

use std::collections::BTreeMap;

use hitherto_core::{
    Action, Catalog, Definition, Entity, Feature, FeatureSet, FeatureView, KeyType, Located, Member, Name, NewTables,
    Notes, Span, ValueType, plan,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// The usual, so that versions stay on one table for a while; seldom what would start another.
fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, seldom: T) -> impl Strategy<Value = T> {
    prop_oneof![19 => Just(usual), 1 => Just(seldom)]
}

fn notes() -> impl Strategy<Value = Notes> {
    option::of(select(vec!["one", "two"]))
        .prop_map(|description| Notes { description: description.map(str::to_owned), tags: BTreeMap::new() })
}

fn entity(text: &'static str) -> impl Strategy<Value = Entity> {
    let key = mostly("id", "code").prop_map(move |key| name(&format!("{text}_{key}")));
    (btree_map(key, mostly(KeyType::Int64, KeyType::String), 1), notes()).prop_map(move |(join_keys, notes)| Entity {
        name: name(text),
        join_keys,
        notes,
    })
}

fn feature(text: &'static str) -> impl Strategy<Value = Feature> {
    (mostly(ValueType::Float32, ValueType::Int64), select(vec!["", "_source"]), notes()).prop_map(
        move |(value_type, suffix, notes)| Feature {
            name: name(text),
            value_type,
            column: format!("{text}{suffix}"),
            notes,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    select(vec![0, 1, 60_000_000]).prop_map(|micros| Span::from_micros(micros).expect("not negative"))
}

fn view(text: &'static str) -> impl Strategy<Value = FeatureView> {
    let features = [feature("f").boxed(), feature("g").boxed(), feature("h").boxed()];
    let chosen = subsequence(vec![0_usize, 1, 2], 1..=3).prop_shuffle();
    let times = (mostly("event_timestamp", "at"), mostly(Some("known_at"), None));
    let entities = mostly(vec!["left"], vec!["left", "right"]);
    (features, chosen, times, entities, span(), option::of(span()), notes()).prop_map(
        move |(features, chosen, (event, created), entities, source_delay, ttl, notes)| FeatureView {
            name: name(text),
            entities: entities.into_iter().map(name).collect(),
            join_keys: BTreeMap::new(),
            event_timestamp: event.to_owned(),
            created_timestamp: created.map(str::to_owned),
            source_delay,
            ttl,
            features: chosen.into_iter().map(|index| features[index].clone()).collect(),
            notes,
        },
    )
}

fn member() -> impl Strategy<Value = Vec<Member>> {
    let all = |view: &str| Member::All { view: name(view), version: None };
    let aliased = |view: &str| Member::Aliased {
        view: name(view),
        version: None,
        alias: name("other"),
        join_keys: BTreeMap::new(),
    };
    subsequence(vec![all("first"), all("second"), aliased("first")], 1..=3)
}

/// Everything that one apply is given.
fn wanted() -> impl Strategy<Value = Vec<Located<Definition>>> {
    (entity("left"), entity("right"), view("first"), view("second"), member(), notes()).prop_map(
        |(left, right, first, second, features, notes)| {
            let set = FeatureSet { name: name("set"), features, request: BTreeMap::new(), transforms: vec![], notes };
            [
                Definition::FeatureSet(set),
                Definition::FeatureView(second),
                Definition::Entity(left),
                Definition::FeatureView(first),
                Definition::Entity(right),
            ]
            .map(Located::from)
            .to_vec()
        },
    )
}

/// Takes away from a catalog what may change in place: notes, and columns added to the end of a table.
fn without_notes(mut catalog: Catalog) -> Catalog {
    for entity in catalog.entities.values_mut().flatten() {
        entity.definition.notes = Notes::default();
    }
    for view in catalog.views.values_mut().flatten() {
        view.definition.notes = Notes::default();
        view.definition.features.iter_mut().for_each(|feature| feature.notes = Notes::default());
    }
    for set in catalog.sets.values_mut().flatten() {
        set.definition.notes = Notes::default();
    }
    catalog
}

proptest! {
    #[test]
    fn applying_leaves_nothing_to_plan_and_changes_nothing_applied(applies in vec(wanted(), 1..5)) {
        let mut catalog = Catalog::default();
        for wanted in &applies {
            let planned = plan(&catalog, wanted, NewTables::Allow).expect("a plan");
            prop_assert_eq!(planned.changes.len(), 5);
            prop_assert_eq!(planned.records.is_empty(), planned.changes.iter().all(|c| c.action == Action::Unchanged));
            let after = planned.catalog_after(&catalog);

            let again = plan(&after, wanted, NewTables::Refuse).expect("nothing is left that wants a new table");
            prop_assert_eq!(&again.records, &vec![]);
            prop_assert!(again.changes.iter().all(|change| change.action == Action::Unchanged), "{:?}", again.changes);

            let (old, new) = (without_notes(catalog), without_notes(after.clone()));
            for (name, versions) in &old.views {
                prop_assert_eq!(&new.views[name][..versions.len()], &versions[..]);
            }
            for (name, versions) in &old.sets {
                prop_assert_eq!(&new.sets[name][..versions.len()], &versions[..]);
            }
            for (name, versions) in &old.entities {
                prop_assert_eq!(&new.entities[name][..versions.len()], &versions[..]);
            }
            for (id, table) in &old.tables {
                let grown = &new.tables[id];
                prop_assert_eq!((&grown.keys, grown.created), (&table.keys, table.created));
                prop_assert_eq!(&grown.columns[..table.columns.len()], &table.columns[..]);
            }
            for view in new.views.values().flatten() {
                let table = &new.tables[&view.table];
                for feature in &view.definition.features {
                    prop_assert!(table.columns.contains(&(feature.name.clone(), feature.value_type.clone())));
                }
            }
            catalog = after;
        }
    }
}
