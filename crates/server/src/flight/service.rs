//! Flight's calls: training sets by `DoExchange` and by tickets of their own, everything else is SQL.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo, SchemaResult, Ticket,
};
use tonic::{Request, Response, Status, Streaming};

use super::{sql, training_set};
use crate::shared::Shared;

/// The service.
pub(crate) struct Service {
    shared: Arc<Shared>,
    sql: sql::Service,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { sql: sql::Service::new(Arc::clone(&shared)), shared }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = <sql::Service as FlightService>::HandshakeStream;
    type ListFlightsStream = <sql::Service as FlightService>::ListFlightsStream;
    type DoGetStream = training_set::Answers;
    type DoPutStream = <sql::Service as FlightService>::DoPutStream;
    type DoExchangeStream = training_set::Answers;
    type DoActionStream = <sql::Service as FlightService>::DoActionStream;
    type ListActionsStream = <sql::Service as FlightService>::ListActionsStream;

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        self.sql.handshake(request).await
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        self.sql.list_flights(request).await
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        self.sql.get_flight_info(request).await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        self.sql.poll_flight_info(request).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        self.sql.get_schema(request).await
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        if training_set::is_ticket(&request.get_ref().ticket) {
            return Ok(training_set::fetch(&self.shared, &request.into_inner().ticket));
        }
        self.sql.do_get(request).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        self.sql.do_put(request).await
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Ok(training_set::exchange(&self.shared, request))
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        self.sql.do_action(request).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Answer<Self::ListActionsStream> {
        self.sql.list_actions(request).await
    }
}
