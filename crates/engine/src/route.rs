//! Routes: which model version answers a request where an alias's traffic is shared.

use std::sync::Arc;

use hitherto_core::{Alias, EntityKey, KeyType, KeyValue, VersionedName};

use crate::ServingPlan;

/// How a consumer's requests are answered, at one revision of the registry.
#[derive(Debug)]
pub struct Route {
    /// The plan of what the consumer names; of an alias, that of the version that it points at.
    own: Arc<ServingPlan>,
    shared: Option<Shared>,
    shadow: Option<Shadow>,
}

/// A version whose features are fetched and measured beside the answer, and not returned.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The version.
    pub model: VersionedName,
    /// Its plan; none where it cannot be served at all.
    pub plan: Option<Arc<ServingPlan>>,
}

/// An alias's traffic, with the plan of each of its shares in their order.
#[derive(Debug)]
struct Shared {
    alias: Alias,
    plans: Vec<Arc<ServingPlan>>,
}

impl Route {
    /// Everything by one plan.
    pub(crate) fn direct(own: Arc<ServingPlan>) -> Self {
        Self { own, shared: None, shadow: None }
    }

    /// By the shares of `alias`, whose plans are `plans`; by its own version where it has none.
    pub(crate) fn of_alias(
        alias: &Alias,
        own: Arc<ServingPlan>,
        plans: Vec<Arc<ServingPlan>>,
        shadow: Option<Shadow>,
    ) -> Self {
        let shared = (!plans.is_empty()).then(|| Shared { alias: alias.clone(), plans });
        Self { own, shared, shadow }
    }

    /// The plan that a request is answered by, wholly. The same routing key has the same plan as long as the split stays
    /// as it is, in every process; without one, the entity key of the request's first row stands for it: `first` has that
    /// row's value of an entity column, none where it is null or not sent.
    ///
    /// Nothing is hashed, and `first` is not asked, where no traffic is shared.
    pub fn choose(
        &self,
        routing_key: Option<&str>,
        first: impl Fn(&str, KeyType) -> Option<KeyValue>,
    ) -> &Arc<ServingPlan> {
        let Some(shared) = &self.shared else { return &self.own };
        let version = match routing_key {
            Some(key) => shared.alias.choose(key.as_bytes()),
            None => shared.alias.choose(&self.entity_key(first)),
        };
        let share = shared.alias.split.iter().position(|share| share.version == version);
        share.and_then(|share| shared.plans.get(share)).unwrap_or(&self.own)
    }

    /// The plan of what the consumer names; of an alias, that of the version that it points at.
    pub fn own(&self) -> &Arc<ServingPlan> {
        &self.own
    }

    /// Every plan that a request may be read by: that of the version named, of each share, of the shadow. Whoever asks may
    /// send the columns of all of them, since it cannot know which one answers.
    pub fn plans(&self) -> impl Iterator<Item = &ServingPlan> {
        let shares = self.shared.iter().flat_map(|shared| &shared.plans);
        let shadow = self.shadow.iter().filter_map(|shadow| shadow.plan.as_ref());
        [&self.own].into_iter().chain(shares).chain(shadow).map(Arc::as_ref)
    }

    /// What is measured beside an answer by `plan`; nothing where that is the shadow's own.
    pub fn shadow_of(&self, plan: &ServingPlan) -> Option<&Shadow> {
        self.shadow.as_ref().filter(|shadow| plan.model.as_ref() != Some(&shadow.model))
    }

    /// The canonical bytes of a row's key, by the columns that the alias's own version reads, in the order of their names.
    /// Which version that is does not depend on the split, so the key does not change with the weights.
    fn entity_key(&self, first: impl Fn(&str, KeyType) -> Option<KeyValue>) -> Vec<u8> {
        let mut columns: Vec<(&str, KeyType)> =
            self.own.views.iter().flat_map(|view| &view.keys).map(|(name, key)| (name.as_str(), *key)).collect();
        columns.sort_unstable_by_key(|(name, _)| *name);
        columns.dedup_by_key(|(name, _)| *name);
        EntityKey(columns.into_iter().filter_map(|(name, key_type)| first(name, key_type)).collect()).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Name, NewTables, Provenance, Selector, Share, Timestamp, Traffic};
    use hitherto_offline::OfflineStore;
    use hitherto_registry::Expected;
    use tempfile::TempDir;

    use crate::{Clock, Consumer, Engine, OnRefusal, Registration, Serving};

    use super::*;

    const KEYS: u32 = 20_000;

    const DEFINITIONS: &str = "
kind: entity
name: flight
join_keys: {tailnum: string, day: int64}
---
kind: feature_view
name: legs
entity: flight
features: {arr_delay: float32}
---
kind: feature_set
name: late
features: [legs:*]
---
kind: feature_set
name: paid
features: [legs:*]
request: {prepaid: float64}
";

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// Versions 1 and 2 of `m` read `late`, version 3 reads `paid`; `m@champion` is version 1.
    async fn serving() -> (TempDir, Serving) {
        let folder = tempfile::tempdir().expect("a folder");
        let project = name("default");
        let registry = format!("sqlite://{}", folder.path().join("registry.db").display());
        let registry = hitherto_registry::open(&registry, &project).await.expect("a registry");
        let offline = OfflineStore::open("memory:///", [("", ""); 0]).expect("a store");
        let engine = Engine::new(project, registry, offline, None, Clock::Frozen(Timestamp(0)));
        let files = [("d.yaml".to_owned(), DEFINITIONS.to_owned())];
        engine.apply(&files, NewTables::Refuse).await.expect("applies");
        for set in ["late", "late", "paid"] {
            let (feature_set, provenance) = (Some(Selector::Latest(name(set))), Provenance::default());
            let new = Registration { name: name("m"), feature_set, dataset: None, provenance, tags: [].into() };
            engine.register_model(new).await.expect("registers");
        }
        let first = VersionedName { name: name("m"), version: 1 };
        let moved = engine.move_alias_if(&first, &name("champion"), Expected::Anything, trial()).await;
        moved.expect("moves");
        (folder, Serving::load(engine).await.expect("loads"))
    }

