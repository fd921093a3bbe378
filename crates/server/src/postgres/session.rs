//! One conversation: messages come, statements are done, and what is refused is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::BytesMut;
use futures::{SinkExt, StreamExt, stream};
use hitherto_engine::PlannedQuery;
use pgwire::messages::PgWireBackendMessage as Said;
use pgwire::messages::PgWireFrontendMessage as Asks;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
};
use pgwire::messages::startup::ParameterStatus;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::cancel::Named;
use super::copy::Shape;
use super::deed::{Deed, is_writing};
use super::extended::{Portal, Prepared};
use super::failure::{Phase, Stop, Told, state};
use super::pass::Pass;
use super::patterns;
use super::rows::{Answer, Columns};
use super::savepoints::Savepoints;
use super::settings::{Settings, Until, read_only};
use super::startup::{Admitted, Client};
use super::watch::Watch;
use super::wire::{Socket, Wire};
use super::words::statements;
use super::{catalog, columns, who};
use crate::background::stopped;
use crate::queries::{Rows, plan, plan_by, run};
use crate::shared::Shared;

/// How often it is looked whether whoever says nothing would still be let in.
const PASS_INTERVAL: Duration = Duration::from_secs(5);

/// Once the server is told to stop, whoever takes nothing for so many of these is not waited for.
const FULL_INTERVAL: Duration = Duration::from_secs(1);
const FULL_MAX: usize = 5;
/// So long somebody may take to read why the conversation ends.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// A conversation.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    pub(super) pass: Pass,
    pub(super) settings: Settings,
    pub(super) prepared: HashMap<String, Prepared>,
    /// Each with the bytes that it keeps.
    pub(super) portals: HashMap<String, (usize, Portal)>,
    pub(super) transaction: TransactionStatus,
    savepoints: Savepoints,
    socket: Socket,
    named: Named,
    /// Whether messages are passed over until the next Sync: one before has failed.
    passes_over: bool,
}

impl Session {
    pub(super) fn new(client: Client, admitted: Admitted, named: Named, shared: Arc<Shared>) -> Self {
        let Client { wire, socket, .. } = client;
        let Admitted { pass, settings } = admitted;
        let (prepared, portals) = (HashMap::new(), HashMap::new());
        let transaction = TransactionStatus::Idle;
        let savepoints = Savepoints::default();
        Self {
            wire,
            shared,
            pass,
            settings,
            prepared,
            portals,
            transaction,
            savepoints,
            socket,
            named,
            passes_over: false,
        }
    }

