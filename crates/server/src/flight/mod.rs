//! Arrow Flight, on the port of gRPC.

mod service;
mod training_set;

pub(crate) use service::service;
