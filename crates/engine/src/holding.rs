//! Which training sets hold rows of an entity, or may: files that no store of ours owns, and copies of them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use futures::TryStreamExt;
use hitherto_core::{
    Catalog, Dataset, EntityKey, KeyType, ModelVersion, ResolvedSet, Selector, VersionedName, ViewUse, ViewVersion,
};
use hitherto_offline::input::Input;
use hitherto_offline::types::key_arrow_type;
use hitherto_offline::{KeyReader, TableErasure};
use serde::Serialize;

use crate::dataset::short;
use crate::engine::find_set;
use crate::loose::Whereabouts;
use crate::sql::{TRAINING_SETS, training_sets_of, views_of};
use crate::training_set::evidence_columns;
use crate::{Engine, ErasedEntity, ErasedTable, Error, EvidenceColumns, Result};

/// A training set to be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its manifest.
    pub dataset: Dataset,
    /// Why something of the entity may be in its spine's columns, where no key need stand beside it.
    pub grounds: Vec<String>,
}

/// Whether a training set is known to hold an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Its file has rows of it.
    Surely,
    /// Nothing tells whether it does: the grounds say why it may.
    Possibly,
}

/// A training set that holds the entity, or may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Its id.
    pub dataset: String,
    /// Where its file lies.
    pub location: String,
    /// Whether it is known to hold it.
    pub holds: Holds,
    /// Why it may hold more of it than its rows of the key, or may hold it at all.
    pub grounds: Vec<String>,
    /// Rows of the entity in it; none where the file cannot be read.
    pub rows: Option<u64>,
    /// Of these: rows with something that history knew of the entity, and cannot give again.
    pub rows_with_values: Option<u64>,
    /// Why the file cannot be read.
    pub fault: Option<String>,
    /// The model versions that were trained on it.
    pub models: Vec<String>,
    /// Where other files of it lie, which are no less whole.
    pub copies: Vec<String>,
    /// Where its spine lay, which had its rows of the entity, or may have had them, if that was a file.
    pub spine: Option<String>,
    /// Where else its spine lay, if it was asked for from there, too.
    pub other_spines: Vec<String>,
    /// Whether rows that it read were erased since that were of others, as far as it is known: what it had of them, if
    /// anything, history cannot give again either.
    #[serde(skip)]
    pub others_erased: bool,
    /// Whether no file of it was found, and no manifest of it is left: what was made of it is looked for all the same.
    #[serde(skip)]
    pub is_gone: bool,
    /// Where files of it were ever recorded: what was made of them was made of it.
    #[serde(skip)]
    pub(crate) lay_at: BTreeSet<String>,
    /// The names that it ever had: a query may have read it by one.
    #[serde(skip)]
    pub(crate) called: BTreeSet<String>,
}

/// What a file has of an entity.
#[derive(Default)]
struct Counted {
    rows: u64,
    with_values: u64,
    /// Rows whose key is the entity's but for parts that are null.
    with_null_parts: u64,
}

impl Holding {
    pub(crate) fn of_file(dataset: &str, location: &str) -> Self {
        Self {
            dataset: dataset.to_owned(),
            location: location.to_owned(),
            holds: Holds::Possibly,
            grounds: Vec::new(),
            rows: None,
            rows_with_values: None,
            fault: None,
            models: Vec::new(),
            copies: Vec::new(),
            spine: None,
            other_spines: Vec::new(),
            others_erased: false,
            is_gone: false,
            lay_at: BTreeSet::new(),
            called: BTreeSet::new(),
        }
    }

    /// Add why it may hold the entity; false where all of that was known.
    pub fn add_grounds(&mut self, grounds: &[String]) -> bool {
        let new: Vec<String> = grounds.iter().filter(|ground| !self.grounds.contains(ground)).cloned().collect();
        let is_news = !new.is_empty();
        self.grounds.extend(new);
        is_news
    }

    /// Whether it holds the entity, or may.
    pub fn is_one(&self) -> bool {
        self.holds == Holds::Surely || !self.grounds.is_empty() || self.fault.is_some()
    }

