//! What is seen of a training set's rows while they are written: their fingerprint, and their columns' profiles.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use futures::{Stream, StreamExt};
use hitherto_core::Profile;
use tokio::sync::mpsc;

use crate::fingerprint::RowsFingerprint;
use crate::profile::{Profiled, Profiler};
use crate::{Error, Result};

/// Batches that may wait for it; more would only be held longer.
const WAITING: usize = 4;

/// Sees every batch of a stream, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Witness {
    seeing: SpawnedTask<Result<Seen>>,
}

/// What it has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) fingerprint: String,
    pub(crate) profiles: Vec<Profile>,
}

impl Witness {
    /// The same batches, seen on their way.
    pub(crate) fn watch<S: Stream<Item = Result<RecordBatch>> + Send>(
        schema: &SchemaRef,
        profiled: Vec<Profiled>,
        batches: S,
    ) -> Result<(Self, impl Stream<Item = Result<RecordBatch>> + Send + use<S>)> {
        let mut fingerprint = RowsFingerprint::new(schema)?;
        let mut profiler = Profiler::new(profiled, schema);
        let (to_witness, mut seen) = mpsc::channel::<RecordBatch>(WAITING);
        let seeing = SpawnedTask::spawn_blocking(move || {
            while let Some(batch) = seen.blocking_recv() {
                fingerprint.add(&batch)?;
                profiler.add(&batch)?;
            }
            Ok(Seen { fingerprint: fingerprint.text(), profiles: profiler.finish()? })
        });
        let batches = batches.then(move |batch| {
            let to_witness = to_witness.clone();
            async move {
                let batch = batch?;
                // if it is gone already, it says why when it is asked
                drop(to_witness.send(batch.clone()).await);
                Ok(batch)
            }
        });
        Ok((Self { seeing }, batches))
    }

    /// What it has seen, once the stream has ended or is dropped.
    pub(crate) async fn seen(self) -> Result<Seen> {
        self.seeing.await.map_err(|source| Error::internal("could not take the rows' fingerprint", source))?
    }
}
