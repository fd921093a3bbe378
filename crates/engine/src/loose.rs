//! Where files of training sets lie that no manifest names, and which training sets have no manifest any more.

use std::collections::{BTreeMap, BTreeSet};

use hitherto_core::AuditEntry;
use hitherto_offline::input::Input;

use crate::{Engine, Holding, Result};

/// The entries of the audit log that say where a file was written: the one that an entry names, or another of its dataset.
const RECORDING: [&str; 2] = ["record_dataset", "copy_dataset"];

/// A file of a training set that no manifest says to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LooseFile {
    /// Where it lies.
    pub place: String,
    /// The id of the training set, as the file says.
    pub dataset: String,
}

/// Where files of training sets lie, or lay, whatever their manifests say.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// Per id: the places at which a file of it was ever recorded, as the audit log tells.
    recorded: BTreeMap<String, BTreeSet<String>>,
    /// Per id: the names that it ever had.
    names: BTreeMap<String, BTreeSet<String>>,
    /// The files that were found where no manifest names one.
    loose: Vec<LooseFile>,
}

impl Whereabouts {
    /// What the audit log tells.
    fn of(entries: &[AuditEntry]) -> Self {
        let mut found = Self::default();
        for entry in entries.iter().filter(|entry| RECORDING.contains(&entry.verb.as_str())) {
            let Some(id) = entry.subject.strip_prefix("dataset ") else { continue };
            let told = |field: &'static str| {
                entry.before.iter().chain(&entry.after).filter_map(move |summary| told_of(summary, field))
            };
            found.recorded.entry(id.to_owned()).or_default().extend(told("location"));
            found.names.entry(id.to_owned()).or_default().extend(told("name"));
        }
        found
    }

    /// A loose file was found.
    pub fn add(&mut self, file: LooseFile) {
        self.loose.push(file);
    }

    /// Where loose files of a training set lie.
    pub(crate) fn copies(&self, dataset: &str) -> Vec<String> {
        let copies = self.loose.iter().filter(|file| file.dataset == dataset);
        copies.map(|file| file.place.clone()).collect()
    }

    /// The names that a training set ever had.
    pub(crate) fn names(&self, dataset: &str) -> BTreeSet<String> {
        self.names.get(dataset).cloned().unwrap_or_default()
    }

    /// Where files of a training set were ever recorded.
    pub(crate) fn recorded(&self, dataset: &str) -> BTreeSet<String> {
        self.recorded.get(dataset).cloned().unwrap_or_default()
    }
}

/// What the audit log summed up of a dataset, in one field.
fn told_of(summary: &str, field: &str) -> Option<String> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    Some(summary.get(field)?.as_str()?.to_owned())
}

impl Engine {
    /// Where files of training sets were ever recorded; loose files are still to be found.
    pub async fn whereabouts(&self) -> Result<Whereabouts> {
        Ok(Whereabouts::of(&self.audit_entries().await?))
    }

    /// Where files of training sets may lie that no manifest names: where a dataset lay before it was written elsewhere, or
    /// was forgotten, and what the store has of clients besides.
    pub async fn loose_places(&self, whereabouts: &Whereabouts) -> Result<BTreeSet<String>> {
        let mut places: BTreeSet<String> = whereabouts.recorded.values().flatten().cloned().collect();
        for file in self.unnamed_client_files().await? {
            places.insert(self.client_file(&file.name)?.place().to_owned());
        }
        // read last: what is recorded by now is named
        for dataset in self.registry().datasets().await? {
            places.remove(&dataset.location);
        }
        Ok(places)
    }

    /// The file that lies at a loose place, if it is a training set's.
    pub async fn loose_file(&self, place: &str, file: &Input) -> Result<Option<LooseFile>> {
        let id = file.stamp("hitherto.dataset").await.map_err(hitherto_offline::Error::from)?;
        Ok(id.map(|dataset| LooseFile { place: place.to_owned(), dataset }))
    }

    /// The training sets that no manifest is left of, whether a file of theirs is found or not: nothing tells what they hold.
    pub async fn datasets_forgotten(&self, whereabouts: &Whereabouts) -> Result<Vec<Holding>> {
        let known: BTreeSet<String> = self.registry().datasets().await?.into_iter().map(|dataset| dataset.id).collect();
        Ok(forgotten(whereabouts, &known))
    }
}

/// The training sets of loose files and of the audit log that are not among the `known`.
fn forgotten(whereabouts: &Whereabouts, known: &BTreeSet<String>) -> Vec<Holding> {
    let of_files = whereabouts.loose.iter().map(|file| &file.dataset);
    let ids: BTreeSet<&String> =
        of_files.chain(whereabouts.recorded.keys()).filter(|id| !known.contains(*id)).collect();
    let mut forgotten = Vec::new();
    for id in ids {
        let (mut copies, lay_at) = (whereabouts.copies(id), whereabouts.recorded(id));
        let is_gone = copies.is_empty();
        if is_gone {
            copies.extend(lay_at.first().cloned());
        }
        if copies.is_empty() {
            continue;
        }
        let location = copies.remove(0);
        let called = whereabouts.names(id);
        let mut holding = Holding { copies, is_gone, lay_at, called, ..Holding::of_file(id, &location) };
        holding.grounds.push("it has no manifest, and nothing tells what it was built from".to_owned());
        forgotten.push(holding);
    }
    forgotten
}

#[cfg(test)]
mod tests {
    use hitherto_core::Timestamp;

    use super::*;

    fn entry(verb: &str, id: &str, before: Option<&str>, after: Option<&str>) -> AuditEntry {
        let summary = |place: &str| format!(r#"{{"id":"{id}","location":"{place}","name":"of_{id}"}}"#);
        AuditEntry {
            number: 1,
            at: Timestamp(0),
            who: "ada".to_owned(),
            verb: verb.to_owned(),
            subject: format!("dataset {id}"),
            before: before.map(summary),
            after: after.map(summary),
            previous: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn who_has_no_manifest_is_known_with_a_file_and_without() {
        let log = [
            entry("record_dataset", "a", None, Some("/a")),
            entry("record_dataset", "a", Some("/a"), Some("/b")),
            entry("copy_dataset", "a", None, Some("/e")),
            entry("record_dataset", "c", None, Some("/c")),
            entry("record_dataset", "d", None, Some("/d")),
            entry("record_verdict", "e", None, Some("/e")),
            entry("forget_dataset", "a", Some("/b"), None),
        ];
        let mut whereabouts = Whereabouts::of(&log);
        assert_eq!(whereabouts.recorded("a"), ["/a", "/b", "/e"].map(str::to_owned).into());
        assert_eq!(whereabouts.names("a"), ["of_a".to_owned()].into());
        for (place, dataset) in [("/b", "a"), ("/x", "f"), ("/y", "f"), ("/z", "d")] {
            whereabouts.add(LooseFile { place: place.to_owned(), dataset: dataset.to_owned() });
        }
        let found = forgotten(&whereabouts, &["d".to_owned()].into());
        let told: Vec<(&str, &str, Vec<&str>, bool)> = found
            .iter()
            .map(|of| {
                let copies = of.copies.iter().map(String::as_str).collect();
                (of.dataset.as_str(), of.location.as_str(), copies, of.is_gone)
            })
            .collect();
        let expected = [("a", "/b", vec![], false), ("c", "/c", vec![], true), ("f", "/x", vec!["/y"], false)];
        assert_eq!(told, expected);
        assert!(found.iter().all(Holding::is_one), "each may hold it");
    }
}
