//! Arrow Flight, on the port of gRPC: SQL, read-only, and training sets.
//!
//! A query is planned when its `FlightInfo` is asked for, which pins what it reads; the ticket is a handle of the plan, which
//! is held here until it is fetched, or nobody has come for it in time.

mod incoming;
mod rows;
mod service;
mod sql;
mod training_set;

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use hitherto_proto::MESSAGE_BYTES_MAX;

use self::service::Service;
use crate::shared::Shared;

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> FlightServiceServer<Service> {
    FlightServiceServer::new(Service::new(shared))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