    /// Nothing is online here.
    fn trial() -> OnRefusal {
        OnRefusal::Override("a trial".to_owned())
    }

    async fn share(serving: &Serving, split: &[(u32, u32)], shadow: Option<u32>) -> Arc<Route> {
        let split = split.iter().map(|&(version, weight)| Share { version, weight }).collect();
        let traffic = Traffic { split, shadow };
        let (model, alias) = (name("m"), name("champion"));
        let shared = serving.engine().set_traffic(&model, &alias, traffic, Expected::Anything, trial()).await;
        shared.expect("shares");
        serving.refresh().await.expect("refreshes");
        champion(serving).await
    }

    async fn champion(serving: &Serving) -> Arc<Route> {
        serving.route(&Consumer::Model("m@champion".parse().expect("a selector"))).await.expect("a route")
    }

    fn version(plan: &ServingPlan) -> u32 {
        plan.model.as_ref().expect("a model asked").version
    }

    fn unasked(column: &str, _: KeyType) -> Option<KeyValue> {
        panic!("{column} is asked for")
    }

    /// Who answers for 20,000 aircraft, by their entity keys.
    fn chosen(route: &Arc<Route>) -> Vec<u32> {
        let of = |key| route.choose(None, |_, _| Some(KeyValue::String(format!("N{key}"))));
        (0..KEYS).map(|key| version(of(key))).collect()
    }

    fn portion(chosen: &[u32], version: u32) -> f64 {
        chosen.iter().filter(|found| **found == version).count() as f64 / f64::from(KEYS)
    }

    #[tokio::test]
    async fn a_canary_takes_its_share_and_growing_moves_nobody_else() {
        let (_folder, serving) = serving().await;
        assert_eq!(
            version(champion(&serving).await.choose(None, unasked)),
            1,
            "no key is made where nothing is shared"
        );
        let ten = chosen(&share(&serving, &[(1, 90), (2, 10)], None).await);
        assert!((portion(&ten, 2) - 0.1).abs() < 0.01, "{}", portion(&ten, 2));
        assert_eq!(ten, chosen(&champion(&serving).await), "the same key, the same version");
        let twenty = chosen(&share(&serving, &[(2, 20), (1, 80)], None).await);
        let moved: Vec<_> = ten.iter().zip(&twenty).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|pair| *pair == (&1, &2)), "only from the one to the other");
        assert!((moved.len() as f64 / f64::from(KEYS) - 0.1).abs() < 0.01, "{}", moved.len());
        let all = share(&serving, &[(2, 100)], None).await;
        assert_eq!((portion(&chosen(&all), 2), version(all.own())), (1.0, 1), "its own version may have no share");
        let none = share(&serving, &[], None).await;
        assert_eq!(version(none.choose(Some("a"), unasked)), 1);
    }

    #[tokio::test]
    async fn a_routing_key_comes_before_the_first_rows_entity_key() {
        let (_folder, serving) = serving().await;
        let route = share(&serving, &[(1, 1), (2, 1), (3, 1)], None).await;
        let alias = &serving.engine().registry().aliases(&name("m")).await.expect("aliases")[0];
        for session in 0..50 {
            let session = format!("session {session}");
            assert_eq!(version(route.choose(Some(&session), unasked)), alias.choose(session.as_bytes()));
        }
        for day in 0..50 {
            let (day, tail) = (KeyValue::Int(day), KeyValue::String("N1".to_owned()));
            let first = |column: &str, _| Some(if column == "day" { day.clone() } else { tail.clone() });
            let bytes = EntityKey(vec![day.clone(), tail.clone()]).to_bytes();
            assert_eq!(version(route.choose(None, first)), alias.choose(&bytes), "by the columns' names: {day:?}");
        }
        let nothing = route.choose(None, |_, _| None);
        assert_eq!(version(nothing), alias.choose(b""), "a row without a key is answered, too");
    }

    #[tokio::test]
    async fn a_request_is_answered_by_the_revision_that_it_began_with() {
        let (_folder, serving) = serving().await;
        let before = share(&serving, &[(1, 90), (2, 10)], Some(3)).await;
        let were = chosen(&before);
        share(&serving, &[(2, 10), (3, 90)], None).await;
        assert_eq!(chosen(&before), were);
        assert_ne!(chosen(&champion(&serving).await), were);
    }

    #[tokio::test]
    async fn plans_are_compiled_once_a_version_and_a_shadow_stands_beside_them() {
        let (_folder, serving) = serving().await;
        let route = share(&serving, &[(1, 1), (2, 1)], Some(3)).await;
        let direct = async |text: &str| {
            let selector = text.parse().expect("a selector");
            serving.route(&Consumer::Model(selector)).await.expect("a route")
        };
        assert!(Arc::ptr_eq(route.own(), direct("m@1").await.own()));
        let versions: Vec<u32> = route.plans().map(version).collect();
        assert_eq!(versions, [1, 1, 2, 3]);
        let shadow = route.shadow_of(route.own()).expect("a shadow");
        let third = direct("m").await;
        assert_eq!(shadow.model.to_string(), "m@3");
        assert!(shadow.plan.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, third.own())));
        assert!(third.shadow_of(third.own()).is_none(), "a version that is named is served without");
        assert!(route.shadow_of(third.own()).is_none(), "nor is an answer held against itself");
    }
}
