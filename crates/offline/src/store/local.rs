//! An object store on a local folder in which an acknowledged put is on the disk.
//!
//! `object_store`'s own `LocalFileSystem` never calls fsync: after a loss of power a commit that it acknowledged may be
//! gone, or be there while the data file that it names is empty. Here a put writes a staging file beside its
//! destination, puts it on the disk, links (create) or renames (overwrite) it into place, and puts the folder's names
//! on the disk before it answers. Reading, listing and deleting are `LocalFileSystem`'s.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use uuid::Uuid;

use super::Disk;
use super::entries::LogFrom;

const NAME: &str = "local folder";

/// An object store on local folders, `/` being the file system's root, whose acknowledged puts survive a loss of power.
#[derive(Clone, Debug)]
pub struct DurableFileSystem {
    reads: LocalFileSystem,
    writes: Arc<Writes>,
}

#[derive(Debug)]
struct Writes {
    disk: Arc<dyn Disk>,
    /// The topmost folder whose own name we promise to put on the disk.
    base: PathBuf,
    /// Folders whose names, from `base` down, this process has put on the disk.
    durable: Mutex<HashSet<PathBuf>>,
}

impl DurableFileSystem {
    /// An object store on `disk`. Folders are made as they are needed, and `base` and all below it made durable.
    pub fn new(base: PathBuf, disk: Arc<dyn Disk>) -> Self {
        let writes = Writes { disk, base, durable: Mutex::default() };
        Self { reads: LocalFileSystem::new(), writes: Arc::new(writes) }
    }
}

impl fmt::Display for DurableFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableFileSystem({})", self.writes.base.display())
    }
}

