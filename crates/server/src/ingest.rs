//! `Ingest`: rows of a running system.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use hitherto_engine::{Destination, Ingested, PushStage};
use hitherto_offline::array_of;
use hitherto_proto::v1::ingest_server::{Ingest, IngestServer};
use hitherto_proto::v1::{PushRequest, PushResponse};
use hitherto_proto::{Column, MESSAGE_BYTES_MAX, Push, Pushed};
use tonic::{Request, Response, Status};

use crate::account::{Account, Phase};
use crate::answer::{Refusal, answer_in_time};
use crate::deadline::Deadline;
use crate::shared::Shared;
use crate::traces;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> IngestServer<Service> {
    IngestServer::new(Service(shared)).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl Ingest for Service {
    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let account = Account::open(Deadline::of(&request));
        let work = self.append(request.into_inner(), &account);
        answer_in_time(&self.0, &self.0.pushes, &account, work).await
    }
}

impl Service {
    async fn append(&self, sent: PushRequest, account: &Account) -> Result<PushResponse, Refusal> {
        let Push { view, columns, batch_id, destination } = sent.try_into()?;
        let to = match destination {
            hitherto_proto::Destination::Offline => Destination::Offline,
            hitherto_proto::Destination::Both => Destination::Both,
        };
        let batch = batch_of(&columns)?;
        let rows = batch.num_rows() as u64;
        account.asked(None, batch.num_rows());
        if self.0.traces.is_some() {
            traces::note_view(&view);
        }
        account.enter(Phase::Store);
        let pushed_now = self.0.engine().push_watched(&view, &batch, batch_id, to, &account.push).await;
        account.enter(Phase::Own);
        if account.push.stage() == PushStage::Kept {
            self.0.compactions.note(&view);
        }
        let done = pushed_now?;
        self.0.metrics.pushed(&view, done.commit.as_ref().map_or(0, |commit| commit.rows));
        Ok(pushed(rows, &done).into())
    }
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