    /// Goes on until the client leaves, may no longer be there, or the server is told to stop.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        let mut looks = interval(PASS_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let socket = self.socket.clone();
        let mut full = std::pin::pin!(full_at_the_end(socket, stopping.clone()));
        let mut stop = std::pin::pin!(stopped(stopping));
        let last = loop {
            let message = tokio::select! {
                biased;
                () = &mut stop => break Stop::fatal(state::SHUTDOWN, "the server stops: connect again in a moment"),
                _ = looks.tick() => match self.pass.check() {
                    Ok(()) => continue,
                    Err(stop) => break stop,
                },
                message = self.wire.next() => message,
            };
            let done = match message {
                None | Some(Ok(Asks::Terminate(_))) => return,
                Some(Ok(message)) => tokio::select! {
                    done = self.answer(message) => done,
                    () = &mut full => return,
                },
                Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    Err(Stop::fatal(state::PROTOCOL_VIOLATION, error.to_string()))
                }
                Some(Err(error)) => Err(error.into()),
            };
            if let Err(stop) = done {
                break stop;
            }
        };
        farewell(&mut self.wire, last).await;
    }

    /// Does what a message asks for. What comes back as an error ends the conversation.
    async fn answer(&mut self, message: Asks) -> Result<(), Stop> {
        let (is_extended, done) = match message {
            Asks::Sync(_) => {
                self.passes_over = false;
                self.end_of_batch();
                return self.ready().await;
            }
            _ if self.passes_over => return Ok(()),
            Asks::Query(query) => (false, self.simple(&query.query).await),
            Asks::Parse(asked) => (true, self.parse(asked).await),
            Asks::Bind(asked) => (true, self.bind(asked).await),
            Asks::Describe(asked) => (true, self.describe(&asked).await),
            Asks::Execute(asked) => (true, self.execute(&asked).await),
            Asks::Close(asked) => (true, self.close(&asked).await),
            Asks::Flush(_) => (true, self.wire.flush().await.map_err(Stop::from)),
            // what is left of a copy that the client had begun and we had refused
            Asks::CopyData(_) | Asks::CopyDone(_) | Asks::CopyFail(_) => return Ok(()),
            _ => return Err(Stop::fatal(state::PROTOCOL_VIOLATION, "this message means nothing here")),
        };
        match done {
            Ok(()) => {}
            Err(Stop::Refused(told)) => {
                if self.transaction != TransactionStatus::Idle {
                    self.transaction = TransactionStatus::Error;
                }
                self.passes_over = is_extended;
                self.wire.feed(Said::ErrorResponse(ErrorResponse::from(told.into_info("ERROR")))).await?;
                if is_extended {
                    self.wire.flush().await?;
                }
            }
            Err(stop) => return Err(stop),
        }
        if is_extended { Ok(()) } else { self.ready().await }
    }

    async fn ready(&mut self) -> Result<(), Stop> {
        Ok(self.wire.send(Said::ReadyForQuery(ReadyForQuery::new(self.transaction))).await?)
    }

    /// The statements of one text, one after the other; the first that is refused is the last.
    async fn simple(&mut self, text: &str) -> Result<(), Stop> {
        // what was bound without a name is of the conversation before
        self.portals.remove("");
        let statements = statements(text);
        if statements.is_empty() {
            return Ok(self.wire.feed(Said::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
        }
        for statement in &statements {
            let deed = Deed::of(statement)?;
            let watch = self.watch();
            watch.over(self.simple_one(&deed)).await?;
        }
        Ok(())
    }

    async fn simple_one(&mut self, deed: &Deed) -> Result<(), Stop> {
        self.may(deed)?;
        match deed {
            Deed::Query(text) => {
                let planned = planned(&self.shared, &self.settings, text).await?;
                let columns = Columns::new(ready_schema(&planned)?, &[], self.settings.format())?;
                self.wire.feed(Said::RowDescription(columns.description())).await?;
                let mut answer = Answer::new(columns, run(&self.shared, planned), self.pass.clone());
                self.send_rows(&mut answer, 0, tag_of(text)).await.map(drop)
            }
            Deed::Copy(copy) => {
                let planned = planned(&self.shared, &self.settings, &copy.query).await?;
                self.copy(planned, &copy.shape).await
            }
            Deed::Show(_) | Deed::ShowAll => {
                let (schema, rows) = self.shown(deed)?;
                let columns = Columns::new(&schema, &[], self.settings.format())?;
                self.wire.feed(Said::RowDescription(columns.description())).await?;
                let mut answer = Answer::new(columns, rows, self.pass.clone());
                self.send_rows(&mut answer, 0, "SHOW").await.map(drop)
            }
            other => self.act(other).await,
        }
    }

    /// Watches over a statement from now on.
    pub(super) fn watch(&self) -> Watch {
        let timeout = self.settings.timeout();
        Watch { cancelled: self.named.cancelled(), socket: self.socket.clone(), timeout }
    }

    /// Whether a statement may be done at all now.
    pub(super) fn may(&self, deed: &Deed) -> Result<(), Stop> {
        self.pass.check()?;
        let is_end = matches!(deed, Deed::Commit | Deed::Rollback | Deed::RollbackTo(_));
        if self.transaction == TransactionStatus::Error && !is_end {
            let told = Told::new(state::FAILED_TRANSACTION, "a statement of this transaction was refused before");
            return Err(Stop::Refused(told.with_hint("end it with ROLLBACK, and begin again")));
        }
        Ok(())
    }

    /// Does what has no rows.
    pub(super) async fn act(&mut self, deed: &Deed) -> Result<(), Stop> {
        let mut tag = deed.tag();
        let before = self.settings.told();
        match deed {
            Deed::Begin => self.transaction = TransactionStatus::Transaction,
            Deed::Commit | Deed::Rollback => {
                // a transaction in which something was refused is rolled back, whatever is said
                if self.transaction == TransactionStatus::Error {
                    tag = Deed::Rollback.tag();
                }
                self.transaction = TransactionStatus::Idle;
                self.settings.end_transaction();
                self.savepoints.clear();
                self.portals.clear();
            }
            Deed::Savepoint(name) => self.in_transaction(tag)?.set(name)?,
            Deed::Release(name) => self.in_transaction(tag)?.release(name)?,
            Deed::RollbackTo(name) => {
                self.in_transaction(tag)?.back_to(name)?;
                self.transaction = TransactionStatus::Transaction;
            }
            Deed::Set { name, value, until } => {
                self.settings.set(name, value.as_deref(), *until)?;
                if *until == Until::Commit && self.transaction == TransactionStatus::Idle {
                    // its transaction is this statement alone
                    self.settings.end_transaction();
                    let told = Told::new(
                        state::NO_TRANSACTION,
                        "SET LOCAL counts until a transaction ends, and none has begun",
                    );
                    self.wire.feed(Said::NoticeResponse(NoticeResponse::from(told.into_info("WARNING")))).await?;
                }
            }
            Deed::ResetAll => self.settings.reset(),
            Deed::Discard => {
                self.settings.reset();
                self.prepared.clear();
                self.portals.clear();
            }
            Deed::Deallocate(None) => self.prepared.clear(),
            Deed::Deallocate(Some(name)) => {
                if self.prepared.remove(name).is_none() {
                    let message = format!("there is no prepared statement '{name}'");
                    return Err(Stop::refused(state::NO_STATEMENT, message));
                }
            }
            Deed::Nothing(_) | Deed::Query(_) | Deed::Copy(_) | Deed::Show(_) | Deed::ShowAll => {}
        }
        self.tell_changes(&before).await?;
        Ok(self.wire.feed(Said::CommandComplete(CommandComplete::new(tag.to_owned()))).await?)
    }

    /// Tells of the settings that clients are told of without asking, where they are others than `before`.
    async fn tell_changes(&mut self, before: &[(&'static str, String)]) -> Result<(), Stop> {
        for (name, value) in self.settings.told().into_iter().filter(|now| !before.contains(now)) {
            self.wire.feed(Said::ParameterStatus(ParameterStatus::new(name.to_owned(), value))).await?;
        }
        Ok(())
    }

    /// The savepoints, where there may be any.
    fn in_transaction(&mut self, tag: &str) -> Result<&mut Savepoints, Stop> {
        if self.transaction == TransactionStatus::Idle {
            let message = format!("{tag} is of a transaction, and there is none: say BEGIN before");
            return Err(Stop::refused(state::NO_TRANSACTION, message));
        }
        Ok(&mut self.savepoints)
    }

    /// Settings as rows.
    pub(super) fn shown(&self, deed: &Deed) -> Result<(SchemaRef, Rows), Stop> {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let (fields, columns) = if let Deed::Show(name) = deed {
            let (name, value) = self.settings.get(name)?;
            (vec![text(name)], vec![vec![value]])
        } else {
            let all = self.settings.all();
            let names = all.iter().map(|(name, _)| (*name).to_owned()).collect();
            (vec![text("name"), text("setting")], vec![names, all.into_iter().map(|(_, value)| value).collect()])
        };
        let schema = Arc::new(Schema::new(fields));
        let array = |column: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(column)) };
        let columns = columns.into_iter().map(array).collect();
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns);
        let rows = rows.map_err(|error| Stop::refused(state::INTERNAL, format!("could not show settings: {error}")))?;
        Ok((schema, stream::iter([Ok(rows)]).boxed()))
    }

    /// Sends rows, at most so many of them if the limit is not 0; whether there may be more.
    pub(super) async fn send_rows(&mut self, answer: &mut Answer, limit: usize, tag: &str) -> Result<bool, Stop> {
        let mut count = 0;
        while limit == 0 || count < limit {
            let Some(row) = answer.next().await? else {
                // EXPLAIN and SHOW say no number
                let tag = if tag == "SELECT" { format!("{tag} {count}") } else { tag.to_owned() };
                self.wire.feed(Said::CommandComplete(CommandComplete::new(tag))).await?;
                return Ok(false);
            };
            self.wire.feed(Said::DataRow(row)).await?;
            count += 1;
        }
        Ok(true)
    }

    /// Sends the rows of a query as a file.
    pub(super) async fn copy(&mut self, planned: PlannedQuery, shape: &Shape) -> Result<(), Stop> {
        let columns = Columns::all(ready_schema(&planned)?, shape.format(), self.settings.format())?;
        let format = shape.format().value();
        let count = i16::try_from(columns.len()).unwrap_or(i16::MAX);
        let begun = CopyOutResponse::new(i8::try_from(format).unwrap_or_default(), count, vec![format; columns.len()]);
        self.wire.feed(Said::CopyOutResponse(begun)).await?;
        let mut into = BytesMut::new();
        shape.begin(&columns.names(), &mut into);
        let mut answer = Answer::new(columns, run(&self.shared, planned), self.pass.clone());
        let mut copied = 0_u64;
        while let Some(row) = answer.next().await? {
            shape.row(row, &mut into);
            copied += 1;
            // a row a message, as PostgreSQL does: drivers count on it
            self.wire.feed(Said::CopyData(CopyData::new(into.split().freeze()))).await?;
        }
        shape.end(&mut into);
        if !into.is_empty() {
            self.wire.feed(Said::CopyData(CopyData::new(into.freeze()))).await?;
        }
        self.wire.feed(Said::CopyDone(CopyDone::new())).await?;
        Ok(self.wire.feed(Said::CommandComplete(CommandComplete::new(format!("COPY {copied}")))).await?)
    }

    /// A batch of messages is over: without a transaction nothing outlives it but what was prepared.
    fn end_of_batch(&mut self) {
        if self.transaction == TransactionStatus::Idle {
            self.portals.clear();
        }
        // whoever asks later asks of that moment
        self.prepared.values_mut().for_each(Prepared::forget_plan);
    }
}

