//! `Ingest`: rows of a running system.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use hitherto_core::Name;
use hitherto_engine::{Destination, Ingested, PushStage};
use hitherto_offline::array_of;
use hitherto_proto::v1::ingest_server::{Ingest, IngestServer};
use hitherto_proto::v1::{PushRequest, PushResponse};
use hitherto_proto::{Column, MESSAGE_BYTES_MAX, Push, Pushed};
use tonic::{Request, Response, Status, Streaming};

use crate::account::{Account, Phase};
use crate::answer::{Refusal, answer_in_time};
use crate::auth::Caller;
use crate::deadline::Deadline;
use crate::push_stream::{Answers, answers};
use crate::shared::Shared;
use crate::traces;
use crate::weight::weight;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> IngestServer<Service> {
    IngestServer::new(Service(shared)).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl Ingest for Service {
    type PushStreamStream = Answers;

    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let account = Account::open(Deadline::of(&request));
        let bytes = weight(request.get_ref());
        let work = self.append(request.into_inner(), &account);
        answer_in_time(&self.0, &self.0.pushes, &account, bytes, work).await
    }

    async fn push_stream(&self, request: Request<Streaming<PushRequest>>) -> Result<Response<Answers>, Status> {
        let caller = request.extensions().get::<Arc<Caller>>().cloned();
        let deadline = Deadline::of(&request);
        Ok(Response::new(answers(&self.0, request.into_inner(), caller, deadline)))
    }
}

impl Service {
    async fn append(&self, sent: PushRequest, account: &Account) -> Result<PushResponse, Refusal> {
        let Wanted { view, batch, batch_id, to } = wanted(sent, account)?;
        if self.0.traces.is_some() {
            traces::note_view(&view);
        }
        account.enter(Phase::Store);
        let pushed_now = self.0.engine().push_watched(&view, &batch, batch_id, to, &account.push).await;
        ended(&self.0, &view, batch.num_rows(), account, pushed_now)
    }
}

/// What a message asks for.
pub(crate) struct Wanted {
    pub(crate) view: Name,
    pub(crate) batch: RecordBatch,
    pub(crate) batch_id: Option<String>,
    pub(crate) to: Destination,
}

/// Reads a message.
pub(crate) fn wanted(sent: PushRequest, account: &Account) -> Result<Wanted, Refusal> {
    let Push { view, columns, batch_id, destination } = sent.try_into()?;
    let to = match destination {
        hitherto_proto::Destination::Offline => Destination::Offline,
        hitherto_proto::Destination::Both => Destination::Both,
    };
    let batch = batch_of(&columns)?;
    account.asked(None, batch.num_rows());
    Ok(Wanted { view, batch, batch_id, to })
}

/// What is answered of a push that has come to its end, well or not.
pub(crate) fn ended(
    shared: &Shared,
    view: &Name,
    rows: usize,
    account: &Account,
    outcome: hitherto_engine::Result<Ingested>,
) -> Result<PushResponse, Refusal> {
    account.enter(Phase::Own);
    if account.push.stage() == PushStage::Kept {
        shared.compactions.note(view);
    }
    let done = outcome?;
    shared.metrics.pushed(view, done.commit.as_ref().map_or(0, |commit| commit.rows));
    Ok(pushed(rows as u64, &done).into())
}

fn pushed(rows: u64, done: &Ingested) -> Pushed {
    Pushed {
        rows,
        already: done.already.is_some(),
        first_sequence: done.commit.as_ref().map(|commit| commit.first_sequence),
        last_sequence: done.commit.as_ref().map(|commit| commit.last_sequence),
        online_rows: done.online.iter().map(|reading| reading.written).sum(),
        null_key_rows: done.null_keys,
        backdated_rows: done.backdated,
    }
}

fn batch_of(columns: &[Column]) -> Result<RecordBatch, Refusal> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let array = array_of(&column.value_type, &column.values)?;
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Refusal::invalid("columns", format!("could not read the columns as rows: {error}")))
}
