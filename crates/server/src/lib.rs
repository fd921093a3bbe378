//! The service: gRPC on one address, health, readiness and metrics over HTTP on another.
//!
//! [`Server::bind`] listens, [`Server::run`] serves until it is told to stop; requests in flight finish. The verbs are
//! those of [`hitherto_engine`]; this room translates: messages to requests, errors to `google.rpc.Status`.
//!
//! What is absent: TLS and authentication. So no address but loopback is accepted.

mod account;
mod admission;
mod answer;
mod arrow_answer;
mod background;
mod deadline;
mod error;
mod http;
mod ingest;
mod metric_names;
mod metrics;
mod models;
mod online_features;
mod options;
mod place;
mod places;
mod readiness;
mod registry;
mod server;
mod set_series;
mod shadow;
mod shared;
mod slow;
mod throttle;
mod training_sets;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use options::{Limits, Options};
pub use server::Server;
