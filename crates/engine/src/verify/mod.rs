//! `dataset verify`: the leakage certificate, by a path that does not use the as-of operator.

mod band;
mod certificate;
mod columns;
mod passes;

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset, Mode, Selector, SetVersion, ViewUse};
use hitherto_offline::HistoryTable;
use hitherto_offline::input::Input;

pub use self::certificate::{Certificate, TransformReport};

use self::band::Bands;
use self::columns::FileColumns;
use crate::dataset::erased_since;
use crate::engine::find_set;
use crate::fingerprint::Fingerprint;
use crate::join::Pins;
use crate::training_set::Progress;
use crate::{Engine, Error, Result, Transforms};

/// How many questions a view are asked again of a store cut off at their time, for each band of the file.
const SAMPLE: usize = 256;

/// A training set that was built elsewhere, and what it is said to be.
#[derive(Clone, Debug)]
pub struct AuditRequest {
    /// The feature set whose features it has, or some of them.
    pub feature_set: Selector,
    /// By which rule it is judged.
    pub mode: Mode,
    /// The column of prediction times.
    pub event_timestamp: String,
}

impl Engine {
    /// Prove that `file` is what `dataset` says: that its bytes, its spine and its columns are those that were written, and
    /// that every cell of a feature is what was known at its row's time, by the history that the dataset saw.
    ///
    /// Whatever cannot be shown is a fault in the certificate; an error means that the check could not be made at all. The
    /// verdict is recorded as `by`'s, for gates and whoever asks later; where there is an error, that nothing was proven.
    pub async fn verify_dataset(
        &self,
        dataset: &Dataset,
        file: &Input,
        by: &str,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Certificate> {
        match self.verified(dataset, file, seen).await {
            Ok(certificate) => {
                self.record_verdict(&certificate.verdict(dataset, by)?).await?;
                Ok(certificate)
            }
            Err(error) => {
                self.record_unchecked(dataset, by, &error.to_string()).await;
                Err(error)
            }
        }
    }

    /// Remember that `dataset` could not be checked, and why: what was found before is not known to hold, and no gate takes
    /// it any more.
    pub async fn record_unchecked(&self, dataset: &Dataset, by: &str, why: &str) {
        let certificate = Certificate::unchecked(dataset, why, self.clock().now());
        let recorded = match certificate.verdict(dataset, by) {
            Ok(verdict) => self.record_verdict(&verdict).await,
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            tracing::warn!(dataset = dataset.id, %error, "that a training set could not be checked is not recorded");
        }
    }

    async fn verified(
        &self,
        dataset: &Dataset,
        file: &Input,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Certificate> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &Selector::Version(dataset.feature_set.clone()))?;
        let pins = self.pin_as(&catalog, set, dataset).await?;
        let mut certificate = self.begin(set, dataset.mode, file).await?;
        certificate.dataset = Some(dataset.id.clone());
        if set.hash != dataset.feature_set_hash {
            certificate.faults.push(format!(
                "{} has hash {}, and the dataset was built with {}",
                dataset.feature_set, set.hash, dataset.feature_set_hash
            ));
        }
        if certificate.file_hash != dataset.file_hash {
            certificate.faults.push(format!(
                "the file is not the one that was written: its SHA-256 is {}, the manifest says {}",
                certificate.file_hash, dataset.file_hash
            ));
        }
        let examined = self.hold_against(dataset, (&catalog, set, &pins), file, &mut certificate, &seen).await;
        match examined {
            // other bytes need not be a training set at all
            Err(error) if certificate.file_hash != dataset.file_hash => {
                certificate.faults.push(format!("it could not be read to its end: {error}"));
            }
            done => done?,
        }
        if !certificate.is_proven() {
            let gone = |erased| format!("{erased}: what history had of it then, nobody can tell any more");
            certificate.faults.extend(erased_since(dataset, &pins).into_iter().map(gone));
        }
        Ok(certificate)
    }

