//! Pushes to one table that come at the same time: one commit for all who wait, then one run of the online store.

use std::sync::Arc;

use hitherto_core::{Name, Timestamp};
use hitherto_offline::{Appended, ReadyBatch};
use tokio::sync::{Mutex, oneshot};

use super::{PushProgress, PushStage};
use crate::gather::{AtWork, Gathering, Joined, Place};
use crate::table_history::TableHistory;
use crate::{Clock, Engine, Error, Materialized, Result};

/// Rows that wait for one table's next commit may take so much memory; who comes then is refused.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// A commit takes rows of so many bytes: more would make those who come later wait.
const COMMIT_BYTES_MAX: usize = 16 << 20;

/// Who waits for one table.
#[derive(Debug)]
pub(crate) struct Pushes {
    appends: Arc<Gathering<Append>>,
    runs: Arc<Gathering<Run>>,
    /// Held by who writes a checkpoint: one at a time.
    tidying: Mutex<()>,
}

/// Rows that wait to be committed.
#[derive(Debug)]
struct Append {
    batch: ReadyBatch,
    clock: Clock,
    progress: PushProgress,
    tell: oneshot::Sender<Result<Appended>>,
}

/// Somebody who waits until what is in history now is online.
#[derive(Debug)]
struct Run {
    engine: Engine,
    tell: oneshot::Sender<Result<Vec<Materialized>>>,
}

impl Pushes {
    pub(crate) fn new() -> Self {
        Self { appends: Gathering::new(WAITING_BYTES_MAX), runs: Gathering::new(usize::MAX), tidying: Mutex::default() }
    }
}

/// Rows that have their place. Dropped, they leave it, unless their commit has begun.
#[derive(Debug)]
pub(super) struct Appending {
    told: oneshot::Receiver<Result<Appended>>,
    place: Place<Append>,
}

impl Appending {
    fn begun(history: &Arc<TableHistory>, joined: Joined<Append>, told: oneshot::Receiver<Result<Appended>>) -> Self {
        let (place, at_work) = joined;
        if let Some(at_work) = at_work {
            tokio::spawn(commit_all(Arc::clone(history), at_work));
        }
        Self { told, place }
    }

    /// What became of them.
    pub(super) async fn done(self) -> Result<Appended> {
        let Self { told, place } = self;
        let appended = told.await;
        drop(place);
        appended.unwrap_or_else(|_| Err(cut_off("append rows")))
    }
}

impl Engine {
    /// Has a batch wait for the next commit with those that wait at the same time; refused where they have too many rows.
    pub(super) fn append_with_others(
        &self,
        history: &Arc<TableHistory>,
        batch: ReadyBatch,
        progress: &PushProgress,
    ) -> Result<Appending> {
        let (waiting, weight, told) = self.waiting(batch, progress);
        let joined = history.pushes().appends.join(waiting, weight).map_err(|full| {
            Error::Exhausted(format!(
                "could not append to table '{}': {} pushes wait for its store with {} MiB of rows; try again in a moment, or push \
                 fewer rows at once",
                history.table().id,
                full.waiting,
                WAITING_BYTES_MAX >> 20
            ))
        })?;
        Ok(Appending::begun(history, joined, told))
    }

    /// The same once they have few enough.
    pub(super) async fn append_when_there_is_room(
        &self,
        history: &Arc<TableHistory>,
        batch: ReadyBatch,
        progress: &PushProgress,
    ) -> Appending {
        let (waiting, weight, told) = self.waiting(batch, progress);
        let joined = history.pushes().appends.join_when_there_is_room(waiting, weight).await;
        Appending::begun(history, joined, told)
    }

    fn waiting(
        &self,
        batch: ReadyBatch,
        progress: &PushProgress,
    ) -> (Append, usize, oneshot::Receiver<Result<Appended>>) {
        let (tell, told) = oneshot::channel();
        let weight = batch.size_bytes();
        (Append { batch, clock: self.clock(), progress: progress.clone(), tell }, weight, told)
    }

