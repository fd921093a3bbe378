//! Flight's calls, each handed to who answers it.

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use hitherto_proto::MESSAGE_BYTES_MAX;
use tonic::{Request, Response, Status, Streaming};

use super::training_set;
use crate::shared::Shared;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> FlightServiceServer<Service> {
    FlightServiceServer::new(Service(shared))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

type Answer<T> = Result<Response<T>, Status>;
type Many<T> = BoxStream<'static, Result<T, Status>>;

fn absent<T>(call: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("{call} is not answered here")))
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Many<HandshakeResponse>;
    type ListFlightsStream = Many<FlightInfo>;
    type DoGetStream = training_set::Answers;
    type DoPutStream = Many<PutResult>;
    type DoExchangeStream = training_set::Answers;
    type DoActionStream = Many<arrow_flight::Result>;
    type ListActionsStream = Many<ActionType>;

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        absent("Handshake")
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        absent("ListFlights")
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        absent("GetFlightInfo")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        absent("PollFlightInfo")
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        absent("GetSchema")
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let ticket = request.into_inner().ticket;
        if training_set::is_ticket(&ticket) { Ok(training_set::fetch(&self.0, &ticket)) } else { absent("DoGet") }
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        absent("DoPut")
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Ok(training_set::exchange(&self.0, request))
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        absent("DoAction")
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        absent("ListActions")
    }
}