/// Plans a query, pinned at what there is now; what catalog browsers ask is planned over tables of its own.
pub(super) async fn planned(shared: &Arc<Shared>, settings: &Settings, text: &str) -> Result<PlannedQuery, Stop> {
    patterns::refuse_foreign(text)?;
    let planned = if catalog::is_asked(text) {
        let (asked, settings, query) = (Arc::clone(shared), settings.clone(), text.to_owned());
        plan_by(shared, text, Box::pin(async move { catalog::plan(&asked, &settings, &query).await })).await
    } else {
        let (_, user) = settings.get("session_authorization")?;
        let renamed = columns::renamed(text).or_else(|| who::named(text, &user));
        plan(shared, renamed.as_deref().unwrap_or(text)).await
    };
    planned.map_err(|refusal| {
        let is_of_writing = is_writing(text) && !refusal.0.kind.is_retryable();
        if is_of_writing { read_only(&refusal.0.message) } else { Stop::of(Phase::Planning, refusal) }
    })
}

/// What a query answers that has its values.
pub(super) fn ready_schema(planned: &PlannedQuery) -> Result<&SchemaRef, Stop> {
    if planned.parameters().is_empty() {
        return Ok(planned.schema());
    }
    let names: Vec<String> = planned.parameters().iter().map(ToString::to_string).collect();
    let message = format!(
        "the query has parameters without a value ({}): prepare it, and bind a value to each",
        names.join(", ")
    );
    Err(Stop::refused(state::PROTOCOL_VIOLATION, message))
}

/// What is said of the rows of a query.
pub(super) fn tag_of(text: &str) -> &'static str {
    let first = text.trim_start().get(..7).unwrap_or_default();
    if first.eq_ignore_ascii_case("explain") { "EXPLAIN" } else { "SELECT" }
}

/// Tells why the conversation ends, if there is somebody to be told.
pub(super) async fn farewell(wire: &mut Wire, stop: Stop) {
    let (Stop::Fatal(told) | Stop::Refused(told)) = stop else { return };
    let said = wire.send(Said::ErrorResponse(ErrorResponse::from(told.into_info("FATAL"))));
    // whoever does not read it is gone
    drop(tokio::time::timeout(FAREWELL_MAX, said).await);
}

/// Ends when the server is told to stop and its client takes nothing any more.
async fn full_at_the_end(socket: Socket, stopping: watch::Receiver<bool>) {
    stopped(stopping).await;
    let mut looks = interval(FULL_INTERVAL);
    let mut count = 0;
    while count < FULL_MAX {
        looks.tick().await;
        count = if socket.is_full() { count + 1 } else { 0 };
    }
}
