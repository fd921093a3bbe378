//! Serving plans: a feature set or a model resolved once, then used by every request until the registry changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hitherto_core::{
    Alias, Catalog, KeyType, Kind, ModelVersion, Name, Selector, SetVersion, Span, ValueType, VersionedName, ViewUse,
};
use hitherto_online::Reading;
use hitherto_online::encoding::Layout;

use crate::engine::find_set;
use crate::joined_reads::{JoinedReads, ReadCounts};
use crate::model::model_set;
use crate::route::{Route, Shadow};
use crate::{Engine, Error, Result, Transforms, readings::reading_of};

/// How often the registry is read before it is said that it changes too fast.
const READINGS_MAX: usize = 16;

/// Who asks for features: a feature set, or a model that holds one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// `NAME` or `NAME@VERSION`.
    FeatureSet(Selector),
    /// `NAME`, `NAME@VERSION` or `NAME@ALIAS`.
    Model(Selector),
}

/// A consumer resolved: what to read, how to unpack it, what to compute from it.
#[derive(Debug)]
pub struct ServingPlan {
    /// The feature set.
    pub feature_set: VersionedName,
    /// Its hash.
    pub feature_set_hash: String,
    /// The model version, when a model asked.
    pub model: Option<VersionedName>,
    /// The views, in the order of the set's first use.
    pub views: Vec<PlannedView>,
    /// Each list of key columns that some view is read by, once: views of one entity share the keys of a request.
    pub(crate) key_sets: Vec<Vec<(String, KeyType)>>,
    /// The features, in the set's order.
    pub outputs: Vec<PlannedOutput>,
    /// Fields that must come with a request, sorted by name.
    pub request: Vec<(Name, ValueType)>,
    /// The set's transforms.
    pub transforms: Transforms,
}

/// A view of a plan.
#[derive(Debug)]
pub struct PlannedView {
    /// The use that the set makes of it.
    pub view_use: ViewUse,
    /// Where the online store has it.
    pub reading: Reading,
    /// Per key part, in canonical order: the entity column of the request and its type.
    pub keys: Vec<(String, KeyType)>,
    /// Index of these keys into [`ServingPlan::key_sets`].
    pub(crate) key_set: usize,
    /// Where the table's columns lie in a row, for unpacking.
    pub(crate) layout: Layout,
}

/// A feature of a plan.
#[derive(Debug)]
pub struct PlannedOutput {
    /// Its name in the answer.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// Index into [`ServingPlan::views`].
    pub view: usize,
    /// Index into the view's columns.
    pub column: usize,
}

/// The registry as it stood at one revision, with what was compiled from it so far.
#[derive(Debug)]
struct State {
    catalog: Catalog,
    models: Vec<ModelVersion>,
    aliases: Vec<Alias>,
    compiled: Mutex<Compiled>,
}

/// Routes by who asks; plans by model version, which several routes may share.
#[derive(Debug, Default)]
struct Compiled {
    routes: HashMap<Consumer, Arc<Route>>,
    versions: HashMap<VersionedName, Arc<ServingPlan>>,
}

/// Resolves consumers to plans and answers lookups. A server holds one and refreshes it; a command makes one and asks once.
#[derive(Debug)]
pub struct Serving {
    engine: Engine,
    reads: JoinedReads,
    state: RwLock<Arc<State>>,
}

impl Serving {
    /// Load the registry.
    pub async fn load(engine: Engine) -> Result<Self> {
        let state = load_state(&engine).await?;
        Ok(Self { engine, reads: JoinedReads::default(), state: RwLock::new(Arc::new(state)) })
    }

    /// The same with so many round trips to a remote store under way before further reads are joined into the next one; 0 for
    /// never. 4 unless set.
    #[must_use]
    pub fn with_round_trips_max(self, round_trips_max: usize) -> Self {
        Self { reads: JoinedReads::new(round_trips_max), ..self }
    }

    /// How the online store was read since the start.
    pub fn read_counts(&self) -> ReadCounts {
        self.reads.counts()
    }

