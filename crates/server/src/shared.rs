//! What every part of a running server shares.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_core::{Kind, Name, Role};
use hitherto_engine::{Engine, ServedReading, Serving, SpineLimits, served_readings};
use hitherto_online::{Marks, Reading};
use hitherto_proto::Failure;
use tokio::sync::{Semaphore, watch};
use tonic::Request;

use crate::admission::{Admission, Work};
use crate::answer::{Refusal, text_of};
use crate::auth::{Access, Caller};
use crate::compactions::Compactions;
use crate::connections::{Address, Connections};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::readiness::LatelyReady;
use crate::shadow::Shadows;
use crate::slow::SlowLog;
use crate::threads::Threads;
use crate::traces::Traces;
use crate::turns::Turns;
use crate::{Options, Result, SqlLimits};

/// A training set is built in memory: more than these at once wait.
const BUILDS_MAX: usize = 2;

/// Files of training sets that are read for their hash alone.
const CHECKS_MAX: usize = 2;
/// Exchanges of training sets that may have a spine spooled; more wait with what they send.
const EXCHANGES_MAX: usize = 8;
/// Exchanges that are open, those that wait included: each may have sent the largest message that there may be.
pub(crate) const OPEN_EXCHANGES_MAX: usize = 64;

/// The plans, the counters and the state of what runs in the background.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) serving: Serving,
    pub(crate) metrics: Metrics,
    pub(crate) places: Places,
    pub(crate) shadows: Shadows,
    /// How far a query of SQL may go.
    pub(crate) sql: SqlLimits,
    /// Whose turn it is among queries.
    pub(crate) turns: Turns,
    /// Where queries are planned and run.
    pub(crate) threads: Threads,
    pub(crate) access: Access,
    pub(crate) lately_ready: LatelyReady,
    /// Whoever builds a training set has a permit meanwhile. Never closed, so that waiting for one cannot fail.
    pub(crate) builds: Semaphore,
    /// Whoever has a training set's file hashed has a permit meanwhile. Never closed either.
    pub(crate) checks: Semaphore,
    /// Whoever has its spine spooled has a permit until it is built. Never closed either.
    pub(crate) exchanges: Semaphore,
    /// Whoever has begun an exchange has a permit until it has its answer. Never closed either.
    pub(crate) open_exchanges: Semaphore,
    /// The door before reads of features.
    pub(crate) reads: Admission,
    /// The door before pushes.
    pub(crate) pushes: Admission,
    /// What was pushed to, and may have to be compacted.
    pub(crate) compactions: Compactions,
    pub(crate) slow: SlowLog,
    /// Whether this server itself keeps the online store up to date.
    pub(crate) follows: bool,
    /// How calls are traced, if they are.
    pub(crate) traces: Option<Traces>,
    connections: [Connections; 3],
    /// Whether the server stops: whoever goes on without end, ends.
    pub(crate) ending: watch::Sender<bool>,
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
    /// Why tokens could not be read when they were last looked at.
    tokens_problem: Option<String>,
    /// Why the follower's last run failed.
    pub(crate) follower_problem: Option<String>,
    /// Whether the follower has had its first go at every reading.
    pub(crate) has_followed: bool,
    /// The views that were being rebuilt when the follower last ran.
    pub(crate) rebuilding: BTreeSet<Name>,
    /// The furthest marks of each reading that this server has seen: marks do not go back, unless rows were lost.
    pub(crate) marks_seen: HashMap<Reading, Marks>,
}

impl Background {
    /// Notes how far a reading has got.
    pub(crate) fn see(&mut self, reading: &Reading, marks: Marks) {
        let seen = self.marks_seen.entry(reading.clone()).or_insert(marks);
        seen.sequence = seen.sequence.max(marks.sequence);
        seen.clock = seen.clock.max(marks.clock);
    }