    /// What was found in a file of it.
    fn has(&mut self, counted: &Counted, dataset: &Dataset) {
        (self.rows, self.rows_with_values) = (Some(counted.rows), Some(counted.with_values));
        if counted.rows > 0 {
            self.holds = Holds::Surely;
        }
        let rows = counted.with_null_parts;
        if rows > 0 {
            self.grounds.push(format!("in {rows} of its rows a part of the key is null, and the others are its"));
        }
        if counted.rows > 0 || rows > 0 {
            self.has_spines_of(dataset);
        }
    }

    /// Its spine has what its rows have of the entity, or may.
    fn has_spines_of(&mut self, dataset: &Dataset) {
        self.spine = dataset.spine_location().map(str::to_owned);
        self.other_spines = dataset.build.other_spines.iter().cloned().collect();
    }

    /// Where files of it lie, or lay.
    fn places(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.location).chain(&self.copies).chain(&self.lay_at).map(String::as_str)
    }
}

impl Engine {
    /// The training sets that were built from what the entity was, or would be, erased from, in the order in which they were
    /// recorded: those that read one of its tables, for their features or by their spines' queries, when rows of it were there.
    pub async fn datasets_concerned(&self, entity: &ErasedEntity) -> Result<Vec<Suspect>> {
        let catalog = self.registry().catalog().await?;
        let mut suspects = Vec::new();
        for dataset in self.registry().datasets().await? {
            let grounds: Vec<String> =
                entity.tables.iter().filter_map(|table| queried(&catalog, table, &dataset)).collect();
            let is_read = entity.tables.iter().any(|table| {
                let last = dataset.tables.get(&table.table);
                last.is_some_and(|last| table.was_read(*last, dataset.erasures.get(&table.table)))
            });
            if is_read || !grounds.is_empty() {
                suspects.push(Suspect { dataset, grounds });
            }
        }
        Ok(suspects)
    }

    /// The training sets whose spines came from a file of one of these, as far as these are holdings: what that holds, they
    /// may hold. One of these that came from another is among them.
    pub async fn datasets_drawn_from(&self, looked_into: &[Holding]) -> Result<Vec<Suspect>> {
        let mut suspects = Vec::new();
        for dataset in self.registry().datasets().await? {
            let holdings = looked_into.iter().filter(|holding| holding.is_one() && holding.dataset != dataset.id);
            let grounds: Vec<String> = holdings.filter_map(|holding| drawn(&dataset, holding)).collect();
            if !grounds.is_empty() {
                suspects.push(Suspect { dataset, grounds });
            }
        }
        Ok(suspects)
    }

    /// Note of each of these whether rows of others were erased from what it read.
    pub async fn note_others_erased(&self, entity: &ErasedEntity, holdings: &mut [Holding]) -> Result<()> {
        let catalog = self.registry().catalog().await?;
        let mut erasures: BTreeMap<String, Vec<TableErasure>> = BTreeMap::new();
        for dataset in self.registry().datasets().await? {
            let Some(holding) = holdings.iter_mut().find(|holding| holding.dataset == dataset.id) else { continue };
            for table in dataset.tables.keys() {
                let (false, Some(known)) = (erasures.contains_key(table), catalog.tables.get(table)) else { continue };
                let snapshot = self.history(known)?.history().snapshot().await?;
                erasures.insert(table.clone(), snapshot.erasures.clone());
            }
            holding.others_erased = others_erased(entity, &dataset, &erasures);
        }
        Ok(())
    }

    /// What a training set's file holds of the entity. A file that is gone, or another by now, is told as a fault.
    pub async fn holding(
        &self,
        entity: &ErasedEntity,
        suspect: &Suspect,
        file: Result<Input, String>,
        whereabouts: &Whereabouts,
    ) -> Result<Holding> {
        let Suspect { dataset, grounds } = suspect;
        let mut holding = Holding::of_file(&dataset.id, &dataset.location);
        holding.grounds.clone_from(grounds);
        let models = self.all_model_versions().await?;
        let trained = models.iter().filter(|model| model.dataset.as_ref() == Some(&dataset.id));
        holding.models = trained.map(model_name).collect();
        holding.copies = whereabouts.copies(&dataset.id);
        holding.lay_at = whereabouts.recorded(&dataset.id);
        holding.called = whereabouts.names(&dataset.id);
        let counted = match file {
            Ok(file) => self.count(entity, dataset, &file).await.map_err(|error| error.to_string()),
            Err(fault) => Err(fault),
        };
        match counted {
            Ok(counted) => holding.has(&counted, dataset),
            Err(fault) => {
                holding.fault = Some(fault);
                holding.has_spines_of(dataset);
            }
        }
        Ok(holding)
    }

