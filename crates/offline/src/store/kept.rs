//! Small objects beside the tables: written once, never changed.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, PutMode};

use super::OfflineStore;
use crate::{Error, Result};

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
}
