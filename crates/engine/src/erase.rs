//! `erase`: one entity leaves history and the online store, and nothing that began before brings it back.

use std::collections::{BTreeMap, BTreeSet};

use hitherto_core::{Catalog, EntityKey, Erasure, KeyValue, Name, Selector, Span, Table, Timestamp};
use hitherto_offline::{CompactOptions, Erased, Erasing, Purged};
use hitherto_online::{Group, Reading};
use serde::Serialize;

use crate::compact::tables_of;
use crate::engine::find_view;
use crate::{Clock, Engine, Error, Result};

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRequest {
    /// The feature view whose rows go.
    pub view: Name,
    /// The entity key: a text for each of its names.
    pub key: BTreeMap<String, String>,
    /// How long files that still hold the rows stay, for those who read them.
    pub delay: Span,
    /// Whether to do it.
    pub act: Act,
}

/// Whether something is done, or only looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is done.
    Erase,
    /// Nothing is changed.
    LookOnly,
}

/// An entity of a feature view that was erased, or looked for.
#[derive(Clone, Debug)]
pub struct ErasedEntity {
    /// The erasure's id; none where it was only looked for.
    pub id: Option<String>,
    /// The view.
    pub view: Name,
    /// When the files that still hold its rows go, or would.
    pub files_go_at: Timestamp,
    /// Per table of the view that has such a key.
    pub tables: Vec<ErasedTable>,
    /// Tables of the view with other keys, which the view had before or has by now, each with the names of its key: they
    /// are left as they are.
    pub other_keys: BTreeMap<String, Vec<Name>>,
    /// Per reading of those tables in the online store; none where there is no such store.
    pub online: Vec<ErasedReading>,
    /// Views with the same keys that have rows of it too: they are left as they are.
    pub others: Vec<OtherView>,
    /// Per table: its key there.
    pub(crate) keys: BTreeMap<String, EntityKey>,
}

/// What a table had of the entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErasedTable {
    /// Its id.
    pub table: String,
    /// Rows that went, or would.
    pub rows: u64,
    /// Files that held them.
    pub files: usize,
    /// Earlier erasures of the same key whose files are still there, and their rows.
    pub earlier: BTreeMap<String, u64>,
    /// The least `_sequence` of all these rows.
    pub first_sequence: Option<i64>,
    /// Rows whose key is this one but for parts that are null. They are of no entity, and stay.
    pub null_part_rows: u64,
    /// The least `_sequence` of the rows that would go; none where they went.
    #[serde(skip)]
    pub(crate) first_now: Option<i64>,
    /// By id, the least `_sequence` that each erasure took which was of this key, or may have been; this one too.
    #[serde(skip)]
    pub(crate) taken: BTreeMap<String, i64>,
}

impl ErasedTable {
    fn new(table: &str, id: Option<&String>, found: Erased, null_part_rows: u64) -> Self {
        let Erased { rows, files, earlier, first_sequence: first_now, before: mut taken } = found;
        let of_earlier = taken.iter().filter(|(id, _)| earlier.contains_key(*id)).map(|(_, first)| *first);
        let first_sequence = of_earlier.chain(first_now).min();
        if let (Some(id), Some(first)) = (id, first_now) {
            taken.insert(id.clone(), first);
        }
        let first_now = first_now.filter(|_| id.is_none());
        Self { table: table.to_owned(), rows, files, earlier, first_sequence, null_part_rows, first_now, taken }
    }

    #[cfg(test)]
    pub(crate) fn sample<const N: usize>(first_now: Option<i64>, taken: [(&str, i64); N]) -> Self {
        let taken = taken.map(|(id, first)| (id.to_owned(), first)).into();
        Self { first_now, taken, ..Self::new("t-1", None, Erased::default(), 0) }
    }

    /// Whether who has read the table up to `last`, and knew of the erasures `known`, has read rows that went, or would go.
    pub(crate) fn was_read(&self, last: i64, known: Option<&Vec<String>>) -> bool {
        let unknown = self.taken.iter().filter(|(id, _)| known.is_none_or(|known| !known.contains(*id)));
        unknown.map(|(_, first)| *first).chain(self.first_now).any(|first| first <= last)
    }
}

/// What the online store had of the entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErasedReading {
    /// The reading.
    pub reading: String,
    /// Whether there was a row.
    pub held: bool,
}

/// A view that has rows of the entity and was not named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherView {
    /// The view.
    pub view: Name,
    /// Rows of the entity.
    pub rows: u64,
}

