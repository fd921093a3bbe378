//! Why a caller is not let in, as it is told, counted and logged. The secret is in none of them.

use std::collections::HashMap;
use std::sync::Arc;

use hitherto_core::Role;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::access::Caller;

/// The domain of `google.rpc.ErrorInfo`, as of every error of the server.
const DOMAIN: &str = "hitherto";

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It showed no bearer token.
    Missing,
    /// The token is not one of the registry's, or its secret is another.
    Unknown,
    /// The token has expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The token's role is too small, or no role may do it.
    Role,
    /// No TLS came about: no or another certificate, or no TLS at all.
    Handshake,
    /// As many connections are open as may be, in all or of one machine.
    Connections,
}

/// Every reason: the label of a metric.
pub(crate) const REASONS: [Reason; 7] = [
    Reason::Missing,
    Reason::Unknown,
    Reason::Expired,
    Reason::Revoked,
    Reason::Role,
    Reason::Handshake,
    Reason::Connections,
];

impl Reason {
    /// As metrics and the log write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Role => "role",
            Self::Handshake => "handshake",
            Self::Connections => "connections",
        }
    }
}

/// A caller who is not let in.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    /// Whose token it was, where the secret was right.
    pub(crate) caller: Option<Arc<Caller>>,
}

impl Refused {
    /// Nobody that is known.
    pub(crate) fn stranger(reason: Reason) -> Self {
        Self { reason, caller: None }
    }

    /// Somebody who is known, and may not all the same.
    pub(crate) fn known(reason: Reason, caller: Arc<Caller>) -> Self {
        Self { reason, caller: Some(caller) }
    }

    /// Whether another token would do: it is not the role that is too small.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.reason != Reason::Role
    }

    /// What failed, why, and what to do about it. `needed` is the role that `what` needs; none where no role may do it.
    pub(crate) fn message(&self, what: &str, needed: Option<Role>) -> String {
        let whose = self.caller.as_ref().map_or_else(String::new, |caller| format!(" {} ({})", caller.id, caller.name));
        let role = self.caller.as_ref().map_or("no role", |caller| caller.role.as_str());
        let why = match (self.reason, needed) {
            (Reason::Role, None) => "it is not among the methods that a role may call".to_owned(),
            (Reason::Role, Some(needed)) => format!(
                "the token{whose} has the role {role}, and this needs {needed}: ask for a token with `hitherto token create \
                 NAME --role {needed}`"
            ),
            (Reason::Expired, _) => format!("the token{whose} has expired: ask for another, `hitherto token create`"),
            (Reason::Revoked, _) => format!("the token{whose} was revoked: ask for another, `hitherto token create`"),
            (Reason::Unknown, _) => {
                "the token is not known here: is it of this server's project, and whole? `hitherto token list` has all".to_owned()
            }
            (Reason::Missing | Reason::Handshake | Reason::Connections, _) => {
                "no token was shown: send `authorization: Bearer TOKEN` (HITHERTO_TOKEN or --token-file), as `hitherto token \
                 create` gave it"
                    .to_owned()
            }
        };
        format!("could not call {what}: {why}")
    }

    /// The same for gRPC.
    pub(crate) fn status(&self, method: &str, needed: Option<Role>) -> Status {
        let (code, reason) = if self.is_unauthenticated() {
            (Code::Unauthenticated, "UNAUTHENTICATED")
        } else {
            (Code::PermissionDenied, "PERMISSION_DENIED")
        };
        let metadata = HashMap::from([("reason".to_owned(), self.reason.as_str().to_owned())]);
        let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        Status::with_error_details(code, self.message(method, needed), details)
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::TokenId;

    use super::*;

    #[test]
    fn a_refusal_names_the_token_the_reason_and_the_remedy() {
        let name = "etl".parse().expect("a name");
        let caller = Arc::new(Caller { id: TokenId::from_bytes([1; 6]), name, role: Role::Reader });
        let status = Refused::known(Reason::Role, Arc::clone(&caller)).status("Ingest/Push", Some(Role::Writer));
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(
            status.message(),
            "could not call Ingest/Push: the token 010101010101 (etl) has the role reader, and this needs writer: ask for a \
             token with `hitherto token create NAME --role writer`"
        );
        let details = status.get_error_details();
        let said = details.error_info().expect("error info");
        assert_eq!((said.reason.as_str(), said.domain.as_str()), ("PERMISSION_DENIED", "hitherto"));
        assert_eq!(said.metadata.get("reason").map(String::as_str), Some("role"));

        let status = Refused::known(Reason::Revoked, caller).status("Ingest/Push", Some(Role::Writer));
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("the token 010101010101 (etl) was revoked"), "{}", status.message());
        let missing = Refused::stranger(Reason::Missing).message("/metrics", Some(Role::Reader));
        assert!(missing.contains("authorization: Bearer"), "{missing}");
    }
}
