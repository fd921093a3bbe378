//! Training sets over Flight: a spine goes up, the training set comes down, and its manifest after it.
//!
//! `DoExchange` builds one, `DoGet` fetches one that is there. Neither the spine nor the training set is ever held whole: the
//! spine is spooled, the training set is written as a file of the store's own, and sent from it.

mod asker;
mod build;
mod client;
mod columns;
mod dictionary;
mod expansion;
mod request;
mod upload;
mod wire;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use futures::{StreamExt, TryStreamExt};
use hitherto_core::{Dataset, Kind};
use hitherto_engine::{Error, RowsFingerprint, Spine, TrainingSetRequest};
use hitherto_offline::input::Input;
use hitherto_proto::Failure;
use serde_json::json;
use tonic::{Request, Response, Streaming};

pub(crate) use self::client::Answers;

use self::asker::Asker;
use self::build::{Check, built, feature_set, known_places, new_place, open};
use self::client::{Client, Teller, answered, internal};
use self::columns::Columns;
use self::request::Wanted;
use self::upload::{Messages, Spooled, Upload};
use self::wire::Wire;
use crate::answer::Refusal;
use crate::shared::{OPEN_EXCHANGES_MAX, Shared};

/// Whether a ticket is one of [`fetch`]: JSON, which no ticket of Flight SQL is.
pub(crate) fn is_ticket(ticket: &[u8]) -> bool {
    ticket.trim_ascii_start().first() == Some(&b'{')
}

/// Answers an exchange: takes a spine, and sends the training set that is built from it. Whatever is wrong, with the request
/// too, is told in the stream.
pub(crate) fn exchange(shared: &Arc<Shared>, request: Request<Streaming<FlightData>>) -> Response<Answers> {
    let asker = Asker::of(shared, &request);
    let messages = asker.admitted(shared, request.into_inner());
    let own = Arc::clone(shared);
    Response::new(answered(shared, "Flight/DoExchange", |client| exchanged(own, asker, messages, client)))
}

/// Sends the training set that `ticket` names.
pub(crate) fn fetch(shared: &Arc<Shared>, ticket: &[u8]) -> Response<Answers> {
    let (own, ticket) = (Arc::clone(shared), ticket.to_vec());
    Response::new(answered(shared, "Flight/DoGet", |client| fetched(own, ticket, client)))
}

async fn exchanged(shared: Arc<Shared>, asker: Asker, messages: Messages, client: Client) -> Result<(), Refusal> {
    let _open = shared.open_exchanges.try_acquire().map_err(|_| too_many())?;
    let (wanted, upload) = Upload::begin(messages).await?;
    // before a row is spooled, and until the training set is built: so much is spooled at once, and no more
    let place = shared.exchanges.acquire().await;
    let teller = Arc::new(Teller::new(wanted.progress.then(|| client.clone())));
    let (request, columns) = requested(&shared, &asker, &wanted, upload, &teller).await?;
    let dataset = built(&shared, &asker, request, &teller).await?;
    drop(place);
    let file = open(&shared, &dataset, Check::Id).await?;
    send(&client, file, &dataset, columns).await
}

async fn fetched(shared: Arc<Shared>, ticket: Vec<u8>, client: Client) -> Result<(), Refusal> {
    let named = request::ticket(&ticket)?;
    let dataset = shared.engine().registry().dataset(&named).await?;
    let file = open(&shared, &dataset, Check::Bytes).await?;
    send(&client, file, &dataset, None).await
}

/// The request of the verb, and the columns of an uploaded spine, when all of it has come.
async fn requested(
    shared: &Shared,
    asker: &Asker,
    wanted: &Wanted,
    upload: Upload,
    teller: &Teller,
) -> Result<(TrainingSetRequest, Option<Columns>), Refusal> {
    let (engine, actor) = (&asker.engine, asker.actor());
    let set = feature_set(engine, wanted.consumer()?).await?;
    let out = new_place(engine)?;
    let places = known_places(shared, &set).await?;
    match (&wanted.spine_sql, &wanted.spine_url) {
        (Some(query), None) => {
            upload.without_rows("spine_sql").await?;
            Ok((wanted.request(actor, set, Spine::Sql(query.clone()), out, places)?, None))
        }
        (None, Some(url)) => {
            let spine = shared.places.input("spine_url", url, engine.offline()).await?;
            upload.without_rows("spine_url").await?;
            Ok((wanted.request(actor, set, Spine::Input(spine), out, places)?, None))
        }
        (Some(_), Some(_)) => Err(Refusal::invalid(
            "spine_url",
            "the spine is a query or a file: leave one of `spine_sql` and `spine_url` out",
        )),
        (None, None) => {
            let mut upload = upload;
            let schema = upload.schema().await?.ok_or_else(no_spine)?;
            let mut columns = Columns::new(schema);
            // refused before it has come, where its columns tell
            RowsFingerprint::new(columns.stored())?;
            let no_rows = Spine::Batches(RecordBatch::new_empty(Arc::clone(columns.stored())));
            let request = wanted.request(actor, set, no_rows, out, places)?;
            engine.check_training_set(&request).await?;
            let spine = received(upload, &mut columns, teller).await?;
            Ok((TrainingSetRequest { spine, ..request }, Some(columns)))
        }
    }
}

fn too_many() -> Refusal {
    let message = format!(
        "{OPEN_EXCHANGES_MAX} exchanges of training sets are open already, which is the most: try again when one has ended"
    );
    Refusal(Failure::new(Kind::Exhausted, message))
}

fn no_spine() -> Refusal {
    Refusal::invalid("spine", "no spine came: send its schema and its rows, or name it by `spine_sql` or `spine_url`")
}

/// Spools the rows of an upload.
async fn received(upload: Upload, columns: &mut Columns, teller: &Teller) -> Result<Spine, Refusal> {
    let stored = Arc::clone(columns.stored());
    let (mut received, mut spooled) = (0, Spooled::default());
    let rows = upload.rows().map(|batch| {
        let batch = batch?;
        received += batch.num_rows() as u64;
        teller.tell("receiving", received, None);
        let unfit = |error: ArrowError| Error::Invalid(format!("could not keep the spine's rows: {error}"));
        let batch = columns.store(&batch).map_err(unfit)?;
        spooled.add(&batch).map(|()| batch)
    });
    Ok(Spine::uploaded(stored, rows).await?)
}

/// Sends a training set from its file, then its manifest.
async fn send(client: &Client, file: Input, dataset: &Dataset, columns: Option<Columns>) -> Result<(), Refusal> {
    let mut batches = file.stream().await.map_err(hitherto_offline::Error::from)?;
    let of_file = batches.schema();
    let schema = columns.as_ref().map_or_else(|| Arc::clone(&of_file), |columns| columns.restored(&of_file));
    let (mut wire, first) = Wire::open(&schema);
    client.send(first).await?;
    while let Some(batch) = batches.try_next().await.map_err(hitherto_offline::Error::from)? {
        let restored = columns.as_ref().map_or_else(|| Ok(batch.clone()), |columns| columns.restore(&batch, &schema));
        let messages = restored.and_then(|batch| wire.messages(&batch));
        let messages = messages.map_err(|error| internal(format!("could not send the training set: {error}")))?;
        for message in messages {
            client.send(message).await?;
        }
    }
    client.send_metadata(&json!({"dataset": dataset})).await
}
