//! What lies where a file goes, and beside it.

use std::sync::Arc;

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::OutputLocation;
use crate::{Error, Result};

impl OutputLocation {
    /// The SHA-256, in hex, of the file that lies there.
    pub async fn sha256(&self) -> Result<String> {
        let failed = |error| Error::object_store(format!("read '{}'", self.name), error);
        let mut bytes = self.store.get(&self.path).await.map_err(failed)?.into_stream();
        let mut hash = Sha256::new();
        while let Some(part) = bytes.next().await {
            hash.update(part.map_err(failed)?);
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Takes away the file that lies there; that there is none is no error.
    pub async fn remove(&self) -> Result<()> {
        match self.store.delete(&self.path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::object_store(format!("remove '{}'", self.name), error)),
        }
    }

    /// Whether a file lies there.
    pub async fn exists(&self) -> Result<bool> {
        match self.store.head(&self.path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::object_store(format!("look for '{}'", self.name), error)),
        }
    }

    /// The file that lies at `place`, if it lies in the same folder.
    pub fn neighbour(&self, place: &str) -> Option<Self> {
        let (folder, file) = place.rsplit_once('/')?;
        let (own_folder, _) = self.place.rsplit_once('/')?;
        if folder != own_folder || matches!(file, "" | "." | "..") {
            return None;
        }
        let mut parts: Vec<_> = self.path.parts().collect();
        parts.pop();
        let path = parts.into_iter().collect::<Path>().join(file);
        Some(Self {
            store: Arc::clone(&self.store),
            path,
            name: place.to_owned(),
            place: place.to_owned(),
            judge: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_neighbour_lies_in_the_same_folder() {
        let out = OutputLocation::object(Arc::new(InMemory::new()), Path::from("a/b/one"), "s3://x/a/b/one");
        let other = out.neighbour("s3://x/a/b/two").expect("beside it");
        assert_eq!((other.path, other.place), (Path::from("a/b/two"), "s3://x/a/b/two".to_owned()));
        let elsewhere = ["s3://x/a/c/two", "s3://x/a/b/..", "s3://x/a/b/", "two"];
        assert!(elsewhere.iter().all(|place| out.neighbour(place).is_none()));
    }

    #[tokio::test]
    async fn what_lies_there_is_seen() {
        let store = Arc::new(InMemory::new());
        let out =
            OutputLocation::object(Arc::clone(&store) as Arc<dyn object_store::ObjectStore>, Path::from("a"), "a");
        assert!(!out.exists().await.expect("looked for"));
        store.put(&Path::from("a"), "bytes".into()).await.expect("put");
        assert!(out.exists().await.expect("looked for"));
        out.remove().await.expect("removed");
        assert!(!out.exists().await.expect("looked for"));
    }
}
