//! Which nodes a name means.

use std::collections::BTreeMap;
use std::fmt;

use hitherto_core::{Name, Selector, VersionedName, did_you_mean};

use super::graph::{NodeId, NodeKind};
use super::recorded::{Recorded, alias_name, feature_name, model_name};
use super::{Known, Logged};
use crate::{Engine, Error, Result};

/// How much of a dataset's id or a batch's must be told for it to be taken for one.
const PREFIX_MIN: usize = 6;

/// What a name may mean, by what it would be.
type Meanings = BTreeMap<NodeKind, Vec<NodeId>>;

impl Engine {
    /// The nodes that `what` means; an error where there are none, or where it could be of several kinds.
    pub(super) async fn find_nodes(
        &self,
        what: &str,
        kind: Option<NodeKind>,
        known: &mut Known,
    ) -> Result<Vec<NodeId>> {
        let mut meanings = known.recorded.meanings(what);
        if let Some(dataset) = self.meant_dataset(what, kind, &known.recorded).await? {
            meanings.insert(NodeKind::Dataset, vec![dataset]);
        }
        meanings.retain(|found, _| kind.is_none_or(|kind| kind == *found));
        let near = if meanings.is_empty() { known.recorded.near(what, kind) } else { None };
        let mut unknown = Unknown { near, ..Unknown::default() };
        // every log is read for it, so what looks misspelt is told at once
        unknown.is_searched = match kind {
            None => unknown.near.is_none() || what.contains('/'),
            Some(kind) => matches!(kind, NodeKind::Batch | NodeKind::DataFile),
        };
        if meanings.is_empty() && unknown.is_searched {
            self.search_logs(what, known, &mut meanings, &mut unknown).await;
            meanings.retain(|found, _| kind.is_none_or(|kind| kind == *found));
        }
        let kinds: Vec<NodeKind> = meanings.keys().copied().collect();
        match (kinds.as_slice(), meanings.into_values().next()) {
            ([_], Some(nodes)) => one_batch(what, nodes),
            ([], _) => Err(unknown.error(what, kind)),
            (kinds, _) => Err(ambiguous(what, kinds)),
        }
    }

    /// What `what` may mean in any log. One that cannot be read does not hide what the others have.
    async fn search_logs(&self, what: &str, known: &mut Known, meanings: &mut Meanings, unknown: &mut Unknown) {
        let tables: Vec<String> = known.recorded.catalog.tables.keys().cloned().collect();
        for table in tables {
            match self.log_of(&table, known).await {
                Ok(Some(logged)) => {
                    for node in logged.meanings(what) {
                        meanings.entry(node.kind).or_default().push(node);
                    }
                    unknown.notes.extend(logged.beginning().map(|beginning| format!("of table {table}, {beginning}")));
                }
                Ok(None) => {}
                Err(error) => unknown.notes.push(error.to_string()),
            }
        }
    }

    async fn meant_dataset(&self, what: &str, kind: Option<NodeKind>, recorded: &Recorded) -> Result<Option<NodeId>> {
        let is_sure = kind == Some(NodeKind::Dataset);
        let begins = |id: &str| (is_sure || what.len() >= PREFIX_MIN) && !what.is_empty() && id.starts_with(what);
        let is_meant = recorded
            .datasets
            .iter()
            .any(|dataset| dataset.name.as_ref().is_some_and(|name| name.as_str() == what) || begins(&dataset.id));
        if !is_meant {
            return Ok(None);
        }
        // the registry knows which of several counts
        Ok(Some(NodeId::new(NodeKind::Dataset, self.registry().dataset(what).await?.id)))
    }
}

/// A name of a batch that several tables have is no one's.
fn one_batch(what: &str, nodes: Vec<NodeId>) -> Result<Vec<NodeId>> {
    let in_logs = |node: &NodeId| matches!(node.kind, NodeKind::Batch | NodeKind::DataFile);
    if nodes.len() < 2 || !nodes.iter().any(in_logs) {
        return Ok(nodes);
    }
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let title = nodes.first().map_or("batch", |node| node.kind.title());
    Err(Error::Invalid(format!("'{what}' is more than one {title}: say {}", names.join(" or "))))
}

impl Recorded {
    /// What `what` may mean among what the registry records, datasets aside.
    fn meanings(&self, what: &str) -> Meanings {
        let mut found = Meanings::new();
        let mut mean = |kind, name: &dyn fmt::Display| {
            found.entry(kind).or_default().push(NodeId::new(kind, name));
        };
        if self.catalog.tables.contains_key(what) {
            mean(NodeKind::Table, &what);
        }
        if self.datasets.iter().any(|dataset| dataset.spine == what) {
            mean(NodeKind::Spine, &what);
        }
        if let Some((view, feature)) = what.split_once(':') {
            for name in self.features(view, feature) {
                mean(NodeKind::Feature, &name);
            }
            return found;
        }
        let Ok(selector) = what.parse::<Selector>() else { return found };
        for (kind, name) in self.definitions() {
            if is_selected(&selector, &name) {
                mean(kind, &name);
            }
        }
        if let Selector::Latest(name) = &selector
            && self.catalog.entities.contains_key(name)
        {
            mean(NodeKind::Entity, name);
        }
        let aliases = self.aliases.iter().filter(|alias| alias_name(alias) == what);
        aliases.for_each(|alias| mean(NodeKind::Alias, &alias_name(alias)));
        found
    }

