//! Flight SQL: statements, prepared statements, and what catalog browsers ask.

mod abilities;
mod handles;
mod listing;
mod prepared;
mod service;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use hitherto_engine::PlannedQuery;

use self::handles::{Handles, Owner, Words};
use self::listing::Asked;
use self::prepared::Prepared;
pub(super) use self::service::Service;
use crate::shared::Shared;

/// How long a planned query waits to be fetched.
const PLAN_IDLE: Duration = Duration::from_mins(10);
/// How long a prepared statement waits to be used.
const PREPARED_IDLE: Duration = Duration::from_hours(1);

/// What is held for clients between their calls.
struct Sql {
    shared: Arc<Shared>,
    /// Each is fetched once: a plan that has run keeps what it has read.
    plans: Arc<Handles<PlannedQuery>>,
    prepared: Arc<Handles<Prepared>>,
}

impl Sql {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let plans = Words {
            what: "result",
            gone: "its rows were fetched",
            again: "ask for the query again",
            room: "fetch their rows",
        };
        let prepared =
            Words { what: "prepared statement", gone: "it was closed", again: "prepare it again", room: "close some" };
        let plans = Arc::new(Handles::new(PLAN_IDLE, plans));
        let prepared = Arc::new(Handles::new(PREPARED_IDLE, prepared));
        Handles::sweep(&plans);
        Handles::sweep(&prepared);
        Self { shared, plans, prepared }
    }
}
