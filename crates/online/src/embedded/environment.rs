//! LMDB environments, one per folder and process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};

use crate::{Error, Result};

/// Reserved address space, not memory or disk: the file grows with what is in it.
const MAP_SIZES: [usize; 5] = [64 << 30, 16 << 30, 4 << 30, 1 << 30, 256 << 20];
/// A thread that has read holds one of these until it ends. 64 bytes each.
const READERS: u32 = 4096;
const DATA_FILE: &str = "data.mdb";
const FORMAT_KEY: &[u8] = b"\0format";
const FORMAT: u8 = 1;

/// LMDB corrupts its locks when one process opens a file twice, so all stores of a process share what is open.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Environment>>>> = LazyLock::new(Mutex::default);

/// An open environment. All records lie in its unnamed database.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) env: Env,
    pub(super) records: Database<'static, Bytes, Bytes>,
    path: PathBuf,
}

impl Environment {
    /// Opens the environment in this folder, making both if they are not there.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        if !exists(path) {
            fs::create_dir_all(path).map_err(Error::io(path))?;
        }
        Self::share(path, &MAP_SIZES)
    }

    /// Opens the environment in this folder, if there is one.
    pub(super) fn open_existing(path: &Path) -> Result<Option<Arc<Self>>> {
        if exists(path) { Self::share(path, &MAP_SIZES).map(Some) } else { Ok(None) }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn share(path: &Path, map_sizes: &[usize]) -> Result<Arc<Self>> {
        let path = path.canonicalize().map_err(Error::io(path))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let opened = Arc::new(Self::open_new(&path, map_sizes)?);
        open.retain(|_, environment| environment.strong_count() > 0);
        open.insert(path, Arc::downgrade(&opened));
        Ok(opened)
    }

    fn open_new(path: &Path, map_sizes: &[usize]) -> Result<Self> {
        let failed = Error::embedded("open", path);
        let is_new = !exists(path);
        let env = open_env(path, map_sizes).map_err(&failed)?;
        // a process that was killed while it read keeps pages from being used again
        env.clear_stale_readers().map_err(&failed)?;
        let records = open_records(&env).map_err(&failed)?;
        let environment = Self { env, records, path: path.to_owned() };
        environment.check_format()?;
        if is_new {
            // LMDB syncs its file, not the folders that name it
            for folder in path.ancestors().take(2) {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(path))?;
            }
        }
        Ok(environment)
    }

    fn check_format(&self) -> Result<()> {
        let failed = Error::embedded("open", &self.path);
        let read = || -> heed::Result<Option<u8>> {
            let txn = self.env.read_txn()?;
            Ok(self.records.get(&txn, FORMAT_KEY)?.map(|format| format.first().copied().unwrap_or_default()))
        };
        let write = || -> heed::Result<()> {
            let mut txn = self.env.write_txn()?;
            self.records.put(&mut txn, FORMAT_KEY, &[FORMAT])?;
            txn.commit()
        };
        match read().map_err(&failed)? {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(Error::Format { path: self.path.clone(), found }),
            None => write().map_err(&failed),
        }
    }
}

fn exists(path: &Path) -> bool {
    path.join(DATA_FILE).exists()
}

fn open_env(path: &Path, map_sizes: &[usize]) -> heed::Result<Env> {
    let mut result = Err(heed::Error::EnvAlreadyOpened);
    for &map_size in map_sizes {
        result = open_sized(path, map_size);
        // a limit on address space refuses a large map and may grant a smaller one
        let refused = matches!(&result, Err(heed::Error::Io(error))
            if matches!(error.kind(), std::io::ErrorKind::OutOfMemory | std::io::ErrorKind::InvalidInput));
        if !refused {
            break;
        }
    }
    result
}

fn open_sized(path: &Path, map_size: usize) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_size).max_readers(READERS);
    for _ in 0..100 {
        #[expect(unsafe_code, reason = "a memory map is sound while nobody but LMDB changes the file, as we document")]
        // SAFETY: no unsafe flags are set; `OPEN` lets one environment per folder exist in this process
        let result = unsafe { options.open(path) };
        if !matches!(result, Err(heed::Error::EnvAlreadyOpened)) {
            return result;
        }
        // its last user has let go of it on another thread, and it is just being closed
        if let Some(closing) = heed::env_closing_event(path) {
            closing.wait_timeout(Duration::from_millis(50));
        }
    }
    Err(heed::Error::EnvAlreadyOpened)
}

fn open_records(env: &Env) -> heed::Result<Database<'static, Bytes, Bytes>> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        opener.open_database::<Bytes, Bytes>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    opened.commit().flatten().ok_or(heed::Error::Mdb(heed::MdbError::NotFound))
}
