//! A training set built for a client: into a file of the store's own, or found there.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hitherto_core::{Dataset, Kind, Selector};
use hitherto_engine::{Engine, Existing, Progress, TrainingSetRequest, find_set};
use hitherto_offline::OutputLocation;
use hitherto_offline::input::Input;
use hitherto_proto::Failure;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::asker::Asker;
use super::client::{Teller, internal};
use super::request::Consumer;
use crate::answer::{Refusal, text_of};
use crate::shared::Shared;

/// The feature set that `consumer` is trained by.
pub(super) async fn feature_set(engine: &Engine, consumer: Consumer) -> Result<Selector, Refusal> {
    Ok(match consumer {
        Consumer::FeatureSet(selector) => selector,
        Consumer::Model(selector) => Selector::Version(engine.registry().model(&selector).await?.feature_set),
    })
}

/// A new place for a training set of this project.
pub(super) fn new_place(engine: &Engine) -> Result<OutputLocation, Refusal> {
    Ok(engine.client_file(&format!("{}.parquet", Uuid::new_v4()))?)
}

/// Where the training sets of a feature set lie, whoever built them: an equal request need not build again.
pub(super) async fn known_places(shared: &Shared, feature_set: &Selector) -> Result<Vec<OutputLocation>, Refusal> {
    let engine = shared.engine();
    let catalog = engine.registry().catalog().await?;
    let set = find_set(&catalog, feature_set)?.versioned_name();
    let datasets = engine.registry().datasets().await?;
    let of_set = datasets.iter().filter(|dataset| dataset.feature_set == set);
    Ok(of_set.filter_map(|dataset| shared.places.dataset_place(&dataset.location, engine.offline())).collect())
}

/// Builds a training set. Whoever drops this leaves: the build stops, and no file stays that no dataset has.
pub(super) async fn built(
    shared: &Arc<Shared>,
    asker: &Asker,
    wanted: TrainingSetRequest,
    teller: &Arc<Teller>,
) -> Result<Dataset, Refusal> {
    let (staying, left) = oneshot::channel::<Infallible>();
    // in a task of its own: it must not be cut off between the file's last byte and its entry in the registry
    let building = build(Arc::clone(shared), asker.engine.clone(), wanted, Arc::clone(teller), left);
    let building = shared.threads.spawn(building.in_current_span());
    let built = building.await;
    drop(staying);
    built.unwrap_or_else(|_| Err(internal("could not build the training set: a part of the server died")))
}

async fn build(
    shared: Arc<Shared>,
    engine: Engine,
    wanted: TrainingSetRequest,
    teller: Arc<Teller>,
    left: oneshot::Receiver<Infallible>,
) -> Result<Dataset, Refusal> {
    let before = match &wanted.existing {
        Existing::Replace => engine.registry().datasets().await?,
        Existing::Reuse | Existing::ReuseAt(_) | Existing::Keep => Vec::new(),
    };
    let has_all_rows = AtomicBool::new(false);
    let seen = |progress| match progress {
        Progress::Reading(rows, total) => teller.tell("reading", rows, Some(total)),
        Progress::Writing(rows, total) => {
            has_all_rows.store(rows >= total, Ordering::Relaxed);
            teller.tell("writing", rows, Some(total));
        }
    };
    let mut building = Box::pin(async {
        let _permit = shared.builds.acquire().await;
        engine.training_set(&wanted, seen).await
    });
    tokio::select! {
        built = &mut building => {
            let built = built?;
            forget_superseded(&engine, &before, &built, &wanted.out).await;
            return Ok(built);
        }
        // nobody sends anything: whoever waited has dropped its end
        _ = left => {}
    }
    // what is nearly done is done, and is there for the next who asks for it
    if has_all_rows.load(Ordering::Relaxed) {
        let built = building.await?;
        forget_superseded(&engine, &before, &built, &wanted.out).await;
        return Ok(built);
    }
    drop(building);
    forget(&engine, &wanted.out).await;
    Err(Refusal(Failure::new(Kind::Unavailable, "the client has left")))
}

/// Takes away the file of clients whose place `out` has taken: it was built again, and the registry knows the new one.
async fn forget_superseded(engine: &Engine, before: &[Dataset], built: &Dataset, out: &OutputLocation) {
    let superseded = before.iter().find(|dataset| dataset.id == built.id && dataset.location != built.location);
    if let Some(file) = superseded.and_then(|dataset| out.neighbour(&dataset.location)) {
        forget(engine, &file).await;
    }
}

/// Takes away a file that came to be and that no dataset has.
async fn forget(engine: &Engine, file: &OutputLocation) {
    let forgotten = async {
        let datasets = engine.registry().datasets().await?;
        if datasets.iter().all(|dataset| dataset.location != file.place()) {
            file.remove().await?;
        }
        Ok::<(), hitherto_engine::Error>(())
    };
    if let Err(error) = forgotten.await {
        tracing::warn!("'{file}' may be there, and belongs to no dataset: {}", text_of(&error));
    }
}

/// What of a file is held against its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The id in its footer: it was written or hashed a moment ago.
    Id,
    /// All of its bytes.
    Bytes,
}

/// Opens a training set's file, if it is the one that was written.
pub(super) async fn open(shared: &Shared, dataset: &Dataset, check: Check) -> Result<Input, Refusal> {
    let again = format!("`hitherto dataset rebuild {}` builds it again", dataset.id.get(..12).unwrap_or(&dataset.id));
    let opened = shared.places.dataset(&dataset.location, shared.engine().offline()).await;
    let file = opened.map_err(|Refusal(failure)| Refusal(failure.with_hint(again.clone())))?;
    let is_it = match check {
        Check::Id => {
            let id = file.stamp("hitherto.dataset").await.map_err(hitherto_offline::Error::from)?;
            id.as_ref() == Some(&dataset.id)
        }
        Check::Bytes => {
            let _permit = shared.checks.acquire().await;
            file.content_hash().await.map_err(hitherto_offline::Error::from)? == dataset.file_hash
        }
    };
    if is_it {
        return Ok(file);
    }
    let message = format!("'{}' is no longer the file that was written as dataset {}", dataset.location, dataset.id);
    Err(Refusal(Failure::new(Kind::NotFound, message).with_hint(again)))
}
