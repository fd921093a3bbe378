//! The service: gRPC on one address, health, readiness and metrics over HTTP on another, and the wire of PostgreSQL on a third, if
//! it is asked for.
//!
//! [`Server::bind`] listens, [`Server::run`] serves until it is told to stop; requests in flight finish. The verbs are
//! those of [`hitherto_engine`]; this room translates: messages to requests, errors to `google.rpc.Status`.
//!
//! Where [`Server::with_traces`] says so, calls are followed as traces: their spans are `tracing`'s, and whoever starts the server
//! has a subscriber take them.
//!
//! An address beyond loopback is accepted only with TLS and tokens. Then a call must show a token of the registry, and one table
//! says which role each method needs; what is not in it, nobody may call.

mod account;
mod admission;
mod answer;
mod arrow_answer;
mod auth;
mod background;
mod calls;
mod compactions;
mod connections;
mod deadline;
mod delivery;
mod error;
mod flight;
mod gathered;
mod histograms;
mod http;
mod ingest;
mod lanes;
mod metric_names;
mod metrics;
mod models;
mod online_features;
mod options;
mod place;
mod places;
mod postgres;
mod push_stream;
mod queries;
mod readiness;
mod receiving;
mod registry;
mod server;
mod set_series;
mod shadow;
mod shared;
mod slots;
mod slow;
mod threads;
mod throttle;
mod tls;
mod traces;
mod training_sets;
mod turns;
mod upkeep;
mod weight;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use options::{Auth, ClientAuth, Limits, Options, SqlLimits, TlsOptions};
pub use server::Server;
pub use traces::{SpanCounts, TracedShare, Traces};
pub use upkeep::Upkeep;
