//! `dataset rebuild`: a training set built again from the history and the spine that its manifest names.

use hitherto_core::{Catalog, Dataset, Selector, SetVersion};
use hitherto_offline::OutputLocation;
use hitherto_offline::input::Input;

use crate::build::Job;
use crate::dataset::{erased_since, short};
use crate::engine::find_set;
use crate::join::{Join, JoinRequest, Pins};
use crate::overtaken::{Fate, HasRead};
use crate::spine::SurveyedSpine;
use crate::sql::Reads;
use crate::training_set::{Progress, evidence_columns, partitions, splitter};
use crate::{Engine, Error, EvidenceColumns, Result, Spine};

/// Where a dataset's spine may still be, in the order in which it is looked for.
#[derive(Clone, Debug, Default)]
pub struct SpineSources {
    /// The spine that it was built from.
    pub spines: Vec<Spine>,
    /// The dataset's own file, which has the spine's columns.
    pub file: Option<Input>,
    /// What could not even be opened, and why.
    pub faults: Vec<String>,
}

/// A training set that was built again.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// Its manifest, as it came out now.
    pub dataset: Dataset,
    /// Where the spine's rows were found.
    pub spine: String,
    /// What was erased since from the rows that it read: where its rows differ now, this is what is gone.
    pub erased: Vec<String>,
}

/// What a dataset was built from, found again.
pub(crate) struct Origins<'a> {
    pub(crate) set: &'a SetVersion,
    pub(crate) pins: Pins,
    pub(crate) spine: SurveyedSpine,
    /// What its spine was found by reading.
    pub(crate) reads: Reads,
}

impl Rebuilt {
    /// Whether its rows are those of `first`. Manifests of format 0 know no more than the hash of the file.
    pub fn is_same(&self, first: &Dataset) -> bool {
        match first.format {
            0 => self.dataset.file_hash == first.file_hash,
            _ => self.dataset.build.result_fingerprint == first.build.result_fingerprint,
        }
    }
}

impl Engine {
    /// Build a dataset again, from the history that it saw (`_sequence` up to what is pinned), into `out`; nothing is
    /// recorded. Its spine is the first of `sources` whose rows are those that it was built from.
    ///
    /// Refused when something is gone that it was built from: the error says what.
    pub async fn rebuild_dataset(
        &self,
        dataset: &Dataset,
        sources: &SpineSources,
        out: OutputLocation,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Rebuilt> {
        let catalog = self.registry().catalog().await?;
        let Origins { set, pins, spine, reads } = self.origins(&catalog, dataset, sources).await?;
        let evidence =
            evidence_columns(if dataset.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent });
        let event_timestamp = dataset.event_timestamp.as_str();
        let request = JoinRequest { set, event_timestamp, mode: dataset.mode, evidence, pins: &pins };
        let join = Join::plan(&request, spine.plan()?, partitions())?;
        let splitter = splitter(dataset, &spine.schema, join.schema())?;
        let origin = spine.origin.clone();
        let (erased, has_read) = (erased_since(dataset, &pins), HasRead::of(&pins, &reads));
        let manifest = Dataset { location: out.place().to_owned(), built_at: self.clock().now(), ..dataset.clone() };
        let known = self.registry().datasets().await?;
        let (rebuilt, _) =
            self.build(Job { manifest, set, pins: &pins, spine, join, splitter, out: &out }, seen).await?;
        let fate = Fate::of(&rebuilt, &known);
        if let Err(refused) = self.refuse_overtaken(&catalog, &has_read, &out, fate).await {
            if fate == Fate::Goes {
                out.remove().await?;
            }
            return Err(refused);
        }
        if rebuilt.id != dataset.id {
            return Err(Error::internal("a dataset was built again under another id", rebuilt.id));
        }
        Ok(Rebuilt { dataset: rebuilt, spine: origin, erased })
    }

    /// What `dataset` was built from: its feature set, its tables as they stood, and its spine, which is the first of
    /// `sources` with the rows that it was built from.
    pub(crate) async fn origins<'a>(
        &self,
        catalog: &'a Catalog,
        dataset: &Dataset,
        sources: &SpineSources,
    ) -> Result<Origins<'a>> {
        let set = find_set(catalog, &Selector::Version(dataset.feature_set.clone()))?;
        if set.hash != dataset.feature_set_hash {
            return Err(Error::NotFound(format!(
                "could not read what dataset {} was built from: its feature set {} has the hash {} here, not {}",
                short(&dataset.id),
                dataset.feature_set,
                short(&set.hash),
                short(&dataset.feature_set_hash)
            )));
        }
        let pins = self.pin_as(catalog, set, dataset).await?;
        let mut faults = sources.faults.clone();
        for spine in &sources.spines {
            match self.same_spine(dataset, spine).await {
                Ok((spine, reads)) => return Ok(Origins { set, pins, spine, reads }),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        if let Some(file) = &sources.file {
            match self.own_spine(dataset, set, file).await {
                Ok((spine, reads)) => return Ok(Origins { set, pins, spine, reads }),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        faults.extend(self.erased_from_spine(&catalog.tables, dataset).await?);
        Err(missing_spine(dataset, &faults))
    }

    /// A spine, if its rows are those that `dataset` was built from, and what it reads.
    async fn same_spine(&self, dataset: &Dataset, spine: &Spine) -> Result<(SurveyedSpine, Reads)> {
        let open = self.open_spine(spine).await?;
        let (origin, reads) = (open.origin.clone(), open.reads.clone());
        let other = |what: String| Error::Invalid(format!("{origin}: {what}"));
        let time = open.schema.index_of(&dataset.event_timestamp);
        let time = time.map_err(|_| other(format!("it has no column '{}'", dataset.event_timestamp)))?;
        let mut surveyed = open.survey(time, dataset.format).await?;
        let found = surveyed.fingerprint().await?;
        if found == dataset.spine_fingerprint {
            return Ok((surveyed, reads));
        }
        let again = match spine {
            Spine::SqlThen { .. } => {
                ", asked of its tables and views as they were then: without ORDER BY rows come in the order of files, and what it \
                 names of the schemas training_sets and registry is as it is now"
            }
            _ => "",
        };
        let (found, wanted) = (short(&found), short(&dataset.spine_fingerprint));
        Err(other(format!("its rows hash to {found}, not {wanted}{again}")))
    }

    /// The spine's columns of a dataset's own file: all but those that its feature set and its split have added.
    async fn own_spine(&self, dataset: &Dataset, set: &SetVersion, file: &Input) -> Result<(SurveyedSpine, Reads)> {
        let columns = file.stream().await.map_err(hitherto_offline::Error::from)?.schema().fields().len();
        let evidence = if dataset.evidence { 2 * set.resolved.uses.len() } else { 0 };
        let added = set.resolved.outputs.len() + set.resolved.transforms.len() + evidence;
        let columns = columns.saturating_sub(added + usize::from(dataset.split.is_some()));
        self.same_spine(dataset, &Spine::Columns { file: file.clone(), columns }).await
    }
}

fn missing_spine(dataset: &Dataset, faults: &[String]) -> Error {
    let looked = if faults.is_empty() { "there is nowhere left to look".to_owned() } else { faults.join("; ") };
    Error::NotFound(format!(
        "the spine that dataset {} was built from is gone ({looked}): give it with --spine",
        short(&dataset.id)
    ))
}
