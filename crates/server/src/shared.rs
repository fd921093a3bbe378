//! What every part of a running server shares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_engine::{Engine, ServedReading, Serving, served_readings};
use tokio::sync::Semaphore;
use tonic::Request;

use crate::answer::text_of;
use crate::auth::{Access, Caller};
use crate::metrics::Metrics;
use crate::options::Auth;
use crate::places::Places;
use crate::shadow::Shadows;
use crate::{Result, SqlLimits};

/// A training set is built in memory: more than these at once wait.
const BUILDS_MAX: usize = 2;

/// The plans, the counters and the state of what runs in the background.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) serving: Serving,
    pub(crate) metrics: Metrics,
    pub(crate) places: Places,
    pub(crate) shadows: Shadows,
    /// How far a query of SQL may go.
    pub(crate) sql: SqlLimits,
    pub(crate) access: Access,
    /// Whoever builds a training set has a permit meanwhile. Never closed, so that waiting for one cannot fail.
    pub(crate) builds: Semaphore,
    background: Mutex<Background>,
}

/// How what runs in the background is getting on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Background {
    /// The readings of the last registry that could be read, and its revision.
    pub(crate) served: Vec<ServedReading>,
    revision: Option<i64>,
    /// Why the registry could not be read when it was last looked at.
    pub(crate) registry_problem: Option<String>,
    /// Why the follower's last run failed.
    pub(crate) follower_problem: Option<String>,
}

impl Shared {
    pub(crate) async fn new(engine: Engine, places: Places, auth: Auth, sql: SqlLimits) -> Result<Self> {
        let access = Access::new(auth, engine.clock());
        let serving = Serving::load(engine).await?;
        let (metrics, shadows) = (Metrics::new()?, Shadows::default());
        let builds = Semaphore::new(BUILDS_MAX);
        let shared = Self { serving, metrics, places, shadows, sql, access, builds, background: Mutex::default() };
        shared.read_registry().await?;
        Ok(shared)
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.serving.engine()
    }

    /// The engine for whoever sent this: what it changes in the registry is told under the caller's name, where there is one.
    pub(crate) fn engine_of<T>(&self, request: &Request<T>) -> Engine {
        caller_of(request).map_or_else(|| self.engine().clone(), |caller| self.engine().acting_as(caller.name.as_str()))
    }

    /// Looks whether the registry has changed. Where that fails, the last plans and tokens go on serving.
    pub(crate) async fn refresh(&self) {
        let problem = self.read_registry().await.err().map(|error| text_of(&error));
        if problem.is_some() {
            self.metrics.registry_failed();
        }
        let mut background = self.background();
        match (&background.registry_problem, &problem) {
            (None, Some(problem)) => tracing::warn!("serving by the last plans: {problem}"),
            (Some(_), None) => tracing::info!("the registry can be read again"),
            _ => {}
        }
        background.registry_problem = problem;
    }

    async fn read_registry(&self) -> Result<(), hitherto_engine::Error> {
        // first, and whatever becomes of plans: a token that was revoked must not wait for them
        self.access.refresh(self.engine().registry()).await?;
        self.serving.refresh().await?;
        let revision = Some(self.serving.revision());
        if self.background().revision != revision {
            let catalog = self.engine().registry().catalog().await?;
            let models = self.engine().all_model_versions().await?;
            let mut background = self.background();
            background.served = served_readings(&catalog, &models);
            background.revision = revision;
        }
        Ok(())
    }

    /// How the background was getting on a moment ago.
    pub(crate) fn snapshot(&self) -> Background {
        self.background().clone()
    }

    pub(crate) fn background(&self) -> MutexGuard<'_, Background> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever sent this, where callers show tokens.
pub(crate) fn caller_of<T>(request: &Request<T>) -> Option<&Caller> {
    request.extensions().get::<Arc<Caller>>().map(Arc::as_ref)
}