    /// The same of another file of the training set, where its own cannot be read: that stays told as a fault.
    pub async fn holding_by_copy(
        &self,
        entity: &ErasedEntity,
        suspect: &Suspect,
        copy: &Input,
        holding: &mut Holding,
    ) -> Result<()> {
        let counted = self.count(entity, &suspect.dataset, copy).await?;
        holding.has(&counted, &suspect.dataset);
        Ok(())
    }

    async fn count(&self, entity: &ErasedEntity, dataset: &Dataset, file: &Input) -> Result<Counted> {
        match self.loose_file(&dataset.location, file).await? {
            Some(found) if found.dataset == dataset.id => {}
            Some(other) => {
                return Err(Error::NotFound(format!("training set {} lies there now", short(&other.dataset))));
            }
            None => return Err(Error::NotFound("what lies there now is no training set's file".to_owned())),
        }
        let catalog = self.registry().catalog().await?;
        let set = &find_set(&catalog, &Selector::Version(dataset.feature_set.clone()))?.resolved;
        let keyed: Vec<(usize, &ViewUse, &EntityKey)> = set
            .uses
            .iter()
            .enumerate()
            .filter_map(|(index, view_use)| Some((index, view_use, key_of(&catalog, entity, view_use)?)))
            .collect();
        let mut batches = file.stream().await.map_err(hitherto_offline::Error::from)?;
        let mut counted = Counted::default();
        while let Some(batch) = batches.try_next().await.map_err(hitherto_offline::Error::from)? {
            let [mut is_of, mut has_values, mut has_nulls] = [(); 3].map(|()| vec![false; batch.num_rows()]);
            for (index, view_use, key) in &keyed {
                // what other views have given is still there to be given again
                let is_erased = entity.keys.contains_key(&view_use.table);
                let values =
                    if is_erased { value_columns(set, *index, view_use, dataset, &batch)? } else { Vec::new() };
                let columns = key_columns(view_use, &batch)?;
                let types: Vec<KeyType> = view_use.keys.iter().map(|key| key.key_type).collect();
                let keys = KeyReader::try_new(&columns, &types)?;
                for (row, found) in (0..batch.num_rows()).map(|row| (row, keys.key(row))) {
                    if found.as_ref() == Some(*key) {
                        is_of[row] = true;
                        has_values[row] |= values.iter().any(|column| column.is_valid(row));
                    } else {
                        has_nulls[row] |= keys.is_but_for_nulls(row, key);
                    }
                }
            }
            let count = |rows: &[bool]| rows.iter().filter(|is| **is).count() as u64;
            counted.rows += count(&is_of);
            counted.with_values += count(&has_values);
            counted.with_null_parts +=
                is_of.iter().zip(&has_nulls).filter(|(of, nulls)| !**of && **nulls).count() as u64;
        }
        Ok(counted)
    }
}

/// The entity's key for a use: of a table that it was erased from, or of one with the same keys.
fn key_of<'a>(catalog: &Catalog, entity: &'a ErasedEntity, view_use: &ViewUse) -> Option<&'a EntityKey> {
    entity.keys.get(&view_use.table).or_else(|| {
        let keys = &catalog.tables.get(&view_use.table)?.keys;
        let alike = |id: &String| catalog.tables.get(id).is_some_and(|table| table.keys == *keys);
        entity.keys.iter().find(|(id, _)| alike(id)).map(|(_, key)| key)
    })
}

/// Whether an erasure that is not known to be this entity's took rows that a dataset had read.
fn others_erased(entity: &ErasedEntity, dataset: &Dataset, erasures: &BTreeMap<String, Vec<TableErasure>>) -> bool {
    dataset.tables.iter().any(|(table, last)| {
        let known = dataset.erasures.get(table);
        let of_entity = |id: &String| {
            let of_table = entity.tables.iter().filter(|of| of.table == *table);
            entity.id.as_ref() == Some(id) || of_table.flat_map(|of| of.earlier.keys()).any(|earlier| earlier == id)
        };
        erasures.get(table).into_iter().flatten().any(|erasure| {
            let is_new = known.is_none_or(|known| !known.contains(&erasure.id));
            is_new && erasure.concerns(*last) && !of_entity(&erasure.id)
        })
    })
}

