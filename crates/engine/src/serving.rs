//! Serving plans: a feature set or a model resolved once, then used by every request until the registry changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hitherto_core::{
    Alias, Catalog, KeyType, Kind, ModelVersion, Name, Selector, SetVersion, Span, Table, ValueType, VersionedName,
    ViewUse,
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
/// A consumer that nobody has asked for during so many revisions of the registry is compiled when it is asked for again.
const IDLE_MAX: u32 = 64;

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
    /// Whoever asks for what is there takes no lock.
    compiled: ArcSwap<Compiled>,
    /// Whoever compiles has it meanwhile, so that nothing is compiled twice.
    compiling: Mutex<()>,
    /// The plans of the revision before: what decides them may be as it was.
    before: HashMap<Planned, Arc<Plan>>,
}

/// Routes by who asks; plans, which several routes may share.
#[derive(Clone, Debug, Default)]
struct Compiled {
    routes: HashMap<Consumer, Arc<Known>>,
    plans: HashMap<Planned, Arc<Plan>>,
}

/// A route, and whether anybody wants it.
#[derive(Debug)]
struct Known {
    route: Arc<Route>,
    /// Whether it was asked for at this revision.
    is_asked: AtomicBool,
    /// For how many revisions before it was not.
    idle: u32,
}

/// What a plan is of: a feature set's version, and the model version that asks.
type Planned = (VersionedName, Option<VersionedName>);

/// A plan, and all that decides it.
#[derive(Debug)]
struct Plan {
    basis: Basis,
    plan: Arc<ServingPlan>,
}

/// What a plan is compiled from, beside the name of its model.
#[derive(Debug, PartialEq)]
struct Basis {
    set: SetVersion,
    /// Of each of the set's uses: a table may have got columns.
    tables: Vec<Table>,
}

/// Resolves consumers to plans and answers lookups. A server holds one and refreshes it; a command makes one and asks once.
#[derive(Debug)]
pub struct Serving {
    engine: Engine,
    reads: JoinedReads,
    state: ArcSwap<State>,
    /// Whoever reads the registry anew has it meanwhile: what was read later is not replaced by what was read before.
    refreshing: tokio::sync::Mutex<()>,
}

impl Serving {
    /// Load the registry.
    pub async fn load(engine: Engine) -> Result<Self> {
        let state = load_state(&engine).await?;
        let (state, refreshing) = (ArcSwap::from_pointee(state), tokio::sync::Mutex::default());
        Ok(Self { engine, reads: JoinedReads::default(), state, refreshing })
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
        self.state.load().catalog.revision
    }

    /// Load the registry anew if its revision has changed; requests in flight keep the plan that they have. What was asked for
    /// lately is compiled before, where it is not as it was, so that no request waits for it.
    pub async fn refresh(&self) -> Result<()> {
        let _turn = self.refreshing.lock().await;
        if self.engine.registry().revision().await? != self.revision() {
            let (state, before) = (load_state(&self.engine).await?, self.state.load_full());
            let compiled = tokio::task::spawn_blocking(move || state.after(&before)).await;
            let state = compiled.map_err(|source| Error::internal("could not compile plans", source))?;
            self.state.store(Arc::new(state));
        }
        Ok(())
    }

    /// How requests of `consumer` are answered; a consumer that is unknown makes it look at the registry once more. Whoever
    /// has a route answers by one revision, whatever is changed meanwhile.
    pub async fn route(&self, consumer: &Consumer) -> Result<Arc<Route>> {
        if let Some(route) = self.state.load().compiled.load().route(consumer) {
            return Ok(route);
        }
        match self.state.load_full().route(consumer) {
            Err(error) if error.kind() == Kind::NotFound => {
                self.refresh().await?;
                self.state.load_full().route(consumer)
            }
            found => found,
        }
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
            let (compiled, compiling) = (ArcSwap::default(), Mutex::default());
            return Ok(State { catalog, models, aliases, compiled, compiling, before: HashMap::new() });
        }
    }
    Err(Error::Unavailable(format!(
        "the registry changed each of the {READINGS_MAX} times that it was read: try again when fewer change it at once"
    )))
}

