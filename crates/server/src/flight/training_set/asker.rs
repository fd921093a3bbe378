//! Who asks for a training set: it is told under its name, and answered while its token counts.

use std::sync::Arc;

use hitherto_engine::Engine;
use tonic::Request;

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
}