#[async_trait]
impl ObjectStore for DurableFileSystem {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let place = match opts.mode {
            PutMode::Create => Place::Create,
            PutMode::Overwrite => Place::Overwrite,
            PutMode::Update(_) => return Err(not_implemented("a put on condition of an e-tag")),
        };
        let to = self.reads.path_to_filesystem(location)?;
        let writes = Arc::clone(&self.writes);
        blocking(move || {
            let mut staged = writes.stage(to)?;
            payload.iter().try_for_each(|part| staged.write(part)).map_err(|e| staged.failed(&e))?;
            staged.finish(place)
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let to = self.reads.path_to_filesystem(location)?;
        let writes = Arc::clone(&self.writes);
        let staged = blocking(move || writes.stage(to)).await?;
        Ok(Box::new(Upload { parts: Arc::default(), staged: Arc::new(Mutex::new(Some(staged))), next: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reads.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.reads.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let Some(from) = LogFrom::asked(prefix, offset) else { return self.reads.list_with_offset(prefix, offset) };
        let (reads, prefix, offset) = (self.reads.clone(), prefix.cloned(), offset.clone());
        let listed = async move {
            let folder = match reads.path_to_filesystem(from.log()) {
                Ok(folder) => folder,
                Err(error) => return stream::iter([Err(error)]).boxed(),
            };
            let found = blocking(move || from.read(&folder).map_err(|error| failed("read", &folder, error))).await;
            match found {
                Ok(Some(found)) => stream::iter(found.into_iter().map(Ok)).boxed(),
                Ok(None) => reads.list_with_offset(prefix.as_ref(), &offset),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reads.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let place = match options.mode {
            CopyMode::Create => Place::Create,
            CopyMode::Overwrite => Place::Overwrite,
        };
        let mut source = self.get(from).await?.into_stream();
        let to = self.reads.path_to_filesystem(to)?;
        let writes = Arc::clone(&self.writes);
        let mut staged = blocking(move || writes.stage(to)).await?;
        while let Some(part) = source.next().await.transpose()? {
            staged = blocking(move || staged.write(&part).map_err(|e| staged.failed(&e)).map(|()| staged)).await?;
        }
        blocking(move || staged.finish(place).map(drop)).await
    }
}

#[derive(Clone, Copy)]
enum Place {
    Create,
    Overwrite,
}

impl Writes {
    /// An empty file beside `to`, whose name ends as `LocalFileSystem` ends those that it does not list.
    fn stage(self: &Arc<Self>, to: PathBuf) -> Result<Staged> {
        let mut name = to.clone().into_os_string();
        name.push(format!("#{}", Uuid::new_v4().as_u128()));
        let at = PathBuf::from(name);
        let folder = to.parent().unwrap_or(&self.base).to_path_buf();
        self.make_folders(&folder).map_err(|e| failed("make", &folder, e))?;
        let file = self.disk.create(&at).map_err(|e| failed("create", &at, e))?;
        Ok(Staged { writes: Arc::clone(self), file, at, to, folder, placed: false })
    }

    /// Makes `folder` and those above it, and puts their names on the disk, also where another process made them:
    /// it may not have come to that yet.
    fn make_folders(&self, folder: &FilePath) -> io::Result<()> {
        if self.durable().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        let missing: Vec<&FilePath> = folder.ancestors().take_while(|f| !f.is_dir()).collect();
        for above in missing.iter().rev() {
            self.disk.make_folder(above)?;
        }
        for below in folder.ancestors().take_while(|f| f.starts_with(&self.base) || missing.contains(f)) {
            let Some(above) = below.parent() else { continue };
            match self.disk.sync_folder(above) {
                // a folder that others gave us a place in need not be ours to read
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !above.starts_with(&self.base) => {}
                done => done?,
            }
        }
        self.durable().insert(folder.to_path_buf());
        Ok(())
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being written beside its destination; it goes away unless it is placed.
#[derive(Debug)]
struct Staged {
    writes: Arc<Writes>,
    file: File,
    at: PathBuf,
    to: PathBuf,
    folder: PathBuf,
    placed: bool,
}

impl Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writes.disk.write(&mut self.file, &self.at, bytes)
    }

    fn failed(&self, error: &io::Error) -> object_store::Error {
        // an `io::Error` cannot be cloned; its kind and number are what callers look at
        let again = error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error);
        failed("write", &self.to, again)
    }

    fn finish(mut self, place: Place) -> Result<PutResult> {
        let disk = Arc::clone(&self.writes.disk);
        disk.sync_file(&self.file, &self.at).map_err(|e| failed("sync", &self.to, e))?;
        match place {
            Place::Overwrite => {
                disk.rename(&self.at, &self.to).map_err(|e| failed("write", &self.to, e))?;
                self.placed = true;
            }
            Place::Create => {
                if let Err(error) = disk.link(&self.at, &self.to) {
                    if error.kind() == io::ErrorKind::AlreadyExists {
                        // whoever is told that the file exists may rely on it
                        disk.sync_folder(&self.folder).map_err(|e| failed("sync", &self.folder, e))?;
                    }
                    return Err(failed("create", &self.to, error));
                }
            }
        }
        disk.sync_folder(&self.folder).map_err(|e| failed("sync", &self.folder, e))?;
        Ok(PutResult { e_tag: None, version: None })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            // best effort: what stays behind is never listed
            drop(self.writes.disk.remove(&self.at));
        }
    }
}

/// Parts may come out of order; each waits here until those before it are written.
#[derive(Debug)]
struct Upload {
    parts: Arc<Mutex<Parts>>,
    staged: Arc<Mutex<Option<Staged>>>,
    next: usize,
}

#[derive(Debug, Default)]
struct Parts {
    waiting: std::collections::BTreeMap<usize, PutPayload>,
    written: usize,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (parts, staged) = (Arc::clone(&self.parts), Arc::clone(&self.staged));
        let number = self.next;
        self.next += 1;
        blocking(move || {
            let mut staged = staged.lock().unwrap_or_else(PoisonError::into_inner);
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            let file = staged.as_mut().ok_or_else(|| generic(io::Error::other("the upload has ended")))?;
            parts.waiting.insert(number, data);
            let Parts { waiting, written } = &mut *parts;
            while let Some(part) = waiting.remove(written) {
                part.iter().try_for_each(|bytes| file.write(bytes)).map_err(|e| file.failed(&e))?;
                *written += 1;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = Arc::clone(&self.staged);
        let parts = Arc::clone(&self.parts);
        let expected = self.next;
        blocking(move || {
            let staged = staged.lock().unwrap_or_else(PoisonError::into_inner).take();
            let staged = staged.ok_or_else(|| generic(io::Error::other("the upload has ended")))?;
            let written = parts.lock().unwrap_or_else(PoisonError::into_inner).written;
            if written != expected {
                return Err(generic(io::Error::other(format!("{written} of {expected} parts were written"))));
            }
            staged.finish(Place::Overwrite)
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        blocking(move || {
            drop(staged.lock().unwrap_or_else(PoisonError::into_inner).take());
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn failed(verb: &str, path: &FilePath, error: io::Error) -> object_store::Error {
    let kind = error.kind();
    let text = path.display().to_string();
    let source = io::Error::new(kind, DiskFailure { what: format!("{verb} '{text}'"), source: error });
    match kind {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path: text, source: Box::new(source) },
        io::ErrorKind::PermissionDenied => {
            object_store::Error::PermissionDenied { path: text, source: Box::new(source) }
        }
        _ => generic(source),
    }
}

fn generic(source: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: NAME, source: Box::new(source) }
}

fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() }
}

/// Says which file it was, and keeps the reason below it.
#[derive(Debug, thiserror::Error)]
#[error("could not {what}: {source}")]
pub(crate) struct DiskFailure {
    pub(crate) what: String,
    #[source]
    pub(crate) source: io::Error,
}