impl Compiled {
    fn route(&self, consumer: &Consumer) -> Option<Arc<Route>> {
        let known = self.routes.get(consumer)?;
        // many ask at once: they share the line of the cache as long as nobody writes to it
        if !known.is_asked.load(Ordering::Relaxed) {
            known.is_asked.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&known.route))
    }
}

impl State {
    /// The same with what was wanted of the revision before. A plan is taken over where all that decides it is as it was.
    fn after(mut self, before: &Self) -> Self {
        let known = before.compiled.load_full();
        self.before.clone_from(&known.plans);
        let mut compiled = Compiled::default();
        for (consumer, known) in &known.routes {
            let idle = if known.is_asked.load(Ordering::Relaxed) { 0 } else { known.idle + 1 };
            if idle > IDLE_MAX {
                continue;
            }
            // where that fails, whoever asks is told
            if let Ok(route) = self.compile(&mut compiled, consumer) {
                let known = Known { route: Arc::new(route), is_asked: AtomicBool::new(false), idle };
                compiled.routes.insert(consumer.clone(), Arc::new(known));
            }
        }
        self.compiled.store(Arc::new(compiled));
        self
    }

    fn route(&self, consumer: &Consumer) -> Result<Arc<Route>> {
        let _turn = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut compiled = Compiled::clone(&self.compiled.load());
        if let Some(route) = compiled.route(consumer) {
            return Ok(route);
        }
        let route = Arc::new(self.compile(&mut compiled, consumer)?);
        let known = Known { route: Arc::clone(&route), is_asked: AtomicBool::new(true), idle: 0 };
        compiled.routes.insert(consumer.clone(), Arc::new(known));
        self.compiled.store(Arc::new(compiled));
        Ok(route)
    }

    fn compile(&self, compiled: &mut Compiled, consumer: &Consumer) -> Result<Route> {
        match consumer {
            Consumer::FeatureSet(selector) => {
                Ok(Route::direct(self.plan(compiled, find_set(&self.catalog, selector)?, None)?))
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
        self.plan(compiled, model_set(&self.catalog, model)?, Some(versioned))
    }

    fn plan(
        &self,
        compiled: &mut Compiled,
        set: &SetVersion,
        model: Option<VersionedName>,
    ) -> Result<Arc<ServingPlan>> {
        let planned = (set.versioned_name(), model);
        if let Some(known) = compiled.plans.get(&planned) {
            return Ok(Arc::clone(&known.plan));
        }
        let basis = Basis::of(&self.catalog, set)?;
        let known = match self.before.get(&planned) {
            Some(known) if known.basis == basis => Arc::clone(known),
            _ => {
                let plan = Arc::new(compile_set(&basis, planned.1.clone())?);
                Arc::new(Plan { basis, plan })
            }
        };
        let plan = Arc::clone(&known.plan);
        compiled.plans.insert(planned, known);
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

impl Basis {
    fn of(catalog: &Catalog, set: &SetVersion) -> Result<Self> {
        let tables = set.resolved.uses.iter().map(|view_use| {
            let table = catalog.tables.get(&view_use.table).cloned();
            table.ok_or_else(|| Error::internal("a feature set reads an unknown table", view_use.table.clone()))
        });
        Ok(Self { tables: tables.collect::<Result<_>>()?, set: set.clone() })
    }
}

fn compile_set(Basis { set, tables }: &Basis, model: Option<VersionedName>) -> Result<ServingPlan> {
    let resolved = &set.resolved;
    let mut key_sets: Vec<Vec<(String, KeyType)>> = Vec::new();
    let views = resolved.uses.iter().zip(tables).map(|(view_use, table)| {
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
        let table = &tables[output.view_use];
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

#[cfg(test)]
mod tests;
