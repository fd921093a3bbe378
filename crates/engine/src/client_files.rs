//! The files of training sets that clients had built: the store's own, beside the tables, a folder a project.

use std::collections::BTreeSet;

use hitherto_core::{Span, Timestamp};
use hitherto_offline::{FileBeside, OutputLocation, Sweep, Vacuumed};

use crate::{Clock, Engine, Error, Result};

const FOLDER: &str = "_training_sets";
/// A file that no dataset names may be on its way into the registry for so long.
const RECORDED_WITHIN_MICROS: i64 = 86_400_000_000;

impl Engine {
    /// The place of a client's training set in a file of this name.
    pub fn client_file(&self, file: &str) -> Result<OutputLocation> {
        Ok(self.offline().beside(&[FOLDER, self.project().as_str(), file])?)
    }

    /// The files of clients that no dataset names: of two equal training sets that were built at once by two servers, one was
    /// recorded last; a server may have died before it recorded one; and a dataset may have been forgotten.
    pub(crate) async fn unnamed_client_files(&self) -> Result<Vec<FileBeside>> {
        let mut files = self.offline().files_beside(&[FOLDER, self.project().as_str()]).await?;
        // read afterwards: what is recorded by now is named
        let named = self.registry().datasets().await?;
        // each has a name of its own, and a store may be known by several
        let named: BTreeSet<&str> = named.iter().filter_map(|dataset| dataset.location.rsplit('/').next()).collect();
        files.retain(|file| !named.contains(file.name.as_str()));
        Ok(files)
    }

    /// Delete the files of clients that no dataset names and that were written longer ago than `retention`, and than a day; or
    /// only say what they are. Staging files of servers that were killed go as well.
    ///
    /// What no dataset names only the registry can tell: refused where it is not the one that the store knows, or where the
    /// store knows none.
    pub async fn vacuum_client_files(&self, retention: Span, sweep: Sweep) -> Result<Vacuumed> {
        let waited = retention.micros().max(RECORDED_WITHIN_MICROS);
        // never the pretended clock: files are as old as the store says
        let until = Timestamp(Clock::System.now().0.saturating_sub(waited));
        let files = self.unnamed_client_files().await?;
        let (old, young): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.modified <= until);
        let bytes = |files: &[FileBeside]| files.iter().map(|file| file.size_bytes).sum::<u64>();
        let staged = self.offline().sweep_staged_beside(&[FOLDER, self.project().as_str()], until, sweep).await?;
        let vacuumed = Vacuumed {
            deleted_files: staged.deleted_files + old.len() as u64,
            deleted_bytes: staged.deleted_bytes + bytes(&old),
            kept_files: staged.kept_files + young.len() as u64,
            kept_bytes: staged.kept_bytes + bytes(&young),
        };
        if sweep == Sweep::DryRun || old.is_empty() {
            return Ok(vacuumed);
        }
        let audit = self.verify_audit().await?;
        // a registry without any change has no fault, and knows of nothing
        let unknown = (audit.anchors == 0).then(|| "the store has no anchor of its audit log".to_owned());
        if let Some(fault) = audit.faults.into_iter().next().or(unknown) {
            return Err(Error::Invalid(format!(
                "could not vacuum the training sets of clients: the registry may not be the one that names them ({fault}); nothing \
                 of them was deleted, and `hitherto audit verify` says more"
            )));
        }
        for file in old {
            self.client_file(&file.name)?.remove().await?;
        }
        Ok(vacuumed)
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::Name;
    use hitherto_offline::OfflineStore;

    use super::*;

    #[tokio::test]
    async fn a_registry_that_the_store_does_not_know_deletes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project: Name = "default".parse().expect("a name");
        let offline = OfflineStore::open(&format!("file://{}", folder.path().join("offline").display()), [("", ""); 0]);
        let offline = offline.expect("a store");
        let engine = async |file: &str| {
            let url = format!("sqlite://{}", folder.path().join(file).display());
            let registry = hitherto_registry::open(&url, &project).await.expect("a registry");
            Engine::new(project.clone(), registry, offline.clone(), None, Clock::System)
        };
        let own = engine("own.db").await;
        let entity = "kind: entity\nname: e\njoin_keys: {k: int64}\n".to_owned();
        own.apply(&[("d.yaml".to_owned(), entity)], hitherto_core::NewTables::Refuse).await.expect("applied");
        let place = folder.path().join("offline/_training_sets/default/a.parquet");
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        std::fs::write(&place, "rows").expect("written");
        let file = std::fs::File::options().write(true).open(&place).expect("a file");
        let vacuumed = async |engine: &Engine| engine.vacuum_client_files(Span::ZERO, Sweep::Delete).await;
        let young = vacuumed(&own).await.expect("a vacuum");
        assert_eq!((young.deleted_files, young.kept_files, young.kept_bytes), (0, 1, 4), "it may be on its way");
        file.set_modified(std::time::UNIX_EPOCH).expect("an old file");
        let refused = vacuumed(&engine("other.db").await).await.expect_err("another registry");
        assert!(refused.to_string().contains("may not be the one that names them"), "{refused}");
        assert!(place.exists());
        let (anchors, aside) = (folder.path().join("offline/_audit"), folder.path().join("aside"));
        std::fs::rename(&anchors, &aside).expect("anchors");
        for registry in ["own.db", "fresh.db"] {
            let refused = vacuumed(&engine(registry).await).await.expect_err("nothing tells whose they are");
            assert!(refused.to_string().contains("the store has no anchor of its audit log"), "{refused}");
        }
        assert!(place.exists());
        std::fs::rename(&aside, &anchors).expect("anchors");
        let looked = own.vacuum_client_files(Span::ZERO, Sweep::DryRun).await.expect("a look");
        assert_eq!((looked.deleted_files, looked.deleted_bytes, place.exists()), (1, 4, true));
        assert_eq!(vacuumed(&own).await.expect("a vacuum"), looked);
        assert!(!place.exists());
        // no such folder, no files
        assert_eq!(own.unnamed_client_files().await.expect("none").len(), 0);
    }
}
