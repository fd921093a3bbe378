//! What lies beside the tables: small objects that are written once and never changed, and files of others' making. No table
//! has a name that begins with `_`.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStoreExt, PutMode};

use super::OfflineStore;
use crate::{Error, OutputLocation, Result};

/// How many objects are read at once.
const READS_MAX: usize = 16;

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