    /// Brings the online store up to what history has of `view` now, in one run with those that ask at the same time.
    pub(super) async fn bring_online_with_others(
        &self,
        history: &Arc<TableHistory>,
        view: &Name,
    ) -> Result<Vec<Materialized>> {
        let (tell, told) = oneshot::channel();
        // one of many a second: they are no runs to be told
        let joined = history.pushes().runs.join(Run { engine: self.untold(), tell }, 0);
        let (place, at_work) = joined.map_err(|_| cut_off("bring rows online"))?;
        if let Some(at_work) = at_work {
            tokio::spawn(run_all(view.clone(), at_work));
        }
        let brought = told.await;
        drop(place);
        brought.unwrap_or_else(|_| Err(cut_off("bring rows online")))
    }
}

/// Commits, again and again, for all who wait.
async fn commit_all(history: Arc<TableHistory>, mut at_work: AtWork<Append>) {
    loop {
        // whoever is ready to push does so first
        tokio::task::yield_now().await;
        let mut bytes = 0_usize;
        let takes = |append: &Append| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(append.batch.size_bytes().max(1));
            let takes = is_first || bytes <= COMMIT_BYTES_MAX;
            if takes {
                append.progress.enter(PushStage::Committing);
            }
            takes
        };
        let Some(group) = at_work.next(takes) else { return };
        let batches: Vec<ReadyBatch> = group.iter().map(|append| append.batch.clone()).collect();
        let clocks: Vec<Clock> = group.iter().map(|append| append.clock).collect();
        let now = move || clocks.iter().map(|clock| clock.now()).max().unwrap_or(Timestamp::MIN);
        match history.history().append_all(&batches, &now).await {
            Ok(outcomes) => tell_all(&history, group, outcomes),
            Err(error) => {
                let error = Arc::new(Error::from(error));
                for append in group {
                    // who has left meanwhile hears nothing
                    let _ = append.tell.send(Err(Arc::clone(&error).into()));
                }
            }
        }
    }
}

fn tell_all(history: &Arc<TableHistory>, group: Vec<Append>, outcomes: Vec<hitherto_offline::Result<Appended>>) {
    let mut last = None;
    for (append, outcome) in group.into_iter().zip(outcomes) {
        match &outcome {
            Ok(Appended::Done(commit)) => {
                append.progress.enter(PushStage::Kept);
                last = Some(commit.clone());
            }
            Ok(Appended::Already { .. } | Appended::Nothing) => append.progress.enter(PushStage::Kept),
            Err(_) => {}
        }
        // who has left meanwhile hears nothing
        let _ = append.tell.send(outcome.map_err(Error::from));
    }
    if let Some(commit) = last {
        let history = Arc::clone(history);
        // beside the next commit, which need not wait for it
        tokio::spawn(async move {
            if let Ok(_alone) = history.pushes().tidying.try_lock() {
                history.history().tidy(&commit).await;
            }
        });
    }
}

/// Materializes, again and again, for all who wait: each run has begun after those asked who share it.
async fn run_all(view: Name, mut at_work: AtWork<Run>) {
    loop {
        // all who share a commit ask at the same moment: one run is enough for them
        tokio::task::yield_now().await;
        let Some(group) = at_work.next(|_| true) else { return };
        // whoever came last has the latest clock
        let Some(engine) = group.last().map(|run| run.engine.clone()) else { continue };
        let brought = engine.materialize(std::slice::from_ref(&view)).await.map_err(Arc::new);
        for run in group {
            let told = brought.as_ref().cloned().map_err(|error| Error::from(Arc::clone(error)));
            // who has left meanwhile hears nothing
            let _ = run.tell.send(told);
        }
    }
}

/// The task that was to do it is gone: it panicked, or the runtime ends.
fn cut_off(what: &'static str) -> Error {
    Error::internal("could not finish a push", format!("whoever was to {what} for all was cut off"))
}

#[cfg(test)]
mod tests;
