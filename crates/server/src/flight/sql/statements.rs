//! A query: planned and pinned when it is announced, run when its rows are fetched.

use std::sync::Arc;

use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightInfo, Ticket};
use hitherto_core::Kind;
use hitherto_engine::PlannedQuery;
use hitherto_proto::{Failure, packed};

use super::{Owner, Sql};
use crate::answer::Refusal;
use crate::flight::rows::{Sent, announced, info, sent};
use crate::queries::{plan, run};

impl Sql {
    /// Plans the query; the ticket is a handle of the plan.
    pub(in crate::flight) async fn plan(
        &self,
        owner: Owner,
        query: CommandStatementQuery,
        asked: FlightDescriptor,
    ) -> Result<FlightInfo, Refusal> {
        let planned = plan(&self.shared, &query.query).await?;
        self.hold(owner, planned, asked)
    }

    /// Announces a query and keeps its plan. All of its parameters must have values.
    pub(super) fn hold(
        &self,
        owner: Owner,
        planned: PlannedQuery,
        asked: FlightDescriptor,
    ) -> Result<FlightInfo, Refusal> {
        if !planned.parameters().is_empty() {
            let names: Vec<String> = planned.parameters().iter().map(ToString::to_string).collect();
            let message = format!(
                "the query has parameters without a value ({}): prepare it, and bind a value to each",
                names.join(", ")
            );
            return Err(Refusal::invalid("query", message));
        }
        let schema = announced(planned.schema());
        let handle = self.plans.keep(owner, planned)?;
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        info(&schema, Ticket::new(packed(&ticket.as_any())), asked)
    }

    /// The rows of a plan that is held; it is held no longer.
    pub(in crate::flight) fn fetch(&self, owner: &Owner, ticket: &TicketStatementQuery) -> Result<Sent, Refusal> {
        let planned = self.plans.take(owner, &ticket.statement_handle)?;
        let schema = Arc::clone(planned.schema());
        Ok(sent(schema, run(&self.shared, planned)))
    }

    /// Why a statement that is sent as an update does nothing: the planner's reason, or that it is a query.
    pub(in crate::flight) async fn refuse_update(&self, query: &str) -> Refusal {
        if let Err(refusal) = plan(&self.shared, query).await {
            refusal
        } else {
            let message = "the statement is a query and updates nothing: ask for its rows";
            Refusal(Failure::new(Kind::Unsupported, message))
        }
    }
}
