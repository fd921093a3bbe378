//! What was built is recorded, unless an erasure came upon it: then it is taken back.

use hitherto_core::{Catalog, Dataset};
use hitherto_registry::Recorded;

use crate::overtaken::{Fate, HasRead};
use crate::{Engine, Existing, Result, TrainingSetRequest};

/// What a build has read, and what becomes of its file if something of that was erased.
pub(crate) struct Fence<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) has_read: &'a HasRead,
    pub(crate) fate: Fate,
}

/// What is kept of a build.
enum Kept {
    /// What was built, and how it was recorded.
    Built(Recorded),
    /// An equal one that was there first.
    First(Box<Dataset>),
}

impl Engine {
    /// Remember what was built, or take its file away, if it is not to be kept or there is one already. `before` is the entry
    /// that it had.
    pub(crate) async fn recorded_set(
        &self,
        wanted: &TrainingSetRequest,
        mut dataset: Dataset,
        before: Option<Dataset>,
        fence: &Fence<'_>,
    ) -> Result<Dataset> {
        let recording = self.recording.lock().await;
        let recorded = match self.record_built(wanted, &mut dataset, fence).await {
            Ok(Kept::Built(recorded)) => recorded,
            Ok(Kept::First(first)) => {
                wanted.out.remove().await?;
                return Ok(*first);
            }
            Err(error) => {
                if fence.fate == Fate::Goes {
                    wanted.out.remove().await?;
                }
                return Err(error);
            }
        };
        // an entity may have been erased a moment ago, by who could not see this dataset yet; where that cannot be told, the
        // file stays: it is recorded by now, and whoever erases is told of it
        let refused = match self.overtaken(fence.catalog, fence.has_read).await {
            Ok(None) => None,
            Ok(Some(erased)) => {
                if fence.fate == Fate::Goes {
                    wanted.out.remove().await?;
                    self.unrecord(&dataset.id, &recorded, before).await;
                }
                Some(fence.fate.refusal(&wanted.out, &erased))
            }
            Err(error) => Some(error),
        };
        if let Some(refused) = refused {
            self.anchor().await;
            return Err(refused);
        }
        if let Recorded::Existing(first) = recorded
            && first.file_hash != dataset.file_hash
        {
            tracing::warn!(
                dataset = dataset.id,
                "the same request gave another file before: {} then, {} now; another version of the writer may encode otherwise",
                first.file_hash,
                dataset.file_hash
            );
        }
        drop(recording);
        self.anchor().await;
        Ok(dataset)
    }

    /// Record what was built, if it may be kept and there is none already.
    async fn record_built(&self, wanted: &TrainingSetRequest, built: &mut Dataset, fence: &Fence<'_>) -> Result<Kept> {
        self.check_naming(wanted, &built.id).await?;
        self.refuse_overtaken(fence.catalog, fence.has_read, &wanted.out, fence.fate).await?;
        if let Some(first) = self.built_meanwhile(wanted, built).await? {
            return Ok(Kept::First(Box::new(first)));
        }
        built.build.audit_head = self.registry().audit_head().await?;
        let recorded = self.registry().record_dataset(&self.entry(wanted, built).await?).await?;
        if let Recorded::Existing(entry) = &recorded
            && entry.location != built.location
        {
            self.registry().record_copy(&built.id, &built.location, self.clock().now()).await?;
        }
        Ok(Kept::Built(recorded))
    }

    /// Take back what was recorded of a file that is removed again: the entry is gone, or as it was before.
    async fn unrecord(&self, id: &str, recorded: &Recorded, before: Option<Dataset>) {
        let undone = match (recorded, before) {
            (Recorded::New, _) => self.registry().forget_dataset(id, self.clock().now()).await,
            (Recorded::Existing(_), Some(before)) => self.registry().record_dataset(&before).await.map(drop),
            (Recorded::Existing(_), None) => Ok(()),
        };
        if let Err(error) = undone {
            tracing::warn!(dataset = id, %error, "a dataset without a file stays recorded");
        }
    }

    /// What an equal request has left beside this one's file while it was built, if that is whole: one file is enough.
    async fn built_meanwhile(&self, wanted: &TrainingSetRequest, built: &Dataset) -> Result<Option<Dataset>> {
        if !matches!(wanted.existing, Existing::ReuseAt(_)) {
            return Ok(None);
        }
        let known = self.registry().datasets().await?;
        let first = known.into_iter().find(|dataset| dataset.id == built.id && dataset.location != built.location);
        let Some(first) = first.filter(|first| first.file_hash == built.file_hash) else { return Ok(None) };
        let Some(place) = wanted.out.neighbour(&first.location) else { return Ok(None) };
        if place.sha256().await.ok().as_ref() != Some(&first.file_hash) {
            return Ok(None);
        }
        self.named(wanted, first, built).await.map(Some)
    }

    /// A dataset that is there, under the name that is wanted for it, too. `again` is what was asked for now: where its spine
    /// came from is known of the dataset afterwards.
    pub(crate) async fn named(
        &self,
        wanted: &TrainingSetRequest,
        dataset: Dataset,
        again: &Dataset,
    ) -> Result<Dataset> {
        self.check_naming(wanted, &dataset.id).await?;
        let mut named = Dataset { name: wanted.name.clone(), ..dataset.clone() };
        named.add_grounds(again);
        let kept = match self.registry().record_dataset(&named).await? {
            Recorded::Existing(kept) => *kept,
            Recorded::New => named,
        };
        if kept != dataset {
            self.anchor().await;
        }
        Ok(kept)
    }
}