/// Why a dataset's spine may hold rows of a table that the entity was erased from, if its query read them.
fn queried(catalog: &Catalog, table: &ErasedTable, dataset: &Dataset) -> Option<String> {
    let (id, build) = (&table.table, &dataset.build);
    let by_query = |how: String| format!("its spine's query read table {id}{how}");
    if let Some(last) = build.spine_tables.get(id) {
        let was_read = table.was_read(*last, build.spine_erasures.get(id));
        return was_read.then(|| by_query(format!(" up to _sequence {last}")));
    }
    // of a manifest from before it was noted, the query's text alone tells
    if !build.spine_tables.is_empty() || !dataset.spine_is_query() || !table.was_read(i64::MAX, None) {
        return None;
    }
    // a view may have had another table then
    let view = catalog.tables.get(id).map(|table| &table.view);
    let is_another = |read: &ViewVersion| read.table != *id && Some(&read.versioned_name().name) != view;
    let is_elsewhere = views_of(catalog, &dataset.spine).is_ok_and(|views| views.iter().all(|read| is_another(read)));
    (!is_elsewhere).then(|| by_query(String::new()))
}

/// Why a dataset may hold what `holding` holds, if its spine came from there.
fn drawn(dataset: &Dataset, holding: &Holding) -> Option<String> {
    let id = short(&holding.dataset);
    let is_named = dataset.build.spine_datasets.contains(&holding.dataset);
    if is_named && dataset.spine_is_query() || is_read_by_text(dataset, holding) {
        return Some(format!("its spine's query read training set {id}"));
    }
    let its_file = format!("its spine is the file of training set {id}");
    let spines = || dataset.spine_location().into_iter().chain(dataset.build.other_spines.iter().map(String::as_str));
    let known = holding.places().find(|place| spines().any(|spine| names(spine, place)));
    let Some(place) = known.or(dataset.spine_location().filter(|_| is_named)) else {
        return is_named.then_some(its_file);
    };
    Some(format!("{its_file}: {place}"))
}

/// Whether a query of a manifest from before it was noted what it reads may have read `holding`: its text alone tells.
fn is_read_by_text(dataset: &Dataset, holding: &Holding) -> bool {
    let is_noted = !dataset.build.spine_datasets.is_empty();
    if is_noted || !dataset.spine_is_query() || !dataset.spine.to_ascii_lowercase().contains(TRAINING_SETS) {
        return false;
    }
    let is_it = |name: &String| *name == holding.dataset || holding.called.contains(name);
    training_sets_of(&dataset.spine).map_or(true, |names| names.iter().any(is_it))
}

/// Whether a list of places, with spaces between, has this one.
fn names(places: &str, place: &str) -> bool {
    places.match_indices(place).any(|(at, _)| {
        let (before, after) = (&places[..at], &places[at + place.len()..]);
        (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with(' '))
    })
}

fn model_name(model: &ModelVersion) -> String {
    VersionedName { name: model.name.clone(), version: model.version }.to_string()
}

/// The spine's columns that are a use's key, in the types and the order of the key.
fn key_columns(view_use: &ViewUse, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let column = |key: &hitherto_core::SpineKey| {
        let found = column(batch, &key.spine_column)?;
        cast(found, &key_arrow_type(key.key_type))
            .map_err(|source| Error::internal("could not read a key of a training set", source))
    };
    view_use.keys.iter().map(column).collect()
}

