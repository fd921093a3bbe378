//! The stores that the verbs work on, wired by the composition root.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use hitherto_core::{Catalog, Name, Selector, SetVersion, Table, ViewVersion};
use hitherto_offline::OfflineStore;
use hitherto_online::OnlineStore;
use hitherto_registry::Registry;

use crate::definitions::LastDefinitions;
use crate::openlineage::{EventSink, Events};
use crate::spine_limits::SpineLimits;
use crate::table_history::TableHistory;
use crate::{Clock, Error, Result};

/// One project's registry, history and online store, and the clock by which they are read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    project: Name,
    registry: Arc<dyn Registry>,
    offline: OfflineStore,
    online: Option<Arc<dyn OnlineStore>>,
    clock: Clock,
    histories: Arc<Mutex<HashMap<String, Arc<TableHistory>>>>,
    last_definitions: LastDefinitions,
    /// Holds the memory that queries and training sets share.
    runtime: Arc<RuntimeEnv>,
    /// Who is told of runs.
    events: Events,
    /// How far the query of a spine may go.
    pub(crate) spine_limits: SpineLimits,
    /// Whether what is remembered of datasets stays as it is.
    pub(crate) keeps_entries: bool,
    /// Whoever records a training set has it: of two equal ones the second finds the first.
    pub(crate) recording: Arc<tokio::sync::Mutex<()>>,
}

impl Engine {
    /// An engine over these stores. Without an online store, verbs that need one say so.
    pub fn new(
        project: Name,
        registry: Arc<dyn Registry>,
        offline: OfflineStore,
        online: Option<Arc<dyn OnlineStore>>,
        clock: Clock,
    ) -> Self {
        let (histories, last_definitions, runtime) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            project,
            registry,
            offline,
            online,
            clock,
            histories,
            last_definitions,
            runtime,
            events: None,
            spine_limits: SpineLimits::default(),
            recording: Arc::default(),
            keeps_entries: false,
        }
    }

    /// The same stores, with so many bytes of memory for all queries and training sets together. What needs more is done
    /// in parts, or spilled to temporary files. Without this there is no limit.
    pub fn with_memory_limit(self, bytes: usize) -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes))).build_arc();
        let runtime = runtime.map_err(|source| Error::internal("could not set a memory limit", source))?;
        Ok(Self { runtime, ..self })
    }

    /// The same stores, with somebody who is told of runs: ingests, training sets, materializations.
    #[must_use]
    pub fn with_events(self, events: Option<Arc<dyn EventSink>>) -> Self {
        Self { events, ..self }
    }

    /// The same stores, where the query of a spine may go no further than this.
    #[must_use]
    pub fn with_spine_limits(self, limits: SpineLimits) -> Self {
        Self { spine_limits: limits, ..self }
    }

    /// The same stores for somebody who may have training sets built, and may not change what is remembered of others: what
    /// their names mean, and where they lie.
    #[must_use]
    pub fn keeping_entries(self) -> Self {
        Self { keeps_entries: true, ..self }
    }

    /// The same stores, remembered elsewhere.
    pub(crate) fn with_registry(&self, registry: Arc<dyn Registry>) -> Self {
        Self { registry, ..self.clone() }
    }

    pub(crate) fn events(&self) -> Option<&dyn EventSink> {
        self.events.as_deref()
    }

    pub(crate) fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// The project.
    pub fn project(&self) -> &Name {
        &self.project
    }

    /// What remembers definitions, models and datasets.
    pub fn registry(&self) -> &dyn Registry {
        self.registry.as_ref()
    }

    /// History.
    pub fn offline(&self) -> &OfflineStore {
        &self.offline
    }

    /// The latest values; an error where there is no online store yet.
    pub fn online(&self) -> Result<&dyn OnlineStore> {
        Ok(self.shared_online()?.as_ref())
    }

    /// The same, for who keeps it.
    pub(crate) fn shared_online(&self) -> Result<&Arc<dyn OnlineStore>> {
        self.online.as_ref().ok_or_else(|| {
            Error::Unavailable("there is no online store yet: `hitherto materialize` makes and fills it".to_owned())
        })
    }

    /// The history of `table`; kept open, so that its log is read on from where it was.
    pub(crate) fn history(&self, table: &Table) -> Result<Arc<TableHistory>> {
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match histories.get(&table.id) {
            Some(known) if known.table() == table => return Ok(Arc::clone(known)),
            Some(known) => known.succeeded_by(table)?,
            None => TableHistory::new(&self.offline, table)?,
        };
        let opened = Arc::new(opened);
        histories.insert(table.id.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    pub(crate) fn last_definitions(&self) -> &LastDefinitions {
        &self.last_definitions
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The same stores by another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Clock) -> Self {
        Self { clock, ..self.clone() }
    }
}

/// The view version that `selector` names, or an error that says what is near.
pub fn find_view<'a>(catalog: &'a Catalog, selector: &Selector) -> Result<&'a ViewVersion> {
    catalog.view(selector).ok_or_else(|| match (selector, catalog.views.get(selector.name())) {
        (Selector::Version(wanted), Some(versions)) => {
            Error::NotFound(format!("no feature view '{wanted}': its latest version is @{}", versions.len()))
        }
        (Selector::Alias(..), Some(_)) => {
            Error::Invalid(format!("'{selector}': a feature view has versions (@1), no aliases"))
        }
        _ => Error::unknown("feature view", selector.name().as_str(), catalog.views.keys().map(Name::as_str)),
    })
}

/// The feature set version that `selector` names, or an error that says what is near.
pub fn find_set<'a>(catalog: &'a Catalog, selector: &Selector) -> Result<&'a SetVersion> {
    catalog.set(selector).ok_or_else(|| match (selector, catalog.sets.get(selector.name())) {
        (Selector::Version(wanted), Some(versions)) => {
            Error::NotFound(format!("no feature set '{wanted}': its latest version is @{}", versions.len()))
        }
        (Selector::Alias(..), Some(_)) => {
            Error::Invalid(format!("'{selector}': a feature set has versions (@1); aliases belong to models"))
        }
        _ => Error::unknown("feature set", selector.name().as_str(), catalog.sets.keys().map(Name::as_str)),
    })
}