    pub(crate) fn reads(&self) -> &JoinedReads {
        &self.reads
    }

    /// The engine that it serves from.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The revision of the registry that plans are made from.
    pub fn revision(&self) -> i64 {
        self.state().catalog.revision
    }

    /// Load the registry anew if its revision has changed; requests in flight keep the plan that they have.
    pub async fn refresh(&self) -> Result<()> {
        if self.engine.registry().revision().await? != self.revision() {
            let state = Arc::new(load_state(&self.engine).await?);
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        }
        Ok(())
    }

    /// How requests of `consumer` are answered; a consumer that is unknown makes it look at the registry once more. Whoever
    /// has a route answers by one revision, whatever is changed meanwhile.
    pub async fn route(&self, consumer: &Consumer) -> Result<Arc<Route>> {
        match self.state().route(consumer) {
            Err(error) if error.kind() == Kind::NotFound => {
                self.refresh().await?;
                self.state().route(consumer)
            }
            found => found,
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn load_state(engine: &Engine) -> Result<State> {
    let registry = engine.registry();
    for _ in 0..READINGS_MAX {
        let catalog = registry.catalog().await?;
        let models = engine.all_model_versions().await?;
        let mut aliases = Vec::new();
        let mut names: Vec<&Name> = models.iter().map(|model| &model.name).collect();
        names.dedup();
        for name in names {
            aliases.extend(registry.aliases(name).await?);
        }
        // read again if something changed in between: a state is of one revision, never a mixture
        if registry.revision().await? == catalog.revision {
            return Ok(State { catalog, models, aliases, compiled: Mutex::default() });
        }
    }
    Err(Error::Unavailable(format!(
        "the registry changed each of the {READINGS_MAX} times that it was read: try again when fewer change it at once"
    )))
}

impl State {
    fn route(&self, consumer: &Consumer) -> Result<Arc<Route>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = compiled.routes.get(consumer) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(self.compile(&mut compiled, consumer)?);
        compiled.routes.insert(consumer.clone(), Arc::clone(&route));
        Ok(route)
    }

    fn compile(&self, compiled: &mut Compiled, consumer: &Consumer) -> Result<Route> {
        match consumer {
            Consumer::FeatureSet(selector) => {
                let plan = compile_set(&self.catalog, find_set(&self.catalog, selector)?, None)?;
                Ok(Route::direct(Arc::new(plan)))
            }
            Consumer::Model(selector) => {
                let own = self.version(compiled, selector)?;
                match selector {
                    Selector::Alias(model, alias) => self.share(compiled, model, alias, own),
                    _ => Ok(Route::direct(own)),
                }
            }
        }
    }

    /// The route of an alias, whose own version has the plan `own`.
    fn share(&self, compiled: &mut Compiled, model: &Name, alias: &Name, own: Arc<ServingPlan>) -> Result<Route> {
        let found = self.aliases.iter().find(|known| known.model == *model && known.alias == *alias);
        let Some(alias) = found else { return Ok(Route::direct(own)) };
        let version = |version| VersionedName { name: model.clone(), version };
        let plans = alias.split.iter().map(|share| self.version(compiled, &Selector::Version(version(share.version))));
        let plans = plans.collect::<Result<_>>()?;
        let shadow = alias.shadow.map(|shadow| {
            let plan = self.version(compiled, &Selector::Version(version(shadow)));
            // it must not keep those from being served who do answer
            let plan = plan.inspect_err(|error| tracing::warn!("{} casts no shadow: {error}", version(shadow))).ok();
            Shadow { model: version(shadow), plan }
        });
        Ok(Route::of_alias(alias, own, plans, shadow))
    }

    fn version(&self, compiled: &mut Compiled, selector: &Selector) -> Result<Arc<ServingPlan>> {
        let model = self.model(selector)?;
        let versioned = VersionedName { name: model.name.clone(), version: model.version };
        if let Some(plan) = compiled.versions.get(&versioned) {
            return Ok(Arc::clone(plan));
        }
        let set = model_set(&self.catalog, model)?;
        let plan = Arc::new(compile_set(&self.catalog, set, Some(versioned.clone()))?);
        compiled.versions.insert(versioned, Arc::clone(&plan));
        Ok(plan)
    }

    fn model(&self, selector: &Selector) -> Result<&ModelVersion> {
        let name = selector.name();
        let versions: Vec<&ModelVersion> = self.models.iter().filter(|model| model.name == *name).collect();
        if versions.is_empty() {
            return Err(Error::unknown("model", name.as_str(), self.models.iter().map(|model| model.name.as_str())));
        }
        let found = match selector {
            Selector::Latest(_) => versions.iter().max_by_key(|model| model.version),
            Selector::Version(wanted) => versions.iter().find(|model| model.version == wanted.version),
            Selector::Alias(_, alias) => {
                let aliases = self.aliases.iter().filter(|known| known.model == *name);
                let Some(target) = aliases.clone().find(|known| known.alias == *alias) else {
                    return Err(no_alias(name, alias, aliases.map(|known| known.alias.as_str())));
                };
                versions.iter().find(|model| model.version == target.version)
            }
        };
        found.copied().ok_or_else(|| Error::NotFound(format!("no model version '{selector}'")))
    }
}

fn no_alias<'a>(model: &Name, alias: &Name, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let hint = match hitherto_core::did_you_mean(alias.as_str(), known.clone()) {
        Some(near) => format!(" (did you mean '{near}'?)"),
        None => match known.collect::<Vec<_>>() {
            none if none.is_empty() => "; it has none yet".to_owned(),
            all => format!("; it has {}", all.join(", ")),
        },
    };
    Error::NotFound(format!("model '{model}' has no alias '{alias}'{hint}"))
}

