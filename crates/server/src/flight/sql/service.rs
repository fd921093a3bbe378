//! Flight SQL's calls, each given to what answers it and counted.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use hitherto_core::Kind;
use hitherto_proto::Failure;
use tonic::{Request, Response, Status, Streaming};

use super::{Asked, Owner, Sql};
use crate::answer::{Refusal, answer};
use crate::flight::rows::Sent;
use crate::shared::Shared;

// the calls, as metrics name them
const INFO: &str = "Flight/GetFlightInfo";
const GET: &str = "Flight/DoGet";
const PUT: &str = "Flight/DoPut";
const ACTION: &str = "Flight/DoAction";
const HANDSHAKE: &str = "Flight/Handshake";

/// The part of Flight that is SQL.
pub(crate) struct Service {
    shared: Arc<Shared>,
    sql: Sql,
}

impl Service {
    pub(in crate::flight) fn new(shared: Arc<Shared>) -> Self {
        Self { sql: Sql::new(Arc::clone(&shared)), shared }
    }

    /// What a catalog browser asks is announced under its own command, which is the ticket as well.
    async fn announce(&self, asked: Asked, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let work = async { asked.announce(request.into_inner()) };
        answer(&self.shared.metrics, INFO, work).await
    }

    async fn list(&self, asked: Asked) -> Result<Response<Sent>, Status> {
        answer(&self.shared.metrics, GET, self.sql.list(asked)).await
    }

    async fn refuse<T: Send>(&self, method: &'static str, refusal: Refusal) -> Result<Response<T>, Status> {
        answer(&self.shared.metrics, method, async { Err(refusal) }).await
    }
}

/// A ticket that is none of SQL's.
fn unknown_ticket(message: &Any) -> Result<Sent, Refusal> {
    Err(unsupported(format!("there is nothing to be fetched by a ticket of the type '{}'", message.type_url)))
}

fn unsupported(message: impl Into<String>) -> Refusal {
    Refusal(Failure::new(Kind::Unsupported, message))
}

/// Why rows cannot be written by SQL, and how they can.
fn read_only() -> Refusal {
    unsupported("SQL is read-only: rows come into history by `hitherto ingest` or Ingest/Push")
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<
        Response<std::pin::Pin<Box<dyn futures::Stream<Item = Result<HandshakeResponse, Status>> + Send>>>,
        Status,
    > {
        self.refuse(HANDSHAKE, unsupported("there is no authentication: connect without user and password")).await
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        answer(&self.shared.metrics, INFO, self.sql.plan(Owner::of(&request), query, request.into_inner())).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        answer(&self.shared.metrics, INFO, self.sql.plan_prepared(Owner::of(&request), query, request.into_inner()))
            .await
    }

    async fn get_flight_info_catalogs(
        &self,
        _query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::Catalogs, request).await
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::Schemas(query), request).await
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::Tables(query), request).await
    }

    async fn get_flight_info_table_types(
        &self,
        _query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::TableTypes, request).await
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::Abilities(query), request).await
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::PrimaryKeys(query), request).await
    }

    async fn get_flight_info_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::ForeignKeys, request).await
    }

    async fn get_flight_info_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::ForeignKeys, request).await
    }

    async fn get_flight_info_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::ForeignKeys, request).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.announce(Asked::Types(query), request).await
    }

    async fn get_flight_info_fallback(
        &self,
        command: Command,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.refuse(INFO, unsupported(format!("there is no command of the type '{}'", command.type_url()))).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let owner = Owner::of(&request);
        let work = async { self.sql.fetch(&owner, &ticket) };
        answer(&self.shared.metrics, GET, work).await
    }

    async fn do_get_catalogs(
        &self,
        _query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::Catalogs).await
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::Schemas(query)).await
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::Tables(query)).await
    }

    async fn do_get_table_types(
        &self,
        _query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::TableTypes).await
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::Abilities(query)).await
    }

    async fn do_get_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::PrimaryKeys(query)).await
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::ForeignKeys).await
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::ForeignKeys).await
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::ForeignKeys).await
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.list(Asked::Types(query)).await
    }

    async fn do_get_fallback(
        &self,
        _request: Request<Ticket>,
        message: Any,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let work = async { unknown_ticket(&message) };
        answer(&self.shared.metrics, GET, work).await
    }

    async fn do_put_statement_update(
        &self,
        update: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let work = async { Err(self.sql.refuse_update(&update.query).await) };
        answer(&self.shared.metrics, PUT, work).await.map(Response::into_inner)
    }

    async fn do_put_prepared_statement_update(
        &self,
        _update: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        // what is prepared is a query: nothing else gets past the planner
        let refusal = unsupported("the prepared statement is a query and updates nothing: fetch its rows");
        self.refuse(PUT, refusal).await.map(Response::into_inner)
    }

    async fn do_put_statement_ingest(
        &self,
        _ingest: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.refuse(PUT, read_only()).await.map(Response::into_inner)
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let work = self.sql.bind(Owner::of(&request), query, request.into_inner());
        answer(&self.shared.metrics, PUT, work).await.map(Response::into_inner)
    }

    async fn do_put_fallback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        _message: Any,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        self.refuse(PUT, read_only()).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        answer(&self.shared.metrics, ACTION, self.sql.prepare(Owner::of(&request), query))
            .await
            .map(Response::into_inner)
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let owner = Owner::of(&request);
        let work = async {
            self.sql.close(&owner, &query);
            Ok(())
        };
        answer(&self.shared.metrics, ACTION, work).await.map(Response::into_inner)
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let refusal =
            unsupported("there are no transactions: SQL is read-only, and each query has a snapshot of its own");
        self.refuse(ACTION, refusal).await.map(Response::into_inner)
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let action = request.into_inner().r#type;
        self.refuse(ACTION, unsupported(format!("there is no action '{action}'"))).await
    }

    /// What this server can do is fixed.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
