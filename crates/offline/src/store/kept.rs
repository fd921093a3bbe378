//! What lies beside the tables: small objects that are written once and never changed, and files of others' making. No table
//! has a name that begins with `_`.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hitherto_core::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode};

use super::OfflineStore;
use crate::{Error, OutputLocation, Result, Sweep, Vacuumed};

/// How many objects are read at once.
const READS_MAX: usize = 16;

/// A file beside the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBeside {
    /// Its name in its folder.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

impl OfflineStore {
    /// Writes `bytes` at `path`, its parts below [`OfflineStore::base`], if nothing is there; else what is there.
    pub async fn keep(&self, path: &[&str], bytes: impl Into<Bytes>) -> Result<Option<Bytes>> {
        let place = path.iter().fold(self.base.clone(), |place, part| place.join(*part));
        match self.store.put_opts(&place, bytes.into().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(None),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let failed = |error| Error::object_store(format!("read '{place}'"), error);
                Ok(Some(self.store.get(&place).await.map_err(failed)?.bytes().await.map_err(failed)?))
            }
            Err(error) => Err(Error::object_store(format!("write '{place}'"), error)),
        }
    }

    /// The place of the file `path`, its parts below [`OfflineStore::base`], by the name under which it is found whatever the
    /// working folder: an absolute path, or a URL. Nothing is made.
    pub fn beside(&self, path: &[&str]) -> Result<OutputLocation> {
        let place = path.iter().fold(self.base.clone(), |place, part| place.join(*part));
        let name = if self.is_local() {
            let file = LocalFileSystem::new().path_to_filesystem(&place);
            file.map_err(|error| Error::object_store(format!("name '{place}'"), error))?.display().to_string()
        } else {
            // the URL of a folder, without the slash at its end
            self.folder_url(&place)?.as_str().trim_end_matches('/').to_owned()
        };
        Ok(OutputLocation::object(Arc::clone(&self.store), place, name))
    }

    /// The files in the folder `path`, by name; none where there is no such folder.
    pub async fn files_beside(&self, path: &[&str]) -> Result<Vec<FileBeside>> {
        let folder = path.iter().fold(self.base.clone(), |place, part| place.join(*part));
        let listed: Vec<ObjectMeta> = self
            .store
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|error| Error::object_store(format!("list '{folder}'"), error))?;
        let file = |object: ObjectMeta| FileBeside {
            name: object.location.filename().unwrap_or_default().to_owned(),
            size_bytes: object.size,
            modified: Timestamp(object.last_modified.timestamp_micros()),
        };
        let mut files: Vec<FileBeside> = listed.into_iter().map(file).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Removes the staging files in the folder `path` that were last written to by `until`: writers that were killed left
    /// them. Or only says what they are.
    pub async fn sweep_staged_beside(&self, path: &[&str], until: Timestamp, sweep: Sweep) -> Result<Vacuumed> {
        let folder = path.iter().fold(self.base.clone(), |place, part| place.join(*part));
        let mut found = Vacuumed::default();
        for staged in self.leftovers(&folder).await? {
            if staged.modified > until {
                found.kept_files += 1;
                found.kept_bytes += staged.size_bytes;
                continue;
            }
            found.deleted_files += 1;
            found.deleted_bytes += staged.size_bytes;
            if sweep == Sweep::Delete {
                self.remove_leftover(staged).await?;
            }
        }
        Ok(found)
    }

    /// Everything kept in the folder `path`, by name; nothing where there is no such folder.
    pub async fn kept(&self, path: &[&str]) -> Result<Vec<(String, Bytes)>> {
        let folder = path.iter().fold(self.base.clone(), |place, part| place.join(*part));
        let listed: Vec<_> = self
            .store
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|error| Error::object_store(format!("list '{folder}'"), error))?;
        let reads = listed.into_iter().map(|object| async move {
            let place = object.location;
            let failed = |error| Error::object_store(format!("read '{place}'"), error);
            let bytes = self.store.get(&place).await.map_err(failed)?.bytes().await.map_err(failed)?;
            Ok::<_, Error>((place.filename().unwrap_or_default().to_owned(), bytes))
        });
        let mut kept: Vec<(String, Bytes)> =
            futures::stream::iter(reads).buffer_unordered(READS_MAX).try_collect().await?;
        kept.sort();
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn files_beside_the_tables_are_told_and_what_a_killed_writer_left_goes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = url::Url::from_directory_path(folder.path()).expect("a URL");
        let store = OfflineStore::open(url.as_str(), [("", ""); 0]).expect("a store");
        let path = ["_training_sets", "p"];
        assert_eq!(store.files_beside(&path).await.expect("no folder"), []);
        store.keep(&["_training_sets", "p", "b.parquet"], "two").await.expect("writes");
        store.keep(&["_training_sets", "p", "a.parquet"], "three").await.expect("writes");
        store.keep(&["_training_sets", "pq", "c.parquet"], "another's").await.expect("writes");
        let staged = folder.path().join("_training_sets/p/d.parquet#17");
        std::fs::write(&staged, "half").expect("a staging file");
        let files = store.files_beside(&path).await.expect("files");
        let told: Vec<(&str, u64)> = files.iter().map(|file| (file.name.as_str(), file.size_bytes)).collect();
        assert_eq!(told, [("a.parquet", 5), ("b.parquet", 3)]);
        let swept = async |until, sweep| store.sweep_staged_beside(&path, until, sweep).await.expect("a sweep");
        let kept = Vacuumed { kept_files: 1, kept_bytes: 4, ..Vacuumed::default() };
        assert_eq!(swept(Timestamp(0), Sweep::Delete).await, kept, "it was written since");
        let deleted = Vacuumed { deleted_files: 1, deleted_bytes: 4, ..Vacuumed::default() };
        assert_eq!(swept(Timestamp::MAX, Sweep::DryRun).await, deleted);
        assert!(staged.exists());
        assert_eq!(swept(Timestamp::MAX, Sweep::Delete).await, deleted);
        assert!(!staged.exists());
        assert_eq!(store.files_beside(&path).await.expect("files").len(), 2);
    }

    #[tokio::test]
    async fn the_first_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = url::Url::from_directory_path(folder.path()).expect("a URL");
        for url in [url.as_str(), "memory:///notes"] {
            let store = OfflineStore::open(url, [("", ""); 0]).expect("a store");
            assert_eq!(store.kept(&["_audit", "p"]).await.expect("an empty folder"), []);
            for (project, file, text) in [("p", "2.json", "two"), ("p", "1.json", "one"), ("pq", "1.json", "another's")]
            {
                let there = store.keep(&["_audit", project, file], text).await.expect("writes");
                assert_eq!(there, None, "{url}: {project}/{file} is new");
            }
            let there = store.keep(&["_audit", "p", "2.json"], "other").await.expect("reads");
            assert_eq!(there, Some(Bytes::from("two")), "{url}");
            let kept = store.kept(&["_audit", "p"]).await.expect("reads");
            let expected = [("1.json".to_owned(), Bytes::from("one")), ("2.json".to_owned(), Bytes::from("two"))];
            assert_eq!(kept, expected, "{url}");
        }
    }

    #[test]
    fn a_file_beside_the_tables_is_named_as_it_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = url::Url::from_directory_path(folder.path().join("a b")).expect("a URL");
        let store = OfflineStore::open(url.as_str(), [("", ""); 0]).expect("a store");
        let place = store.beside(&["_training_sets", "p", "x.parquet"]).expect("a place");
        let path = folder.path().join("a b/_training_sets/p/x.parquet");
        assert_eq!(place.place(), path.display().to_string());
        assert_eq!(OutputLocation::file(&path).expect("a place").place(), place.place());
        assert!(!folder.path().join("a b").exists());
        let bucket = url::Url::parse("s3://bucket/some%20where").expect("a URL");
        let store = OfflineStore::with_store(Arc::new(InMemory::new()), "some where".into(), bucket);
        let place = store.beside(&["_training_sets", "p", "x.parquet"]).expect("a place");
        assert_eq!(place.place(), "s3://bucket/some%20where/_training_sets/p/x.parquet");
    }
}
