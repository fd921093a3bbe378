//! Disks that forget, that never put anything down, and that are full; servers whose answers are lost.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use super::{Disk, OfflineStore, RealDisk};

/// A disk that knows what is really on it, and on [`ForgetfulDisk::lose_power`] takes everything else back.
#[derive(Debug)]
pub(crate) struct ForgetfulDisk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// What each name stands for now.
    names: BTreeMap<PathBuf, Thing>,
    /// What each name stood for when its folder was last put on the disk.
    durable_names: HashMap<PathBuf, BTreeMap<PathBuf, Thing>>,
    /// What each file held when it was last put on the disk.
    durable_content: HashMap<u64, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Thing {
    Folder,
    File(u64),
}

impl ForgetfulDisk {
    /// Everything below `root`, which is empty and itself on the disk.
    pub(crate) fn new(root: &Path) -> Arc<Self> {
        Arc::new(Self { root: root.to_path_buf(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves of the real folder what would be found after a loss of power.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state();
        for entry in fs::read_dir(&self.root).expect("the root").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) }.expect("removed");
        }
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for (path, thing) in state.durable_names.get(&folder).cloned().unwrap_or_default() {
                match thing {
                    Thing::Folder => {
                        fs::create_dir(&path).expect("a folder");
                        folders.push(path.clone());
                    }
                    Thing::File(id) => {
                        let content = state.durable_content.get(&id).cloned().unwrap_or_default();
                        fs::write(&path, content).expect("a file");
                    }
                }
                found.insert(path, thing);
            }
        }
        state.names = found;
    }
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = RealDisk.create(path)?;
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.names.insert(path.to_path_buf(), Thing::File(id));
        Ok(file)
    }

    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write(file, path, bytes)
    }

    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(file, path)?;
        let content = fs::read(path)?;
        let mut state = self.state();
        let Some(Thing::File(id)) = state.names.get(path).copied() else { panic!("{path:?} is no file") };
        state.durable_content.insert(id, content);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)?;
        let mut state = self.state();
        let thing = *state.names.get(from).expect("a file");
        state.names.insert(to.to_path_buf(), thing);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)?;
        let mut state = self.state();
        let thing = state.names.remove(from).expect("a file");
        state.names.insert(to.to_path_buf(), thing);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)?;
        self.state().names.remove(path);
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)?;
        self.state().names.insert(path.to_path_buf(), Thing::Folder);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inside = |name: &Path| name.parent() == Some(path);
        let now = state.names.iter().filter(|(name, _)| inside(name)).map(|(name, t)| (name.clone(), *t)).collect();
        state.durable_names.insert(path.to_path_buf(), now);
        Ok(())
    }
}

/// What may be wrong with the disk below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Says that it has put files on the disk, and has not.
    IgnoresFileSync,
    /// Says that it has put folders on the disk, and has not.
    IgnoresFolderSync,
    /// Has room for so many bytes; every new name takes one.
    Room(i64),
}

/// A disk with a fault.
#[derive(Debug)]
pub(crate) struct FaultyDisk {
    disk: Arc<dyn Disk>,
    fault: Option<Fault>,
    room: AtomicI64,
}

impl FaultyDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, fault: Fault) -> Arc<Self> {
        let room = if let Fault::Room(bytes) = fault { bytes } else { i64::MAX };
        Arc::new(Self { disk, fault: Some(fault), room: AtomicI64::new(room) })
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        if self.room.fetch_sub(bytes as i64, Ordering::SeqCst) < bytes as i64 {
            // a full disk stays full
            self.room.store(0, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.take(1)?;
        self.disk.create(path)
    }

    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst).max(0) as usize;
        self.take(bytes.len()).or_else(|full| {
            self.disk.write(file, path, &bytes[..room.min(bytes.len())])?;
            Err(full)
        })?;
        self.disk.write(file, path, bytes)
    }

    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        if self.fault == Some(Fault::IgnoresFileSync) { Ok(()) } else { self.disk.sync_file(file, path) }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.take(1)?;
        self.disk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.take(1)?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.take(1)?;
        self.disk.make_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if self.fault == Some(Fault::IgnoresFolderSync) { Ok(()) } else { self.disk.sync_folder(path) }
    }
}

/// A store in `folder` on `disk`.
pub(crate) fn store_on(folder: &Path, disk: Arc<dyn Disk>) -> OfflineStore {
    let url = Url::from_directory_path(folder.join("history")).expect("a URL");
    OfflineStore::on_disk(url, disk).expect("a store")
}

/// A server that now and then does not answer a put of the log.
#[derive(Debug)]
pub(crate) struct LostAnswers {
    store: InMemory,
    /// Asked at each put of the log.
    loses: fn(usize) -> Option<Lost>,
    puts: AtomicUsize,
}

/// What happened to a put without an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lost {
    Request,
    Answer,
}

impl LostAnswers {
    pub(crate) fn store(loses: fn(usize) -> Option<Lost>) -> OfflineStore {
        let store = Self { store: InMemory::new(), loses, puts: AtomicUsize::new(0) };
        OfflineStore::with_store(Arc::new(store), "history".into(), Url::parse("memory:///history").expect("a URL"))
    }
}

impl fmt::Display for LostAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LostAnswers({})", self.store)
    }
}

#[async_trait::async_trait]
impl ObjectStore for LostAnswers {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let lost = (location.extension() == Some("json")).then(|| self.puts.fetch_add(1, Ordering::SeqCst));
        let lost = lost.and_then(self.loses);
        let timeout = || object_store::Error::Generic {
            store: "server",
            source: Box::new(io::Error::from(io::ErrorKind::TimedOut)),
        };
        if lost == Some(Lost::Request) {
            return Err(timeout());
        }
        let answer = self.store.put_opts(location, payload, opts).await;
        if lost == Some(Lost::Answer) { Err(timeout()) } else { answer }
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
