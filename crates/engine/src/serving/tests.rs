use futures::future::join_all;
use hitherto_core::{NewTables, Provenance, Timestamp};
use hitherto_offline::OfflineStore;
use tempfile::TempDir;

use super::*;
use crate::{Clock, Registration};

const DEFINITIONS: &str = "
kind: entity
name: flight
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: flight
features: {arr_delay: float32}
---
kind: feature_view
name: fuel
entity: flight
features: {litres: float32}
---
kind: feature_set
name: late
features: [{ref: 'legs:arr_delay', as: delay}]
transforms: [{name: is_late, expr: 'delay > 15'}]
---
kind: feature_set
name: heavy
features: ['fuel:litres']
";

async fn serving() -> (TempDir, Serving) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = "default".parse().expect("a name");
    let registry = format!("sqlite://{}", folder.path().join("registry.db").display());
    let registry = hitherto_registry::open(&registry, &project).await.expect("a registry");
    let offline = OfflineStore::open("memory:///", [("", ""); 0]).expect("a store");
    let engine = Engine::new(project, registry, offline, None, Clock::Frozen(Timestamp(0)));
    apply(&engine, DEFINITIONS).await;
    (folder, Serving::load(engine).await.expect("loads"))
}

async fn apply(engine: &Engine, definitions: &str) {
    engine.apply(&[("d.yaml".to_owned(), definitions.to_owned())], NewTables::Refuse).await.expect("applies");
}

/// A change of the registry that concerns no feature set.
async fn register(engine: &Engine, model: &str) {
    let name = model.parse().expect("a name");
    let (feature_set, provenance) = (Some("heavy".parse().expect("a selector")), Provenance::default());
    engine
        .register_model(Registration { name, feature_set, dataset: None, provenance, tags: [].into() })
        .await
        .expect("registers");
}

fn set(text: &str) -> Consumer {
    Consumer::FeatureSet(text.parse().expect("a selector"))
}

/// The plan of a set, which is there without being compiled.
fn known(serving: &Serving, text: &str) -> Option<Arc<ServingPlan>> {
    let route = serving.state.load().compiled.load().routes.get(&set(text)).map(|known| Arc::clone(&known.route))?;
    Some(Arc::clone(route.own()))
}

async fn asked(serving: &Serving, text: &str) -> Arc<ServingPlan> {
    Arc::clone(serving.route(&set(text)).await.expect("a route").own())
}

#[tokio::test]
async fn plans_outlive_what_does_not_concern_them_and_are_there_before_they_are_asked_for() {
    let (_folder, serving) = serving().await;
    let (late, heavy) = (asked(&serving, "late").await, asked(&serving, "heavy@1").await);
    assert!(Arc::ptr_eq(&late, &asked(&serving, "late@1").await), "one plan of a version, whoever asks");
    register(serving.engine(), "m").await;
    serving.refresh().await.expect("refreshes");
    for (text, before) in [("late", &late), ("late@1", &late), ("heavy@1", &heavy)] {
        assert!(known(&serving, text).is_some_and(|plan| Arc::ptr_eq(before, &plan)), "{text}");
    }
    // a column more: rows are laid out otherwise, in the one table
    apply(serving.engine(), &DEFINITIONS.replace("{arr_delay: float32}", "{arr_delay: float32, distance: int64}"))
        .await;
    serving.refresh().await.expect("refreshes");
    let again = known(&serving, "late@1").expect("it is compiled already");
    assert!(!Arc::ptr_eq(&again, &late));
    let columns = |plan: &ServingPlan| plan.views[0].layout.clone();
    assert_ne!(format!("{:?}", columns(&again)), format!("{:?}", columns(&late)));
    assert!(known(&serving, "heavy@1").is_some_and(|plan| Arc::ptr_eq(&heavy, &plan)));
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_not_compiled_for_ever() {
    let (_folder, serving) = serving().await;
    asked(&serving, "heavy").await;
    for _ in 0..=IDLE_MAX + 1 {
        asked(&serving, "late").await;
        register(serving.engine(), "m").await;
        serving.refresh().await.expect("refreshes");
    }
    assert!(known(&serving, "late").is_some() && known(&serving, "heavy").is_none());
    asked(&serving, "heavy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_refreshes_none_puts_back_an_older_revision() {
    let (_folder, serving) = serving().await;
    let changes = (0..8).map(|number| {
        let serving = &serving;
        async move {
            register(serving.engine(), &format!("m{number}")).await;
            let revision = serving.engine().registry().revision().await.expect("a revision");
            serving.refresh().await.expect("refreshes");
            assert!(serving.revision() >= revision, "{} after {revision}", serving.revision());
        }
    });
    join_all(changes).await;
    assert_eq!(serving.revision(), serving.engine().registry().revision().await.expect("a revision"));
}
