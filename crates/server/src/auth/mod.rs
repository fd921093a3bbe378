//! Who may call what: tokens, their roles, and what is told of those who may not.

mod access;
mod layer;
mod log_limit;
mod methods;
mod refusal;
mod stream;

pub(crate) use access::{Access, Caller};
pub(crate) use layer::{grpc, http, tell};
pub(crate) use methods::{POSTGRES, method};
pub(crate) use refusal::{REASONS, Reason, Refused};
