//! Who asks for a training set: it is told under its name, and answered while its token counts.

use std::sync::Arc;

use arrow_flight::FlightData;
use futures::{Stream, StreamExt};
use hitherto_engine::Engine;
use tonic::{Request, Status};

use super::upload::Messages;
use crate::auth::Caller;
use crate::shared::Shared;

/// Who a training set is built for.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// What it changes in the registry is told under its name.
    pub(super) engine: Engine,
    /// None where callers show no tokens.
    caller: Option<Arc<Caller>>,
}

impl Asker {
    /// Whoever sent `request`.
    pub(super) fn of<T>(shared: &Shared, request: &Request<T>) -> Self {
        let caller = request.extensions().get::<Arc<Caller>>().cloned();
        Self { engine: shared.engine_of(request), caller }
    }

    /// As manifests call it.
    pub(super) fn actor(&self) -> &str {
        self.caller.as_ref().map_or("flight", |caller| caller.name.as_str())
    }

    /// What it sends, as long as its token counts.
    pub(super) fn admitted(
        &self,
        shared: &Arc<Shared>,
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Messages {
        let (shared, caller) = (Arc::clone(shared), self.caller.clone());
        let admitted = messages.map(move |message| {
            let message = message?;
            if let Some(caller) = &caller
                && let Err(refused) = shared.access.still_admits(caller)
            {
                shared.metrics.refused(refused.reason);
                return Err(refused.status("Flight/DoExchange", None));
            }
            Ok(message)
        });
        admitted.boxed()
    }
}