    /// Whether marks are behind what was seen before.
    pub(crate) fn has_gone_back(&self, reading: &Reading, marks: Option<Marks>) -> bool {
        let seen = self.marks_seen.get(reading);
        seen.is_some_and(|seen| marks.is_none_or(|marks| marks.sequence < seen.sequence || marks.clock < seen.clock))
    }
}

impl Shared {
    pub(crate) async fn new(engine: Engine, places: Places, options: &Options) -> Result<Self> {
        let access = Access::new(options.auth, engine.clock());
        // a query is a query, whatever becomes of its rows
        let engine =
            engine.with_spine_limits(SpineLimits { timeout: options.sql.timeout, rows_max: options.sql.rows_max });
        let shared = Self {
            serving: Serving::load(engine).await?.with_round_trips_max(options.round_trips_max),
            metrics: Metrics::new()?,
            places,
            shadows: Shadows::here(),
            sql: options.sql,
            turns: Turns::new(options.sql.at_once.map(NonZeroUsize::get)),
            threads: Threads::start()?,
            access,
            lately_ready: LatelyReady::default(),
            builds: Semaphore::new(BUILDS_MAX),
            checks: Semaphore::new(CHECKS_MAX),
            exchanges: Semaphore::new(EXCHANGES_MAX),
            open_exchanges: Semaphore::new(OPEN_EXCHANGES_MAX),
            reads: Admission::new(Work::Reads, options.requests),
            pushes: Admission::new(Work::Pushes, options.pushes),
            compactions: Compactions::default(),
            slow: SlowLog::new(options.slow_request),
            follows: options.follow.is_some(),
            traces: None,
            connections: [
                Connections::new(Address::Grpc, options.connections_max),
                Connections::new(Address::Http, options.connections_max),
                Connections::new(Address::Postgres, options.postgres_connections_max),
            ],
            ending: watch::Sender::new(false),
            background: Mutex::default(),
        };
        shared.access.refresh(shared.engine().registry()).await.map_err(hitherto_engine::Error::from)?;
        shared.read_registry().await?;
        Ok(shared)
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.serving.engine()
    }

    /// The doors before all addresses.
    pub(crate) fn all_connections(&self) -> &[Connections; 3] {
        &self.connections
    }

    /// The door before an address.
    pub(crate) fn connections(&self, address: Address) -> &Connections {
        let [grpc, http, postgres] = &self.connections;
        match address {
            Address::Grpc => grpc,
            Address::Http => http,
            Address::Postgres => postgres,
        }
    }

    /// Does on threads of their own what computes for long, as `what` says.
    pub(crate) async fn computed<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, hitherto_engine::Error>> + Send + 'static,
    ) -> Result<T, Refusal> {
        if let Some(done) = self.threads.run(work).await {
            return Ok(done?);
        }
        let message = format!("could not {what}: a part of the server died, and its log says where");
        Err(Refusal(Failure::new(Kind::Internal, message)))
    }

    /// The engine for whoever sent this: what it changes in the registry is told under the caller's name, where there is one,
    /// and what a reader asks for changes no entry of another.
    pub(crate) fn engine_of<T>(&self, request: &Request<T>) -> Engine {
        let Some(caller) = caller_of(request) else { return self.engine().clone() };
        let engine = self.engine().acting_as(caller.name.as_str());
        if caller.role < Role::Writer { engine.keeping_entries() } else { engine }
    }

    /// Looks whether tokens have changed. Where that fails, those that are known go on counting.
    pub(crate) async fn refresh_tokens(&self) {
        let problem = self.access.refresh(self.engine().registry()).await.err().map(|error| text_of(&error));
        if problem.is_some() {
            self.metrics.registry_failed();
        }
        let mut background = self.background();
        match (&background.tokens_problem, &problem) {
            (None, Some(problem)) => tracing::warn!("what is revoked meanwhile goes on counting: {problem}"),
            (Some(_), None) => tracing::info!("tokens can be read again"),
            _ => {}
        }
        background.tokens_problem = problem;
    }

    /// Looks whether the registry has changed. Where that fails, the last plans go on serving.
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