/// The columns that a use has given: its features, and its evidence.
fn value_columns<'a>(
    set: &ResolvedSet,
    index: usize,
    view_use: &ViewUse,
    dataset: &Dataset,
    batch: &'a RecordBatch,
) -> Result<Vec<&'a ArrayRef>> {
    let evidence = if dataset.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent };
    let times = evidence_columns(evidence).iter().map(|(_, what)| format!("{}__{what}", view_use.alias));
    let features = set.outputs.iter().filter(|output| output.view_use == index).map(|output| output.name.clone());
    features.chain(times).map(|name| column(batch, &name)).collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let found = batch.column_by_name(name);
    found.ok_or_else(|| Error::NotFound(format!("its file has no column '{name}': it is not the file that was built")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(spine: &str, build: &str) -> Dataset {
        let text = format!(
            r#"{{"id":"ab","name":null,"feature_set":{{"name":"late","version":1}},"feature_set_hash":"aa",
            "mode":"knowledge","spine":"{spine}","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
            "tables":{{}},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7,"build":{build}}}"#
        );
        serde_json::from_str(&text).expect("a manifest")
    }

    #[test]
    fn a_spine_from_where_a_file_once_lay_is_from_it() {
        let mut holding = Holding::of_file("cd", "/now.parquet");
        let of = |holding: &Holding, spine: &str, build: &str| drawn(&dataset(spine, build), holding);
        assert_eq!(of(&holding, "/once.parquet", "{}"), None);
        holding.lay_at.insert("/once.parquet".to_owned());
        for place in ["/now.parquet", "/once.parquet"] {
            let expected = format!("its spine is the file of training set cd: {place}");
            assert_eq!(of(&holding, place, "{}"), Some(expected));
        }
        let noted = r#"{"spine_datasets":["cd"]}"#;
        let expected = "its spine is the file of training set cd: /linked.parquet";
        assert_eq!(of(&holding, "/linked.parquet", noted).as_deref(), Some(expected));
        assert_eq!(of(&holding, "-", noted).as_deref(), Some("its spine is the file of training set cd"));
        let expected = "its spine's query read training set cd";
        assert_eq!(of(&holding, "select 1", noted).as_deref(), Some(expected));
        assert_eq!(of(&holding, "/linked.parquet", r#"{"spine_datasets":["ef"]}"#), None);
        holding.called.insert("mine".to_owned());
        for (query, is_it) in [("training_sets.mine", true), ("TRAINING_SETS.cd", true), ("training_sets.yours", false)]
        {
            let query = format!("select 1 from {query}");
            assert_eq!(of(&holding, &query, "{}").is_some(), is_it, "{query}");
            assert_eq!(of(&holding, &query, r#"{"spine_datasets":["ef"]}"#), None, "it is noted what it read");
        }
        assert!(of(&holding, "select (( from training_sets.x", "{}").is_some(), "who knows");
        assert_eq!(of(&holding, "select ((", "{}"), None);
        let again = of(&holding, "/s.csv", r#"{"other_spines":["/a.csv /now.parquet"]}"#);
        assert_eq!(again.as_deref(), Some("its spine is the file of training set cd: /now.parquet"));
    }

    #[test]
    fn a_place_is_found_whole_in_a_list_of_places() {
        assert!(names("/a/t.parquet", "/a/t.parquet") && names("/x.csv /a b/t.parquet /y.csv", "/a b/t.parquet"));
        assert!(!names("/b/a/t.parquet", "/a/t.parquet") && !names("/a/t.parquet2", "/a/t.parquet"));
        assert!(names("/a/t.parquet2 /a/t.parquet", "/a/t.parquet"), "the second is it");
    }

    #[test]
    fn rows_were_read_if_they_were_there_and_not_yet_erased() {
        let table = ErasedTable::sample(Some(7), [("early", 3)]);
        let knows = vec!["early".to_owned()];
        let reads = [(2, None), (3, None), (6, Some(&knows)), (7, Some(&knows)), (7, None)];
        let read: Vec<bool> = reads.iter().map(|(last, known)| table.was_read(*last, *known)).collect();
        assert_eq!(read, [false, true, false, true, true]);
        assert!(!ErasedTable::sample(None, []).was_read(i64::MAX, None), "there was never a row of it");
    }

    #[test]
    fn of_an_old_manifest_the_querys_text_tells() {
        let table = ErasedTable::sample(Some(7), []);
        let of = |spine: &str, build: &str| queried(&Catalog::default(), &table, &dataset(spine, build));
        assert_eq!(of("select 1 from a", r#"{"spine_tables":{"t-1":6}}"#), None, "it was read too early");
        let late = of("select 1 from a", r#"{"spine_tables":{"t-1":7}}"#);
        assert_eq!(late.as_deref(), Some("its spine's query read table t-1 up to _sequence 7"));
        assert_eq!(of("select 1 from a", r#"{"spine_tables":{"u-1":7}}"#), None, "another's");
        assert_eq!(of("select 1", "{}"), None, "it read no view");
        let unreadable = of("select ((", "{}");
        assert_eq!(unreadable.as_deref(), Some("its spine's query read table t-1"), "who knows");
        assert_eq!(of("/spine.csv", "{}"), None);
    }
}
