//! A training set's manifest before it is built: what decides its values is known from what it reads.

use std::collections::BTreeMap;

use hitherto_core::{Build, Dataset, DatasetView, ResolvedSet, SetVersion, Split, ViewUse};

use hitherto_offline::PinnedTable;

use crate::fingerprint::deciding;
use crate::join::Pins;
use crate::{Engine, EvidenceColumns, Result, TrainingSetRequest};

impl Engine {
    /// The manifest of what `wanted` asks for over `pins`; its id, and what comes of building, are still open.
    pub(crate) fn manifest(
        &self,
        wanted: &TrainingSetRequest,
        set: &SetVersion,
        split: Option<Split>,
        pins: &Pins,
    ) -> Dataset {
        Dataset {
            id: String::new(),
            format: Dataset::FORMAT,
            name: wanted.name.clone(),
            feature_set: set.versioned_name(),
            feature_set_hash: set.hash.clone(),
            views: views(&set.resolved),
            transforms: set.resolved.transforms.clone(),
            mode: wanted.mode,
            spine: String::new(),
            spine_fingerprint: String::new(),
            event_timestamp: wanted.event_timestamp.clone(),
            evidence: wanted.evidence == EvidenceColumns::Times,
            split,
            tables: pins.iter().map(|(id, pinned)| (id.clone(), pinned.last_sequence())).collect(),
            erasures: erasures(pins),
            location: wanted.out.place().to_owned(),
            rows: 0,
            file_hash: String::new(),
            built_at: self.clock().now(),
            build: Build {
                actor: wanted.provenance.actor.clone(),
                tags: wanted.provenance.tags.clone(),
                ..Build::default()
            },
        }
    }
}

/// The views that a set pins, as manifests name them.
pub(crate) fn views(set: &ResolvedSet) -> Vec<DatasetView> {
    let of = |view_use: &ViewUse| DatasetView {
        alias: view_use.alias.clone(),
        view: view_use.view.clone(),
        table: view_use.table.clone(),
        source_delay: view_use.source_delay,
        ttl: view_use.ttl,
    };
    set.uses.iter().map(of).collect()
}

/// The ids of what was erased from each table; tables of which nothing was are left out.
fn erasures(pins: &Pins) -> BTreeMap<String, Vec<String>> {
    let of_table = |(id, pinned): (&String, &PinnedTable)| {
        let ids: Vec<String> = pinned.erasures().iter().map(|erasure| erasure.id.clone()).collect();
        (!ids.is_empty()).then(|| (id.clone(), ids))
    };
    pins.iter().filter_map(of_table).collect()
}

/// What the footer of a training set's file says of it: only what decides its values, so that the same request gives the same
/// bytes. Files of format 0 say no more than their id and mode.
pub(crate) fn footer(dataset: &Dataset) -> Result<Vec<(String, String)>> {
    let mode = crate::training_set::mode_name(dataset.mode);
    let mut footer =
        vec![("hitherto.dataset".to_owned(), dataset.id.clone()), ("hitherto.mode".to_owned(), mode.to_owned())];
    if dataset.format > 0 {
        footer.push(("hitherto.deciding".to_owned(), deciding(dataset)?));
    }
    Ok(footer)
}

/// Whether two manifests would have the same id if their spines had the same rows.
pub(crate) fn alike_but_for_the_spine(a: &Dataset, b: &Dataset) -> Result<bool> {
    let without_spine = |dataset: &Dataset| deciding(&Dataset { spine_fingerprint: String::new(), ..dataset.clone() });
    Ok(a.format == b.format && without_spine(a)? == without_spine(b)?)
}