impl ErasedEntity {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

impl Engine {
    /// Erase an entity of a feature view: from all tables of the view with such a key, then from the online store; or only
    /// look what there is. `seen` is told, per table, how many rows are rewritten and how many there are to rewrite.
    ///
    /// Ingests, compactions, materializations and pushes that began before cannot bring it back; whoever begins afterwards
    /// may. Doing it again does what was left undone. Replaced files stay for the delay, and go with [`Engine::purge`].
    pub async fn erase(
        &self,
        wanted: &ErasureRequest,
        options: &CompactOptions,
        seen: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ErasedEntity> {
        let catalog = self.registry().catalog().await?;
        find_view(&catalog, &Selector::Latest(wanted.view.clone()))?;
        let id = (wanted.act == Act::Erase).then(hitherto_offline::erasure_id);
        let mut entity = ErasedEntity {
            id: id.clone(),
            view: wanted.view.clone(),
            files_go_at: Clock::System.now().saturating_add(wanted.delay),
            tables: Vec::new(),
            other_keys: BTreeMap::new(),
            online: Vec::new(),
            others: Vec::new(),
            keys: BTreeMap::new(),
        };
        // every key is read before anything is done
        let mut refused = None;
        for table in tables_of(&catalog, std::slice::from_ref(&wanted.view))? {
            match key_of(table, &wanted.key) {
                Ok(key) => drop(entity.keys.insert(table.id.clone(), key)),
                Err(error) => {
                    let names = table.keys.iter().map(|(name, _)| name.clone()).collect();
                    entity.other_keys.insert(table.id.clone(), names);
                    refused = Some(error);
                }
            }
        }
        if let (true, Some(error)) = (entity.keys.is_empty(), refused) {
            return Err(error);
        }
        for (table, key) in &entity.keys {
            let Some(table) = catalog.tables.get(table) else { continue };
            let history = self.history(table)?;
            let found = match &id {
                None => history.history().find(key).await?,
                Some(id) => {
                    // never the pretended clock: it is compared with times of the store
                    let now = || Clock::System.now();
                    let erasing = Erasing { id, key, at: self.clock().now(), now: &now, delay: wanted.delay };
                    history.history().erase(&erasing, options, seen).await?
                }
            };
            let null_part_rows = history.history().null_parts(key).await?;
            entity.tables.push(ErasedTable::new(&table.id, id.as_ref(), found, null_part_rows));
        }
        if let Some(id) = &id {
            // told before the online store is asked, which may be down
            self.registry().record_erasure(&record(id.clone(), &entity), self.clock().now()).await?;
            self.anchor().await;
        }
        entity.online = match self.online_rows(&entity).await {
            Ok(online) => online,
            Err(source) if id.is_some() => {
                return Err(Error::NotErasedOnline { view: wanted.view.to_string(), source: Box::new(source) });
            }
            Err(error) => return Err(error),
        };
        entity.others = self.elsewhere(&catalog, &entity).await?;
        Ok(entity)
    }

    /// Delete what still holds the rows of erasures whose delay is over, in the tables of these views, or of all views where
    /// none is named. A table that cannot be purged keeps no other from it; the first failure is returned at the end.
    pub async fn purge(&self, views: &[Name]) -> Result<Vec<Purged>> {
        let catalog = self.registry().catalog().await?;
        let now = Clock::System.now();
        let (mut purged, mut failed) = (Vec::new(), None);
        for table in tables_of(&catalog, views)? {
            match self.history(table)?.history().purge(now).await {
                Ok(done) => purged.push(done),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(purged), |error| Err(error.into()))
    }

    /// The entity's rows in the online store: removed, or only looked for.
    async fn online_rows(&self, entity: &ErasedEntity) -> Result<Vec<ErasedReading>> {
        let Ok(online) = self.online() else { return Ok(Vec::new()) };
        // read again: a reading that was applied while history was rewritten may have been filled from what it was before
        let catalog = self.registry().catalog().await?;
        let mut done = Vec::new();
        for (table, key) in &entity.keys {
            let versions = catalog.views.values().flatten().filter(|version| version.table == *table);
            // whatever was ever served, also what no set and no model asks for today
            let readings: BTreeSet<Reading> =
                versions.map(|version| Reading::new(table, version.definition.source_delay)).collect();
            for reading in readings {
                let bytes = key.to_bytes();
                let held = if entity.id.is_some() {
                    online.erase(&reading, &bytes).await?
                } else {
                    let answers = online.read(&[Group { reading: &reading, keys: &[bytes] }]).await?;
                    answers.iter().flat_map(|answer| &answer.rows).any(Option::is_some)
                };
                done.push(ErasedReading { reading: reading.to_string(), held });
            }
        }
        Ok(done)
    }

    /// Other views whose tables have the same keys and rows of the entity.
    async fn elsewhere(&self, catalog: &Catalog, entity: &ErasedEntity) -> Result<Vec<OtherView>> {
        let mut rows: BTreeMap<Name, u64> = BTreeMap::new();
        for table in catalog.tables.values().filter(|table| table.view != entity.view) {
            let alike = entity
                .keys
                .iter()
                .find(|(id, _)| catalog.tables.get(*id).is_some_and(|erased| erased.keys == table.keys));
            if let Some((_, key)) = alike {
                let history = self.history(table)?;
                *rows.entry(table.view.clone()).or_default() += history.history().find(key).await?.rows;
            }
        }
        let with_rows = rows.into_iter().filter(|(_, rows)| *rows > 0);
        Ok(with_rows.map(|(view, rows)| OtherView { view, rows }).collect())
    }
}

fn record(id: String, entity: &ErasedEntity) -> Erasure {
    Erasure {
        id,
        view: entity.view.clone(),
        tables: entity.tables.iter().map(|table| (table.table.clone(), table.rows)).collect(),
        earlier: entity.tables.iter().flat_map(|table| table.earlier.keys().cloned()).collect(),
        files_go_at: entity.files_go_at,
    }
}

/// The key as the table has it; what is missing, too much or of another type is named.
fn key_of(table: &Table, typed: &BTreeMap<String, String>) -> Result<EntityKey> {
    let names: Vec<&str> = table.keys.iter().map(|(name, _)| name.as_str()).collect();
    let refuse = |what: String| {
        let wanted = names.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(",");
        Error::Invalid(format!("{what}: rows of {} have the entity key {wanted}", table.view))
    };
    if let Some(unknown) = typed.keys().find(|name| !names.contains(&name.as_str())) {
        return Err(refuse(format!("'{unknown}' is no part of the key")));
    }
    let part = |(name, key_type): &(Name, hitherto_core::KeyType)| {
        let text = typed.get(name.as_str()).ok_or_else(|| refuse(format!("'{name}' is missing")))?;
        KeyValue::parse(text, *key_type).map_err(|error| Error::Invalid(format!("{name}={text}: {error}")))
    };
    table.keys.iter().map(part).collect::<Result<Vec<_>>>().map(EntityKey)
}
