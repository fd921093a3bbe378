//! Whose connection it is, and whether it still may.

use std::net::SocketAddr;
use std::sync::Arc;

use super::failure::{Stop, state};
use crate::auth::{Caller, Reason, Refused, tell};
use crate::shared::Shared;

/// What was called, as refusals have it.
const WHAT: &str = "the wire of PostgreSQL";

/// A caller's right to go on.
#[derive(Clone)]
pub(super) struct Pass(Option<(Arc<Shared>, Arc<Caller>)>);

impl Pass {
    /// Everybody's, where callers show no tokens.
    pub(super) fn open() -> Self {
        Self(None)
    }

    /// Of a caller who was let in.
    pub(super) fn of(shared: &Arc<Shared>, caller: Arc<Caller>) -> Self {
        Self(Some((Arc::clone(shared), caller)))
    }

    /// The id of the token, where there is one.
    pub(super) fn token(&self) -> Option<&str> {
        self.0.as_ref().map(|(_, caller)| caller.id.as_str())
    }

    /// Counts and logs that the caller is not let in for another reason than its token.
    pub(super) fn refused(&self, reason: Reason, peer: SocketAddr) {
        if let Some((shared, caller)) = &self.0 {
            tell(shared, &Refused::known(reason, Arc::clone(caller)), WHAT, Some(peer));
        }
    }

    /// Whether the caller would still be let in: a token that was revoked ends its connections, and what they do.
    pub(super) fn check(&self) -> Result<(), Stop> {
        let Some((shared, caller)) = &self.0 else { return Ok(()) };
        shared.access.still_admits(caller).map_err(|refused| refusal(shared, &refused, None))
    }
}

/// Counts and logs a refusal; what its client is told.
pub(super) fn refusal(shared: &Shared, refused: &Refused, peer: Option<SocketAddr>) -> Stop {
    tell(shared, refused, WHAT, peer);
    Stop::fatal(state::UNAUTHORIZED, refused.message(WHAT, Some(crate::auth::POSTGRES)))
}
