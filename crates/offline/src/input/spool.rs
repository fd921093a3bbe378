//! Bytes that come from elsewhere are first kept on disk: Parquet is read from its end, what is hashed must be what
//! is read, and a stream can be read only once.

use std::io::{self, Write as _};
use std::path::Path;

use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::InputError;

const CHUNK_BYTES: usize = 1 << 18;

/// Keeps an object, `name` to the user, in a file of `folder`, or of the system's folder for temporary files.
pub(super) async fn object(
    name: &str,
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    folder: Option<&Path>,
) -> Result<NamedTempFile, InputError> {
    let failed = |source| InputError::Store { file: name.to_owned(), source };
    let spool_failed = |source| InputError::Spool { file: name.to_owned(), source };
    let mut file = create(folder).map_err(spool_failed)?;
    let mut chunks = store.get(path).await.map_err(failed)?.into_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
        file = tokio::task::spawn_blocking(move || file.write_all(&chunk).map(|()| file))
            .await
            .map_err(io::Error::other)
            .and_then(|written| written)
            .map_err(spool_failed)?;
    }
    Ok(file)
}

/// Keeps a stream of bytes, `name` to the user, likewise.
pub(super) async fn stream(
    name: &str,
    mut reader: impl AsyncRead + Send + Unpin,
    folder: Option<&Path>,
) -> Result<NamedTempFile, InputError> {
    let spool_failed = |source| InputError::Spool { file: name.to_owned(), source };
    let mut file = create(folder).map_err(spool_failed)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = reader.read(&mut chunk).await.map_err(|source| InputError::Io { file: name.to_owned(), source })?;
        if read == 0 {
            return Ok(file);
        }
        let written = tokio::task::spawn_blocking(move || file.write_all(&chunk[..read]).map(|()| (file, chunk)));
        (file, chunk) = written.await.map_err(io::Error::other).and_then(|written| written).map_err(spool_failed)?;
    }
}

fn create(folder: Option<&Path>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("hitherto-input-");
    folder.map_or_else(|| builder.tempfile(), |folder| builder.tempfile_in(folder))
}