fn compile_set(catalog: &Catalog, set: &SetVersion, model: Option<VersionedName>) -> Result<ServingPlan> {
    let resolved = &set.resolved;
    let mut tables = Vec::with_capacity(resolved.uses.len());
    for view_use in &resolved.uses {
        let table = catalog.tables.get(&view_use.table);
        tables.push(
            table.ok_or_else(|| Error::internal("a feature set reads an unknown table", view_use.table.clone()))?,
        );
    }
    let mut key_sets: Vec<Vec<(String, KeyType)>> = Vec::new();
    let views = resolved.uses.iter().zip(&tables).map(|(view_use, table)| {
        let keys: Vec<_> = view_use.keys.iter().map(|key| (key.spine_column.clone(), key.key_type)).collect();
        let key_set = key_sets.iter().position(|known| *known == keys).unwrap_or_else(|| {
            key_sets.push(keys.clone());
            key_sets.len() - 1
        });
        PlannedView {
            view_use: view_use.clone(),
            reading: reading_of(view_use),
            keys,
            key_set,
            layout: Layout::new(table.columns.iter().map(|(_, value_type)| value_type.clone()).collect()),
        }
    });
    let views = views.collect();
    let outputs = resolved.outputs.iter().map(|output| {
        let table = tables[output.view_use];
        let column = table.columns.iter().position(|(name, _)| *name == output.feature);
        Ok(PlannedOutput {
            name: output.name.clone(),
            value_type: output.value_type.clone(),
            view: output.view_use,
            column: column.ok_or_else(|| Error::internal("a table lacks a feature's column", output.name.clone()))?,
        })
    });
    Ok(ServingPlan {
        feature_set: set.versioned_name(),
        feature_set_hash: set.hash.clone(),
        model,
        views,
        key_sets,
        outputs: outputs.collect::<Result<_>>()?,
        request: resolved.request.iter().map(|(name, value_type)| (name.clone(), value_type.clone())).collect(),
        transforms: Transforms::compile(resolved)?,
    })
}

impl ServingPlan {
    /// The longest delay among its views: how far behind the present an answer may be by declaration.
    pub fn source_delay_max(&self) -> Span {
        self.views.iter().map(|view| view.view_use.source_delay).max().unwrap_or_default()
    }
}