    async fn hold_against(
        &self,
        dataset: &Dataset,
        (catalog, set, pins): (&Catalog, &SetVersion, &Pins),
        file: &Input,
        certificate: &mut Certificate,
        seen: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<()> {
        let bands = Bands::open(file, self.runtime()).await?;
        let transforms = Transforms::compile(&set.resolved)?;
        let schema = bands.schema();
        let columns = FileColumns::of_dataset(dataset, set, &transforms, &schema)?;
        certificate.faults.extend(columns.surprises(&schema));
        let spine = Some(Fingerprint::new(&columns.spine(&schema), dataset.format)?);
        let examined = Examined { catalog, set, pins, columns, transforms, spine };
        let fingerprint = self.examine(examined, bands, certificate, seen).await?;
        if fingerprint.as_deref() != Some(dataset.spine_fingerprint.as_str()) {
            certificate.faults.push(
                "its spine columns are not those of the spine that it was built from: a row, a column or their order is another"
                    .to_owned(),
            );
        }
        if certificate.rows != dataset.rows {
            certificate.faults.push(format!("it has {} rows, and {} were written", certificate.rows, dataset.rows));
        }
        Ok(())
    }

    /// Judge a training set that was built elsewhere by history as it stands now: which of its cells could not have been
    /// known. Features of the set that the file does not have are left out; there must be at least one.
    pub async fn audit_file(
        &self,
        wanted: &AuditRequest,
        file: &Input,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Certificate> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &wanted.feature_set)?;
        let pins = self.pin(&catalog, set).await?;
        let mut certificate = self.begin(set, wanted.mode, file).await?;
        let bands = Bands::open(file, self.runtime()).await?;
        let transforms = Transforms::compile(&set.resolved)?;
        let columns = FileColumns::of_file(wanted, set, &bands.schema())?;
        let examined = Examined { catalog: &catalog, set, pins: &pins, columns, transforms, spine: None };
        self.examine(examined, bands, &mut certificate, &seen).await?;
        Ok(certificate)
    }

    async fn begin(&self, set: &SetVersion, mode: Mode, file: &Input) -> Result<Certificate> {
        Ok(Certificate {
            dataset: None,
            feature_set: set.versioned_name(),
            mode,
            file: file.places().collect::<Vec<_>>().join(" "),
            file_hash: file.content_hash().await.map_err(hitherto_offline::Error::from)?,
            rows: 0,
            faults: Vec::new(),
            views: Vec::new(),
            transforms: Vec::new(),
            checked_at: self.clock().now(),
        })
    }

    /// Go through the file band by band; the spine's fingerprint, if it is wanted.
    async fn examine(
        &self,
        mut examined: Examined<'_>,
        mut bands: Bands,
        certificate: &mut Certificate,
        seen: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<Option<String>> {
        let mut histories = Vec::with_capacity(examined.set.resolved.uses.len());
        for view_use in &examined.set.resolved.uses {
            histories.push(examined.history(view_use)?);
        }
        let mut views = BTreeMap::new();
        while let Some(band) = bands.next().await? {
            if let Some(spine) = &mut examined.spine {
                spine.add(&examined.columns.spine_of(&band)?)?;
            }
            let mut asked = passes::Asked::default();
            for (index, history) in histories.iter().enumerate() {
                let claim = examined.columns.claim(index, examined.set, certificate.mode, &band.schema())?;
                let Some((claim, features)) = claim else { continue };
                let (history, history_rows) = (&history.0, history.1);
                let examination =
                    passes::Examination { claim, features, history, history_rows, band: &band, sample: SAMPLE };
                let found = examination.run(self.runtime(), &mut asked, certificate.rows, seen).await?;
                match views.get_mut(&index) {
                    None => drop(views.insert(index, found)),
                    Some(report) => hitherto_certificate::ViewReport::add(report, found),
                }
            }
            examined.columns.check_transforms(
                &examined.transforms,
                &band,
                certificate.rows,
                &mut certificate.transforms,
            )?;
            examined.columns.check_split(&band, certificate.rows, &mut certificate.transforms)?;
            certificate.rows += band.num_rows() as u64;
        }
        certificate.views = views.into_values().collect();
        Ok(examined.spine.map(Fingerprint::text))
    }
}

/// What a file is held against.
struct Examined<'a> {
    catalog: &'a Catalog,
    set: &'a SetVersion,
    pins: &'a Pins,
    columns: FileColumns,
    transforms: Transforms,
    spine: Option<Fingerprint>,
}

impl Examined<'_> {
    /// History as SQL reads it, a scan that the as-of operator has no part in; and how many rows it has at most.
    fn history(&self, view_use: &ViewUse) -> Result<(HistoryTable, u64)> {
        let view = self.catalog.view(&Selector::Version(view_use.view.clone()));
        let pinned = self.pins.get(&view_use.table);
        let (Some(view), Some(pinned)) = (view, pinned) else {
            return Err(Error::internal("a feature set reads an unknown view", view_use.view.to_string()));
        };
        let rows = pinned.files().map(|file| file.rows).sum();
        Ok((HistoryTable::try_new(pinned.clone(), view)?, rows))
    }
}