    fn features(&self, view: &str, feature: &str) -> Vec<String> {
        let Ok(selector) = view.parse::<Selector>() else { return Vec::new() };
        let views = self.catalog.views.values().flatten();
        let views = views.filter(|version| is_selected(&selector, &version.versioned_name()));
        let features = views.flat_map(|version| {
            let features = version.definition.features.iter().filter(|found| found.name.as_str() == feature);
            features.map(|found| feature_name(&version.versioned_name(), &found.name))
        });
        features.collect()
    }

    /// Everything that has versions.
    fn definitions(&self) -> Vec<(NodeKind, VersionedName)> {
        let views = self.catalog.views.values().flatten();
        let views = views.map(|view| (NodeKind::FeatureView, view.versioned_name()));
        let sets = self.catalog.sets.values().flatten();
        let sets = sets.map(|set| (NodeKind::FeatureSet, set.versioned_name()));
        let models = self.models.iter().map(|model| (NodeKind::Model, model_name(model)));
        // of a gate only the latest version guards
        let gates = self.catalog.gates.values().filter_map(|versions| versions.last());
        let gates = gates.map(|gate| (NodeKind::Gate, gate.versioned_name()));
        views.chain(sets).chain(models).chain(gates).collect()
    }

    /// The name that `what` may be a misspelling of.
    fn near(&self, what: &str, kind: Option<NodeKind>) -> Option<String> {
        let names = self.names(kind);
        did_you_mean(what, names.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Every name that can be asked for, of one kind or of all.
    fn names(&self, kind: Option<NodeKind>) -> Vec<String> {
        let mut names: Vec<(NodeKind, String)> = Vec::new();
        for (kind, name) in self.definitions() {
            names.push((kind, name.name.to_string()));
        }
        for view in self.catalog.views.values().flatten() {
            let features = view.definition.features.iter();
            names.extend(
                features.map(|feature| (NodeKind::Feature, format!("{}:{}", view.definition.name, feature.name))),
            );
        }
        names.extend(self.catalog.entities.keys().map(|name| (NodeKind::Entity, name.to_string())));
        names.extend(self.catalog.tables.keys().map(|id| (NodeKind::Table, id.clone())));
        let datasets = self.datasets.iter().filter_map(|dataset| dataset.name.as_ref().map(Name::to_string));
        names.extend(datasets.map(|name| (NodeKind::Dataset, name)));
        names.extend(self.aliases.iter().map(|alias| (NodeKind::Alias, alias_name(alias))));
        names.retain(|(found, _)| kind.is_none_or(|kind| kind == *found));
        names.sort();
        names.dedup();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

impl Logged {
    /// The batches and files that `what` may mean: by name, a batch also by its id or the beginning of it, a file by the end of
    /// its path.
    fn meanings(&self, what: &str) -> Vec<NodeId> {
        let is_whole = |id: &&String| id.as_str() == what;
        let begins = |id: &&String| what.len() >= PREFIX_MIN && id.starts_with(what);
        let batches = &self.chronicle.batches;
        let ids = |wanted: &dyn Fn(&&String) -> bool| {
            let batches = batches.iter().filter(|batch| batch.id.as_ref().is_some_and(|id| wanted(&id)));
            batches.map(|batch| self.batch(batch)).collect::<Vec<_>>()
        };
        let named = batches.iter().map(|batch| self.batch(batch)).filter(|node| node.name == what);
        let mut found: Vec<NodeId> = named.collect();
        found.extend(ids(&is_whole));
        if found.is_empty() {
            found = ids(&begins);
        }
        let files = self.chronicle.files.iter().map(|file| self.file(file));
        found.extend(files.filter(|node| {
            let before = node.name.strip_suffix(what);
            !what.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
        }));
        found
    }
}

/// A name alone selects every version.
fn is_selected(selector: &Selector, name: &VersionedName) -> bool {
    match selector {
        Selector::Latest(wanted) => name.name == *wanted,
        Selector::Version(wanted) => name == wanted,
        Selector::Alias(..) => false,
    }
}

fn ambiguous(what: &str, kinds: &[NodeKind]) -> Error {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let flags: Vec<String> = kinds.iter().map(|kind| format!("--kind {}", kind.flag())).collect();
    Error::Invalid(format!(
        "'{what}' is the name of more than one thing ({}): say which with {}",
        titles.join(", "),
        flags.join(" or ")
    ))
}

/// What is to be said of a name that nothing has.
#[derive(Debug, Default)]
struct Unknown {
    /// A name that may be meant.
    near: Option<String>,
    is_searched: bool,
    /// Where it may be all the same.
    notes: Vec<String>,
}

impl Unknown {
    fn error(self, what: &str, kind: Option<NodeKind>) -> Error {
        let mut text = match kind {
            Some(kind) => format!("no {} '{what}'", kind.title()),
            None => format!("nothing is called '{what}'"),
        };
        if let Some(near) = self.near {
            text = format!("{text} (did you mean '{near}'?)");
        }
        let mut notes = self.notes;
        if kind.is_none() && !self.is_searched {
            notes.push("if it is a batch or a data file, say so with --kind batch or --kind data-file".to_owned());
        }
        for note in notes {
            text.push_str("; ");
            text.push_str(&note);
        }
        Error::NotFound(text)
    }
}
